//! Which sweep a random case is drawn from: those whose cases are accepted come up more often.
use lowbit_scenarios::Dice;

/// How often a draw from a sweep was of use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Odds {
    draws: usize,
    useful: usize,
}

impl Odds {
    /// A draw was made.
    pub(crate) fn drawn(&mut self) {
        self.draws += 1;
    }

    /// A draw was of use, or not.
    pub(crate) fn was_useful(&mut self, useful: bool) {
        self.useful += usize::from(useful);
    }

    /// Likelier where draws were of use; never zero.
    pub(crate) fn weight(&self) -> f64 {
        (self.useful + 2) as f64 / (self.draws + 2) as f64
    }
}

/// A position, by weight; nothing where no weight is above zero.
pub(crate) fn pick(weights: &[f64], dice: &mut Dice) -> Option<usize> {
    let mut left = dice.unit() * weights.iter().sum::<f64>();
    let mut last = None;
    for (i, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        last = Some(i);
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    last
}

/// The sweeps of one op.
pub(crate) struct Urns(Vec<(usize, Odds)>);

impl Urns {
    pub(crate) fn new(sweeps: impl Iterator<Item = usize>) -> Urns {
        Urns(sweeps.map(|sweep| (sweep, Odds::default())).collect())
    }

    /// A sweep; nothing where there is none.
    pub(crate) fn pick(&mut self, dice: &mut Dice) -> Option<usize> {
        let weights: Vec<f64> = self.0.iter().map(|(_, odds)| odds.weight()).collect();
        let (sweep, odds) = &mut self.0[pick(&weights, dice)?];
        odds.drawn();
        Some(*sweep)
    }

    /// Whether a case of the sweep was accepted.
    pub(crate) fn was_useful(&mut self, sweep: usize, useful: bool) {
        if let Some((_, odds)) = self.0.iter_mut().find(|(other, _)| *other == sweep) {
            odds.was_useful(useful);
        }
    }
}
