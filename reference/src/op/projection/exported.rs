//! The inputs of a projection for a program outside: shapes are those of [`Contraction`].
use super::super::Tensor;
use super::super::exported::{Export, Input};
use super::{Named, ProjectionOp, ProjectionProblem};

fn f32s(values: &[f32]) -> Tensor {
    Tensor::F32(values.to_vec())
}

impl<S: Named> Export for ProjectionOp<S> {
    fn inputs(p: &ProjectionProblem<S>) -> Vec<Input> {
        let (x, w) = (p.shape.input_shape(), p.shape.weight_shape());
        let rows = w.iter().product::<usize>() / p.weight.row_len;
        let packed = Tensor::U8(p.weight.bytes.clone());
        let codes = p.weight.format.levels().tensor(&p.weight.codes);
        let mut all = vec![
            Input::new("input_f32", &x, f32s(&p.input.values)),
            Input::new("weight_packed", &[rows, p.weight.row_bytes], packed),
            Input::new("weight_codes", &w, codes),
            Input::new("weight_scales", &[1], f32s(&[p.weight.scale])),
        ];
        if !p.input.codes.is_empty() {
            let scales = f32s(&p.input.scales);
            all.push(Input::new("input_codes", &x, Tensor::I8(p.input.codes.clone())));
            all.push(Input::new("input_scales", &[p.input.scales.len()], scales));
        }
        if p.backward() {
            all.push(Input::new("grad_output", &p.shape.output_shape(), f32s(&p.grad_output)));
        }
        all
    }
}
