//! Every row of every table against the reference, at every awkward size.
//!
//! Prints how many kernel-cases each row ran. A row that never ran fails, unless its hardware is
//! missing, and then that is printed. `cargo test -p lowbit-kernels --test conformance -- avx2`.
use libtest_mimic::{Arguments, Failed, Trial};
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::hardware::Hardware;
use lowbit_kernels::pool::Pool;
use lowbit_kernels::{Kernel, linear, quantize_activation, quantize_weight, rho_pack, rho_unpack};
use lowbit_reference::case::Case;
use lowbit_reference::data::NoFiles;
use lowbit_reference::judge::judge;
use lowbit_reference::op::{Op, Outputs};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};

/// Row, kernel-cases run, or why there were none.
type Count = (String, Result<usize, String>);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let hardware = Hardware::detect();
    let (sender, counts) = channel();
    let mut trials = Vec::new();
    trials.extend(rows(linear::KERNELS, linear_cases(), &hardware, &sender));
    trials.extend(rows(quantize_weight::KERNELS, weight_cases(), &hardware, &sender));
    trials.extend(rows(quantize_activation::KERNELS, activation_cases(), &hardware, &sender));
    trials.extend(rows(rho_pack::KERNELS, rho_cases("rho_pack"), &hardware, &sender));
    trials.extend(rows(rho_unpack::KERNELS, rho_cases("rho_unpack"), &hardware, &sender));
    drop(sender);
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut counts: Vec<Count> = counts.iter().collect();
    counts.sort();
    println!("kernel-cases per row:");
    for (row, count) in counts {
        match count {
            Ok(ran) => println!("  {row:<36} {ran:>6}"),
            Err(why) => println!("  {row:<36} not run: {why}"),
        }
    }
    conclusion.exit_code()
}

fn rows<O: Op>(
    kernels: &'static [&'static dyn Kernel<O>],
    ids: Vec<String>,
    hardware: &Hardware,
    sender: &Sender<Count>,
) -> Vec<Trial> {
    let trial = |kernel: &'static &'static dyn Kernel<O>| {
        let name = format!("{}::{}", O::SPEC.name, kernel.name());
        let (ids, hardware, sender) = (ids.clone(), hardware.clone(), sender.clone());
        Trial::test(name.clone(), move || {
            let result = row(*kernel, &ids, &hardware);
            let count = result.as_ref().map(|ran| Ok(*ran)).unwrap_or_else(|why| Err(why.clone()));
            let missing = hardware.has(kernel.need());
            let _ = sender.send((name, missing.clone().and(count)));
            match (missing, result) {
                (Err(_), _) => Ok(()),
                (Ok(()), Ok(0)) => Err(Failed::from("accepted no case: a row that never ran")),
                (Ok(()), Ok(_)) => Ok(()),
                (Ok(()), Err(why)) => Err(Failed::from(why)),
            }
        })
    };
    kernels.iter().map(trial).collect()
}

/// Run a row on every case it accepts; the error lists the first few failures.
fn row<O: Op>(
    kernel: &dyn Kernel<O>,
    ids: &[String],
    hardware: &Hardware,
) -> Result<usize, String> {
    hardware.has(kernel.need())?;
    let (mut ran, mut failures) = (0, Vec::new());
    for id in ids {
        let case: Case = id.parse().map_err(|e| format!("{id}: {e}"))?;
        let problem = O::generate(&case, &NoFiles)?;
        if kernel.accepts(&problem).is_err() {
            continue;
        }
        ran += 1;
        if let Err(why) = one(kernel, &problem, hardware) {
            failures.push(format!("{case}: {why}"));
        }
    }
    match failures.len() {
        0 => Ok(ran),
        n => Err(format!("{n} of {ran} cases\n{}", failures[..n.min(8)].join("\n"))),
    }
}

fn one<O: Op>(
    kernel: &dyn Kernel<O>,
    problem: &O::Problem,
    hardware: &Hardware,
) -> Result<(), String> {
    let run = |threads, poison| -> Result<Outputs, String> {
        let mut context = Context::new(Pool::new(threads)?, hardware.clone(), poison);
        let mut prepared = kernel.prepare(problem, &mut context).map_err(|e| e.to_string())?;
        prepared.launch().and_then(|()| prepared.sync()).map_err(|e| e.to_string())?;
        let outputs = prepared.read().map_err(|e| e.to_string())?;
        context.check_guards()?;
        Ok(outputs)
    };
    let outputs = run(1, Poison::Ones)?;
    let reference = O::reference(problem);
    let expectation = O::expect(problem, &reference, kernel.arithmetic(problem), &outputs);
    if let Some(fault) = judge(&expectation, &outputs).fault {
        return Err(fault);
    }
    let again = run(3, Poison::Sevens)?;
    if again == outputs { Ok(()) } else { Err("another answer on 3 threads or poison".into()) }
}

