//! Every kernel in CubeCL as CUDA C++ and as WGSL, from small cases of the suite `gpu-smoke`.
//!
//! `cargo test --lib every_kernel_is_written -- --nocapture` prints them: the CUDA C++ of a kernel below a
//! line `//@ its name`, for `scripts/gpu/nvrtc.py` to compile, and its WGSL below `//@@ its name`.
use super::*;
use crate::context::{Context, Poison};
use crate::cube::{Cube, Words};
use crate::pool::Pool;
use crate::probe::Stream;
use crate::probe::device::DeviceProbe;
use crate::{Kernel, tensors};
use lowbit_reference::case::{Case, Value};
use lowbit_reference::data::NoFiles;
use lowbit_reference::format::{INT8, TERNARY2};
use lowbit_reference::op::Op;
use lowbit_reference::op::attention::Attention;
use lowbit_reference::op::conv2d::Conv2d;
use lowbit_reference::op::linear::Linear;
use lowbit_reference::op::nf4::dequantize::DequantizeNf4;
use lowbit_reference::op::nf4::quantize::QuantizeNf4;
use lowbit_reference::op::pool2d::Pool2d;
use lowbit_reference::op::projection::{DecoderTail, LowrankProjection, ProjectionOp};
use lowbit_reference::op::quantize::activation::QuantizeActivation;
use lowbit_reference::op::quantize::weight::QuantizeWeight;
use lowbit_reference::op::rho::decode::RhoDecode;
use lowbit_reference::op::rho::encode::RhoEncode;
use lowbit_reference::op::rho::pack::RhoPack;
use lowbit_reference::op::rho::unpack::RhoUnpack;
use lowbit_reference::rule::{Granularity, Range, Rule};
use lowbit_scenarios::Scenario;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Most values of a tensor of a case that is built here.
const VALUES: usize = 1 << 18;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Of the small cases of the suite that differ in sizes alone, the first and the last.
fn cases() -> Vec<Case> {
    let file = root().join("scenarios/suites/gpu-smoke.json");
    let text = std::fs::read_to_string(file).unwrap();
    let planned = Scenario::parse("gpu-smoke.json", &text).unwrap().expand().unwrap();
    let mut ends: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    for case in planned.into_iter().map(|planned| planned.case).filter(small) {
        let kinds = |(key, value): &(&str, &Value)| {
            !matches!(value, Value::Number(_)) && !["data", "distribution"].contains(key)
        };
        let words = case.parameters().filter(kinds);
        let words: Vec<String> = words.map(|(key, value)| format!("{key}={value}")).collect();
        // One channel a group is another kernel.
        let key = format!("{}/{}/{}", case.op(), words.join("/"), case.number("groups"));
        let ends = ends.entry(key).or_default();
        ends.truncate(1);
        ends.push(case);
    }
    ends.into_values().flatten().collect()
}

fn small(case: &Case) -> bool {
    // Where there is nothing to do, nothing is launched.
    if ["m", "n"].iter().any(|key| case.get(key).is_some() && case.number(key) == 0) {
        return false;
    }
    let sizes = ["n", "k", "rows", "columns", "elements"].map(|key| case.number(key).max(1));
    sizes.into_iter().product::<usize>() <= VALUES && case.word("data") != "adversarial"
}

/// Launch a row on the cases of its op that it accepts.
fn launch<O: Op>(cases: &[Case])
where
    Cube<Lists>: Kernel<O>,
{
    let mut context = Context::new(Pool::new(1).unwrap(), Hardware::detect(), Poison::Ones);
    let mut accepted = 0;
    for case in cases.iter().filter(|case| case.op() == O::SPEC.name) {
        let problem = O::generate(case, &NoFiles).unwrap();
        if Lists::ROWS.accepts(&problem).is_ok() {
            let mut prepared = Lists::ROWS.prepare(&problem, &mut context).unwrap();
            let launched = prepared.launch().and_then(|()| prepared.sync());
            assert_eq!(launched, Ok(()), "{case}");
            prepared.evict().and_then(|()| prepared.forget()).unwrap();
            accepted += 1;
        }
    }
    assert!(accepted > 0, "no case of {}", O::SPEC.name);
}

