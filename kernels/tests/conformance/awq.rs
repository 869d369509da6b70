//! Cases of `awq_search`: both codes, both statistics, around panels and tiles of tokens.

pub(crate) fn cases() -> Vec<String> {
    let mut ids = Vec::new();
    for weight in ["uint4", "int4"] {
        for scaling in ["activation", "duo"] {
            for (i, (k, group)) in
                [(1, 1), (7, 7), (32, 8), (96, 32), (128, 128), (33, 3), (515, 5)]
                    .into_iter()
                    .enumerate()
            {
                for n in [1, 15, 16, 17, 31, 32, 33, 65] {
                    let m = [1, 2, 5, 6, 7, 13][(i + n) % 6];
                    let grid = [1, 3, 20][n % 3];
                    ids.extend(["exact", "realistic", "realistic/distribution=lognormal"].map(
                        |data| {
                            format!(
                                "awq_search/weight={weight}/scaling={scaling}/group_size={group}\
                                 /n_grid={grid}/m={m}/k={k}/n={n}/data={data}/seed={i}"
                            )
                        },
                    ));
                }
            }
        }
        ids.push(format!(
            "awq_search/weight={weight}/m=40/k=1024/n=130/data=realistic/distribution=lognormal"
        ));
    }
    ids
}
