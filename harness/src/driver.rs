//! Operations with their types erased, so that one table holds them all.
use crate::bench::Bench;
use crate::fault::plant::{self, Planting};
use crate::memory::Counting;
use crate::protocol::{Depth, Reply};
use crate::row::RowRun;
use crate::turns;
use lowbit_kernels::hardware::{Hardware, Need};
use lowbit_kernels::pool::Pool;
use lowbit_kernels::{self as kernels, Determinism, Kernel, Threads};
use lowbit_reference::case::Case;
use lowbit_reference::data::Files;
use lowbit_reference::op::{self, Arithmetic, Op, OpSpec};
use std::any::Any;

/// What is known of a row without running it.
#[derive(Clone, Copy, Debug)]
pub struct RowInfo {
    /// Name.
    pub name: &'static str,
    /// Hardware it needs.
    pub need: Need,
    /// How it uses threads.
    pub threads: Threads,
    /// What it declares to be the same, bit for bit.
    pub determinism: Determinism,
    /// Whether it is somebody else's.
    pub is_peer: bool,
}

/// One operation and its table.
pub trait Driver: Sync {
    /// The operation.
    fn spec(&self) -> &'static OpSpec;
    /// The rows, in the order of the table.
    fn rows(&self) -> Vec<RowInfo>;
    /// The table itself, a `&'static [&'static dyn Kernel<O>]`.
    fn table(&self) -> &dyn Any;
    /// Make the data of a case, and no more: `files` is told of them. The error is why the case
    /// cannot be built.
    fn generate(&self, case: &Case, files: &dyn Files) -> Result<(), String>;
    /// How a row says that it computes a case; nothing where the case cannot be built.
    fn arithmetic(&self, row: &str, case: &Case, files: &dyn Files) -> Option<Arithmetic>;
    /// Check (and measure, if asked to) the named rows on a case. The error is why the case
    /// cannot be built.
    fn run(
        &self,
        task: &Task<'_>,
        bench: &mut Bench,
        answer: &mut dyn FnMut(Reply),
    ) -> Result<(), String>;
    /// Plant faults around the named rows on a case, and answer what became of each.
    fn mutate(
        &self,
        planting: &Planting<'_>,
        bench: &mut Bench,
        answer: &mut dyn FnMut(Reply),
    ) -> Result<(), String>;
}

/// What a driver is asked to do.
#[derive(Debug)]
pub struct Task<'a> {
    /// The case.
    pub case: &'a Case,
    /// Rows to run.
    pub rows: &'a [String],
    /// How much is asked of them.
    pub depth: &'a Depth,
}

/// The one implementation of [`Driver`].
pub struct OpDriver<O: Op> {
    /// The kernel table.
    pub kernels: &'static [&'static dyn Kernel<O>],
}

