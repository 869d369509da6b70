//! Rows of `quantize_int8`: those of every op that quantizes (`quantize/mod.rs`); a block is a group
//! that belongs to no row.
use crate::Kernel;
use crate::quantize::Row;
use crate::quantize::scalar::Scalar;
#[cfg(target_arch = "x86_64")]
use crate::quantize::{avx2::Avx2, avx512::Avx512};
use lowbit_reference::op::int8_tensor::QuantizeInt8;

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<QuantizeInt8>] = &[
    &Row::<Scalar>::new(),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx2>::new(),
    #[cfg(target_arch = "x86_64")]
    &Row::<Avx512>::new(),
];
