//! `scalar`: plain Rust for any machine, the fast baseline that speed-ups are quoted against.
//!
//! `sum[o] += w[o] x` for 16 output channels, lane by lane over arrays that LLVM turns into the
//! vectors of the baseline target (SSE2 on x86-64). int8: cells are pairs of i16, `w0 x0 + w1 x1`
//! is at most `2 * 2^14`, and a sum stays below 2^31 up to `linear::max_k` products.
use super::depthwise::Depthwise;
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
        rows::bind::<Scalar, i32, PANEL>(*self, problem, context)
    }
}

/// Output channels of a panel.
const PANEL: usize = 16;
/// Outputs of a depthwise row at a time.
const LANES: usize = 16;

impl Dot<i32, PANEL> for Scalar {
    const PIXELS: usize = 2;
    fn tile(self, tile: &Tile<'_, i32>, y: &mut [&mut [f32]], at: usize) {
        let places = tile.places::<2>();
        let mut sums = [[0i32; PANEL]; 2];
        for (w, step) in
            tile.weights.as_chunks::<{ 2 * PANEL }>().0.iter().zip(tile.steps.offsets())
        {
            for (sums, place) in sums.iter_mut().zip(places) {
                let x = tile.x[step + place];
                let (low, high) = (x as i16, (x >> 16) as i16);
                for (o, sum) in sums.iter_mut().enumerate() {
                    let [w_low, w_high] = [w[2 * o], w[2 * o + 1]].map(i16::from);
                    *sum += i32::from(w_low) * i32::from(low) + i32::from(w_high) * i32::from(high);
                }
            }
        }
        for (t, sums) in sums.iter().enumerate().take(tile.pixels.len()) {
            for (o, y) in y.iter_mut().enumerate() {
                y[at + t] = (sums[o] - tile.offsets[o]) as f32 * tile.scales[o];
            }
        }
    }
}

impl Dot<f32, PANEL> for Scalar {
    const PIXELS: usize = 2;
    fn tile(self, tile: &Tile<'_, f32>, y: &mut [&mut [f32]], at: usize) {
        let places = tile.places::<2>();
        let mut sums = [[0f32; PANEL]; 2];
        for (w, step) in tile.weights.as_chunks::<PANEL>().0.iter().zip(tile.steps.offsets()) {
            for (sums, place) in sums.iter_mut().zip(places) {
                let x = tile.x[step + place];
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum += w * x;
                }
            }
        }
        for (t, sums) in sums.iter().enumerate().take(tile.pixels.len()) {
            for (y, sum) in y.iter_mut().zip(sums) {
                y[at + t] = *sum;
            }
        }
    }
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
