//! Rows that abort, hang, panic, overrun, tire or lie: each must lose its own case and no other.
//!
//! This program is both sides: started by itself with a command of lowbit's, it is the suite with
//! a table of faulty rows; started by `cargo test`, it runs that and looks at what came out.
mod blind;
mod declared;
mod rounds;
mod small;
use libtest_mimic::{Arguments, Failed, Trial};
use lowbit_harness::driver::{Driver, OpDriver};
use lowbit_harness::memory::Counting;
use lowbit_kernels::buffer::Buffer;
use lowbit_kernels::context::Context;
use lowbit_kernels::{Failure, Kernel, Prepared};
use lowbit_reference::op::rho::unpack::{RhoUnpack, UnpackProblem};
use lowbit_reference::op::{Arithmetic, Op, Outputs, Tensor};
use lowbit_reports::record::{Record, Verdict};
use std::path::Path;
use std::process::{Command, ExitCode, Output};

#[global_allocator]
static HEAP: Counting = Counting::new();

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Aborts,
    Hangs,
    Panics,
    Overruns,
    Unwritten,
    Gain,
    Tires,
    Stale,
    Refuses,
    Fails,
    DiesLate,
    AbortsAbove50,
    HangsAbove50,
    WrongFrom33,
    Accumulates,
    PeerRefuses,
}

struct Row(&'static str, Fault);

static KERNELS: &[&dyn Kernel<RhoUnpack>] = &[
    &Row("good", Fault::None),
    &Row("aborts", Fault::Aborts),
    &Row("hangs", Fault::Hangs),
    &Row("panics", Fault::Panics),
    &Row("overruns", Fault::Overruns),
    &Row("unwritten", Fault::Unwritten),
    &Row("gain", Fault::Gain),
    &Row("tires", Fault::Tires),
    &Row("stale", Fault::Stale),
    &Row("refuses", Fault::Refuses),
    &Row("fails", Fault::Fails),
    &Row("last", Fault::None),
    &Row("dies_late", Fault::DiesLate),
    &Row("aborts_above_50", Fault::AbortsAbove50),
    &Row("hangs_above_50", Fault::HangsAbove50),
    &Row("wrong_from_33", Fault::WrongFrom33),
    &Row("accumulates", Fault::Accumulates),
    &Row("peer_refuses", Fault::PeerRefuses),
];
static DRIVERS: &[&dyn Driver] = &[
    &OpDriver::<RhoUnpack> { kernels: KERNELS },
    &OpDriver::<lowbit_reference::op::linear::Linear> { kernels: declared::KERNELS },
    &OpDriver::<blind::Blind> {
        kernels: &[&blind::Copy { brittle: false }, &blind::Copy { brittle: true }],
    },
];

impl Kernel<RhoUnpack> for Row {
    fn name(&self) -> &'static str {
        self.0
    }
    fn is_peer(&self) -> bool {
        self.1 == Fault::PeerRefuses
    }
    fn arithmetic(&self, _: &UnpackProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, _: &UnpackProblem) -> Result<(), String> {
        let refuses = matches!(self.1, Fault::Refuses | Fault::PeerRefuses);
        if refuses { Err("accepts nothing".into()) } else { Ok(()) }
    }
    fn prepare<'p>(
        &self,
        problem: &'p UnpackProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let want = RhoUnpack::reference(problem);
        let values = context.buffer("values", want.len());
        Ok(Box::new(Run { fault: self.1, want, values, launches: 0 }))
    }
}

struct Run {
    fault: Fault,
    want: Vec<f32>,
    values: Buffer<f32>,
    launches: usize,
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        self.launches += 1;
        let gain = match self.fault {
            Fault::AbortsAbove50 if self.want.len() <= 50 => 1.0,
            Fault::HangsAbove50 if self.want.len() <= 50 => 1.0,
            Fault::Aborts | Fault::AbortsAbove50 => std::process::abort(),
            Fault::Hangs | Fault::HangsAbove50 => loop {
                std::hint::spin_loop();
            },
            Fault::Panics => panic!("this row panics"),
            Fault::Fails => return Err(Failure("the device is gone".into())),
            Fault::Gain => 1.02,
            // After both checks and the first samples.
            Fault::DiesLate if self.launches > 30 => std::process::abort(),
            Fault::Stale if self.launches > 2 => return Ok(()),
            Fault::Tires if self.launches > 2 => 1.02,
            Fault::Accumulates => self.launches as f32,
            _ => 1.0,
        };
        let len = self.want.len();
        let written = if self.fault == Fault::Unwritten { len - 1 } else { len };
        for (value, want) in self.values[..written].iter_mut().zip(&self.want) {
            *value = gain * want;
        }
        if self.fault == Fault::WrongFrom33 {
            self.values[32.min(len)..].iter_mut().for_each(|value| *value = -*value);
        }
        if self.fault == Fault::Overruns {
            // SAFETY: one element past the payload is inside the guard band; that is the test.
            unsafe { self.values.as_mut_ptr().add(len).write(1.0) };
        }
        Ok(())
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.values.fill(f32::NAN);
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("values", Tensor::F32(self.values.to_vec()))]))
    }
}

