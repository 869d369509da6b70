//! Clocks of devices.
//!
//! * wgpu: timestamp queries around the launches, where the adapter has them. CubeCL 0.10 times the
//!   first pass of at most 32 launches; a row enqueues fewer.
//! * CUDA: CubeCL 0.10 has neither events nor a way to its streams, so a kernel of one thread
//!   before and one after read `%globaltimer`, whose steps are up to 1 us: `stamp.cu`. The first
//!   holds the device for [`QUEUED`], until all is queued, or the host's launching would be timed.
//!   The difference holds the starts of the launches and of the second stamp.
use super::failure;
use super::guarded;
use crate::Failure;
use cubecl::future::block_on;
use cubecl::prelude::*;
use cubecl::profile::TimingMethod;

/// Nanoseconds that launches have to be queued in: of a backward pass some ten, at up to 20 us each.
#[cfg(feature = "cuda")]
const QUEUED: u64 = 1_000_000;

/// Whether the device stamps the time of its launches.
pub(super) fn has_queries<R: Runtime>(client: &ComputeClient<R>) -> bool {
    client.properties().timing_method == TimingMethod::Device
}

/// Nanoseconds between two queries.
pub(super) fn queried<R: Runtime>(
    client: &ComputeClient<R>,
    enqueue: &(dyn Fn(&ComputeClient<R>) + Sync),
) -> Result<f64, Failure> {
    let ((), duration) = guarded("profile", || client.profile(|| enqueue(client), "row"))?
        .map_err(|e| failure("profile", e))?;
    let ticks = guarded("profile", || block_on(duration.resolve()))?;
    Ok(ticks.duration().as_secs_f64() * 1e9)
}

/// Nanoseconds between two stamps.
#[cfg(feature = "cuda")]
pub(super) fn stamped(
    client: &super::Client<cubecl::cuda::CudaRuntime>,
    enqueue: &(dyn Fn(&ComputeClient<cubecl::cuda::CudaRuntime>) + Sync),
) -> Result<f64, Failure> {
    let source = super::raw::Source::from(include_str!("stamp.cu").to_owned());
    let words = |wait: u64| -> Result<super::Words, Failure> {
        Ok(super::Words::of(client.upload(&wait.to_le_bytes())?, 2))
    };
    let (before, after) = (words(QUEUED)?, words(0)?);
    let stamp = |words: &super::Words| super::Raw {
        entry: "stamp",
        source: source.clone(),
        units: CubeDim::new_1d(1),
        buffers: vec![words.clone()],
        cubes: 1,
    };
    guarded("launch", || {
        stamp(&before).enqueue(client.launcher());
        enqueue(client.launcher());
        stamp(&after).enqueue(client.launcher());
    })?;
    let read = |words: super::Words| -> Result<u64, Failure> {
        let bytes = client.download(words.handle())?;
        let bytes: [u8; 8] = bytes[..].try_into().map_err(|_| Failure("no stamp".into()))?;
        Ok(u64::from_le_bytes(bytes))
    };
    let (before, after) = (read(before)?, read(after)?);
    match after.checked_sub(before) {
        Some(ns) if before > QUEUED => Ok(ns as f64),
        _ => Err(Failure(format!("stamps {before} and {after}"))),
    }
}
