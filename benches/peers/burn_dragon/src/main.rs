//! The source's own kernels as an outside peer: `burn_dragon_kernel` 0.5.0 on an exported case.
//!
//! ```text
//! lowbit export --case 'linear/weight=ternary2/activation=f32/...' --out DIR
//! cargo run --release --manifest-path benches/peers/burn_dragon/Cargo.toml -- DIR [options]
//! lowbit merge RUN DIR
//! ```
//!
//! Options: `--threads N`, `--cache hot|cold`, `--seconds S`, as the peers of `scripts/peers`, and
//! `--device cpu|wgpu|cuda` (the last with the feature `cuda`, which without a toolkit builds where
//! `CUDARC_CUDA_VERSION` is set, to 12080 for example). Cases of `linear`, `lowrank_projection`
//! and `decoder_tail` without relu and with one weight scale.
//!
//! * `burn-dragon`: what it has for a processor, `packed_*_device_reference`, generic over Burn's backends:
//!   codes as a tensor of integers, turned into floats and scaled in every call, then Burn's float product.
//!   Timed on NdArray, the pass forward. int8 activations go in as `code * scale`, made before the clock.
//! * `burn-dragon-wgpu`, `burn-dragon-cuda`: `try_fused_packed_*`, from int8 codes of one scale, forward and
//!   backward; on wgpu forward the kernels in CubeCL behind them, since wgpu refuses the shader that they
//!   choose first. Times are the host's, a synchronization included.
mod problem;
use burn::backend::NdArray;
use burn::tensor::backend::Backend;
use burn_cubecl::CubeBackend;
use burn_wgpu::WgpuRuntime;
use problem::{Outputs, Problem};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const VERSION: &str = "burn_dragon_kernel 0.5.0, burn 0.21.0-pre.3";
/// Bytes swept between cold samples, as the harness sweeps them.
const SWEEP_BYTES: usize = 128 << 20;
/// Calls before the clock: a device's kernels are built.
const WARM_UP: usize = 3;

type Answer<T> = Result<T, Box<dyn Error>>;

struct Options {
    folder: PathBuf,
    threads: u32,
    cold: bool,
    time: Duration,
    device: String,
}

impl Options {
    fn peer(&self) -> String {
        match self.device.as_str() {
            "cpu" => "burn-dragon".into(),
            device => format!("burn-dragon-{device}"),
        }
    }
}

fn options() -> Answer<Options> {
    let mut words = std::env::args().skip(1);
    let usage =
        "usage: burn-dragon-peer DIR [--threads N] [--cache hot|cold] [--device cpu|wgpu|cuda]";
    let mut options = Options {
        folder: PathBuf::new(),
        threads: 1,
        cold: false,
        time: Duration::from_millis(300),
        device: "cpu".into(),
    };
    while let Some(word) = words.next() {
        if !word.starts_with("--") {
            options.folder = word.into();
            continue;
        }
        let value = words.next().ok_or(format!("{word}: needs a value"))?;
        match (word.as_str(), value.as_str()) {
            ("--threads", n) => options.threads = n.parse()?,
            ("--cache", "hot") => options.cold = false,
            ("--cache", "cold") => options.cold = true,
            ("--seconds", s) => options.time = Duration::try_from_secs_f64(s.parse()?)?,
            ("--device", "cpu" | "wgpu" | "cuda") => options.device = value,
            _ => return Err(format!("{word} {value}: no such option").into()),
        }
    }
    if options.folder.as_os_str().is_empty() {
        return Err(usage.into());
    }
    if options.cold && options.device != "cpu" {
        return Err("--cache cold: sweeps the processor's caches, and no device's".into());
    }
    Ok(options)
}

/// Nanoseconds of calls: at least three, then until time is up.
fn samples(options: &Options, call: &dyn Fn() -> Answer<()>) -> Answer<Vec<f64>> {
    let sweep: Vec<u8> = (0..if options.cold { SWEEP_BYTES } else { 0 }).map(|i| i as u8).collect();
    for _ in 0..WARM_UP {
        call()?;
    }
    let (mut taken, start) = (Vec::new(), Instant::now());
    while taken.len() < 3 || start.elapsed() < options.time {
        std::hint::black_box(sweep.iter().map(|byte| u64::from(*byte)).sum::<u64>());
        let begin = Instant::now();
        call()?;
        taken.push(begin.elapsed().as_secs_f64() * 1e9);
    }
    Ok(taken)
}

/// Add a round to the answer there is, or begin one.
fn write<B: Backend>(options: &Options, outputs: Outputs<B>, round: Vec<f64>) -> Answer<()> {
    let peer = options.peer();
    let path = options.folder.join(format!("{peer}.json"));
    let begun = std::fs::read_to_string(&path).ok().and_then(|t| serde_json::from_str(&t).ok());
    let mut said: Value = begun.unwrap_or_else(|| {
        json!({"kernel": peer, "version": VERSION, "device": options.device,
            "arithmetic": {"integer": false}, "timings": []})
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
    let mut named = Vec::new();
    for (name, values) in outputs {
        let values = values.into_data().to_vec::<f32>().map_err(|e| format!("{e:?}"))?;
        named.push((name, values.iter().flat_map(|y| y.to_le_bytes()).collect::<Vec<u8>>()));
    }
    let mut views = Vec::new();
    for (name, bytes) in &named {
        views.push((*name, TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes)?));
    }
    let path = options.folder.join(format!("{peer}.safetensors"));
    Ok(safetensors::serialize_to_file(views, None, &path)?)
}

/// How a problem is answered.
type Product<B> = fn(&Problem<B>) -> Answer<Outputs<B>>;

fn run<B: Backend>(options: &Options, product: Product<B>) -> Answer<()> {
    let peer = options.peer();
    let answered = Problem::<B>::read(&options.folder)
        .and_then(|problem| product(&problem).map(|outputs| (problem, outputs)));
    let (problem, outputs) = match answered {
        Ok(answered) => answered,
        Err(why) => {
            println!("{peer}: skipped: {why}");
            return Ok(());
        }
    };
    let device = B::Device::default();
    let call = || {
        std::hint::black_box(product(&problem)?);
        B::sync(&device).map_err(|e| format!("{e:?}").into())
    };
    let round = samples(options, &call)?;
    println!("{peer}: {} samples, first {:.1} us", round.len(), round[0] / 1e3);
    write(options, outputs, round)
}

fn main() -> Answer<()> {
    let options = options()?;
    match options.device.as_str() {
        "cpu" => run::<NdArray>(&options, Problem::reference),
        "wgpu" => run::<CubeBackend<WgpuRuntime, f32, i32, u32>>(&options, Problem::fused_on_wgpu),
        #[cfg(feature = "cuda")]
        "cuda" => run::<burn_cuda::Cuda>(&options, Problem::fused),
        other => Err(format!("--device {other}: built without it").into()),
    }
}
