//! The operation on Burn's automatic differentiation: what is kept, and the backward pass.
use crate::{Call, Codes, LowBit, Matrix, Project, Saved, codes};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};
use burn_autodiff::checkpoint::base::Checkpointer;
use burn_autodiff::checkpoint::strategy::CheckpointStrategy;
use burn_autodiff::grads::Gradients;
use burn_autodiff::ops::{Backward, Ops, OpsKind};
use burn_autodiff::{Autodiff, NodeId};

/// What is kept of the input.
#[derive(Debug)]
enum Input<B: LowBit> {
    Codes(Codes<B>),
    /// Where the graph has the values.
    Values(NodeId),
}

/// How it is known which outputs passed a relu.
#[derive(Debug)]
enum Passed<B: LowBit> {
    All,
    /// As signs.
    Bits(Codes<B>, Matrix),
    /// From the outputs, computed again.
    Again,
}

/// What is kept between forward and backward.
#[derive(Debug)]
struct Kept<B: LowBit> {
    call: Call,
    x: Input<B>,
    w: Codes<B>,
    passed: Passed<B>,
}

impl<B: LowBit> Clone for Kept<B> {
    fn clone(&self) -> Kept<B> {
        let x = match &self.x {
            Input::Codes(codes) => Input::Codes(codes.clone()),
            Input::Values(node) => Input::Values(*node),
        };
        let passed = match &self.passed {
            Passed::All => Passed::All,
            Passed::Bits(codes, at) => Passed::Bits(codes.clone(), at.clone()),
            Passed::Again => Passed::Again,
        };
        Kept { call: self.call.clone(), x, w: self.w.clone(), passed }
    }
}

fn lift<B: LowBit>(x: FloatTensor<B>) -> Tensor<B, 4> {
    Tensor::from_primitive(TensorPrimitive::Float(x))
}

/// The signs of what passed: a NaN did not.
fn bits<B: LowBit>(y: FloatTensor<B>, at: &Matrix) -> Codes<B> {
    let y = lift::<B>(y);
    let passed = y.full_like(-0.5).mask_fill(y.greater_elem(0.0), 0.5);
    B::encode(passed.into_primitive().tensor(), at)
}

impl<B: LowBit> Kept<B> {
    /// The gradient of the outputs before the relu.
    fn masked(&self, x: &Codes<B>, g: FloatTensor<B>) -> FloatTensor<B> {
        let y = match &self.passed {
            Passed::All => return g,
            Passed::Bits(codes, at) => B::decode(codes.clone(), at),
            Passed::Again => B::multiply(&self.call, x.clone(), self.w.clone()),
        };
        let y = Tensor::<B, 4>::from_primitive(TensorPrimitive::Float(B::float_reshape(
            y,
            self.call.shape.output().into(),
        )));
        let stopped = y.greater_elem(0.0).bool_not();
        lift::<B>(g).mask_fill(stopped, 0.0).into_primitive().tensor()
    }
}

/// Straight through both quantizers.
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
        let kept = ops.state;
        let g = gradients.consume::<B>(&ops.node);
        let x = match &kept.x {
            Input::Codes(codes) => codes.clone(),
            Input::Values(node) => {
                let values = checkpointer.retrieve_node_output::<FloatTensor<B>>(*node);
                B::encode(values, &kept.call.input())
            }
        };
        let g = kept.masked(&x, g);
        let wanted = [0, 1].map(|i: usize| ops.parents[i].is_some());
        let both = B::gradients(&kept.call, [x, kept.w], g, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(both) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
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
                let values = (call.saved == Saved::Values).then(|| prepared.checkpoint(&x));
                let [x, w] = codes::<B>(call, x.primitive, w.primitive);
                let y = B::multiply(call, x.clone(), w.clone());
                let passed = match (call.relu_threshold, call.saved) {
                    (None, _) => Passed::All,
                    (_, Saved::Cache) => {
                        let at = call.passed();
                        Passed::Bits(bits::<B>(y.clone(), &at), at)
                    }
                    (_, Saved::Values | Saved::CacheRecompute) => Passed::Again,
                };
                let x = values.map_or(Input::Codes(x), Input::Values);
                prepared.finish(Kept { call: call.clone(), x, w, passed }, y)
            }
        }
    }
}
