//! Fake quantization of Burn's tensors by Burn's operations, on any backend of it: what the rows
//! `ste` are made of, for whoever trains beside them.
use crate::burn_quantize;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use lowbit_reference::format::Levels;
use lowbit_reference::rule::{Granularity, Rule};

/// `x [rows, len]` quantized and dequantized, straight through: code times scale, with the gradient
/// of `x`. Sign, ternary and int8 codes; one scale for all or one for each row; absmax or absmean.
pub fn fake_quantize<B: Backend>(
    rule: &Rule,
    levels: Levels,
    granularity: Granularity,
    x: Tensor<B, 2>,
) -> Tensor<B, 2> {
    burn_quantize::fake_quantize(rule, levels, granularity, x).values
}
