//! Probes of what a device can do, launched and timed as rows are.
use super::Stream;
use crate::context::Context;
use crate::hardware::Need;
use crate::{Failure, Prepared};

/// Bytes that a unit of a device moves at once.
const VECTOR: usize = 16;
/// Vectors that a unit reads before it asks for more.
pub(crate) const AHEAD: usize = 4;
/// Chains of dependent operations of a unit that computes.
pub(crate) const CHAINS: u32 = 8;
/// Multiply-adds of a chain between two looks at the end of the loop.
pub(crate) const FMA_STEPS: u32 = 8;
/// Cubes, and units of each.
pub(crate) const UNITS: (u32, u32) = (2048, 256);
/// Products of an `mma.sync` of 16 x 32 and 32 x 8 bytes, of which 32 units make one together.
const MMA: u64 = 16 * 32 * 8;

/// What a probe does once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceProbe {
    /// Read so many bytes.
    Read(usize),
    /// Read and write so many bytes together.
    Stream(Stream, usize),
    /// Multiply and add 8-bit codes, so many times four in each chain, as kernels in CubeCL do it.
    Dot(u32),
    /// The same with what the language of the device has for it: `dot4I8Packed` of WGSL; on tensor
    /// cores `mma.sync` of CUDA.
    DotBuiltIn(u32),
    /// So many times eight f32 fused multiply-adds in each chain.
    Fma(u32),
}

impl DeviceProbe {
    /// Bytes moved, or operations done, two a multiply-accumulate, on a device of such a need.
    pub fn amount(self, need: Need) -> u64 {
        let units = u64::from(UNITS.0) * u64::from(UNITS.1);
        let chains = units * u64::from(CHAINS);
        match self {
            DeviceProbe::Read(_) => (self.vectors().0 * VECTOR) as u64,
            DeviceProbe::Stream(..) => {
                let (read, written) = self.vectors();
                ((read + written) * VECTOR) as u64
            }
            DeviceProbe::DotBuiltIn(times) if need != Need::Wgpu => {
                chains / 32 * u64::from(times) * 2 * MMA
            }
            DeviceProbe::Dot(times) | DeviceProbe::DotBuiltIn(times) => {
                chains * u64::from(times) * 8
            }
            DeviceProbe::Fma(times) => chains * u64::from(times * FMA_STEPS) * 2,
        }
    }

    /// Vectors read and written: whole steps within the bytes asked for.
    pub(crate) fn vectors(self) -> (usize, usize) {
        match self {
            DeviceProbe::Read(bytes) => (bytes / VECTOR / AHEAD * AHEAD, 0),
            DeviceProbe::Stream(stream, bytes) => {
                let (reads, writes) = stream.lines();
                let steps = bytes / VECTOR / (reads + writes);
                (steps * reads, steps * writes)
            }
            _ => (0, 0),
        }
    }

    /// Ready to be launched on the device that rows of such a need run on.
    pub fn prepare(self, need: Need, context: &mut Context) -> Result<Box<dyn Prepared>, Failure> {
        match need {
            #[cfg(feature = "wgpu")]
            Need::Wgpu => crate::cube::probe::on_wgpu(self, context),
            #[cfg(feature = "cuda")]
            Need::Cuda | Need::CudaAmpere => crate::cube::probe::on_cuda(self, context),
            _ => {
                let _ = context;
                Err(Failure("no such device".into()))
            }
        }
    }
}
