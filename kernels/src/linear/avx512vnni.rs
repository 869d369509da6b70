//! `avx512vnni`: 64 codes a `vpdpbusd`, weights decoded by shift and mask.
//!
//! Bit formats, `F` fields a byte: `(w >> 8/F j) & mask` of 64 bytes is 64 unsigned stored codes,
//! which meet 64 signed activations: `acc += u8 * s8` in groups of four, at most
//! `4 * 2 * 128 = 1024` a lane and instruction, without saturation. int8 weights are the signed
//! operand and activations come as `x + 128`: the sum may then wrap (`255 * 128 * K` passes 2^31 at
//! K = 65794), which the shared loop undoes. Floats: the low two bits of a lane select the code
//! from a table (`vpermilps`), one FMA for 16 codes. Four rows by four tokens share loads and
//! decoding; a single token has two sums a row instead.
use super::blocks;
use super::rows::{self, Dot, ROWS, Step, Unit};
use crate::context::Context;
use crate::hardware::Need;
use crate::{Failure, Kernel, Prepared};
use core::arch::x86_64::*;
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::linear::{Activation, Linear, LinearProblem};

/// The row.
#[derive(Debug)]
pub(super) struct Avx512Vnni;

impl Kernel<Linear> for Avx512Vnni {
    fn name(&self) -> &'static str {
        "avx512vnni"
    }
    fn need(&self) -> Need {
        Need::Avx512Vnni
    }
    fn arithmetic(&self, problem: &LinearProblem) -> Arithmetic {
        rows::arithmetic(problem)
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        if blocks::takes(problem) { Ok(()) } else { rows::accepts(problem) }
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        if blocks::takes(problem) {
            return blocks::prepare(blocks::avx512vnni::Found::new(context)?, problem, context);
        }
        context.hardware().has(self.need())?;
        let found = Found(());
        match &problem.activation {
            Activation::I8(x) => rows::bind(found, &x.codes, problem, context),
            Activation::F32(x) => rows::bind(found, x, problem, context),
            Activation::U8(_) => Err(Failure("no uint8 activations".into())),
        }
    }
}

/// Made only where the instructions were detected.
#[derive(Clone, Copy)]
struct Found(());

/// Weight bytes of a step against int8 activations.
const BYTES: usize = 64;
/// Weight bytes of a step against f32 activations.
const FLOATS: usize = 16;

impl Dot<i8, BYTES> for Found {
    const BIASED: bool = true;
    #[inline]
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: &[Unit<BYTES>],
        x: [&[Step<i8, BYTES, FIELDS>]; M],
    ) -> [[i32; ROWS]; M] {
        // SAFETY: a `Found` is made only after detection.
        unsafe { integer_tile(panel, x) }
    }
}

