//! Native kernels. Every row is one file and one line in its op's table.
//!
//! Rows take problems and types from the reference crate, never its arithmetic or its packing.
//! No row falls back to another: a row that cannot run says why.
pub mod attention;
pub mod awq_search;
mod blocks;
pub mod buffer;
#[cfg(feature = "burn")]
mod burn_quantize;
mod codes;
pub mod compiled;
pub mod context;
pub mod conv2d;
#[cfg(feature = "cube")]
mod cube;
pub mod decoder_tail;
pub mod dequantize;
pub mod dequantize_blocks;
pub mod dequantize_int8;
pub mod dequantize_nf4;
pub mod fake_quantize;
#[cfg(feature = "burn")]
pub mod fake_tensors;
pub mod hadamard;
pub mod hardware;
pub mod linear;
pub mod lowrank_projection;
mod nf4;
pub mod pack;
pub mod pack_linear;
mod plane;
pub mod pool;
pub mod pool2d;
pub mod probe;
mod projection;
mod quantize;
pub mod quantize_activation;
pub mod quantize_blocks;
pub mod quantize_int8;
pub mod quantize_nf4;
pub mod quantize_weight;
mod rho_codec;
pub mod rho_decode;
pub mod rho_drift;
pub mod rho_encode;
pub mod rho_pack;
pub mod rho_unpack;
#[cfg(any(feature = "burn", feature = "peers", feature = "cube"))]
mod rules;
#[cfg(feature = "cube")]
pub mod tensors;
pub mod top_k;
pub mod unpack;
use context::Context;
use hardware::Need;
use lowbit_reference::op::{Arithmetic, Op, Outputs};

/// Something went wrong while a row prepared or ran; a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure(text)
    }
}

/// How many threads a row uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Those of the context's pool: results do not depend on how many.
    Pool,
    /// One, whatever it is given; such a row is timed once, not per thread count.
    One,
    /// A pool or a device of its own, out of our control.
    Own,
}

/// What of a row's answer has the same bits whatever else changes. Declared by the row, verified by
/// `lowbit check`: a row that declares too much fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Determinism {
    /// Run after run: the same buffers again, and new ones of any content.
    pub runs: bool,
    /// On any number of threads.
    pub threads: bool,
    /// For a token or an image, however many others are in the batch. Where a scale spans the
    /// batch nothing is declared.
    pub batch: bool,
    /// On any machine: the bits are the reference's, the signs of zeros included.
    pub backend: bool,
}

impl Determinism {
    /// Sums split by tiles and never by thread, each in one order that the size of the batch does
    /// not decide.
    pub const NATIVE: Determinism =
        Determinism { runs: true, threads: true, batch: true, backend: false };
    /// As native, and no rounding that could be done another way: codes, bits and single products.
    pub const EXACT: Determinism = Determinism { backend: true, ..Determinism::NATIVE };
    /// As native, but other tiles for other batches, and so other orders of summation.
    pub const TILED: Determinism = Determinism { batch: false, ..Determinism::NATIVE };
    /// The same run again, and nothing else: threads and tiles are somebody else's.
    pub const REPEATABLE: Determinism = Determinism { threads: false, ..Determinism::TILED };
}

/// What is declared, for people: `runs, threads, batch`.
impl std::fmt::Display for Determinism {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Determinism { runs, threads, batch, backend } = *self;
        let all = [("runs", runs), ("threads", threads), ("batch", batch), ("backend", backend)];
        let declared: Vec<&str> = all.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
        f.write_str(if declared.is_empty() { "nothing" } else { "" })?;
        f.write_str(&declared.join(", "))
    }
}

/// One implementation of one operation.
pub trait Kernel<O: Op>: Sync {
    /// Short and unique in its op's table.
    fn name(&self) -> &'static str;
    /// The hardware it needs.
    fn need(&self) -> Need {
        Need::Nothing
    }
    /// Whether it is somebody else's, beside ours for comparison. Only then may it accept none of a
    /// suite's problems.
    fn is_peer(&self) -> bool {
        false
    }
    /// How it uses threads.
    fn threads(&self) -> Threads {
        Threads::Pool
    }
    /// What of its answer has the same bits whatever else changes. By default all but the bits of
    /// other machines, and of a row with threads of its own no more than those of the same run.
    fn determinism(&self) -> Determinism {
        match self.threads() {
            Threads::Own => Determinism::REPEATABLE,
            Threads::Pool | Threads::One => Determinism::NATIVE,
        }
    }
    /// How it computes this problem; the tolerance follows from it.
    fn arithmetic(&self, problem: &O::Problem) -> Arithmetic;
    /// Whether the problem is within the row's contract; the error says what is outside it.
    fn accepts(&self, problem: &O::Problem) -> Result<(), String>;
    /// Everything done once: repack, upload, compile. Never timed. Called only when the hardware
    /// is there and the problem is accepted.
    fn prepare<'p>(
        &self,
        problem: &'p O::Problem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure>;
}

/// A row bound to its problem, ready to run any number of times.
pub trait Prepared {
    /// Start one execution. May return before the device is done.
    fn launch(&mut self) -> Result<(), Failure>;
    /// Wait for everything launched. The default suits the CPU.
    fn sync(&mut self) -> Result<(), Failure> {
        Ok(())
    }
    /// Overwrite or drop the outputs, untimed, so that a launch that does nothing cannot pass for
    /// one that worked: what `read` then answers is not an earlier launch's, which a check verifies.
    fn forget(&mut self) -> Result<(), Failure>;
    /// Copy the outputs of the last launch to the host.
    fn read(&mut self) -> Result<Outputs, Failure>;
    /// Whether a launch changes its inputs, so that `reset` must come before every one.
    fn in_place(&self) -> bool {
        false
    }
    /// Return to the prepared state; untimed. For ops that change their inputs in place.
    fn reset(&mut self) -> Result<(), Failure> {
        Ok(())
    }
    /// Whether a device's own clock can time a launch.
    fn device_clock(&self) -> bool {
        false
    }
    /// Launch once more and wait: nanoseconds by the device's own clock.
    fn device_time(&mut self) -> Result<f64, Failure> {
        Err(Failure("no device clock".into()))
    }
    /// Whether `evict` empties the caches of a device. Those of the host are for whoever times.
    fn device_caches(&self) -> bool {
        false
    }
    /// Empty the caches of the device, untimed.
    fn evict(&mut self) -> Result<(), Failure> {
        Err(Failure("no device caches".into()))
    }
    /// How many copies between host and device there were so far; a launch may make none.
    fn host_copies(&self) -> u64 {
        0
    }
    /// Device memory in use, where there is a device.
    fn device_bytes(&self) -> Option<u64> {
        None
    }
}
