//! What a device can do: kernels that only read, only move or only compute.
//!
//! Neighbouring units touch neighbouring vectors of four words, and every answer depends on all that
//! was read or computed:
//!
//! * reading: the sum of all words, [`AHEAD`] vectors asked for at once, one sum a cube;
//! * moving: each vector written is the sum of those read in its step, and its place in the step;
//! * dots: in chain `s` of [`CHAINS`] of a unit `sum += a_s . w` of four signed bytes, where
//!   `a_s = SEED (2 s + 3)` and `w' = 1664525 w + 1013904223` from SEED times the place of the unit on, so that
//!   compilers take no product out of the loop;
//! * FMA: in each chain `y' = x y + z`, [`FMA_STEPS`] times before the loop looks at its end.
//!
//! Bounds: `|sum| < 2^31` below 2^12 dots in a chain; 1,024 bytes of shared memory.
use super::raw::{Source, Text};
use super::tile::{Join, gather};
use super::{Device, Raw, Ready, Session, Words, dot4, floats, spread, word};
use crate::context::Context;
#[cfg(feature = "cuda")]
use crate::hardware::Need;
use crate::probe::device::{AHEAD, CHAINS, DeviceProbe, FMA_STEPS, UNITS};
use crate::{Failure, Prepared};
use cubecl::CubeTask;
use cubecl::prelude::*;
use lowbit_reference::op::{Outputs, Tensor};

/// Any odd number with bits everywhere: what the place of a word or unit is multiplied by.
const SEED: u32 = 0x9e37_79b9;
/// Words of a vector.
const WIDTH: usize = 4;

/// Words of a pattern that is no zeros.
#[cube(launch)]
fn number(words: &mut Array<u32>) {
    let mut at = ABSOLUTE_POS;
    while at < words.len() {
        words[at] = at as u32 * SEED;
        at += CUBE_COUNT * CUBE_DIM as usize;
    }
}

#[cube(launch)]
fn read_words<N: Size>(words: &Array<Vector<u32, N>>, out: &mut Array<i32>, vectors: u32) {
    let width = N::value();
    let plane = vectors as usize / AHEAD;
    let mut sums = Vector::<u32, N>::new(0u32);
    let mut at = ABSOLUTE_POS;
    while at < plane {
        #[unroll]
        for i in 0..AHEAD {
            sums += words[at + i * plane];
        }
        at += CUBE_COUNT * CUBE_DIM as usize;
    }
    let mut sum = 0u32;
    #[unroll]
    for i in 0..width {
        sum += sums[i];
    }
    let mut shared = SharedMemory::<u32>::new(comptime!(UNITS.1 as usize));
    let sum = gather::<u32>(sum, &mut shared, Join::Sum, comptime!(UNITS.1));
    if UNIT_POS == 0 {
        out[CUBE_POS] = i32::cast_from(sum);
    }
}

#[cube(launch)]
fn move_words<N: Size>(
    from: &Array<Vector<u32, N>>,
    to: &mut Array<Vector<u32, N>>,
    steps: u32,
    #[comptime] reads: usize,
    #[comptime] writes: usize,
) {
    let steps = steps as usize;
    let mut at = ABSOLUTE_POS;
    while at < steps {
        let mut sum = from[at];
        #[unroll]
        for i in 1..reads {
            sum += from[at + i * steps];
        }
        #[unroll]
        for i in 0..writes {
            to[at + i * steps] = sum + Vector::<u32, N>::new(comptime!(i as u32));
        }
        at += CUBE_COUNT * CUBE_DIM as usize;
    }
}

