//! `scalar`: plain Rust over sixteen rows, which LLVM turns into the vectors of the baseline.
//!
//! In the layout `planes16` the byte `q` of sixteen rows lies together: a field of it, `(w >> bits
//! j) & mask` or that looked up, meets one activation. A product is at most `255 * 128` and fits
//! an i16; sums are i32.
use super::{Codebook, Panel, ROWS, Step, Sums, TABLE, Tile, Tokens, Unit, ZERO_POINT};

/// No proof is needed.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Plain;

impl Tile<i8> for Plain {
    const PLANES: bool = true;
    fn tile<const FIELDS: usize, const CODE: u8, const P: usize, const M: usize>(
        self,
        book: &Codebook,
        panels: [Panel<'_>; P],
        x: Tokens<'_, i8, FIELDS, M>,
    ) -> Sums<P, M> {
        let mut sums = [[[0.0; ROWS]; P]; M];
        for (p, panel) in panels.iter().enumerate() {
            for (b, scales) in panel.scales.iter().enumerate() {
                let steps = &x.steps[b * panel.units..][..panel.units];
                let acc = integer_block::<FIELDS, CODE, M>(book, panel.block(b), steps);
                for (t, (sums, acc)) in sums.iter_mut().zip(acc).enumerate() {
                    let begin = begin::<CODE>(panel, b, x.offsets[b][t], x.zero_points[t]);
                    for r in 0..ROWS {
                        sums[p][r] += acc[r].wrapping_add(begin[r]) as f32 * scales[r];
                    }
                }
            }
        }
        sums
    }
}

/// `sum x u` of sixteen rows and each token.
fn integer_block<const FIELDS: usize, const CODE: u8, const M: usize>(
    book: &Codebook,
    units: &[Unit],
    steps: &[Step<i8, FIELDS, M>],
) -> [[i32; ROWS]; M] {
    let mask = ((1u16 << (8 / FIELDS)) - 1) as u8;
    let mut acc = [[0i32; ROWS]; M];
    for (unit, step) in units.iter().zip(steps) {
        for (q, bytes) in unit.as_chunks::<ROWS>().0.iter().enumerate() {
            for (j, x) in step.iter().enumerate() {
                let codes = bytes.map(|byte| {
                    let code = byte >> (8 / FIELDS * j) & mask;
                    i16::from(if CODE == TABLE { book.integers[usize::from(code)] } else { code })
                });
                for (acc, x) in acc.iter_mut().zip(x) {
                    let x = i16::from(x[q]);
                    for r in 0..ROWS {
                        acc[r] = acc[r].wrapping_add(i32::from(codes[r] * x));
                    }
                }
            }
        }
    }
    acc
}

/// What the sum of a block lacks: `-bias sum x`, or `-z sum x`, and `-zx sum w`.
fn begin<const CODE: u8>(panel: &Panel<'_>, b: usize, offset: i32, zero_point: i32) -> [i32; ROWS] {
    let mut begin = [offset; ROWS];
    if CODE == ZERO_POINT {
        begin = panel.zero_points[b].map(|z| offset.wrapping_mul(z.into()));
    }
    if let Some(totals) = panel.totals.get(b) {
        for (begin, total) in begin.iter_mut().zip(totals) {
            *begin = begin.wrapping_sub(zero_point.wrapping_mul(*total));
        }
    }
    begin
}

impl Tile<f32> for Plain {
    const PLANES: bool = true;
    fn tile<const FIELDS: usize, const CODE: u8, const P: usize, const M: usize>(
        self,
        book: &Codebook,
        panels: [Panel<'_>; P],
        x: Tokens<'_, f32, FIELDS, M>,
    ) -> Sums<P, M> {
        let mut sums = [[[0.0; ROWS]; P]; M];
        for (p, panel) in panels.iter().enumerate() {
            for (b, scales) in panel.scales.iter().enumerate() {
                let steps = &x.steps[b * panel.units..][..panel.units];
                let extra = match CODE {
                    ZERO_POINT => panel.zero_points[b].map(f32::from),
                    _ if FIELDS == 1 => [128.0; ROWS],
                    _ => [0.0; ROWS],
                };
                let acc = float_block::<FIELDS, M>(book, &extra, panel.block(b), steps);
                for (sums, acc) in sums.iter_mut().zip(acc) {
                    for r in 0..ROWS {
                        sums[p][r] += acc[r] * scales[r];
                    }
                }
            }
        }
        sums
    }
}

/// `sum x w` of sixteen rows and each token.
fn float_block<const FIELDS: usize, const M: usize>(
    book: &Codebook,
    extra: &[f32; ROWS],
    units: &[Unit],
    steps: &[Step<f32, FIELDS, M>],
) -> [[f32; ROWS]; M] {
    let mut acc = [[0.0; ROWS]; M];
    for (unit, step) in units.iter().zip(steps) {
        for (q, bytes) in unit.as_chunks::<ROWS>().0.iter().enumerate() {
            for (j, x) in step.iter().enumerate() {
                let mut values = bytes.map(|byte| match FIELDS {
                    1 => f32::from(byte),
                    _ => book.floats[usize::from(byte >> (8 / FIELDS * j) & 15)],
                });
                for (value, extra) in values.iter_mut().zip(extra) {
                    *value -= extra;
                }
                for (acc, x) in acc.iter_mut().zip(x) {
                    for r in 0..ROWS {
                        acc[r] += values[r] * x[q];
                    }
                }
            }
        }
    }
    acc
}
