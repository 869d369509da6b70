//! The binary as a user meets it.
use lowbit_kernels::hardware::{Hardware, Need};
use lowbit_reports::record::{Record, SkipKind, Verdict};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Run from the root of the repository, where paths in scenarios begin.
fn lowbit(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowbit"));
    command.args(arguments).current_dir(root()).output().expect("lowbit")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const CASE: &str = "linear/weight=ternary2/activation=int8/weight_rule=b158/\
                    activation_rule=absmax/m=3/k=130/n=17/data=exact/seed=7";

/// Rows whose threads are the pool's: their answers must not depend on how many there are.
const NATIVE: &str = "{scalar,avx2,avx512vnni}";

/// Ops of each kind; that a row answers the same on other threads is checked with each of its cases.
const OPS: &str = "{linear,conv2d,attention,quantize_weight,rho_pack,rho_drift,fake_quantize}";

/// Whether the processor lacks what a native row needs.
fn is_absent(row: &str) -> bool {
    let need = match row {
        "avx2" => Need::Avx2,
        "avx512vnni" => Need::Avx512Vnni,
        _ => Need::Nothing,
    };
    Hardware::detect().has(need).is_err()
}

#[test]
fn records_of_a_check_do_not_depend_on_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let run = |threads: &str| {
        let out = folder.path().join(threads);
        let suite = "scenarios/suites/smoke.json";
        let out_text = out.to_string_lossy().into_owned();
        let rows = ["check", suite, "--kernel", NATIVE, "--op", OPS];
        let output = lowbit(&[&rows[..], &["--threads", threads, "--out", &out_text]].concat());
        assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
        std::fs::read(out.join("records.jsonl")).unwrap()
    };
    let one = run("1");
    assert!(one == run("2"), "records.jsonl differs between 1 and 2 threads");
    let records = Record::parse_lines(std::str::from_utf8(&one).unwrap()).unwrap();
    // A row may be outside its contract (one packs a single layout), and its instructions may be
    // missing here, but none goes wrong.
    let right = |r: &Record| match r.verdict {
        Verdict::Passed => true,
        Verdict::Skipped => (r.skip == Some(SkipKind::Hardware)) == is_absent(&r.kernel),
        _ => false,
    };
    let passed = records.iter().filter(|r| r.verdict == Verdict::Passed).count();
    assert!(passed > 100 && records.iter().all(right));
    assert!(records.iter().all(|r| r.bytes.is_some_and(|b| b.workspace_bytes.is_none())));
}

#[test]
fn every_listed_id_is_a_case_that_lists_itself() {
    let listed = stdout(&lowbit(&["list", "scenarios/suites/smoke.json"]));
    let ids: Vec<_> = listed.lines().collect();
    assert!(ids.len() > 50);
    for id in ids.iter().step_by(7) {
        assert_eq!(stdout(&lowbit(&["list", "--case", id])).trim_end(), *id);
    }
}

