//! Defects 1, 6 to 10 and 12: answers that are wrong (2 and 11, which need gradients, are in
//! `straight_through`; 3 to 5 in `caches`).
use crate::source::{fake, packing, quantize as source};
use lowbit_reference::artifact::Artifact;
use lowbit_reference::fake_quantize::{ByRule, FakeQuantize};
use lowbit_reference::format::{INT8, Levels, SIGN1, UINT8, WeightFormat};
use lowbit_reference::op::projection::{
    Accumulator, Coded, Contraction, DecoderTail, IntegerProjection,
};
use lowbit_reference::quality::quality;
use lowbit_reference::rho::{RelativeGate, RhoGate, RhoStatistics};
use lowbit_reference::rule::{
    Code, EpsilonUse, Granularity, Groups, Quantized, Range, Rule, activation_rule, burn_dragon,
    named, quantize, weight_rule,
};

const EVERY_LEVELS: [Levels; 6] =
    [Levels::Sign, Levels::Ternary, Levels::Int4, Levels::Uint4, Levels::Int8, Levels::Uint8];

const NON_FINITE: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// What the codes of groups of `group_len` values stand for.
fn values(rule: &Rule, q: &Quantized, group_len: usize) -> Vec<f32> {
    let value = |(i, code): (usize, &Code)| rule.value(*code, &q.shared[i / group_len]);
    q.codes.iter().enumerate().map(value).collect()
}

#[test]
fn defect_01_u8_codes_read_as_i8() {
    let x: Vec<f32> = (0..8u8).map(|i| f32::from(i) * 0.25).collect();
    // Mean 0.875, so 255 codes for 1.75: 36.4 a quarter.
    let want = [0u8, 36, 73, 109, 146, 182, 219, 255];
    assert_eq!(source::positive(&x).1, want);
    assert_eq!(packing::as_i8(&want), [0, 36, 73, 109, -110, -74, -37, -1]);
    // Their sum, as a host's packer or a CUDA kernel reads them, as WGSL clamps them, as it is.
    let wrapped: i32 = packing::as_i8(&want).into_iter().map(i32::from).sum();
    let clamped: i32 = want.into_iter().map(|code| i32::from(code.min(127))).sum();
    assert_eq!((wrapped, clamped), (-4, 726));
    let q = quantize(&burn_dragon(Levels::Uint8), Levels::Uint8, &x, 8);
    assert_eq!(q.codes, want.map(Code::from));
    assert_eq!(UINT8.pack(&q.codes).unwrap(), want);
    assert_eq!(UINT8.unpack(&want, 8).unwrap(), q.codes);
    assert_eq!(INT8.pack(&q.codes).unwrap_err().index, 4, "146 is no i8 code");
    let problem = IntegerProjection {
        shape: DecoderTail { batch: 1, heads: 1, time: 1, latent: 8, latent_total: 8, dim: 1 },
        input: Coded { codes: &want, limit: 255, scales: &q.scales() },
        weight: Coded { codes: &[1i8; 8], limit: 1, scales: &[1.0] },
        accumulator: Accumulator::I32,
        relu_threshold: None,
    };
    assert_eq!(problem.sums(), Ok(vec![1020]));
}