fn main() -> ExitCode {
    let commands = ["worker", "check", "measure", "run", "list", "report", "mutate"];
    if std::env::args().nth(1).is_some_and(|first| commands.contains(&first.as_str())) {
        return lowbit_harness::cli::main(DRIVERS, &HEAP);
    }
    let trials: [(&str, fn()); 21] = [
        ("what_a_row_declares_of_its_bits_is_put_to_the_test", declared::declarations),
        ("a_kernel_that_is_not_built_has_no_time", declared::no_time_for_what_is_not_built),
        ("rounds_of_all_rows_alternate", rounds::order),
        ("each_fault_loses_its_own_rows_and_no_other", each_fault_loses_its_own_rows),
        ("each_fault_ends_in_the_right_exit_code", exit_codes),
        ("what_fails_has_no_time_and_is_named_with_a_command", no_time_for_what_fails),
        ("a_row_that_goes_wrong_while_it_is_timed_is_caught", tires),
        ("a_folder_that_holds_a_run_is_refused", refused_folder),
        ("wrong_answers_that_a_sweep_only_reports_do_not_decide", reported_only),
        ("a_report_is_made_of_an_interrupted_run", interrupted),
        ("rows_take_turns_and_a_crash_costs_the_row_whose_turn_it_was", rounds::turns),
        ("a_row_that_dies_in_a_later_round_loses_itself_alone", rounds::late_death),
        ("goals_are_printed_and_decide_only_when_enforced", rounds::goals),
        ("random_cases_find_the_faulty_row_and_name_the_case", rounds::seeds),
        ("a_fault_that_the_check_cannot_see_survives", blind::survivors),
        ("a_fault_that_kills_the_row_has_been_noticed", blind::deaths),
        ("a_wrong_row_leaves_a_small_case_and_its_data", small::wrong),
        ("a_crash_becomes_small_in_workers", small::aborts),
        ("silence_becomes_small_in_workers", small::hangs),
        ("what_was_left_is_replayed_by_later_checks", small::replayed),
        ("a_missing_file_is_an_error_of_the_case_alone", missing_file),
    ];
    let trial = |(name, body): (&str, fn())| {
        Trial::test(name, move || std::panic::catch_unwind(body).map_err(message))
    };
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().map(trial).collect()).exit_code()
}

fn message(payload: Box<dyn std::any::Any + Send>) -> Failed {
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    Failed::from(text.unwrap_or_else(|| "panicked".into()))
}

/// Two cases, and little time to answer.
pub(crate) const SCENARIO: &str = r#"{
  "about": "Faulty rows.",
  "sweeps": [{
    "name": "faults", "op": "rho_unpack",
    "product": { "format": ["int8"], "elements": [64, 4096], "data": ["realistic"], "seed": [1] },
    "measure": { "threads": [1], "cache": ["hot"], "min_samples": 3, "max_samples": 10,
                 "max_seconds": 0.05, "interval": 0.5, "time_limit_seconds": 2 }
  }]
}"#;

pub(crate) fn lowbit(folder: &Path, arguments: &[&str]) -> Output {
    let program = std::env::current_exe().expect("this program");
    Command::new(program).args(arguments).current_dir(folder).output().expect("lowbit")
}

/// Run the scenario into `out` and answer the process's output and its records.
fn run(verb: &str, rows: &str) -> (tempfile::TempDir, Output, Vec<Record>) {
    // Rows that do nothing are above the roof, and measuring the peaks again takes some seconds.
    let limit = if verb == "run" { "60" } else { "2" };
    let text =
        SCENARIO.replace("\"time_limit_seconds\": 2", &format!("\"time_limit_seconds\": {limit}"));
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("s.json"), text).expect("written");
    let output =
        lowbit(folder.path(), &[verb, "s.json", "--out", "out", "--kernel", rows, "--shrink", "0"]);
    let path = folder.path().join("out/records.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let records = Record::parse_lines(&text).expect("records");
    (folder, output, records)
}

fn each_fault_loses_its_own_rows() {
    let (_folder, output, records) = run("check", "*");
    let expected = [
        ("good", Verdict::Passed, ""),
        ("aborts", Verdict::Crashed, "died of signal 6 (abort)"),
        ("hangs", Verdict::Crashed, "no answer within 2 s; killed"),
        ("panics", Verdict::Crashed, "this row panics"),
        ("overruns", Verdict::Failed, "wrote past the end of buffer `values`"),
        ("unwritten", Verdict::Failed, "must be"),
        ("gain", Verdict::Failed, "exactly"),
        ("tires", Verdict::Failed, "the same bits run to run"),
        ("stale", Verdict::Failed, "the same bits run to run"),
        ("refuses", Verdict::Skipped, "accepts nothing"),
        ("fails", Verdict::Failed, "the device is gone"),
        ("last", Verdict::Passed, ""),
        ("dies_late", Verdict::Passed, ""),
        ("aborts_above_50", Verdict::Crashed, "died of signal 6 (abort)"),
        ("hangs_above_50", Verdict::Crashed, "no answer within 2 s; killed"),
        ("wrong_from_33", Verdict::Failed, "must be"),
        ("accumulates", Verdict::Failed, "the same bits run to run"),
        ("peer_refuses", Verdict::Skipped, "accepts nothing"),
    ];
    assert_eq!(records.len(), 2 * expected.len(), "{}", String::from_utf8_lossy(&output.stdout));
    for (record, (kernel, verdict, reason)) in records.iter().zip(expected.iter().cycle()) {
        assert_eq!((record.kernel.as_str(), record.verdict), (*kernel, *verdict), "{record:?}");
        assert!(record.reason.contains(reason), "{kernel}: {}", record.reason);
    }
}

