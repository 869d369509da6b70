//! Failures become small over workers, and what is left of them is replayed.
use super::lowbit;
use std::path::{Path, PathBuf};

const CASE: &str =
    "rho_unpack/format=int8/elements=4096/data=realistic/distribution=laplace/sigma=2/seed=11";

/// Check one row on one case, and answer what was printed.
fn check(folder: &Path, row: &str, more: &[&str]) -> (Option<i32>, String) {
    let arguments = [&["check", "--case", CASE, "--kernel", row, "--threads", "1"], more].concat();
    let output = lowbit(folder, &arguments);
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}

/// The line after the smallest case says that no step makes it smaller.
fn smallest<'t>(text: &'t str, wanted: &str) -> &'t str {
    let mut lines = text.lines().skip_while(|line| !line.starts_with("  smallest "));
    let line = lines.next().unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains(wanted), "{text}");
    assert!(text.contains("(no single step makes it smaller; "), "{text}");
    line
}

pub(crate) fn wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, text) = check(folder.path(), "wrong_from_33", &["--out", "out"]);
    assert_eq!(code, Some(4), "{text}");
    smallest(&text, "rho_unpack/format=int8/elements=33/data=exact/seed=");
    let failures = folder.path().join("out/failures");
    assert_eq!(files(&failures, "json").len(), 1, "{text}");
    // Without --out nothing is written; without time nothing is done.
    let (_, text) = check(folder.path(), "wrong_from_33", &[]);
    assert!(text.contains("With --out DIR the scenarios"), "{text}");
    let (_, text) = check(folder.path(), "wrong_from_33", &["--shrink", "0"]);
    assert!(!text.contains("smallest"), "{text}");
}

pub(crate) fn aborts() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, text) = check(folder.path(), "aborts_above_50", &["--out", "out"]);
    assert_eq!(code, Some(8), "{text}");
    smallest(&text, "/elements=51/data=exact/seed=0");
}

pub(crate) fn hangs() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("s.json"), super::SCENARIO).expect("written");
    let arguments = ["check", "s.json", "--kernel", "hangs_above_50", "--threads", "1"];
    let output = lowbit(folder.path(), &arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(8), "{text}");
    smallest(&text, "/elements=51/data=exact/seed=0");
}

pub(crate) fn replayed() {
    let folder = tempfile::tempdir().expect("a folder");
    check(folder.path(), "wrong_from_33", &["--out", "out"]);
    let (suites, regressions) =
        (folder.path().join("scenarios/suites"), folder.path().join("scenarios/regressions"));
    for folder in [&suites, &regressions] {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    let small = super::SCENARIO.replace("[64, 4096]", "[16]");
    std::fs::write(suites.join("s.json"), small).expect("written");
    let suite = |row: &str| {
        let arguments = ["check", "scenarios/suites/s.json", "--kernel", row, "--shrink", "0"];
        let output = lowbit(folder.path(), &arguments);
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // The suite alone sees nothing.
    assert_eq!(suite("wrong_from_33").0, Some(0));
    for extension in ["json", "safetensors"] {
        for file in files(&folder.path().join("out/failures"), extension) {
            let name = file.file_name().expect("a name");
            std::fs::copy(&file, regressions.join(name)).expect("copied");
        }
    }
    let (code, text) = suite("wrong_from_33");
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("elements=33"), "{text}");
    assert_eq!(suite("good").0, Some(0));
}
