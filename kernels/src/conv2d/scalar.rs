//! `scalar`: plain Rust for any machine, the fast baseline that speed-ups are quoted against.
//!
//! `sum[o] += w[o] x` for 16 output channels, lane by lane over arrays that LLVM turns into the
//! vectors of the baseline target (SSE2 on x86-64, which has no product of i32). int8: codes are
//! floats too. Products are at most 2^14, so up to [`EXACT`] of them add up to less than 2^24, where
//! every partial sum is an exact float; then sums are added as i32, below 2^31 up to
//! `linear::max_k` products.
use super::depthwise::Depthwise;
use super::layout::{Float, FloatCode};
use super::rows::{self, Dot, Tile};
use crate::context::Context;
use crate::plane::Taps;
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::conv2d::{Conv2d, Conv2dProblem};

/// The row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar;

impl Kernel<Conv2d> for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }
    fn arithmetic(&self, problem: &Conv2dProblem) -> Arithmetic {
        rows::arithmetic(problem)
    }
    fn accepts(&self, _: &Conv2dProblem) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        problem: &'p Conv2dProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        rows::bind::<Scalar, FloatCode, PANEL>(*self, problem, context)
    }
}

/// Output channels of a panel.
const PANEL: usize = 16;
/// Products of codes whose sum is an exact float.
const EXACT: usize = 1023;
/// Outputs of a depthwise row at a time.
const LANES: usize = 16;

impl Dot<FloatCode, PANEL> for Scalar {
    const PIXELS: usize = 2;
    fn tile(self, tile: &Tile<'_, FloatCode>, y: &mut [&mut [f32]], at: usize) {
        let places = tile.places::<2>();
        let mut totals = [[0i32; PANEL]; 2];
        let weights = tile.weights.as_chunks::<PANEL>().0.chunks(EXACT);
        for (w, steps) in weights.zip(tile.steps.offsets().chunks(EXACT)) {
            let sums = floats(w, tile.x, steps, places);
            for (total, sum) in totals.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
                *total += *sum as i32;
            }
        }
        for (t, totals) in totals.iter().enumerate().take(tile.pixels.len()) {
            for (o, y) in y.iter_mut().enumerate() {
                y[at + t] = totals[o] as f32 * tile.scales[o];
            }
        }
    }
}

impl Dot<Float, PANEL> for Scalar {
    const PIXELS: usize = 2;
    fn tile(self, tile: &Tile<'_, Float>, y: &mut [&mut [f32]], at: usize) {
        let w = tile.weights.as_chunks::<PANEL>().0;
        let sums = floats(w, tile.x, tile.steps.offsets(), tile.places());
        for (t, sums) in sums.iter().enumerate().take(tile.pixels.len()) {
            for (y, sum) in y.iter_mut().zip(sums) {
                y[at + t] = *sum;
            }
        }
    }
}

/// Sums of two pixels. Arrays of their own: as one array of arrays the sums stay in memory.
#[inline(always)]
fn floats(
    w: &[[f32; PANEL]],
    x: &[f32],
    steps: &[usize],
    [first, second]: [usize; 2],
) -> [[f32; PANEL]; 2] {
    let (mut a, mut b) = ([0f32; PANEL], [0f32; PANEL]);
    for (w, step) in w.iter().zip(steps) {
        let x = [x[step + first], x[step + second]];
        for o in 0..PANEL {
            a[o] += w[o] * x[0];
            b[o] += w[o] * x[1];
        }
    }
    [a, b]
}

impl Depthwise for Scalar {
    fn row(self, x: &[f32], taps: &Taps, w: &[f32], scale: f32, y: &mut [f32]) {
        for (block, y) in y.chunks_mut(LANES).enumerate() {
            let x = &x[block * LANES..];
            let mut sums = [0f32; LANES];
            for (tap, w) in taps.offsets().iter().zip(w) {
                let x: &[f32; LANES] = x[*tap..].first_chunk().unwrap_or(&[0.0; LANES]);
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum += w * x;
                }
            }
            y.iter_mut().zip(sums).for_each(|(y, sum)| *y = sum * scale);
        }
    }
}
