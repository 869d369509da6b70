//! `rten-gemm` and `rten-gemm-ab`: the products of RTen's crate, u8 x i8 with i32 sums, and f32.
//!
//! *int8 activations.* It takes unsigned ones with a zero point, so `launch` hands it `x + 128`
//! and the zero point 128: `sum (u - 128) w = sum x w`. Its sums are i32 and exact, since
//! `|sum x w| < 2^31` up to `linear::MAX_K`; `launch` then scales them as the op says. Weights of
//! fewer bits are unpacked to i8 beforehand: it reads a byte a weight whatever the format.
//! *f32 activations.* Weights are `code * scale` in f32, 4 bytes each.
//!
//! The weights lie as its own `prepack_b` arranges them; for one token of int8, where its path for
//! unpacked matrices is the faster one, as the transpose of `[N, K]`. `rten-gemm` hands the
//! activations over as they are. `rten-gemm-ab` has them arranged by `prepack_a` **ahead of the
//! clock**, the best figure the crate can show and one that no layer of a network can have. What
//! `prepack_a` makes knows no zero point, and one given with it later is left out of the sums
//! without an error: that row gives none and takes `128 sum w` off each sum itself, modulo 2^32.
//!
//! On a processor without VNNI its 16-bit sums may saturate, as its documentation says, and the
//! int8 row does not accept such a machine.
use crate::buffer::Buffer;
use crate::context::Context;
use crate::linear::dense;
use crate::pool::Pool;
use crate::{Failure, Kernel, Prepared};
use lowbit_reference::op::linear::{Activation, Linear, LinearProblem};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use rten_gemm::{
    GemmError, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedAMatrix, PackedBMatrix,
    QuantParams,
};
use rten_tensor::{Matrix, NdTensorView};

/// Weights arranged ahead.
pub(in crate::linear) static RTEN: Rten = Rten { arranged_x: false };
/// Weights and activations arranged ahead.
pub(in crate::linear) static RTEN_AB: Rten = Rten { arranged_x: true };

/// See the module.
#[derive(Debug)]
pub(in crate::linear) struct Rten {
    arranged_x: bool,
}

impl Kernel<Linear> for Rten {
    fn name(&self) -> &'static str {
        if self.arranged_x { "rten-gemm-ab" } else { "rten-gemm" }
    }
    fn arithmetic(&self, problem: &LinearProblem) -> Arithmetic {
        match problem.activation {
            Activation::F32 => Arithmetic::FLOAT,
            Activation::Int8 { .. } => Arithmetic::INTEGER,
        }
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        let int8 = matches!(problem.activation, Activation::Int8 { .. });
        if int8 && GemmExecutor::<u8, i8, i32>::default().may_saturate() {
            return Err("sums pairs of u8 x i8 in 16 bits here, which may saturate".into());
        }
        if self.arranged_x && problem.m == 1 {
            return Err("is for more than one token".into());
        }
        dense::accepts(problem)
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        Ok(match &problem.activation {
            Activation::F32 => Box::new(Floats::new(problem, context, self.arranged_x)?),
            Activation::Int8 { codes, .. } => {
                Box::new(Bytes::new(problem, codes, context, self.arranged_x)?)
            }
        })
    }
}

fn failure(error: GemmError) -> Failure {
    Failure(format!("rten-gemm: {error}"))
}

/// A row-major matrix.
fn matrix<T>([rows, columns]: [usize; 2], data: &[T]) -> Matrix<'_, T> {
    NdTensorView::from_data([rows, columns], data)
}

struct Floats {
    pool: Pool,
    gemm: GemmExecutor,
    /// Tokens and depth.
    shape: [usize; 2],
    x: Buffer<f32>,
    arranged_x: Option<PackedAMatrix<f32>>,
    w: PackedBMatrix<f32>,
    y: Buffer<f32>,
}

impl Floats {
    fn new(problem: &LinearProblem, context: &mut Context, arrange: bool) -> Result<Self, Failure> {
        let (m, k, n) = (problem.m, problem.k, problem.n);
        let (gemm, value) = (GemmExecutor::default(), dense::value(&problem.weight)?);
        let w: Vec<f32> = (0..n).flat_map(|j| (0..k).map(move |i| value(j, i))).collect();
        let x = context.copy("x", &dense::activations(problem));
        Ok(Floats {
            pool: context.pool().clone(),
            shape: [m, k],
            arranged_x: arrange.then(|| gemm.prepack_a(matrix([m, k], &x))),
            x,
            w: gemm.prepack_b(matrix([n, k], &w).transposed()),
            gemm,
            y: context.buffer("y", m * n),
        })
    }
}

impl Prepared for Floats {
    fn launch(&mut self) -> Result<(), Failure> {
        let Floats { pool, gemm, shape, x, arranged_x, w, y } = self;
        let x = match arranged_x {
            Some(x) => GemmInputA::Packed(x),
            None => GemmInputA::Unpacked(matrix(*shape, x)),
        };
        let product = || gemm.gemm(y, x, GemmInputB::Packed(w), GemmOptions::default());
        pool.install(product).map_err(failure)
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.y.fill(f32::NAN);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("y", Tensor::F32(self.y.to_vec()))]))
    }
}

