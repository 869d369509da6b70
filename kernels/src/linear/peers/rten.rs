//! `rten-gemm` and `rten-gemm-ab`: the products of RTen's crate, u8 x i8 with i32 sums, and f32.
//!
//! *Integer activations.* It takes unsigned ones with a zero point for each token. uint8 ones go in
//! as they are; of signed ones `launch` makes `u = x + 128` and hands them over with the zero point
//! 128: `sum (u - 128) w = sum x w`. Its sums are i32 and exact; `launch` then scales them as the
//! op says. Weights of fewer bits are unpacked to i8 beforehand: it reads a byte a weight whatever
//! the format. *f32 activations.* Weights are `code * scale` in f32, 4 bytes each.
//!
//! The weights lie as its own `prepack_b` arranges them; for one token of codes, where its path
//! for unpacked matrices is the faster one, as the transpose of `[N, K]`. `rten-gemm` hands the
//! activations over as they are. `rten-gemm-ab` has them arranged by `prepack_a` **ahead of the
//! clock**, the best figure the crate can show and one that no layer of a network can have. What
//! `prepack_a` makes knows no zero point, and one given with it later is left out of the sums
//! without an error: that row gives none and takes `zero_point sum w` off each sum itself, modulo
//! 2^32.
//!
//! On a processor without VNNI its 16-bit sums may saturate, as its documentation says, and the
//! integer row does not accept such a machine.
use crate::buffer::Buffer;
use crate::context::Context;
use crate::linear::dense;
use crate::pool::Pool;
use crate::{Determinism, Failure, Kernel, Prepared};
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
    fn is_peer(&self) -> bool {
        true
    }
    fn determinism(&self) -> Determinism {
        Determinism::REPEATABLE
    }
    fn arithmetic(&self, problem: &LinearProblem) -> Arithmetic {
        match problem.activation {
            Activation::F32(_) => Arithmetic::FLOAT,
            _ => Arithmetic::INTEGER,
        }
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        let floats = matches!(problem.activation, Activation::F32(_));
        if !floats && GemmExecutor::<u8, i8, i32>::default().may_saturate() {
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
            Activation::F32(_) => Box::new(Floats::new(problem, context, self.arranged_x)?),
            _ => Box::new(Bytes::new(problem, context, self.arranged_x)?),
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
        let (gemm, w) = (GemmExecutor::default(), dense::weights(problem)?);
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

/// Activations of the integer product.
enum Tokens {
    /// As they come, and room for `x + 128`.
    Signed(Buffer<i8>, Buffer<u8>),
    Unsigned(Buffer<u8>),
    Arranged(PackedAMatrix<u8>),
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
    x: Tokens,
    x_scales: Buffer<f32>,
    zero_points: Buffer<u8>,
    w: Weights,
    w_scales: Buffer<f32>,
    /// `sum w` of each output feature where the crate knows no zero point, else 0.
    w_sums: Buffer<i32>,
    sums: Buffer<i32>,
    y: Buffer<f32>,
}

/// `x + 128`.
fn biased(x: i8) -> u8 {
    x.cast_unsigned() ^ 128
}

impl Bytes {
    fn new(problem: &LinearProblem, context: &mut Context, arrange: bool) -> Result<Self, Failure> {
        let (m, k, n) = (problem.m, problem.k, problem.n);
        let (gemm, w) = (GemmExecutor::<u8, i8, i32>::default(), dense::codes(problem)?);
        let signed = matches!(problem.activation, Activation::I8(_));
        let zero = |i| problem.activation_zero_point(i) + if signed { 128 } else { 0 };
        let zeros: Result<Vec<u8>, _> = (0..m).map(|i| u8::try_from(zero(i))).collect();
        let zeros = zeros.map_err(|e| Failure(format!("a zero point that is no code: {e}")))?;
        let unsigned: Vec<u8> = match &problem.activation {
            Activation::I8(x) => x.codes.iter().map(|x| biased(*x)).collect(),
            Activation::U8(x) => x.codes.clone(),
            Activation::F32(_) => return Err(Failure("floats are no codes".into())),
        };
        let x = match &problem.activation {
            _ if arrange => Tokens::Arranged(gemm.prepack_a(matrix([m, k], &unsigned))),
            Activation::I8(x) => {
                Tokens::Signed(context.copy("x", &x.codes), context.buffer("x + 128", m * k))
            }
            _ => Tokens::Unsigned(context.copy("x", &unsigned)),
        };
        let x_scales: Vec<f32> = (0..m).map(|i| problem.activation_scale(i)).collect();
        let sum = |w: &[i8]| w.iter().map(|w| i32::from(*w)).sum::<i32>();
        let w_sums = w.chunks_exact(k).map(|w| if arrange { sum(w) } else { 0 });
        Ok(Bytes {
            pool: context.pool().clone(),
            shape: (m, k, n),
            x,
            x_scales: context.copy("x scales", &x_scales),
            zero_points: context.copy("zero points", &zeros),
            w: match m {
                1 => Weights::Plain(context.copy("w", &w)),
                _ => Weights::Packed(gemm.prepack_b(matrix([n, k], &w).transposed())),
            },
            w_scales: context.copy("w scales", &dense::scales(problem)?),
            w_sums: context.copy("w sums", &w_sums.collect::<Vec<_>>()),
            gemm,
            sums: context.buffer("sums", m * n),
            y: context.buffer("y", m * n),
        })
    }

    fn product(&mut self) -> Result<(), GemmError> {
        let (m, k, n) = self.shape;
        let zero_points = Some(QuantParams { zero_point: &self.zero_points[..] });
        let (x, a_quant) = match &mut self.x {
            Tokens::Arranged(x) => (GemmInputA::Packed(x), None),
            Tokens::Unsigned(x) => (GemmInputA::Unpacked(matrix([m, k], x)), zero_points),
            Tokens::Signed(x, u) => {
                u.iter_mut().zip(x.iter()).for_each(|(u, x)| *u = biased(*x));
                (GemmInputA::Unpacked(matrix([m, k], u)), zero_points)
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
        let (n, w_scales, w_sums) = (self.shape.2, &self.w_scales[..], &self.w_sums[..]);
        let rows = self.y.chunks_exact_mut(n).zip(self.sums.chunks_exact(n));
        let tokens = self.x_scales.iter().zip(self.zero_points.iter());
        self.pool.for_each(rows.zip(tokens).collect(), |((y, sums), (x_scale, zero))| {
            let columns = sums.iter().zip(w_sums).zip(w_scales);
            for (y, ((sum, w_sum), w_scale)) in y.iter_mut().zip(columns) {
                let sum = sum.wrapping_sub(i32::from(*zero).wrapping_mul(*w_sum));
                *y = sum as f32 * (x_scale * w_scale);
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
