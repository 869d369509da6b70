//! The oracle of rows that quantize for themselves: they also answer `weight_scales` (and
//! `activation_scales`), and are judged under those.
use super::super::quantize::{expect_centres, expect_scales};
use super::super::{Arithmetic, Bound, Expectation, Expected, Outputs, Tensor};
use super::oracle::LinearReference;
use super::{LinearProblem, Weight};
use crate::bound;
use crate::format::Levels;
use crate::rule::{Rule, Shared};

/// Values quantized and dequantized under a row's own scales, and by how much those near a tie
/// may be off.
struct FakeQuant {
    values: Vec<f64>,
    /// Position and step, ascending.
    near: Vec<(usize, f64)>,
}

impl FakeQuant {
    fn new(x: &[f32], rule: &Rule, levels: Levels, (scales, centres): (&[f32], &[f32])) -> Self {
        let group_len = x.len().div_ceil(scales.len().max(1)).max(1);
        let shared = |i: usize| {
            let centre = centres.get(i / group_len).copied().unwrap_or(0.0);
            Shared { centre, ..rule.under(scales[i / group_len]) }
        };
        let value = |(i, x): (usize, &f32)| {
            let shared = shared(i);
            f64::from(rule.code(levels, *x, &shared)) * f64::from(shared.scale)
        };
        let near = |i: usize| {
            let shared = shared(i);
            let step = levels.step() * f64::from(shared.scale);
            rule.near_tie(levels, x[i], &shared, group_len).then_some((i, step))
        };
        let values = x.iter().enumerate().map(value).collect();
        FakeQuant { values, near: (0..x.len()).filter_map(near).collect() }
    }

    /// Sum of `step |other|` over the values of a row that are near a tie.
    fn ties(&self, row: usize, k: usize, other: &[f64]) -> f64 {
        let from = self.near.partition_point(|(at, _)| *at < row * k);
        let to = self.near.partition_point(|(at, _)| *at < (row + 1) * k);
        self.near[from..to].iter().map(|(at, step)| step * other[at - row * k].abs()).sum()
    }
}

/// A fake-quant row computes scales and codes itself, in floats: its scales are judged first,
/// then its product against an f64 product of the values quantized under those scales. A value
/// near a tie may be one step off, and widens the bound of every output it enters by that step;
/// not in tier `exact`, where ties are planted, on a machine that divides exactly.
pub(super) fn expect(
    p: &LinearProblem,
    reference: &LinearReference,
    arithmetic: Arithmetic,
    (own, got): (&[f32], &Outputs),
) -> Expectation {
    let Weight::Codes(weight) = &p.weight else {
        return Expectation::fault("scales of its own for a weight that carries its scales");
    };
    let rule = &weight.rule;
    let group_len = rule.group_len(p.n * p.k, p.k);
    let mut out = Expectation::default();
    let want = (weight.scales.as_slice(), group_len);
    out.outputs.push(expect_scales("weight_scales", rule, arithmetic, want));
    // Centres that nobody asked for are not looked at, and excuse nothing.
    let centres = got.f32s("weight_centres").filter(|_| rule.centred).unwrap_or(&[]);
    if rule.centred {
        let want = (weight.centres.as_slice(), group_len);
        out.outputs.push(expect_centres("weight_centres", &p.weight_f32, want));
    }
    if own.len() != weight.scales.len() || centres.len() != weight.centres.len() {
        return out;
    }
    let levels = weight.format.levels();
    let mut w = FakeQuant::new(&p.weight_f32, rule, levels, (own, centres));
    let mut x = match p.activation.quantization() {
        None => FakeQuant {
            values: p.activation_f32.iter().map(|x| f64::from(*x)).collect(),
            near: Vec::new(),
        },
        Some((levels, rule)) => {
            let scales = p.activation.scales();
            let want = (scales, rule.group_len(p.m * p.k, p.k));
            out.outputs.push(expect_scales("activation_scales", &rule, arithmetic, want));
            let own = got.f32s("activation_scales").filter(|s| s.len() == scales.len());
            let Some(own) = own else { return out };
            FakeQuant::new(&p.activation_f32, &rule, levels, (own, &[]))
        }
    };
    if p.exact && arithmetic.exact_division {
        w.near.clear();
        x.near.clear();
    }
    out.outputs.push(fake_product(p, reference, &x, &w));
    out
}

fn fake_product(
    p: &LinearProblem,
    reference: &LinearReference,
    x: &FakeQuant,
    w: &FakeQuant,
) -> Expected {
    let (mut want, mut bounds) = (Vec::new(), Vec::new());
    for (i, j) in reference.grid.elements() {
        let (xs, ws) = (&x.values[i * p.k..][..p.k], &w.values[j * p.k..][..p.k]);
        let sum: f64 = xs.iter().zip(ws).map(|(x, w)| x * w).sum();
        let magnitude: f64 = xs.iter().zip(ws).map(|(x, w)| (x * w).abs()).sum();
        let ties = w.ties(j, p.k, xs) + x.ties(i, p.k, ws);
        want.push(sum as f32);
        bounds.push(bound::dot(p.k, magnitude) + ties);
    }
    let mut y = Expected::all("y", Tensor::F32(want), Bound::Componentwise(bounds));
    y.at = reference.grid.positions(p.n);
    y.len = p.m * p.n;
    y
}