#[cube(launch)]
fn dots(out: &mut Array<i32>, seed: u32, times: u32) {
    let mut codes = Array::<u32>::new(comptime!(CHAINS as usize));
    let mut sums = Array::<i32>::new(comptime!(CHAINS as usize));
    #[unroll]
    for s in 0..CHAINS {
        codes[s as usize] = seed * comptime!(2 * s + 3);
        sums[s as usize] = 0i32;
    }
    let mut word = ABSOLUTE_POS as u32 * seed;
    for _ in 0..times {
        word = word * 1_664_525u32 + 1_013_904_223u32;
        #[unroll]
        for s in 0..CHAINS {
            sums[s as usize] += dot4(codes[s as usize], word);
        }
    }
    let mut sum = 0i32;
    #[unroll]
    for s in 0..CHAINS {
        sum += sums[s as usize];
    }
    out[ABSOLUTE_POS] = sum;
}

#[cube(launch)]
fn fmas(out: &mut Array<f32>, x: f32, z: f32, times: u32) {
    let mut sums = Array::<f32>::new(comptime!(CHAINS as usize));
    #[unroll]
    for s in 0..CHAINS {
        sums[s as usize] = f32::cast_from(s + 1 + UNIT_POS % 2);
    }
    for _ in 0..times {
        #[unroll]
        for _ in 0..FMA_STEPS {
            #[unroll]
            for s in 0..CHAINS {
                sums[s as usize] = fma(x, sums[s as usize], z);
            }
        }
    }
    let mut sum = 0f32;
    #[unroll]
    for s in 0..CHAINS {
        sum += sums[s as usize];
    }
    out[ABSOLUTE_POS] = sum;
}

/// All cubes, and the units of each.
fn all() -> (CubeCount, CubeDim) {
    (spread(UNITS.0 as usize), CubeDim::new_1d(UNITS.1))
}

/// Words on the device, of a pattern.
fn numbered<R: Device>(session: &Session<R>, vectors: usize) -> Words {
    let client = session.client.launcher();
    let words = Words::empty(client, vectors * WIDTH);
    let (cubes, units) = all();
    number::launch::<R>(client, cubes, units, words.arg());
    words
}

/// A probe on a runtime; what the language of a device has is its own to launch.
pub(super) fn on<R: Device>(
    probe: DeviceProbe,
    context: &mut Context,
) -> Result<Box<dyn Prepared>, Failure> {
    let mut session = Session::<R>::open(context)?;
    let (read, written) = probe.vectors();
    let ((cubes, units), each) = (all(), (UNITS.0 * UNITS.1) as usize);
    match probe {
        DeviceProbe::Read(_) => {
            let words = numbered(&session, read);
            let out = session.output(context, "sums", UNITS.0 as usize)?;
            let y = out.clone();
            let enqueue = move |client: &ComputeClient<R>| {
                let (cubes, words) = (cubes.clone(), words.vectors(WIDTH));
                read_words::launch::<R>(client, cubes, units, WIDTH, words, y.arg(), word(read));
            };
            Ok(Box::new(Ready::new(session, enqueue, integers("sums", out))))
        }
        DeviceProbe::Stream(stream, _) => {
            let words = numbered(&session, read);
            let out = session.output(context, "moved", written * WIDTH)?;
            let (y, (reads, writes)) = (out.words(), stream.lines());
            let steps = word(written / writes);
            let enqueue = move |client: &ComputeClient<R>| {
                let (cubes, from, to) = (cubes.clone(), words.vectors(WIDTH), y.vectors(WIDTH));
                move_words::launch::<R>(
                    client, cubes, units, WIDTH, from, to, steps, reads, writes,
                );
            };
            Ok(Box::new(Ready::new(session, enqueue, integers("moved", out))))
        }
        DeviceProbe::Dot(times) => {
            let out = session.output(context, "sums", each)?;
            let y = out.clone();
            let enqueue = move |client: &ComputeClient<R>| {
                dots::launch::<R>(client, cubes.clone(), units, y.arg(), SEED, times);
            };
            Ok(Box::new(Ready::new(session, enqueue, integers("sums", out))))
        }
        DeviceProbe::Fma(times) => {
            let out = session.output(context, "sums", each)?;
            let y = out.clone();
            let enqueue = move |client: &ComputeClient<R>| {
                fmas::launch::<R>(client, cubes.clone(), units, y.arg(), 1.0, 0.75, times);
            };
            Ok(Box::new(Ready::new(session, enqueue, floats("sums", out))))
        }
        DeviceProbe::DotBuiltIn(_) => Err(Failure("CubeCL has no dot of four bytes".into())),
    }
}