#[test]
fn a_typo_in_an_id_says_which_part_is_wrong() {
    let output = lowbit(&["check", "--case", &CASE.replace("ternary2", "ternery2")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean `ternary2`?"), "{}", stderr(&output));
    let output = lowbit(&["check", "--case", CASE, "--kernel", "avx3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("--kernel `avx3` matches nothing (did you mean `avx2`?)"),
        "{}",
        stderr(&output)
    );
    assert_eq!(lowbit(&["check"]).status.code(), Some(2));
}

#[test]
fn a_typo_in_a_scenario_names_its_place_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("typo.json");
    let text = "{\n  \"about\": \"a typo\",\n  \"sweeps\": [{ \"name\": \"s\", \"op\": \"linear\",\n    \
                \"product\": { \"weigth\": [\"int8\"] } }]\n}\n";
    std::fs::write(&path, text).unwrap();
    let out = folder.path().join("out");
    let output = lowbit(&["run", &path.to_string_lossy(), "--out", &out.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains(&format!("{}:4:18: ", path.display())), "{message}");
    assert!(message.contains("did you mean `weight`?"), "{message}");
    assert!(!out.exists());
}

#[test]
fn missing_vulkan_is_said_and_only_an_error_when_required() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lowbit"));
        let command = command.args(arguments).current_dir(root());
        let nowhere = "/nonexistent/icd.json";
        command.env("VK_DRIVER_FILES", nowhere).env("VK_ICD_FILENAMES", nowhere).output().unwrap()
    };
    let doctor = run(&["doctor", "--no-peaks"]);
    assert_eq!(doctor.status.code(), Some(0), "{}", stderr(&doctor));
    assert!(stdout(&doctor).contains("cube-wgpu    cannot run: "), "{}", stdout(&doctor));
    let check = run(&["check", "--case", CASE]);
    assert_eq!(check.status.code(), Some(0), "{}{}", stdout(&check), stderr(&check));
    assert!(stdout(&check).contains("cube-wgpu"), "{}", stdout(&check));
    let required = run(&["check", "--case", CASE, "--require", "wgpu"]);
    assert_eq!(required.status.code(), Some(8));
    assert!(stderr(&required).contains("required hardware is missing: wgpu"));
    assert_eq!(run(&["doctor", "--no-peaks", "--require", "wgpu"]).status.code(), Some(8));
}

#[test]
fn lists_count_cost_and_speak_json() {
    let nightly = "scenarios/suites/nightly.json";
    let count = stdout(&lowbit(&["list", nightly, "--count"]));
    assert!(count.lines().last().unwrap().starts_with("total"), "{count}");
    let json = stdout(&lowbit(&["list", "--case", CASE, "--json"]));
    let value: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!((&value["op"], &value["macs"]), (&"linear".into(), &(3 * 130 * 17).into()));
    let cost = stdout(&lowbit(&["list", "--case", CASE, "--cost"]));
    assert!(cost.contains("GMAC"), "{cost}");
}

#[test]
fn help_and_schema_are_worth_reading() {
    for command in ["run", "check", "measure", "list", "report", "doctor", "schema"] {
        let output = lowbit(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).lines().count() >= 5, "{command}");
    }
    assert!(stdout(&lowbit(&["--help"])).contains("Exit codes: 0 ok; 2 bad command line"));
    let schema: serde_json::Value =
        serde_json::from_str(&stdout(&lowbit(&["schema"]))).expect("JSON");
    assert!(schema.get("$schema").is_some());
}

#[test]
fn random_cases_are_drawn_until_every_row_has_had_its_share() {
    let suite = "scenarios/suites/smoke.json";
    let run = |seed: &str, arguments: &[&str]| {
        let fixed = [suite, "--seeds", "3", "--seed", seed, "--op", "rho_{pack,unpack}"];
        lowbit(&[arguments, &fixed].concat())
    };
    let listed = stdout(&run("5", &["list"]));
    assert_eq!(listed.lines().count(), 6, "{listed}");
    assert_eq!(listed, stdout(&run("5", &["list"])));
    assert_ne!(listed, stdout(&run("6", &["list"])));
    let output = run("5", &["check", "--kernel", NATIVE]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    let counts: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("rho_"))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(counts.len() >= 4, "{text}");
    // A row whose instructions are missing here is skipped, and that is no failure.
    let skipped = |row: &[&str]| text.contains(&format!("skipped: {} of {}: no ", row[1], row[0]));
    for row in &counts {
        let accepted = if is_absent(row[1]) { "0" } else { "3" };
        assert_eq!((row[2], row[3], skipped(row)), (accepted, "0", is_absent(row[1])), "{text}");
    }
    assert_eq!(lowbit(&["check", "--case", CASE, "--seeds", "3"]).status.code(), Some(2));
}

