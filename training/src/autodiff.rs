//! The operation on Burn's automatic differentiation: what is kept, and the backward pass.
use crate::{Call, Codes, LowBit, Matrix, Project, Saved};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Bool, Tensor, TensorMetadata, TensorPrimitive};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_autodiff::{Autodiff, NodeId};
use lowbit_kernels::fake_tensors;
use lowbit_reference::estimator::Estimator;

/// A bit for each value, packed as signs: whether a gradient passes there.
#[derive(Debug)]
struct Bits<B: LowBit>(Codes<B>, Matrix);

impl<B: LowBit> Clone for Bits<B> {
    fn clone(&self) -> Bits<B> {
        Bits(self.0.clone(), self.1.clone())
    }
}

impl<B: LowBit> Bits<B> {
    fn new(passes: FloatTensor<B>, at: Matrix) -> Bits<B> {
        Bits(B::encode(passes, &at), at)
    }

    /// Positive where it passes.
    fn unpacked(self) -> FloatTensor<B> {
        B::decode(self.0, &self.1)
    }
}

/// Codes of input or weight, and where nothing was saturated, if gradients stop elsewhere.
#[derive(Debug)]
struct Side<B: LowBit> {
    codes: Codes<B>,
    within: Option<Bits<B>>,
}

impl<B: LowBit> Clone for Side<B> {
    fn clone(&self) -> Side<B> {
        Side { codes: self.codes.clone(), within: self.within.clone() }
    }
}

/// What is kept of the input.
#[derive(Debug)]
enum Input<B: LowBit> {
    Codes(Side<B>),
    /// Where the graph has the values.
    Values(NodeId),
}

/// How it is known which outputs passed a relu.
#[derive(Debug)]
enum Relu<B: LowBit> {
    None,
    Bits(Bits<B>),
    /// From the outputs, computed again.
    Again,
}

/// What is kept between forward and backward.
#[derive(Debug)]
struct Kept<B: LowBit> {
    call: Call,
    x: Input<B>,
    w: Side<B>,
    relu: Relu<B>,
}

impl<B: LowBit> Clone for Kept<B> {
    fn clone(&self) -> Kept<B> {
        let x = match &self.x {
            Input::Codes(side) => Input::Codes(side.clone()),
            Input::Values(node) => Input::Values(*node),
        };
        let relu = match &self.relu {
            Relu::None => Relu::None,
            Relu::Bits(bits) => Relu::Bits(bits.clone()),
            Relu::Again => Relu::Again,
        };
        Kept { call: self.call.clone(), x, w: self.w.clone(), relu }
    }
}

fn lift<B: Backend, const D: usize>(x: FloatTensor<B>, dims: [usize; D]) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(B::float_reshape(x, dims.into())))
}

/// Positive where it holds.
fn signs<B: Backend, const D: usize>(holds: Tensor<B, D, Bool>) -> FloatTensor<B> {
    (holds.float() - 0.5).into_primitive().tensor()
}

/// Which outputs passed the relu: a NaN did not.
fn open<B: LowBit>(y: FloatTensor<B>, call: &Call) -> Bits<B> {
    let open = lift::<B, 4>(y, call.shape.output()).greater_elem(0.0);
    Bits::new(signs(open), call.passed())
}

/// Codes of values and, if their gradient is wanted and stops elsewhere, where none was saturated.
fn side<B: LowBit>(x: FloatTensor<B>, at: &Matrix, wanted: bool) -> Side<B> {
    if !wanted || at.coding.estimator() == Estimator::Identity {
        return Side { codes: B::encode(x, at), within: None };
    }
    let (rule, levels) = (at.coding.rule(), at.coding.format().levels());
    let codes = B::encode(x.clone(), at);
    let x = lift::<B, 2>(x, [at.rows, at.row_len]);
    let scales = lift::<B, 2>(codes.scales.clone(), [at.scales(), 1]);
    let within = fake_tensors::within((rule, levels), rule.granularity, x, scales);
    Side { codes, within: Some(Bits::new(signs(within), at.bits())) }
}

/// A gradient where the other tensor, of as many values, is positive.
fn stopped<B: LowBit>(g: FloatTensor<B>, passes: FloatTensor<B>) -> FloatTensor<B> {
    let shape = g.shape();
    let len = [shape.num_elements()];
    let stops = lift::<B, 1>(passes, len).greater_elem(0.0).bool_not();
    let g = lift::<B, 1>(g, len).mask_fill(stops, 0.0);
    B::float_reshape(g.into_primitive().tensor(), shape)
}

/// Straight through both quantizers, where their estimators pass.
#[derive(Debug)]
struct StraightThrough;

impl<B: LowBit> Backward<B, 2> for StraightThrough {
    type State = Kept<B>;

    fn backward(
        self,
        ops: Ops<Kept<B>, 2>,
        gradients: &mut Gradients,
        checkpointer: &mut Checkpointer,
    ) {
        let Kept { call, x, w, relu } = ops.state;
        let g = gradients.consume::<B>(&ops.node);
        let wanted = [0, 1].map(|i: usize| ops.parents[i].is_some());
        let x = match x {
            Input::Codes(side) => side,
            Input::Values(node) => {
                let values = checkpointer.retrieve_node_output::<FloatTensor<B>>(node);
                side(values, &call.input(), wanted[0])
            }
        };
        let g = match relu {
            Relu::None => g,
            Relu::Bits(bits) => stopped::<B>(g, bits.unpacked()),
            Relu::Again => stopped::<B>(g, B::multiply(&call, x.codes.clone(), w.codes.clone())),
        };
        let both = B::gradients(&call, [x.codes, w.codes], g, wanted);
        let each = ops.parents.into_iter().zip(both).zip([x.within, w.within]);
        for ((parent, gradient), within) in each {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                let gradient = match within {
                    Some(within) => stopped::<B>(gradient, within.unpacked()),
                    None => gradient,
                };
                gradients.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: LowBit, C: CheckpointStrategy> Project for Autodiff<B, C> {
    fn project(call: &Call, x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node.clone(), w.node.clone()];
        match StraightThrough.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::UnTracked(prepared) => {
                prepared.finish(crate::plain::<B>(call, x.primitive, w.primitive))
            }
            OpsKind::Tracked(mut prepared) => {
                let node = (call.saved == Saved::Values).then(|| prepared.checkpoint(&x));
                // Where no gradient is wanted none has to be stopped; of kept values it is seen later.
                let [x_wanted, w_wanted] = [&x, &w].map(|side| !side.node.requirement.is_none());
                let x = side::<B>(x.primitive, &call.input(), x_wanted && node.is_none());
                let w = side::<B>(w.primitive, &call.weight(), w_wanted);
                let y = B::multiply(call, x.codes.clone(), w.codes.clone());
                let relu = match (call.relu_threshold, call.saved) {
                    (None, _) => Relu::None,
                    (_, Saved::Cache) => Relu::Bits(open::<B>(y.clone(), call)),
                    (_, Saved::Values | Saved::CacheRecompute) => Relu::Again,
                };
                let x = node.map_or(Input::Codes(x), Input::Values);
                prepared.finish(Kept { call: call.clone(), x, w, relu }, y)
            }
        }
    }
}
