//! Codes in words: the one place that knows where a code's bits are.
//!
//! A word is 32 bits of a row, low bits first: 16 `ternary2` codes stored as `code + 1`, 32
//! `sign1` codes stored as `code > 0`, four `int8` codes, or one f32.
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

    /// Bits of a field.
    pub(crate) const fn bits(self) -> u32 {
        match self {
            Packing::Ternary2 => 2,
            Packing::Sign1 => 1,
            Packing::Int8 => 8,
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

/// Field `index` of a word as a number.
#[cube]
pub(crate) fn decode<A: Numeric>(word: u32, index: u32, #[comptime] packing: Packing) -> A {
    if comptime!(packing == Packing::Ternary2) {
        A::cast_from(i32::cast_from((word >> (index * 2)) & 3) - 1)
    } else if comptime!(packing == Packing::Sign1) {
        A::cast_from(i32::cast_from((word >> index) & 1) * 2 - 1)
    } else if comptime!(packing == Packing::Int8) {
        // Shifted left unsigned, then right with the sign.
        A::cast_from(i32::cast_from(word << (24 - index * 8)) >> 24)
    } else {
        A::cast_from(f32::reinterpret(word))
    }
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
