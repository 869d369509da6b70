//! Rounds, goals and random cases, with rows that go wrong in the middle of them.
use crate::{DRIVERS, HEAP, SCENARIO, lowbit};
use lowbit_harness::driver::{Task, bench};
use lowbit_harness::files::Disk;
use lowbit_harness::protocol::{Depth, Reply, Settings};
use lowbit_reports::record::{Cache, Record, Verdict};
use std::process::Output;

/// In which order rows begin something: their check, a round, the last check, their records.
fn begun(rounds: u32) -> Vec<String> {
    // A thread joins one pool in its life.
    std::thread::spawn(move || begun_here(rounds)).join().expect("a thread")
}

fn begun_here(rounds: u32) -> Vec<String> {
    let mut bench = bench(1, &Disk, &HEAP).expect("a bench");
    let case = "rho_unpack/format=int8/elements=64/data=exact/seed=1".parse().expect("a case");
    let limits = (3, 3, 1.0, 0.5);
    let (min_samples, max_samples, max_seconds, interval) = limits;
    let caches = vec![Cache::Hot];
    let settings = Settings { caches, rounds, min_samples, max_samples, max_seconds, interval };
    let rows = ["good", "last"].map(str::to_owned);
    let depth = Depth::Times(settings);
    let task = Task { case: &case, rows: &rows, depth: &depth };
    let mut begun = Vec::new();
    let mut note = |reply| {
        if let Reply::Started { kernel } = reply {
            begun.push(kernel);
        }
    };
    DRIVERS[0].run(&task, &mut bench, &mut note).expect("a run");
    begun
}

pub(crate) fn order() {
    assert_eq!(begun(3), ["good", "last"].repeat(1 + 3 + 1 + 1));
    assert_eq!(begun(1), [["good"; 4], ["last"; 4]].concat());
}

/// The scenario with rounds, and goals that one row reaches and another does not.
fn in_rounds(goals: &str) -> String {
    SCENARIO
        .replace("\"threads\": [1]", "\"rounds\": 3, \"threads\": [1]")
        .replace("\"measure\"", &format!("{goals}\"measure\""))
}

const GOALS: &str = r#""goals": [
    { "row": "good", "of": { "kernel": "last" }, "at_least": 0.0001 },
    { "row": "good", "of": { "kernel": "last" }, "at_least": 900, "where": "elements == 64" }
  ], "#;

/// Run a scenario's text and answer the process's output and its records.
fn run_text(text: &str, arguments: &[&str]) -> (tempfile::TempDir, Output, Vec<Record>) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("s.json"), text).expect("written");
    let fixed = ["run", "s.json", "--out", "out"];
    let output = lowbit(folder.path(), &[&fixed, arguments].concat());
    let path = folder.path().join("out/records.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let records = Record::parse_lines(&text).expect("records");
    (folder, output, records)
}

pub(crate) fn turns() {
    let rows = "{good,tires,fails,aborts,gain,last}";
    let (folder, output, records) = run_text(&in_rounds(""), &["--kernel", rows]);
    assert_eq!(output.status.code(), Some(8));
    let expected = [
        ("good", Verdict::Passed),
        ("aborts", Verdict::Crashed),
        ("gain", Verdict::Failed),
        ("tires", Verdict::Failed),
        ("fails", Verdict::Failed),
        ("last", Verdict::Passed),
    ];
    let seen: Vec<_> = records.iter().map(|r| (r.kernel.as_str(), r.verdict)).collect();
    assert_eq!(seen, expected.repeat(2));
    for record in &records {
        let rounds = record.timing.as_ref().map(|t| t.rounds().len());
        let timed = (record.verdict == Verdict::Passed).then_some(3);
        assert_eq!(rounds, timed, "{record:?}");
    }
    let samples = std::fs::read_to_string(folder.path().join("out/samples.csv")).expect("samples");
    assert!(samples.starts_with("case,kernel,threads,cache,clock,round,sample,ns"), "{samples}");
    assert!(samples.lines().any(|line| line.contains(",wall,2,")), "{samples}");
}

pub(crate) fn late_death() {
    let (_folder, output, records) =
        run_text(&in_rounds(""), &["--kernel", "{good,dies_late,last}"]);
    assert_eq!(output.status.code(), Some(8));
    let seen: Vec<_> = records.iter().map(|r| (r.kernel.as_str(), r.verdict)).collect();
    let expected =
        [("good", Verdict::Passed), ("last", Verdict::Passed), ("dies_late", Verdict::Crashed)];
    assert_eq!(seen, expected.repeat(2));
    for record in records.iter().filter(|r| r.kernel != "dies_late") {
        let rounds = record.timing.as_ref().map(|t| t.rounds().len());
        assert_eq!(rounds, Some(3), "{record:?}");
    }
}

pub(crate) fn goals() {
    let text = in_rounds(GOALS);
    let (folder, output, _) = run_text(&text, &["--kernel", "{good,last}"]);
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("3 goals: 2 met, 1 not met, 0 unknown"), "{printed}");
    let csv = std::fs::read_to_string(folder.path().join("out/goals.csv")).expect("goals");
    assert_eq!(csv.lines().count(), 4);
    // The report judges them anew.
    let again = lowbit(folder.path(), &["report", "out"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("3 goals: 2 met"));
    let enforced = run_text(&text, &["--kernel", "{good,last}", "--enforce-goals"]).1;
    assert_eq!(enforced.status.code(), Some(3));
    let missing = run_text(&text, &["--kernel", "good"]).1;
    assert_eq!(missing.status.code(), Some(0));
    let printed = String::from_utf8_lossy(&missing.stdout).into_owned();
    assert!(printed.contains("no record of last"), "{printed}");
}

pub(crate) fn seeds() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("s.json"), SCENARIO).expect("written");
    let check = |rows: &str| {
        let arguments = ["check", "s.json", "--seeds", "5", "--out", "o", "--kernel", rows];
        let output = lowbit(folder.path(), &arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = check("{good,last}");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("0 results did not pass"), "{text}");
    let (code, text) = check("{good,gain}");
    assert_eq!(code, Some(4), "{text}");
    let reproducer = text.lines().find(|line| line.contains("lowbit check --case")).expect("one");
    let case = reproducer.split('\'').nth(1).expect("an id");
    let again = lowbit(folder.path(), &["check", "--case", case, "--kernel", "gain"]);
    assert_eq!(again.status.code(), Some(4), "{case}");
    // What was made small is in the folder.
    let files = std::fs::read_dir(folder.path().join("o/failures")).expect("files");
    assert!(files.count() > 0, "{text}");
    assert_eq!(check("aborts").0, Some(8));
    let (code, text) = check("{good,refuses}");
    assert_eq!(code, Some(7), "{text}");
    assert!(
        text.contains("fell short: refuses of rho_unpack: 0 of 5; last refusal: accepts nothing")
    );
}
