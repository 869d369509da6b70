//! Sizes that take more than one tile, part or dimension, which conformance is too small for; and
//! what becomes of errors. Without a device these tests say so and pass.
use super::*;
use crate::context::Poison;
use crate::pool::Pool;
use crate::{Kernel, Prepared, linear, quantize_activation, quantize_weight, rho_pack, rho_unpack};
use lowbit_reference::case::Case;
use lowbit_reference::data::NoFiles;
use lowbit_reference::format::{INT8, SIGN1, TERNARY2, WeightFormat};
use lowbit_reference::judge::judge;
use lowbit_reference::op::Op;
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::rule::{Range, Rounding, Rule};
use std::sync::Arc;

fn context() -> Option<Context> {
    filled_with(Poison::Ones)
}

fn filled_with(poison: Poison) -> Option<Context> {
    let hardware = Hardware::detect();
    if let Err(why) = &hardware.wgpu {
        println!("not run: {why}");
        return None;
    }
    Some(Context::new(Pool::new(1).unwrap(), hardware, poison))
}

fn agrees<O: Op>(kernels: &[&dyn Kernel<O>], ids: &[&str]) {
    for id in ids {
        let case: Case = id.parse().unwrap();
        agrees_on(kernels, &O::generate(&case, &NoFiles).unwrap());
    }
}

fn agrees_on<O: Op>(kernels: &[&dyn Kernel<O>], problem: &O::Problem) {
    let Some(mut context) = context() else { return };
    let kernel = kernels.iter().find(|k| k.name() == "cube-wgpu").unwrap();
    kernel.accepts(problem).unwrap();
    let mut prepared = kernel.prepare(problem, &mut context).unwrap();
    let copies = prepared.host_copies();
    assert!(copies > 0);
    prepared.launch().and_then(|()| prepared.launch()).and_then(|()| prepared.sync()).unwrap();
    assert_eq!(prepared.host_copies(), copies);
    assert!(prepared.device_bytes().unwrap() > 0);
    let software = context.hardware().wgpu.as_ref().unwrap().software;
    assert_eq!(prepared.device_caches(), !software);
    if prepared.device_clock() {
        // Below ten seconds (software takes two and more), and no step of a clock. Off once in some
        // sixty times where other tests use the device meanwhile; rows are timed alone.
        let times: Vec<f64> = (0..2).map(|_| prepared.device_time().unwrap()).collect();
        assert!(times.iter().any(|time| (100.0..1e10).contains(time)), "{times:?} ns");
    }
    let outputs = prepared.read().unwrap();
    let reference = O::reference(problem);
    let expectation = O::expect(problem, &reference, kernel.arithmetic(problem), &outputs);
    assert_eq!(judge(&expectation, &outputs).fault, None);
}

/// One row of values that a rule turns into a scale of 1, or of another power of two.
fn planted(rule: Rule, format: &'static dyn WeightFormat, x: &[f32]) -> QuantizeProblem {
    QuantizeProblem {
        x: Arc::new(x.to_vec()),
        rows: 1,
        row_len: x.len(),
        group_len: x.len(),
        rule,
        format,
        packed_len: x.len(),
        exact: true,
        distribution: None,
        sigma: 1.0,
    }
}

#[test]
fn ties_zeros_thresholds_and_ends_of_the_range_are_exact() {
    let weight = |rule, format, x: &[f32]| {
        agrees_on(quantize_weight::KERNELS, &planted(rule, format, x));
    };
    let absmax = Rule { steps: 128.0, min_code: -128, ..Rule::default() };
    for rounding in [Rounding::HalfEven, Rounding::HalfAway] {
        for min_code in [-128, -127] {
            let rule = Rule { rounding, min_code, ..absmax };
            weight(rule, &INT8, &[128.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 0.0, 126.5, -127.5]);
            weight(rule, &INT8, &[-128.0, 0.49999997, -0.49999997, 127.5, -126.5, 3.5]);
        }
    }
    let absmean = Rule { range: Range::Absmean, steps: 1.0, ..Rule::default() };
    for flag in [false, true] {
        let rule = Rule { inclusive: flag, threshold: 0.5, ..absmean };
        weight(rule, &TERNARY2, &[1.5, 0.5, -0.5, -1.5]);
        weight(Rule { zero_is_positive: flag, ..absmean }, &SIGN1, &[0.0, -0.0, 2.0, -2.0]);
        let rule = Rule { zero_is_positive: flag, centred: true, ..absmean };
        weight(rule, &SIGN1, &[1.0, 2.0, 0.0, 1.0]);
    }
}

