//! The shipped suites keep their promises.
use lowbit_reference::case::{Case, Kind};
use lowbit_reference::data::Pattern;
use lowbit_reference::op::patterns::refused;
use lowbit_reference::op::{OPS, OpSpec};
use lowbit_scenarios::{Planned, SHAPE_SETS, Scenario};
use std::collections::BTreeMap;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn load(name: &str) -> (Scenario, Vec<Planned>) {
    let path = format!("{ROOT}/scenarios/suites/{name}.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let scenario = Scenario::parse(&path, &text).unwrap_or_else(|e| panic!("{e}"));
    let planned = scenario.expand().unwrap_or_else(|e| panic!("{e}"));
    (scenario, planned)
}

const SUITES: [&str; 9] =
    ["quickstart", "smoke", "gpu-smoke", "gpu", "bench", "nightly", "paper", "rules", "cpu-peers"];
const TIERS: [&str; 3] = ["exact", "realistic", "file"];
const NATIVE: [&str; 4] = ["scalar", "avx2", "avx512vnni", "burn"];

/// The ops that came first, whose kinds are held row by row below.
const CLASSIC_OPS: [&str; 5] =
    ["quantize_weight", "quantize_activation", "linear", "rho_pack", "rho_unpack"];

fn classic_ops() -> impl Iterator<Item = &'static OpSpec> {
    OPS.iter().copied().filter(|op| CLASSIC_OPS.contains(&op.name))
}

/// What a kernel supports or not: the op, its format and its rule.
fn kind(case: &Case) -> String {
    let keys: &[&str] = match case.op() {
        "quantize_activation" => &["activation", "activation_rule"],
        "rho_pack" | "rho_unpack" => &["format"],
        _ => &["weight", "weight_rule"],
    };
    let words: Vec<_> = keys.iter().map(|key| case.word(key)).collect();
    format!("{} {}", case.op(), words.join(" "))
}

/// Every kind there is: each word that makes a case.
fn every_kind() -> Vec<String> {
    let words = |op: &OpSpec, key: &str| match op.param(key).unwrap().kind {
        Kind::Word(words) | Kind::WordOrConfig { words, .. } => words(),
        _ => Vec::new(),
    };
    let mut kinds = Vec::new();
    for op in classic_ops() {
        let id = match op.name {
            "quantize_weight" => "/weight=A/weight_rule=B/k=128/n=8/data=exact",
            "quantize_activation" => "/activation=A/activation_rule=B/m=1/k=128/data=exact",
            "linear" => {
                "/weight=A/weight_rule=B/activation=f32/activation_rule=none/m=1/k=8/n=8/data=exact"
            }
            _ => "/format=A/elements=32/data=exact",
        };
        let (first, second) = match op.name {
            "quantize_activation" => ("activation", Some("activation_rule")),
            "rho_pack" | "rho_unpack" => ("format", None),
            _ => ("weight", Some("weight_rule")),
        };
        for a in words(op, first) {
            let id = format!("{}{}", op.name, id.replace("=A", &format!("={}", a.name)));
            let seconds =
                second.map_or(vec![""], |key| words(op, key).iter().map(|w| w.name).collect());
            let cases = seconds.iter().map(|b| id.replace("=B", &format!("={b}")).parse::<Case>());
            kinds.extend(cases.flatten().map(|case| kind(&case)));
        }
    }
    kinds
}

/// Whether the rows that came first know it: sign, ternary2 and int8 codes, one statistic a scale.
fn classic(kind: &str) -> bool {
    let later = ["ternary3", "int4", "uint4", "uint8", "twn", "b2_hadamard", " none"];
    !later.iter().any(|word| kind.contains(word))
}

fn count(scenario: &Scenario, planned: &[Planned], kernel: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for planned in planned.iter().filter(|planned| scenario.runs(planned, kernel)) {
        *counts.entry(kind(&planned.case)).or_default() += 1;
    }
    counts
}

#[test]
fn every_suite_expands_and_every_file_is_known() {
    let folder = std::fs::read_dir(format!("{ROOT}/scenarios/suites")).unwrap();
    assert_eq!(folder.count(), SUITES.len(), "a suite that no test knows");
    for name in SUITES {
        let (scenario, planned) = load(name);
        println!("{name}: {} cases", planned.len());
        for (i, sweep) in scenario.sweeps.iter().enumerate() {
            let cases = planned.iter().filter(|planned| planned.sweep == i).count();
            println!("  {:<28} {cases}", sweep.name);
        }
    }
}

