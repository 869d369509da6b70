//! `ort_ops.json`: operations as ONNX Runtime (CPU, no graph optimization) answers them.
//!
//! Codes and integers are bit-exact, and so are values that one f32 product makes; sums of floats
//! have the bound of [`bound`](lowbit_reference::bound), since the order of summation is unknown.
mod layers;
mod quantized;
use super::replay::{Replay, Within, floats, integers, size, text};
use lowbit_reference::invalid::Invalid;
use lowbit_reference::op::window::Window;
use serde_json::{Value, json};

/// Name, opset whose meaning is replayed, and what replays it.
type Op = (&'static str, i64, fn(&Case, &mut Replay) -> Result<(), Invalid>);

static OPS: &[Op] = &[
    ("QuantizeLinear+DequantizeLinear", 21, quantized::quantize_linear),
    ("DynamicQuantizeLinear", 11, quantized::dynamic_quantize_linear),
    ("MatMulInteger", 10, quantized::matmul_integer),
    ("QLinearMatMul", 10, quantized::qlinear_matmul),
    ("com.microsoft:MatMulNBits", 17, quantized::matmul_nbits),
    ("ConvInteger", 10, layers::conv_integer),
    ("Conv", 11, layers::conv),
    ("MaxPool", 12, layers::max_pool),
    ("AveragePool", 19, layers::average_pool),
    ("GlobalAveragePool", 12, layers::global_average_pool),
    ("Attention", 23, layers::attention),
];

pub(crate) fn replay(document: &Value, replay: &mut Replay) {
    replay.input(&document["source"]);
    replay.equal("file", "failed", &document["failed"], &json!([]));
    for value in document["cases"].as_array().into_iter().flatten() {
        let case = Case { name: text(replay.input(&value["name"])), value };
        replay.input(&value["note"]);
        let op = text(replay.input(&value["op"]));
        let Some((_, opset, run)) = OPS.iter().find(|(name, ..)| *name == op) else {
            replay.fail(case.name, format!("operation {op} is not known"));
            continue;
        };
        replay.integers(case.name, "opset", &value["opset"], [*opset]);
        if let Err(error) = run(&case, replay) {
            replay.fail(case.name, error);
        }
    }
}

/// One case.
struct Case<'v> {
    name: &'v str,
    value: &'v Value,
}

/// A tensor that goes in.
struct Input<'v> {
    shape: Vec<usize>,
    unsigned: bool,
    data: &'v Value,
}

impl Input<'_> {
    fn floats(&self) -> Vec<f32> {
        floats(self.data)
    }
    fn integers<T: TryFrom<i64>>(&self) -> Vec<T> {
        integers(self.data)
    }
    /// The shape of a tensor of so many axes; absent ones are 1.
    fn dims<const N: usize>(&self) -> [usize; N] {
        std::array::from_fn(|axis| self.shape.get(axis).copied().unwrap_or(1))
    }
    /// The shape that a float or an empty one must have been written with.
    fn scalar(&self) -> f32 {
        self.floats().first().copied().unwrap_or(f32::NAN)
    }
}

impl<'v> Case<'v> {
    fn has_input(&self, name: &str) -> bool {
        self.value["inputs"].get(name).is_some()
    }

    /// An input, its data as long as its shape says.
    fn input(&self, replay: &mut Replay, name: &str) -> Result<Input<'v>, Invalid> {
        let tensor = replay.input(&self.value["inputs"][name]);
        let (shape, data) = (integers(&tensor["shape"]), &tensor["data"]);
        Invalid::check_len(name, data.as_array().map_or(0, Vec::len), &shape)?;
        Ok(Input { shape, unsigned: text(&tensor["dtype"]).starts_with('u'), data })
    }

    /// An attribute; a default where it is absent.
    fn attribute(&self, replay: &mut Replay, name: &str) -> Option<&'v Value> {
        self.value["attrs"].get(name).map(|value| replay.input(value))
    }

    fn flag(&self, replay: &mut Replay, name: &str) -> Result<bool, Invalid> {
        match self.attribute(replay, name).map(size) {
            None | Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(Invalid::new(name, other, "0 or 1")),
        }
    }

    /// The window of a convolution or a pooling.
    fn window(&self, replay: &mut Replay, kernel: [usize; 2]) -> Window {
        let mut list = |name, default| -> Vec<usize> {
            self.attribute(replay, name).map_or(vec![default; 4], integers)
        };
        let (strides, pads, dilations) =
            (list("strides", 1), list("pads", 0), list("dilations", 1));
        let two = |list: &[usize]| [list[0], list[1]];
        Window {
            kernel,
            stride: two(&strides),
            pads: [pads[0], pads[1], pads[2], pads[3]],
            dilation: two(&dilations),
        }
    }

    /// Compare type and shape of an output, and hand out its data.
    fn output(&self, replay: &mut Replay, at: usize, dtype: &str, shape: &[usize]) -> &'v Value {
        let output = &self.value["outputs"][at];
        replay.equal(self.name, &format!("outputs[{at}].dtype"), &output["dtype"], &json!(dtype));
        replay.equal(self.name, &format!("outputs[{at}].shape"), &output["shape"], &json!(shape));
        &output["data"]
    }

    /// Compare a float output, each value with its own bound.
    fn floats(
        &self,
        replay: &mut Replay,
        at: usize,
        shape: &[usize],
        got: &[f32],
        bounds: Option<&[f64]>,
    ) {
        let data = self.output(replay, at, "float32", shape);
        let within = bounds.map_or(Within::Exactly, Within::Each);
        replay.floats(self.name, &format!("outputs[{at}].data"), data, got, within);
    }

    /// Compare an integer output.
    fn integers(
        &self,
        replay: &mut Replay,
        (at, dtype): (usize, &str),
        shape: &[usize],
        got: impl IntoIterator<Item = impl Into<i64>>,
    ) {
        let data = self.output(replay, at, dtype, shape);
        replay.integers(self.name, &format!("outputs[{at}].data"), data, got);
    }
}
