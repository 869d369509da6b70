//! Every number of every file in `tests/golden/`, against this crate.
//!
//! A file is known by the keys it holds, not by its name, so vectors of the same shape from other
//! seeds can be put beside these or in their place. The table at the end says what was compared.
//! Then each file is changed, one value at a time, and every change must be seen.
mod blocks;
mod burn_dragon;
mod casts;
mod gguf;
mod mutate;
mod mx;
mod nf4;
mod ort;
mod paper;
mod replay;
#[allow(dead_code, reason = "each test target uses its share of the source")]
#[path = "../source/mod.rs"]
mod source;
use replay::Replay;
use serde_json::Value;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::ExitCode;

/// The keys that tell a kind of file, and what replays it.
type Kind = (&'static [&'static str], fn(&Value, &mut Replay));

/// Every kind of file. Adding one is a file and a line here.
static KINDS: &[Kind] = &[
    (&["cases", "misc", "defaults"], blocks::replay),
    (&["bitnet_reference", "memory_estimates"], burn_dragon::replay),
    (&["cast_bits", "decode_table"], casts::replay),
    (&["block_bytes", "results"], gguf::replay),
    (&["nf4_code", "double_quant"], nf4::replay),
    (&["cases", "failed"], ort::replay),
    (&["b158_weight", "awq_W"], paper::replay),
];

/// Compare one document.
fn compare(file: &str, document: &Value) -> Replay {
    let known = |(keys, _): &&Kind| keys.iter().all(|key| document.get(key).is_some());
    let Some((_, run)) = KINDS.iter().find(known) else {
        let mut replay = Replay::new(file);
        replay.fail("file", "is of no known kind");
        return replay;
    };
    // A file that breaks the schema stops its replay; the others go on.
    let mut replay = Replay::new(file);
    let whole = std::panic::catch_unwind(AssertUnwindSafe(|| {
        run(document, &mut replay);
        replay.finish(document);
    }));
    if let Err(panic) = whole {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let why = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("panicked");
        let after = replay.last.clone();
        replay.fail(&after, format!("what follows breaks the schema: {why}"));
    }
    replay
}

fn main() -> ExitCode {
    // Told as failures of their file.
    std::panic::set_hook(Box::new(|_| {}));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = std::fs::read_dir(&folder).expect("tests/golden is there");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "json"));
    paths.sort();
    println!(
        "{:<34} {:>9} {:>10} {:>13} {:>9}",
        "golden file", "compared", "bit-exact", "within bound", "excluded"
    );
    let (mut documents, mut failures) = (Vec::new(), Vec::new());
    let (mut compared, mut excluded) = (0, 0);
    for path in paths {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("readable");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        let replay = compare(&file, &document);
        let left: usize = replay.excluded.values().sum();
        let (all, exact, within) = (replay.compared(), replay.exact, replay.within);
        println!("{file:<34} {all:>9} {exact:>10} {within:>13} {left:>9}");
        replay.note.iter().for_each(|note| println!("  {note}"));
        replay.excluded.iter().for_each(|(why, n)| println!("  excluded {n}: {why}"));
        (compared, excluded) = (compared + all, excluded + left);
        failures.extend(replay.failures);
        documents.push((file, document));
    }
    let share = 100.0 * excluded as f64 / (compared + excluded).max(1) as f64;
    println!("{compared} numbers compared, {excluded} excluded ({share:.1} %)");
    if documents.is_empty() || share >= 5.0 {
        failures.push("too little is compared".into());
    }
    if failures.is_empty() {
        failures = mutate::survivors(&documents);
    }
    failures.iter().take(40).for_each(|failure| eprintln!("FAILED {failure}"));
    if failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("{} failures", failures.len());
    ExitCode::FAILURE
}
