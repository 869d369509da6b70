//! The inputs of `linear` for a program outside.
use super::super::Tensor;
use super::super::exported::{Export, Input};
use super::{Activation, ActivationCodes, Linear, LinearProblem, Rows, Weight};

fn f32s(values: &[f32]) -> Tensor {
    Tensor::F32(values.to_vec())
}

/// Row after row, without what lies in between.
fn rows<T: Copy>(rows: &Rows, values: &[T]) -> Vec<T> {
    (0..rows.m).flat_map(|i| rows.row(values, i)).copied().collect()
}

/// Codes, and scales and zero points by token (or one for all).
fn tokens<T>(x: &ActivationCodes<T>, shape: &[usize], codes: Tensor) -> Vec<Input> {
    let mut all = vec![
        Input::new("activation_codes", shape, codes),
        Input::new("activation_scales", &[x.scales.len()], f32s(&x.scales)),
    ];
    if !x.zero_points.is_empty() {
        let zero_points = Tensor::I32(x.zero_points.clone());
        all.push(Input::new("activation_zero_points", &[x.zero_points.len()], zero_points));
    }
    all
}

/// Packed bytes; beside them codes and scales, or the values that blocks stand for.
fn weights(weight: &Weight, shape: &[usize; 2]) -> Vec<Input> {
    let packed = |bytes: &[u8], row: usize| {
        Input::new("weight_packed", &[shape[0], row], Tensor::U8(bytes.to_vec()))
    };
    match weight {
        Weight::Codes(w) => {
            let codes = w.format.levels().tensor(&w.weight_codes());
            let mut all = vec![
                packed(&w.bytes, w.row_bytes),
                Input::new("weight_codes", shape, codes),
                Input::new("weight_scales", &[w.scales.len()], f32s(&w.scales)),
            ];
            if !w.zero_points.is_empty() {
                let zero_points = Tensor::I32(w.zero_points.clone());
                all.push(Input::new("weight_zero_points", &[w.zero_points.len()], zero_points));
            }
            all
        }
        Weight::Blocks(w) => vec![packed(&w.bytes, w.row_bytes)],
        Weight::Table(w) => vec![
            packed(&w.codes, shape[1] / 2),
            Input::new("weight_absmax", &[w.absmax.len()], f32s(&w.absmax)),
        ],
    }
}

impl Export for Linear {
    fn inputs(p: &LinearProblem) -> Vec<Input> {
        let x = [p.m, p.k];
        let mut all = vec![
            Input::new("weight_f32", &[p.n, p.k], f32s(&p.weight_f32)),
            Input::new("activation_f32", &x, f32s(&p.activation_f32)),
        ];
        all.extend(weights(&p.weight, &[p.n, p.k]));
        match &p.activation {
            Activation::F32(_) => {}
            Activation::I8(c) => all.extend(tokens(c, &x, Tensor::I8(rows(&p.rows, &c.codes)))),
            Activation::U8(c) => all.extend(tokens(c, &x, Tensor::U8(rows(&p.rows, &c.codes)))),
        }
        all
    }
}
