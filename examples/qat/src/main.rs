//! Quantization-aware training of two layers with ternary weights and int8 activations: on packed
//! codes, and beside it on fake-quantized floats. Prints losses, and the bytes that a step keeps.
//!
//! `cargo run --release --package lowbit-qat`
mod model;
use burn::backend::Autodiff;
use burn::tensor::ElementConversion;
use burn::tensor::backend::AutodiffBackend;
use lowbit_harness::memory::Counting;
use lowbit_training::{Project, Saved};
use model::{Lessons, Model, Path};

#[global_allocator]
static HEAP: Counting = Counting::new();

const STEPS: usize = 200;
/// Steps whose losses are averaged at the end.
const LAST: usize = 20;
const SEED: u64 = 7;
const PATHS: [Path; 4] = [
    Path::Fake,
    Path::Codes(Saved::Values),
    Path::Codes(Saved::Cache),
    Path::Codes(Saved::CacheRecompute),
];

/// What training on one path came to.
struct Trained {
    first_loss: f64,
    last_loss: f64,
    /// Bytes in use between forward and backward, beyond those before forward.
    kept: u64,
    /// Most bytes in use in a step, beyond those before it.
    peak: u64,
    /// Bytes of codes that the layers say they keep.
    inventory: u64,
}

fn train<B: AutodiffBackend + Project>(
    path: Path,
    lessons: &Lessons<B>,
    steps: usize,
    device: &B::Device,
) -> Result<Trained, Box<dyn std::error::Error>> {
    let saved = if let Path::Codes(saved) = path { saved } else { Saved::Values };
    let mut model = Model::<B>::new(saved, 1, SEED, device)?;
    let mut losses: Vec<f64> = Vec::new();
    let (mut kept, mut peak) = (0, 0);
    for step in 0..steps {
        let tracked = model.tracked();
        let before = HEAP.mark();
        let loss = tracked.loss(path, lessons);
        losses.push(loss.clone().into_scalar().elem());
        let forward = HEAP.peak();
        kept = HEAP.mark().saturating_sub(before);
        model = tracked.step(loss, 1.0 - step as f64 / steps as f64);
        peak = HEAP.peak().max(forward).saturating_sub(before);
    }
    let last = losses.iter().rev().take(LAST);
    Ok(Trained {
        first_loss: losses[0],
        last_loss: last.sum::<f64>() / LAST.min(steps) as f64,
        kept,
        peak,
        inventory: if path == Path::Fake { 0 } else { model.saved_bytes() },
    })
}

/// Train on every path and print what came of it; whether all losses are near that of the floats.
fn compare<B: AutodiffBackend + Project>(
    name: &str,
    heap: bool,
    device: &B::Device,
) -> Result<bool, Box<dyn std::error::Error>> {
    println!("{name}: {STEPS} steps, ternary2 x int8, loss: mean of the last {LAST}");
    println!(
        "{:32} {:>10} {:>10} {:>8} {:>12} {:>12} {:>12}",
        "path", "first loss", "last loss", "ratio", "kept bytes", "codes, sum", "peak bytes"
    );
    let lessons = Model::<B>::new(Saved::Values, 1, SEED + 1, device)?.lessons(device);
    let mut near = true;
    let mut of_floats = None;
    for path in PATHS {
        let Trained { first_loss, last_loss, kept, peak, inventory } =
            train::<B>(path, &lessons, STEPS, device)?;
        let ratio = last_loss / *of_floats.get_or_insert(last_loss);
        near &= (ratio - 1.0).abs() <= 0.02 && last_loss < first_loss / 2.0;
        let bytes = |bytes: u64| if heap { bytes.to_string() } else { "-".into() };
        println!(
            "{path:32} {first_loss:>10.5} {last_loss:>10.5} {ratio:>8.4} {:>12} {inventory:>12} {:>12}",
            bytes(kept),
            bytes(peak)
        );
    }
    Ok(near)
}

fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    type Cpu = Autodiff<burn_ndarray::NdArray>;
    #[allow(unused_mut, reason = "with wgpu it changes")]
    let mut near = compare::<Cpu>("NdArray", true, &Default::default())?;
    #[cfg(feature = "wgpu")]
    match &lowbit_kernels::hardware::Hardware::detect().wgpu {
        Ok(adapter) => {
            type Wgpu = burn_cubecl::CubeBackend<burn_wgpu::WgpuRuntime, f32, i32, u32>;
            let device = burn_wgpu::WgpuDevice::DefaultDevice;
            near &= compare::<Autodiff<Wgpu>>(&format!("wgpu, {}", adapter.name), false, &device)?;
        }
        Err(why) => println!("wgpu: skipped: {why}"),
    }
    Ok(if near {
        std::process::ExitCode::SUCCESS
    } else {
        println!("a loss is more than 2 % from that of the floats, or did not halve");
        std::process::ExitCode::FAILURE
    })
}

#[test]
fn codes_learn_as_well_as_floats_and_keep_what_the_inventory_says() {
    type Cpu = Autodiff<burn_ndarray::NdArray>;
    let near = compare::<Cpu>("NdArray", true, &Default::default());
    assert!(near.expect("threads"));
    let device = Default::default();
    let lessons = Model::<Cpu>::new(Saved::Values, 1, SEED + 1, &device).expect("a model");
    let lessons = lessons.lessons(&device);
    let [values, cache, again] = [Saved::Values, Saved::Cache, Saved::CacheRecompute]
        .map(|saved| train::<Cpu>(Path::Codes(saved), &lessons, 3, &device).expect("a step"));
    assert!(cache.kept < values.kept / 2, "{} of {}", cache.kept, values.kept);
    let rest = |trained: &Trained| trained.kept - trained.inventory;
    // Of what is kept, only the errors and the graph are not codes.
    for trained in [&cache, &again] {
        let errors = (4 * model::OUTPUTS) as u64;
        assert!((errors..errors + 8192).contains(&rest(trained)), "{}", rest(trained));
    }
    assert!(cache.kept > again.kept, "{} {}", cache.kept, again.kept);
}
