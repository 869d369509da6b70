//! Forward values and gradients of both projections against the scalar reference and against Burn's
//! automatic differentiation of the fake-quantized floats, on every backend that is built.
mod oracle;
use burn::backend::Autodiff;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData, TensorPrimitive};
use burn_autodiff::checkpoint::strategy::BalancedCheckpointing;
use burn_ndarray::NdArray;
use lowbit_reference::codes::Levels;
use lowbit_reference::estimator::Estimator;
use lowbit_reference::op::linear::max_k;
use lowbit_reference::rule::{Granularity, Rule};
use lowbit_training::{Coding, LowBit, Matrix, Processor, Project, Projection, Saved};
use oracle::{Answers, Data, Example, compare, dequantized, expected};
use std::sync::Arc;

const SAVED: [Saved; 3] = [Saved::Values, Saved::Cache, Saved::CacheRecompute];

/// The projection of an example.
fn projection(example: &Example, codings: [Coding; 2], saved: Saved) -> Projection {
    let processor = Arc::new(Processor::new(2).unwrap());
    let projection = match example.latent {
        Some(latent) => Projection::lowrank(latent, codings, processor),
        None => Projection::decoder(codings, processor),
    };
    let projection = projection.with_saved(saved);
    match example.relu_threshold {
        Some(threshold) => projection.with_relu(threshold).unwrap(),
        None => projection,
    }
}

fn tensor<B: Backend, const D: usize>(
    values: &[f32],
    dims: &[usize],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values.to_vec(), dims.to_vec()), device)
}

fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().to_vec().unwrap()
}

/// Outputs and both gradients, by codes or by fake-quantized floats.
fn answers<B: AutodiffBackend + Project, const D: usize>(
    (example, data, projection): (&Example, &Data, &Projection),
    fake: bool,
    device: &B::Device,
) -> Answers {
    let x: Tensor<B, 4> = tensor(&data.x, &example.x, device).require_grad();
    let w: Tensor<B, D> = tensor(&data.w, &example.w, device).require_grad();
    let y = match fake {
        true => projection.fake(x.clone(), w.clone()),
        false => projection.forward(x.clone(), w.clone()),
    };
    let y = y.unwrap();
    let g: Tensor<B, 4> = tensor(&data.g, &y.dims(), device);
    let gradients = (y.clone() * g).sum().backward();
    Answers {
        y: values(y),
        input: values(x.grad(&gradients).unwrap()),
        weight: values(w.grad(&gradients).unwrap()),
    }
}

/// Where scales and sums are exact.
fn no_bound(want: &Answers) -> Answers {
    let zeros = |values: &[f32]| vec![0.0; values.len()];
    Answers { y: zeros(&want.y), input: zeros(&want.input), weight: zeros(&want.weight) }
}

/// Codes against the oracle and against fake-quantized floats; what is kept changes no bit.
fn check<B: AutodiffBackend + Project>(device: &B::Device, divides_exactly: bool) {
    for example in oracle::examples() {
        for codings in oracle::codings(&example) {
            let stops = codings.iter().any(|coding| coding.estimator() == Estimator::Clipped);
            let planted = if stops { Example::edged } else { Example::planted };
            let what = format!("{example:?} {codings:?}");
            let run = |data: &Data, saved, fake| {
                let projection = projection(&example, codings, saved);
                let given = (&example, data, &projection);
                match example.latent {
                    Some(_) => answers::<B, 3>(given, fake, device),
                    None => answers::<B, 2>(given, fake, device),
                }
            };
            let judged = |data: &Data, is_exact: bool| {
                let (want, mut bound) = expected(&example, codings, data);
                // Where a device divides within some ulp, scales are not exact.
                if is_exact && divides_exactly {
                    bound = no_bound(&want);
                }
                let cache = run(data, Saved::Cache, false);
                compare(&cache, &want, &bound).unwrap_or_else(|e| panic!("{what}: oracle: {e}"));
                let fake = run(data, Saved::Cache, true);
                compare(&fake, &want, &bound).unwrap_or_else(|e| panic!("{what}: fake: {e}"));
                cache
            };
            judged(&example.drawn(codings), false);
            let data = planted(&example, codings);
            let cache = judged(&data, oracle::is_exact(codings));
            for saved in [Saved::Values, Saved::CacheRecompute] {
                assert!(run(&data, saved, false) == cache, "{what}, {saved:?}: not the same bits");
            }
        }
    }
}

