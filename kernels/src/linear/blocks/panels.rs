//! Weights in the layouts `quads16` and `planes16`.
use super::weights::Weights;
use super::{QUAD, ROWS, Unit, ZERO_POINT};
use crate::buffer::Buffer;
use crate::context::Context;

/// What codes stand for.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Codebook {
    /// `value + bias` of each code, where values are integers.
    pub(super) integers: [u8; 16],
    /// The value of each code; of a shorter code whatever the bits above it are.
    pub(super) floats: [f32; 16],
}

/// A panel as a tile reads it: sixteen rows.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Panel<'a> {
    /// Blocks of units.
    pub(super) codes: &'a [Unit],
    /// Units of a block.
    pub(super) units: usize,
    /// Of each block.
    pub(super) scales: &'a [[f32; ROWS]],
    /// Of each block, where codes have them.
    pub(super) zero_points: &'a [[u8; ROWS]],
    /// Sums of the values of each block, where activations have a zero point.
    pub(super) totals: &'a [[i32; ROWS]],
}

impl<'a> Panel<'a> {
    /// The units of block `b`.
    pub(super) fn block(&self, b: usize) -> &'a [Unit] {
        &self.codes[b * self.units..][..self.units]
    }
}

/// All panels of a weight.
#[derive(Debug)]
pub(super) struct Panels {
    /// Blocks of a row.
    blocks: usize,
    /// Units of a block.
    units: usize,
    codes: Buffer<u8>,
    scales: Buffer<f32>,
    zero_points: Buffer<u8>,
    totals: Buffer<i32>,
}

impl Panels {
    /// Arrange a weight; `planes` says in which layout, `totals` whether sums are needed.
    pub(super) fn new(
        weights: &Weights<'_>,
        (planes, totals): (bool, bool),
        context: &mut Context,
    ) -> Panels {
        let fields = 8 / weights.coding.bits;
        let (blocks, units) = (weights.blocks(), weights.block_len.div_ceil(QUAD * fields));
        let entries = weights.n.div_ceil(ROWS) * blocks * ROWS;
        let count = |needed| if needed { entries } else { 0 };
        let mut panels = Panels {
            blocks,
            units,
            codes: context.buffer("codes", entries * units * QUAD),
            scales: context.buffer("scales", entries),
            zero_points: context.buffer("zero points", count(weights.coding.kind == ZERO_POINT)),
            totals: context.buffer("totals", count(totals)),
        };
        panels.codes.fill(0);
        panels.scales.fill(0.0);
        panels.zero_points.fill(0);
        panels.totals.fill(0);
        let mut codes = vec![0; weights.block_len];
        for j in 0..weights.n {
            for b in 0..blocks {
                let len = weights.block_len.min(weights.k - b * weights.block_len);
                let codes = &mut codes[..len];
                let (scale, zero_point) = (weights.read)(j, b, codes);
                panels.place(j, b, (codes, fields), planes);
                let entry = (j / ROWS * blocks + b) * ROWS + j % ROWS;
                panels.scales[entry] = scale;
                if let Some(to) = panels.zero_points.get_mut(entry) {
                    *to = zero_point;
                }
                if let Some(to) = panels.totals.get_mut(entry) {
                    *to = codes.iter().map(|code| weights.coding.value(*code, zero_point)).sum();
                }
            }
        }
        panels
    }

    /// Put the codes of a block of row `j` in their places.
    fn place(&mut self, j: usize, b: usize, (codes, fields): (&[u8], usize), planes: bool) {
        let block = (j / ROWS * self.blocks + b) * self.units;
        let units = self.codes.as_chunks_mut::<{ QUAD * ROWS }>().0;
        let row = j % ROWS;
        for (unit, codes) in units[block..].iter_mut().zip(codes.chunks(QUAD * fields)) {
            for (i, code) in codes.iter().enumerate() {
                let (field, q) = (i / QUAD, i % QUAD);
                let at = if planes { q * ROWS + row } else { row * QUAD + q };
                unit[at] |= code << (8 / fields * field);
            }
        }
    }

    /// Panel `p`.
    pub(super) fn panel(&self, p: usize) -> Panel<'_> {
        let blocks = p * self.blocks..(p + 1) * self.blocks;
        let units = blocks.start * self.units..blocks.end * self.units;
        Panel {
            codes: &self.codes.as_chunks().0[units],
            units: self.units,
            scales: &self.scales.as_chunks().0[blocks.clone()],
            zero_points: self.zero_points.as_chunks().0.get(blocks.clone()).unwrap_or_default(),
            totals: self.totals.as_chunks().0.get(blocks).unwrap_or_default(),
        }
    }

    /// Bytes of a panel.
    pub(super) fn bytes(&self) -> usize {
        self.blocks * (self.units * QUAD * ROWS + ROWS * size_of::<f32>())
    }
}