fn exit_codes() {
    let expected = [
        ("good", 0),
        ("overruns", 4),
        ("gain", 4),
        ("unwritten", 4),
        ("refuses", 9),
        ("{good,refuses}", 7),
        ("{good,peer_refuses}", 0),
        ("peer_refuses", 9),
        ("{gain,refuses}", 4),
        ("aborts", 8),
        ("hangs", 8),
        ("panics", 8),
        ("{aborts,gain}", 8),
        ("nothing", 2),
    ];
    for (rows, code) in expected {
        let (_folder, output, _) = run("check", rows);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{rows}: {text}");
    }
}

fn no_time_for_what_fails() {
    let (folder, output, records) = run("run", "{good,gain}");
    assert_eq!(output.status.code(), Some(4));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let case = &records[0].case;
    assert!(text.contains(&format!("lowbit check --case '{case}' --kernel gain")), "{text}");
    for record in &records {
        assert_eq!(record.timing.is_some(), record.kernel == "good", "{record:?}");
    }
    let csv = std::fs::read_to_string(folder.path().join("out/results.csv")).expect("results");
    let mut reader = csv.lines();
    let header: Vec<_> = reader.next().expect("a header").split(',').collect();
    let at = |key| header.iter().position(|h| *h == key).expect(key);
    let (kernel, median) = (at("kernel"), at("median_ns"));
    // No field before these two holds a comma.
    let rows: Vec<Vec<_>> = reader.map(|line| line.split(',').collect()).collect();
    assert!(rows.iter().any(|row| row[kernel] == "good" && !row[median].is_empty()), "{csv}");
    assert!(rows.iter().all(|row| row[kernel] != "gain" || row[median].is_empty()), "{csv}");
}

fn tires() {
    let (_folder, output, records) = run("run", "{tires,stale}");
    assert_eq!(output.status.code(), Some(4));
    assert_eq!(records.len(), 4);
    for record in records {
        assert_eq!(record.verdict, Verdict::Failed);
        assert!(record.reason.starts_with("the last timed output: "), "{}", record.reason);
        assert!(record.timing.is_none());
    }
}

fn refused_folder() {
    let (folder, output, _) = run("check", "good");
    assert_eq!(output.status.code(), Some(0));
    let again = lowbit(folder.path(), &["check", "s.json", "--out", "out"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("already holds records.jsonl"));
}

fn reported_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let gate = "\"gate\": { \"correctness\": \"report\" },\n    \"measure\"";
    std::fs::write(folder.path().join("r.json"), SCENARIO.replace("\"measure\"", gate))
        .expect("ok");
    std::fs::write(folder.path().join("s.json"), SCENARIO).expect("ok");
    let code = |files: &[&str]| {
        let output = lowbit(folder.path(), &[&["check", "--kernel", "gain"], files].concat());
        output.status.code()
    };
    assert_eq!(code(&["r.json"]), Some(0));
    // One file that enforces decides, whichever comes last.
    assert_eq!(code(&["s.json", "r.json"]), Some(4));
    assert_eq!(code(&["r.json", "s.json"]), Some(4));
}

fn interrupted() {
    let (folder, _, records) = run("check", "good");
    let path = folder.path().join("out/records.jsonl");
    let text = std::fs::read_to_string(&path).expect("records");
    std::fs::write(&path, &text[..text.len() - 50]).expect("written");
    let output = lowbit(folder.path(), &["report", "out"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the last record is torn"));
    let csv = std::fs::read_to_string(folder.path().join("out/results.csv")).expect("results");
    assert_eq!(csv.lines().count(), records.len());
    std::fs::write(&path, "").expect("written");
    assert_eq!(lowbit(folder.path(), &["report", "out"]).status.code(), Some(9));
}

fn missing_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = "rho_unpack/format=int8/elements=8/data=file/file=no.safetensors/tensor=t/seed=1";
    let good = "rho_unpack/format=int8/elements=8/data=exact/seed=1";
    let arguments = ["check", "--case", case, "--case", good, "--kernel", "good", "--out", "out"];
    let output = lowbit(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(8));
    let text = std::fs::read_to_string(folder.path().join("out/records.jsonl")).expect("records");
    let records = Record::parse_lines(&text).expect("records");
    let verdicts: Vec<_> = records.iter().map(|r| r.verdict).collect();
    assert_eq!(verdicts, [Verdict::Errored, Verdict::Passed]);
    assert!(records[0].reason.contains("no.safetensors"), "{}", records[0].reason);
}