/// The values that codes stand for, under one scale and under one for each row: within forty roundings,
/// those of a mean on the device.
fn codes<B: LowBit>(device: &B::Device) {
    let processor = Arc::new(Processor::new(2).unwrap());
    for (rows, row_len) in [(7, 37), (1, 5), (33, 64)] {
        let all = oracle::of_tensors().into_iter().flatten();
        for coding in all.flat_map(|coding| [coding, coding.per_token()]) {
            let x = oracle::rows(rows * row_len, row_len);
            let at = Matrix { rows, row_len, coding, processor: Arc::clone(&processor) };
            let given: Tensor<B, 2> = tensor(&x, &[rows, row_len], device);
            let back = B::decode(B::encode(given.into_primitive().tensor(), &at), &at);
            let back: Vec<f32> =
                values(Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(back)));
            for (i, want) in dequantized(coding, &x, row_len).into_iter().enumerate() {
                let near = (back[i] - want).abs() <= 40.0 * f32::EPSILON * want.abs();
                assert!(near, "{coding:?} {rows} x {row_len}, {i}: {} for {want}", back[i]);
            }
        }
    }
}

#[test]
fn ndarray() {
    check::<Autodiff<NdArray>>(&Default::default(), true);
    codes::<NdArray>(&Default::default());
}

#[test]
fn a_doubled_gradient_is_seen() {
    let example = &oracle::examples()[0];
    let codings = oracle::of_tensors()[0];
    let data = example.drawn(codings);
    let (want, bound) = expected(example, codings, &data);
    assert_eq!(compare(&want, &want, &bound), Ok(()));
    let mut doubled = want.clone();
    doubled.weight.iter_mut().for_each(|value| *value *= 2.0);
    assert!(compare(&doubled, &want, &bound).is_err());
    // A relu whose gradient passes everywhere.
    let open = Example { relu_threshold: None, ..example.clone() };
    let (passed, _) = expected(&open, codings, &data);
    assert!(compare(&Answers { y: want.y.clone(), ..passed }, &want, &bound).is_err());
    // One scale for tokens that have their own.
    let [weight, activation] = codings;
    let (own, bound) = expected(example, [weight, activation.per_token()], &data);
    assert!(compare(&want, &own, &bound).is_err());
    assert!(compare(&Answers { y: own.y.clone(), ..want.clone() }, &own, &bound).is_err());
    // Gradients that pass beyond the clip edges, of either side.
    for clipped in [[weight.clipped(), activation], [weight, oracle::of_tensors()[1][1].clipped()]]
    {
        let data = example.edged(clipped);
        let (stopped, bound) = expected(example, clipped, &data);
        let through = clipped.map(|coding| Coding::new(coding.format(), *coding.rule()).unwrap());
        let (passed, _) = expected(example, through, &data);
        assert!(compare(&passed, &stopped, &bound).is_err(), "{clipped:?}");
    }
}

