//! Goals and what was reached: numbers by hand, and what is missing said as such.
use crate::gallery::{base_record, records};
use lowbit_reports::goals::{Goal, Of, Subject, goals_csv, goals_markdown, goals_table, outcomes};
use lowbit_reports::plot::peer_charts;
use lowbit_reports::record::{Cache, Clock, Record, Roof, SkipKind, Timing, Verdict, Work};
use lowbit_reports::{RunInfo, write_report};

fn timed(kernel: &str, case: &str, threads: u32, rounds: &[f64]) -> Record {
    let m = case.trim_start_matches("linear/m=");
    let mut record = base_record("linear", case, kernel, &[("m", m), ("weight", "int8")]);
    record.threads = Some(threads);
    (record.cache, record.clock) = (Some(Cache::Hot), Some(Clock::Wall));
    let samples_ns: Vec<f64> = rounds.iter().flat_map(|ns| [*ns, *ns]).collect();
    record.timing = Some(Timing {
        round_samples: vec![2; rounds.len()],
        median_ns: lowbit_reports::stats::median(&samples_ns),
        samples_ns,
        ..Timing::default()
    });
    record.work = Some(Work { macs: 1000, bytes_read: 100, bytes_written: 10 });
    let limits_ns = [("int8 dot".to_owned(), 60.0), ("read".to_owned(), 20.0)].into();
    record.roof = Some(Roof { roof: "int8 dot".into(), roof_ns: 60.0, limits_ns });
    record
}

fn run() -> Vec<Record> {
    let mut skipped = base_record("linear", "linear/m=1", "old", &[("m", "1")]);
    (skipped.verdict, skipped.skip) = (Verdict::Skipped, Some(SkipKind::Hardware));
    skipped.reason = "no such instructions".into();
    let mut mistrusted = timed("fast", "linear/m=1", 1, &[10.0]);
    (mistrusted.verdict, mistrusted.reason) = (Verdict::Mistrusted, "600 % of the roof".into());
    vec![
        timed("ours", "linear/m=1", 1, &[100.0, 200.0, 80.0]),
        timed("ours", "linear/m=1", 2, &[50.0, 100.0, 50.0]),
        timed("peer", "linear/m=1", 1, &[150.0, 320.0, 100.0]),
        timed("ours", "linear/m=9", 1, &[95.0]),
        skipped,
        mistrusted,
    ]
}

fn subject(kernel: &str, threads: u32) -> Subject {
    Subject { case: "linear/m=1".into(), kernel: kernel.into(), threads, cache: Cache::Hot }
}

fn goal(of: Of, at_least: f64) -> Goal {
    Goal { subject: subject("ours", 1), of, at_least }
}

fn limit(name: &str) -> Of {
    Of::Limit(name.into())
}

#[test]
fn a_device_is_asked_by_its_own_clock_where_all_that_is_compared_has_one() {
    let with_device = |kernel: &str, wall: f64, device: f64| {
        let wall = timed(kernel, "linear/m=1", 1, &[wall]);
        let mut own = timed(kernel, "linear/m=1", 1, &[device]);
        own.clock = Some(Clock::Device);
        [wall, own]
    };
    let mut records = run();
    records.extend(with_device("gpu", 90.0, 30.0));
    records.extend(with_device("gpu-peer", 80.0, 60.0));
    let of = |other: Of| Goal { subject: subject("gpu", 1), of: other, at_least: 0.5 };
    let goals = [
        of(limit("read")),
        of(Of::Subject(subject("gpu-peer", 1))),
        of(Of::Subject(subject("ours", 1))),
    ];
    let found = outcomes(&goals, &records);
    let reached: Vec<f64> = found.iter().map(|o| o.reached.as_ref().unwrap().median).collect();
    // 20 / 30 and 60 / 30 by the device; a row of the processor has only 100 by the host, to 90.
    assert_eq!(reached, [20.0 / 30.0, 2.0, 100.0 / 90.0]);
    let clocks: Vec<Clock> = found.iter().map(|o| o.clock).collect();
    assert_eq!(clocks, [Clock::Device, Clock::Device, Clock::Wall]);
    let table = goals_table(&found);
    assert!(table.contains("x, device clock"), "{table}");
}

