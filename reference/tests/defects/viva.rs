//! Defects of seed 000's library (viva_tensor): its formula and ours on the same input. Causal
//! masks within a block, truncation by code, "same" padding and refused AWQ groups have tests of
//! ours alone (`tests/layers/defects.rs`, `src/op/awq/tests.rs`).
use lowbit_reference::config::viva::{AttentionConfig, Int8Config};
use lowbit_reference::data::{Distribution, Stream, realistic};
use lowbit_reference::fake_quantize::{ByRule, FakeQuantize};
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::double_quant::{DoubleQuant, DoubleQuantized};
use lowbit_reference::format::nf4::{Absmax, Nf4, Nibbles};
use lowbit_reference::format::{BlockFormat, Levels, Q4_0};
use lowbit_reference::op::attention::{AttentionShape, CausalAlignment};
use lowbit_reference::op::int8::quantize_int8;
use lowbit_reference::quality::quality;
use lowbit_reference::rule::{Granularity, Rule};

/// The 512 by 512 normal weights of its benchmarks.
fn weights() -> Vec<f32> {
    realistic(Distribution::Normal, (3, Stream::Weight), (512 * 512, 512), 0.3)
}

fn sqnr(x: &[f32], values: Vec<f32>) -> f64 {
    quality(x, values).sqnr_db.expect("some noise")
}

fn nf4(block_size: usize, double_quant: Option<DoubleQuant>) -> Nf4 {
    Nf4::new(Table::Nf4, block_size, double_quant, Nibbles::HighFirst).unwrap()
}

/// Double quantization as it is there: codes of the scales are made, counted and never read.
struct Doubled {
    codes: Vec<u8>,
    absmax: Vec<f32>,
    scale_codes: Vec<i8>,
}

impl Doubled {
    fn new(x: &[f32]) -> Doubled {
        let tensor = nf4(64, None).quantize(x);
        let absmax = tensor.absmax().dequantize();
        let by = 127.0 / absmax.iter().fold(0.0f32, |a, b| a.max(*b));
        let scale_codes = absmax.iter().map(|a| (a * by).round() as i8).collect();
        Doubled { codes: tensor.codes(), absmax, scale_codes }
    }

    fn dequantize(&self) -> Vec<f32> {
        let value =
            |(i, code): (usize, &u8)| Table::Nf4.values()[usize::from(*code)] * self.absmax[i / 64];
        self.codes.iter().enumerate().map(value).collect()
    }

    fn claimed_bytes(&self) -> usize {
        self.codes.len() / 2 + self.scale_codes.len() + 4
    }

    fn needed_bytes(&self) -> usize {
        self.codes.len() / 2 + 4 * self.absmax.len()
    }
}

#[test]
fn quantized_scales_are_what_values_are_made_of() {
    let x = &weights()[..64 * 40];
    let mut there = Doubled::new(x);
    let values = there.dequantize();
    there.scale_codes.fill(0);
    assert_eq!(there.dequantize(), values, "no scale left, and nothing changes");
    assert_eq!(values, nf4(64, None).quantize(x).dequantize(), "as without double quantization");
    assert_eq!((there.claimed_bytes(), there.needed_bytes()), (1280 + 44, 1280 + 160));

    for scheme in DoubleQuant::ALL {
        let format = nf4(64, Some(scheme));
        let tensor = format.quantize(x);
        let Absmax::Double(stored) = tensor.absmax() else { panic!("{scheme:?}") };
        let scales = stored.dequantize();
        assert_ne!(scales, there.absmax, "{scheme:?}");
        // Values are table times the scale that came back, and follow its codes.
        let value =
            |(i, code): (usize, &u8)| Table::Nf4.values()[usize::from(*code)] * scales[i / 64];
        let want: Vec<f32> = tensor.codes().iter().enumerate().map(value).collect();
        assert_eq!(tensor.dequantize(), want, "{scheme:?}");
        let turned = stored.codes().iter().rev().copied().collect();
        let (absmax2, offset) = (stored.absmax2().to_vec(), stored.offset());
        let other = DoubleQuantized::new(scheme, turned, absmax2, offset).unwrap();
        let bytes = tensor.packed().to_vec();
        let other = format.tensor(bytes, Absmax::Double(other), x.len()).unwrap();
        assert_ne!(other.dequantize(), want, "{scheme:?}");
    }
    // By hand: 1 and 3 are 2 -+ 1, codes -128 and 127 (of 128).
    let stored = DoubleQuant::Int8Mean.quantize(&[1.0, 3.0]);
    assert_eq!((stored.codes(), stored.dequantize()), (&[128, 127][..], vec![1.0, 2.9921875]));
}

