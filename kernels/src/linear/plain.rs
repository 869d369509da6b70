//! `plain`: every weight against every activation, one product after the other on one thread.
//!
//! ```text
//! row j      units u[k] and the scales s[g] of its groups, decoded anew at every launch
//! integers   sum_g = sum_{k in g} (x - zx) u in i32;  y = float(sum) (sx sw)  with one scale,
//!                                                     y = sx sum_g s[g] float(sum_g)  with more
//! floats     y = sx sum_k x (u s)  in f32, in the order of k
//! ```
//!
//! `u` is a code less its zero point. `|x - zx| |u| k < 2^31` for every K (or group) the op allows,
//! so no integer sum overflows. The slowest row: what the others are compared with, and the one
//! that is there for a format before another row knows it.
use super::decode::{self, Block, Unit};
use crate::buffer::Buffer;
use crate::context::Context;
use crate::{Failure, Kernel, Prepared, Threads};
use lowbit_reference::op::linear::{Activation, Linear, LinearProblem, Rows, Weight};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};

/// The row.
#[derive(Debug)]
pub(super) struct Plain;

/// Whether every product is one of integers.
fn is_integer(problem: &LinearProblem) -> bool {
    let integer = match &problem.weight {
        Weight::Codes(_) => true,
        Weight::Blocks(w) => !w.format.has_offset(),
        Weight::Table(w) => w.format.integer(),
    };
    integer && !matches!(problem.activation, Activation::F32(_))
}

impl Kernel<Linear> for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }
    fn threads(&self) -> Threads {
        Threads::One
    }
    fn arithmetic(&self, problem: &LinearProblem) -> Arithmetic {
        if is_integer(problem) { Arithmetic::INTEGER } else { Arithmetic::FLOAT }
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        match &problem.weight {
            Weight::Codes(w) => decode::code(w.format.name()).map(drop),
            Weight::Blocks(w) => decode::block(w.format.name()).map(drop),
            Weight::Table(w) => decode::table(w.format.name()).map(drop),
        }
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let (m, n, k) = (problem.m, problem.n, problem.k);
        let x_scales: Vec<f32> = (0..m).map(|i| problem.activation_scale(i)).collect();
        let x_zeros: Vec<i32> = (0..m).map(|i| problem.activation_zero_point(i)).collect();
        Ok(Box::new(Run {
            integer: is_integer(problem),
            rows: problem.rows,
            n,
            x: Tokens::new(&problem.activation, context),
            x_scales: context.copy("x scales", &x_scales),
            x_zeros: context.copy("x zero points", &x_zeros),
            weights: Weights::new(problem, context)?,
            units: context.buffer("units", k),
            y: context.buffer("y", m * n),
        }))
    }
}

/// Activations as they came.
enum Tokens {
    F32(Buffer<f32>),
    I8(Buffer<i8>),
    U8(Buffer<u8>),
}

impl Tokens {
    fn new(activation: &Activation, context: &mut Context) -> Tokens {
        match activation {
            Activation::F32(x) => Tokens::F32(context.copy("x", x)),
            Activation::I8(x) => Tokens::I8(context.copy("x", &x.codes)),
            Activation::U8(x) => Tokens::U8(context.copy("x", &x.codes)),
        }
    }
}

/// How the bytes of a row become units and scales.
enum Reading {
    /// `groups` scales a row, or one for all; as many zero points, or none.
    Codes {
        unit: Unit,
        groups: usize,
        zero_points: Buffer<i32>,
    },
    Blocks(Block),
    Table {
        values: [f32; 16],
        divisor: f32,
    },
}

/// Packed weights.
struct Weights {
    reading: Reading,
    /// Values that share a scale.
    group: usize,
    bytes: Buffer<u8>,
    row_bytes: usize,
    /// Scales or absmax beside the bytes, if they stand there.
    scales: Buffer<f32>,
}

impl Weights {
    fn new(problem: &LinearProblem, context: &mut Context) -> Result<Weights, String> {
        Ok(match &problem.weight {
            Weight::Codes(w) => Weights {
                reading: Reading::Codes {
                    unit: decode::code(w.format.name())?,
                    groups: w.groups,
                    zero_points: context.copy("w zero points", &w.zero_points),
                },
                group: w.group_size,
                bytes: context.copy("w", &w.bytes),
                row_bytes: w.row_bytes,
                scales: context.copy("w scales", &w.scales),
            },
            Weight::Blocks(w) => {
                let block = decode::block(w.format.name())?;
                Weights {
                    reading: Reading::Blocks(block),
                    group: block.len,
                    bytes: context.copy("w", &w.bytes),
                    row_bytes: w.row_bytes,
                    scales: context.buffer("w scales", 0),
                }
            }
            Weight::Table(w) => {
                let (values, divisor) = decode::table(w.format.name())?;
                Weights {
                    reading: Reading::Table { values, divisor },
                    group: 64,
                    bytes: context.copy("w", &w.codes),
                    row_bytes: w.k / 2,
                    scales: context.copy("w absmax", &w.absmax),
                }
            }
        })
    }