/// Reads one output of whole numbers.
fn integers<R: Device>(
    name: &'static str,
    output: super::Output,
) -> impl Fn(&Session<R>) -> Result<Outputs, Failure> {
    move |session| Ok(Outputs(vec![(name, Tensor::I32(session.read(&output)?))]))
}

/// Dots in the language of the device: a kernel of a buffer with the seed and how often, and one for
/// the answers.
fn built_in<R: Device>(
    source: String,
    entry: &'static str,
    times: u32,
    context: &mut Context,
) -> Result<Box<dyn Prepared>, Failure>
where
    Text: CubeTask<R::Compiler>,
{
    let mut session = Session::<R>::open(context)?;
    let out = session.output(context, "sums", (UNITS.0 * UNITS.1) as usize)?;
    let buffers = vec![session.upload(&[SEED, times])?, out.words_and_guard()];
    let units = CubeDim::new_1d(UNITS.1);
    let raw = Raw { entry, source: Source::from(source), units, buffers, cubes: UNITS.0 as usize };
    let enqueue = move |client: &ComputeClient<R>| raw.enqueue(client);
    Ok(Box::new(Ready::new(session, enqueue, integers("sums", out))))
}

/// A probe on the wgpu adapter.
#[cfg(feature = "wgpu")]
pub(crate) fn on_wgpu(
    probe: DeviceProbe,
    context: &mut Context,
) -> Result<Box<dyn Prepared>, Failure> {
    match probe {
        DeviceProbe::DotBuiltIn(times) => {
            let source = include_str!("dots.wgsl").to_owned();
            built_in::<cubecl::wgpu::WgpuRuntime>(source, "main", times, context)
        }
        _ => on::<cubecl::wgpu::WgpuRuntime>(probe, context),
    }
}

/// A probe on the CUDA device.
#[cfg(feature = "cuda")]
pub(crate) fn on_cuda(
    probe: DeviceProbe,
    context: &mut Context,
) -> Result<Box<dyn Prepared>, Failure> {
    match probe {
        DeviceProbe::DotBuiltIn(times) => {
            context.hardware().has(Need::CudaAmpere)?;
            let source = crate::linear::cuda::products();
            built_in::<cubecl::cuda::CudaRuntime>(source, "products", times, context)
        }
        _ => on::<cubecl::cuda::CudaRuntime>(probe, context),
    }
}

#[cfg(all(test, feature = "wgpu"))]
mod tests {
    use super::*;
    use crate::context::Poison;
    use crate::hardware::{Hardware, Need};
    use crate::pool::Pool;
    use crate::probe::Stream;

    /// What a probe answers, where there is a device.
    fn answer(probe: DeviceProbe) -> Option<Vec<i32>> {
        let hardware = Hardware::detect();
        if let Err(why) = &hardware.wgpu {
            println!("not run: {why}");
            return None;
        }
        let mut context = Context::new(Pool::new(1).unwrap(), hardware, Poison::Sevens);
        let mut row = probe.prepare(Need::Wgpu, &mut context).unwrap();
        row.launch().and_then(|()| row.sync()).unwrap();
        match row.read().unwrap().0.remove(0).1 {
            Tensor::I32(values) => Some(values),
            Tensor::F32(values) => Some(values.iter().map(|y| y.to_bits().cast_signed()).collect()),
            other => panic!("{other:?}"),
        }
    }

