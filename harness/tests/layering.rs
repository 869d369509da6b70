//! What ARCHITECTURE.md promises and the compiler does not hold.
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which of our crates a crate may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("lowbit-reference", &[]),
    ("lowbit-reports", &[]),
    ("lowbit-scenarios", &["lowbit-reference"]),
    ("lowbit-kernels", &["lowbit-reference"]),
    (
        "lowbit-harness",
        &["lowbit-kernels", "lowbit-reference", "lowbit-reports", "lowbit-scenarios"],
    ),
    ("lowbit-training", &["lowbit-kernels", "lowbit-reference"]),
    ("lowbit-qat", &["lowbit-harness", "lowbit-kernels", "lowbit-training"]),
    ("lowbit-own-kernel", &["lowbit-harness", "lowbit-kernels", "lowbit-reference"]),
    ("lowbit-benches", &["lowbit-kernels", "lowbit-reference", "lowbit-scenarios"]),
];

/// Hidden state and the environment, and the files that may name them.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("thread_local!", &[]),
    ("static mut", &[]),
    ("lazy_static", &[]),
    ("AtomicU64", &["harness/src/memory.rs", "kernels/src/cube/client.rs"]),
    ("env::var", &["harness/src/command/mod.rs", "harness/src/own/apart.rs"]),
    ("Instant::now", &["harness/src/measure.rs", "benches/peers/burn_dragon/src/main.rs"]),
    ("SystemTime::now", &["harness/src/measure.rs"]),
];

/// Longest file.
const MAX_LINES: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of ours: path from the root, and text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = [
        "reference",
        "kernels",
        "scenarios",
        "reports",
        "harness",
        "training",
        "benches",
        "examples",
    ]
    .map(|name| root().join(name))
    .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).expect("below the root").to_string_lossy();
                found.push((name.into_owned(), std::fs::read_to_string(&path).expect("utf-8")));
            }
        }
    }
    assert!(found.len() > 40, "found only {} files", found.len());
    found
}

#[test]
fn dependencies_point_one_way() {
    for (package, allowed) in ALLOWED {
        let arguments = ["tree", "--offline", "--edges=normal", "--depth=1", "--prefix=none"];
        let output = Command::new(env!("CARGO"))
            .args(arguments)
            .args(["--package", package])
            .current_dir(root())
            .output()
            .expect("cargo tree");
        let text = String::from_utf8(output.stdout).expect("utf-8");
        assert!(text.starts_with(package), "{package}: {text}");
        for line in text.lines().skip(1).filter(|line| line.starts_with("lowbit-")) {
            let name = line.split(' ').next().expect("a name");
            assert!(allowed.contains(&name), "{package} must not depend on {name}");
        }
    }
}

#[test]
fn hidden_state_clocks_and_the_environment_have_one_place_each() {
    for (name, text) in sources().iter().filter(|(name, _)| !name.contains("tests/")) {
        for (word, places) in FORBIDDEN {
            let allowed = places.contains(&name.as_str());
            assert!(allowed || !text.contains(word), "{name} names {word}");
        }
    }
}

#[test]
fn every_file_says_what_it_is_for_and_stays_short() {
    for (name, text) in sources() {
        assert!(text.starts_with("//!"), "{name} does not begin with `//!`");
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{name} has {lines} lines, {MAX_LINES} are allowed");
    }
}

#[test]
fn kernels_take_no_arithmetic_from_the_reference() {
    let words = [
        ".code(",
        "quantize::pack",
        "rule::quantize",
        ".statistic(",
        ".near_tie(",
        "weight_codes(",
        ".unpack(",
        ".shared(",
        ".under(",
        "fake_quantize::",
    ];
    for (name, text) in sources().iter().filter(|(name, _)| name.starts_with("kernels/src")) {
        for word in words {
            assert!(!text.contains(word), "{name} uses {word} of the reference");
        }
    }
}
