//! Cases of the rho ops.
use crate::LENGTHS;

pub(crate) fn cases(op: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for format in ["int8", "ternary", "binary"] {
        for (i, elements) in LENGTHS.into_iter().chain([4096, 20_011]).enumerate() {
            for data in ["exact", "realistic", "realistic/distribution=lognormal/sigma=0.01"] {
                ids.push(format!("{op}/format={format}/elements={elements}/data={data}/seed={i}"));
            }
        }
    }
    ids
}