/// Every word of every parameter of every op in both suites; data tiers, distributions
/// and rules, which go with some formats only, are not held here.
#[test]
fn smoke_and_nightly_say_every_word() {
    for (suite, least) in [("smoke", 1), ("nightly", 8)] {
        let (_, planned) = load(suite);
        for (op, param) in OPS.iter().flat_map(|op| op.params.iter().map(move |param| (op, param)))
        {
            let Kind::Word(words) = param.kind else { continue };
            if ["distribution", "data"].contains(&param.key) {
                continue;
            }
            for word in words() {
                let pattern = Pattern::named(word.name).filter(|_| param.key == "pattern");
                if pattern.is_some_and(|pattern| refused(op.name, pattern).is_some()) {
                    continue;
                }
                let says = |p: &&Planned| {
                    p.case.op() == op.name
                        && p.case.get(param.key).is_some_and(|v| v.to_string() == word.name)
                };
                let cases = planned.iter().filter(says).count();
                let what =
                    format!("{suite}: {cases} cases of {} {}={}", op.name, param.key, word.name);
                assert!(cases >= least, "{what}");
            }
        }
    }
}

#[test]
fn there_are_31_kinds_for_every_row_and_more_for_plain() {
    let (classic, later): (Vec<_>, Vec<_>) =
        every_kind().into_iter().partition(|kind| classic(kind));
    // Nine pairs of format and rule, twice; seven activation rules; three formats of rho, twice.
    assert_eq!(classic.len(), 9 + 9 + 7 + 3 + 3, "{classic:?}");
    let quantize = later.iter().filter(|kind| kind.starts_with("quantize"));
    // twn twice, ternary3 with three more, int4 four times, uint4 twice; b2_hadamard twice, int4
    // with four more, uint8 with three.
    assert_eq!(quantize.count(), 11 + 9, "{later:?}");
}

/// The rows that know every rule meet all of them.
#[test]
fn native_rows_quantize_every_kind() {
    for (suite, least) in [("smoke", 1), ("nightly", 8)] {
        let (scenario, planned) = load(suite);
        for kernel in ["plain", "scalar", "avx2", "avx512vnni"] {
            let counts = count(&scenario, &planned, kernel);
            for kind in every_kind().iter().filter(|kind| kind.starts_with("quantize")) {
                let cases = counts.get(kind).copied().unwrap_or(0);
                assert!(cases >= least, "{suite}: {cases} cases of {kind} for {kernel}");
            }
        }
    }
}

#[test]
fn smoke_has_every_kind_for_every_row() {
    let (scenario, planned) = load("smoke");
    for kernel in NATIVE.into_iter().chain(["ste", "cube-wgpu", "cube-cuda"]) {
        let counts = count(&scenario, &planned, kernel);
        for kind in every_kind().into_iter().filter(|kind| classic(kind)) {
            assert!(counts.contains_key(&kind), "{kernel}: no {kind}");
        }
    }
    for (tier, op) in TIERS.iter().flat_map(|tier| classic_ops().map(move |op| (*tier, op.name))) {
        for kernel in NATIVE.into_iter().chain(["ste", "cube-wgpu", "cube-cuda"]) {
            let in_tier = |p: &Planned| p.case.op() == op && p.case.word("data") == tier;
            let mut cases = planned.iter().filter(|p| in_tier(p));
            assert!(cases.any(|p| scenario.runs(p, kernel)), "{op} {tier} {kernel}");
        }
    }
    let largest = planned.iter().map(|p| ["m", "k", "n"].map(|key| p.case.number(key).max(1)));
    assert!(largest.map(|[m, k, n]| m * k * n).max() <= Some(384 * 384), "smoke is small");
}

#[test]
fn nightly_has_twenty_cases_of_every_kind_for_every_row() {
    let (scenario, planned) = load("nightly");
    assert!(planned.len() >= 2000, "{}", planned.len());
    for kernel in NATIVE.into_iter().chain(["ste", "cube-wgpu", "cube-cuda"]) {
        let counts = count(&scenario, &planned, kernel);
        for kind in every_kind().into_iter().filter(|kind| classic(kind)) {
            let cases = counts.get(&kind).copied().unwrap_or(0);
            assert!(cases >= 20, "{kernel}: {cases} cases of {kind}");
        }
    }
    let seeds: std::collections::BTreeSet<_> =
        planned.iter().map(|p| p.case.number("seed")).collect();
    assert!(seeds.len() >= 3, "{seeds:?}");
}

