//! Rows of `dequantize_blocks`: those of `blocks/dequantize.rs`, by instruction set.
use crate::Kernel;
use crate::blocks::dequantize::Row;
use crate::quantize::scalar::Scalar;
#[cfg(target_arch = "x86_64")]
use crate::quantize::{avx2::Avx2, avx512::Avx512};
use lowbit_reference::op::blocks::dequantize::DequantizeBlocks;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<DequantizeBlocks>] = &[
    &Row::<Scalar>::new(),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx2>::new(),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx512>::new(),
];