/// Around every vector width, unroll and packing boundary.
const LENGTHS: [usize; 20] =
    [1, 2, 3, 5, 8, 15, 31, 32, 33, 63, 64, 65, 127, 128, 257, 512, 515, 1025, 2049, 5003];

fn linear_cases() -> Vec<String> {
    let weights = [
        ("ternary2", "burn_dragon"),
        ("ternary2", "b158"),
        ("ternary2", "a48"),
        ("sign1", "burn_dragon"),
        ("sign1", "b1"),
        ("int8", "absmax"),
        ("int8", "burn_dragon"),
    ];
    let activations =
        [("f32", "none"), ("int8", "absmax"), ("int8", "burn_dragon"), ("int8", "a48")];
    let mut ids = Vec::new();
    for (weight, weight_rule) in weights {
        for (activation, activation_rule) in activations {
            for (i, k) in LENGTHS.into_iter().enumerate() {
                let (m, n) = ([1, 2, 5, 9, 70][i % 5], [1, 3, 16, 17, 33, 80][i % 6]);
                for data in ["exact", "realistic"] {
                    ids.push(format!(
                        "linear/weight={weight}/activation={activation}/weight_rule={weight_rule}\
                         /activation_rule={activation_rule}/m={m}/k={k}/n={n}/data={data}/seed={i}"
                    ));
                }
            }
        }
    }
    ids
}

fn weight_cases() -> Vec<String> {
    let rules = [
        ("ternary2", vec!["burn_dragon", "b158", "a48", "twn"]),
        ("sign1", vec!["burn_dragon", "b1"]),
        (
            "int8",
            vec![
                "burn_dragon",
                "absmax",
                "onnx",
                "bnb",
                r#"{"rounding":"half_away"}"#,
                r#"{"steps":15,"times":0.9}"#,
            ],
        ),
        ("int4", vec!["burn_dragon", "absmax", "onnx", "llm_awq"]),
        (
            "uint4",
            vec!["onnx", "llm_awq", r#"{"granularity":"group","group_size":32,"range":"minmax"}"#],
        ),
    ];
    let mut ids = Vec::new();
    for (weight, rules) in rules {
        for rule in rules {
            for (i, k) in LENGTHS.into_iter().enumerate() {
                let n = [1, 3, 8, 17][i % 4];
                // Groups fill their rows.
                let groups = rule == "llm_awq" || rule.contains("group_size");
                let k = if groups { k.next_multiple_of(128) } else { k };
                // Not every rule spelled out has scales that are powers of two.
                let tiers: &[&str] =
                    if rule.contains("steps") { &["realistic"] } else { &["exact", "realistic"] };
                ids.extend(tiers.iter().map(|data| {
                    format!(
                        "quantize_weight/weight={weight}/weight_rule={rule}/k={k}/n={n}\
                         /data={data}/seed={i}"
                    )
                }));
            }
        }
    }
    ids
}

fn activation_cases() -> Vec<String> {
    let formats = [
        ("int8", vec!["burn_dragon", "b1", "b158", "a48", "absmax", "onnx", "bnb"]),
        ("int4", vec!["burn_dragon", "a48", "absmax", "onnx"]),
        // A rule spelled out keeps the signed `min_code` that unsigned codes have no use for.
        ("uint8", vec!["burn_dragon", "absmax", "onnx", r#"{"granularity":"tensor"}"#]),
    ];
    let mut ids = Vec::new();
    for (format, rules) in formats {
        for (i, k) in LENGTHS.into_iter().enumerate() {
            let m = [1, 2, 7][i % 3];
            for data in ["exact", "realistic/distribution=student_t", "realistic/distribution=relu"]
            {
                ids.extend(rules.iter().map(|rule| {
                    format!(
                        "quantize_activation/activation={format}/activation_rule={rule}/m={m}\
                         /k={k}/data={data}/seed={i}"
                    )
                }));
            }
        }
    }
    ids
}

fn rho_cases(op: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for format in ["int8", "ternary", "binary"] {
        for (i, elements) in LENGTHS.into_iter().chain([4096, 20_011]).enumerate() {
            for data in ["exact", "realistic", "realistic/distribution=lognormal/sigma=0.01"] {
                ids.push(format!("{op}/format={format}/elements={elements}/data={data}/seed={i}"));
            }
        }
    }
    ids
}
