//! The scalar trainer, in f64, with a bound beside every number: how far off a trainer in f32 may
//! be that does the same, in any order of summation.
//!
//! A bound is carried through every operation (running error analysis; Higham, section 3.3):
//!
//! ```text
//! scale   mean or maximum in f64, rounded once:        e = mean e_w + 2 u s
//! code    the same, unless a border between two codes is within reach of its quotient: then the
//!         code the other trainer took, if it is one of the two
//!                                                       e_q = (e_x + |q| e_s) / (s - e_s) + u |q|
//! product code times scale:                             e = |code| e_s + u |value|
//! sum     e = gamma(K + 2) sum (|a| + e_a)(|b| + e_b) + sum (e_a |b| + |a| e_b + e_a e_b)
//! mask    certain, or that of the other trainer
//! update  w - r g, r a power of two:                    e = e_w + r e_g + u (|w'| + e)
//! ```
//!
//! Nothing in it is tuned. It shares no code with the quantizers it speaks of.
use super::trainer::{HIDDEN, INPUTS, OUTPUTS, RATE, Step, TOKENS, Task};
use lowbit_reference::bound::{UNIT, gamma};

/// A number and how far off it may be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Near {
    pub(crate) value: f64,
    pub(crate) off: f64,
}

impl Near {
    fn exact(x: f32) -> Near {
        Near { value: f64::from(x), off: 0.0 }
    }

    fn scaled(self, by: f64) -> Near {
        Near { value: by * self.value, off: by * self.off }
    }

    fn rounded(self) -> Near {
        Near { off: self.off + UNIT * (self.value.abs() + self.off), ..self }
    }
}

/// `sum a b`.
fn dot(pairs: impl Iterator<Item = (Near, Near)>) -> Near {
    let (mut sum, mut magnitude, mut count) = (Near::default(), 0.0, 0);
    for (a, b) in pairs {
        sum.value += a.value * b.value;
        sum.off += a.off * b.value.abs() + a.value.abs() * b.off + a.off * b.off;
        magnitude += (a.value.abs() + a.off) * (b.value.abs() + b.off);
        count += 1;
    }
    Near { off: sum.off + gamma(count + 2) * magnitude, ..sum }
}

/// How a weight of the scalar trainer is quantized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// b1.58: the mean magnitude of the tensor; beyond half of it a sign.
    Ternary,
    /// The absolute maximum of a row in 127 steps, ties to even.
    Absmax,
}

/// A value after quantization, and whether a clipped estimator passes its gradient.
#[derive(Clone, Copy, Debug)]
struct Left {
    value: Near,
    passes: bool,
    /// Whether every trainer within the bound decides the mask alike.
    certain: bool,
    /// Whether another code was within reach.
    doubt: bool,
}

/// The code of a value: where a border is within reach, the one of two that was seen.
fn decided(code: f64, other: Option<f64>, (scale, seen): (Near, Option<f32>)) -> f64 {
    let distance = |code: &f64, seen: f32| (f64::from(seen) - code * scale.value).abs();
    match (other, seen) {
        (Some(other), Some(seen)) if distance(&other, seen) < distance(&code, seen) => other,
        _ => code,
    }
}

fn value(code: f64, scale: Near) -> Near {
    let value = code * scale.value;
    Near { value, off: code.abs() * scale.off + UNIT * (value.abs() + code.abs() * scale.off) }
}

fn ternary(w: &[Near], seen: Option<&[f32]>) -> Vec<Left> {
    let count = w.len() as f64;
    let mean = Near {
        value: w.iter().map(|w| w.value.abs()).sum::<f64>() / count,
        off: w.iter().map(|w| w.off).sum::<f64>() / count,
    };
    let scale = Near { off: mean.off + 2.0 * UNIT * mean.value, ..mean };
    let left = |(i, w): (usize, &Near)| {
        let magnitude = w.value.abs();
        let active = magnitude > scale.value / 2.0;
        let doubt = (magnitude - scale.value / 2.0).abs() <= w.off + scale.off / 2.0;
        let code = |active: bool| f64::from(active) * w.value.signum();
        let seen = (scale, seen.map(|seen| seen[i]));
        let code = decided(code(active), doubt.then(|| code(!active)), seen);
        Left {
            value: value(code, scale),
            passes: magnitude <= scale.value,
            certain: (magnitude - scale.value).abs() > w.off + scale.off,
            doubt,
        }
    };
    w.iter().enumerate().map(left).collect()
}

fn absmax(row: &[Near], seen: Option<&[f32]>) -> Vec<Left> {
    let most = row.iter().map(|x| x.value.abs()).fold(0.0, f64::max);
    let off = row.iter().map(|x| x.off).fold(0.0, f64::max);
    let scale = Near { value: most / 127.0, off: off / 127.0 }.rounded();
    let left = |(i, x): (usize, &Near)| {
        if scale.value <= 2.0 * scale.off {
            // A row of nothing: what is left of a value is not larger than the largest can be.
            let value = Near { value: 0.0, off: most + off };
            return Left { value, passes: true, certain: true, doubt: most + off > 0.0 };
        }
        let quotient = x.value / scale.value;
        let reach = (x.off + quotient.abs() * scale.off) / (scale.value - scale.off)
            + UNIT * quotient.abs();
        let (code, below) = (quotient.round_ties_even(), quotient.floor());
        let doubt = (quotient - below - 0.5).abs() <= reach;
        let other = if code == below { below + 1.0 } else { below };
        let seen = (scale, seen.map(|seen| seen[i]));
        let code = decided(code, doubt.then_some(other), seen);
        Left { value: value(code, scale), passes: true, certain: true, doubt }
    };
    row.iter().enumerate().map(left).collect()
}