    /// Unit `k` of row `j`, less its zero point.
    fn unit(&self, j: usize, k: usize) -> f32 {
        let row = &self.bytes[j * self.row_bytes..][..self.row_bytes];
        match &self.reading {
            Reading::Codes { unit, groups, zero_points } => {
                let zero = match zero_points.len() {
                    0 => 0,
                    1 => zero_points[0],
                    _ => zero_points[j * groups + k / self.group],
                };
                unit(row, k) - zero as f32
            }
            Reading::Blocks(block) => {
                let bytes = &row[k / block.len * block.bytes..][..block.bytes];
                (block.unit)(bytes, k % block.len)
            }
            Reading::Table { values, .. } => {
                // The first of two values is in the high nibble.
                let code = if k.is_multiple_of(2) { row[k / 2] >> 4 } else { row[k / 2] & 15 };
                values[usize::from(code)]
            }
        }
    }

    /// Scale of the group of row `j` that holds value `k`.
    fn scale(&self, j: usize, k: usize) -> f32 {
        let g = k.checked_div(self.group).unwrap_or(0);
        match &self.reading {
            Reading::Codes { groups, .. } => {
                self.scales[if self.scales.len() == 1 { 0 } else { j * groups + g }]
            }
            Reading::Blocks(block) => {
                (block.scale)(&self.bytes[j * self.row_bytes + g * block.bytes..][..block.bytes])
            }
            Reading::Table { divisor, .. } => {
                let blocks = self.row_bytes * 2 / self.group;
                self.scales[j * blocks + g] / divisor
            }
        }
    }

    /// Whether one scale serves a whole row.
    fn one_scale(&self) -> bool {
        matches!(self.reading, Reading::Codes { groups: 1, .. })
    }
}

struct Run {
    integer: bool,
    rows: Rows,
    n: usize,
    x: Tokens,
    x_scales: Buffer<f32>,
    x_zeros: Buffer<i32>,
    weights: Weights,
    /// One row of weights without scales.
    units: Buffer<f32>,
    y: Buffer<f32>,
}

impl Run {
    /// Code `k` of token `i` less its zero point, or the float.
    fn x(&self, i: usize, k: usize) -> f32 {
        let code = match &self.x {
            Tokens::F32(x) => return self.rows.row(x, i)[k],
            Tokens::I8(x) => i32::from(self.rows.row(x, i)[k]),
            Tokens::U8(x) => i32::from(self.rows.row(x, i)[k]),
        };
        (code - self.x_zeros[i]) as f32
    }

    /// One product of integers, one of which has a scale for each group.
    fn integers(&self, i: usize, j: usize) -> f32 {
        let (len, group) = (self.units.len(), self.weights.group.max(1));
        // Units and codes are integers below 512: the casts are exact.
        let product = |k: usize| self.x(i, k) as i32 * self.units[k] as i32;
        let sum = |from: usize| (from..len.min(from + group)).map(product).sum::<i32>() as f32;
        if self.weights.one_scale() {
            return sum(0) * (self.x_scales[i] * self.weights.scale(j, 0));
        }
        let groups = (0..len).step_by(group).map(|k| self.weights.scale(j, k) * sum(k));
        self.x_scales[i] * groups.sum::<f32>()
    }

    fn floats(&self, i: usize, j: usize) -> f32 {
        let product = |k| self.x(i, k) * (self.units[k] * self.weights.scale(j, k));
        self.x_scales[i] * (0..self.units.len()).map(product).sum::<f32>()
    }
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        for j in 0..self.n {
            for k in 0..self.units.len() {
                self.units[k] = self.weights.unit(j, k);
            }
            for i in 0..self.rows.m {
                let y = if self.integer { self.integers(i, j) } else { self.floats(i, j) };
                self.y[i * self.n + j] = y;
            }
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.y.fill(f32::NAN);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("y", Tensor::F32(self.y.to_vec()))]))
    }
}