#[test]
fn defect_06_a_scale_per_tensor_that_is_called_per_token() {
    // Its own absmax is 127, so its codes are the values, a half rounded to even.
    let token = [127.0, -3.0, 40.5, 0.0];
    let with = |other: f32| [token.to_vec(), vec![other; 4]].concat();
    let (small, large) = (with(0.1), with(9000.0));
    assert_ne!(fake::signed(&small, 127.0)[..4], fake::signed(&large, 127.0)[..4]);
    let per_token = activation_rule("absmax", Levels::Int8).unwrap();
    let ours = ByRule { rule: per_token, levels: Levels::Int8 };
    for x in [&small, &large] {
        // [B, H, T, E], and the other token before or after.
        let shapes: [&[usize]; 3] = [&[2, 4], &[1, 1, 2, 4], &[2, 1, 1, 4]];
        for shape in shapes {
            let q = ours.fake_quantize(x, shape).unwrap();
            assert_eq!(q[..4], [127.0, -3.0, 40.0, 0.0], "{shape:?}");
            let turned = [&x[4..], &x[..4]].concat();
            assert_eq!(ours.fake_quantize(&turned, shape).unwrap()[4..], q[..4]);
        }
    }
    // No published rule has a scale for all tokens; the source's, and ONNX's, say that they do.
    for word in named::activation_rule_words() {
        let Some(rule) = activation_rule(word.name, Levels::Int8) else { continue };
        let whole = ["burn_dragon", "onnx"].contains(&word.name);
        assert_eq!(rule.granularity == Granularity::Tensor, whole, "{}", word.name);
    }
}

#[test]
fn defect_07_a_mean_summed_in_f32() {
    let rule = burn_dragon(Levels::Ternary);
    // 2^20: too small. 2^22: above the value itself, and every code is 0.
    for (len, there, code) in [(1 << 20, 0.019_721_22, 1), (1 << 22, 0.020_369_49, 0)] {
        let x = vec![0.02f32; len];
        let (scale, codes) = source::ternary(&x);
        assert_eq!(scale, there);
        assert!(codes.iter().all(|c| *c == code));
        // The mean of a constant is the constant.
        let q = quantize(&rule, Levels::Ternary, &x, len);
        assert_eq!(q.scales(), [0.02]);
        assert!(q.codes.iter().all(|c| *c == 1));
    }
}

#[allow(clippy::cast_sign_loss, reason = "the defect: a size as a float, and back")]
fn through_f32(size: usize) -> usize {
    size as f32 as usize
}

/// Ours passes sizes as integers, from [`Groups`] over the packers to [`Contraction::terms`].
#[test]
fn defect_08_sizes_that_pass_through_f32() {
    let len = (1 << 24) + 1;
    assert_eq!(through_f32(len), len - 1, "the last code is never written");
    assert_eq!(through_f32(len + 2), len + 3, "a code that is not there is written");
    // The source's kernel: `index < total`, into a tensor of whatever was there.
    let rule = burn_dragon(Levels::Ternary);
    let mut x = vec![0.0f32; len];
    x[len - 1] = 1.0;
    let mut source = vec![77i8; len];
    let written = source.iter_mut().zip(&x).take(through_f32(len));
    written.for_each(|(code, x)| *code = i8::from(*x > 0.5));
    assert_eq!((source[len - 2], source[len - 1]), (0, 77));
    let q = quantize(&rule, Levels::Ternary, &x, len);
    assert_eq!((q.codes[len - 2], q.codes[len - 1]), (0, 1));
    // Groups: the last has the last value and no other.
    let groups = Groups::runs(len, 1 << 24);
    assert_eq!(groups.positions(1).collect::<Vec<_>>(), [len - 1]);
    let by_rows = Rule { granularity: Granularity::Row, ..rule };
    let rows = Groups::matrix(&by_rows, (3, len)).unwrap();
    let last = |group| rows.positions(group).last().unwrap();
    assert_eq!([0, 1, 2].map(last), [len - 1, 2 * len - 1, 3 * len - 1]);
    // Packing: eight signs a byte, and a byte for the one that is left.
    assert_eq!(SIGN1.row_bytes(len), (1 << 21) + 1);
    let mut signs = vec![-1; len];
    signs[len - 1] = 1;
    let bytes = SIGN1.pack(&signs).unwrap();
    assert_eq!((bytes.len(), bytes[1 << 21]), ((1 << 21) + 1, 1));
    // Products: the last column, which no f32 is, of both rows.
    let dim = len + 1;
    let shape = DecoderTail { batch: 1, heads: 1, time: 1, latent: 2, latent_total: 2, dim };
    shape.validate().unwrap();
    let terms: Vec<_> = shape.terms(len).collect();
    assert_eq!(terms, [(0, len), (1, dim + len)]);
    assert_eq!(shape.channel(dim + len), len);
}

