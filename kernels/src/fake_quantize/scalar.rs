//! `fake_quantize` scalar: forward and backward of a quantizer in one pass over its values.
//!
//! `y = (code - zero_point) scale`, `dx = dy` where the estimator passes and 0 elsewhere. What a
//! group shares comes first (one read), then its values and gradients (a second read): codes exist
//! for a moment only. Statistics are added in f64, group after group, so that an answer does not
//! depend on how groups are dealt to threads; a tensor of one group is one thread's. A code counts
//! from its zero point exactly (below 256), and its product with the scale is rounded once.
use crate::buffer::Buffer;
use crate::context::Context;
use crate::pool::Pool;
use crate::quantize::plain::{Coder, limits, nearest};
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::estimator::Estimator;
use lowbit_reference::format::Levels;
use lowbit_reference::op::quantize::fake::{FakeQuantize, FakeQuantizeProblem};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use lowbit_reference::rule::{Range, Rule};

/// See the module.
#[derive(Debug)]
pub(super) struct Scalar;

impl Kernel<FakeQuantize> for Scalar {
    fn name(&self) -> &'static str {
        "scalar"
    }
    fn arithmetic(&self, _: &FakeQuantizeProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, _: &FakeQuantizeProblem) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        problem: &'p FakeQuantizeProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let quantize = &problem.quantize;
        let (len, group_len) = (quantize.x.len(), quantize.group_len.max(1));
        let groups = len.div_ceil(group_len);
        let by = By {
            rule: quantize.rule,
            levels: quantize.levels(),
            clipped: problem.estimator == Estimator::Clipped,
        };
        Ok(Box::new(Run {
            by,
            group_len,
            pool: context.pool().clone(),
            x: context.copy("x", &quantize.x),
            grad_output: context.copy("grad_output", &problem.grad_output),
            scales: context.buffer("scales", groups),
            centres: context.buffer("centres", groups),
            zero_points: context.buffer("zero_points", groups),
            dequantized: context.buffer("dequantized", len),
            grad_input: context.buffer("grad_input", len),
        }))
    }
}

/// What quantizes, and whether gradients of saturated values end here.
#[derive(Clone, Copy)]
struct By {
    rule: Rule,
    levels: Levels,
    clipped: bool,
}

/// One group: what it is made of and what becomes of it.
struct Group<'a> {
    x: &'a [f32],
    grad_output: &'a [f32],
    scale: &'a mut f32,
    centre: &'a mut f32,
    zero_point: &'a mut i32,
    dequantized: &'a mut [f32],
    grad_input: &'a mut [f32],
}

impl By {
    fn run(&self, group: Group) {
        let By { rule, levels, clipped } = self;
        let coder = Coder::new(rule, *levels, group.x);
        (*group.scale, *group.centre) = (coder.scale, coder.centre);
        *group.zero_point = coder.zero_point as i32;
        let forward = group.dequantized.iter_mut().zip(group.x);
        let backward = group.grad_input.iter_mut().zip(group.grad_output);
        for ((y, x), (dx, dy)) in forward.zip(backward) {
            *y = (coder.whole(rule, *levels, *x) - coder.zero_point) * coder.scale;
            *dx = if *clipped && self.saturates(&coder, *x) { 0.0 } else { *dy };
        }
    }

    /// Whether a value lies beyond the last code, or beyond the scale where codes are signs. So
    /// does a NaN.
    fn saturates(&self, coder: &Coder, x: f32) -> bool {
        let By { rule, levels, .. } = self;
        let (least, value, most) = match levels {
            Levels::Sign | Levels::Ternary => {
                let x = if rule.centred { x - coder.centre } else { x };
                (-coder.scale, x, coder.scale)
            }
            _ => {
                let (least, most) = limits(rule, *levels);
                let quotient = x / coder.step;
                let code = nearest(rule, quotient) + coder.zero_point;
                (least, if quotient.is_nan() { quotient } else { code }, most)
            }
        };
        !(least <= value && value <= most)
    }
}

/// A row bound to its problem.
struct Run {
    by: By,
    group_len: usize,
    pool: Pool,
    x: Buffer<f32>,
    grad_output: Buffer<f32>,
    scales: Buffer<f32>,
    centres: Buffer<f32>,
    zero_points: Buffer<i32>,
    dequantized: Buffer<f32>,
    grad_input: Buffer<f32>,
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        let (by, len) = (self.by, self.group_len);
        let inputs = self.x.chunks(len).zip(self.grad_output.chunks(len));
        let shared =
            self.scales.iter_mut().zip(self.centres.iter_mut()).zip(self.zero_points.iter_mut());
        let outputs = self.dequantized.chunks_mut(len).zip(self.grad_input.chunks_mut(len));
        let groups = inputs.zip(shared).zip(outputs).map(|((inputs, shared), outputs)| {
            let ((x, grad_output), ((scale, centre), zero_point)) = (inputs, shared);
            let (dequantized, grad_input) = outputs;
            Group { x, grad_output, scale, centre, zero_point, dequantized, grad_input }
        });
        self.pool.for_each(groups.collect(), |group| by.run(group));
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        for floats in
            [&mut self.scales, &mut self.centres, &mut self.dequantized, &mut self.grad_input]
        {
            floats.fill(f32::NAN);
        }
        self.zero_points.fill(i32::MIN);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        let mut outputs = vec![
            ("scales", Tensor::F32(self.scales.to_vec())),
            ("dequantized", Tensor::F32(self.dequantized.to_vec())),
            ("grad_input", Tensor::F32(self.grad_input.to_vec())),
        ];
        if self.by.rule.centred {
            outputs.push(("centres", Tensor::F32(self.centres.to_vec())));
        }
        if self.by.rule.range == Range::Minmax {
            outputs.push(("zero_points", Tensor::I32(self.zero_points.to_vec())));
        }
        Ok(Outputs(outputs))
    }
}
