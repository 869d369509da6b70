//! What a row answers and what it should have answered.
use serde::{Deserialize, Serialize};

/// One typed output.
#[derive(Clone, Debug)]
pub enum Tensor {
    /// Floats.
    F32(Vec<f32>),
    /// Signed codes.
    I8(Vec<i8>),
    /// Packed bytes.
    U8(Vec<u8>),
    /// Accumulators.
    I32(Vec<i32>),
}

/// The same type and values, NaN like NaN: the scale of a group that holds one.
impl PartialEq for Tensor {
    fn eq(&self, other: &Tensor) -> bool {
        let same = |(a, b): (&f32, &f32)| a == b || (a.is_nan() && b.is_nan());
        match (self, other) {
            (Tensor::F32(a), Tensor::F32(b)) => a.len() == b.len() && a.iter().zip(b).all(same),
            (Tensor::I8(a), Tensor::I8(b)) => a == b,
            (Tensor::U8(a), Tensor::U8(b)) => a == b,
            (Tensor::I32(a), Tensor::I32(b)) => a == b,
            _ => false,
        }
    }
}

impl Tensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Tensor::F32(v) => v.len(),
            Tensor::I8(v) => v.len(),
            Tensor::U8(v) => v.len(),
            Tensor::I32(v) => v.len(),
        }
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Element `i` as f64; exact for every type.
    pub fn get(&self, i: usize) -> f64 {
        match self {
            Tensor::F32(v) => f64::from(v[i]),
            Tensor::I8(v) => f64::from(v[i]),
            Tensor::U8(v) => f64::from(v[i]),
            Tensor::I32(v) => f64::from(v[i]),
        }
    }
    /// Bit pattern of element `i`.
    pub fn bits(&self, i: usize) -> u32 {
        match self {
            Tensor::F32(v) => v[i].to_bits(),
            Tensor::I8(v) => i32::from(v[i]).cast_unsigned(),
            Tensor::U8(v) => u32::from(v[i]),
            Tensor::I32(v) => v[i].cast_unsigned(),
        }
    }
    /// Name of the element type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Tensor::F32(_) => "f32",
            Tensor::I8(_) => "i8",
            Tensor::U8(_) => "u8",
            Tensor::I32(_) => "i32",
        }
    }
}

/// Named outputs of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs(pub Vec<(&'static str, Tensor)>);

impl Outputs {
    /// The output with that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, t)| t)
    }
    /// The f32 output with that name.
    pub fn f32s(&self, name: &str) -> Option<&[f32]> {
        match self.get(name) {
            Some(Tensor::F32(values)) => Some(values),
            _ => None,
        }
    }
}

/// What a row does to its operands before it multiplies them, beyond what the op says. Its error is
/// bounded by what it declares here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Operands {
    /// Nothing.
    #[default]
    AsGiven,
    /// Rounds activations to 8-bit codes of the absmax of a block: at most half of `absmax / 127`
    /// off (with a zero point, `2 absmax / 255`), and a rounding of the scale.
    EightBit {
        /// Values of a row that share a scale; 0 where the whole tensor shares one.
        block: usize,
        /// Bits of a scale's significand: 24 for f32, 11 for f16.
        scale_bits: u32,
        /// Whether codes are unsigned, with a zero point.
        #[serde(default)]
        asymmetric: bool,
    },
    /// Rounds activations, weights, scales and outputs to short floats.
    Short {
        /// Bits of the significand: 8 for bf16.
        bits: u32,
    },
}

/// How a row computes, which decides how exact it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arithmetic {
    /// Whether products are added as integers and scaled once at the end.
    pub integer: bool,
    /// Whether divisions are correctly rounded (CPUs; WGSL allows 2.5 ulp).
    #[serde(default = "yes")]
    pub exact_division: bool,
    /// What becomes of the operands first.
    #[serde(default)]
    pub operands: Operands,
}

fn yes() -> bool {
    true
}

impl Arithmetic {
    /// Integer sums, IEEE division.
    pub const INTEGER: Arithmetic =
        Arithmetic { integer: true, exact_division: true, operands: Operands::AsGiven };
    /// f32 sums in any order, IEEE division.
    pub const FLOAT: Arithmetic = Arithmetic { integer: false, ..Arithmetic::INTEGER };
    /// Integer sums on a GPU.
    pub const INTEGER_GPU: Arithmetic = Arithmetic { exact_division: false, ..Arithmetic::INTEGER };
    /// f32 sums on a GPU.
    pub const FLOAT_GPU: Arithmetic = Arithmetic { exact_division: false, ..Arithmetic::FLOAT };
}