#[test]
fn quickstart_shows_a_full_layer_and_real_weights_beside_gaussian_ones() {
    let (scenario, planned) = load("quickstart");
    for kernel in NATIVE {
        for weight in ["ternary2", "sign1", "int8"] {
            let full = |p: &&Planned| {
                let size = |key, wanted| p.case.number(key) == wanted;
                p.case.op() == "linear"
                    && size("m", 1)
                    && size("k", 4096)
                    && size("n", 4096)
                    && p.case.word("weight") == weight
                    && p.case.word("activation") == "int8"
            };
            assert!(planned.iter().filter(full).any(|p| scenario.runs(p, kernel)), "{weight}");
        }
    }
    let shapes = |tier: &str| -> Vec<_> {
        let cases = planned.iter().map(|p| &p.case);
        cases
            .filter(|case| case.op() == "quantize_weight" && case.word("data") == tier)
            .map(|case| (kind(case), case.number("n"), case.number("k")))
            .collect()
    };
    let (real, drawn) = (shapes("file"), shapes("realistic"));
    assert_eq!(real.len(), 12);
    assert!(real.iter().all(|shape| drawn.contains(shape)));
    for op in classic_ops().map(|op| op.name) {
        for kernel in NATIVE.into_iter().chain(["cube-wgpu"]) {
            let runs = |p: &Planned| p.case.op() == op && scenario.runs(p, kernel);
            assert!(planned.iter().any(runs), "{op} {kernel}");
        }
    }
}

#[test]
fn quickstart_samples_for_less_than_80_seconds() {
    let (scenario, planned) = load("quickstart");
    let rows = NATIVE.into_iter().chain(["ste", "cube-wgpu"]);
    let seconds = |p: &Planned| {
        let measure = &scenario.sweeps[p.sweep].measure;
        let settings = measure.threads.len() * measure.cache.len();
        let rows = rows.clone().filter(|row| scenario.runs(p, row)).count();
        (rows * settings) as f64 * measure.max_seconds
    };
    let total: f64 = planned.iter().map(seconds).sum();
    println!("{total:.1} s");
    assert!(total < 80.0, "{total} s");
    let said = format!("{total:.0} s of sampling");
    assert!(scenario.about.contains(&said), "the file says otherwise than {said}");
}

#[test]
fn gpu_smoke_is_for_gpu_rows_and_bench_for_native_ones() {
    for suite in ["gpu", "gpu-smoke"] {
        let (scenario, planned) = load(suite);
        for kernel in NATIVE.into_iter().chain(["ste"]) {
            assert_eq!(count(&scenario, &planned, kernel).len(), 0, "{suite}: {kernel}");
        }
        for kernel in ["cube-wgpu", "cube-cuda", "cuda-mma", "wgsl-dot4"] {
            assert!(!count(&scenario, &planned, kernel).is_empty(), "{suite}: {kernel}");
        }
        scenario.goals().unwrap_or_else(|e| panic!("{e}"));
    }
    let (scenario, planned) = load("gpu-smoke");
    let counts = count(&scenario, &planned, "cube-cuda");
    for kind in every_kind().into_iter().filter(|kind| classic(kind)) {
        assert!(counts.contains_key(&kind), "no {kind}");
    }
    let (scenario, planned) = load("bench");
    // Each case is benched for every row: a handful of ops' worth, no more.
    assert!((12..=48).contains(&planned.len()), "{}", planned.len());
    assert!(planned.iter().all(|p| scenario.runs(p, "avx2") && !scenario.runs(p, "cube-wgpu")));
}

#[test]
fn paper_has_every_shape_set() {
    let (_, planned) = load("paper");
    for set in SHAPE_SETS {
        for shape in set.shapes {
            let has = |p: &Planned| {
                shape.sizes.iter().all(|(key, size)| p.case.number(key) as u64 == *size)
            };
            assert!(planned.iter().any(has), "{} {}", set.name, shape.label);
        }
    }
    assert!(planned.iter().any(|p| p.case.word("data") == "file"));
}

/// Name to shape of every tensor of a .safetensors file.
fn tensors(path: &str) -> serde_json::Value {
    let bytes = std::fs::read(format!("{ROOT}/{path}")).unwrap_or_else(|e| panic!("{path}: {e}"));
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    serde_json::from_slice(&bytes[8..8 + len]).unwrap()
}

#[test]
fn files_and_tensors_exist_in_the_shape_the_case_wants() {
    for name in SUITES {
        for Planned { case, .. } in load(name).1 {
            if case.word("data") != "file" {
                continue;
            }
            let text = |key| case.get(key).unwrap().to_string();
            let shape = tensors(&text("file"))[text("tensor")]["shape"].clone();
            let shape: Vec<usize> =
                serde_json::from_value(shape).unwrap_or_else(|e| panic!("{case}: {e}"));
            match case.op() {
                "quantize_activation" => assert_eq!(shape, [case.number("m"), case.number("k")]),
                "rho_pack" | "rho_unpack" => {
                    assert_eq!(shape.iter().product::<usize>(), case.number("elements"));
                }
                _ => assert_eq!(shape, [case.number("n"), case.number("k")], "{case}"),
            }
        }
    }
}