/// Every choice of a statistic and of what epsilon does with it.
fn statistics() -> Vec<Rule> {
    let ranges = [Range::Absmax, Range::Absmean, Range::Minmax];
    let uses =
        [EpsilonUse::FloorScale, EpsilonUse::FloorStatistic, EpsilonUse::Add, EpsilonUse::Unit];
    let rule = |range| uses.map(|epsilon_use| Rule { range, epsilon_use, ..Rule::default() });
    let plain: Vec<Rule> = ranges.into_iter().flat_map(rule).collect();
    let variants = |rule: &Rule| {
        let centred = Rule { centred: true, zero_is_positive: true, ..*rule };
        let kept = Rule { kept_mean: true, threshold: 0.0, ..*rule };
        let inclusive = Rule { inclusive: true, threshold: 1.0, ..kept };
        [*rule, centred, kept, inclusive, Rule { with_zero: true, ..*rule }]
    };
    plain.iter().flat_map(variants).collect()
}

#[test]
fn defect_09_non_finite_values_saturate_or_hide() {
    let x = [1.0, f32::NAN, 0.5, -0.5];
    assert_eq!(source::signed(&x, 127.0), (1e-8, vec![127, 0, 127, -127]));
    assert_eq!(source::ternary(&x), (1e-8, vec![1, -1, 1, -1]));
    assert_eq!(source::binary(&x), (1e-8, vec![1, -1, 1, -1]));
    assert_eq!(source::absmax(&[1.0, f32::INFINITY]), (f32::INFINITY, vec![0, 0]));

    // Three groups; a value of the second is not finite: its group is lost and seen to be, the
    // others are what they were.
    let clean = [0.5, -1.0, 0.25, 2.0, 1.0, -0.5, 3.0, 0.75, -4.0, 8.0, 0.0, 1.5];
    let rules = EVERY_LEVELS
        .into_iter()
        .flat_map(|levels| statistics().into_iter().map(move |rule| (levels, rule)));
    for (levels, rule) in rules {
        for (at, bad) in (4..8).flat_map(|at| NON_FINITE.map(|bad| (at, bad))) {
            let mut x = clean;
            x[at] = 0.0;
            let zero = quantize(&rule, levels, &x, 4);
            x[at] = bad;
            let q = quantize(&rule, levels, &x, 4);
            let case = format!("{levels:?} {rule:?} {bad} at {at}");
            for (group, codes) in [(0, 0..4), (2, 8..12)] {
                assert_eq!(q.shared[group], zero.shared[group], "{case}");
                assert_eq!(q.codes[codes.clone()], zero.codes[codes], "{case}");
            }
            // Negative values count as zeros where no code is negative.
            if levels.unsigned() && rule.range != Range::Minmax && bad == f32::NEG_INFINITY {
                assert_eq!((q.scales(), q.codes), (zero.scales(), zero.codes), "{case}");
                continue;
            }
            let left = &values(&rule, &q, 4)[4..8];
            assert!(left.iter().all(|value| !value.is_finite()), "{case}: {left:?}");
            if !matches!(levels, Levels::Sign | Levels::Ternary) {
                assert_eq!(q.codes[4..8], [q.shared[1].zero_point; 4], "{case}");
                assert!(left.iter().all(|value| value.is_nan()), "{case}: {left:?}");
            }
        }
    }
}

#[test]
fn defect_09_a_nan_is_no_error_of_zero() {
    let (x, q) = ([1.0, f32::NAN], [1.0, 0.0]);
    let there = x.iter().zip(&q).map(|(x, q): (&f32, &f32)| (x - q).abs()).fold(0.0, f32::max);
    assert_eq!(there, 0.0);
    let ours = quality(&x, q);
    assert!(ours.max_abs_error.is_nan() && ours.mean_abs_error.is_nan());
    // And nothing outlives whoever counts: the source's sums are the process's, NaN for good.
    let (mut first, mut second) = (RhoStatistics::default(), RhoStatistics::default());
    first.record(&x, &q, 2).unwrap();
    second.record(&[1.0, 3.0], &[1.0, 2.0], 2).unwrap();
    assert!(first.quality().mean_abs_error.is_nan());
    assert_eq!(second.quality().mean_abs_error, 0.5);
}

