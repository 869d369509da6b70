//! Rounds: the turns that the rows of a case took, and ratios of rows that took them together.
//!
//! A machine that is slow for a second is slow for every row of that round, so a ratio within a
//! round holds where the times themselves do not.
use crate::record::Timing;
use crate::stats::median;

/// A ratio of two times, with the least and the most of its rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// Median over the rounds.
    pub median: f64,
    /// Least of the rounds.
    pub least: f64,
    /// Most of the rounds.
    pub most: f64,
}

impl Ratio {
    /// Of one ratio a round; NaN without any.
    fn of(rounds: &[f64]) -> Ratio {
        let least = rounds.iter().copied().fold(f64::NAN, f64::min);
        let most = rounds.iter().copied().fold(f64::NAN, f64::max);
        Ratio { median: median(rounds), least, most }
    }
}

impl Timing {
    /// The samples of each round; all of them where there was one.
    pub fn rounds(&self) -> Vec<&[f64]> {
        let mut rest = self.samples_ns.as_slice();
        let mut rounds = Vec::new();
        for samples in &self.round_samples {
            let (round, later) = rest.split_at((*samples as usize).min(rest.len()));
            rounds.push(round);
            rest = later;
        }
        // A run of an earlier version has no rounds; a count that is wrong loses no sample.
        if !rest.is_empty() {
            rounds.push(rest);
        }
        rounds.retain(|round| !round.is_empty());
        rounds
    }

    /// Median of each round, nanoseconds.
    pub fn round_medians_ns(&self) -> Vec<f64> {
        self.rounds().into_iter().map(median).collect()
    }

    /// How many times as fast as `other`: round by round where both took equally many turns, else
    /// of the medians of all samples.
    pub fn times_as_fast_as(&self, other: &Timing) -> Ratio {
        let (mine, theirs) = (self.round_medians_ns(), other.round_medians_ns());
        if mine.len() == theirs.len() && mine.len() > 1 {
            let ratios: Vec<f64> = theirs.iter().zip(&mine).map(|(b, a)| b / a).collect();
            return Ratio::of(&ratios);
        }
        Ratio::of(&[other.median_ns / self.median_ns])
    }

    /// The share of a limit that was reached: the limit's time over each round's median.
    pub fn share_of(&self, limit_ns: f64) -> Ratio {
        let shares: Vec<f64> = self.round_medians_ns().iter().map(|ns| limit_ns / ns).collect();
        Ratio::of(&shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(rounds: &[&[f64]]) -> Timing {
        let samples_ns = rounds.concat();
        let round_samples = rounds.iter().map(|r| r.len() as u32).collect();
        let median_ns = median(&samples_ns);
        Timing { samples_ns, round_samples, median_ns, ..Timing::default() }
    }

    #[test]
    fn a_slow_second_hits_both_rows_and_leaves_their_ratio() {
        let ours = timing(&[&[10.0, 10.0, 11.0], &[40.0, 40.0], &[10.0]]);
        let theirs = timing(&[&[20.0, 20.0, 22.0], &[80.0, 88.0], &[21.0, 21.0]]);
        let ratio = ours.times_as_fast_as(&theirs);
        assert_eq!((ratio.median, ratio.least, ratio.most), (2.1, 2.0, 2.1));
        assert_eq!(theirs.times_as_fast_as(&ours).most, 0.5);
        assert_eq!(ours.share_of(5.0), Ratio { median: 0.5, least: 0.125, most: 0.5 });
    }

    #[test]
    fn unequal_rounds_are_compared_by_their_medians() {
        let ours = timing(&[&[10.0], &[12.0], &[14.0]]);
        let mut old = timing(&[&[24.0, 24.0]]);
        old.round_samples.clear();
        assert_eq!(old.rounds(), [&[24.0, 24.0]]);
        let ratio = ours.times_as_fast_as(&old);
        assert_eq!((ratio.median, ratio.least, ratio.most), (2.0, 2.0, 2.0));
        assert!(Timing::default().share_of(1.0).median.is_nan());
    }

    #[test]
    fn no_sample_is_lost_to_a_wrong_count() {
        let mut torn = timing(&[&[1.0, 2.0], &[3.0]]);
        torn.round_samples = vec![1];
        assert_eq!(torn.rounds(), [&[1.0][..], &[2.0, 3.0]]);
        torn.round_samples = vec![2, 9];
        assert_eq!(torn.rounds(), [&[1.0, 2.0][..], &[3.0]]);
    }
}