/// What is declared, for people: `integer sums`, `float sums, inexact division`.
impl std::fmt::Display for Arithmetic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Arithmetic { integer, exact_division, operands } = *self;
        f.write_str(if integer { "integer sums" } else { "float sums" })?;
        f.write_str(if exact_division { "" } else { ", inexact division" })?;
        match operands {
            Operands::AsGiven => Ok(()),
            Operands::EightBit { block, scale_bits, asymmetric } => {
                let codes = if asymmetric { "unsigned codes" } else { "codes" };
                write!(f, ", activations in 8-bit {codes}, ")?;
                match block {
                    0 => write!(f, "one scale of {scale_bits} bits"),
                    _ => write!(f, "a scale of {scale_bits} bits for {block}"),
                }
            }
            Operands::Short { bits } => write!(f, ", operands of {bits} bits"),
        }
    }
}

/// Permitted distance of one output from the reference.
pub enum Bound {
    /// Bit for bit (`-0.0` and `0.0` are equal, and so are NaN and NaN).
    Exact,
    /// `|got - want| <= bound[i]`.
    Componentwise(Vec<f64>),
    /// Codes: no farther off than the function says, which is nothing but near a tie.
    Code(Box<dyn Fn(usize) -> f64 + Send + Sync>),
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Bound::Exact => "Exact",
            Bound::Componentwise(_) => "Componentwise",
            Bound::Code(_) => "Code",
        })
    }
}

/// What one output must hold.
#[derive(Debug)]
pub struct Expected {
    /// Name of the output.
    pub name: &'static str,
    /// Values, at the positions of `at` or at all of them.
    pub want: Tensor,
    /// Positions in the output that `want` speaks of; `None` for every one in order.
    pub at: Option<Vec<usize>>,
    /// Permitted distance.
    pub bound: Bound,
    /// Length the output must have.
    pub len: usize,
    /// What the row answered, where the oracle had to decode it (packed codes); `None` to take
    /// the output of that name as it is.
    pub decoded: Option<Tensor>,
}

impl Expected {
    /// Every element, as the row answered it.
    pub fn all(name: &'static str, want: Tensor, bound: Bound) -> Expected {
        let len = want.len();
        Expected { name, want, at: None, bound, len, decoded: None }
    }
}

/// What a row must have answered as a whole.
#[derive(Debug, Default)]
pub struct Expectation {
    /// Output by output.
    pub outputs: Vec<Expected>,
    /// Faults that no single element shows: a missing output, an invalid bit pattern, a
    /// checksum over the whole output.
    pub faults: Vec<String>,
}

impl Expectation {
    /// The same with every derived bound so many times as wide: what a tolerance that somebody
    /// raised until nothing failed would still see. Where nothing may be off, nothing may.
    pub fn loosened(mut self, factor: f64) -> Expectation {
        for expected in &mut self.outputs {
            if let Bound::Componentwise(bounds) = &mut expected.bound {
                bounds.iter_mut().for_each(|bound| *bound *= factor);
            }
        }
        self
    }

    /// Outputs with one element so many bounds away from what is wanted: the element whose bound is
    /// the most units in its last place, so that the distance is one that a float can have. `None`
    /// where no output of f32 has a bound.
    pub fn displaced(&self, got: &Outputs, bounds_away: f64) -> Option<Outputs> {
        let ulps = |want: f64, bound: f64| match want.is_finite() && bound.is_finite() {
            true => bound / f64::from(crate::rule::ulp(want as f32)),
            false => 0.0,
        };
        let of = |expected: &Expected| -> Option<(f64, &'static str, usize, f32)> {
            let Bound::Componentwise(bounds) = &expected.bound else { return None };
            let float = matches!(got.get(expected.name)?, Tensor::F32(_));
            let each = bounds.iter().enumerate().filter(|_| float && expected.decoded.is_none());
            let (i, bound) = each.max_by(|(i, a), (j, b)| {
                ulps(expected.want.get(*i), **a).total_cmp(&ulps(expected.want.get(*j), **b))
            })?;
            let want = expected.want.get(i);
            let at = expected.at.as_ref().map_or(i, |at| at[i]);
            Some((ulps(want, *bound), expected.name, at, (want + bounds_away * bound) as f32))
        };
        let widest = self.outputs.iter().filter_map(of).max_by(|a, b| a.0.total_cmp(&b.0));
        let (_, name, at, value) = widest.filter(|(ulps, ..)| *ulps >= 1.0)?;
        let mut moved = got.clone();
        let output = moved.0.iter_mut().find(|(output, _)| *output == name);
        if let Some((_, Tensor::F32(values))) = output {
            *values.get_mut(at)? = value;
        }
        Some(moved)
    }

    /// Nothing but a fault.
    pub fn fault(why: impl Into<String>) -> Expectation {
        Expectation { outputs: Vec::new(), faults: vec![why.into()] }
    }
}
