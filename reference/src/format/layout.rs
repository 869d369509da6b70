//! Packing layouts: where the bytes of a packed matrix go before a kernel reads them.
//!
//! A layout moves whole bytes of the canonical rows. `vectors * lanes` rows make a panel, and a
//! panel is one sequential stream: for each run of `bytes` bytes along K a step, which holds
//! those bytes of its first row, of its second, and so on. `lanes` rows fill a vector; the last
//! panel has only as many vectors as it needs. Rows and bytes that do not exist are stored
//! as a zero byte is.
//!
//! A byte is stored so that its fields are unsigned: int8 is flipped to `code + 128`; the number
//! in base 3 of a ternary3 byte becomes the fraction `ceil(256 v / 243)`, `v` with its digits in
//! reverse, whose digits fall out from the first on by `digit = 3 q >> 8`, `q = 3 q & 255`.
use super::WeightFormat;
use crate::case::Word;

/// A layout. Packed weights remember theirs, and a kernel for another refuses them.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Name in ids and sentences.
    pub name: &'static str,
    /// Rows of a vector.
    pub lanes: usize,
    /// Consecutive bytes of a row in a vector.
    pub bytes: usize,
    /// Vectors of a whole panel.
    pub vectors: usize,
}

/// For vectors of 512 bits: a row has a lane of 32 bits.
pub static LANES16: Layout = Layout { name: "lanes16", lanes: 16, bytes: 4, vectors: 4 };
/// For vectors of 256 bits: a row has a lane of 32 bits.
pub static LANES8: Layout = Layout { name: "lanes8", lanes: 8, bytes: 4, vectors: 4 };
/// For plain code: a row has 16 bytes in a piece.
pub static BLOCKS16: Layout = Layout { name: "blocks16", lanes: 1, bytes: 16, vectors: 4 };

/// Every layout.
pub static LAYOUTS: &[&Layout] = &[&LANES16, &LANES8, &BLOCKS16];

/// Look a layout up by its name.
pub fn layout(name: &str) -> Option<&'static Layout> {
    LAYOUTS.iter().copied().find(|layout| layout.name == name)
}

/// The names of the layouts, for parameters.
pub fn layout_words() -> Vec<Word> {
    LAYOUTS.iter().map(|layout| Word { name: layout.name, aliases: &[] }).collect()
}

impl Layout {
    /// Rows of a whole panel.
    pub fn panel_rows(&self) -> usize {
        self.lanes * self.vectors
    }
    /// Bytes of a vector.
    pub fn vector_bytes(&self) -> usize {
        self.lanes * self.bytes
    }
    /// Steps of a panel, for rows of `row_bytes` packed bytes.
    pub fn steps(&self, row_bytes: usize) -> usize {
        row_bytes.div_ceil(self.bytes)
    }
    /// Bytes of `n` rows of `row_bytes` packed bytes.
    pub fn len(&self, n: usize, row_bytes: usize) -> usize {
        n.div_ceil(self.lanes) * self.steps(row_bytes) * self.vector_bytes()
    }
    /// Where byte `b` of row `row` of `n` goes.
    pub fn place(&self, (n, row_bytes): (usize, usize), row: usize, b: usize) -> usize {
        let panel = row / self.panel_rows();
        let before = panel * self.vectors;
        let vectors = self.vectors.min(n.div_ceil(self.lanes) - before);
        let (step, vector) = (b / self.bytes, row % self.panel_rows() / self.lanes);
        let lane = row % self.lanes;
        (before * self.steps(row_bytes) + step * vectors + vector) * self.vector_bytes()
            + lane * self.bytes
            + b % self.bytes
    }
    /// `n` packed rows of `row_bytes` bytes each, in this layout.
    pub fn pack(&self, format: &dyn WeightFormat, rows: &[u8], n: usize) -> Vec<u8> {
        let row_bytes = rows.len().checked_div(n).unwrap_or(0);
        let mut packed = vec![stored(format, 0); self.len(n, row_bytes)];
        for row in 0..n {
            for b in 0..row_bytes {
                let byte = stored(format, rows[row * row_bytes + b]);
                packed[self.place((n, row_bytes), row, b)] = byte;
            }
        }
        packed
    }
}

/// A byte of the format as every layout stores it.
pub fn stored(format: &dyn WeightFormat, byte: u8) -> u8 {
    match format.name() {
        "int8" => byte ^ 0x80,
        "ternary3" => {
            let digit = |power| u32::from(byte) / power % 3;
            let reversed = [1, 3, 9, 27, 81].iter().fold(0, |v, power| 3 * v + digit(*power));
            (256 * reversed).div_ceil(243).min(255) as u8
        }
        _ => byte,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{INT8, SIGN1, TERNARY3};

    #[test]
    fn a_panel_holds_a_piece_of_each_row_step_by_step() {
        // Three rows of five bytes: one panel of one vector, two steps.
        let rows: Vec<u8> = (1..=15).collect();
        let packed = LANES8.pack(&SIGN1, &rows, 3);
        assert_eq!(packed.len(), 2 * 32);
        assert_eq!(packed[..16], [1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 0, 0, 0, 0]);
        assert_eq!(packed[32..48], [5, 0, 0, 0, 10, 0, 0, 0, 15, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            INT8.pack(&[-128, 0, 127]).map(|b| LANES8.pack(&INT8, &b, 1)[..4].to_vec()).ok(),
            Some(vec![0, 128, 255, 128])
        );
    }

    #[test]
    fn places_are_distinct_and_inside_for_every_shape() {
        for layout in LAYOUTS {
            for n in [0, 1, 3, 4, 5, 16, 17, 33, 63, 64, 65, 130] {
                for row_bytes in [0, 1, 3, 4, 5, 15, 17, 33] {
                    let mut seen = vec![false; layout.len(n, row_bytes)];
                    for (row, b) in (0..n).flat_map(|r| (0..row_bytes).map(move |b| (r, b))) {
                        let at = layout.place((n, row_bytes), row, b);
                        assert!(!std::mem::replace(&mut seen[at], true), "{layout:?} {n} {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn digits_of_a_stored_ternary3_byte_fall_out_first_to_last() {
        for v in 0..243u8 {
            let mut q = u32::from(stored(&TERNARY3, v));
            for power in [1, 3, 9, 27, 81] {
                assert_eq!((3 * q) >> 8, u32::from(v) / power % 3, "{v}");
                q = (3 * q) & 255;
            }
        }
    }
}
