//! Figures of bounds and of codes: what is printed, what is flagged, what is drawn.
use crate::gallery::base_record;
use lowbit_reports::coverage::{coverage, coverage_lines};
use lowbit_reports::plot::charts;
use lowbit_reports::record::{Agreement, Codes, Record, Verdict};
use lowbit_reports::tightness::{tightness, tightness_table};

fn linear(kernel: &str, k: &str, error_over_bound: f64, data: &str) -> Record {
    let fields = [("m", "3"), ("k", k), ("n", "5"), ("data", data)];
    let mut record = base_record("linear", &format!("linear/k={k}"), kernel, &fields);
    record.agreement = Some(Agreement { error_over_bound, bounded: true, ..Agreement::default() });
    record
}

#[test]
fn a_bound_that_nothing_approaches_is_flagged() {
    let exact = Agreement { bounded: false, ..Agreement::default() };
    let integer = Record { agreement: Some(exact), ..linear("vnni", "256", 0.0, "realistic") };
    let failed = Record { verdict: Verdict::Failed, ..linear("failed", "256", 9.0, "realistic") };
    let records = [
        linear("tight", "256", 0.01, "realistic"),
        linear("tight", "1024", 0.005, "realistic"),
        linear("loose", "256", 0.0077, "realistic"),
        // Neither planted data nor sums of one term say anything, nor rows without a bound.
        linear("loose", "256", 0.9, "adversarial"),
        linear("loose", "1", 0.9, "realistic"),
        integer,
        failed,
    ];
    let rows = tightness(&records);
    let seen: Vec<_> = rows.iter().map(|row| (row.kernel, row.share, row.is_tight())).collect();
    assert_eq!(seen, [("tight", 0.01, true), ("loose", 0.0077, false)]);
    assert_eq!((rows[0].least(), rows[0].depth), (1.0 / 128.0, 256.0));
    let table = tightness_table(&records);
    assert!(
        table.lines().nth(2).unwrap().ends_with("loose, or a sum of many short chains"),
        "{table}"
    );
    assert_eq!(tightness_table(&[]), "");
}

#[test]
fn the_chart_needs_two_depths_of_a_float_row() {
    let one = [linear("scalar", "256", 0.02, "realistic")];
    assert!(charts(&one).unwrap().is_empty());
    let kernels = ["scalar", "avx2", "avx512vnni"];
    let depths = ["64", "256", "1024", "4096"];
    let records: Vec<Record> = kernels
        .iter()
        .flat_map(|kernel| depths.map(|k| linear(kernel, k, 0.3 / k.len() as f64, "realistic")))
        .collect();
    let charts = charts(&records).unwrap();
    let chart = charts.iter().find(|chart| chart.name == "error_over_bound").unwrap();
    assert_eq!(chart.collisions().unwrap(), [""; 0]);
    assert!(chart.svg().unwrap().contains("error / bound"));
    assert!(chart.png().unwrap().len() > 1000);
}

fn quantized(kernel: &str, seen: &[(i16, i16)], ties: u64) -> Record {
    let mut record = base_record("quantize_weight", "quantize_weight/k=8", kernel, &[]);
    let codes = Codes {
        what: "codes".into(),
        format: "int8".into(),
        wanted: vec![(-127, 127)],
        seen: seen.to_vec(),
        ties: Some(ties),
    };
    record.agreement = Some(Agreement { codes: vec![codes], ..Agreement::default() });
    record
}

#[test]
fn codes_add_up_over_the_cases_of_a_row() {
    let records = [
        quantized("whole", &[(-127, 0)], 3),
        quantized("whole", &[(0, 127)], 0),
        quantized("part", &[(-127, -3), (-1, 127)], 3),
        quantized("even", &[(-127, 127)], 0),
        Record { verdict: Verdict::Failed, ..quantized("part", &[(-2, -2)], 1) },
    ];
    let coverage = coverage(&records);
    let seen: Vec<_> =
        coverage.iter().map(|c| (c.kernel, c.missing.clone(), c.no_tie, c.is_complete())).collect();
    let want = [
        ("whole", vec![], false, true),
        ("part", vec![-2], false, false),
        ("even", vec![], true, false),
    ];
    assert_eq!(seen, want);
    let lines = coverage_lines(&coverage);
    assert!(lines.contains("row part of quantize_weight: 254 of 255 int8 codes; never -2\n"));
    assert!(lines.contains("row even of quantize_weight: 255 of 255 int8 codes; never a tie\n"));
    assert!(lines.ends_with("1 of 3 rows and formats have met every code\n"), "{lines}");
}
