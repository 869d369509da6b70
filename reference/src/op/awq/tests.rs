//! AWQ: statistics, search, clipping and what is folded, by hand and against plain rounding.
use super::*;
use crate::op::exact::exact_linear;

const CONFIG: AwqSearchConfig = AwqSearchConfig {
    levels: Levels::Uint4,
    group_size: 8,
    n_grid: 20,
    scaling: Scaling::Activation,
    max_tokens: usize::MAX,
};

/// Aperiodic in the sizes below, of both signs.
fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.0 - 1.0).collect()
}

/// 6 outputs, 16 inputs, 10 tokens with one outlier channel.
fn data() -> (Vec<f32>, Vec<f32>) {
    let mut tokens = values(160, 2);
    tokens.iter_mut().skip(5).step_by(16).for_each(|x| *x *= 40.0);
    (values(96, 1), tokens)
}

fn awq<'a>(weight: &'a [f32], tokens: &'a [f32]) -> Awq<'a> {
    Awq { config: CONFIG, n: weight.len() / 16, k: 16, weight, tokens }
}

#[test]
fn the_search_keeps_the_first_of_the_least_losses() {
    let (weight, tokens) = data();
    for levels in [Levels::Uint4, Levels::Int4] {
        for scaling in [Scaling::Activation, Scaling::Duo] {
            let config = AwqSearchConfig { levels, scaling, ..CONFIG };
            let problem = Awq { config, ..awq(&weight, &tokens) };
            let found = problem.search().unwrap();
            assert_eq!(found.losses.len(), 20);
            let least = found.losses.iter().fold(f64::INFINITY, |a, b| a.min(*b));
            let first = found.losses.iter().position(|loss| *loss == least).unwrap();
            assert_eq!(found.best.ratio, first as f64 / 20.0);
            assert_eq!(found.best.loss, least);
            // An outlier channel is what the method is for; viva_tensor never looks whether its
            // scales help.
            assert!(least < found.losses[0], "{levels:?} {scaling:?} {:?}", found.losses);
            assert_eq!(problem.candidate(found.best.ratio).unwrap(), found.best);
        }
    }
    // Nothing to lose: every loss is 0, and ratio 0 is the first.
    let zeros = vec![0.0; 96];
    let found = awq(&zeros, &tokens).search().unwrap();
    assert_eq!((found.losses, found.best.ratio), (vec![0.0; 20], 0.0));
}

#[test]
fn ratio_zero_is_rounding_to_nearest() {
    let (weight, tokens) = data();
    let problem = awq(&weight, &tokens);
    let plain = problem.candidate(0.0).unwrap();
    assert_eq!(plain.scales, [1.0; 16]);
    assert_eq!(plain.weight, problem.quantize(&[1.0; 16], false).unwrap().dequantize());
}

#[test]
fn scales_are_normalized_powers_of_the_statistic() {
    let (weight, tokens) = data();
    let problem = awq(&weight, &tokens);
    let statistic = problem.statistic().unwrap();
    let column: Vec<f32> = tokens.iter().skip(5).step_by(16).copied().collect();
    assert_eq!(statistic[5], crate::rule::mean(&column, f32::abs));
    for ratio in [0.25, 0.5, 1.0] {
        let s = problem.candidate(ratio).unwrap().scales;
        // Ratios of scales are those of powers; the normalization cancels. Four roundings.
        for (s, x) in s.iter().zip(&statistic) {
            let want = (f64::from(*x) / f64::from(statistic[0])).powf(ratio);
            let got = f64::from(*s) / f64::from(problem.candidate(ratio).unwrap().scales[0]);
            assert!((got / want - 1.0).abs() < crate::bound::gamma(4), "{ratio} {got} {want}");
        }
        let most = s.iter().fold(0.0f32, |a, b| a.max(*b));
        let least = s.iter().fold(f32::INFINITY, |a, b| a.min(*b));
        let product = f64::from(most) * f64::from(least);
        assert!((product - 1.0).abs() < crate::bound::gamma(6), "{product}");
    }
    // A dead channel has a scale of 1e-4 before it is normalized.
    let mut dead = tokens.clone();
    dead.iter_mut().step_by(16).for_each(|x| *x = 0.0);
    let problem = awq(&weight, &dead);
    let (s, statistic) = (problem.candidate(0.5).unwrap().scales, problem.statistic().unwrap());
    let got = f64::from(s[0]) / f64::from(s[1]);
    let want = 1e-4 / f64::from(statistic[1]).sqrt();
    assert!((got / want - 1.0).abs() < crate::bound::gamma(5), "{got} {want}");
}

