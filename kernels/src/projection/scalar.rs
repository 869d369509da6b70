//! A tile of 4 inputs by 8 outputs in plain Rust: eight sums of four lanes, which LLVM keeps in
//! the sixteen vectors of the baseline target. A product rounds, and so does its sum.
use super::outer::Tile;

/// Needs nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain;

impl Tile<4, 8> for Plain {
    fn tile(self, a: &[[f32; 4]], b: &[[f32; 8]], c: &mut [[f32; 8]; 4]) {
        let mut sums = [[0.0f32; 8]; 4];
        for (a, b) in a.iter().zip(b) {
            for (sums, a) in sums.iter_mut().zip(a) {
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum += a * b;
                }
            }
        }
        *c = sums;
    }
}
