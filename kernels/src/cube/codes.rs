//! Codes in words: the one place that knows where a code's bits are.
//!
//! A word is 32 bits of a row, low bits first: 16 `ternary2` codes stored as `code + 1`, 32
//! `sign1` codes stored as `code > 0`, eight nibbles, four bytes, or one f32. [`decode`] reads one
//! of them as a number; [`four`] reads four codes as four signed bytes, with which a dot product of
//! four is one instruction where there is one.
use cubecl::prelude::*;
use lowbit_reference::format::Levels;

/// What the fields of a word are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Packing {
    /// Two bits, `code + 1`.
    Ternary2,
    /// One bit, `code > 0`.
    Sign1,
    /// A signed byte.
    Int8,
    /// A byte without sign, which as a signed one stands for 128 less.
    Uint8,
    /// A nibble of two's complement.
    Int4,
    /// A nibble without sign.
    Uint4,
    /// A nibble that chooses one of sixteen values.
    Table,
    /// An f32, which is no code.
    Float,
}

impl Packing {
    /// How the codes of these levels are stored.
    pub(crate) fn of(levels: Levels) -> Packing {
        match levels {
            Levels::Ternary => Packing::Ternary2,
            Levels::Sign => Packing::Sign1,
            // `accepts` lets nothing else through.
            _ => Packing::Int8,
        }
    }

    /// How a weight format of that name is stored.
    pub(crate) fn named(format: &str) -> Result<Packing, String> {
        match format {
            "sign1" => Ok(Packing::Sign1),
            "ternary2" => Ok(Packing::Ternary2),
            "int8" => Ok(Packing::Int8),
            "int4" => Ok(Packing::Int4),
            "uint4" => Ok(Packing::Uint4),
            other => Err(format!("no {other} weights")),
        }
    }

    /// Bits of a field.
    pub(crate) const fn bits(self) -> u32 {
        match self {
            Packing::Ternary2 => 2,
            Packing::Sign1 => 1,
            Packing::Int4 | Packing::Uint4 | Packing::Table => 4,
            Packing::Int8 | Packing::Uint8 => 8,
            Packing::Float => 32,
        }
    }

    /// Fields in a word.
    pub(crate) const fn per_word(self) -> u32 {
        32 / self.bits()
    }

    /// Words of a row of `len` fields.
    pub(crate) fn words(self, len: usize) -> usize {
        len.div_ceil(self.per_word() as usize)
    }

    /// Bytes of a row of `len` fields: rows start on a byte.
    pub(crate) fn bytes(self, len: usize) -> usize {
        len.div_ceil(self.per_word().div_ceil(4) as usize) * self.bits().div_ceil(8) as usize
    }
}

/// Field `index` of a word as a number; of a table, which of its values.
#[cube]
pub(crate) fn decode<A: Numeric>(word: u32, index: u32, #[comptime] packing: Packing) -> A {
    if comptime!(packing == Packing::Ternary2) {
        A::cast_from(i32::cast_from((word >> (index * 2)) & 3) - 1)
    } else if comptime!(packing == Packing::Int4) {
        A::cast_from(i32::cast_from(word << (28 - index * 4)) >> 28)
    } else if comptime!(packing == Packing::Uint4 || packing == Packing::Table) {
        A::cast_from(i32::cast_from((word >> (index * 4)) & 15))
    } else if comptime!(packing == Packing::Uint8) {
        A::cast_from(i32::cast_from((word >> (index * 8)) & 255))
    } else if comptime!(packing == Packing::Sign1) {
        A::cast_from(i32::cast_from((word >> index) & 1) * 2 - 1)
    } else if comptime!(packing == Packing::Int8) {
        // Shifted left unsigned, then right with the sign.
        A::cast_from(i32::cast_from(word << (24 - index * 8)) >> 24)
    } else {
        A::cast_from(f32::reinterpret(word))
    }
}