#[test]
fn defect_10_zeros_that_come_back_as_something() {
    let zeros = [0.0f32; 8];
    assert_eq!(source::binary(&zeros), (1e-8, vec![1; 8]), "so 1e-8 comes back");
    let words = named::weight_rule_words().into_iter().chain(named::activation_rule_words());
    let rules = words.flat_map(|word| {
        EVERY_LEVELS.map(|levels| {
            let rules = [weight_rule(word.name, levels), activation_rule(word.name, levels)];
            (levels, rules)
        })
    });
    let mut checked = 0;
    for (levels, rules) in rules.filter(|(levels, _)| *levels != Levels::Sign) {
        for rule in rules.into_iter().flatten() {
            let q = quantize(&rule, levels, &zeros, 8);
            assert_eq!(values(&rule, &q, 8), zeros, "{levels:?} {rule:?}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
    // A sign has no zero. A rule without a floor has a scale of 0; where there is a floor the
    // gate sees what the source's, which divides by zero, does not.
    let b1 = weight_rule("b1", Levels::Sign).unwrap();
    let exact = Rule { epsilon_use: EpsilonUse::Add, ..b1 };
    assert_eq!(values(&exact, &quantize(&exact, Levels::Sign, &zeros, 8), 8), zeros);
    let rule = burn_dragon(Levels::Sign);
    let kept = values(&rule, &quantize(&rule, Levels::Sign, &zeros, 8), 8);
    assert_eq!(kept, [1e-8; 8]);
    let violations = |kept: &[f32]| {
        let mut statistics = RhoStatistics::default();
        statistics.record(&zeros, kept, 5).unwrap();
        let verdicts = statistics.verdicts(&RhoGate::default(), &RelativeGate::default());
        verdicts.relative.len()
    };
    assert_eq!((violations(&kept), violations(&zeros)), (2, 0));
}

#[test]
fn defect_12_an_export_quantizes_what_is_quantized_already() {
    let x = [0.5, -0.25, 4.0, 0.25];
    let (scale, codes) = source::signed(&x, 127.0);
    // 2.5 in 127 steps: 25.4, -12.7, beyond, 12.7.
    assert_eq!(codes, [25, -13, 127, 13]);
    let dequantized = |codes: &[i8]| codes.iter().map(|c| f32::from(*c) * scale).collect();
    let exported: Vec<f32> = dequantized(&codes);
    // Twice their mean is 89 steps of before, and in 127: 0.7 of a step.
    let (again, changed) = source::signed(&exported, 127.0);
    assert_eq!(changed, [36, -19, 127, 19]);
    assert!((again / scale - 89.0 / 127.0).abs() < 1e-6);
    // Ours exports codes and their scale, and reads back the values they stand for.
    let rule = burn_dragon(Levels::Int8);
    let q = quantize(&rule, Levels::Int8, &x, 4);
    let artifact = Artifact::pack(&INT8, &[1, 4], q.scales(), &q.codes).unwrap();
    assert_eq!(artifact.bytes(), [25, 243, 127, 13]);
    assert_eq!((artifact.values().unwrap(), artifact.scales()), (exported.clone(), &[scale][..]));
    // Under a rule whose range is kept, quantizing again changes nothing.
    let absmax = weight_rule("absmax", Levels::Int8).unwrap();
    let first = quantize(&absmax, Levels::Int8, &exported, 4);
    let second = quantize(&absmax, Levels::Int8, &values(&absmax, &first, 4), 4);
    assert_eq!((&first.codes[..], &second.codes), (&[25, -13, 127, 13][..], &first.codes));
}
