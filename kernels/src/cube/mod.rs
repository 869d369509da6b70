//! What the rows on CubeCL share: a device, words on it, and its errors as sentences.
//!
//! A kernel is written once for every CubeCL runtime; a runtime is one [`Device`] implementation
//! and one line in each table. Six rules keep a broken row from looking right:
//!
//! * CubeCL 0.10 on wgpu reads stale data after a failed launch, and only `flush` and `sync`
//!   report it, once: everything here flushes before it reads.
//! * A kernel that panics while it is built does so on the device's thread, and then neither
//!   `flush` nor `sync` knows of it: the first launch waits on that thread and hears of it.
//! * A lost device panics in whoever calls next: calls go through [`guarded`], which makes that
//!   a [`Failure`].
//! * Memory on the device is reused and so may hold the last run's right answer: every buffer a
//!   kernel writes begins as the context's poison.
//! * Under the second of the two fillings every buffer begins at an offset in its memory, behind NaN.
//! * Kernels in CubeCL are launched with bounds checks, and every output ends in [`GUARD_WORDS`] of poison
//!   that `read` finds unchanged: a kernel writing just past its output is seen.
//!
//! All buffers hold 32-bit words (WGSL has no bytes), so an index is below 2^30 wherever a buffer
//! is below 4 GiB, and u32 arithmetic is enough.
mod client;
mod clock;
mod codes;
#[cfg(all(test, feature = "wgpu"))]
mod listing;
pub(crate) mod probe;
pub(crate) mod product;
pub(crate) mod quantize;
mod raw;
mod ready;
pub(crate) mod rule;
#[cfg(all(test, feature = "wgpu"))]
mod tests;
pub(crate) mod tile;
use crate::Failure;
use crate::context::{Context, Poison};
use crate::hardware::{Hardware, Need};
pub(crate) use client::Client;
pub(crate) use codes::{Packing, decode, dot4, field, four, sum4};
#[cfg(feature = "cuda")]
use cubecl::cuda::{CudaDevice, CudaRuntime};
use cubecl::prelude::*;
pub(crate) use cubecl::server::Handle;
#[cfg(feature = "wgpu")]
use cubecl::wgpu::{WgpuDevice, WgpuRuntime};
use lowbit_reference::op::{Outputs, Tensor};
pub(crate) use raw::Raw;
pub(crate) use ready::Ready;
#[cfg(feature = "gpu-peers")]
pub(crate) use ready::evict;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Words of poison behind every output.
const GUARD_WORDS: usize = 64;
/// Bytes before a buffer: every alignment that adapters have divides them.
const LEAD: u64 = 512;
/// Each of them: NaN as a float, and as a half.
const BEFORE: u8 = 0xff;
/// The bits that a forgotten output has.
const NAN: u32 = 0x7fff_ffff;
/// What every adapter binds (the default limit of WebGPU), in bytes.
const BINDABLE: u64 = 128 << 20;
/// Most cubes along one dimension, on every adapter.
const MAX_CUBES: usize = 65_535;

/// A runtime that rows run on.
pub(crate) trait Device: Runtime {
    /// Name of the rows.
    const NAME: &'static str;
    /// What the machine must have.
    const NEED: Need;
    /// The client of the default device. CubeCL keeps one per device, so this is cheap but for
    /// the first call; without a device it would panic, which `hardware` rules out.
    fn client_on(hardware: &Hardware) -> Result<ComputeClient<Self>, Failure>;
    /// Whether it has a clock of its own.
    fn has_clock(client: &ComputeClient<Self>) -> bool;
    /// Nanoseconds by it between the launches before `enqueue` and the end of those within.
    fn timed(
        client: &Client<Self>,
        enqueue: &(dyn Fn(&ComputeClient<Self>) + Sync),
    ) -> Result<f64, Failure>;
    /// Whether its caches are others than those of the host.
    fn has_caches(hardware: &Hardware) -> bool;
}