/// Weights of the integer product.
enum Weights {
    Packed(PackedBMatrix<i8>),
    /// `[N, K]`.
    Plain(Buffer<i8>),
}

struct Bytes {
    pool: Pool,
    gemm: GemmExecutor<u8, i8, i32>,
    /// Tokens, depth, output features.
    shape: (usize, usize, usize),
    x: Buffer<i8>,
    x_scales: Buffer<f32>,
    biased_x: Buffer<u8>,
    /// 128 for each token.
    zero_points: Buffer<u8>,
    arranged_x: Option<PackedAMatrix<u8>>,
    w: Weights,
    w_scales: Buffer<f32>,
    /// What is taken off each sum: `128 sum w` where the crate knows no zero point, else 0.
    offsets: Buffer<i32>,
    sums: Buffer<i32>,
    y: Buffer<f32>,
}

/// `x + 128`.
fn biased(x: i8) -> u8 {
    x.cast_unsigned() ^ 128
}

impl Bytes {
    fn new(
        problem: &LinearProblem,
        x: &[i8],
        context: &mut Context,
        arrange: bool,
    ) -> Result<Self, Failure> {
        let (m, k, n) = (problem.m, problem.k, problem.n);
        let (gemm, w) = (GemmExecutor::default(), dense::codes(&problem.weight)?);
        let unsigned: Vec<u8> = x.iter().map(|x| biased(*x)).collect();
        let x_scales: Vec<f32> = (0..m).map(|i| problem.activation_scale(i)).collect();
        let w_scales: Vec<f32> = (0..n).map(|j| problem.weight.scale(j)).collect();
        let offset = |w: &[i8]| match arrange {
            true => 128 * w.iter().map(|w| i32::from(*w)).sum::<i32>(),
            false => 0,
        };
        let offsets: Vec<i32> = w.chunks_exact(k).map(offset).collect();
        Ok(Bytes {
            pool: context.pool().clone(),
            shape: (m, k, n),
            x: context.copy("x", x),
            x_scales: context.copy("x scales", &x_scales),
            biased_x: context.buffer("x + 128", m * k),
            zero_points: context.copy("zero points", &vec![128; m]),
            arranged_x: arrange.then(|| gemm.prepack_a(matrix([m, k], &unsigned))),
            w: match m {
                1 => Weights::Plain(context.copy("w", &w)),
                _ => Weights::Packed(gemm.prepack_b(matrix([n, k], &w).transposed())),
            },
            w_scales: context.copy("w scales", &w_scales),
            offsets: context.copy("offsets", &offsets),
            gemm,
            sums: context.buffer("sums", m * n),
            y: context.buffer("y", m * n),
        })
    }

    fn product(&mut self) -> Result<(), GemmError> {
        let (m, k, n) = self.shape;
        let (x, a_quant) = match &self.arranged_x {
            Some(x) => (GemmInputA::Packed(x), None),
            None => {
                let pairs = self.biased_x.iter_mut().zip(self.x.iter());
                pairs.for_each(|(to, x)| *to = biased(*x));
                let zero_point = &self.zero_points[..];
                let x = GemmInputA::Unpacked(matrix([m, k], &self.biased_x));
                (x, Some(QuantParams { zero_point }))
            }
        };
        let w = match &self.w {
            Weights::Packed(w) => GemmInputB::Packed(w),
            Weights::Plain(w) => GemmInputB::Unpacked(matrix([n, k], w).transposed()),
        };
        let options = GemmOptions { a_quant, ..GemmOptions::default() };
        let (gemm, sums) = (&self.gemm, &mut self.sums);
        self.pool.install(|| gemm.gemm(sums, x, w, options))
    }
}

impl Prepared for Bytes {
    fn launch(&mut self) -> Result<(), Failure> {
        self.product().map_err(failure)?;
        let (n, w_scales, offsets) = (self.shape.2, &self.w_scales[..], &self.offsets[..]);
        let rows = self.y.chunks_exact_mut(n).zip(self.sums.chunks_exact(n));
        let rows: Vec<_> = rows.zip(self.x_scales.iter()).collect();
        self.pool.for_each(rows, |((y, sums), x_scale)| {
            let columns = sums.iter().zip(offsets).zip(w_scales);
            for (y, ((sum, offset), w_scale)) in y.iter_mut().zip(columns) {
                *y = sum.wrapping_sub(*offset) as f32 * (x_scale * w_scale);
            }
        });
        Ok(())
    }

    fn forget(&mut self) -> Result<(), Failure> {
        self.y.fill(f32::NAN);
        Ok(())
    }

    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("y", Tensor::F32(self.y.to_vec()))]))
    }
}
