//! Tensors on the processor: the native rows of the suite, the best that it has.
use crate::shape::Shape;
use crate::{Call, Codes, LowBit, Matrix, Project};
use burn::tensor::ops::{FloatTensor, FloatTensorOps, IntTensor};
use burn::tensor::{DType, TensorData};
use burn_ndarray::{NdArray, NdArrayTensor};
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::hardware::Hardware;
use lowbit_kernels::pool::Pool;
use lowbit_kernels::{Failure, Kernel, decoder_tail, lowrank_projection, quantize_weight};
use lowbit_reference::invalid::Invalid;
use lowbit_reference::op::projection::{Input, ProjectionProblem, Weight};
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::{Op, Outputs, Tensor};
use std::sync::Arc;

/// Rows that run on the processor, the best first.
const NATIVE: [&str; 3] = ["avx512vnni", "avx2", "scalar"];

/// Threads of the caller's, and what the processor has.
#[derive(Debug)]
pub struct Processor {
    pool: Pool,
    hardware: Hardware,
}

impl Processor {
    /// So many threads, at least one. They are for tensors on the processor; a device does without.
    ///
    /// # Errors
    ///
    /// Threads that cannot be started.
    pub fn new(threads: usize) -> Result<Processor, Invalid> {
        let pool = Pool::new(threads).map_err(|why| Invalid::new("threads", threads, why))?;
        Ok(Processor { pool, hardware: Hardware::detect() })
    }

    /// The outputs of the best row of a table.
    fn run<O: Op>(
        &self,
        rows: &[&dyn Kernel<O>],
        problem: &O::Problem,
    ) -> Result<Outputs, Failure> {
        let fits = |row: &&&dyn Kernel<O>| {
            self.hardware.has(row.need()).is_ok() && row.accepts(problem).is_ok()
        };
        let named = |name: &&str| rows.iter().find(|row| row.name() == *name).filter(fits);
        let row = NATIVE.iter().find_map(named);
        let row = row.ok_or_else(|| Failure(format!("{}: no row takes this", O::SPEC.name)))?;
        let mut context = Context::new(self.pool.clone(), self.hardware.clone(), Poison::Ones);
        let mut ready = row.prepare(problem, &mut context)?;
        ready.launch()?;
        ready.sync()?;
        ready.read()
    }
}