#[test]
fn products_of_many_tiles_agree() {
    let ids = [
        "linear/weight=ternary2/activation=int8/weight_rule=b158/activation_rule=b158\
         /m=17/k=515/n=129/data=realistic",
        "linear/weight=sign1/activation=f32/weight_rule=b1/activation_rule=none\
         /m=67/k=257/n=65/data=exact",
        "linear/weight=int8/activation=int8/weight_rule=absmax/activation_rule=absmax\
         /m=130/k=96/n=64/data=realistic",
        "linear/weight=int8/activation=f32/weight_rule=absmax/activation_rule=none\
         /m=64/k=1025/n=200/data=realistic",
    ];
    agrees(linear::KERNELS, &ids);
}

#[test]
fn products_of_more_cubes_than_one_dimension_holds_agree() {
    let ids = ["linear/weight=sign1/activation=int8/weight_rule=burn_dragon\
         /activation_rule=absmax/m=1/k=8/n=600000/data=realistic"];
    agrees(linear::KERNELS, &ids);
}

#[test]
fn a_group_of_more_parts_than_a_cube_has_units_agrees() {
    let ids = [
        "quantize_weight/weight=sign1/weight_rule=b1/k=4099/n=520/data=realistic",
        "quantize_weight/weight=ternary2/weight_rule=b158/k=4099/n=520/data=exact",
        "quantize_weight/weight=int8/weight_rule=onnx/k=4099/n=520/data=realistic",
    ];
    agrees(quantize_weight::KERNELS, &ids);
    let ids = ["quantize_activation/activation_rule=b158/m=3/k=20001/data=realistic"];
    agrees(quantize_activation::KERNELS, &ids);
}

#[test]
fn more_rows_and_blocks_than_one_dimension_of_cubes_holds_agree() {
    let ids = ["quantize_weight/weight=int8/weight_rule=absmax/k=3/n=70000/data=realistic"];
    agrees(quantize_weight::KERNELS, &ids);
    let ids = ["rho_pack/format=ternary/elements=16780001/data=realistic"];
    agrees(rho_pack::KERNELS, &ids);
    let ids = ["rho_unpack/format=binary/elements=16780001/data=realistic"];
    agrees(rho_unpack::KERNELS, &ids);
}

#[cube(launch)]
fn too_much_shared_memory(out: &mut Array<u32>) {
    let mut shared = SharedMemory::<u32>::new(1048576usize);
    shared[UNIT_POS as usize] = UNIT_POS;
    sync_cube();
    out[UNIT_POS as usize] = shared[UNIT_POS as usize];
}

#[cube(launch)]
fn writes_to(out: &mut Array<u32>, at: u32) {
    if UNIT_POS == 0 {
        out[at as usize] = 7;
    }
}

#[test]
fn a_kernel_that_cannot_be_built_is_a_failure_and_the_next_one_is_not() {
    let Some(mut context) = context() else { return };
    let mut session = Session::<WgpuRuntime>::open(&context).unwrap();
    let out = session.output(&mut context, "out", 32).unwrap();
    let client = session.client.launcher().clone();
    let (count, dim) = (spread(1), CubeDim::new_1d(32));
    too_much_shared_memory::launch::<WgpuRuntime>(&client, count.clone(), dim, out.arg());
    let why = session.client.sync().unwrap_err().0;
    assert!(why.contains("shared memory") && why.len() < 500, "{why}");
    too_much_shared_memory::launch::<WgpuRuntime>(&client, count.clone(), dim, out.arg());
    assert!(session.read::<u32>(&out).is_err());
    writes_to::launch::<WgpuRuntime>(&client, count, dim, out.arg(), 31);
    assert_eq!(session.read::<u32>(&out).unwrap()[30..], [u32::MAX, 7]);
}

#[test]
fn a_write_past_an_output_is_a_failure() {
    let Some(mut context) = context() else { return };
    let mut session = Session::<WgpuRuntime>::open(&context).unwrap();
    let out = session.output(&mut context, "out", 3).unwrap();
    let dim = CubeDim::new_1d(32);
    writes_to::launch::<WgpuRuntime>(session.client.launcher(), spread(1), dim, out.arg(), 3);
    let why = session.read::<u32>(&out).unwrap_err().0;
    assert_eq!(why, "wrote past the end of device buffer `out`");
}

