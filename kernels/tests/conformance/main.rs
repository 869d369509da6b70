//! Every row of every table against the reference, at every awkward size.
//!
//! Buffers end, and then begin, at pages that may not be touched: a stray access, be it a read,
//! stops the program.
//!
//! Prints how many kernel-cases each row ran. A row that never ran fails, unless its hardware is
//! missing, and then that is printed. `cargo test -p lowbit-kernels --test conformance -- avx2`.
mod attention;
mod awq;
mod blocks;
mod conv2d;
mod fake_quantize;
mod latent;
mod linear;
mod linear_blocks;
mod pack_linear;
mod packing;
mod pool2d;
mod projection;
mod quantize;
mod rho;
use libtest_mimic::{Arguments, Failed, Trial};
use lowbit_kernels::Kernel;
use lowbit_kernels::buffer::Guard;
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::hardware::{Hardware, Need};
use lowbit_kernels::pool::Pool;
use lowbit_reference::case::Case;
use lowbit_reference::data::NoFiles;
use lowbit_reference::judge::judge;
use lowbit_reference::op::{Op, Outputs};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};

/// Row, kernel-cases run, or why there were none.
type Count = (String, Result<usize, String>);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let hardware = Hardware::detect();
    let (sender, counts) = channel();
    let mut trials = Vec::new();
    trials.extend(rows(lowbit_kernels::attention::KERNELS, attention::cases(), &hardware, &sender));
    trials.extend(rows(
        lowbit_kernels::hadamard::KERNELS,
        latent::hadamard_cases(),
        &hardware,
        &sender,
    ));
    trials.extend(rows(lowbit_kernels::top_k::KERNELS, latent::top_k_cases(), &hardware, &sender));
    trials.extend(rows(lowbit_kernels::linear::KERNELS, linear::cases(), &hardware, &sender));
    trials.extend(rows(lowbit_kernels::conv2d::KERNELS, conv2d::cases(), &hardware, &sender));
    trials.extend(rows(lowbit_kernels::pool2d::KERNELS, pool2d::cases(), &hardware, &sender));
    trials.extend(projection::trials(&hardware, &sender));
    trials.extend(rows(
        lowbit_kernels::pack_linear::KERNELS,
        pack_linear::cases(),
        &hardware,
        &sender,
    ));
    trials.extend(rows(
        lowbit_kernels::quantize_weight::KERNELS,
        quantize::weight_cases(),
        &hardware,
        &sender,
    ));
    trials.extend(rows(
        lowbit_kernels::quantize_activation::KERNELS,
        quantize::activation_cases(),
        &hardware,
        &sender,
    ));
    trials.extend(rows(
        lowbit_kernels::fake_quantize::KERNELS,
        fake_quantize::cases(),
        &hardware,
        &sender,
    ));
    trials.extend(rho::trials(&hardware, &sender));
    trials.extend(packing::trials(&hardware, &sender));
    trials.extend(blocks::trials(&hardware, &sender));
    drop(sender);
    let conclusion = libtest_mimic::run(&arguments, trials);
    let mut counts: Vec<Count> = counts.iter().collect();
    counts.sort();
    println!("kernel-cases per row:");
    for (row, count) in counts {
        match count {
            Ok(ran) => println!("  {row:<36} {ran:>6}"),
            Err(why) => println!("  {row:<36} not run: {why}"),
        }
    }
    conclusion.exit_code()
}

