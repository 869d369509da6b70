//! CSV read back says what the records say.
use crate::gallery::{base_record, records};
use lowbit_reports::csv::{results_csv, samples_csv};
use lowbit_reports::record::{Timing, Violation, Work};
use std::collections::HashMap;

fn rows(text: &str) -> Vec<HashMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[test]
fn every_record_is_a_row_and_numbers_read_back_exactly() {
    let records = records(4);
    let rows = rows(&results_csv(&records).unwrap());
    assert_eq!(rows.len(), records.len());
    for (row, record) in rows.iter().zip(&records) {
        assert_eq!(row["case"], record.case);
        assert_eq!(row["verdict"], record.verdict.name());
        assert_eq!(row["weight"], record.parameters.get("weight").cloned().unwrap_or_default());
        assert_eq!(row["median_ns"].parse().ok(), record.median_ns());
        assert_eq!(row["gops"].parse().ok(), record.gops());
        assert_eq!(row["roof_share"].parse().ok(), record.roof_share());
    }
}

#[test]
fn awkward_text_stays_in_its_cell() {
    let mut record = base_record("linear", "linear/m=1", "scalar", &[("verdict", "a parameter")]);
    record.reason = "got \"1\", want 2,\nsecond line".into();
    record.violations = vec![Violation {
        limit_name: "rho.mean_abs_error".into(),
        value: 0.845_912,
        allowed: "at most 0.02".into(),
        enforced: true,
    }];
    let row = rows(&results_csv(&[record.clone()]).unwrap()).remove(0);
    assert_eq!(row["reason"], record.reason);
    assert_eq!(row["violations"], "rho.mean_abs_error = 0.8459, allowed at most 0.02 (enforced)");
    assert_eq!(row["verdict"], "passed");
    assert_eq!(row["parameter_verdict"], "a parameter", "a parameter cannot hide a column");
    assert_eq!(row["cache"], "", "not applicable is empty");
}

#[test]
fn columns_are_fixed_then_parameters_sorted_then_rates() {
    let records = [
        base_record("a", "a/z=1", "s", &[("z", "1")]),
        base_record("b", "b/k=2", "s", &[("k", "2")]),
    ];
    let text = results_csv(&records).unwrap();
    let header = text.lines().next().unwrap();
    assert!(header.starts_with(
        "sweep,case,op,kernel,device,verdict,reason,skip,threads,cache,clock,median_ns"
    ));
    assert!(header.ends_with("roof,roof_ns,violations,k,z,gops,gbps,roof_share"), "{header}");
}

#[test]
fn rates_are_derived_from_work_and_median() {
    let mut record = base_record("linear", "linear/m=1", "scalar", &[]);
    record.work = Some(Work { macs: 1000, bytes_read: 300, bytes_written: 100 });
    record.timing = Some(Timing { median_ns: 50.0, ..Timing::default() });
    let row = rows(&results_csv(&[record]).unwrap()).remove(0);
    assert_eq!((row["gops"].as_str(), row["gbps"].as_str()), ("40.0", "8.0"));
}

#[test]
fn samples_have_a_row_each_in_the_order_taken() {
    let mut record = base_record("linear", "linear/m=1", "scalar", &[]);
    record.threads = Some(2);
    record.timing = Some(Timing { samples_ns: vec![3.5, 1.25], ..Timing::default() });
    let unmeasured = base_record("linear", "linear/m=2", "scalar", &[]);
    let text = samples_csv(&[record, unmeasured]).unwrap();
    let want = "case,kernel,threads,cache,clock,round,sample,ns\n\
                linear/m=1,scalar,2,,,0,0,3.5\nlinear/m=1,scalar,2,,,0,1,1.25\n";
    assert_eq!(text, want);
}
