//! An exported case as the kernels take it, and the kernels.
use crate::Answer;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use burn_dragon_kernel::api::low_bit as kernels;
use burn_dragon_kernel::api::low_bit::{
    try_cube_fused_packed_decoder_tail_wgpu, try_cube_fused_packed_lowrank_projection_wgpu,
    try_fused_packed_decoder_tail_grad_input, try_fused_packed_decoder_tail_grad_weight,
    try_fused_packed_lowrank_grad_input, try_fused_packed_lowrank_grad_weight,
};
#[cfg(feature = "cuda")]
use burn_dragon_kernel::api::low_bit::{
    try_fused_packed_decoder_tail, try_fused_packed_lowrank_projection,
};
use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;
use std::path::Path;

/// What is computed.
enum Kind<B: Backend> {
    /// Weight `[heads, embd, packed latent]`.
    Lowrank(Tensor<B, 3, Int>),
    /// Weight `[latent total, dim]`.
    Decoder(Tensor<B, 2, Int>),
}

/// The operands of a case.
pub struct Problem<B: Backend> {
    kind: Kind<B>,
    /// Codes of the input and their scale; for a processor codes times scale.
    codes: Option<(Tensor<B, 4, Int>, f32)>,
    values: Tensor<B, 4>,
    weight_scale: f32,
    grad_output: Option<Tensor<B, 4>>,
    /// Latents of the answer, or of the input of a decoder tail.
    latent: usize,
}

/// The tensors of a file by name, as their values.
struct Tensors<'a>(SafeTensors<'a>);