/// What Burn's operations do where they cannot go on.
fn must<T>(what: &str, answer: Result<T, impl std::fmt::Display>) -> T {
    answer.unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Values, row-major.
fn values(x: FloatTensor<NdArray>) -> Vec<f32> {
    let x = burn::tensor::Tensor::<NdArray, 1>::from_primitive(
        burn::tensor::TensorPrimitive::Float(flat(x)),
    );
    must("values", x.into_data().into_vec::<f32>().map_err(|e| format!("{e:?}")))
}

/// One dimension, row-major.
fn flat(x: FloatTensor<NdArray>) -> FloatTensor<NdArray> {
    use burn::tensor::TensorMetadata;
    let len = x.shape().num_elements();
    <NdArray as FloatTensorOps<NdArray>>::float_reshape(x, [len].into())
}

fn tensor(values: Vec<f32>, shape: &[usize]) -> FloatTensor<NdArray> {
    NdArrayTensor::from_data(TensorData::new(values, shape.to_vec()))
}

/// Bytes of packed codes.
fn bytes(words: IntTensor<NdArray>) -> Vec<u8> {
    let words = burn::tensor::Tensor::<NdArray, 2, burn::tensor::Int>::from_primitive(words);
    words.into_data().as_bytes().to_vec()
}

/// The one output of that name.
fn named(outputs: Outputs, names: &[&str]) -> Vec<Tensor> {
    let mut found: Vec<Option<Tensor>> = names.iter().map(|_| None).collect();
    for (name, tensor) in outputs.0 {
        if let Some(at) = names.iter().position(|other| *other == name) {
            found[at] = Some(tensor);
        }
    }
    let missing = |(i, tensor): (usize, Option<Tensor>)| {
        must("outputs", tensor.ok_or_else(|| format!("no {}", names[i])))
    };
    found.into_iter().enumerate().map(missing).collect()
}

fn floats(tensor: Tensor) -> Vec<f32> {
    match tensor {
        Tensor::F32(values) => values,
        other => panic!("outputs: {other:?} for f32"),
    }
}

/// The problem of a row, from packed codes.
fn problem<S>(call: &Call, shape: S, x: Codes<NdArray>, w: Codes<NdArray>) -> ProjectionProblem<S> {
    let (coding, weight) = (call.weight().coding, call.weight());
    let codes = bytes(x.words).into_iter().map(u8::cast_signed).collect();
    let row_bytes = coding.format().row_bytes(weight.row_len);
    let scale = values(w.scales)[0];
    ProjectionProblem {
        shape,
        input: Input { values: Vec::new(), codes, scales: values(x.scales) },
        weight: Weight::packed(coding.format(), bytes(w.words), (weight.row_len, row_bytes), scale),
        relu_threshold: call.relu_threshold,
        grad_output: Vec::new(),
        exact: false,
    }
}

/// The outputs of the best row for a shape.
fn run(
    call: &Call,
    [x, w]: [Codes<NdArray>; 2],
    grad_output: Vec<f32>,
    names: &[&str],
) -> Vec<Tensor> {
    let relu_threshold = if grad_output.is_empty() { call.relu_threshold } else { None };
    let outputs = match call.shape {
        Shape::Lowrank(shape) => {
            let problem = problem(call, shape, x, w);
            let problem = ProjectionProblem { grad_output, relu_threshold, ..problem };
            call.processor.run(lowrank_projection::KERNELS, &problem)
        }
        Shape::Decoder(shape) => {
            let problem = problem(call, shape, x, w);
            let problem = ProjectionProblem { grad_output, relu_threshold, ..problem };
            call.processor.run(decoder_tail::KERNELS, &problem)
        }
    };
    named(must("projection", outputs), names)
}

impl LowBit for NdArray {
    const PACKED: DType = DType::U8;

    fn packed_shape(at: &Matrix) -> [usize; 2] {
        [at.rows, at.coding.format().row_bytes(at.row_len)]
    }

    fn encode(x: FloatTensor<Self>, at: &Matrix) -> Codes<Self> {
        let Matrix { rows, row_len, coding, ref processor } = *at;
        let problem = QuantizeProblem {
            x: Arc::new(values(x)),
            rows,
            row_len,
            group_len: at.group_len(),
            rule: *coding.rule(),
            format: coding.format(),
            packed_len: row_len,
            exact: false,
            distribution: None,
            sigma: 1.0,
        };
        let outputs = must("quantize", processor.run(quantize_weight::KERNELS, &problem));
        let mut outputs = named(outputs, &["scales", "packed"]);
        let (Some(Tensor::U8(packed)), Some(scales)) = (outputs.pop(), outputs.pop()) else {
            panic!("quantize: no packed bytes");
        };
        let words = NdArrayTensor::from_data(TensorData::new(packed, Self::packed_shape(at)));
        Codes { words, scales: tensor(floats(scales), &[at.scales()]) }
    }

    fn decode(codes: Codes<Self>, at: &Matrix) -> FloatTensor<Self> {
        let Matrix { rows, row_len, coding, .. } = *at;
        let (packed, scales) = (bytes(codes.words), values(codes.scales));
        let row = coding.format().row_bytes(row_len);
        let codes = packed.chunks(row.max(1)).map(|row| coding.format().unpack(row, row_len));
        let codes = codes.flat_map(|codes| must("dequantize", codes));
        let scale = |value: usize| scales[value / at.group_len()];
        let values = codes.enumerate().map(|(i, code)| f32::from(code) * scale(i)).collect();
        tensor(values, &[rows, row_len])
    }

    fn multiply(call: &Call, x: Codes<Self>, w: Codes<Self>) -> FloatTensor<Self> {
        let y = run(call, [x, w], Vec::new(), &["y"]).pop().map(floats);
        tensor(y.unwrap_or_default(), &call.shape.output())
    }

    fn gradients(
        call: &Call,
        codes: [Codes<Self>; 2],
        g: FloatTensor<Self>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        let both = run(call, codes, values(g), &["grad_input", "grad_weight"]);
        let mut shapes = [call.shape.input().to_vec(), call.shape.weight()].into_iter();
        let mut gradients = both.into_iter().zip(wanted).map(|(gradient, wanted)| {
            let shape = shapes.next().unwrap_or_default();
            wanted.then(|| tensor(floats(gradient), &shape))
        });
        [0, 1].map(|_| gradients.next().flatten())
    }
}

impl Project for NdArray {
    fn project(call: &Call, x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        crate::plain::<Self>(call, x, w)
    }
}
