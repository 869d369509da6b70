//! Statistics: one definition of each, used wherever the number appears.
//!
//! Every function takes samples in any order. Of no samples all of them are NaN, so that a
//! missing measurement cannot be mistaken for a fast one.
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The middle sample, or the mean of the middle two.
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// Median absolute deviation from the median; not scaled to a standard deviation.
pub fn mad(samples: &[f64]) -> f64 {
    let centre = median(samples);
    let deviations: Vec<f64> = samples.iter().map(|x| (x - centre).abs()).collect();
    median(&deviations)
}

/// The `q` quantile (`0 <= q <= 1`): linear between the order statistics at `q (n - 1)`.
///
/// This is type 7 of Hyndman and Fan, the default of R and NumPy.
pub fn quantile(samples: &[f64], q: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_of_sorted(&sorted, q)
}

/// `(x_1 x_2 ... x_n)^(1/n)`, through logarithms so that it cannot overflow.
///
/// NaN when a value is not positive: a rate of zero has no geometric mean worth printing.
pub fn geometric_mean(values: &[f64]) -> f64 {
    if values.iter().any(|&v| v <= 0.0) {
        return f64::NAN;
    }
    (values.iter().map(|v| v.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// 95 % percentile bootstrap interval of the median: `(low, high)`.
///
/// The same samples, resamples and seed give the same interval on every machine. Samples are
/// sorted once; a resample is a histogram of drawn ranks, whose middle is found by walking, so
/// the cost is `resamples * n` draws and no sorting.
pub fn bootstrap_median_interval(samples: &[f64], resamples: usize, seed: u64) -> (f64, f64) {
    if samples.is_empty() || resamples == 0 {
        return (f64::NAN, f64::NAN);
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut counts = vec![0_u32; sorted.len()];
    let mut medians: Vec<f64> =
        (0..resamples).map(|_| resampled_median(&sorted, &mut counts, &mut rng)).collect();
    medians.sort_by(f64::total_cmp);
    (quantile_of_sorted(&medians, 0.025), quantile_of_sorted(&medians, 0.975))
}

/// Median of `n` draws with replacement from `n` sorted samples; leaves `counts` used.
fn resampled_median(sorted: &[f64], counts: &mut [u32], rng: &mut ChaCha8Rng) -> f64 {
    let n = sorted.len();
    counts.fill(0);
    for _ in 0..n {
        // Multiply and shift instead of a rejection loop: the bias is at most n / 2^32.
        counts[((u64::from(rng.next_u32()) * n as u64) >> 32) as usize] += 1;
    }
    let (lower, upper) = ((n - 1) / 2, n / 2);
    let mut seen = 0;
    let mut first = None;
    for (rank, &count) in counts.iter().enumerate() {
        seen += count as usize;
        if seen > lower && first.is_none() {
            first = Some(sorted[rank]);
        }
        if seen > upper {
            return f64::midpoint(first.unwrap_or(sorted[rank]), sorted[rank]);
        }
    }
    f64::NAN
}

#[expect(clippy::cast_sign_loss, reason = "ranks lie in [0, n - 1]")]
fn quantile_of_sorted(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = q.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (position.floor(), position.ceil());
    let at = |rank: f64| sorted.get(rank as usize).copied().unwrap_or(f64::NAN);
    at(below) + (position - below) * (at(above) - at(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_near(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "{got} is not {want} within {tolerance}");
    }

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_middle_two() {
        assert_near(median(&[5.0, 1.0, 3.0]), 3.0, 0.0);
        assert_near(median(&[4.0, 1.0, 3.0, 2.0]), 2.5, 0.0);
        assert_near(median(&[7.0]), 7.0, 0.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn mad_ignores_one_wild_sample() {
        // Deviations from 3 are 2, 1, 0, 1, 97: sorted 0, 1, 1, 2, 97.
        assert_near(mad(&[1.0, 2.0, 3.0, 4.0, 100.0]), 1.0, 0.0);
    }

    #[test]
    fn quantiles_lie_on_the_line_between_order_statistics() {
        // Position 0.25 * 3 = 0.75 between 10 and 20; 0.9 * 3 = 2.7 between 30 and 40.
        assert_near(quantile(&[40.0, 10.0, 30.0, 20.0], 0.25), 17.5, 1e-12);
        assert_near(quantile(&[40.0, 10.0, 30.0, 20.0], 0.9), 37.0, 1e-12);
        assert_near(quantile(&[40.0, 10.0], 1.0), 40.0, 0.0);
    }

    #[test]
    fn the_geometric_mean_of_ratios_is_their_product_rooted() {
        assert_near(geometric_mean(&[2.0, 8.0]), 4.0, 1e-12);
        assert_near(geometric_mean(&[1e300, 1e300]), 1e300, 1e287);
        assert!(geometric_mean(&[1.0, 0.0]).is_nan());
        assert!(geometric_mean(&[]).is_nan());
    }

    #[test]
    fn bootstrap_of_few_samples_is_what_can_be_counted_by_hand() {
        // The resampled median is 0, 0.5 or 1 with probability 1/4, 1/2, 1/4.
        assert_eq!(bootstrap_median_interval(&[1.0, 0.0], 1000, 7), (0.0, 1.0));
        // Of five zeros and a one the upper half-point needs three ones in six draws (5.4 %) and
        // the one needs four (0.9 %): only the half-point reaches into the last 2.5 %.
        let rare = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        assert_eq!(bootstrap_median_interval(&rare, 4000, 7), (0.0, 0.5));
        assert_eq!(bootstrap_median_interval(&[3.0], 100, 7), (3.0, 3.0));
        assert!(bootstrap_median_interval(&[], 100, 7).0.is_nan());
    }

    #[test]
    fn bootstrap_agrees_with_the_binomial_interval() {
        // For n = 99 the 95 % interval of the median is ranks 50 -+ 1.96 sqrt(99) / 2 = 40.2, 59.8.
        let samples: Vec<f64> = (1..=99).map(f64::from).collect();
        let (low, high) = bootstrap_median_interval(&samples, 2000, 1);
        assert_near(low, 40.2, 1.3);
        assert_near(high, 59.8, 1.3);
    }

    #[test]
    fn bootstrap_depends_on_the_seed_and_on_nothing_else() {
        let samples: Vec<f64> = (0..50).map(|i| f64::from(i * i)).collect();
        let again = bootstrap_median_interval(&samples, 30, 5);
        assert_eq!(bootstrap_median_interval(&samples, 30, 5), again);
        let others = (6..16).map(|seed| bootstrap_median_interval(&samples, 30, seed));
        assert!(others.into_iter().any(|interval| interval != again));
    }
}
