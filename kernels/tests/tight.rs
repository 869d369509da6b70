//! Bounds are tight: what a float row answered, moved by three of its bounds in one place, is
//! refused, and passes where bounds are ten times as wide. And rows come near them: the largest error
//! of each over its bound is at least `1 / (8 sqrt K)` on one of its cases, K the terms of a sum there.
//! Not on each: a row that adds long sums in many short chains errs less than one chain may.
use lowbit_kernels::Kernel;
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::hardware::Hardware;
use lowbit_kernels::pool::Pool;
use lowbit_reference::case::Case;
use lowbit_reference::data::NoFiles;
use lowbit_reference::judge::judge;
use lowbit_reference::op::{Op, Outputs};
use std::collections::BTreeMap;

fn answer<O: Op>(kernel: &dyn Kernel<O>, problem: &O::Problem, hardware: &Hardware) -> Outputs {
    let pool = Pool::new(1).unwrap();
    let mut context = Context::new(pool, hardware.clone(), Poison::Ones);
    let mut prepared = kernel.prepare(problem, &mut context).unwrap();
    prepared.launch().and_then(|()| prepared.sync()).unwrap();
    prepared.read().unwrap()
}

/// Rows of ops, and the largest of their errors over a bound, in units of what it has to reach.
type Shares = BTreeMap<(&'static str, &'static str), f64>;

/// Every row came near its bound on one of its cases.
fn all_near(shares: &Shares) {
    for ((op, row), share) in shares {
        assert!(*share >= 1.0, "{row} of {op}: its bound is {:.1} times too loose", 1.0 / share);
    }
}

/// Every native row of a table that has a derived bound on a case whose sums have `depth` terms.
fn tight<O: Op>(shares: &mut Shares, kernels: &[&'static dyn Kernel<O>], id: &str, depth: f64) {
    let hardware = Hardware::detect();
    let case: Case = id.parse().unwrap_or_else(|e| panic!("{id}: {e}"));
    let problem = O::generate(&case, &NoFiles).unwrap();
    let reference = O::reference(&problem);
    let mut bounded = 0;
    for kernel in kernels {
        let native = ["plain", "scalar", "avx2", "avx512vnni", "neon"].contains(&kernel.name());
        if !native || hardware.has(kernel.need()).is_err() || kernel.accepts(&problem).is_err() {
            continue;
        }
        let got = answer(*kernel, &problem, &hardware);
        let arithmetic = kernel.arithmetic(&problem);
        let expect = |got: &Outputs| O::expect(&problem, &reference, arithmetic, got);
        let seen = judge(&expect(&got), &got);
        let name = format!("{} of {case}", kernel.name());
        assert_eq!(seen.fault, None, "{name}");
        let Some(wrong) = expect(&got).displaced(&got, 3.0) else { continue };
        bounded += 1;
        assert!(judge(&expect(&wrong), &wrong).fault.is_some(), "{name}: three bounds off");
        let loose = judge(&expect(&wrong).loosened(10.0), &wrong);
        assert_eq!(loose.fault, None, "{name}: bounds ten times as wide");
        let least = 1.0 / (8.0 * depth.sqrt());
        println!("{name}: {:.3e} of the bound; 1/(8 sqrt K) is {least:.3e}", seen.error_over_bound);
        let most = shares.entry((O::SPEC.name, kernel.name())).or_default();
        *most = most.max(seen.error_over_bound / least);
    }
    assert!(bounded > 0, "{id}: no row has a bound");
}

#[test]
fn linear() {
    let mut shares = Shares::new();
    for (weight, rule) in [("ternary2", "b158"), ("sign1", "b1"), ("int8", "absmax")] {
        for k in [16, 64, 1024] {
            let id = format!(
                "linear/weight={weight}/activation=f32/weight_rule={rule}/activation_rule=none\
                 /m=5/k={k}/n=65/data=realistic"
            );
            tight(&mut shares, lowbit_kernels::linear::KERNELS, &id, f64::from(k));
        }
    }
    all_near(&shares);
}

#[test]
fn linear_in_groups_and_blocks() {
    let mut shares = Shares::new();
    for (weight, activation, rule) in
        [("nf4", "f32", "none"), ("q8_0", "f32", "none"), ("q8_0", "int8", "absmax")]
    {
        let id = format!(
            "linear/weight={weight}/activation={activation}/weight_rule=none\
             /activation_rule={rule}/m=5/k=512/n=65/data=realistic"
        );
        tight(&mut shares, lowbit_kernels::linear::KERNELS, &id, 512.0);
    }
    all_near(&shares);
}

#[test]
fn conv2d() {
    let mut shares = Shares::new();
    let id = "conv2d/format=f32/c_in=16/c_out=33/height=13/width=17/padding_h=1/padding_w=1\
              /data=realistic";
    tight(&mut shares, lowbit_kernels::conv2d::KERNELS, id, 144.0);
    all_near(&shares);
}

#[test]
fn attention() {
    let mut shares = Shares::new();
    for format in ["f32", "int8"] {
        let id = format!(
            "attention/format={format}/heads=2/kv_heads=1/query_len=50/key_len=67/head_dim=40\
             /data=realistic"
        );
        tight(&mut shares, lowbit_kernels::attention::KERNELS, &id, 107.0);
    }
    all_near(&shares);
}

#[test]
fn projections() {
    let mut shares = Shares::new();
    let id = "lowrank_projection/weight=int8/activation=f32/weight_rule=onnx/activation_rule=none\
              /heads=3/time=13/embd=33/packed_latent=21/latent=19/data=realistic";
    tight(&mut shares, lowbit_kernels::lowrank_projection::KERNELS, id, 33.0);
    let id = "decoder_tail/weight=int8/activation=f32/weight_rule=onnx/activation_rule=none\
              /heads=3/time=13/latent=17/latent_total=57/dim=35/data=realistic";
    tight(&mut shares, lowbit_kernels::decoder_tail::KERNELS, id, 51.0);
    all_near(&shares);
}

#[test]
fn hadamard() {
    let mut shares = Shares::new();
    for (k, stages) in [(8, 3.0), (64, 6.0), (2048, 11.0)] {
        let id = format!("hadamard/m=3/k={k}/data=realistic");
        tight(&mut shares, lowbit_kernels::hadamard::KERNELS, &id, stages);
    }
    all_near(&shares);
}

#[test]
fn awq_search() {
    let mut shares = Shares::new();
    let id = "awq_search/weight=uint4/group_size=32/m=7/k=64/n=33/data=realistic";
    tight(&mut shares, lowbit_kernels::awq_search::KERNELS, id, 7.0 * 64.0 * 33.0);
    all_near(&shares);
}