/// Every operation of the suite. Adding one is a line here.
pub static DRIVERS: &[&dyn Driver] = &[
    &OpDriver::<op::quantize::weight::QuantizeWeight> {
        kernels: kernels::quantize_weight::KERNELS,
    },
    &OpDriver::<op::quantize::activation::QuantizeActivation> {
        kernels: kernels::quantize_activation::KERNELS,
    },
    &OpDriver::<op::quantize::fake::FakeQuantize> { kernels: kernels::fake_quantize::KERNELS },
    &OpDriver::<op::awq::AwqSearch> { kernels: kernels::awq_search::KERNELS },
    &OpDriver::<op::packing::Pack> { kernels: kernels::pack::KERNELS },
    &OpDriver::<op::packing::Unpack> { kernels: kernels::unpack::KERNELS },
    &OpDriver::<op::dequantize::Dequantize> { kernels: kernels::dequantize::KERNELS },
    &OpDriver::<op::blocks::quantize::QuantizeBlocks> {
        kernels: kernels::quantize_blocks::KERNELS,
    },
    &OpDriver::<op::blocks::dequantize::DequantizeBlocks> {
        kernels: kernels::dequantize_blocks::KERNELS,
    },
    &OpDriver::<op::nf4::quantize::QuantizeNf4> { kernels: kernels::quantize_nf4::KERNELS },
    &OpDriver::<op::nf4::dequantize::DequantizeNf4> { kernels: kernels::dequantize_nf4::KERNELS },
    &OpDriver::<op::int8_tensor::QuantizeInt8> { kernels: kernels::quantize_int8::KERNELS },
    &OpDriver::<op::int8_tensor::DequantizeInt8> { kernels: kernels::dequantize_int8::KERNELS },
    &OpDriver::<op::pack_linear::PackLinear> { kernels: kernels::pack_linear::KERNELS },
    &OpDriver::<op::linear::Linear> { kernels: kernels::linear::KERNELS },
    &OpDriver::<op::conv2d::Conv2d> { kernels: kernels::conv2d::KERNELS },
    &OpDriver::<op::pool2d::Pool2d> { kernels: kernels::pool2d::KERNELS },
    &OpDriver::<op::projection::ProjectionOp<op::projection::LowrankProjection>> {
        kernels: kernels::lowrank_projection::KERNELS,
    },
    &OpDriver::<op::projection::ProjectionOp<op::projection::DecoderTail>> {
        kernels: kernels::decoder_tail::KERNELS,
    },
    &OpDriver::<op::attention::Attention> { kernels: kernels::attention::KERNELS },
    &OpDriver::<op::hadamard::HadamardTransform> { kernels: kernels::hadamard::KERNELS },
    &OpDriver::<op::top_k::TopK> { kernels: kernels::top_k::KERNELS },
    &OpDriver::<op::rho::pack::RhoPack> { kernels: kernels::rho_pack::KERNELS },
    &OpDriver::<op::rho::unpack::RhoUnpack> { kernels: kernels::rho_unpack::KERNELS },
    &OpDriver::<op::rho::encode::RhoEncode> { kernels: kernels::rho_encode::KERNELS },
    &OpDriver::<op::rho::decode::RhoDecode> { kernels: kernels::rho_decode::KERNELS },
    &OpDriver::<op::rho::drift::RhoDrift> { kernels: kernels::rho_drift::KERNELS },
];

impl<O: Op> Driver for OpDriver<O> {
    fn spec(&self) -> &'static OpSpec {
        O::SPEC
    }

    fn rows(&self) -> Vec<RowInfo> {
        let info = |kernel: &&'static dyn Kernel<O>| RowInfo {
            name: kernel.name(),
            need: kernel.need(),
            threads: kernel.threads(),
            determinism: kernel.determinism(),
            is_peer: kernel.is_peer(),
        };
        self.kernels.iter().map(info).collect()
    }

    fn table(&self) -> &dyn Any {
        &self.kernels
    }

    fn generate(&self, case: &Case, files: &dyn Files) -> Result<(), String> {
        O::generate(case, files).map(drop)
    }

    fn arithmetic(&self, row: &str, case: &Case, files: &dyn Files) -> Option<Arithmetic> {
        let kernel = self.kernels.iter().find(|kernel| kernel.name() == row)?;
        Some(kernel.arithmetic(&O::generate(case, files).ok()?))
    }

    fn run(
        &self,
        task: &Task<'_>,
        bench: &mut Bench,
        answer: &mut dyn FnMut(Reply),
    ) -> Result<(), String> {
        let problem = O::generate(task.case, bench.files)?;
        // Computed for the first row that runs, and shared by the rest.
        let mut reference = None;
        let mut runs = Vec::new();
        for name in task.rows {
            let kernel = self.kernels.iter().find(|k| k.name() == name);
            let kernel = kernel.ok_or_else(|| format!("op {} has no row {name}", O::SPEC.name))?;
            runs.push(RowRun::<O> { kernel: *kernel, task, problem: &problem, given: &problem });
        }
        // Rows that take turns are all alive at once; else one is done before the next begins.
        let together =
            if task.depth.settings().is_some_and(|m| m.rounds > 1) { runs.len() } else { 1 };
        for runs in runs.chunks(together.max(1)) {
            turns::run(runs, &mut reference, bench, answer);
        }
        Ok(())
    }

    fn mutate(
        &self,
        planting: &Planting<'_>,
        bench: &mut Bench,
        answer: &mut dyn FnMut(Reply),
    ) -> Result<(), String> {
        plant::run(self.kernels, planting, bench, answer)
    }
}

/// What a process brings to the rows it runs.
pub fn bench(
    threads: usize,
    files: &'static dyn Files,
    heap: &'static Counting,
) -> Result<Bench, String> {
    Ok(Bench::new(Pool::with_this_thread(threads)?, Hardware::detect(), files, heap))
}
