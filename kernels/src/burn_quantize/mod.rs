//! The rules of `lowbit_reference::rule` as tensor operations: what the rows `burn` and `ste` of
//! every op are made of.
//!
//! A tensor `[rows, len]` is quantized as a whole or row by row. With `s = statistic(x)`,
//! `scale = times * s / steps` and `step` the scale or the scale plus an epsilon:
//! * int8: `round(clamp(x / step, min_code, 127))`; the bounds are integers, so clamping first is
//!   the same and keeps infinities out of the rounding;
//! * ternary: `-1` below `-threshold * step`, `+1` above `threshold * step`, else 0;
//! * sign: `2 [x - centre > 0] - 1`.
//!
//! Straight through, the gradient of a value is that of its input, under `clipped` where nothing was
//! saturated: `(min_code - 1/2) step < x < (127 + 1/2) step`, the lower end with it where ties go to even
//! and `min_code` is; or `|x - centre| <= scale` for ternary and sign. The ends are products, which are
//! rounded right on every device; not so quotients.
//!
//! Burn facts this relies on (0.21, NdArray): division divides, by tensors and by scalars; `round`
//! takes ties to even; `reshape` copies, so nothing large is reshaped unless a row is longer than
//! [`CHAIN`]; without the features `multi-threads` and `simd` one thread runs plain loops.
mod run;
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Tensor};
use lowbit_reference::estimator::Estimator;
use lowbit_reference::format::Levels;
use lowbit_reference::rule::{EpsilonUse, Granularity, Range, Rounding, Rule};
pub(crate) use run::{Run, accepts, floats, tensor};

/// The backend the rows run on.
pub(crate) type Cpu = burn_ndarray::NdArray<f32>;

/// Longest row summed in one go. Rows, then their sums: at most twice as many additions in a
/// chain, which is what the bound of a mean allows.
const CHAIN: usize = 8192;
/// Longer rows are summed in blocks of this many, then over the blocks. It divides the depths of
/// most models, so that few rows have a rest.
const BLOCK: usize = 128;

/// Scale, centre and codes of a tensor. Scale and centre are `[rows, 1]` or `[1, 1]`; the codes
/// are floats in the shape of the tensor.
pub(crate) struct Quantized<B: Backend> {
    /// The stored scale.
    pub(crate) scale: Tensor<B, 2>,
    /// The mean, where the rule subtracts one.
    pub(crate) centre: Option<Tensor<B, 2>>,
    /// Integers as floats.
    pub(crate) codes: Tensor<B, 2>,
}

/// Scale, centre and the values that codes and scale stand for.
pub(crate) struct FakeQuantized<B: Backend> {
    /// The stored scale.
    pub(crate) scale: Tensor<B, 2>,
    /// The mean, where the rule subtracts one.
    pub(crate) centre: Option<Tensor<B, 2>>,
    /// Code times scale, with the gradient of the input.
    pub(crate) values: Tensor<B, 2>,
}

/// Quantize `x [rows, len]`.
pub(crate) fn quantize<B: Backend>(
    rule: &Rule,
    levels: Levels,
    granularity: Granularity,
    x: Tensor<B, 2>,
) -> Quantized<B> {
    let scale = scale(rule, statistic(rule, granularity, x.clone()));
    let step = step(rule, scale.clone());
    let centre = centre(rule, granularity, &x);
    let codes = match levels {
        Levels::Sign => sign(rule, x, centre.clone()),
        Levels::Ternary => ternary(rule, x, step),
        // `accepts` lets nothing else through.
        _ => round(rule, (x / step).clamp(f32::from(rule.min_code), 127.0)),
    };
    Quantized { scale, centre, codes }
}

/// Quantize `x [rows, len]` and dequantize it, straight through where the estimator passes.
pub(crate) fn fake_quantize<B: Backend>(
    (rule, levels): (&Rule, Levels),
    granularity: Granularity,
    estimator: Estimator,
    x: Tensor<B, 2>,
) -> FakeQuantized<B> {
    let Quantized { scale, centre, codes } = quantize(rule, levels, granularity, x.clone());
    let through = match estimator {
        Estimator::Identity => x,
        Estimator::Clipped => {
            let within = within(rule, levels, x.clone(), (scale.clone(), centre.clone()));
            x.mask_fill(within.bool_not(), 0.0)
        }
    };
    FakeQuantized { values: straight_through(through, codes * scale.clone()), scale, centre }
}

