//! The exponential, and shapes that no case spells out.
use super::KERNELS;
use super::simd::{Simd, Work};
use crate::context::{Context, Poison};
use crate::hardware::Hardware;
use crate::pool::Pool;
use lowbit_reference::config::viva::AttentionConfig;
use lowbit_reference::judge::judge;
use lowbit_reference::op::Op;
use lowbit_reference::op::attention::{
    Attention, AttentionProblem, AttentionShape, CausalAlignment, EXP_ULPS, Scores,
};

/// One vector of powers.
struct Powers<'a, const L: usize>(&'a mut [f32; L]);

impl<I: Simd<L>, const L: usize> Work<I> for Powers<'_, L> {
    #[inline(always)]
    fn run(self, isa: I) {
        isa.store(isa.exp2(isa.load(self.0)), self.0);
    }
}

#[inline(never)]
fn powers<I: Simd<L>, const L: usize>(isa: I, x: &mut [f32; L]) {
    isa.enter(Powers(x));
}

/// Largest error of `2^x` in ulp over floats from -125 to 0: every 97th.
fn worst<I: Simd<L>, const L: usize>(isa: I) -> f64 {
    let mut worst = 0f64;
    let bits = (0..(-125f32).to_bits() - (-0f32).to_bits()).step_by(97);
    let all: Vec<f32> = bits.map(|bits| f32::from_bits((-0f32).to_bits() + bits)).collect();
    for x in all.as_chunks::<L>().0 {
        let mut y = *x;
        powers(isa, &mut y);
        for (x, y) in x.iter().zip(y) {
            let want = f64::from(*x).exp2();
            let ulp = f64::from(f32::EPSILON) * want.log2().floor().exp2();
            let error = (f64::from(y) - want).abs() / ulp;
            if error > worst {
                worst = error;
            }
        }
    }
    let mut ends = [0.0; L];
    (ends[1], ends[2], ends[3]) = (-1e38, -150.5, -1.0);
    powers(isa, &mut ends);
    assert_eq!(ends[..4], [1.0, 0.0, 0.0, 0.5]);
    worst
}

#[test]
fn the_exponential_is_as_exact_as_its_header_says() {
    let scalar = worst(super::scalar::Scalar);
    assert!(scalar < EXP_ULPS, "{scalar}");
    #[cfg(target_arch = "x86_64")]
    if let (Some(avx2), Some(avx512)) =
        (super::avx2::Avx2::detect(), super::avx512vnni::Avx512::detect())
    {
        let found = [worst(avx2), worst(avx512)];
        assert!(found.iter().all(|ulps| *ulps < 1.0), "{found:?}");
    }
}

/// A problem whose values are longer than its keys.
fn problem(value_dim: usize, shape: AttentionShape) -> AttentionProblem {
    let shape = AttentionShape { value_dim, ..shape };
    let fill = |len: usize, by: usize| -> Vec<f32> {
        (0..len).map(|i| (i * by % 101) as f32 / 50.0 - 1.0).collect()
    };
    let (tokens, keys) = (shape.batch * shape.config.num_heads * shape.query_len, shape.key_len);
    let keys = shape.batch * shape.kv_heads * keys;
    let dim = shape.config.head_dim;
    let (q, k, v) = (fill(tokens * dim, 37), fill(keys * dim, 53), fill(keys * value_dim, 29));
    AttentionProblem { shape, scores: Scores::F32, q, k, v, exact: false }
}

fn shape() -> AttentionShape {
    AttentionShape {
        config: AttentionConfig::new(4, 5).causal(),
        batch: 2,
        kv_heads: 2,
        query_len: 29,
        key_len: 23,
        value_dim: 5,
        alignment: CausalAlignment::BottomRight,
        seed: 3,
    }
}

#[test]
fn values_may_be_longer_or_shorter_than_keys() {
    let hardware = Hardware::detect();
    for kernel in KERNELS.iter().filter(|kernel| hardware.has(kernel.need()).is_ok()) {
        for value_dim in [1, 4, 33, 80] {
            let problem = problem(value_dim, shape());
            let mut context = Context::new(Pool::new(1).unwrap(), hardware.clone(), Poison::Ones);
            kernel.accepts(&problem).unwrap();
            let mut run = kernel.prepare(&problem, &mut context).unwrap();
            run.launch().unwrap();
            let outputs = run.read().unwrap();
            let arithmetic = kernel.arithmetic(&problem);
            let reference = Attention::reference(&problem);
            let want = Attention::expect(&problem, &reference, arithmetic, &outputs);
            assert_eq!(judge(&want, &outputs).fault, None, "{} {value_dim}", kernel.name());
        }
    }
}

#[test]
fn what_no_row_can_answer_is_refused() {
    let whole = || problem(5, shape());
    let refused = |change: fn(&mut AttentionProblem)| {
        let mut problem = whole();
        change(&mut problem);
        KERNELS.iter().all(|kernel| kernel.accepts(&problem).is_err())
    };
    assert!(refused(|p| p.q[3] = f32::NAN));
    assert!(refused(|p| p.k[3] = f32::INFINITY));
    assert!(refused(|p| p.v[3] = f32::NAN));
    assert!(refused(|p| (p.q[0], p.k[0]) = (1e20, 1e20)));
    assert!(refused(|p| p.k.truncate(7)));
    assert!(refused(|p| p.shape.kv_heads = 3));
}
