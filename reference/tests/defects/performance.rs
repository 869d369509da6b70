//! Defects 33 to 35: work that is done again and again. What is counted is the work.
use lowbit_reference::artifact::{Artifact, Cache};
use lowbit_reference::format::{INT8, Levels, TERNARY2};
use lowbit_reference::op::quantize::pack;
use lowbit_reference::rho::{RHO_BLOCK, RhoStatistics, rho_format};
use lowbit_reference::rule::{Code, burn_dragon, quantize};
use std::cell::Cell;
use std::fmt;

/// A tensor on a device; reading it back is counted.
struct OnDevice<'a> {
    values: Vec<f32>,
    reads: &'a Cell<usize>,
}

impl OnDevice<'_> {
    fn read(&self) -> Vec<f32> {
        self.reads.set(self.reads.get() + 1);
        self.values.clone()
    }
}

#[test]
fn defect_33_packing_on_the_device_reads_everything_back() {
    /// `pack_rho_int8_block_state_device`: codes, scales, reconstruction and original.
    fn source(tensors: &[OnDevice; 4]) {
        tensors.iter().for_each(|tensor| drop(tensor.read()));
    }
    let reads = Cell::new(0);
    let tensor = |values: &[f32]| OnDevice { values: values.to_vec(), reads: &reads };
    let x: Vec<f32> = (0..64).map(|i| i as f32 - 31.5).collect();
    let four = [&x[..], &x[..2], &x, &x].map(tensor);
    (0..10).for_each(|_| source(&four));
    assert_eq!(reads.take(), 40, "four transfers a call, wanted or not");
    // Ours packs what it is given and hands codes and scales over; statistics are a call of their
    // own, for whoever has both states and wants them.
    let format = rho_format("int8").unwrap();
    let state = four[0].read();
    let q = quantize(&format.rule(), format.codes.levels(), &state, RHO_BLOCK);
    let bytes = pack(format.codes, &q.codes, RHO_BLOCK);
    assert_eq!((reads.take(), bytes.len(), q.shared.len()), (1, 64, 2));
    let kept: Vec<f32> = q
        .codes
        .chunks(RHO_BLOCK)
        .zip(&q.shared)
        .flat_map(|(codes, shared)| codes.iter().map(|code| f32::from(*code) * shared.scale))
        .collect();
    let mut statistics = RhoStatistics::default();
    statistics.record(&state, &kept, 64 + 8).unwrap();
    assert_eq!((reads.get(), statistics.calls()), (0, 1));
}

#[test]
fn defect_33_weights_are_quantized_again_in_every_step() {
    let w: Vec<f32> = (0..64).map(|i| (i as f32 - 31.5) * 0.01).collect();
    let (there, here) = (Cell::new(0), Cell::new(0));
    let quantized = |count: &Cell<usize>| {
        count.set(count.get() + 1);
        quantize(&burn_dragon(Levels::Ternary), Levels::Ternary, &w, w.len())
    };
    let q = quantized(&Cell::new(0));
    let artifact = Artifact::pack(&TERNARY2, &[1, 64], q.scales(), &q.codes).unwrap();
    let mut cache = Cache::new(1).unwrap();
    for _ in 0..10 {
        let again = quantized(&there);
        let once = cache.get_or_make(artifact.generation(), || quantized(&here));
        assert_eq!(*once, again);
    }
    assert_eq!((there.get(), here.get()), (10, 1));
}

/// A device whose name takes work to write.
struct Device<'a> {
    named: &'a Cell<usize>,
}

impl fmt::Debug for Device<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named.set(self.named.get() + 1);
        f.write_str("device")
    }
}

#[test]
fn defect_34_every_call_asks_the_environment_and_writes_its_key() {
    let (named, asked) = (Cell::new(0), Cell::new(0));
    let device = Device { named: &named };
    let environment = |_: &str| {
        asked.set(asked.get() + 1);
        None::<String>
    };
    // The source's key and its two switches, read in the hot path.
    let source_key = || {
        let only = environment("BURN_DRAGON_LOWBIT_INFERENCE_DYNAMIC_SCALE_ONLY");
        let cached = environment("BURN_DRAGON_LOWBIT_INFERENCE_CACHED_SCALE");
        (only.is_none() && cached.is_some(), format!("{device:?}"))
    };
    (0..10).for_each(|_| drop(source_key()));
    assert_eq!((named.take(), asked.take()), (10, 20));
    // Ours: the key is a number that the artifact has, and there are no switches.
    let artifact = Artifact::pack(&INT8, &[1, 2], vec![1.0], &[1, 2]).unwrap();
    let (mut cache, made) = (Cache::new(1).unwrap(), Cell::new(0));
    for _ in 0..10 {
        cache.get_or_make(artifact.generation(), || made.set(made.get() + 1));
    }
    assert_eq!((named.get(), asked.get(), made.get()), (0, 0, 1));
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
