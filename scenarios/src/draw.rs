//! Random cases of a scenario's sweeps.
//!
//! A draw takes one combination of a sweep, gives its data a fresh seed, and moves some of its sizes
//! to anywhere between the least and the largest of their axis: on a logarithmic scale, so that
//! small sizes come up often, and every second time to a multiple of the power of two that divided
//! the size before, since some formats take no others. Draws are the same for the same seed.
use crate::axes::Entry;
use crate::constraint::Row;
use crate::error::ScenarioError;
use crate::goal::SEED;
use crate::scenario::{Scenario, Sweep};
use lowbit_reference::case::{Case, Kind, Value};

/// Most multiply-accumulates, and most bytes, of a drawn case: ten thousand of them must not take
/// a night. Larger cases are the suite's own.
const MAX_WORK: u64 = 1 << 20;

/// A stream of numbers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0; the bias is below `end` / 2^64.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// From 0 up to, not including, 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Either, as likely as the other.
    pub fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }

    /// From `least` to `largest`, each octave as likely as the next.
    pub fn size(&mut self, least: u64, largest: u64) -> u64 {
        // Of the sizes plus one, so that 0 is a size too.
        let (low, high) = ((least as f64 + 1.0).ln(), (largest as f64 + 2.0).ln());
        let drawn = (low + self.unit() * (high - low)).exp().floor() - 1.0;
        format!("{drawn:.0}").parse().unwrap_or(least).clamp(least, largest)
    }
}

impl Scenario {
    /// One try at a random case of the `sweep`th sweep: nothing where the combination breaks a
    /// condition, makes no case, or is too much work.
    pub fn draw(&self, sweep: usize, dice: &mut Dice) -> Result<Option<Case>, ScenarioError> {
        self.sweeps[sweep].draw(&self.file, dice)
    }
}

impl Sweep {
    fn draw(&self, file: &str, dice: &mut Dice) -> Result<Option<Case>, ScenarioError> {
        let (params, defaults) = (self.op.params, self.defaults(file)?);
        let mut slots = vec![None; params.len()];
        self.fill(dice.below(self.combinations(file)?), &defaults, &mut slots);
        let mut entries: Vec<Option<Entry>> = slots.iter().map(|slot| slot.cloned()).collect();
        // The sizes of a file's tensor are not ours to change.
        let file_data = entries.iter().flatten().any(|e| matches!(e.value, Value::Text(_)));
        for (i, (param, entry)) in params.iter().zip(&mut entries).enumerate() {
            let (Some(entry), Kind::Number { max, .. }) = (entry, param.kind) else { continue };
            let number = match (param.key == SEED, self.ends(i), &entry.value) {
                (true, ..) => dice.next() % max.min(1 << 32),
                (false, Some(ends), Value::Number(size)) if !file_data && dice.coin() => {
                    resized(*size, ends, dice)
                }
                _ => continue,
            };
            *entry = Entry::new(Value::Number(number), entry.place);
        }
        let slots = entries.iter().map(Option::as_ref).collect();
        let row = Row { spec: self.op, slots, absent: evalexpr::Value::String(String::new()) };
        // A condition that fails on sizes nobody wrote leaves the draw out, as one that is false.
        if !self.kept(file, &row).unwrap_or(false) {
            return Ok(None);
        }
        let case = self.case(file, &row).ok();
        Ok(case.filter(|case| {
            let work = (self.op.work)(case);
            work.macs.max(work.bytes_read.saturating_add(work.bytes_written)) <= MAX_WORK
        }))
    }

    /// Least and largest of a parameter's values, where they differ.
    fn ends(&self, param: usize) -> Option<(u64, u64)> {
        let axis = self.groups.iter().flatten().find(|axis| axis.param == param)?;
        let sizes = axis.entries.iter().filter_map(|entry| match entry.value {
            Value::Number(number) => Some(number),
            _ => None,
        });
        let (least, largest) = (sizes.clone().min()?, sizes.max()?);
        (least < largest).then_some((least, largest))
    }
}

/// Another size between the ends, every second time with the power of two that divides `size`.
fn resized(size: u64, (least, largest): (u64, u64), dice: &mut Dice) -> u64 {
    let drawn = dice.size(least, largest);
    let step = 1 << size.trailing_zeros().min(16);
    let whole = drawn / step * step;
    if dice.coin() && whole >= least.max(1) { whole } else { drawn }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_reach_both_ends_and_small_ones_are_common() {
        let mut dice = Dice::new(7);
        let sizes: Vec<u64> = (0..4000).map(|_| dice.size(0, 100)).collect();
        assert!((0..=100).all(|size| sizes.contains(&size)));
        let small = sizes.iter().filter(|size| **size <= 9).count();
        assert!((1800..2200).contains(&small), "{small}: ln 11 / ln 102 = 52 % are expected");
        assert!((0..100).all(|_| (1..=3).contains(&dice.size(1, 3))));
    }

    #[test]
    fn every_second_size_keeps_its_power_of_two() {
        let mut dice = Dice::new(7);
        let sizes: Vec<u64> = (0..1000).map(|_| resized(64, (32, 400), &mut dice)).collect();
        let whole = sizes.iter().filter(|size| size.is_multiple_of(64)).count();
        // Half of those of 64 and more: ln(402 / 65) / ln(402 / 33) = 73 % are.
        assert!((300..430).contains(&whole), "{whole}");
        assert!(sizes.iter().all(|size| (32..=400).contains(size)));
    }
}