/// Layers used twice, inputs that lie otherwise, one side tracked: the bits of the plain case.
fn used_otherwise<B: AutodiffBackend + Project>(device: &B::Device) {
    let example = &oracle::examples()[1];
    let [weight, activation] = oracle::of_tensors()[0];
    let tokens = [weight, activation.per_token()];
    let all = [[weight, activation], tokens, tokens.map(Coding::clipped)];
    for (codings, saved) in all.iter().flat_map(|both| SAVED.map(|saved| (*both, saved))) {
        let data = example.drawn(codings);
        let projection = projection(example, codings, saved);
        let want = answers::<B, 3>((example, &data, &projection), false, device);
        let x: Tensor<B, 4> = tensor(&data.x, &example.x, device);
        let w: Tensor<B, 3> = tensor(&data.w, &example.w, device);
        let run = |x: &Tensor<B, 4>, w: &Tensor<B, 3>| {
            let y = projection.forward(x.clone(), w.clone()).unwrap();
            let g: Tensor<B, 4> = tensor(&data.g, &y.dims(), device);
            (y * g).sum()
        };
        let tracked = x.clone().require_grad();
        let gradient = tracked.grad(&run(&tracked, &w).backward()).unwrap();
        assert_eq!(values(gradient), want.input, "{saved:?}: input alone");
        let tracked = w.clone().require_grad();
        let gradient = tracked.grad(&run(&x, &tracked).backward()).unwrap();
        assert_eq!(values(gradient), want.weight, "{saved:?}: weight alone");
        // Twice the same, whose gradients are added.
        let loss = run(&x, &tracked) + run(&x, &tracked);
        let twice: Vec<f32> = want.weight.iter().map(|value| 2.0 * value).collect();
        assert_eq!(values(tracked.grad(&loss.backward()).unwrap()), twice, "{saved:?}: twice");
        // The input through an operation of Burn's, and seen through one that moves nothing.
        let turned = x.clone().swap_dims(2, 3).require_grad();
        let loss = run(&(turned.clone() * 1.0).swap_dims(2, 3), &w);
        let gradient = turned.grad(&loss.backward()).unwrap();
        let gradient = Tensor::<B::InnerBackend, 4>::swap_dims(gradient, 2, 3);
        assert_eq!(values(gradient), want.input, "{saved:?}: transposed");
    }
}

#[test]
fn one_side_alone_twice_and_transposed() {
    used_otherwise::<Autodiff<NdArray>>(&Default::default());
    used_otherwise::<Autodiff<NdArray, BalancedCheckpointing>>(&Default::default());
}

#[test]
fn sums_that_an_i32_does_not_hold_are_refused() {
    let codings = [("int8", "absmax"), ("int8", "absmax")];
    let [(w, w_rule), (x, x_rule)] = codings;
    let codings = [Coding::weight(w, w_rule).unwrap(), Coding::activation(x, x_rule).unwrap()];
    let layer = Projection::lowrank(1, codings, Processor::new(1).unwrap());
    let most = max_k(Levels::Int8, Levels::Int8);
    for (depth, fits) in [(most, true), (most + 1, false)] {
        assert_eq!(layer.saved_bytes([1, 1, 1, depth], &[1, depth, 1]).is_ok(), fits, "{depth}");
    }
    // The two codings the wrong way round.
    let [weight, activation] = oracle::of_tensors()[0];
    let layer = Projection::lowrank(1, [activation, weight], Processor::new(1).unwrap());
    let refused = layer.saved_bytes([1, 1, 1, 8], &[1, 8, 1]).unwrap_err().to_string();
    assert!(refused.contains("activation.format"), "{refused}");
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let codings = oracle::of_tensors()[0];
    let processor = Arc::new(Processor::new(1).unwrap());
    let device = Default::default();
    let zeros = |dims: [usize; 4]| Tensor::<NdArray, 4>::zeros(dims, &device);
    let layer = Projection::lowrank(4, codings, Arc::clone(&processor));
    let w = Tensor::<NdArray, 3>::zeros([2, 8, 4], &device);
    let refused = |x: [usize; 4]| layer.forward(zeros(x), w.clone()).unwrap_err().to_string();
    assert!(refused([1, 1, 3, 7]).contains("embd 7"), "{}", refused([1, 1, 3, 7]));
    assert!(refused([1, 3, 3, 8]).contains("input_heads"), "{}", refused([1, 3, 3, 8]));
    let flat = Tensor::<NdArray, 2>::zeros([8, 4], &device);
    assert!(layer.forward(zeros([1, 1, 3, 8]), flat).is_err());
    assert!(layer.clone().with_relu(f32::NAN).is_err());
    let decoder = Projection::decoder(codings, Arc::clone(&processor));
    let w = Tensor::<NdArray, 2>::zeros([9, 4], &device);
    assert!(decoder.forward(zeros([1, 2, 3, 4]), w).is_err());
    let grouped = Rule { granularity: Granularity::Group, ..*codings[1].rule() };
    let refused = Coding::new(codings[1].format(), grouped).unwrap_err().to_string();
    assert!(refused.contains("rule.granularity"), "{refused}");
    // Scales that a sum would mix.
    let [weight, activation] = codings;
    let decoder = Projection::decoder([weight, activation.per_token()], Arc::clone(&processor));
    let mixed = decoder.saved_bytes([1, 2, 3, 4], &[8, 4]).unwrap_err().to_string();
    assert!(mixed.contains("activation.rule.granularity"), "{mixed}");
    let layer = Projection::lowrank(4, [weight.per_token(), activation], Arc::clone(&processor));
    let mixed = layer.saved_bytes([1, 1, 3, 8], &[2, 8, 4]).unwrap_err().to_string();
    assert!(mixed.contains("weight.rule.granularity"), "{mixed}");
    // A scale for each of six tokens, of eight codes each; two heads of eight rows of ternary codes.
    let codings = [weight, activation.per_token()];
    let layer = Projection::lowrank(4, codings, Arc::clone(&processor));
    assert_eq!(layer.saved_bytes([2, 1, 3, 8], &[2, 8, 4]).unwrap(), 6 * (8 + 4) + (16 + 4));
    // And a bit a value, with a scale nobody needs: six rows of eight, sixteen of four.
    let layer = Projection::lowrank(4, codings.map(Coding::clipped), processor);
    let bits = (6 + 4) + (16 + 4);
    assert_eq!(layer.saved_bytes([2, 1, 3, 8], &[2, 8, 4]).unwrap(), 6 * (8 + 4) + (16 + 4) + bits);
    assert!(Coding::weight("nf4", "b158").is_err() && Coding::weight("int8", "b158").is_err());
    assert!(Coding::activation("uint8", "onnx").is_err());
}

