//! Which gradients pass a quantizer: straight-through estimators, by their exact meaning.
//!
//! A quantizer is flat between ties and jumps at them, so that its derivative teaches nothing. A
//! straight-through estimator puts another backward pass in its place: with `g` the gradient of the
//! dequantized value, the gradient of `x` is `g` where the estimator passes and 0 where it does
//! not. It is routed once, whatever the forward pass did, and a scale, a centre and a zero point
//! are constants of the backward pass: the sources have no learned scales, so no gradient reaches a
//! scale, and none goes through a scale to the values it was made of.
//!
//! | estimator | passes |
//! |---|---|
//! | `identity` | always: ties, edges, the saturated tail, zero and NaN (arXiv 1308.3432; the BitNet papers; seed 002) |
//! | `clipped` | integers: where the code was not saturated, `least <= round(x / step) + zero point <= most`, so up to half a step beyond the last code, a tie that rounds outwards excluded; sign and ternary: where `abs(x - centre) <= scale`, the edge included (arXiv 1602.02830) |
//!
//! NaN passes under `identity` only. `METHODOLOGY.md`, "Straight-through estimators", has the table
//! by rule and place; a test makes it.
use crate::case::Word;
use crate::fake_quantize::ByRule;
use crate::format::Levels;
use crate::invalid::Invalid;
use crate::rule::{Groups, Rule, Shared, quantize_groups, ulp};

/// What becomes of the gradient of a quantized value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimator {
    /// It passes, always.
    Identity,
    /// It passes where nothing was saturated.
    Clipped,
}

impl Estimator {
    /// Every estimator.
    pub const ALL: [Estimator; 2] = [Estimator::Identity, Estimator::Clipped];

    /// Its name in scenarios and ids.
    pub fn name(self) -> &'static str {
        match self {
            Estimator::Identity => "identity",
            Estimator::Clipped => "clipped",
        }
    }

    /// The names.
    pub fn words() -> Vec<Word> {
        Estimator::ALL.map(|one| Word { name: one.name(), aliases: &[] }).to_vec()
    }

    /// The estimator of that name.
    pub fn named(name: &str) -> Option<Estimator> {
        Estimator::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Whether the gradient of a value passes.
    pub fn passes(self, rule: &Rule, levels: Levels, x: f32, shared: &Shared) -> bool {
        match (self, levels) {
            (Estimator::Identity, _) => true,
            (_, Levels::Sign | Levels::Ternary) => {
                let x = if rule.centred { x - shared.centre } else { x };
                x.abs() <= shared.scale
            }
            _ => {
                let (least, most) = levels.range();
                let least = if levels.unsigned() { least } else { least.max(rule.min_code.into()) };
                let rounded = rule.rounding.round(x / rule.step(shared.scale));
                let code = rounded + f32::from(shared.zero_point);
                // No comparison holds for a NaN.
                f32::from(least) <= code && code <= f32::from(most)
            }
        }
    }

    /// Whether a division rounded another way may decide otherwise.
    pub fn near_edge(
        self,
        rule: &Rule,
        levels: Levels,
        x: f32,
        (shared, group_len): (&Shared, usize),
    ) -> bool {
        match (self, levels) {
            (Estimator::Identity, _) => false,
            (_, Levels::Sign | Levels::Ternary) => {
                let off = ((x - shared.centre).abs() - shared.scale).abs();
                off <= 4.0 * ulp(shared.scale)
            }
            _ => rule.near_tie(levels, x, shared, group_len),
        }
    }

    /// The gradient of `x`, `shape`d as [`FakeQuantize`](crate::fake_quantize::FakeQuantize) takes
    /// it, for a gradient of the dequantized values: each value of it once, or 0.
    ///
    /// A rotated rule is turned back after it was quantized. The transform is orthonormal, so
    /// `identity` gives the gradient itself; `clipped` would have to rotate it, which is an error.
    pub fn gradient(
        self,
        by: &ByRule,
        (x, shape): (&[f32], &[usize]),
        upstream: &[f32],
    ) -> Result<Vec<f32>, Invalid> {
        Invalid::check_len("x", x.len(), shape)?;
        Invalid::check_len("upstream", upstream.len(), shape)?;
        let ByRule { rule, levels } = *by;
        if self == Estimator::Identity {
            return Ok(upstream.to_vec());
        }
        if rule.rotated {
            return Err(Invalid::new("rule.rotated", true, "false: only `identity` is rotated"));
        }
        let groups = match shape.len() {
            4 => Groups::activation(&rule, shape)?,
            _ => Groups::weight(&rule, shape)?,
        };
        let shared = quantize_groups(&rule, levels, x, &groups).shared;
        let mut gradient = vec![0.0; x.len()];
        for (group, shared) in shared.iter().enumerate() {
            let passed = |at: &usize| self.passes(&rule, levels, x[*at], shared);
            groups.positions(group).filter(passed).for_each(|at| gradient[at] = upstream[at]);
        }
        Ok(gradient)
    }
}
