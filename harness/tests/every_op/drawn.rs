//! Mistakes nobody thought of: drawn ones. From some length of an output on, at places that leave a
//! rest when divided, where values are of a kind, one or all of them are answered wrongly.
use super::wrong::Mistake;
use lowbit_reference::op::{Outputs, Tensor};
use lowbit_scenarios::Dice;
use std::sync::Arc;

/// Numbers of lanes, tiles, digits and blocks that places are divided by.
const DIVISORS: [usize; 12] = [1, 1, 1, 2, 3, 4, 5, 8, 16, 32, 64, 100];
/// Largest power of two from which on there may be a mistake.
const FROM: usize = 9;

/// Which values are wrong.
#[derive(Clone, Copy, Debug)]
enum Sought {
    Any,
    Negative,
    Positive,
    Largest,
}

/// Which of those.
#[derive(Clone, Copy, Debug)]
enum Which {
    All,
    First,
    Last,
}

/// What becomes of them.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// A float an eighth too large, a code one off.
    Off,
    Negated,
    Neighbour,
    Zero,
}

/// A mistake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawn {
    /// Of any output, by turns; else the longest.
    output: Option<usize>,
    from: usize,
    divisor: usize,
    rest: usize,
    sought: Sought,
    which: Which,
    effect: Effect,
}

fn one<T: Copy>(of: &[T], dice: &mut Dice) -> T {
    of[dice.below(of.len())]
}

impl Drawn {
    /// The mistake of a seed.
    pub(crate) fn new(seed: u64) -> Drawn {
        let mut dice = Dice::new(seed);
        let divisor = one(&DIVISORS, &mut dice);
        let drawn = Drawn {
            output: None,
            from: 1 << dice.below(FROM),
            divisor,
            rest: dice.below(divisor),
            sought: one(
                &[Sought::Any, Sought::Negative, Sought::Positive, Sought::Largest],
                &mut dice,
            ),
            which: one(&[Which::All, Which::First, Which::Last], &mut dice),
            effect: one(
                &[Effect::Off, Effect::Negated, Effect::Neighbour, Effect::Zero],
                &mut dice,
            ),
        };
        // Other outputs are short: scales, losses, positions.
        match dice.below(4) {
            0 => Drawn { output: Some(dice.below(8)), from: 1, divisor: 1, rest: 0, ..drawn },
            _ => drawn,
        }
    }

    /// As a row makes it.
    pub(crate) fn mistake(self) -> Arc<Mistake> {
        Arc::new(move |outputs, _| self.plant(outputs))
    }

    fn plant(&self, outputs: &mut Outputs) {
        let outputs = &mut outputs.0;
        let place = match self.output {
            Some(turn) => turn.checked_rem(outputs.len()),
            None => (0..outputs.len()).max_by_key(|i| outputs[*i].1.len()),
        };
        let Some((_, tensor)) = place.map(|place| &mut outputs[place]) else { return };
        if tensor.len() < self.from {
            return;
        }
        let most = (0..tensor.len()).map(|i| tensor.get(i).abs()).fold(0.0, f64::max);
        let signed = (0..tensor.len()).any(|i| tensor.get(i) < 0.0);
        let sought = |i: &usize| match self.sought {
            Sought::Any => true,
            // Bytes and losses have no sign.
            Sought::Negative if !signed => tensor.get(*i) <= most / 2.0,
            Sought::Negative => tensor.get(*i) < 0.0,
            Sought::Positive => tensor.get(*i) > 0.0,
            Sought::Largest => tensor.get(*i).abs() == most,
        };
        let all: Vec<usize> =
            (self.rest..tensor.len()).step_by(self.divisor).filter(sought).collect();
        let some = match self.which {
            Which::All => &all[..],
            Which::First => &all[..all.len().min(1)],
            Which::Last => &all[all.len().saturating_sub(1)..],
        };
        // From the end, so that a neighbour is still what it was.
        some.iter().rev().for_each(|i| self.spoil(tensor, *i));
    }

    fn spoil(&self, tensor: &mut Tensor, i: usize) {
        let (now, before) = (tensor.get(i), tensor.get(i.saturating_sub(1)));
        let off = match tensor {
            Tensor::F32(_) if now == 0.0 => 1.0,
            Tensor::F32(_) => 1.125 * now,
            _ => now + if now > 0.0 { -1.0 } else { 1.0 },
        };
        let wrong = match self.effect {
            Effect::Off => off,
            Effect::Negated => -now,
            Effect::Neighbour => before,
            Effect::Zero => 0.0,
        };
        // What is no change is none.
        let wrong = if wrong == now { off } else { wrong };
        match tensor {
            Tensor::F32(values) => values[i] = wrong as f32,
            Tensor::I32(values) => values[i] = wrong as i32,
            Tensor::I8(values) => values[i] = wrong as i64 as i8,
            Tensor::U8(values) => values[i] = (wrong as i64).to_le_bytes()[0],
        }
    }
}
