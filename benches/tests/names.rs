//! Names of benchmarks: a filtered run must find the baseline of a full one.
use lowbit_benches::{cases, value};
use lowbit_reference::op::OPS;
use std::collections::HashSet;

/// Where Criterion cuts each part of a name (`MAX_DIRECTORY_NAME_LEN` of its report.rs).
const CRITERION_CUT: usize = 64;

#[test]
fn names_stay_unique_where_criterion_cuts_them() {
    let mut total = 0;
    for op in OPS.iter().map(|op| op.name) {
        let names: Vec<_> = cases(op).1.iter().map(|planned| value(&planned.case)).collect();
        let cut: HashSet<_> = names.iter().map(|n| &n[..n.len().min(CRITERION_CUT)]).collect();
        assert_eq!(cut.len(), names.len(), "{op}");
        assert!(!names.is_empty(), "{op} has no case in bench.json");
        total += names.len();
    }
    assert!(total >= 10, "{total}");
}

#[test]
fn a_filter_by_a_word_of_the_id_still_matches() {
    let case = &cases("linear").1[0].case;
    let weight = case.word("weight");
    assert!(value(case).contains(&format!("weight={weight}")));
}