#[test]
fn duo_scaling_divides_by_the_weights_own_statistic() {
    // Two groups of one row, the second so small that the 1e-6 under its fraction counts.
    let (weight, tokens) = ([2.0f32, -1.0, 4e-6, -2e-6], [4.0f32, 1.0, 0.25, 3.0]);
    let config = AwqSearchConfig { group_size: 2, scaling: Scaling::Duo, ..CONFIG };
    let problem = Awq { config, n: 1, k: 4, weight: &weight, tokens: &tokens };
    for ratio in [0.25, 0.75] {
        let s = problem.candidate(ratio).unwrap().scales;
        let raw = |i: usize| {
            let relative = f64::from(weight[i].abs()) / ([2.0, 4e-6][i / 2] + 1e-6);
            f64::from(tokens[i]).powf(ratio) / (relative.powf(1.0 - ratio) + 1e-4)
        };
        for i in 0..4 {
            let (got, want) = (f64::from(s[i]) / f64::from(s[0]), raw(i) / raw(0));
            assert!((got / want - 1.0).abs() < crate::bound::gamma(12), "{i}: {got} {want}");
        }
    }
}

#[test]
fn a_loss_is_the_mean_square_of_the_products_difference() {
    let (weight, tokens) = data();
    let problem = awq(&weight, &tokens);
    let candidate = problem.candidate(0.35).unwrap();
    let want = exact_linear(&tokens, &weight, [10, 6, 16]).unwrap();
    let got = exact_linear(&tokens, &candidate.weight, [10, 6, 16]).unwrap();
    let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
    let loss = want.iter().zip(&got).map(square).sum::<f64>() / 60.0;
    // Both products were rounded to f32 here: an error of an ulp of the largest, twice, against
    // differences whose root mean square is the root of the loss.
    let largest = want.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    let off = f64::from(crate::rule::ulp(largest));
    let bound = 2.0 * off * loss.sqrt() + off * off;
    assert!((candidate.loss - loss).abs() <= bound, "{} {loss} {bound}", candidate.loss);
}

#[test]
fn folded_scales_cancel() {
    let (weight, tokens) = data();
    let problem = awq(&weight, &tokens);
    let best = problem.search().unwrap().best;
    let quantized = problem.quantize(&best.scales, false).unwrap();
    // A token with a single one reads a column of the weight, channel scale divided out.
    let values = quantized.dequantize();
    for column in 0..16 {
        let token: Vec<f32> = (0..16).map(|k| f32::from(u8::from(k == column))).collect();
        for (row, y) in quantized.linear(&token).unwrap().into_iter().enumerate() {
            let want = f64::from(values[row * 16 + column]) / f64::from(best.scales[column]);
            assert!((f64::from(y) - want).abs() <= want.abs() * crate::bound::UNIT, "{y} {want}");
        }
    }
    // Its product is the candidate's, which was scaled back in f32.
    let y = quantized.linear(&tokens).unwrap();
    let candidate = exact_linear(&tokens, &best.weight, [10, 6, 16]).unwrap();
    for (at, (y, want)) in y.iter().zip(candidate).enumerate() {
        let (t, n) = (at / 6, at % 6);
        let magnitude: f64 =
            (0..16).map(|k| f64::from((tokens[t * 16 + k] * best.weight[n * 16 + k]).abs())).sum();
        let off = f64::from((y - want).abs());
        assert!(off <= crate::bound::gamma(3) * magnitude, "{at}: {y} {want}");
    }
    assert!(quantized.linear(&tokens[1..]).is_err());
}

/// Weights with one outlier in `column`, and tokens that are zero there.
fn outlier(column: usize, count: usize) -> (Vec<f32>, Vec<f32>) {
    let mut weight: Vec<f32> = values(16, 1).iter().map(|w| w * 0.5).collect();
    weight[column] = 1.0;
    let mut tokens = values(16 * count, 2);
    tokens.iter_mut().skip(column).step_by(16).for_each(|x| *x = 0.0);
    (weight, tokens)
}