/// Four two-bit fields at the bottom of a word, one a byte.
#[cube]
fn pairs_apart(bits: u32) -> u32 {
    (bits & 0x3) | ((bits & 0xc) << 6) | ((bits & 0x30) << 12) | ((bits & 0xc0) << 18)
}

/// Four one-bit fields at the bottom of a word, one a byte.
#[cube]
fn bits_apart(bits: u32) -> u32 {
    (bits & 0x1) | ((bits & 0x2) << 7) | ((bits & 0x4) << 14) | ((bits & 0x8) << 21)
}

/// Four nibbles at the bottom of a word, one a byte.
#[cube]
fn nibbles_apart(bits: u32) -> u32 {
    (bits & 0xf) | ((bits & 0xf0) << 4) | ((bits & 0xf00) << 8) | ((bits & 0xf000) << 12)
}

/// Each byte of a word, which is below 128, less that of `of`: no borrow crosses a byte whose top
/// bit is set first and flipped then.
#[cube]
fn less(bytes: u32, of: u32) -> u32 {
    ((bytes | 0x8080_8080u32) - of) ^ 0x8080_8080u32
}

/// Codes `4 index .. 4 index + 4` of a word as signed bytes, of `Uint8` less 128. For all but
/// tables and floats.
#[cube]
pub(crate) fn four(word: u32, #[comptime] index: u32, #[comptime] packing: Packing) -> u32 {
    if comptime!(packing == Packing::Ternary2) {
        less(pairs_apart(word >> comptime!(8 * index)), 0x0101_0101)
    } else if comptime!(packing == Packing::Sign1) {
        less(bits_apart(word >> comptime!(4 * index)) << 1, 0x0101_0101)
    } else if comptime!(packing == Packing::Int4) {
        less(nibbles_apart(word >> comptime!(16 * index)) ^ 0x0808_0808, 0x0808_0808)
    } else if comptime!(packing == Packing::Uint4) {
        nibbles_apart(word >> comptime!(16 * index))
    } else if comptime!(packing == Packing::Uint8) {
        word ^ 0x8080_8080u32
    } else {
        word
    }
}

/// The sum of the four products of signed bytes. Compilers for GPUs make one instruction of it.
#[cube]
pub(crate) fn dot4(a: u32, b: u32) -> i32 {
    let mut sum = 0i32;
    #[unroll]
    for i in 0..4u32 {
        let shift = comptime!(24 - 8 * i);
        sum += (i32::cast_from(a << shift) >> 24) * (i32::cast_from(b << shift) >> 24);
    }
    sum
}

/// The sum of four signed bytes.
#[cube]
pub(crate) fn sum4(bytes: u32) -> i32 {
    let mut sum = 0i32;
    #[unroll]
    for i in 0..4u32 {
        sum += i32::cast_from(bytes << comptime!(24 - 8 * i)) >> 24;
    }
    sum
}

/// The field of a code, at the bottom of a word.
#[cube]
pub(crate) fn field(code: i32, #[comptime] packing: Packing) -> u32 {
    if comptime!(packing == Packing::Ternary2) {
        u32::cast_from(code + 1)
    } else if comptime!(packing == Packing::Sign1) {
        u32::cast_from((code + 1) / 2)
    } else {
        u32::cast_from(code) & 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_take_whole_bytes_and_whole_words() {
        let sizes = |p: Packing| [1, 5, 33].map(|len| (p.bytes(len), p.words(len)));
        assert_eq!(sizes(Packing::Ternary2), [(1, 1), (2, 1), (9, 3)]);
        assert_eq!(sizes(Packing::Sign1), [(1, 1), (1, 1), (5, 2)]);
        assert_eq!(sizes(Packing::Int8), [(1, 1), (5, 2), (33, 9)]);
        assert_eq!(sizes(Packing::Float), [(4, 1), (20, 5), (132, 33)]);
    }
}