    fn numbered(at: usize) -> u32 {
        (at as u32).wrapping_mul(SEED)
    }

    #[test]
    fn reading_reads_every_word_once() {
        // More vectors than units, and an end that is not whole: 64 bytes are a step.
        for bytes in [1 << 16, (40 << 20) + 100] {
            let probe = DeviceProbe::Read(bytes);
            let Some(sums) = answer(probe) else { return };
            assert_eq!(probe.amount(Need::Wgpu) as usize, bytes / 64 * 64);
            let all = (0..bytes / 64 * 16).fold(0u32, |all, at| all.wrapping_add(numbered(at)));
            assert_eq!(
                sums.iter().fold(0i32, |all, sum| all.wrapping_add(*sum)).cast_unsigned(),
                all
            );
        }
    }

    #[test]
    fn moving_writes_what_was_read() {
        for stream in Stream::ALL {
            let (reads, writes) = stream.lines();
            let steps = 1000;
            let probe = DeviceProbe::Stream(stream, 16 * steps * (reads + writes) + 15);
            let Some(moved) = answer(probe) else { return };
            assert_eq!(probe.amount(Need::Wgpu) as usize, 16 * steps * (reads + writes));
            assert_eq!(moved.len(), 4 * steps * writes);
            for (at, word) in moved.iter().enumerate() {
                let (plane, within) = (at / (4 * steps), at % (4 * steps));
                let read = (0..reads).map(|i| numbered(i * 4 * steps + within));
                let sum = read.fold(plane as u32, u32::wrapping_add);
                assert_eq!(word.cast_unsigned(), sum, "{stream:?} {at}");
            }
        }
    }

    #[test]
    fn dots_are_those_of_signed_bytes_in_either_way() {
        let dot = |a: u32, b: u32| -> i32 {
            let bytes = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
            bytes.map(|(a, b)| i32::from(a.cast_signed()) * i32::from(b.cast_signed())).sum()
        };
        for probe in [DeviceProbe::Dot(3), DeviceProbe::DotBuiltIn(3)] {
            let Some(sums) = answer(probe) else { return };
            assert_eq!(probe.amount(Need::Wgpu) as usize, sums.len() * 8 * 3 * 8);
            for unit in [0, 1, 255, 256, sums.len() - 1] {
                let mut word = numbered(unit);
                let mut want = 0;
                for _ in 0..3 {
                    word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let codes = (0..CHAINS).map(|s| SEED.wrapping_mul(2 * s + 3));
                    want += codes.map(|code| dot(code, word)).sum::<i32>();
                }
                assert_eq!(sums[unit], want, "{probe:?} {unit}");
            }
        }
    }

    #[test]
    fn chains_of_fused_multiply_adds_have_their_length() {
        let Some(sums) = answer(DeviceProbe::Fma(3)) else { return };
        // y' = y + 3/4, 24 times, from 1 to 8 or from 2 to 9.
        for (unit, bits) in sums.iter().enumerate() {
            let first = 1 + unit as u32 % 2;
            let want = (first..first + CHAINS).map(|s| s as f32 + 18.0).sum::<f32>();
            assert_eq!(f32::from_bits(bits.cast_unsigned()), want, "{unit}");
        }
        assert_eq!(sums.len() as u64 * 8 * 24 * 2, DeviceProbe::Fma(3).amount(Need::Wgpu));
    }

    #[test]
    fn tensor_cores_make_a_product_of_matrices_in_32_units() {
        // 8 chains of 2,048 x 256 / 32 warps, 16 x 8 x 32 products of two operations, three times.
        let amount = 8 * (2048 * 256 / 32) * 3 * 2 * 16 * 8 * 32;
        assert_eq!(DeviceProbe::DotBuiltIn(3).amount(Need::CudaAmpere), amount);
        assert_eq!(DeviceProbe::Dot(3).amount(Need::Cuda), 8 * 2048 * 256 * 3 * 8);
    }
}
