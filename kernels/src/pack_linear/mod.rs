//! PackedRows of `pack_linear`.
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
mod scalar;
use crate::buffer::Buffer;
use crate::context::Context;
use crate::linear::panels::{Mover, PackedRows, pack};
use crate::pool::Pool;
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::op::pack_linear::{PackLinear, PackProblem};
use lowbit_reference::op::{Outputs, Tensor};

/// The table. Tests, benches and the harness read it; nothing else lists rows.
pub static KERNELS: &[&dyn Kernel<PackLinear>] = &[
    &scalar::Scalar,
    #[cfg(target_arch = "x86_64")]
    &avx512vnni::Avx512Vnni,
];

/// A mover bound to a problem.
struct Run<'p, M, const LANES: usize, const BYTES: usize> {
    mover: M,
    problem: &'p PackProblem,
    pool: Pool,
    bytes: Buffer<u8>,
    packed: Buffer<u8>,
}

impl<'p, M: Mover, const LANES: usize, const BYTES: usize> Run<'p, M, LANES, BYTES> {
    fn new(mover: M, problem: &'p PackProblem, context: &mut Context) -> Self {
        let packed = context.buffer("packed", problem.layout.len(problem.n, problem.row_bytes));
        let (pool, bytes) = (context.pool().clone(), context.copy("bytes", &problem.bytes));
        Run { mover, problem, pool, bytes, packed }
    }
}

impl<M: Mover, const LANES: usize, const BYTES: usize> Prepared for Run<'_, M, LANES, BYTES> {
    fn launch(&mut self) -> Result<(), Failure> {
        let PackProblem { format, layout, n, row_bytes, .. } = *self.problem;
        let rows = PackedRows { format, bytes: &self.bytes, row_bytes, n };
        pack::<LANES, BYTES>(self.mover, (rows, layout), &mut self.packed, &self.pool);
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.packed.fill(0xff);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("packed", Tensor::U8(self.packed.to_vec()))]))
    }
}
