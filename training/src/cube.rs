//! Tensors on CubeCL's runtimes: the kernels of the rows `cube-*`, on the buffers of the tensors.
//! Nothing crosses to the host.
use crate::{Call, Codes, LowBit, Matrix, Project, Shape};
use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use lowbit_kernels::tensors::{self, Buffer};

/// A tensor's words, row-major.
fn buffer<R: CubeRuntime>(x: CubeTensor<R>) -> Buffer {
    let x = into_contiguous(x);
    Buffer::new(x.handle.clone(), x.meta.shape().num_elements())
}

/// Values, which must be f32: no kernel of ours reads another float.
fn values<R: CubeRuntime>(x: CubeTensor<R>) -> Buffer {
    assert_eq!(x.dtype, DType::F32, "a projection of codes takes f32");
    buffer(x)
}

/// A tensor of 32-bit words where `like` is.
fn tensor<R: CubeRuntime>(
    like: &CubeTensor<R>,
    words: &Buffer,
    dims: &[usize],
    dtype: DType,
) -> CubeTensor<R> {
    let (client, device) = (like.client.clone(), like.device.clone());
    CubeTensor::new_contiguous(client, device, dims.to_vec().into(), words.handle(), dtype)
}

fn shape(call: &Call) -> tensors::Shape {
    match call.shape {
        Shape::Lowrank(shape) => tensors::Shape::Lowrank(shape),
        Shape::Decoder(shape) => tensors::Shape::Decoder(shape),
    }
}

impl<R: CubeRuntime, F: FloatElement, I: IntElement, BT: BoolElement> LowBit
    for CubeBackend<R, F, I, BT>
{
    const PACKED: DType = DType::I32;

    fn packed_shape(at: &Matrix) -> [usize; 2] {
        [at.rows, tensors::words_of_row(at.coding.format(), at.row_len)]
    }

    fn encode(x: CubeTensor<R>, at: &Matrix) -> Codes<Self> {
        let Matrix { rows, row_len, coding, .. } = *at;
        let how = (coding.rule(), coding.format());
        let codes = tensors::quantize(&x.client.clone(), &values(x.clone()), [rows, row_len], how);
        Codes {
            words: tensor(&x, &codes.words, &Self::packed_shape(at), Self::PACKED),
            scales: tensor(&x, &codes.scales, &[at.scales()], DType::F32),
        }
    }

    fn decode(codes: Codes<Self>, at: &Matrix) -> FloatTensor<Self> {
        let (like, dims) = (codes.words.clone(), [at.rows, at.row_len]);
        let values = tensors::dequantize(&like.client, &packed(codes, at), dims);
        tensor(&like, &values, &dims, DType::F32)
    }

    fn multiply(call: &Call, x: Codes<Self>, w: Codes<Self>) -> FloatTensor<Self> {
        let like = x.words.clone();
        let (x, w) = (packed(x, &call.input()), packed(w, &call.weight()));
        let y = tensors::forward(&like.client, &shape(call), [&x, &w], call.relu_threshold);
        tensor(&like, &y, &call.shape.output(), DType::F32)
    }

    fn gradients(
        call: &Call,
        [x, w]: [Codes<Self>; 2],
        g: FloatTensor<Self>,
        [input, weight]: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        let (like, shape, g) = (x.words.clone(), shape(call), values(g));
        let client = &like.client;
        let input = input.then(|| {
            let gradient = tensors::grad_input(client, &shape, &g, &packed(w, &call.weight()));
            tensor(&like, &gradient, &call.shape.input(), DType::F32)
        });
        let weight = weight.then(|| {
            let gradient = tensors::grad_weight(client, &shape, &packed(x, &call.input()), &g);
            tensor(&like, &gradient, &call.shape.weight(), DType::F32)
        });
        [input, weight]
    }
}

/// The codes of a matrix.
fn packed<R: CubeRuntime, F: FloatElement, I: IntElement, BT: BoolElement>(
    codes: Codes<CubeBackend<R, F, I, BT>>,
    at: &Matrix,
) -> tensors::Codes {
    let (words, scales) = (buffer(codes.words), buffer(codes.scales));
    tensors::Codes { words, scales, per_row: at.coding.is_per_token(), format: at.coding.format() }
}

impl<R: CubeRuntime, F: FloatElement, I: IntElement, BT: BoolElement> Project
    for CubeBackend<R, F, I, BT>
{
    fn project(call: &Call, x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        crate::plain::<Self>(call, x, w)
    }
}