#[test]
fn sizes_are_those_of_bytes_that_are_stored() {
    // `n / 2` there: the nibble of an odd value is not counted.
    let there = |n: usize| n / 2 + 2 * n.div_ceil(64);
    let codes = |n: usize| nf4(64, None).quantize(&vec![1.0; n]).packed().len();
    assert_eq!((there(65) - 4, codes(65), codes(64)), (32, 33, 32));
    // Overhead a weight as claimed, and as it is with f32, f16 and double-quantized scales.
    let whole = vec![1.0; 1 << 17];
    for (block, claimed) in [(32, 0.69), (128, 0.44)] {
        let stored = |double| {
            let bytes = nf4(block, double).quantize(&whole).byte_len();
            8.0 * bytes as f64 / whole.len() as f64 - 4.0
        };
        let f16 = 16.0 / block as f64;
        let double = stored(Some(DoubleQuant::Fp8E4m3));
        for overhead in [stored(None), f16, double] {
            assert!((overhead - claimed).abs() > 0.1, "{block}: {overhead}");
        }
        assert_eq!(stored(None), 32.0 / block as f64);
        assert_eq!(double, (8.0 + 32.0 / 256.0) / block as f64);
    }
    // 3.1 GB for 7 billion weights: less than their codes alone.
    let gigabytes = |bits: f64| 7.0 * bits / 8.0;
    assert!(3.1 < gigabytes(4.0));
    assert!(gigabytes(nf4(64, Some(DoubleQuant::Dynamic8)).bits()) > gigabytes(4.0));
}

/// The native quantizer cuts fractions off: errors up to a whole step, so four times the noise.
#[test]
fn truncation_costs_six_decibels() {
    let x = weights();
    let ours = quantize_int8(&Int8Config::default(), &x).unwrap();
    let scale = ours.scales[0];
    let cut = x.iter().map(|x| (x / scale).clamp(-127.0, 127.0).trunc() * scale).collect();
    let (there, here) = (sqnr(&x, cut), sqnr(&x, ours.dequantize()));
    // Noise s^2 / 3 and s^2 / 12. A mean of n squares of a uniform error is off by a relative
    // 0.9 / sqrt(n); five of those are 0.04 dB.
    let power = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64;
    let calculated = |part: f64| 10.0 * (power * part / f64::from(scale).powi(2)).log10();
    assert!((there - calculated(3.0)).abs() < 0.04, "{there}");
    assert!((here - calculated(12.0)).abs() < 0.04, "{here}");
    // 32.9 and 38.9 dB, where the largest of the draw is as usual: 0.3 of sigma is 0.6 dB.
    assert!((there - 32.9).abs() < 0.6 && (here - 38.9).abs() < 0.6, "{there} {here}");
}

/// `clamp(15 x / absmax + 8, 0, 15)`: what is beyond half the range is cut off.
#[test]
fn four_bits_span_the_whole_range() {
    let quotient = |x: &f32, absmax: f32| x * (15.0 / absmax) + 8.0;
    let absmax = |block: &[f32]| block.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    let there = |x: &[f32], len: usize| -> Vec<f32> {
        let block = |block: &[f32]| -> Vec<f32> {
            let absmax = absmax(block);
            let code = |x| quotient(x, absmax).clamp(0.0, 15.0).round();
            block.iter().map(|x| (code(x) - 8.0) * (absmax / 15.0)).collect()
        };
        x.chunks(len).flat_map(block).collect()
    };
    let here = |x: &[f32]| Q4_0.decode(&Q4_0.encode(x).unwrap()).unwrap();
    // By hand: the largest becomes 7/15 of itself, the least 8/15; ours is -8 steps, or 7 of 8.
    let mut x = [0.0; 32];
    (x[0], x[1]) = (-15.0, 15.0);
    assert_eq!(there(&x, 32)[..2], [-8.0, 7.0]);
    assert_eq!(here(&x)[..2], [-15.0, 13.125]);
    // Calculated on normal data. 3 % of the noise, see `Quality::unexpected`, are 0.13 dB; five
    // standard errors of a share of a quarter of 2^18 values are 0.0042.
    let x = weights();
    for (len, decibels, share) in [(32, 10.0, 0.256), (64, 11.0, 0.207)] {
        let wrong = sqnr(&x, there(&x, len));
        assert!((wrong - decibels).abs() < 0.18, "{len}: {wrong}, given to a tenth");
        let saturated = x.chunks(len).map(|block| {
            let absmax = absmax(block);
            block.iter().filter(|x| !(0.0..=15.0).contains(&quotient(x, absmax))).count()
        });
        let found = saturated.sum::<usize>() as f64 / x.len() as f64;
        assert!((found - share).abs() < 0.0047, "{len}: {found}, given to a thousandth");
    }
    let right = sqnr(&x, here(&x));
    assert!((right - 21.31).abs() < 0.13, "{right}");
}

