//! Burn's fusion: tensors are promises there, so each operation is one that fusion hands to the
//! backend below when it comes to its turn.
use crate::{Call, Codes, LowBit, Matrix, Project};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape};
use burn_fusion::stream::{Operation, OperationStreams};
use burn_fusion::{Fusion, FusionBackend, FusionRuntime};
use burn_ir::{CustomOpIr, HandleContainer, OperationIr, OperationOutput, TensorIr};
use std::marker::PhantomData;

/// A fused tensor of any kind.
type Promise<B> = FloatTensor<Fusion<B>>;
type Handles<B> =
    HandleContainer<<<B as FusionBackend>::FusionRuntime as FusionRuntime>::FusionHandle>;

/// What is done when an operation's turn comes.
#[derive(Clone, Debug)]
enum What {
    Quantize(Matrix),
    Dequantize(Matrix),
    Multiply(Call),
    /// The gradient of the input, or else of the weight.
    Gradient(Call, bool),
}

impl What {
    fn name(&self) -> &'static str {
        match self {
            What::Quantize(_) => "lowbit_quantize",
            What::Dequantize(_) => "lowbit_dequantize",
            What::Multiply(_) => "lowbit_multiply",
            What::Gradient(..) => "lowbit_gradient",
        }
    }
}

#[derive(Debug)]
struct Custom<B> {
    ir: CustomOpIr,
    what: What,
    backend: PhantomData<fn() -> B>,
}

/// Codes whose turn has come.
fn codes<B: FusionBackend + LowBit>(
    handles: &mut Handles<B>,
    words: &TensorIr,
    scales: &TensorIr,
) -> Codes<B> {
    let words = handles.get_int_tensor::<B>(words);
    Codes { words, scales: handles.get_float_tensor::<B>(scales) }
}

impl<B: FusionBackend + LowBit> Operation<B::FusionRuntime> for Custom<B> {
    fn execute(&self, handles: &mut Handles<B>) {
        match &self.what {
            What::Quantize(at) => {
                let ([x], [words, scales]) = self.ir.as_fixed();
                let answer = B::encode(handles.get_float_tensor::<B>(x), at);
                handles.register_int_tensor::<B>(&words.id, answer.words);
                handles.register_float_tensor::<B>(&scales.id, answer.scales);
            }
            What::Dequantize(at) => {
                let ([words, scales], [out]) = self.ir.as_fixed();
                let values = B::decode(codes::<B>(handles, words, scales), at);
                handles.register_float_tensor::<B>(&out.id, values);
            }
            What::Multiply(call) => {
                let ([x, x_scales, w, w_scales], [out]) = self.ir.as_fixed();
                let x = codes::<B>(handles, x, x_scales);
                let y = B::multiply(call, x, codes::<B>(handles, w, w_scales));
                handles.register_float_tensor::<B>(&out.id, y);
            }
            What::Gradient(call, of_input) => {
                let ([x, x_scales, w, w_scales, g], [out]) = self.ir.as_fixed();
                let both = [(x, x_scales), (w, w_scales)].map(|(a, b)| codes::<B>(handles, a, b));
                let g = handles.get_float_tensor::<B>(g);
                let gradients = B::gradients(call, both, g, [*of_input, !of_input]);
                if let Some(gradient) = gradients.into_iter().flatten().next() {
                    handles.register_float_tensor::<B>(&out.id, gradient);
                }
            }
        }
    }
}

/// Enqueue an operation that answers tensors of these shapes.
fn custom<B: FusionBackend + LowBit, const N: usize, const M: usize>(
    what: What,
    inputs: [Promise<B>; N],
    outputs: [(Shape, DType); M],
) -> [Promise<B>; M] {
    let client = inputs[0].client.clone();
    let streams = OperationStreams::with_inputs(inputs.iter());
    let outputs =
        outputs.map(|(shape, dtype)| TensorIr::uninit(client.create_empty_handle(), shape, dtype));
    let inputs = inputs.map(|input| input.into_ir());
    let ir = CustomOpIr::new(what.name(), &inputs, &outputs);
    let operation = Custom::<B> { ir: ir.clone(), what, backend: PhantomData };
    client.register(streams, OperationIr::Custom(ir), operation).outputs()
}

impl<B: FusionBackend + LowBit> LowBit for Fusion<B> {
    const PACKED: DType = B::PACKED;

    fn packed_shape(at: &Matrix) -> [usize; 2] {
        B::packed_shape(at)
    }

    fn encode(x: FloatTensor<Self>, at: &Matrix) -> Codes<Self> {
        let words = (Shape::new(B::packed_shape(at)), B::PACKED);
        let outputs = [words, (Shape::new([at.scales()]), DType::F32)];
        let [words, scales] = custom::<B, 1, 2>(What::Quantize(at.clone()), [x], outputs);
        Codes { words, scales }
    }

    fn decode(codes: Codes<Self>, at: &Matrix) -> FloatTensor<Self> {
        let out = (Shape::new([at.rows, at.row_len]), DType::F32);
        let inputs = [codes.words, codes.scales];
        let [values] = custom::<B, 2, 1>(What::Dequantize(at.clone()), inputs, [out]);
        values
    }

    fn multiply(call: &Call, x: Codes<Self>, w: Codes<Self>) -> FloatTensor<Self> {
        let out = (Shape::new(call.shape.output()), DType::F32);
        let inputs = [x.words, x.scales, w.words, w.scales];
        let [y] = custom::<B, 4, 1>(What::Multiply(call.clone()), inputs, [out]);
        y
    }

    fn gradients(
        call: &Call,
        [x, w]: [Codes<Self>; 2],
        g: FloatTensor<Self>,
        wanted: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        let shapes = [call.shape.input().to_vec(), call.shape.weight()];
        let gradient = |of_input: bool| {
            let (x, w) = (x.clone(), w.clone());
            let inputs = [x.words, x.scales, w.words, w.scales, g.clone()];
            let out = (Shape::from(shapes[usize::from(!of_input)].clone()), DType::F32);
            let [gradient] =
                custom::<B, 5, 1>(What::Gradient(call.clone(), of_input), inputs, [out]);
            gradient
        };
        [wanted[0].then(|| gradient(true)), wanted[1].then(|| gradient(false))]
    }
}

impl<B: FusionBackend + LowBit> Project for Fusion<B> {
    fn project(call: &Call, x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        crate::plain::<Self>(call, x, w)
    }
}