#[cfg(feature = "wgpu")]
impl Device for WgpuRuntime {
    const NAME: &'static str = "cube-wgpu";
    const NEED: Need = Need::Wgpu;
    fn client_on(hardware: &Hardware) -> Result<ComputeClient<Self>, Failure> {
        hardware.wgpu.as_ref().map_err(|why| Failure(why.clone()))?;
        guarded("start", || WgpuRuntime::client(&WgpuDevice::DefaultDevice))
    }
    fn has_clock(client: &ComputeClient<Self>) -> bool {
        clock::has_queries(client)
    }
    fn timed(
        client: &Client<Self>,
        enqueue: &(dyn Fn(&ComputeClient<Self>) + Sync),
    ) -> Result<f64, Failure> {
        clock::queried(client.launcher(), enqueue)
    }
    fn has_caches(hardware: &Hardware) -> bool {
        hardware.wgpu.as_ref().is_ok_and(|adapter| !adapter.software)
    }
}

#[cfg(feature = "cuda")]
impl Device for CudaRuntime {
    const NAME: &'static str = "cube-cuda";
    const NEED: Need = Need::Cuda;
    fn client_on(hardware: &Hardware) -> Result<ComputeClient<Self>, Failure> {
        hardware.cuda.as_ref().map_err(|why| Failure(why.clone()))?;
        guarded("start", || CudaRuntime::client(&CudaDevice::new(0)))
    }
    fn has_clock(_: &ComputeClient<Self>) -> bool {
        true
    }
    fn timed(
        client: &Client<Self>,
        enqueue: &(dyn Fn(&ComputeClient<Self>) + Sync),
    ) -> Result<f64, Failure> {
        clock::stamped(client, enqueue)
    }
    fn has_caches(_: &Hardware) -> bool {
        true
    }
}

/// The rows of a runtime: one type, a row of every op's table.
#[derive(Debug)]
pub(crate) struct Cube<R>(PhantomData<fn() -> R>);

/// The rows `cube-wgpu`.
#[cfg(feature = "wgpu")]
pub(crate) static WGPU: Cube<WgpuRuntime> = Cube(PhantomData);
/// The rows `cube-cuda`.
#[cfg(feature = "cuda")]
pub(crate) static CUDA: Cube<CudaRuntime> = Cube(PhantomData);

impl<R: Device> Cube<R> {
    /// Whether a buffer of that many bytes can be bound; the error is the reason. Only a large
    /// one costs a look at the device.
    pub(crate) fn binds(&self, bytes: usize) -> Result<(), String> {
        let bytes = bytes as u64 + 4 * GUARD_WORDS as u64 + LEAD;
        let hardware = if bytes <= BINDABLE { return Ok(()) } else { Hardware::detect() };
        // Without a device nothing is refused: the harness says that there is none.
        let Ok(client) = R::client_on(&hardware) else { return Ok(()) };
        let most = client.properties().memory.max_page_size.min(u64::from(u32::MAX));
        match bytes <= most {
            true => Ok(()),
            false => Err(format!("needs a buffer of {bytes} bytes, the device binds {most}")),
        }
    }
}

/// Runs a call into CubeCL; its panic (a lost device) becomes a failure.
pub(crate) fn guarded<T>(step: &str, call: impl FnOnce() -> T) -> Result<T, Failure> {
    let lost = |_| Failure(format!("{step}: CubeCL panicked, the device is lost for this process"));
    catch_unwind(AssertUnwindSafe(call)).map_err(lost)
}

/// The informative lines of an error of CubeCL, without its backtrace.
fn failure(step: &str, error: impl std::fmt::Display) -> Failure {
    let text = error.to_string();
    let text = text.split("Backtrace:").next().unwrap_or_default();
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    Failure(format!("{step}: {}", text.chars().take(400).collect::<String>()))
}

/// Words on the device.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    handle: Handle,
    /// How many there are, the guard of an output included.
    len: usize,
}

impl Words {
    /// `len` words of a buffer of somebody else's, which is no shorter.
    pub(crate) fn of(handle: Handle, len: usize) -> Words {
        Words { handle, len }
    }