fn words(len: usize) -> tensors::Buffer {
    tensors::Buffer::new(Words::empty(&Lists::client(&Nowhere), len).handle(), len)
}

/// A layer of three heads of `[17, 9]` for an input of one; ten tokens, of which each has a scale, and
/// the weight, with one.
fn layer() -> (tensors::Shape, tensors::Codes, tensors::Codes) {
    let shape = tensors::Shape::Lowrank(LowrankProjection {
        batch: 2,
        input_heads: 1,
        heads: 3,
        time: 5,
        embd: 17,
        packed_latent: 9,
        latent: 9,
    });
    let client = Lists::client(&Nowhere);
    let absmax = Rule { granularity: Granularity::Row, ..Rule::default() };
    let absmean =
        Rule { range: Range::Absmean, granularity: Granularity::Tensor, ..Rule::default() };
    let x = tensors::quantize(&client, &words(10 * 17), [10, 17], (&absmax, &INT8));
    let w = tensors::quantize(&client, &words(51 * 9), [51, 9], (&absmean, &TERNARY2));
    (shape, x, w)
}

/// What a training step enqueues.
fn train() {
    let (client, (shape, x, w)) = (Lists::client(&Nowhere), layer());
    tensors::dequantize(&client, &w, [51, 9]);
    tensors::forward(&client, &shape, [&x, &w], Some(0.5));
    let g = words(2 * 3 * 5 * 9);
    tensors::grad_input(&client, &shape, &g, &w);
    tensors::grad_weight(&client, &shape, &x, &g);
}

/// What the peaks of a device are found with.
fn probe() {
    let mut context = Context::new(Pool::new(1).unwrap(), Hardware::detect(), Poison::Ones);
    let moves = Stream::ALL.map(|stream| DeviceProbe::Stream(stream, 1 << 16));
    let others = [DeviceProbe::Read(1 << 16), DeviceProbe::Dot(1), DeviceProbe::Fma(1)];
    for probe in moves.into_iter().chain(others) {
        crate::cube::probe::on::<Lists>(probe, &mut context).unwrap().launch().unwrap();
    }
}

/// Every text that the rows, a training step and the probes have compiled, once, in order.
fn listed() -> BTreeSet<Listed> {
    let cases = cases();
    launch::<Linear>(&cases);
    launch::<QuantizeWeight>(&cases);
    launch::<QuantizeActivation>(&cases);
    launch::<RhoPack>(&cases);
    launch::<RhoUnpack>(&cases);
    launch::<RhoEncode>(&cases);
    launch::<RhoDecode>(&cases);
    launch::<QuantizeNf4>(&cases);
    launch::<DequantizeNf4>(&cases);
    launch::<Attention>(&cases);
    launch::<Conv2d>(&cases);
    launch::<Pool2d>(&cases);
    launch::<ProjectionOp<LowrankProjection>>(&cases);
    launch::<ProjectionOp<DecoderTail>>(&cases);
    train();
    probe();
    Lists::listed()
}

/// The functions below `#[cube(launch)]`, each with the path of its module.
fn launched_functions(folder: &Path, module: &str) -> Vec<String> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let inner = if stem == "mod" { module.to_owned() } else { format!("{module}::{stem}") };
        if path.is_dir() {
            found.extend(launched_functions(&path, &inner));
        } else if path.extension().is_some_and(|e| e == "rs") && stem != "tests" {
            let text = std::fs::read_to_string(&path).unwrap();
            let after = text.split("\n#[cube(launch)]\n").skip(1);
            found.extend(after.map(|text| {
                let name = text.split("fn ").nth(1).unwrap();
                let name = name.split(['(', '<']).next().unwrap();
                format!("{inner}::{name}::")
            }));
        }
    }
    found
}

/// Functions that go through shared memory, and load four words at once where rows are long enough.
const TILED: [&str; 3] =
    ["cube::product::gemv::gemv", "cube::product::gemm::gemm", "attention::cube::kernel::attend"];

