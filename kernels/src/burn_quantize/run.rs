//! Quantization as a prepared run: tensors made once, codes or fake-quantized values each launch.
use super::{Cpu, FakeQuantized, Quantized, fake_quantize, quantize};
use crate::{Failure, Prepared};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, IntDType, Tensor, TensorData};
use lowbit_reference::estimator::Estimator;
use lowbit_reference::format::Levels;
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::{self, Outputs};
use lowbit_reference::rule::{Granularity, Rule};

/// Whether every value is finite: Burn panics where it casts NaN to an integer.
pub(crate) fn accepts(values: &[f32]) -> Result<(), String> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(format!("value {i} is {}, not finite", values[i])),
        None => Ok(()),
    }
}

/// The values of a tensor, row-major.
pub(crate) fn floats<B: Backend>(x: &Tensor<B, 2>) -> Result<Vec<f32>, Failure> {
    x.to_data().into_vec().map_err(|e| Failure(format!("read a tensor: {e:?}")))
}

/// A tensor of host values.
pub(crate) fn tensor(values: &[f32], shape: [usize; 2]) -> Tensor<Cpu, 2> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
}

enum Answer {
    Codes(Tensor<Cpu, 2, Int>),
    Values(Tensor<Cpu, 2>),
}

struct Part {
    scale: Tensor<Cpu, 2>,
    centre: Option<Tensor<Cpu, 2>>,
    answer: Answer,
}

/// A quantization problem as tensors.
pub(crate) struct Run {
    rule: Rule,
    levels: Levels,
    granularity: Granularity,
    /// The whole tensor, or full groups as rows; then the last, short group.
    inputs: Vec<Tensor<Cpu, 2>>,
    fake: bool,
    outputs: Vec<Part>,
}

impl Run {
    /// Answers `scales`, `centres` and `codes`.
    pub(crate) fn codes(problem: &QuantizeProblem) -> Run {
        Run::new(problem, false)
    }

    /// Answers `scales`, `centres` and `dequantized`.
    pub(crate) fn fake(problem: &QuantizeProblem) -> Run {
        Run::new(problem, true)
    }

    fn new(problem: &QuantizeProblem, fake: bool) -> Run {
        let (len, group_len) = (problem.x.len(), problem.group_len.max(1));
        let (granularity, inputs) = if group_len >= len {
            let shape = [problem.rows, problem.row_len];
            (Granularity::Tensor, vec![tensor(&problem.x, shape)])
        } else {
            let (full, rest) = problem.x.split_at(len - len % group_len);
            let mut inputs = vec![tensor(full, [len / group_len, group_len])];
            inputs.extend((!rest.is_empty()).then(|| tensor(rest, [1, rest.len()])));
            (Granularity::Row, inputs)
        };
        let (rule, levels) = (problem.rule, problem.levels());
        Run { rule, levels, granularity, inputs, fake, outputs: Vec::new() }
    }

    fn part(&self, x: &Tensor<Cpu, 2>) -> Part {
        let (rule, levels, granularity, x) = (&self.rule, self.levels, self.granularity, x.clone());
        if self.fake {
            let FakeQuantized { scale, centre, values } =
                fake_quantize((rule, levels), granularity, Estimator::Identity, x);
            return Part { scale, centre, answer: Answer::Values(values) };
        }
        let Quantized { scale, centre, codes } = quantize(rule, levels, granularity, x);
        Part { scale, centre, answer: Answer::Codes(codes.cast(IntDType::I8)) }
    }
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        self.outputs = self.inputs.iter().map(|x| self.part(x)).collect();
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.outputs.clear();
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        if self.outputs.is_empty() {
            return Err(Failure("read before a launch".into()));
        }
        let (mut scales, mut centres) = (Vec::new(), Vec::new());
        let (mut codes, mut values) = (Vec::new(), Vec::new());
        for part in &self.outputs {
            scales.extend(floats(&part.scale)?);
            if let Some(centre) = &part.centre {
                centres.extend(floats(centre)?);
            }
            match &part.answer {
                Answer::Values(x) => values.extend(floats(x)?),
                Answer::Codes(x) => codes.extend(
                    x.to_data()
                        .into_vec::<i8>()
                        .map_err(|e| Failure(format!("read codes: {e:?}")))?,
                ),
            }
        }
        let mut outputs = vec![("scales", op::Tensor::F32(scales))];
        if self.rule.centred {
            outputs.push(("centres", op::Tensor::F32(centres)));
        }
        outputs.push(if self.fake {
            ("dequantized", op::Tensor::F32(values))
        } else {
            ("codes", op::Tensor::I8(codes))
        });
        Ok(Outputs(outputs))
    }
}