    /// Words to be written, with nothing in them yet.
    pub(crate) fn empty<R: Runtime>(client: &ComputeClient<R>, len: usize) -> Words {
        Words { handle: client.empty(4 * len.max(1)), len: len.max(1) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The buffer.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The buffer as an argument of a kernel: an array of u32, i32 or f32.
    pub(crate) fn arg<R: Runtime>(&self) -> ArrayArg<R> {
        // SAFETY: the handle has at least `len` words of four bytes, and so is every element.
        unsafe { ArrayArg::from_raw_parts(self.handle.clone(), self.len) }
    }

    /// The same as vectors of `width` words, which divides how many there are.
    pub(crate) fn vectors<R: Runtime>(&self, width: usize) -> ArrayArg<R> {
        // SAFETY: as above; a vector is `width` words.
        unsafe { ArrayArg::from_raw_parts(self.handle.clone(), self.len / width) }
    }
}

/// Words a kernel writes: poison at first, then a guard of poison.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    words: Words,
    label: &'static str,
    guard: Vec<u8>,
}

impl Output {
    /// Words to be written with nothing in them, and a guard that nobody reads.
    pub(crate) fn empty<R: Runtime>(client: &ComputeClient<R>, len: usize) -> Output {
        let words = Words::empty(client, len + GUARD_WORDS);
        Output { words, label: "y", guard: Vec::new() }
    }

    /// The same as what another kernel reads.
    pub(crate) fn words(&self) -> Words {
        Words { handle: self.words.handle.clone(), len: self.words.len - GUARD_WORDS }
    }

    /// All of it, for a kernel in the language of the device.
    pub(crate) fn words_and_guard(&self) -> Words {
        self.words.clone()
    }

    /// Enqueue zeros: what a sum of nothing is.
    pub(crate) fn clear<R: Runtime>(&self, client: &ComputeClient<R>) {
        set(client, &self.words, 0);
    }

    /// See [`Words::arg`].
    pub(crate) fn arg<R: Runtime>(&self) -> ArrayArg<R> {
        self.words.arg()
    }
}

/// A client, and the words made through it.
pub(crate) struct Session<R: Runtime> {
    client: Client<R>,
    /// What kernels write, to be overwritten between launches.
    outputs: Vec<Words>,
    /// Whether the device has caches of its own.
    caches: bool,
    /// Bytes that lie before every buffer in the memory it is a part of.
    lead: usize,
}

impl<R: Device> Session<R> {
    /// A session on the device of the context.
    pub(crate) fn open(context: &Context) -> Result<Session<R>, Failure> {
        let (client, caches) = (Client::open(context)?, R::has_caches(context.hardware()));
        let alignment = client.launcher().properties().memory.alignment;
        let lead = match context.poison() {
            Poison::Ones => 0,
            Poison::Sevens => LEAD.next_multiple_of(alignment.max(1)) as usize,
        };
        Ok(Session { client, outputs: Vec::new(), caches, lead })
    }

    /// A copy of `values` on the device, where no buffer is empty. Under the second filling it begins
    /// behind bytes of NaN, so that a kernel that takes the start of the memory for that of its buffer answers
    /// wrongly.
    pub(crate) fn upload<T: CubeElement>(&self, values: &[T]) -> Result<Words, Failure> {
        let bytes = if values.is_empty() { &[0; 4] } else { T::as_bytes(values) };
        let handle = match self.lead {
            0 => self.client.upload(bytes)?,
            lead => {
                let behind = [&vec![BEFORE; lead], bytes].concat();
                self.client.upload(&behind)?.offset_start(lead as u64)
            }
        };
        Ok(Words { handle, len: values.len().max(1) })
    }

    /// `words` words to be written by a kernel, full of the context's poison.
    pub(crate) fn output(
        &mut self,
        context: &mut Context,
        label: &'static str,
        words: usize,
    ) -> Result<Output, Failure> {
        let poison = context.buffer::<u32>(label, words + GUARD_WORDS);
        let guard = u32::as_bytes(&poison[words..]).to_vec();
        let words = self.upload(&poison)?;
        self.outputs.push(words.clone());
        Ok(Output { words, label, guard })
    }