#[test]
fn each_kind_of_goal_is_reached_as_counted_by_hand() {
    let records = run();
    let mut two = goal(Of::Subject(subject("ours", 1)), 1.85);
    two.subject.threads = 2;
    let other = Subject { case: "linear/m=9".into(), ..subject("ours", 1) };
    let goals = [
        goal(limit("int8 dot"), 0.65),
        goal(limit("roof"), 0.6),
        goal(limit("read"), 0.2),
        goal(Of::Subject(subject("peer", 1)), 1.5),
        two,
        goal(Of::Subject(other), 0.95),
    ];
    let found = outcomes(&goals, &records);
    // Rounds of ours: 100, 200, 80. Shares of 60: 0.6, 0.3, 0.75.
    let reached: Vec<_> = found
        .iter()
        .map(|o| o.reached.as_ref().map(|r| (r.median, r.least, r.most)).unwrap())
        .collect();
    assert_eq!(reached[0], (0.6, 0.3, 0.75));
    assert_eq!(reached[2], (0.2, 0.1, 0.25));
    // Round by round 150 / 100, 320 / 200, 100 / 80.
    assert_eq!(reached[3], (1.5, 1.25, 1.6));
    assert_eq!(reached[4], (2.0, 1.6, 2.0));
    // The other case has one round: medians of all samples, 95 / 100.
    assert_eq!(reached[5], (0.95, 0.95, 0.95));
    let met: Vec<_> = found.iter().map(|o| o.met()).collect();
    assert_eq!(met, [false, true, true, true, true, true]);
    assert!((found[0].ratio().unwrap() - 0.6 / 0.65).abs() < 1e-12);
    let table = goals_table(&found);
    for text in [
        "ours, 1 thread, hot: at least 65.0 % of int8 dot",
        "60.0 % (30.0 % to 75.0 %)",
        "at least 1.50x the speed of peer",
        "1.50x (1.25x to 1.60x)",
        "ours, 2 threads, hot: at least 1.85x the speed of 1 thread",
        "at least 0.950x the speed of linear m=9",
        "6 goals: 5 met, 1 not met, 0 unknown",
    ] {
        assert!(table.contains(text), "{text} in\n{table}");
    }
    assert_eq!(table.matches("linear m=1\n").count(), 1, "a case stands above its goals:\n{table}");
}

#[test]
fn what_is_missing_or_mistrusted_is_said_and_never_met() {
    let records = run();
    let mut goals = vec![
        goal(Of::Subject(subject("rten-gemm", 1)), 1.0),
        goal(Of::Subject(subject("old", 1)), 1.0),
        goal(Of::Subject(subject("fast", 1)), 1.0),
        goal(Of::Subject(subject("peer", 2)), 1.0),
        goal(limit("f32 FMA"), 0.1),
    ];
    goals.push(goal(limit("roof"), 0.1));
    goals[5].subject.case = "linear/m=7".into();
    let found = outcomes(&goals, &records);
    let reasons: Vec<_> = found.iter().map(|o| o.reached.clone().unwrap_err()).collect();
    assert_eq!(
        reasons[0],
        "no record of rten-gemm (a peer needs --features peers, or lowbit merge)"
    );
    assert_eq!(reasons[1], "old skipped: no such instructions");
    assert_eq!(reasons[2], "fast mistrusted: 600 % of the roof");
    assert_eq!(reasons[3], "peer was not timed with 2 threads, hot");
    assert_eq!(reasons[4], "f32 FMA is no limit of this case");
    assert!(reasons[5].starts_with("no record of ours"));
    assert_eq!(found[5].case, "linear/m=7", "the id, where no record knows the case");
    assert!(found.iter().all(|o| !o.met() && o.ratio().is_none()));
    assert!(goals_table(&found).contains("6 goals: 0 met, 0 not met, 6 unknown"));
    let csv = goals_csv(&found).unwrap();
    assert_eq!(csv.lines().count(), 7);
    assert!(
        csv.lines().nth(2).unwrap().ends_with(",unknown,wall,old skipped: no such instructions"),
        "{csv}"
    );
}

#[test]
fn without_goals_there_is_nothing_and_with_them_a_file_a_section_and_a_chart() {
    assert!(goals_table(&[]).is_empty() && goals_markdown(&[]).is_empty());
    let folder = std::env::temp_dir().join(format!("lowbit-goals-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let info = RunInfo {
        goals: vec![goal(limit("roof"), 0.5), goal(Of::Subject(subject("peer", 1)), 1.5)],
        peers: vec!["peer".into()],
        ..RunInfo::default()
    };
    let written = write_report(&folder, &info, &run()).unwrap();
    let names: Vec<_> = written.iter().map(|p| p.file_name().unwrap().to_string_lossy()).collect();
    for name in ["goals.csv", "peers_1_thread.svg", "peers_2_threads.png"] {
        assert!(names.iter().any(|n| n == name), "{name} in {names:?}");
    }
    let summary = std::fs::read_to_string(folder.join("summary.md")).unwrap();
    assert!(
        summary.contains("## Goals\n\n2 goals: 2 met") && summary.contains("peers_1_thread.png")
    );
    let samples = std::fs::read_to_string(folder.join("samples.csv")).unwrap();
    let third = "linear/m=1,ours,1,hot,wall,2,4,80";
    assert!(samples.lines().any(|line| line == third), "{samples}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn texts_of_the_peers_chart_stay_apart() {
    let records = records(9);
    let cases: std::collections::BTreeSet<_> = records.iter().map(|r| r.case.clone()).collect();
    let of = |case: &String| Goal {
        subject: Subject { case: case.clone(), ..subject("avx512vnni", 1) },
        of: limit("roof"),
        at_least: 0.9,
    };
    let info = RunInfo {
        goals: cases.iter().map(of).collect(),
        peers: vec!["burn".into(), "ste".into()],
        ..RunInfo::default()
    };
    let charts = peer_charts(&records, &info).unwrap();
    assert_eq!(charts.len(), 2);
    for chart in charts {
        assert_eq!(chart.collisions().unwrap(), Vec::<String>::new(), "{}", chart.name);
    }
}
