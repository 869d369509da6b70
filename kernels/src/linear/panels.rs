//! Packed weights in a layout that they remember.
//!
//! Packing moves whole bytes of the canonical rows into the places `reference::format::layout`
//! names, panel by panel, and then makes fields unsigned. It is done once, in `prepare`; as an
//! operation of its own it is `pack_linear`.
use crate::buffer::Buffer;
use crate::context::Context;
use crate::pool::Pool;
use lowbit_reference::format::WeightFormat;
use lowbit_reference::format::layout::Layout;

/// `BYTES` packed bytes of each of `LANES` rows.
pub(crate) type Vector<const LANES: usize, const BYTES: usize> = [[u8; BYTES]; LANES];

/// The vectors of a panel from number `v` of `width` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a, const LANES: usize, const BYTES: usize> {
    pub(crate) vectors: &'a [Vector<LANES, BYTES>],
    pub(crate) width: usize,
    pub(crate) v: usize,
    /// What will be read from memory soon.
    pub(crate) next: &'a [Vector<LANES, BYTES>],
}

impl<'a, const LANES: usize, const BYTES: usize> Piece<'a, LANES, BYTES> {
    /// `P` vectors, step by step.
    #[inline]
    pub(super) fn steps<const P: usize>(
        self,
    ) -> impl ExactSizeIterator<Item = &'a [Vector<LANES, BYTES>; P]> {
        let steps = self.vectors.chunks_exact(self.width);
        steps.map(move |vectors| match vectors[self.v..].first_chunk() {
            Some(vectors) => vectors,
            None => unreachable!("a panel of {} vectors", self.width),
        })
    }

    /// The share of `P` vectors in what will be read soon, a few for each step.
    #[inline]
    pub(super) fn soon<const P: usize>(self) -> impl Iterator<Item = &'a [Vector<LANES, BYTES>]> {
        let at = |v| self.next.len() * v / self.width;
        let share = &self.next[at(self.v)..at(self.v + P)];
        let steps = (self.vectors.len() / self.width).max(1);
        share.chunks(share.len().div_ceil(steps).max(1))
    }
}

/// Weights in a layout.
#[derive(Debug)]
pub(crate) struct Panels {
    layout: &'static Layout,
    bytes: Buffer<u8>,
}

/// Canonical rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PackedRows<'a> {
    /// What the bytes mean.
    pub(crate) format: &'static dyn WeightFormat,
    /// Row after row.
    pub(crate) bytes: &'a [u8],
    /// Bytes of a row.
    pub(crate) row_bytes: usize,
    /// PackedRows.
    pub(crate) n: usize,
}

impl<'a> PackedRows<'a> {
    /// Row `j`.
    pub(crate) fn row(&self, j: usize) -> &'a [u8] {
        &self.bytes[j * self.row_bytes..][..self.row_bytes]
    }
}

/// Moves the rows of a vector: `LANES` rows or fewer into every vector of `to` that is theirs,
/// which `stride` vectors lie apart.
pub(crate) trait Mover: Copy + Sync {
    /// See the trait.
    fn vectors<const LANES: usize, const BYTES: usize>(
        self,
        rows: &[&[u8]],
        to: &mut [Vector<LANES, BYTES>],
        stride: usize,
    );
}

/// Byte by byte, on any machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

impl Mover for Plain {
    fn vectors<const LANES: usize, const BYTES: usize>(
        self,
        rows: &[&[u8]],
        to: &mut [Vector<LANES, BYTES>],
        stride: usize,
    ) {
        for (lane, row) in rows.iter().enumerate() {
            let (whole, rest) = row.as_chunks::<BYTES>();
            let mut vectors = to.iter_mut().step_by(stride);
            for (bytes, vector) in whole.iter().zip(&mut vectors) {
                vector[lane] = *bytes;
            }
            if let (false, Some(vector)) = (rest.is_empty(), vectors.next()) {
                vector[lane][..rest.len()].copy_from_slice(rest);
            }
        }
    }
}