impl Dot<f32, FLOATS> for Found {
    #[inline]
    fn tile<const FIELDS: usize, const M: usize>(
        self,
        panel: &[Unit<FLOATS>],
        x: [&[Step<f32, FLOATS, FIELDS>]; M],
    ) -> [[f32; ROWS]; M] {
        // SAFETY: a `Found` is made only after detection.
        unsafe { float_tile(panel, x) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn integer_tile<const FIELDS: usize, const M: usize>(
    panel: &[Unit<BYTES>],
    x: [&[Step<i8, BYTES, FIELDS>]; M],
) -> [[i32; ROWS]; M] {
    let mask = _mm512_set1_epi8(if FIELDS == 4 { 3 } else { 1 });
    // One token leaves registers for two sums a row, which halves the chain of additions.
    let chains = if M == 1 { 2 } else { 1 };
    let mut acc = [[[_mm512_setzero_si512(); 2]; ROWS]; M];
    x.iter().for_each(|x| assert_eq!(x.len(), panel.len()));
    for (s, unit) in panel.iter().enumerate() {
        let mut w = [_mm512_setzero_si512(); ROWS];
        for r in 0..ROWS {
            w[r] = load(&unit[r]);
        }
        for j in 0..FIELDS {
            for t in 0..M {
                let x = load_signed(&x[t][s][j]);
                for r in 0..ROWS {
                    let sum = &mut acc[t][r][j % chains];
                    *sum = match FIELDS {
                        1 => _mm512_dpbusd_epi32(*sum, x, w[r]),
                        _ => _mm512_dpbusd_epi32(*sum, _mm512_and_si512(w[r], mask), x),
                    };
                }
            }
            for w in &mut w {
                *w = match FIELDS {
                    4 => _mm512_srli_epi16::<2>(*w),
                    _ => _mm512_srli_epi16::<1>(*w),
                };
            }
        }
    }
    let mut sums = [[0; ROWS]; M];
    for (sums, acc) in sums.iter_mut().zip(&acc) {
        *sums = reduce(acc);
    }
    sums
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn float_tile<const FIELDS: usize, const M: usize>(
    panel: &[Unit<FLOATS>],
    x: [&[Step<f32, FLOATS, FIELDS>]; M],
) -> [[f32; ROWS]; M] {
    let table = match FIELDS {
        4 => _mm512_set4_ps(0.0, 1.0, 0.0, -1.0),
        _ => _mm512_set4_ps(1.0, -1.0, 1.0, -1.0),
    };
    let chains = if M == 1 { 2 } else { 1 };
    let mut acc = [[[_mm512_setzero_ps(); 2]; ROWS]; M];
    x.iter().for_each(|x| assert_eq!(x.len(), panel.len()));
    for (s, unit) in panel.iter().enumerate() {
        let mut w = [_mm512_setzero_si512(); ROWS];
        for r in 0..ROWS {
            // Bits shifted in from the left never reach the two that select.
            w[r] = _mm512_cvtepi8_epi32(load_quarter(&unit[r]));
        }
        for j in 0..FIELDS {
            let mut codes = [_mm512_setzero_ps(); ROWS];
            for r in 0..ROWS {
                codes[r] = match FIELDS {
                    1 => _mm512_cvtepi32_ps(w[r]),
                    _ => _mm512_permutevar_ps(table, w[r]),
                };
                w[r] = match FIELDS {
                    4 => _mm512_srli_epi32::<2>(w[r]),
                    _ => _mm512_srli_epi32::<1>(w[r]),
                };
            }
            for t in 0..M {
                let x = load_floats(&x[t][s][j]);
                for r in 0..ROWS {
                    let sum = &mut acc[t][r][j % chains];
                    *sum = _mm512_fmadd_ps(codes[r], x, *sum);
                }
            }
        }
    }
    let mut sums = [[0.0; ROWS]; M];
    for t in 0..M {
        for r in 0..ROWS {
            sums[t][r] = _mm512_reduce_add_ps(_mm512_add_ps(acc[t][r][0], acc[t][r][1]));
        }
    }
    sums
}

/// The sum of all lanes of each row's two sums.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn reduce(acc: &[[__m512i; 2]; ROWS]) -> [i32; ROWS] {
    let mut half = [_mm256_setzero_si256(); ROWS];
    for r in 0..ROWS {
        let sum = _mm512_add_epi32(acc[r][0], acc[r][1]);
        let high = _mm512_extracti64x4_epi64::<1>(sum);
        half[r] = _mm256_add_epi32(_mm512_castsi512_si256(sum), high);
    }
    let [a, b] = [[half[0], half[1]], [half[2], half[3]]].map(|[a, b]| _mm256_hadd_epi32(a, b));
    let both = _mm256_hadd_epi32(a, b);
    let four = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256::<1>(both));
    let mut sums = [0; ROWS];
    // SAFETY: four i32 are 16 bytes; `storeu` has no alignment rule.
    unsafe { _mm_storeu_si128(sums.as_mut_ptr().cast(), four) };
    sums
}

#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; BYTES]) -> __m512i {
    // SAFETY: 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn load_signed(bytes: &[i8; BYTES]) -> __m512i {
    // SAFETY: 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn load_quarter(bytes: &[u8; FLOATS]) -> __m128i {
    // SAFETY: 16 bytes; `loadu` has no alignment rule.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx512f")]
fn load_floats(x: &[f32; FLOATS]) -> __m512 {
    // SAFETY: 16 floats are 64 bytes; `loadu` has no alignment rule.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}
