//! What a row reads, piece by piece: where faults are planted to see whether the checks notice.
use crate::data::mix;
use crate::hash::fnv1a;
use crate::rule::{Code, Quantized, Rule, Shared};

/// Numbers of any type that can be read and replaced; f64 holds each of them exactly.
pub trait Numbers {
    /// How many there are.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The `i`-th.
    fn get(&self, i: usize) -> f64;
    /// Replace the `i`-th; integers take the nearest value they can hold.
    fn set(&mut self, i: usize, value: f64);
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        #[allow(clippy::cast_sign_loss, reason = "a code below the least becomes the least")]
        impl Numbers for &mut [$number] {
            fn len(&self) -> usize {
                <[$number]>::len(self)
            }
            fn get(&self, i: usize) -> f64 {
                f64::from(self[i])
            }
            fn set(&mut self, i: usize, value: f64) {
                self[i] = value as $number;
            }
        }
        #[allow(clippy::cast_sign_loss, reason = "a code below the least becomes the least")]
        impl Numbers for Vec<&mut $number> {
            fn len(&self) -> usize {
                Vec::len(self)
            }
            fn get(&self, i: usize) -> f64 {
                f64::from(*self[i])
            }
            fn set(&mut self, i: usize, value: f64) {
                *self[i] = value as $number;
            }
        }
    )*};
}
numbers!(f32, i8, u8, i32, Code);

/// What numbers stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Floats to be quantized, multiplied or moved.
    Values,
    /// Codes, one a number.
    Codes,
    /// Codes packed into bytes, or blocks of codes and scales.
    Packed,
    /// Scales or absmax, a group each.
    Scales,
    /// Codes of zero, a group each.
    ZeroPoints,
    /// What is subtracted from, or added to, the values of a group.
    Centres,
}

/// A tensor of a problem.
pub struct Piece<'a> {
    /// Name, unique in the problem.
    pub name: &'static str,
    /// What it stands for.
    pub role: Role,
    /// Numbers of a row: features, a block, or bytes of a packed row. 1 where there are no rows.
    pub row_len: usize,
    /// The numbers, row-major.
    pub numbers: Box<dyn Numbers + 'a>,
}

/// A piece of a problem.
pub enum Part<'a> {
    /// A tensor.
    Piece(Piece<'a>),
    /// How values become codes.
    Rule(&'a mut Rule),
}

impl<'a> Part<'a> {
    /// A tensor in rows of `row_len`.
    pub(crate) fn rows(
        (name, role): (&'static str, Role),
        numbers: impl Numbers + 'a,
        row_len: usize,
    ) -> Part<'a> {
        Part::Piece(Piece { name, role, row_len: row_len.max(1), numbers: Box::new(numbers) })
    }

    /// Floats in rows of `row_len`.
    pub(crate) fn values(name: &'static str, x: &'a mut [f32], row_len: usize) -> Part<'a> {
        Part::rows((name, Role::Values), x, row_len)
    }

    /// Packed bytes in rows of `row_bytes`.
    pub(crate) fn packed(name: &'static str, bytes: &'a mut [u8], row_bytes: usize) -> Part<'a> {
        Part::rows((name, Role::Packed), bytes, row_bytes)
    }

    /// Scales, one a group.
    pub(crate) fn scales(name: &'static str, scales: impl Numbers + 'a) -> Part<'a> {
        Part::rows((name, Role::Scales), scales, 1)
    }

    /// Zero points, one a group.
    pub(crate) fn zero_points(name: &'static str, zero_points: impl Numbers + 'a) -> Part<'a> {
        Part::rows((name, Role::ZeroPoints), zero_points, 1)
    }
}

/// A number that another value anywhere in the parts makes another one: who reads a problem must
/// leave it as it is.
pub fn fingerprint(parts: &[Part<'_>]) -> u64 {
    let of = |hash: u64, word: u64| mix(hash ^ word);
    parts.iter().fold(0, |hash, part| match part {
        Part::Piece(Piece { numbers, .. }) => {
            (0..numbers.len()).fold(hash, |hash, i| of(hash, numbers.get(i).to_bits()))
        }
        Part::Rule(rule) => of(hash, fnv1a(format!("{rule:?}").as_bytes())),
    })
}

impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Piece(piece) => {
                let Piece { name, role, row_len, .. } = piece;
                write!(f, "{name}: {role:?}[{}] in rows of {row_len}", piece.numbers.len())
            }
            Part::Rule(rule) => write!(f, "{rule:?}"),
        }
    }
}

impl Quantized {
    /// What a row reads, the codes in rows of `row_len`.
    pub(crate) fn parts(&mut self, row_len: usize) -> Vec<Part<'_>> {
        let (mut scales, mut zero_points, mut centres) = (Vec::new(), Vec::new(), Vec::new());
        for Shared { scale, zero_point, centre, .. } in &mut self.shared {
            scales.push(scale);
            zero_points.push(zero_point);
            centres.push(centre);
        }
        vec![
            Part::scales("scales", scales),
            Part::zero_points("zero_points", zero_points),
            Part::rows(("centres", Role::Centres), centres, 1),
            Part::rows(("codes", Role::Codes), &mut self.codes[..], row_len),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_shows_one_bit_and_two_values_exchanged() {
        let of = |x: &mut [f32]| fingerprint(&[Part::values("x", x, 2)]);
        let x = [1.0f32, 2.0, 0.0, 4.0];
        assert_eq!(of(&mut x.clone()), of(&mut x.clone()));
        for other in
            [[1.0, 2.0, -0.0, 4.0], [2.0, 1.0, 0.0, 4.0], [1.0, 2.0, 0.0, 4.0f32.next_up()]]
        {
            assert_ne!(of(&mut x.clone()), of(&mut other.clone()), "{other:?}");
        }
    }
}