/// Whether there is a device; the test says so where there is none.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn there<T>(found: &Result<T, String>) -> bool {
    found.as_ref().map_err(|why| println!("skipped: {why}")).is_ok()
}

/// Everything, on a device.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn on_device<B: Backend + LowBit>(device: &B::Device)
where
    Autodiff<B>: AutodiffBackend<InnerBackend = B, Device = B::Device> + Project,
{
    check::<Autodiff<B>>(device, false);
    used_otherwise::<Autodiff<B>>(device);
    codes::<B>(device);
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use super::{on_device, there};
    use burn_cubecl::CubeBackend;
    use burn_wgpu::{WgpuDevice, WgpuRuntime};
    use lowbit_kernels::hardware::Hardware;

    type Wgpu = CubeBackend<WgpuRuntime, f32, i32, u32>;

    #[test]
    fn cube_wgpu() {
        if there(&Hardware::detect().wgpu) {
            on_device::<Wgpu>(&WgpuDevice::DefaultDevice);
        }
    }

    #[cfg(feature = "fusion")]
    #[test]
    fn cube_wgpu_fused() {
        if there(&Hardware::detect().wgpu) {
            on_device::<burn_fusion::Fusion<Wgpu>>(&WgpuDevice::DefaultDevice);
        }
    }
}

/// The same on CUDA; compiled in CI, where there is no device.
#[cfg(feature = "cuda")]
mod cuda {
    use super::{on_device, there};
    use burn_cubecl::CubeBackend;
    use burn_cuda::CudaDevice;
    use cubecl::cuda::CudaRuntime;
    use lowbit_kernels::hardware::Hardware;

    type Cuda = CubeBackend<CudaRuntime, f32, i32, u8>;

    #[test]
    fn cube_cuda() {
        if there(&Hardware::detect().cuda) {
            on_device::<Cuda>(&CudaDevice::new(0));
        }
    }

    #[cfg(feature = "fusion")]
    #[test]
    fn cube_cuda_fused() {
        if there(&Hardware::detect().cuda) {
            on_device::<burn_fusion::Fusion<Cuda>>(&CudaDevice::new(0));
        }
    }
}