#[test]
fn every_kernel_is_written_in_both_languages() {
    let listed = listed();
    for kernel in &listed {
        println!("//@ {}\n{}", kernel.kernel, kernel.cuda);
        println!("//@@ {}\n{}", kernel.kernel, kernel.wgsl);
    }
    let of = |function: &str| -> Vec<&Listed> {
        listed.iter().filter(|l| l.kernel.starts_with(function)).collect()
    };
    // How a device of compute capability 7.0 and above is told sizes.
    assert!(listed.iter().any(|l| l.cuda.contains("__grid_constant__")));
    let functions = launched_functions(&root().join("kernels/src"), "lowbit_kernels");
    assert!(functions.len() > 15, "{functions:?}");
    for function in functions {
        assert!(!of(&function).is_empty(), "{function} was never launched");
    }
    for function in TILED {
        // Products of floats, and of integers.
        for element in ["<f32, f32", "<u32, i32"] {
            let of = of(&format!("lowbit_kernels::{function}::"));
            let of: Vec<&Listed> = of.into_iter().filter(|l| l.kernel.contains(element)).collect();
            for kernel in &of {
                let shared =
                    kernel.wgsl.contains("var<workgroup>") && kernel.cuda.contains("__shared__");
                assert!(shared, "{}: no shared memory\n{}", kernel.kernel, kernel.wgsl);
            }
            let loads_four = |l: &&&Listed| {
                l.wgsl.contains(": array<vec4<") && l.cuda.contains("_4* __restrict__ buffer_0")
            };
            assert!(of.iter().filter(loads_four).count() > 0, "{function}{element}: no vectors");
        }
    }
}

#[test]
fn a_training_step_copies_nothing_between_host_and_device() {
    let before = Lists::copies();
    // Quantizing is a part of it.
    train();
    assert_eq!(Lists::copies(), before);
    let context = Context::new(Pool::new(1).unwrap(), Hardware::detect(), Poison::Ones);
    let client = Client::<Lists>::open(&context).unwrap();
    let handle = client.upload(&[0; 4]).unwrap();
    assert_eq!(Lists::copies(), before + 1, "an upload was not seen");
    assert!(client.download(handle).is_err());
    assert_eq!(Lists::copies(), before + 2, "a download was not seen");
}

#[test]
fn buffers_that_are_short_and_scales_that_a_sum_mixes_are_refused() {
    let (client, (shape, x, w)) = (Lists::client(&Nowhere), layer());
    let refusal = |step: &dyn Fn()| -> String {
        let payload = catch_unwind(AssertUnwindSafe(step)).expect_err("it was not refused");
        payload
            .downcast_ref::<String>()
            .cloned()
            .or(payload.downcast_ref::<&str>().map(|s| (*s).into()))
            .unwrap()
    };
    let short = refusal(&|| drop(tensors::Buffer::new(words(4).handle(), 1 << 20)));
    assert!(short.starts_with("1048576 words of a buffer of "), "{short}");
    let short = refusal(&|| drop(tensors::grad_input(&client, &shape, &words(269), &w)));
    assert_eq!(short, "g: 269 words, must be 270");
    let own = tensors::Codes { per_row: true, scales: words(51), ..w.clone() };
    let mixed = refusal(&|| drop(tensors::forward(&client, &shape, [&x, &own], None)));
    assert_eq!(mixed, "w: a scale for each row, and sums mix rows");
    let tail = DecoderTail { batch: 1, heads: 2, time: 5, latent: 17, latent_total: 34, dim: 9 };
    let tail = tensors::Shape::Decoder(tail);
    let mixed = refusal(&|| drop(tensors::forward(&client, &tail, [&x, &w], None)));
    assert_eq!(mixed, "x: a scale for each row, and sums mix rows");
    let groups = Rule { granularity: Granularity::Group, group_size: 8, ..Rule::default() };
    let groups = refusal(&|| {
        drop(tensors::quantize(&client, &words(32), [2, 16], (&groups, &INT8)));
    });
    assert_eq!(groups, "Group: one scale, or one for each row");
}