/// Write the rows in the layout `LANES`, `BYTES` over all of `to`.
pub(crate) fn pack<const LANES: usize, const BYTES: usize>(
    mover: impl Mover,
    (rows, layout): (PackedRows<'_>, &Layout),
    to: &mut [u8],
    pool: &Pool,
) {
    let steps = layout.steps(rows.row_bytes);
    let ranges = pool.ranges(rows.n, layout.panel_rows());
    let (mut rest, mut tasks) = (to, Vec::with_capacity(ranges.len()));
    for range in ranges {
        let len = range.len().div_ceil(LANES) * steps * layout.vector_bytes();
        tasks.push((range, rest.split_off_mut(..len).unwrap_or_default()));
    }
    pool.for_each(tasks, |(range, mut to)| {
        if rows.row_bytes % BYTES != 0 || rows.n % LANES != 0 {
            to.fill(0);
        }
        for first in range.clone().step_by(layout.panel_rows()) {
            let last = range.end.min(first + layout.panel_rows());
            let width = (last - first).div_ceil(LANES);
            let len = width * steps * layout.vector_bytes();
            let panel = to.split_off_mut(..len).unwrap_or_default();
            let vectors = panel.as_chunks_mut().0.as_chunks_mut().0;
            for (v, j) in (first..last).step_by(LANES).enumerate() {
                let some: Vec<&[u8]> = (j..last.min(j + LANES)).map(|j| rows.row(j)).collect();
                if let Some(vectors) = vectors.get_mut(v..) {
                    mover.vectors::<LANES, BYTES>(&some, vectors, width);
                }
            }
            unsign(rows.format, panel);
        }
    });
}

/// Store bytes so that their fields are unsigned.
fn unsign(format: &dyn WeightFormat, bytes: &mut [u8]) {
    match format.name() {
        "int8" => bytes.iter_mut().for_each(|byte| *byte ^= 0x80),
        "ternary3" => {
            let table: [u8; 256] = std::array::from_fn(|v| fraction(v as u32));
            bytes.iter_mut().for_each(|byte| *byte = table[usize::from(*byte)]);
        }
        _ => {}
    }
}

/// The five digits of `v` to base 3, the lowest first, as digits after the point, in 1/256.
fn fraction(v: u32) -> u8 {
    let reversed =
        (81 * (v % 3)) + 27 * (v / 3 % 3) + 9 * (v / 9 % 3) + 3 * (v / 27 % 3) + v / 81 % 3;
    (256 * reversed).div_ceil(243).min(255) as u8
}

impl Panels {
    /// Pack the rows.
    pub(crate) fn new<const LANES: usize, const BYTES: usize>(
        mover: impl Mover,
        layout: &'static Layout,
        rows: PackedRows<'_>,
        context: &mut Context,
    ) -> Panels {
        let mut bytes = context.buffer("panels", layout.len(rows.n, rows.row_bytes));
        pack::<LANES, BYTES>(mover, (rows, layout), &mut bytes, context.pool());
        Panels { layout, bytes }
    }

    /// The vectors, for a kernel that reads `layout`; weights in another are refused.
    pub(crate) fn vectors<const LANES: usize, const BYTES: usize>(
        &self,
        layout: &'static Layout,
    ) -> Result<&[Vector<LANES, BYTES>], String> {
        match self.layout == layout {
            true => Ok(self.bytes.as_chunks().0.as_chunks().0),
            false => Err(format!(
                "weights are packed as `{}`; this kernel reads `{}`",
                self.layout.name, layout.name
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Poison;
    use crate::hardware::Hardware;
    use lowbit_reference::format::TERNARY2;
    use lowbit_reference::format::layout::{LANES8, LANES16};

    #[test]
    fn weights_in_another_layout_are_refused_by_name() {
        let mut context = Context::new(Pool::new(1).unwrap(), Hardware::detect(), Poison::Ones);
        let rows = PackedRows { format: &TERNARY2, bytes: &[0; 15], row_bytes: 5, n: 3 };
        let panels = Panels::new::<8, 4>(Plain, &LANES8, rows, &mut context);
        assert_eq!(panels.vectors::<8, 4>(&LANES8).map(<[_]>::len), Ok(2));
        let why = panels.vectors::<16, 4>(&LANES16).unwrap_err();
        assert_eq!(why, "weights are packed as `lanes8`; this kernel reads `lanes16`");
    }
}
