//! What a format's bytes mean here: unsigned codes, what they stand for, and scales.
use super::{Codebook, PLAIN, TABLE, ZERO_POINT};

/// What a stored code stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coding {
    /// Of a code: 2, 4 or 8.
    pub(super) bits: usize,
    /// [`PLAIN`], [`TABLE`] or [`ZERO_POINT`].
    pub(super) kind: u8,
    /// What a plain code or an integer of the table has too much; 1 with zero points, which are
    /// then multiplied by the offset of a token.
    pub(super) bias: i32,
    /// The values.
    pub(super) book: Codebook,
}

impl Coding {
    /// `value = code - bias`.
    pub(super) fn plain(bits: usize, bias: u8) -> Coding {
        let mask = ((1u16 << bits) - 1) as u8;
        let value = |code: u8| f32::from(code & mask) - f32::from(bias);
        let book = Codebook { integers: [0; 16], floats: CODES.map(value) };
        Coding { bits, kind: PLAIN, bias: bias.into(), book }
    }

    /// `value = code - zero_point`.
    pub(super) fn zero_point(bits: usize) -> Coding {
        Coding { kind: ZERO_POINT, bias: 1, ..Coding::plain(bits, 0) }
    }

    /// `value = table[code]`; only floats are asked for where these are no integers.
    pub(super) fn table(values: [f32; 16]) -> Coding {
        let integers = values.map(|value| (value as i8).cast_unsigned() ^ 0x80);
        let book = Codebook { integers, floats: values };
        Coding { bits: 4, kind: TABLE, bias: 128, book }
    }

    /// The integer a code stands for.
    pub(super) fn value(&self, code: u8, zero_point: u8) -> i32 {
        match self.kind {
            ZERO_POINT => i32::from(code) - i32::from(zero_point),
            TABLE => i32::from(self.book.integers[usize::from(code)]) - self.bias,
            _ => i32::from(code) - self.bias,
        }
    }
}

/// Every code of four bits.
const CODES: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// Reads the codes of a block of a row, as many as the slice is long; scale and zero point.
pub(super) type Read<'p> = Box<dyn Fn(usize, usize, &mut [u8]) -> (f32, u8) + 'p>;

/// A weight, block by block.
pub(super) struct Weights<'p> {
    pub(super) n: usize,
    pub(super) k: usize,
    /// Values of a block; the last of a row may be short.
    pub(super) block_len: usize,
    pub(super) coding: Coding,
    /// The scale of each row where it has one and no more, and 1 where blocks have theirs: an
    /// integer sum is then rounded once, as the op rounds it.
    pub(super) row_scales: Vec<f32>,
    pub(super) read: Read<'p>,
}

impl Weights<'_> {
    /// Blocks of a row.
    pub(super) fn blocks(&self) -> usize {
        self.k.div_ceil(self.block_len)
    }
}
