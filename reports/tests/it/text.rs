//! The terminal table and the summary say what a reader must not miss.
use crate::gallery::{base_record, records, run};
use lowbit_reports::label::Labels;
use lowbit_reports::record::{Agreement, Record, SkipKind, Verdict};
use lowbit_reports::summary::summary_md;
use lowbit_reports::table::{summary_table, table_markdown};

const FAILING: &str = "linear/weight=ternary2/weight_rule=b158/activation=int8/activation_rule=burn_dragon/\
                       m=4/k=4096/n=4096/data=realistic/distribution=normal/seed=7";

fn line<'a>(text: &'a str, with: &[&str]) -> &'a str {
    let found = text.lines().find(|line| with.iter().all(|w| line.contains(w)));
    found.unwrap_or_else(|| panic!("no line with {with:?} in\n{text}"))
}

#[test]
fn the_table_groups_rows_under_a_case_that_can_be_pasted() {
    let text = summary_table(&records(2), false);
    assert_eq!(text.lines().filter(|l| *l == FAILING).count(), 1, "the case is printed once");
    let row = line(&text, &["scalar", "passed", "hot", "GOPS"]);
    let words: Vec<&str> = row.split_whitespace().collect();
    // 2 * 512 * 4096 MACs at 2.3 GOPS; (1.04 - 0.985) / 2 = 2.75 %; 2.3 of 310 GOPS; 32 / 2^21 bits of scale.
    let want = "scalar passed 1 hot wall 1.82 ms ±2.8 % 2.30 GOPS 0.742 % int8 dot 0 2.00 3.60";
    assert_eq!(words.join(" "), want);
    assert!(text.lines().take_while(|l| !l.is_empty()).all(|l| l.chars().count() <= 160));
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn rates_without_multiplications_are_in_bytes_and_wide_intervals_are_marked() {
    let text = summary_table(&records(1), false);
    line(&text, &["scalar", "passed", "1.96 GB/s"]);
    line(&text, &["ste", "*±2.8 %"]);
    assert!(!line(&text, &["scalar", "2.30 GOPS"]).contains('*'));
}

#[test]
fn verdicts_are_coloured_only_when_asked_for() {
    let text = summary_table(&records(3), true);
    line(&text, &["avx2", "\u{1b}[31mfailed\u{1b}[0m"]);
    line(&text, &["avx512vnni", "\u{1b}[33mmistrusted\u{1b}[0m"]);
    line(&text, &["scalar", "\u{1b}[32mpassed\u{1b}[0m"]);
}

#[test]
fn skipped_rows_are_counted_by_reason_and_fill_no_table() {
    let skipped = |case: &str, kernel: &str| {
        let mut record = base_record("linear", case, kernel, &[]);
        record.verdict = Verdict::Skipped;
        record.skip = Some(SkipKind::Hardware);
        record.reason = "no AVX-512".into();
        record
    };
    let records = [skipped("a", "avx512vnni"), skipped("b", "avx512vnni"), skipped("b", "amx")];
    let text = summary_table(&records, false);
    assert!(text.contains("skipped linear avx512vnni: no AVX-512 (2 cases)\n"), "{text}");
    assert!(text.contains("skipped linear amx: no AVX-512 (1 case)\n"));
    assert!(text.contains("3 results: 3 skipped"));
    assert!(!text.contains("kernel"), "there is no table to head");
    assert_eq!(table_markdown(&records), "");
}

#[test]
fn columns_nobody_filled_are_not_printed() {
    let mut record = base_record("linear", "linear/m=1", "scalar", &[("m", "1")]);
    record.agreement = Some(Agreement { error_over_bound: 0.25, ..Agreement::default() });
    let text = summary_table(&[record.clone()], false);
    assert_eq!(
        text.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["kernel", "verdict", "err/bound"]
    );
    assert!(table_markdown(&[record]).contains("| m=1 | scalar | passed | 0.25 |"));
}

#[test]
fn the_summary_begins_with_failures_and_how_to_run_them_again() {
    let records = records(8);
    let text = summary_md(&run(), &records, &lowbit_reports::plot::charts(&records).unwrap());
    let command = format!("lowbit check --case '{FAILING}' --kernel avx2");
    let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{needle} in\n{text}"));
    assert!(at("# smoke") < at("GEMV and small GEMM"));
    assert!(at("GEMV and small GEMM") < at("lowbit run smoke"));
    assert!(at(&command) < at("faster than the roof"), "failed before mistrusted");
    assert!(at(&command) < at("## Verdicts"));
    assert!(
        at("3 of 4096 elements differ")
            < at("rho.mean_abs_error = 0.8459, allowed at most 0.02 (reported)")
    );
    assert!(at("## Verdicts") < at("![Speed of linear by kernel](charts/speed_linear.png)"));
    at("- linear cube-wgpu: sign1 weights are not packed for the device (2 cases)");
    at("| cpu | Imaginary 2-core \\| AVX-512 VNNI |");
    at("| int8 dot | 2 | 812.0 GOPS |");
    at("## How to read this");
}

#[test]
fn the_verdict_matrix_counts_cases_and_not_records() {
    let text = summary_md(&run(), &records(8), &[]);
    assert!(text.contains("| linear | scalar | 8 | · | · | · | · | · |"), "{text}");
    assert!(text.contains("| linear | avx2 | 7 | 1 | · | · | · | · |"));
    assert!(text.contains("| linear | avx512vnni | 7 | · | 1 | · | · | · |"));
    assert!(text.contains("| linear | cube-wgpu | 6 | · | · | 2 | · | · |"));
    assert!(!text.contains("## Charts"));
}

#[test]
fn a_run_without_failures_says_so_and_an_empty_one_too() {
    let passed = [base_record("linear", "linear/m=1", "scalar", &[])];
    assert!(
        summary_md(&run(), &passed, &[]).contains("Every row that ran agreed with the reference.")
    );
    assert!(summary_md(&run(), &[], &[]).contains("No row ran."));
}

#[test]
fn labels_say_what_differs_and_common_says_the_rest() {
    let record = |rule: &str, m: &str, data: [(&str, &str); 2]| -> Record {
        let mut record = base_record(
            "linear",
            "",
            "",
            &[
                ("weight", "ternary2"),
                ("weight_rule", rule),
                ("activation", "int8"),
                ("m", m),
                ("k", "64"),
            ],
        );
        record.parameters.extend(data.map(|(k, v)| (k.to_owned(), v.to_owned())));
        record
    };
    let normal = [("data", "realistic"), ("distribution", "normal")];
    let file = [("data", "file"), ("tensor", "query.weight")];
    let records = [record("b158", "1", normal), record("twn", "8", file)];
    let labels = Labels::new(&records);
    assert_eq!(labels.common(), ["activation=int8", "k=64"]);
    assert_eq!(labels.line(&records[0]), "ternary2 (b158), m=1, normal");
    assert_eq!(labels.line(&records[1]), "ternary2 (twn), m=8, query.weight");
    let alone = Labels::new(&records[..1]);
    assert_eq!(alone.line(&records[0]), "ternary2 (b158) x int8, m=1 k=64");
    assert_eq!(alone.common(), ["data=realistic", "distribution=normal"]);
}
