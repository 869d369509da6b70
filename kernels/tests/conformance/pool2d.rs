//! Cases of `pool2d`.
use crate::conv2d::fits;

/// Kernel, stride, padding and dilation; padding is below the window's extent.
const WINDOWS: [[[usize; 2]; 4]; 11] = [
    [[1, 1], [1, 1], [0, 0], [1, 1]],
    [[2, 2], [2, 2], [0, 0], [1, 1]],
    [[2, 2], [2, 2], [1, 1], [1, 1]],
    [[3, 3], [1, 1], [1, 1], [1, 1]],
    [[3, 3], [2, 2], [1, 1], [1, 1]],
    [[3, 2], [3, 1], [2, 1], [1, 1]],
    [[1, 3], [1, 3], [0, 2], [1, 1]],
    [[3, 3], [2, 1], [4, 4], [2, 2]],
    [[2, 3], [1, 2], [1, 3], [3, 2]],
    [[5, 9], [4, 5], [2, 3], [1, 1]],
    [[1, 1], [3, 2], [0, 0], [1, 1]],
];

/// Height and width: below, at and above vectors of 8 and 16 and strips of 128.
const IMAGES: [[usize; 2]; 13] = [
    [1, 1],
    [1, 2],
    [3, 1],
    [2, 7],
    [5, 8],
    [3, 9],
    [4, 15],
    [6, 16],
    [2, 17],
    [7, 33],
    [5, 66],
    [8, 16],
    [16, 130],
];

pub(crate) fn cases() -> Vec<String> {
    let kinds = ["kind=max", "kind=average/divisor=valid", "kind=average/divisor=padded"];
    let mut ids = Vec::new();
    for (i, [height, width]) in IMAGES.into_iter().enumerate() {
        let image = |c_in: usize, batch: usize| {
            format!("batch={batch}/c_in={c_in}/height={height}/width={width}")
        };
        for (w, window) in WINDOWS.into_iter().enumerate() {
            if !fits([height, width], window) {
                continue;
            }
            for kind in kinds {
                let (data, ceil_mode) = (["exact", "realistic"][(i + w) % 2], (i + w / 2) % 2);
                ids.push(format!(
                    "pool2d/{kind}/{}/{}/ceil_mode={ceil_mode}/data={data}/seed={w}",
                    image([1, 3, 8][w % 3], 1 + i % 3),
                    crate::window(window)
                ));
            }
        }
        for kind in kinds {
            ids.extend(
                ["exact", "realistic"]
                    .map(|data| format!("pool2d/{kind}/{}/window=global/data={data}", image(5, 2))),
            );
        }
    }
    // Past the limit of what is compared whole.
    let window = "kernel_h=9/kernel_w=9/stride_h=1/stride_w=1/padding_h=4/padding_w=4";
    ids.push(format!("pool2d/kind=max/c_in=7/height=500/width=501/{window}/data=realistic"));
    ids
}
