//! Integer convolution (ONNX ConvInteger): `sum (x - z_x) (w - z_w)`, exact in i32. Padding stands
//! for the zero point of x, so it adds nothing.
use super::Conv2dShape;
use crate::invalid::Invalid;
use crate::op::integer::{Affine, check_depth};

/// `y` of 8-bit codes: one zero point for x, one for w or one per output channel. A depth whose
/// sum could leave i32 is an error.
pub fn conv2d_integer(shape: &Conv2dShape, x: &Affine, w: &Affine) -> Result<Vec<i32>, Invalid> {
    x.check("x", 1)?;
    w.check("w", shape.outputs)?;
    check_depth("depth", shape.depth()?, x, w)?;
    shape.outputs((x.codes.len(), w.codes.len()), |channel, taps| {
        taps.iter().map(|(x_at, w_at)| x.at(*x_at, 0) * w.at(*w_at, channel)).sum()
    })
}
