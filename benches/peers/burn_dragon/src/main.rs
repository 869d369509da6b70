//! The source's own kernels as an outside peer: `burn_dragon_kernel` 0.5.0 on an exported case.
//!
//! ```text
//! lowbit export --case 'linear/weight=ternary2/activation=f32/...' --out DIR
//! cargo run --release --manifest-path benches/peers/burn_dragon/Cargo.toml -- DIR [options]
//! lowbit merge RUN DIR
//! ```
//!
//! Options: `--threads N`, `--cache hot|cold`, `--seconds S`, as the peers of `scripts/peers`.
//!
//! Its fused packed products run on wgpu and CUDA alone: their entry points answer `None` for any
//! other backend. What it has for a processor is `packed_lowrank_projection_device_reference`,
//! generic over Burn's backends: codes as a tensor of integers, turned into floats and scaled in
//! every call, then Burn's float product. That is what is timed here, on NdArray, as `linear` with
//! one head and a batch of one; the row is `burn-dragon`. It takes one weight scale for the tensor.
//! int8 activations go in as `code * scale`, made before the clock.
use burn::backend::NdArray;
use burn::tensor::{Int, Tensor, TensorData};
use burn_dragon_kernel::api::low_bit::packed_lowrank_projection_device_reference;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PEER: &str = "burn-dragon";
const VERSION: &str = "burn_dragon_kernel 0.5.0, burn 0.21.0-pre.3";
/// Bytes swept between cold samples, as the harness sweeps them.
const SWEEP_BYTES: usize = 128 << 20;

type Answer<T> = Result<T, Box<dyn Error>>;

struct Options {
    folder: PathBuf,
    threads: u32,
    cold: bool,
    time: Duration,
}

fn options() -> Answer<Options> {
    let mut words = std::env::args().skip(1);
    let folder =
        words.next().ok_or("usage: burn-dragon-peer DIR [--threads N] [--cache hot|cold]")?;
    let mut options = Options {
        folder: folder.into(),
        threads: 1,
        cold: false,
        time: Duration::from_millis(300),
    };
    while let Some(word) = words.next() {
        let value = words.next().ok_or(format!("{word}: needs a value"))?;
        match (word.as_str(), value.as_str()) {
            ("--threads", n) => options.threads = n.parse()?,
            ("--cache", "hot") => options.cold = false,
            ("--cache", "cold") => options.cold = true,
            ("--seconds", s) => options.time = Duration::try_from_secs_f64(s.parse()?)?,
            _ => return Err(format!("{word} {value}: no such option").into()),
        }
    }
    Ok(options)
}

/// The operands of a case, as the kernel takes them.
struct Operands {
    x: Tensor<NdArray, 4>,
    codes: Tensor<NdArray, 3, Int>,
    scale: f32,
    /// Tokens and output features.
    shape: [usize; 2],
}

fn floats(view: &TensorView) -> Vec<f32> {
    view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

fn operands(folder: &Path) -> Answer<Operands> {
    let data = std::fs::read(folder.join("inputs.safetensors"))?;
    let tensors = SafeTensors::deserialize(&data)?;
    let weight = tensors.tensor("weight_codes").map_err(|_| "weights are no codes")?;
    let [n, k] = *weight.shape() else { return Err("weight_codes is no matrix".into()) };
    let [scale] = *floats(&tensors.tensor("weight_scales")?) else {
        return Err("weights must have one scale for the tensor".into());
    };
    let activation = tensors.tensor("activation_f32")?;
    let m = activation.shape()[0];
    let x = match tensors.tensor("activation_codes") {
        Err(_) => floats(&activation),
        Ok(codes) if codes.dtype() == Dtype::I8 => {
            let scales = floats(&tensors.tensor("activation_scales")?);
            let scale = |i: usize| scales[if scales.len() == 1 { 0 } else { i / k }];
            let values = codes.data().iter().enumerate();
            values.map(|(i, code)| f32::from(code.cast_signed()) * scale(i)).collect()
        }
        Ok(_) => return Err("activations must be f32 or signed codes".into()),
    };
    let code = |at: usize| i64::from(weight.data()[at % n * k + at / n].cast_signed());
    let codes: Vec<i64> = (0..k * n).map(code).collect();
    let device = Default::default();
    Ok(Operands {
        x: Tensor::from_data(TensorData::new(x, [1, 1, m, k]), &device),
        codes: Tensor::from_data(TensorData::new(codes, [1, k, n]), &device),
        scale,
        shape: [m, n],
    })
}

fn product(o: &Operands) -> Tensor<NdArray, 4> {
    packed_lowrank_projection_device_reference(o.x.clone(), o.codes.clone(), o.scale, o.shape[1])
}

/// Nanoseconds of calls: at least three, then until time is up.
fn samples(o: &Operands, options: &Options) -> Vec<f64> {
    let sweep: Vec<u8> = (0..if options.cold { SWEEP_BYTES } else { 0 }).map(|i| i as u8).collect();
    let (mut taken, start) = (Vec::new(), Instant::now());
    while taken.len() < 3 || start.elapsed() < options.time {
        std::hint::black_box(sweep.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        let begin = Instant::now();
        std::hint::black_box(product(o));
        taken.push(begin.elapsed().as_secs_f64() * 1e9);
    }
    taken
}

/// Add a round to the answer there is, or begin one.
fn write(o: &Operands, options: &Options, round: Vec<f64>) -> Answer<()> {
    let path = options.folder.join(format!("{PEER}.json"));
    let begun = std::fs::read_to_string(&path).ok().and_then(|t| serde_json::from_str(&t).ok());
    let mut said: Value = begun.unwrap_or_else(|| {
        json!({"kernel": PEER, "version": VERSION, "arithmetic": {"integer": false}, "timings": []})
    });
    let cache = if options.cold { "cold" } else { "hot" };
    let timings = said["timings"].as_array_mut().ok_or("timings is no list")?;
    let same = |t: &&mut Value| t["threads"] == options.threads && t["cache"] == cache;
    match timings.iter_mut().find(same) {
        Some(timed) => {
            timed["rounds"].as_array_mut().ok_or("rounds is no list")?.push(json!(round))
        }
        None => timings.push(json!(
            {"threads": options.threads, "cache": cache, "rounds": [round]}
        )),
    }
    std::fs::write(&path, said.to_string() + "\n")?;
    let y = product(o).into_data().to_vec::<f32>().map_err(|e| format!("{e:?}"))?;
    let bytes: Vec<u8> = y.iter().flat_map(|y| y.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, o.shape.to_vec(), &bytes)?;
    let path = options.folder.join(format!("{PEER}.safetensors"));
    Ok(safetensors::serialize_to_file([("y", view)], None, &path)?)
}

fn main() -> Answer<()> {
    let options = options()?;
    let operands = match operands(&options.folder) {
        Ok(operands) => operands,
        Err(why) => {
            println!("{PEER}: skipped: {why}");
            return Ok(());
        }
    };
    let round = samples(&operands, &options);
    println!("{PEER}: {} samples, first {:.1} us", round.len(), round[0] / 1e3);
    write(&operands, &options, round)
}