impl Tensors<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }
    fn shape(&self, name: &str) -> Answer<Vec<usize>> {
        Ok(self.0.tensor(name)?.shape().to_vec())
    }
    fn floats(&self, name: &str) -> Answer<Vec<f32>> {
        let view = self.0.tensor(name)?;
        Ok(view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
    fn codes(&self, name: &str) -> Answer<Vec<i32>> {
        let view = self.0.tensor(name)?;
        match view.dtype() {
            Dtype::I8 => Ok(view.data().iter().map(|b| i32::from(b.cast_signed())).collect()),
            _ => Err(format!("{name} must be signed codes").into()),
        }
    }
    fn one(&self, name: &str) -> Answer<f32> {
        match *self.floats(name)? {
            [scale] => Ok(scale),
            _ => Err(format!("{name}: there must be one").into()),
        }
    }
}

fn tensor<B: Backend, const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

fn integers<B: Backend, const D: usize>(codes: Vec<i32>, shape: [usize; D]) -> Tensor<B, D, Int> {
    Tensor::from_data(TensorData::new(codes, shape), &Default::default())
}

fn dims<const D: usize>(shape: &[usize]) -> Answer<[usize; D]> {
    <[usize; D]>::try_from(shape).map_err(|_| format!("{shape:?}: must have {D} sizes").into())
}

impl<B: Backend> Problem<B> {
    /// The case of a folder.
    pub fn read(folder: &Path) -> Answer<Problem<B>> {
        let data = std::fs::read(folder.join("inputs.safetensors"))?;
        let tensors = Tensors(SafeTensors::deserialize(&data)?);
        let case: Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("case.json"))?)?;
        if !tensors.has("weight_codes") {
            return Err("weights are no codes".into());
        }
        match case["op"].as_str() {
            Some("linear") => Problem::linear(&tensors),
            Some("lowrank_projection" | "decoder_tail") => {
                Problem::projection(&tensors, &case["parameters"])
            }
            _ => Err("takes linear, lowrank_projection and decoder_tail".into()),
        }
    }

    /// `linear` as a projection of one head and a batch of one.
    fn linear(t: &Tensors) -> Answer<Problem<B>> {
        let ([n, k], [m, _]) =
            (dims(&t.shape("weight_codes")?)?, dims(&t.shape("activation_f32")?)?);
        let by_row = t.codes("weight_codes")?;
        let weight = (0..k * n).map(|at| by_row[at % n * k + at / n]).collect();
        let mut values = t.floats("activation_f32")?;
        let mut codes = None;
        if t.has("activation_codes") {
            let (all, scales) = (t.codes("activation_codes")?, t.floats("activation_scales")?);
            let scale = |i: usize| scales[if scales.len() == 1 { 0 } else { i / k }];
            values = all.iter().enumerate().map(|(i, code)| *code as f32 * scale(i)).collect();
            if let [scale] = scales[..] {
                codes = Some((integers(all, [1, 1, m, k]), scale));
            }
        }
        Ok(Problem {
            kind: Kind::Lowrank(integers(weight, [1, k, n])),
            codes,
            values: tensor(values, [1, 1, m, k]),
            weight_scale: t.one("weight_scales")?,
            grad_output: None,
            latent: n,
        })
    }

    fn projection(t: &Tensors, parameters: &Value) -> Answer<Problem<B>> {
        if parameters["relu"] != "none" {
            return Err("takes no relu".into());
        }
        let number = |key: &str| parameters[key].as_str().and_then(|n| n.parse::<usize>().ok());
        let latent = number("latent").ok_or("no latent")?;
        let x = dims::<4>(&t.shape("input_f32")?)?;
        let (weight, w) = (t.codes("weight_codes")?, t.shape("weight_codes")?);
        let kind = match w.len() {
            3 => Kind::Lowrank(integers(weight, dims(&w)?)),
            _ => Kind::Decoder(integers(weight, dims(&w)?)),
        };
        let mut values = t.floats("input_f32")?;
        let mut codes = None;
        if t.has("input_codes") {
            let (all, scale) = (t.codes("input_codes")?, t.one("input_scales")?);
            values = all.iter().map(|code| *code as f32 * scale).collect();
            codes = Some((integers(all, x), scale));
        }
        let mut grad_output = None;
        if t.has("grad_output") {
            grad_output = Some(tensor(t.floats("grad_output")?, dims(&t.shape("grad_output")?)?));
        }
        let (values, weight_scale) = (tensor(values, x), t.one("weight_scales")?);
        Ok(Problem { kind, codes, values, weight_scale, grad_output, latent })
    }

    /// What the source has for a processor: codes turned into floats and scaled, then Burn's product.
    pub fn reference(&self) -> Answer<Outputs<B>> {
        let (x, scale) = (self.values.clone(), self.weight_scale);
        if self.grad_output.is_some() {
            return Err("answers gradients on a device alone".into());
        }
        let y = match &self.kind {
            Kind::Lowrank(w) => kernels::packed_lowrank_projection_device_reference(
                x,
                w.clone(),
                scale,
                self.latent,
            ),
            Kind::Decoder(w) => kernels::packed_decoder_tail_device_reference(x, w.clone(), scale),
        };
        Ok(vec![("y", y.reshape([-1]))])
    }

    /// Its kernels on a device, from codes alone, as its own entry points choose them.
    #[cfg(feature = "cuda")]
    pub fn fused(&self) -> Answer<Outputs<B>>
    where
        B::IntTensorPrimitive: 'static,
        B::FloatTensorPrimitive: 'static,
    {
        self.on_device(|x, kind, [x_scale, scale], latent| match kind {
            Kind::Lowrank(w) => try_fused_packed_lowrank_projection(x, w, x_scale, scale, latent),
            Kind::Decoder(w) => try_fused_packed_decoder_tail(x, w, x_scale, scale),
        })
    }

    /// The same on wgpu, forward by its kernels in CubeCL: what its entry points choose there is a shader
    /// with `enable packed_4x8_integer_dot_product`, which wgpu refuses.
    pub fn fused_on_wgpu(&self) -> Answer<Outputs<B>>
    where
        B::IntTensorPrimitive: 'static,
        B::FloatTensorPrimitive: 'static,
    {
        self.on_device(|x, kind, [x_scale, scale], latent| match kind {
            Kind::Lowrank(w) => {
                try_cube_fused_packed_lowrank_projection_wgpu(x, w, x_scale, scale, latent)
            }
            Kind::Decoder(w) => try_cube_fused_packed_decoder_tail_wgpu(x, w, x_scale, scale),
        })
    }

    fn on_device(&self, forward: Forward<B>) -> Answer<Outputs<B>>
    where
        B::IntTensorPrimitive: 'static,
        B::FloatTensorPrimitive: 'static,
    {
        let (x, x_scale) = self.codes.as_ref().ok_or("takes int8 inputs of one scale")?;
        let (x_scale, scale, latent) = (*x_scale, self.weight_scale, self.latent);
        let none = "has no kernel for it on this device";
        let Some(grad) = &self.grad_output else {
            let y = forward(x, &self.kind, [x_scale, scale], latent);
            return Ok(vec![("y", y.ok_or(none)?.reshape([-1]))]);
        };
        let [_, heads, ..] = x.dims();
        let (dx, dw) = match &self.kind {
            Kind::Lowrank(w) => (
                try_fused_packed_lowrank_grad_input(grad, w, scale, heads),
                try_fused_packed_lowrank_grad_weight(x, grad, x_scale).map(|dw| dw.reshape([-1])),
            ),
            Kind::Decoder(w) => (
                try_fused_packed_decoder_tail_grad_input(grad, w, scale, heads, latent),
                try_fused_packed_decoder_tail_grad_weight(x, grad, x_scale)
                    .map(|dw| dw.reshape([-1])),
            ),
        };
        let dx = dx.ok_or(none)?.reshape([-1]);
        Ok(vec![("grad_input", dx), ("grad_weight", dw.ok_or(none)?)])
    }
}

/// The pass forward: codes, weight, the scales of both, latents.
type Forward<B> = fn(&Tensor<B, 4, Int>, &Kind<B>, [f32; 2], usize) -> Option<Tensor<B, 4>>;

/// Values by name.
pub type Outputs<B> = Vec<(&'static str, Tensor<B, 1>)>;
