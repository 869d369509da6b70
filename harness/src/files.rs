//! Tensors out of `.safetensors` files, memory-mapped.
use half::{bf16, f16};
use lowbit_reference::data::{Files, Matrix};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use std::fs::File;

/// The file system.
#[derive(Debug)]
pub struct Disk;

impl Files for Disk {
    fn matrix(&self, path: &str, tensor: &str) -> Result<Matrix, String> {
        let file = File::open(path)
            .map_err(|e| format!("{path}: {e} (paths are relative to the working directory)"))?;
        // SAFETY: the map is private and read once here; a file that another process truncates
        // meanwhile ends this worker by a signal, which the parent reports as a crash.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| format!("{path}: {e}"))?;
        let tensors = SafeTensors::deserialize(&map)
            .map_err(|e| format!("{path}: not a .safetensors file: {e}"))?;
        let view = tensors.tensor(tensor).map_err(|_| {
            let mut names = tensors.names();
            names.sort_unstable();
            let near = lowbit_reference::case::nearest(tensor, names.iter().copied());
            let near = near.map(|n| format!(" (did you mean `{n}`?)")).unwrap_or_default();
            format!("{path}: no tensor `{tensor}`{near}; tensors: {}", names.join(", "))
        })?;
        let [rows, columns] = match *view.shape() {
            [columns] => [1, columns],
            [rows, columns] => [rows, columns],
            _ => {
                return Err(format!(
                    "{path}: tensor {tensor} has shape {:?}, not a matrix",
                    view.shape()
                ));
            }
        };
        let values = floats(view.dtype(), view.data()).ok_or_else(|| {
            format!("{path}: tensor {tensor} is {:?}; read are F32, F16, BF16", view.dtype())
        })?;
        match values.iter().position(|v| !v.is_finite()) {
            Some(at) => Err(format!("{path}: tensor {tensor} holds {} at {at}", values[at])),
            None => Ok(Matrix { rows, columns, values }),
        }
    }
}

fn floats(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    let two = || data.as_chunks::<2>().0.iter();
    Some(match dtype {
        Dtype::F32 => data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        Dtype::F16 => two().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        Dtype::BF16 => two().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn written(dtype: Dtype, shape: Vec<usize>, data: &[u8]) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        let view = TensorView::new(dtype, shape, data).unwrap();
        safetensors::serialize_to_file([("weight", view)], None, &path).unwrap();
        (folder, path.to_string_lossy().into_owned())
    }

    #[test]
    fn f32_f16_and_bf16_read_the_same_values() {
        let values = [1.0f32, -2.5, 0.0, 0.15625];
        let bytes: [Vec<u8>; 3] = [
            values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
            values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
        ];
        for (dtype, bytes) in [Dtype::F32, Dtype::F16, Dtype::BF16].into_iter().zip(&bytes) {
            let (_folder, path) = written(dtype, vec![2, 2], bytes);
            let matrix = Disk.matrix(&path, "weight").unwrap();
            assert_eq!((matrix.rows, matrix.columns), (2, 2));
            assert_eq!(matrix.values, values, "{dtype:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (_folder, path) = written(Dtype::F32, vec![1, 1], &f32::NAN.to_le_bytes());
        assert!(Disk.matrix(&path, "weight").unwrap_err().contains("holds NaN at 0"));
        let typo = Disk.matrix(&path, "wieght").unwrap_err();
        assert!(typo.contains("did you mean `weight`?"), "{typo}");
        assert!(Disk.matrix("no/such/file", "w").unwrap_err().contains("working directory"));
        let (_folder, path) = written(Dtype::I8, vec![1, 1], &[1]);
        assert!(Disk.matrix(&path, "weight").unwrap_err().contains("read are F32, F16, BF16"));
    }
}
