//! Fake quantization of Burn's tensors by Burn's operations, on any backend of it: what the rows
//! `ste` are made of, for whoever trains beside them.
use crate::burn_quantize;
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Tensor};
use lowbit_reference::estimator::Estimator;
use lowbit_reference::format::Levels;
use lowbit_reference::rule::{Granularity, Rule};

/// `x [rows, len]` quantized and dequantized, straight through: code times scale, with the gradient
/// of `x` where the estimator passes. Sign, ternary and int8 codes; one scale for all or one for each
/// row; absmax or absmean.
pub fn fake_quantize<B: Backend>(
    (rule, levels): (&Rule, Levels),
    granularity: Granularity,
    estimator: Estimator,
    x: Tensor<B, 2>,
) -> Tensor<B, 2> {
    burn_quantize::fake_quantize((rule, levels), granularity, estimator, x).values
}

/// Where the estimator `clipped` passes: where no value of `x [rows, len]` was saturated under `scale`,
/// `[rows, 1]` or `[1, 1]`. A centre is computed once more here: at an edge around it, that of the codes may
/// differ by a rounding.
pub fn within<B: Backend>(
    (rule, levels): (&Rule, Levels),
    granularity: Granularity,
    x: Tensor<B, 2>,
    scale: Tensor<B, 2>,
) -> Tensor<B, 2, Bool> {
    let centre = burn_quantize::centre(rule, granularity, &x);
    burn_quantize::within(rule, levels, x, (scale, centre))
}