fn rows<O: Op>(
    kernels: &'static [&'static dyn Kernel<O>],
    ids: Vec<String>,
    hardware: &Hardware,
    sender: &Sender<Count>,
) -> Vec<Trial> {
    let trial = |kernel: &'static &'static dyn Kernel<O>| {
        let name = format!("{}::{}", O::SPEC.name, kernel.name());
        let (ids, hardware, sender) = (ids.clone(), hardware.clone(), sender.clone());
        Trial::test(name.clone(), move || {
            let result = row(*kernel, &ids, &hardware);
            let count = result.as_ref().map(|ran| Ok(*ran)).unwrap_or_else(|why| Err(why.clone()));
            let missing = hardware.has(kernel.need());
            let _ = sender.send((name, missing.clone().and(count)));
            match (missing, result) {
                (Err(_), _) => Ok(()),
                // A peer, too: the cases here are for every row that there is.
                (Ok(()), Ok(0)) => Err(Failed::from("accepted no case: a row that never ran")),
                (Ok(()), Ok(_)) => Ok(()),
                (Ok(()), Err(why)) => Err(Failed::from(why)),
            }
        })
    };
    kernels.iter().map(trial).collect()
}

/// Run a row on every case it accepts; the error lists the first few failures.
fn row<O: Op>(
    kernel: &dyn Kernel<O>,
    ids: &[String],
    hardware: &Hardware,
) -> Result<usize, String> {
    hardware.has(kernel.need())?;
    let pools = [Pool::new(1)?, Pool::new(3)?];
    let (mut ran, mut failures) = (0, Vec::new());
    // A device in software takes 50 ms a case: every so many of them, a number that no list of
    // parameters is a multiple of.
    let software = hardware.wgpu.as_ref().is_ok_and(|adapter| adapter.software);
    let cases = if kernel.need() == Need::Wgpu && software { ids.len() / 250 } else { 0 };
    let step = [1, 3, 7, 11, 13, 17, 19, 23].into_iter().find(|step| *step >= cases).unwrap_or(29);
    for id in ids.iter().step_by(step) {
        let case: Case = id.parse().map_err(|e| format!("{id}: {e}"))?;
        let problem = O::generate(&case, &NoFiles)?;
        if kernel.accepts(&problem).is_err() {
            continue;
        }
        ran += 1;
        if let Err(why) = one(kernel, &problem, (hardware, &pools)) {
            failures.push(format!("{case}: {why}"));
        }
    }
    match failures.len() {
        0 => Ok(ran),
        n => Err(format!("{n} of {ran} cases\n{}", failures[..n.min(8)].join("\n"))),
    }
}

fn one<O: Op>(
    kernel: &dyn Kernel<O>,
    problem: &O::Problem,
    (hardware, [one, three]): (&Hardware, &[Pool; 2]),
) -> Result<(), String> {
    let run = |pool: &Pool, poison, guard| -> Result<Outputs, String> {
        let context = Context::new(pool.clone(), hardware.clone(), poison);
        let mut context = context.with_guard(guard);
        let mut prepared = kernel.prepare(problem, &mut context).map_err(|e| e.to_string())?;
        prepared.launch().and_then(|()| prepared.sync()).map_err(|e| e.to_string())?;
        let outputs = prepared.read().map_err(|e| e.to_string())?;
        context.check_guards()?;
        Ok(outputs)
    };
    let outputs = run(one, Poison::Ones, Guard::PageAfter)?;
    let reference = O::reference(problem);
    let expectation = O::expect(problem, &reference, kernel.arithmetic(problem), &outputs);
    if let Some(fault) = judge(&expectation, &outputs).fault {
        return Err(fault);
    }
    let again = run(three, Poison::Sevens, Guard::PageBefore)?;
    if again == outputs { Ok(()) } else { Err("another answer on 3 threads or poison".into()) }
}

/// Around every vector width, unroll and packing boundary.
pub(crate) const LENGTHS: [usize; 20] =
    [1, 2, 3, 5, 8, 15, 31, 32, 33, 63, 64, 65, 127, 128, 257, 512, 515, 1025, 2049, 5003];

/// Kernel, stride, padding and dilation as parameters.
pub(crate) fn window([kernel, stride, padding, dilation]: [[usize; 2]; 4]) -> String {
    let pair = |name: &str, [h, w]: [usize; 2]| format!("{name}_h={h}/{name}_w={w}");
    [
        pair("kernel", kernel),
        pair("stride", stride),
        pair("padding", padding),
        pair("dilation", dilation),
    ]
    .join("/")
}