#[test]
fn a_small_error_of_large_outputs_is_not_lost() {
    // Outputs of 2^27, one weight an ulp off: in f64 a difference of outputs keeps 26 bits of it.
    let weight = [1.0 + f32::EPSILON; 16];
    let mut tokens = [0.75; 16];
    tokens[0] = (1 << 27) as f32;
    tokens[3] = 1.0 / 3.0;
    let mut other = weight;
    other[3] = 1.0;
    let want = (f64::from(f32::EPSILON) * f64::from(tokens[3])).powi(2);
    assert_eq!(awq(&weight, &tokens).loss(&other), want);
}

#[test]
fn clipping_trades_an_outlier_nobody_reads_for_a_finer_step() {
    for column in [3, 11] {
        let (weight, tokens) = outlier(column, 10);
        let problem = awq(&weight, &tokens);
        let limits = problem.clip_limits().unwrap();
        assert_eq!(limits.len(), 2);
        let limit = limits[column / 8];
        assert!((0.5..0.9).contains(&limit), "{limits:?}");
        let clipped = problem.quantize(&[1.0; 16], true).unwrap().dequantize();
        let plain = problem.quantize(&[1.0; 16], false).unwrap().dequantize();
        assert!(problem.loss(&clipped) < problem.loss(&plain));
        assert!(clipped[column] <= limit * 1.01 && plain[column] > 0.9);
        // Tokens that read the outlier and nothing else keep it whole.
        let only: Vec<f32> = (0..160).map(|i| f32::from(u8::from(i % 16 == column))).collect();
        assert_eq!(awq(&weight, &only).clip_limits().unwrap()[column / 8], 1.0);
        // Nobody reads anything: every error is 0 and the first limit, the whole range, stays.
        let silent = awq(&weight, &[0.0; 160]).clip_limits().unwrap();
        assert_eq!(silent[column / 8], 1.0);
    }
}

#[test]
fn limits_are_searched_on_the_scaled_weight_and_the_tokens_it_meets() {
    // Scaled, the outlier is 1 and its inputs are 2^-10 of the others; unscaled it is neither.
    let (mut weight, mut tokens) = outlier(3, 10);
    weight[3] = 1.0 / 1024.0;
    tokens.iter_mut().skip(3).step_by(16).for_each(|x| *x = 1.0);
    let mut scales = [1.0; 16];
    scales[3] = 1024.0;
    let values = awq(&weight, &tokens).quantize(&scales, true).unwrap().dequantize();
    assert!((0.5..0.9).contains(&values[3]), "{values:?}");
}

#[test]
fn a_clip_error_is_the_mean_over_512_tokens_evenly_apart() {
    for (count, stride) in [(512, 1), (513, 2), (1024, 2), (1025, 3)] {
        let (weight, all) = outlier(3, count);
        let sampled: Vec<f32> = all.chunks(16).step_by(stride).flatten().copied().collect();
        let want = awq(&weight, &sampled).clip_limits().unwrap();
        assert!(want[0] < 1.0, "{want:?}");
        // Those left out read only the outlier, which would keep it whole.
        let mut tokens = all.clone();
        for (_, token) in tokens.chunks_mut(16).enumerate().filter(|(i, _)| i % stride != 0) {
            token.fill(0.0);
            token[3] = 1000.0;
        }
        assert_eq!(awq(&weight, &tokens).clip_limits().unwrap(), want, "{count}");
    }
}

/// Numerics 3.2: groups over the flattened matrix straddle rows, `len / groups` is not the size of
/// a partial group, and the flag for zero points is ignored.
#[test]
fn groups_are_whole_and_within_a_row_and_zero_points_are_used() {
    let (weight, tokens) = (values(260, 1), values(260, 2));
    let config = AwqSearchConfig { group_size: 128, ..CONFIG };
    let partial = Awq { config, n: 2, k: 130, weight: &weight, tokens: &tokens };
    assert_eq!(partial.search().unwrap_err().field, "group_size");
    assert_eq!(partial.clip_limits().unwrap_err().field, "group_size");
    // A row of ones above a row of tenths: had they a group in common, the tenths were coarser.
    let weight: Vec<f32> =
        values(32, 1).iter().enumerate().map(|(i, w)| if i < 16 { *w } else { w / 10.0 }).collect();
    let problem = awq(&weight, &tokens[..256]);
    let both = problem.quantize(&[1.0; 16], false).unwrap();
    let second = awq(&weight[16..], &tokens[..256]).quantize(&[1.0; 16], false).unwrap();
    assert_eq!(both.dequantize()[16..], second.dequantize());
    assert_eq!(both.quantized.shared.len(), 4);
    // Nearly positive weights waste half the codes without a zero point.
    let loss = |weight: &[f32], levels| {
        let config = AwqSearchConfig { levels, ..CONFIG };
        Awq { config, ..awq(weight, &tokens[..256]) }.candidate(0.0).unwrap().loss
    };
    let positive: Vec<f32> = values(32, 1).iter().map(|w| w.max(-0.1)).collect();
    assert!(loss(&positive, Levels::Uint4) * 2.0 < loss(&positive, Levels::Int4));
    // But llm-awq does not widen a range to hold zero, and its zero point stops at 0: a group far
    // from zero saturates. That is the method, not a slip.
    let far: Vec<f32> = values(32, 1).iter().map(|w| w + 3.0).collect();
    assert!(loss(&far, Levels::Uint4) > 100.0 * loss(&far, Levels::Int4));
}