/// The verdict of each gate stands beside the other's: a magnitude of 300 breaks the absolute limits
/// of int8 and not the relative one; ternary codes break both at any.
#[test]
fn both_gates_of_rho_name_every_limit_that_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let broken = |name: &str, format: &str, enforce: &str| {
        let scenario = format!(
            r#"{{"about": "x", "sweeps": [{{"name": "s", "op": "rho_pack", "kernels": "scalar",
                "product": {{"elements": 4096, "data": "realistic", {format}}},
                "gate": {{{enforce}}}}}]}}"#
        );
        let (path, out) = (folder.path().join("s.json"), folder.path().join(name));
        std::fs::write(&path, scenario).unwrap();
        let (path, out) = (path.to_string_lossy(), out.to_string_lossy());
        let output = lowbit(&["check", &path, "--out", &out]);
        let text = std::fs::read_to_string(format!("{out}/records.jsonl")).unwrap();
        let records = Record::parse_lines(&text).unwrap();
        let names = records[0].violations.iter().map(|v| v.limit_name.clone());
        (output.status.code(), names.collect::<Vec<_>>())
    };
    let ternary = r#""format": "ternary""#;
    let absolute = ["rho.mean_abs_error", "rho.max_abs_error", "rho.rms_ratio"];
    let both: Vec<&str> = absolute.into_iter().chain(["rho.nmse", "rho.block_error"]).collect();
    let (code, names) = broken("a", ternary, "");
    assert_eq!((code, names), (Some(0), both.iter().map(|n| (*n).to_owned()).collect()));
    // Either may decide alone.
    let off = r#""rho": {"mode": "off"}, "rho_relative": {"mode": "enforce"}"#;
    let relative = both[3..].iter().map(|n| (*n).to_owned()).collect();
    assert_eq!(broken("b", ternary, off), (Some(5), relative));
    // And the worst block alone, where all of them are good enough on average.
    let worst = r#""rho": {"mode": "off"},
        "rho_relative": {"mode": "enforce", "nmse": 1.0, "block_error": 0.5}"#;
    assert_eq!(broken("e", ternary, worst), (Some(5), vec!["rho.block_error".to_owned()]));
    let large = r#""format": "int8", "sigma": 300.0"#;
    let names: Vec<String> = absolute[..2].iter().map(|n| (*n).to_owned()).collect();
    assert_eq!(broken("c", large, r#""rho": {"mode": "enforce"}"#), (Some(5), names));
    assert_eq!(broken("d", r#""format": "int8""#, ""), (Some(0), Vec::new()));
}

#[test]
fn every_fault_around_a_few_rows_is_caught() {
    let rows = ["--kernel", "plain", "--kernel", "scalar", "--kernel", "avx512vnni"];
    let ops = ["--op", "linear", "--op", "quantize_*", "--op", "*_projection", "--op", "rho_*"];
    let arguments = [&["mutate", "scenarios/suites/smoke.json"][..], &rows, &ops].concat();
    let output = lowbit(&arguments);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    let last = text.lines().last().unwrap_or_default();
    let numbers: Vec<usize> = last.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    let [caught, planted, rows, faults] = numbers[..] else { panic!("{last}") };
    assert!(caught == planted && planted > 300 && rows >= 10 && faults >= 30, "{last}");
}

#[test]
fn codes_that_no_case_holds_fail_a_sweep_that_claims_them() {
    let scenario = |codes: &str, size: &str| {
        format!(
            r#"{{ "about": "Codes.", "sweeps": [{{ "name": "few", "op": "quantize_weight",
            "product": {{ "weight": "int8", "weight_rule": "absmax", {size}, "data": "adversarial",
            "pattern": "near_ties" }}, "gate": {{ "codes": "{codes}" }}, "kernels": "scalar" }}] }}"#
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("codes.json");
    let check = |text: String| {
        std::fs::write(&path, text).unwrap();
        lowbit(&["check", &path.to_string_lossy()])
    };
    let few = check(scenario("enforce", r#""n": 2, "k": 16"#));
    assert_eq!(few.status.code(), Some(7), "{}", stdout(&few));
    assert!(stdout(&few).contains("codes: row scalar of quantize_weight"), "{}", stdout(&few));
    assert_eq!(check(scenario("report", r#""n": 2, "k": 16"#)).status.code(), Some(0));
    let all = check(scenario("enforce", r#""n": 16, "k": 512"#));
    assert_eq!(all.status.code(), Some(0), "{}", stdout(&all));
}
