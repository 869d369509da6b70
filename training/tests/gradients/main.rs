//! Forward values and gradients of both projections against the scalar reference and against Burn's
//! automatic differentiation of the fake-quantized floats, on every backend that is built.
mod oracle;
use burn::backend::Autodiff;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};
use burn_ndarray::NdArray;
use lowbit_training::{Coding, Processor, Project, Projection, Saved};
use oracle::{Answers, Data, Example, compare, expected};
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

/// Codes against the oracle and against fake-quantized floats; what is kept changes no bit.
fn check<B: AutodiffBackend + Project>(device: &B::Device) {
    for example in oracle::examples() {
        for codings in oracle::codings() {
            for data in [example.drawn(codings), example.planted(codings)] {
                let what = format!("{example:?} {codings:?}");
                let run = |saved, fake| {
                    let projection = projection(&example, codings, saved);
                    let given = (&example, &data, &projection);
                    match example.latent {
                        Some(_) => answers::<B, 3>(given, fake, device),
                        None => answers::<B, 2>(given, fake, device),
                    }
                };
                let (want, bound) = expected(&example, codings, &data);
                let [values, cache, again] = SAVED.map(|saved| run(saved, false));
                compare(&cache, &want, &bound).unwrap_or_else(|e| panic!("{what}: oracle: {e}"));
                let fake = run(Saved::Cache, true);
                compare(&fake, &want, &bound).unwrap_or_else(|e| panic!("{what}: fake: {e}"));
                assert!(values == cache && cache == again, "{what}: not the same bits");
            }
        }
    }
}

#[test]
fn ndarray() {
    check::<Autodiff<NdArray>>(&Default::default());
}

#[test]
fn a_doubled_gradient_is_seen() {
    let example = &oracle::examples()[0];
    let codings = oracle::codings()[0];
    let data = example.drawn(codings);
    let (want, bound) = expected(example, codings, &data);
    assert_eq!(compare(&want, &want, &bound), Ok(()));
    let mut doubled = want.clone();
    doubled.weight.iter_mut().for_each(|value| *value *= 2.0);
    assert!(compare(&doubled, &want, &bound).is_err());
    // A relu that passes what is at its threshold.
    let mut passed = want.clone();
    passed.input[0] += 1e-2 + 100.0 * bound.input[0];
    assert!(compare(&passed, &want, &bound).is_err());
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let codings = oracle::codings()[0];
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
    let decoder = Projection::decoder(codings, processor);
    let w = Tensor::<NdArray, 2>::zeros([9, 4], &device);
    assert!(decoder.forward(zeros([1, 2, 3, 4]), w).is_err());
    assert!(Coding::weight("nf4", "b158").is_err() && Coding::weight("int8", "b158").is_err());
    assert!(Coding::activation("uint8", "onnx").is_err());
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use super::check;
    use burn::backend::Autodiff;
    use burn_cubecl::CubeBackend;
    use burn_wgpu::{WgpuDevice, WgpuRuntime};
    use lowbit_kernels::hardware::Hardware;

    type Wgpu = CubeBackend<WgpuRuntime, f32, i32, u32>;

    /// Whether there is an adapter; the test says so where there is none.
    fn there() -> bool {
        let hardware = Hardware::detect();
        match &hardware.wgpu {
            Ok(_) => true,
            Err(why) => {
                println!("skipped: {why}");
                false
            }
        }
    }

    #[test]
    fn cube_wgpu() {
        if there() {
            check::<Autodiff<Wgpu>>(&WgpuDevice::DefaultDevice);
        }
    }

    #[cfg(feature = "fusion")]
    #[test]
    fn cube_wgpu_fused() {
        if there() {
            check::<Autodiff<burn_fusion::Fusion<Wgpu>>>(&WgpuDevice::DefaultDevice);
        }
    }
}
