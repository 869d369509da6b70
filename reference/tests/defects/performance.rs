//! Defects 33 to 35: work that is done again and again. What is counted is the work.
use lowbit_reference::artifact::{Artifact, Cache};
use lowbit_reference::config::lowbit::{
    BitNetLowBitProtocol, LowBitActivationFormat, LowBitQuantizationConfig, LowBitTargetModule,
    LowBitWeightFormat,
};
use lowbit_reference::format::{INT8, Levels, TERNARY2};
use lowbit_reference::plan::{Capabilities, KernelPlan, PackedArtifacts, Want};
use lowbit_reference::rho::{RhoStatistics, State, StateShape, rho_compression};
use lowbit_reference::rule::{Code, burn_dragon};
use std::cell::Cell;

/// Structural, there being no device here: `pack_rho_int8_block_state_device` reads codes, scales,
/// reconstruction and original back to count statistics nobody asked for. Of ours, packing answers
/// codes and scales in one payload and takes no statistics; these are a value of their own, which
/// is not changed by anything but `record`.
#[test]
fn defect_33_packing_on_the_device_reads_everything_back() {
    let x: Vec<f32> = (0..64).map(|i| i as f32 - 31.5).collect();
    let codec = rho_compression("int8_block_exp").and_then(|known| known.codec).unwrap();
    let state = State::new(StateShape::new(&[1, 1, 2, 32]).unwrap(), &x).unwrap();
    let mut statistics = RhoStatistics::default();
    let payloads: Vec<_> = (0..10).map(|_| codec.encode(state, None).unwrap()).collect();
    // Two blocks of 32 codes and a scale: neither a reconstruction nor the original.
    assert!(payloads.iter().all(|payload| *payload == payloads[0] && payload.len() == 2 * 36));
    assert_eq!(statistics.calls(), 0);
    let kept = codec.decode(&payloads[0], state.shape(), None).unwrap();
    statistics.record(&x, &kept, 2 * 36).unwrap();
    assert_eq!(statistics.calls(), 1);
}

/// The source quantizes in every forward pass. An artifact is quantized once, and what is made of
/// it is made once for its content: also for the same weights quantized again.
#[test]
fn defect_33_weights_are_quantized_again_in_every_step() {
    let w: Vec<f32> = (0..64).map(|i| (i as f32 - 31.5) * 0.01).collect();
    let rule = burn_dragon(Levels::Ternary);
    let quantize = |w: &[f32]| Artifact::quantize(&TERNARY2, &rule, w, &[1, 64]).unwrap();
    let (artifact, made) = (quantize(&w), Cell::new(0));
    let mut cache = Cache::new(1).unwrap();
    let mut values = |artifact: &Artifact| {
        let make = || {
            made.set(made.get() + 1);
            artifact.values().unwrap()
        };
        cache.get_or_make(artifact.generation(), make).clone()
    };
    for _ in 0..10 {
        assert_eq!(values(&artifact), artifact.values().unwrap());
        assert_eq!(values(&quantize(&w)), artifact.values().unwrap());
    }
    assert_eq!(made.get(), 1);
    let other = quantize(&w.iter().map(|w| 2.0 * w).collect::<Vec<_>>());
    assert_eq!(values(&other), other.values().unwrap());
    assert_eq!(made.get(), 2);
}

/// Structural: the source reads two environment variables and writes the device's name in every
/// call, and so answers what they say. The crate reads no environment (`cargo test` would have to
/// change its own to show it); what can be shown is that plan, key and values follow from the
/// arguments alone: asked twice they are the same, and with other arguments they are others.
#[test]
fn defect_34_every_call_asks_the_environment_and_writes_its_key() {
    let rule = burn_dragon(Levels::Int8);
    let make = |w: &[f32]| Artifact::quantize(&INT8, &rule, w, &[1, 2]).unwrap();
    let (first, again, other) = (make(&[1.0, -2.0]), make(&[1.0, -2.0]), make(&[1.0, -3.0]));
    assert_eq!(first.generation(), again.generation());
    assert_eq!(first.values(), again.values());
    assert_ne!(first.generation(), other.generation());
    let config = LowBitQuantizationConfig {
        enable: true,
        protocol: BitNetLowBitProtocol::BitnetB158,
        decoder_x_mode: LowBitWeightFormat::Int8,
        act_format: LowBitActivationFormat::Int8,
        target_modules: vec![LowBitTargetModule::DecoderX],
        ..Default::default()
    };
    let plan = |x: Option<&Artifact>, want| {
        let artifacts = PackedArtifacts { x, ..Default::default() };
        KernelPlan::resolve(&config, artifacts, &Capabilities::new([]), want)
    };
    let native = plan(Some(&first), Want::Native);
    assert_eq!(plan(Some(&again), Want::Native), native);
    assert_ne!(plan(Some(&first), Want::ExactReference), native);
    assert_ne!(plan(None, Want::Native), native);
}

#[test]
fn defect_35_inner_loops_stride_over_the_weights() {
    /// Cache lines of 64 bytes that the weights of one output lie in.
    fn lines(k: usize, at: impl Fn(usize) -> usize) -> usize {
        let mut lines: Vec<usize> = (0..k).map(|k| at(k) / 64).collect();
        lines.sort_unstable();
        lines.dedup();
        lines.len()
    }
    let (k, n) = (256, 128);
    let code = |k: usize, n: usize| Code::try_from((k * 7 + n * 3) % 11).unwrap() - 5;
    // The source's weights are [embd, latent] and its inner loop runs over embd.
    let source: Vec<Code> = (0..k * n).map(|i| code(i / n, i % n)).collect();
    let output = 5;
    let strided = |k: usize| k * n + output;
    assert_eq!(lines(k, strided), k, "a line for each code");
    // Ours are rows of the codes that are summed together.
    let rows: Vec<Code> = (0..k * n).map(|i| code(i % k, i / k)).collect();
    let artifact = Artifact::pack(&INT8, &[n, k], vec![1.0], &rows).unwrap();
    let row = |k_: usize| output * k + k_;
    assert_eq!(lines(k, row), k / 64);
    // The same product either way.
    let x: Vec<i32> = (0..k).map(|k| i32::try_from(k % 5).unwrap() - 2).collect();
    let dot = |w: &dyn Fn(usize) -> i32| (0..k).map(|k| x[k] * w(k)).sum::<i32>();
    let there = dot(&|k| source[strided(k)].into());
    let here = dot(&|k| artifact.bytes()[row(k)].cast_signed().into());
    assert_eq!(there, here);
    assert_ne!(here, 0);
}