#[test]
fn a_launch_that_copies_is_seen() {
    let Some(mut context) = context() else { return };
    let mut session = Session::<WgpuRuntime>::open(&context).unwrap();
    let out = session.output(&mut context, "out", 1).unwrap();
    let (words, client) = (out.words(), session.client.clone());
    let enqueue = move |_: &ComputeClient<WgpuRuntime>| {
        let there_and_back = client.download(words.handle.clone());
        client.upload(&there_and_back.unwrap()).unwrap();
    };
    let mut ready = Ready::new(session, enqueue, floats("out", out));
    let copies = ready.host_copies();
    ready.launch().unwrap();
    assert_eq!(ready.host_copies(), copies + 2);
}

#[test]
fn buffers_begin_behind_nan_under_the_second_filling() {
    for (poison, is_behind) in [(Poison::Ones, false), (Poison::Sevens, true)] {
        let Some(context) = filled_with(poison) else { return };
        let session = Session::<WgpuRuntime>::open(&context).unwrap();
        let words = session.upload(&[1u32, 2, 3]).unwrap();
        let mut whole = words.handle();
        let lead = whole.offset_start.take().unwrap_or(0) as usize;
        assert_eq!(lead >= LEAD as usize, is_behind);
        let bytes = session.client.download(whole).unwrap();
        assert!(bytes[..lead].iter().all(|byte| *byte == 0xff));
        assert_eq!(u32::from_bytes(&bytes[lead..]), [1, 2, 3]);
    }
}

#[test]
fn a_write_before_an_output_is_a_failure() {
    let Some(mut context) = filled_with(Poison::Sevens) else { return };
    let mut session = Session::<WgpuRuntime>::open(&context).unwrap();
    let out = session.output(&mut context, "out", 3).unwrap();
    let launch = |words: &Words, at: u32| {
        let dim = CubeDim::new_1d(32);
        writes_to::launch::<WgpuRuntime>(
            session.client.launcher(),
            spread(1),
            dim,
            words.arg(),
            at,
        );
    };
    launch(&out.words, 2);
    assert_eq!(session.read::<u32>(&out).unwrap()[2], 7);
    // What lies before it, as a buffer: its last word.
    let mut whole = out.words.handle();
    let lead = whole.offset_start.take().unwrap() as usize / 4;
    launch(&Words::of(whole, lead + 3), word(lead - 1));
    let why = session.read::<u32>(&out).unwrap_err().0;
    assert_eq!(why, "wrote before the beginning of device buffer `out`");
}

#[test]
fn what_is_not_finite_is_refused_by_quantizers() {
    for (value, refused) in [(1.0, false), (f32::NAN, true), (f32::NEG_INFINITY, true)] {
        let problem = planted(Rule::default(), &INT8, &[2.0, value]);
        let kernel = quantize_weight::KERNELS.iter().find(|k| k.name() == "cube-wgpu").unwrap();
        assert_eq!(kernel.accepts(&problem).is_err(), refused, "{value}");
    }
}

#[test]
fn a_buffer_beyond_the_device_is_refused_with_both_sizes() {
    assert_eq!(WGPU.binds(1 << 20), Ok(()));
    if context().is_some() {
        let why = WGPU.binds(1 << 33).unwrap_err();
        assert!(why.contains("needs a buffer of 8589935360 bytes, the device binds"), "{why}");
    }
}

#[test]
fn without_a_device_there_is_a_reason_and_no_panic() {
    let hardware = Hardware::without_devices("no adapter");
    let context = Context::new(Pool::new(1).unwrap(), hardware, Poison::Ones);
    let failure = Session::<WgpuRuntime>::open(&context).err();
    assert_eq!(failure, Some(Failure("no adapter".into())));
}

#[test]
fn rows_are_padded_to_whole_words() {
    let bytes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    assert_eq!(padded(&bytes, 5, 2), [0x0403_0201, 5, 0x0908_0706, 10]);
    assert_eq!(padded(&bytes[..2], 2, 3), [0x0201, 0, 0]);
}

#[test]
fn cubes_beyond_one_dimension_go_into_a_second() {
    for cubes in [0, 1, 65_535, 65_536, 200_000, 1 << 28] {
        let CubeCount::Static(x, y, 1) = spread(cubes) else { panic!("not static") };
        let spare = x as usize * y as usize - cubes;
        assert!(x.max(y) <= 65_535 && spare <= y as usize, "{cubes}: {x} {y}");
    }
}