/// Where no value was saturated: what `clipped` lets pass, of a tensor with this scale and centre.
pub(crate) fn within<B: Backend>(
    rule: &Rule,
    levels: Levels,
    x: Tensor<B, 2>,
    (scale, centre): (Tensor<B, 2>, Option<Tensor<B, 2>>),
) -> Tensor<B, 2, Bool> {
    if matches!(levels, Levels::Sign | Levels::Ternary) {
        return off(x, centre).abs().lower_equal(scale);
    }
    let step = step(rule, scale);
    let low = step.clone() * (f32::from(rule.min_code) - 0.5);
    // Half a step beyond an even code is rounded back to it; 127 is odd.
    let back = rule.rounding == Rounding::HalfEven && rule.min_code % 2 == 0;
    let above = if back { x.clone().greater_equal(low) } else { x.clone().greater(low) };
    // An infinite value under an infinite scale has no quotient.
    let finite = x.clone().is_finite();
    x.lower(step * 127.5).bool_and(above).bool_and(finite)
}

/// The mean of a tensor, or of each row, where the rule subtracts one.
pub(crate) fn centre<B: Backend>(
    rule: &Rule,
    granularity: Granularity,
    x: &Tensor<B, 2>,
) -> Option<Tensor<B, 2>> {
    rule.centred.then(|| mean(granularity, x.clone()))
}

/// `q` forward, the gradient of `x` backward. `x - x` is exactly 0, so the forward is `q` to the
/// bit; the usual `x + (q - x)` rounds twice and is not.
fn straight_through<B: Backend>(x: Tensor<B, 2>, q: Tensor<B, 2>) -> Tensor<B, 2> {
    q.detach() + (x.clone() - x.detach())
}

fn statistic<B: Backend>(rule: &Rule, granularity: Granularity, x: Tensor<B, 2>) -> Tensor<B, 2> {
    match (rule.range, granularity) {
        (Range::Absmax, Granularity::Tensor) => x.max_abs().reshape([1, 1]),
        (Range::Absmax, _) => x.max_abs_dim(1),
        _ => mean(granularity, x.abs()),
    }
}

fn scale<B: Backend>(rule: &Rule, statistic: Tensor<B, 2>) -> Tensor<B, 2> {
    let scaled = |statistic: Tensor<B, 2>| statistic * rule.times / rule.steps;
    match rule.epsilon_use {
        EpsilonUse::FloorScale => scaled(statistic).clamp_min(rule.epsilon),
        EpsilonUse::FloorStatistic => scaled(statistic.clamp_min(rule.epsilon)),
        _ => scaled(statistic),
    }
}

/// The scale, plus the epsilon that a rule adds to it.
fn step<B: Backend>(rule: &Rule, scale: Tensor<B, 2>) -> Tensor<B, 2> {
    match rule.epsilon_use {
        EpsilonUse::Add => scale + rule.epsilon / rule.steps,
        _ => scale,
    }
}

fn mean<B: Backend>(granularity: Granularity, x: Tensor<B, 2>) -> Tensor<B, 2> {
    let [rows, len] = x.dims();
    let sums = sum_rows(x);
    match granularity {
        Granularity::Tensor => sum_rows(sums.reshape([1, rows])) / (rows * len) as f32,
        _ => sums / len as f32,
    }
}

/// Sums of rows, `[rows, 1]`, in chains of at most [`CHAIN`].
fn sum_rows<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    let [rows, len] = x.dims();
    if len <= CHAIN {
        return x.sum_dim(1);
    }
    let (blocks, rest) = (len / BLOCK, len % BLOCK);
    let sums = |x: Tensor<B, 2>| x.reshape([rows * blocks, BLOCK]).sum_dim(1);
    if rest == 0 {
        return sum_rows(sums(x).reshape([rows, blocks]));
    }
    let tail = x.clone().narrow(1, len - rest, rest).sum_dim(1);
    sum_rows(sums(x.narrow(1, 0, len - rest)).reshape([rows, blocks])) + tail
}

/// How far values are off the centre, where there is one.
fn off<B: Backend>(x: Tensor<B, 2>, centre: Option<Tensor<B, 2>>) -> Tensor<B, 2> {
    match centre {
        Some(centre) => x - centre,
        None => x,
    }
}

