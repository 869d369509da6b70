//! `check_kernel` on a row of every op: as it is, and with a mistake in its answer.
//!
//! The wrong ones are refused with a case that no single step makes smaller; and [`DRAWN`] mistakes that
//! nobody thought of are refused. With the feature `heavy` there are more of these, and the row as it is must be
//! accepted, too, which takes most of six minutes. Only the answer is touched here: `lowbit mutate` has faults of other kinds.
mod drawn;
mod wrong;
use drawn::Drawn;
use lowbit_harness::own::check_kernel_in;
use lowbit_harness::shrink::Fault;
use lowbit_kernels::{self as kernels, Kernel};
use lowbit_reference::hash::fnv1a;
use lowbit_reference::op::{Op, Outputs, Tensor};
use std::sync::Arc;
use wrong::Wrong;

/// What is wrong with the first output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// Its last element.
    Last,
    /// Its first element, from 200 elements on.
    FirstOfMany,
    /// Its middle element, from the second launch on.
    LaterLaunch,
}

/// Drawn mistakes of each op.
const DRAWN: u64 = if cfg!(feature = "heavy") { 12 } else { 1 };

impl Mistake {
    fn plant(self, outputs: &mut Outputs, launches: usize) {
        let Some((_, first)) = outputs.0.first_mut() else { return };
        let at = match (self, first.len()) {
            (Mistake::None, _) | (_, 0) => return,
            (Mistake::FirstOfMany, len) if len < 200 => return,
            (Mistake::LaterLaunch, _) if launches < 2 => return,
            (Mistake::Last, len) => len - 1,
            (Mistake::FirstOfMany, _) => 0,
            (Mistake::LaterLaunch, len) => len / 2,
        };
        match first {
            Tensor::F32(values) => values[at] = if values[at] == 1.0 { 2.0 } else { 1.0 },
            Tensor::I32(values) => values[at] = values[at].wrapping_add(1),
            Tensor::I8(values) => values[at] ^= 1,
            Tensor::U8(values) => values[at] ^= 1,
        }
    }
}

fn op<O: Op>(table: &'static [&'static dyn Kernel<O>]) {
    let row = |mistake: Mistake| {
        let plant = move |outputs: &mut Outputs, launches| mistake.plant(outputs, launches);
        Wrong::new(table[0], Arc::new(plant))
    };
    let folder = tempfile::tempdir().expect("a folder");
    if cfg!(feature = "heavy") {
        let report = check_kernel_in(row(Mistake::None), folder.path());
        println!("{}", report.unwrap_or_else(|refused| panic!("{refused}")));
    }
    for mistake in [Mistake::Last, Mistake::FirstOfMany, Mistake::LaterLaunch] {
        // The first output of a search has few elements on every case.
        if mistake == Mistake::FirstOfMany && O::SPEC.name == "awq_search" {
            continue;
        }
        let refused = check_kernel_in(row(mistake), folder.path());
        let refused = refused.err().unwrap_or_else(|| panic!("{mistake:?} is accepted"));
        let fault = if mistake == Mistake::LaterLaunch { Fault::Declared } else { Fault::Wrong };
        assert_eq!(refused.fault(), Some(fault), "{mistake:?}: {refused}");
        assert!(refused.minimal(), "{mistake:?}: {refused}");
        println!("{mistake:?}: {}", refused.smallest().expect("a case"));
    }
}

/// How many drawn mistakes of an op are refused, and how soon: a line each, and all of them are.
fn drawn<O: Op>(table: &'static [&'static dyn Kernel<O>]) {
    let (folder, name) = (tempfile::tempdir().expect("a folder"), O::SPEC.name);
    let mut accepted = Vec::new();
    for turn in 0..DRAWN {
        let drawn = Drawn::new(fnv1a(name.as_bytes()).wrapping_add(turn));
        let begun = lowbit_harness::measure::now();
        let refused = check_kernel_in(Wrong::new(table[0], drawn.mistake()), folder.path());
        let (found, seconds) = (refused.err(), begun.elapsed().as_secs_f64());
        let smallest = found.as_ref().and_then(|found| found.smallest());
        let minimal = found.as_ref().is_some_and(|found| found.minimal());
        println!("drawn,{name},{turn},{seconds:.2},{minimal},{}", smallest.is_some());
        if smallest.is_none() {
            accepted.push(drawn);
        }
    }
    assert!(accepted.is_empty(), "{accepted:?}");
}

macro_rules! ops {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            op(kernels::$name::KERNELS);
        })*

        mod drawn_mistakes {
            $(#[test]
            fn $name() {
                super::drawn(lowbit_kernels::$name::KERNELS);
            })*
        }

        #[test]
        fn every_op_is_here() {
            let here = [$(stringify!($name)),*];
            for op in lowbit_reference::op::OPS {
                assert!(here.contains(&op.name), "{} is not here", op.name);
            }
        }
    };
}

ops!(
    quantize_weight,
    quantize_activation,
    awq_search,
    pack,
    unpack,
    dequantize,
    quantize_blocks,
    dequantize_blocks,
    quantize_nf4,
    dequantize_nf4,
    quantize_int8,
    dequantize_int8,
    pack_linear,
    linear,
    conv2d,
    pool2d,
    lowrank_projection,
    decoder_tail,
    attention,
    hadamard,
    top_k,
    rho_pack,
    rho_unpack,
    rho_encode,
    rho_decode,
    rho_drift,
    fake_quantize,
);
