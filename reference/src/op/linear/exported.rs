//! The inputs of `linear` for a program outside.
use super::super::Tensor;
use super::super::exported::{Export, Input};
use super::{Activation, Linear, LinearProblem};

impl Export for Linear {
    fn inputs(p: &LinearProblem) -> Vec<Input> {
        let (m, k, n) = (p.m, p.k, p.n);
        let w = &p.weight;
        let f32s = |values: &[f32]| Tensor::F32(values.to_vec());
        let mut all = vec![
            Input::new("weight_f32", &[n, k], f32s(&p.weight_f32)),
            Input::new("activation_f32", &[m, k], f32s(&p.activation_f32)),
            Input::new("weight_packed", &[n, w.row_bytes], Tensor::U8(w.bytes.clone())),
            Input::new("weight_codes", &[n, k], w.format.levels().tensor(&p.weight_codes())),
            Input::new("weight_scales", &[w.scales.len()], f32s(&w.scales)),
        ];
        if let Activation::Int8 { codes, scales, .. } = &p.activation {
            all.push(Input::new("activation_codes", &[m, k], Tensor::I8(codes.clone())));
            all.push(Input::new("activation_scales", &[scales.len()], f32s(scales)));
        }
        all
    }
}