#[test]
fn errors_name_the_field() {
    let (weight, tokens) = data();
    let problem = awq(&weight, &tokens);
    let field = |problem: Awq| problem.search().map(drop).map_err(|error| error.field);
    let config = |config| Awq { config, ..problem };
    let error = |name: &str| Err(name.to_owned());
    assert_eq!(field(problem), Ok(()));
    assert_eq!(field(config(AwqSearchConfig { group_size: 0, ..CONFIG })), error("group_size"));
    assert_eq!(field(config(AwqSearchConfig { group_size: 5, ..CONFIG })), error("group_size"));
    for n_grid in [0, MAX_GRID + 1, usize::MAX] {
        assert_eq!(field(config(AwqSearchConfig { n_grid, ..CONFIG })), error("n_grid"));
    }
    assert_eq!(field(config(AwqSearchConfig { max_tokens: 0, ..CONFIG })), error("max_tokens"));
    assert_eq!(field(config(AwqSearchConfig { levels: Levels::Sign, ..CONFIG })), error("levels"));
    assert_eq!(field(Awq { k: 0, ..problem }), error("k"));
    assert_eq!(field(Awq { n: 5, ..problem }), error("weight"));
    assert_eq!(field(Awq { tokens: &[], ..problem }), error("tokens"));
    assert_eq!(field(Awq { tokens: &tokens[1..], ..problem }), error("tokens"));
    let mut bad = weight.clone();
    bad[7] = f32::NAN;
    assert_eq!(field(Awq { weight: &bad, ..problem }), error("weight[7]"));
    let mut bad = tokens.clone();
    bad[9] = f32::INFINITY;
    assert_eq!(field(Awq { tokens: &bad, ..problem }), error("tokens[9]"));
    // A range beyond the floats has no step.
    let mut wide = weight.clone();
    (wide[0], wide[1]) = (f32::MAX, -f32::MAX);
    assert_eq!(field(Awq { weight: &wide, ..problem }), error("weight"));
    assert_eq!(problem.candidate(1.5).unwrap_err().field, "ratio");
    assert_eq!(problem.quantize(&[1.0; 15], false).unwrap_err().field, "channel_scales");
    let mut scales = [1.0; 16];
    scales[2] = 0.0;
    assert_eq!(problem.quantize(&scales, true).unwrap_err().field, "channel_scales[2]");
    scales[2] = f32::MAX;
    let doubled: Vec<f32> = weight.iter().map(|w| w.signum() * 2.0).collect();
    let overflow = Awq { weight: &doubled, ..problem }.quantize(&scales, false);
    assert_eq!(overflow.unwrap_err().field, "weight[2]");
}

#[test]
fn weights_whose_parts_do_not_fit_are_errors() {
    let (weight, tokens) = data();
    let whole = awq(&weight, &tokens).quantize(&[1.0; 16], false).unwrap();
    let field = |change: fn(&mut AwqWeight)| {
        let mut broken = whole.clone();
        change(&mut broken);
        broken.dequantize();
        broken.linear(&[]).unwrap_err().field
    };
    assert_eq!(field(|w| w.channel_scales.clear()), "channel_scales");
    assert_eq!(field(|w| w.quantized.codes.truncate(17)), "quantized.codes");
    assert_eq!(field(|w| w.quantized.shared.clear()), "quantized.shared");
}