/// Zero is positive or not, -0 like 0.
fn sign<B: Backend>(rule: &Rule, x: Tensor<B, 2>, centre: Option<Tensor<B, 2>>) -> Tensor<B, 2> {
    let x = off(x, centre);
    let positive =
        if rule.zero_is_positive { x.greater_equal_elem(0.0) } else { x.greater_elem(0.0) };
    positive.float() * 2.0 - 1.0
}

/// Where the limit is 0 and reaching it is enough, 0 lies on both sides: it becomes +1.
fn ternary<B: Backend>(rule: &Rule, x: Tensor<B, 2>, step: Tensor<B, 2>) -> Tensor<B, 2> {
    let limit = step * rule.threshold;
    let (above, below) = if rule.inclusive {
        (x.clone().greater_equal(limit.clone()), x.clone().lower_equal(-limit))
    } else {
        (x.clone().greater(limit.clone()), x.clone().lower(-limit))
    };
    x.zeros_like().mask_fill(below, -1.0).mask_fill(above, 1.0)
}

/// Ties to even as Burn rounds, or away from zero: twice the fraction is exact and reaches 1 for
/// 0.5 but not for 0.49999997, where adding 0.5 would round up.
fn round<B: Backend>(rule: &Rule, x: Tensor<B, 2>) -> Tensor<B, 2> {
    match rule.rounding {
        Rounding::HalfEven => x.round(),
        Rounding::HalfAway => {
            let whole = x.clone().trunc();
            let away = ((x - whole.clone()) * 2.0).trunc();
            whole + away
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Autodiff;
    use burn::tensor::TensorData;

    fn row<B: Backend>(values: &[f32]) -> Tensor<B, 2> {
        let data = TensorData::new(values.to_vec(), [1, values.len()]);
        Tensor::from_data(data, &B::Device::default())
    }
    fn values<B: Backend>(x: Tensor<B, 2>) -> Vec<f32> {
        x.into_data().to_vec().unwrap()
    }

    #[test]
    fn ties_go_to_even_or_away_and_nothing_else_is_a_tie() {
        let x = [0.49999997, 0.5, 1.5, 2.5, 126.5, -0.49999997, -0.5, -1.5, -2.5, -127.5];
        let round =
            |rounding| values(super::round(&Rule { rounding, ..Rule::default() }, row::<Cpu>(&x)));
        let even = [0.0, 0.0, 2.0, 2.0, 126.0, 0.0, 0.0, -2.0, -2.0, -128.0];
        assert_eq!(round(Rounding::HalfEven), even);
        let away = [0.0, 1.0, 2.0, 3.0, 127.0, 0.0, -1.0, -2.0, -3.0, -128.0];
        assert_eq!(round(Rounding::HalfAway), away);
    }

    #[test]
    fn codes_are_quotients_clamped_to_the_codes_of_the_rule() {
        // A scale of 41. The first four are ties; times the reciprocal they would not all be.
        let x = [41.0 * 6.5, 41.0 * 13.5, 41.0 * 20.5, 41.0 * 26.5, 41.0 * 254.0, 41.0 * -254.0];
        for (min_code, rounding, ties) in [
            (-128, Rounding::HalfEven, [6.0, 14.0, 20.0, 26.0]),
            (-127, Rounding::HalfAway, [7.0, 14.0, 21.0, 27.0]),
        ] {
            let rule = Rule { times: 0.5, min_code, rounding, ..Rule::default() };
            let got = quantize(&rule, Levels::Int8, Granularity::Row, row::<Cpu>(&x));
            assert_eq!(values(got.scale), [41.0]);
            assert_eq!(values(got.codes), [&ties[..], &[127.0, f32::from(min_code)]].concat());
        }
    }

    #[test]
    fn zeros_of_both_signs_follow_the_rule() {
        let x = [0.0, -0.0, 1.0, -1.0];
        let step = row::<Cpu>(&[1.0]);
        let sign = |zero_is_positive| {
            values(super::sign(&Rule { zero_is_positive, ..Rule::default() }, row::<Cpu>(&x), None))
        };
        assert_eq!(sign(true), [1.0, 1.0, 1.0, -1.0]);
        assert_eq!(sign(false), [-1.0, -1.0, 1.0, -1.0]);
        let ternary = |inclusive, threshold| {
            let rule = Rule { inclusive, threshold, ..Rule::default() };
            values(super::ternary(&rule, row::<Cpu>(&x), step.clone()))
        };
        assert_eq!(ternary(true, 0.0), [1.0, 1.0, 1.0, -1.0]);
        assert_eq!(ternary(false, 0.0), [0.0, 0.0, 1.0, -1.0]);
        assert_eq!(ternary(true, 1.0), [0.0, 0.0, 1.0, -1.0]);
        assert_eq!(ternary(false, 1.0), [0.0; 4]);
    }

    #[test]
    fn means_of_long_rows_stay_within_their_bound() {
        // One chain over 2^22 values would drift by a percent.
        for len in [CHAIN, CHAIN + 1, CHAIN + BLOCK - 1, 100_001, 1 << 22] {
            let x = Tensor::<Cpu, 2>::full([1, len], 0.02, &Default::default());
            let bound = 0.02 * lowbit_reference::bound::mean(len);
            for granularity in [Granularity::Tensor, Granularity::Row] {
                let mean = f64::from(values(mean(granularity, x.clone()))[0]);
                assert!((mean - f64::from(0.02f32)).abs() <= bound, "{len}: {mean}");
            }
        }
    }

    #[test]
    fn fake_quantization_is_the_code_forward_and_the_identity_backward() {
        type Tracked = Autodiff<Cpu>;
        // One value far larger than the others: `x + (q - x)` would miss `q`.
        let x = [1000.0, -0.3, 0.007, 3.9, -4.1];
        let x = row::<Tracked>(&x).require_grad();
        let rule = Rule { range: Range::Absmean, ..Rule::default() };
        let quantized = quantize(&rule, Levels::Int8, Granularity::Row, x.clone().detach());
        let fake =
            fake_quantize((&rule, Levels::Int8), Granularity::Row, Estimator::Identity, x.clone());
        let want = values(quantized.codes * quantized.scale);
        assert_eq!(values(fake.values.clone()), want);
        let upstream = [1.0, -2.0, 0.5, 3.0, 7.0];
        let grads = (fake.values * row(&upstream)).sum().backward();
        assert_eq!(values(x.grad(&grads).unwrap()), upstream);
    }

    #[test]
    fn gradients_stop_where_values_are_saturated() {
        type Tracked = Autodiff<Cpu>;
        let gradient = |rule: &Rule, levels, x: &[f32]| {
            let x = row::<Tracked>(x).require_grad();
            let fake =
                fake_quantize((rule, levels), Granularity::Row, Estimator::Clipped, x.clone());
            let scale = values(fake.scale)[0];
            (scale, values(x.grad(&fake.values.sum().backward()).unwrap()))
        };
        let next = |x: f32| f32::from_bits(x.to_bits() + 1);
        for (min_code, rounding, low) in [
            (-127, Rounding::HalfEven, 0.0),
            (-127, Rounding::HalfAway, 0.0),
            (-128, Rounding::HalfAway, 1.0),
            (-128, Rounding::HalfEven, 1.0),
        ] {
            // Half the largest, 254, in 127 steps: 1.
            let rule = Rule { times: 0.5, min_code, rounding, ..Rule::default() };
            let x = [254.0, 127.5, 127.49999, -127.49999, -127.5, -128.49998, -128.5, -128.50002];
            let even = f32::from(u8::from(min_code == -128 && rounding == Rounding::HalfEven));
            let want = [0.0, 0.0, 1.0, 1.0, low, low, even, 0.0];
            assert_eq!(gradient(&rule, Levels::Int8, &x), (1.0, want.to_vec()), "{rule:?}");
            let infinite = gradient(&rule, Levels::Int8, &[f32::NEG_INFINITY, f32::INFINITY, 1.0]);
            assert_eq!(infinite, (f32::INFINITY, vec![0.0, 0.0, 1.0]), "{rule:?}");
        }
        let rule = Rule { range: Range::Absmean, steps: 1.0, ..Rule::default() };
        let x = [1.0, -1.0, next(1.0), 0.5, 1.5, 0.0, -2.0];
        let (scale, passed) = gradient(&rule, Levels::Ternary, &x);
        assert_eq!((scale, passed), (1.0, vec![1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]));
        let centred = Rule { centred: true, ..rule };
        // Around 1, under a scale of 2.
        let (scale, passed) = gradient(&centred, Levels::Sign, &[3.0, -1.0, 4.0, -2.0, 1.0, 1.0]);
        assert_eq!((scale, passed), (2.0, vec![1.0, 1.0, 0.0, 0.0, 1.0, 1.0]));
    }
}