fn quantize(meaning: Meaning, (x, row_len): (&[Near], usize), seen: Option<&[f32]>) -> Vec<Left> {
    match meaning {
        Meaning::Ternary => ternary(x, seen),
        Meaning::Absmax => {
            let rows = x.chunks(row_len).enumerate();
            rows.flat_map(|(i, row)| {
                absmax(row, seen.map(|seen| &seen[i * row_len..][..row.len()]))
            })
            .collect()
        }
    }
}

/// A gradient where a mask lets it pass.
fn masked(gradient: Near, passes: bool) -> Near {
    if passes { gradient } else { Near::default() }
}

/// What the scalar trainer has come to.
pub(crate) struct Scalar {
    task: Task,
    pub(crate) first: Vec<Near>,
    pub(crate) second: Vec<Near>,
    /// Codes and masks that a trainer in f32 may decide otherwise, over all steps.
    pub(crate) doubts: usize,
}

impl Scalar {
    pub(crate) fn new(task: &Task) -> Scalar {
        let near = |values: &[f32]| values.iter().map(|x| Near::exact(*x)).collect();
        let (first, second) = (near(&task.first), near(&task.second));
        Scalar { task: task.clone(), first, second, doubts: 0 }
    }

    /// The step that another trainer was seen to take; the loss before it.
    pub(crate) fn step(&mut self, seen: &Step) -> Near {
        let task = &self.task;
        let near: Vec<Near> = task.x.iter().map(|x| Near::exact(*x)).collect();
        let x = quantize(Meaning::Absmax, (&near, INPUTS), None);
        let w = quantize(task.meaning, (&self.first, INPUTS), Some(&seen.first));
        let v = quantize(Meaning::Absmax, (&self.second, HIDDEN), Some(&seen.second));
        let product = |a: &[Left], b: &[Left], depth: usize, (i, j): (usize, usize)| {
            dot((0..depth).map(|k| (a[i * depth + k].value, b[j * depth + k].value)))
        };
        let pairs = |rows: usize, columns: usize| {
            (0..rows).flat_map(move |i| (0..columns).map(move |j| (i, j)))
        };
        let h: Vec<Near> = pairs(TOKENS, HIDDEN).map(|at| product(&x, &w, INPUTS, at)).collect();
        // A relu moves no two numbers apart.
        let relu: Vec<Near> = h.iter().map(|h| Near { value: h.value.max(0.0), ..*h }).collect();
        let r = quantize(Meaning::Absmax, (&relu, HIDDEN), Some(&seen.hidden));
        let y = pairs(TOKENS, OUTPUTS).map(|at| product(&r, &v, HIDDEN, at));
        let error = y
            .zip(&task.target)
            .map(|(y, t)| Near { value: y.value - f64::from(*t), off: y.off }.rounded());
        let error: Vec<Near> = error.collect();
        let loss = dot(error.iter().map(|e| (*e, *e))).scaled(0.5 / TOKENS as f64).rounded();
        let dy: Vec<Near> = error.iter().map(|e| e.scaled(1.0 / TOKENS as f64)).collect();
        let dv = pairs(OUTPUTS, HIDDEN)
            .map(|(o, k)| dot((0..TOKENS).map(|t| (dy[t * OUTPUTS + o], r[t * HIDDEN + k].value))));
        let dv: Vec<Near> = dv.collect();
        let dh = pairs(TOKENS, HIDDEN).map(|(t, k)| {
            let dr = dot((0..OUTPUTS).map(|o| (dy[t * OUTPUTS + o], v[o * HIDDEN + k].value)));
            let at = h[t * HIDDEN + k];
            let certain = at.value.abs() > at.off;
            masked(dr, if certain { at.value > 0.0 } else { seen.open[t * HIDDEN + k] })
        });
        let dh: Vec<Near> = dh.collect();
        let dw = pairs(HIDDEN, INPUTS)
            .map(|(k, i)| dot((0..TOKENS).map(|t| (dh[t * HIDDEN + k], x[t * INPUTS + i].value))));
        let dw: Vec<Near> = dw.collect();
        let doubts = x.iter().chain(&w).chain(&v).chain(&r);
        self.doubts += doubts.filter(|left| left.doubt || (task.clipped && !left.certain)).count();
        let (clipped, rate) = (task.clipped, f64::from(RATE));
        let update = |w: &mut Near, gradient: &Near, passes: bool| {
            let g = masked(*gradient, passes || !clipped);
            let next = Near { value: w.value - rate * g.value, off: w.off + rate * g.off };
            *w = next.rounded();
        };
        for (i, w_latent) in self.first.iter_mut().enumerate() {
            let passes = if w[i].certain { w[i].passes } else { seen.passed[i] };
            update(w_latent, &dw[i], passes);
        }
        for (v_latent, gradient) in self.second.iter_mut().zip(&dv) {
            update(v_latent, gradient, true);
        }
        loss
    }
}
