//! The inputs of the quantizers for a program outside.
use super::super::Tensor;
use super::super::exported::{Export, Input};
use super::QuantizeProblem;
use super::activation::QuantizeActivation;
use super::weight::QuantizeWeight;

fn inputs(p: &QuantizeProblem) -> Vec<Input> {
    vec![Input::new("x", &[p.rows, p.row_len], Tensor::F32(p.x.to_vec()))]
}

impl Export for QuantizeActivation {
    fn inputs(problem: &QuantizeProblem) -> Vec<Input> {
        inputs(problem)
    }
}

impl Export for QuantizeWeight {
    fn inputs(problem: &QuantizeProblem) -> Vec<Input> {
        inputs(problem)
    }
}
