//! Named tensors to and from `.safetensors` files.
use lowbit_reference::op::exported::Input;
use lowbit_reference::op::{Outputs, Tensor};
use safetensors::tensor::{TensorView, View};
use safetensors::{Dtype, SafeTensors};
use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

/// A tensor as the file format sees it.
struct Stored<'a>(&'a Input);

fn bytes(values: &Tensor) -> Vec<u8> {
    match values {
        Tensor::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Tensor::I32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Tensor::I8(v) => v.iter().map(|x| x.cast_unsigned()).collect(),
        Tensor::U8(v) => v.clone(),
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        match self.0.values {
            Tensor::F32(_) => Dtype::F32,
            Tensor::I32(_) => Dtype::I32,
            Tensor::I8(_) => Dtype::I8,
            Tensor::U8(_) => Dtype::U8,
        }
    }
    fn shape(&self) -> &[usize] {
        &self.0.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        bytes(&self.0.values).into()
    }
    fn data_len(&self) -> usize {
        self.dtype().bitsize() / 8 * self.0.values.len()
    }
}

/// Write tensors with a text for each key of `metadata`.
pub fn write(path: &Path, inputs: &[Input], metadata: &[(&str, String)]) -> Result<(), String> {
    let tensors = inputs.iter().map(|input| (input.name, Stored(input)));
    let metadata: HashMap<_, _> =
        metadata.iter().map(|(key, text)| ((*key).to_owned(), text.clone())).collect();
    safetensors::serialize_to_file(tensors, Some(metadata), path)
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Every tensor of a file. Names are kept for the life of the process, as outputs want.
pub fn read(path: &Path) -> Result<Outputs, String> {
    let file = path.display();
    let data = std::fs::read(path).map_err(|e| format!("{file}: {e}"))?;
    let tensors = SafeTensors::deserialize(&data)
        .map_err(|e| format!("{file}: not a .safetensors file: {e}"))?;
    let mut all: Vec<(&'static str, Tensor)> = Vec::new();
    for (name, view) in tensors.iter() {
        let values = values(&view).ok_or_else(|| {
            format!("{file}: tensor {name} is {:?}; read are F32, I32, I8, U8", view.dtype())
        })?;
        all.push((name.to_owned().leak(), values));
    }
    all.sort_by_key(|(name, _)| *name);
    Ok(Outputs(all))
}

fn values(view: &TensorView<'_>) -> Option<Tensor> {
    let data = view.data();
    let four = || data.as_chunks::<4>().0.iter();
    Some(match view.dtype() {
        Dtype::F32 => Tensor::F32(four().map(|b| f32::from_le_bytes(*b)).collect()),
        Dtype::I32 => Tensor::I32(four().map(|b| i32::from_le_bytes(*b)).collect()),
        Dtype::I8 => Tensor::I8(data.iter().map(|b| b.cast_signed()).collect()),
        Dtype::U8 => Tensor::U8(data.to_vec()),
        _ => return None,
    })
}