    /// Fill every output, but not its guard, with the bits of a NaN.
    fn forget(&self) -> Result<(), Failure> {
        for words in &self.outputs {
            guarded("forget", || set(self.client.launcher(), words, NAN))?;
        }
        self.client.sync()
    }

    /// The words of an output, once the launches before it are known to have worked and what lies
    /// before and behind it to be whole.
    pub(crate) fn read<T: CubeElement>(&self, output: &Output) -> Result<Vec<T>, Failure> {
        let mut whole = output.words.handle.clone();
        let lead = whole.offset_start.take().unwrap_or(0) as usize;
        let all = self.client.download(whole)?;
        if all.len() < lead + output.guard.len() {
            let (label, len) = (output.label, all.len());
            return Err(Failure(format!("{len} bytes of device buffer `{label}` came back")));
        }
        let (before, bytes) = all.split_at(lead);
        if before.iter().any(|byte| *byte != BEFORE) {
            let label = output.label;
            return Err(Failure(format!("wrote before the beginning of device buffer `{label}`")));
        }
        match bytes.split_at(bytes.len() - output.guard.len()) {
            (payload, guard) if guard == output.guard => Ok(T::from_bytes(payload).to_vec()),
            _ => Err(Failure(format!("wrote past the end of device buffer `{}`", output.label))),
        }
    }
}

/// Reads one output of floats.
pub(crate) fn floats<R: Device>(
    name: &'static str,
    output: Output,
) -> impl Fn(&Session<R>) -> Result<Outputs, Failure> {
    move |session| Ok(Outputs(vec![(name, Tensor::F32(session.read(&output)?))]))
}

/// Sets the first `len` words.
#[cube(launch)]
fn fill(out: &mut Array<u32>, len: u32, bits: u32) {
    if ABSOLUTE_POS < len as usize {
        out[ABSOLUTE_POS] = bits;
    }
}

/// Set all words of an output, but not its guard.
fn set<R: Runtime>(client: &ComputeClient<R>, words: &Words, bits: u32) {
    let len = words.len - GUARD_WORDS;
    let (cubes, dim) = (spread(len.div_ceil(256)), CubeDim::new_1d(256));
    fill::launch::<R>(client, cubes, dim, words.arg(), word(len), bits);
}

/// At least `cubes` cubes, in two dimensions where one is too short for them. A kernel numbers
/// them by `CUBE_POS` and must leave those beyond the last idle.
pub(crate) fn spread(cubes: usize) -> CubeCount {
    let rows = cubes.div_ceil(MAX_CUBES).max(1);
    CubeCount::Static(word(cubes.div_ceil(rows).max(1)), word(rows), 1)
}

/// A length as the device counts; `binds` keeps it in range.
pub(crate) fn word(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// 1 where each has a scale, 0 where all share one: what a place is multiplied by.
pub(crate) fn step(scales: &[f32]) -> u32 {
    u32::from(scales.len() > 1)
}

/// The largest of 4, 2 and 1 words that divides both lengths: a vector.
pub(crate) fn vector(lengths: [u32; 2]) -> usize {
    let fits = |width: &u32| lengths.iter().all(|len| len % width == 0);
    [4, 2].into_iter().find(fits).unwrap_or(1) as usize
}

/// Rows of `row` bytes as little-endian words, each row padded with zeros to `words` words.
pub(crate) fn padded(bytes: &[u8], row: usize, words: usize) -> Vec<u32> {
    filled(bytes, row, words, 0)
}

/// The same, padded with bytes of `fill`.
pub(crate) fn filled(bytes: &[u8], row: usize, words: usize, fill: u8) -> Vec<u32> {
    let fill_word = u32::from_le_bytes([fill; 4]);
    let mut out = Vec::with_capacity(bytes.len().div_ceil(row.max(1)) * words);
    for row in bytes.chunks(row.max(1)) {
        let from = out.len();
        out.extend(row.chunks(4).map(|four| {
            u32::from_le_bytes(std::array::from_fn(|i| four.get(i).copied().unwrap_or(fill)))
        }));
        out.resize(from + words, fill_word);
    }
    out
}