/// 130 values in groups of 128 are two groups; `130 / 2` is not their size.
#[test]
fn a_partial_group_has_its_own_scale_and_no_other() {
    // Steps of 1 for 128 values, of 0.5 / 127 for the two that are left.
    let mut x = vec![40.25f32; 130];
    (x[0], x[128], x[129]) = (127.0, 0.5, 0.5);
    let there = |x: &[f32]| -> Vec<f32> {
        let scale = |group: &[f32]| group.iter().fold(0.0f32, |a, b| a.max(b.abs())) / 127.0;
        let scales: Vec<f32> = x.chunks(128).map(scale).collect();
        let codes = x.iter().enumerate().map(|(i, x)| (x / scales[i / 128]).round());
        let size = x.len() / scales.len();
        codes.enumerate().map(|(i, code)| code * scales[i / size]).collect()
    };
    let rule = Rule { granularity: Granularity::Group, group_size: 128, ..Rule::default() };
    let here = ByRule { rule, levels: Levels::Int8 }.fake_quantize(&x, &[1, 130]).unwrap();
    let found = there(&x);
    let lost = 40.0 * (0.5 / 127.0);
    assert_eq!((found[64], found[65], found[127]), (40.0, lost, lost), "half of the first group");
    let mut want = vec![40.0f32; 130];
    (want[0], want[128], want[129]) = (127.0, 0.5, 0.5);
    assert_eq!(here, want);
}

/// Blocks of 64 keys are skipped from two blocks ahead on, and nothing within a block is hidden.
#[test]
fn a_causal_query_sees_no_future_key() {
    let there = |len: usize| {
        let attended = |i: usize, j: usize| j / 64 * 64 <= i / 64 * 64 + 64;
        (0..len).map(|i| (i + 1..len).filter(|j| attended(i, *j)).count()).sum::<usize>()
    };
    assert_eq!((there(128), there(512)), (8128, 44_800));
    for len in [128, 512] {
        let shape = AttentionShape {
            config: AttentionConfig::new(1, 1).causal(),
            batch: 1,
            kv_heads: 1,
            query_len: len,
            key_len: len,
            value_dim: 1,
            alignment: CausalAlignment::TopLeft,
            seed: 0,
        };
        assert!((0..len).all(|i| shape.visible(i) == i + 1), "{len}");
    }
}

/// Its logarithm stops at 4.6, so no signal is more than 19.98 dB above its noise.
#[test]
fn decibels_have_no_ceiling() {
    let there = |ratio: f64| 10.0 * ratio.ln().min(4.6) / std::f64::consts::LN_10;
    // Noise 1 under 10^4 and under 10^8.
    for (x, ratio, want) in [(100.0, 1e4, 40.0), (10_000.0, 1e8, 80.0)] {
        assert!((there(ratio) - 19.98).abs() < 0.005);
        let here = sqnr(&[x], vec![x + 1.0]);
        assert!((here - want).abs() < 1e-9, "{here}");
    }
    // The "40 %" of its INT8 is that ceiling over the 49.92 dB of theory; it is 78 %.
    let x = weights();
    let here = sqnr(&x, quantize_int8(&Int8Config::default(), &x).unwrap().dequantize());
    let share = |db: f64| (100.0 * db / 49.92).round();
    assert_eq!((share(there(10f64.powf(here / 10.0))), share(here)), (40.0, 78.0));
}
