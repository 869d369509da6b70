//! The right kernel is accepted, the wrong one refused: in this process, and as rows of the binary.
use lowbit_harness::check_kernel;
use lowbit_harness::own::check_kernel_in;
use lowbit_harness::shrink::{Fault, steps};
use lowbit_own_kernel::{RIGHT, WRONG};
use std::process::Command;

#[test]
fn the_right_kernel_is_accepted() {
    let report = check_kernel(&RIGHT).unwrap_or_else(|refused| panic!("{refused}"));
    assert!(report.suite >= 8 && report.random >= 500, "{report}");
}

#[test]
fn the_wrong_kernel_is_refused_with_the_smallest_case() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = check_kernel_in(&WRONG, folder.path()).expect_err("a stage is missing");
    println!("{refused}");
    assert_eq!(refused.fault(), Some(Fault::Wrong));
    assert!(refused.minimal(), "{refused}");
    let smallest = refused.smallest().expect("a case");
    assert_eq!((smallest.number("m"), smallest.number("k")), (1, 64), "{refused}");
    assert!(!steps(smallest).is_empty());
    // The scenario and the data, of which one value is enough.
    assert_eq!(refused.files().len(), 2, "{refused}");
    assert!(refused.files().iter().all(|file| file.exists()));
    assert!(refused.to_string().contains("activation: 1 of 64 not zero"), "{refused}");
}

#[test]
fn the_binary_has_both_rows_and_makes_the_failure_small() {
    let folder = tempfile::tempdir().expect("a folder");
    let lowbit = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_own-lowbit"));
        let output = command.args(arguments).current_dir(folder.path()).output().expect("lowbit");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let case = "hadamard/m=3/k=256/data=realistic/distribution=laplace/sigma=2/seed=99";
    let (code, text) = lowbit(&["check", "--case", case, "--kernel", "*butterflies", "--out", "o"]);
    assert_eq!(code, Some(4), "{text}");
    let small =
        "lowbit check --case 'hadamard/m=1/k=64/data=exact/seed=0' --kernel wrong-butterflies";
    assert!(text.contains(small), "{text}");
    // What was left fails again, with drawn data and with those kept; the right row does not.
    let failures = folder.path().join("o/failures");
    let files = std::fs::read_dir(&failures).expect("failures").flatten();
    let scenario =
        files.map(|file| file.path()).find(|path| path.extension().is_some_and(|e| e == "json"));
    let scenario = scenario.expect("a scenario").to_string_lossy().into_owned();
    let again = |row| lowbit(&["check", &scenario, "--kernel", row, "--shrink", "0"]);
    let (code, text) = again("wrong-butterflies");
    assert_eq!(code, Some(4), "{text}");
    assert_eq!(text.matches("lowbit check --case").count(), 2, "{text}");
    let (code, text) = again("butterflies");
    assert_eq!(code, Some(0), "{text}");
}
