//! Defect 17: sums of products that leave an i32, in a device's wrap or a debug build's panic.
use lowbit_reference::format::Levels;
use lowbit_reference::op::int8::{MAX_DEPTH, int8_linear};
use lowbit_reference::op::integer::{Affine, Codes, MatMulShape, matmul_integer};
use lowbit_reference::op::linear;
use lowbit_reference::op::projection::{Accumulator, Coded, DecoderTail, IntegerProjection};

/// The source's sum, as a release build or a device makes it.
fn wrapped(x: i32, w: i32, depth: usize) -> i32 {
    (0..depth).fold(0i32, |sum, _| sum.wrapping_add(x * w))
}

/// Largest depth whose sum of the largest products is still an i32, by the definition.
fn deepest(x: u16, w: u16) -> usize {
    let product = i64::from(x) * i64::from(w);
    let fits = |depth: i64| i32::try_from(depth * product).is_ok();
    // Binary digits of the depth, from the highest.
    let depth =
        (0..32).rev().map(|bit| 1i64 << bit).fold(0, |depth, bit| match fits(depth + bit) {
            true => depth + bit,
            false => depth,
        });
    usize::try_from(depth).unwrap()
}

/// One output of a decoder tail over `heads` heads, all codes at `x` and `w`.
fn tail(heads: usize, latent: usize, (x, w): (i16, i16), accumulator: Accumulator) -> TailSum {
    let latent_total = heads * latent;
    let shape = DecoderTail { batch: 1, heads, time: 1, latent, latent_total, dim: 1 };
    let (input, weight) = (vec![x; latent_total], vec![w; latent_total]);
    let limit = |code: i16| code.unsigned_abs();
    let problem = IntegerProjection {
        shape,
        input: Coded { codes: &input, limit: limit(x), scales: &[1.0] },
        weight: Coded { codes: &weight, limit: limit(w), scales: &[1.0] },
        accumulator,
        relu_threshold: None,
    };
    problem.sums().map(|sums| sums[0]).map_err(|error| (error.field, error.value))
}

/// The sum, or the field that is refused and its value.
type TailSum = Result<i64, (String, String)>;

#[test]
fn defect_17_the_deepest_sum_is_derived_and_the_next_is_refused() {
    for (x, w, depth) in [(127, 127, 133_144), (255, 127, 66_311), (127, 1, 16_909_320)] {
        assert_eq!(deepest(x, w), depth, "{x} {w}");
        assert_eq!(Accumulator::I32.max_depth(x, w), depth, "{x} {w}");
    }
    assert_eq!(MAX_DEPTH, deepest(127, 127));
    // With -128 the limit of `linear` is lower.
    assert_eq!(linear::max_k(Levels::Int8, Levels::Int8), deepest(128, 128));
    for (x, w, most) in [(127, 127, 133_144), (255, -127, 66_311)] {
        let product = i64::from(x) * i64::from(w);
        let sum = product * i64::try_from(most).unwrap();
        assert_eq!(tail(1, most, (x, w), Accumulator::I32), Ok(sum));
        assert_eq!(i64::from(wrapped(x.into(), w.into(), most)), sum, "the last that fits");
        let wrong = wrapped(x.into(), w.into(), most + 1);
        assert_eq!(wrong.signum(), -i32::from(x.signum() * w.signum()), "the sign is lost");
        let refused = Err(("depth".to_owned(), (most + 1).to_string()));
        assert_eq!(tail(1, most + 1, (x, w), Accumulator::I32), refused);
        assert_eq!(tail(1, most + 1, (x, w), Accumulator::I64), Ok(sum + product));
    }
}

#[test]
fn defect_17_a_decoder_tail_sums_over_all_heads() {
    // Each head alone fits, which is all that a limit on `latent` would see.
    assert_eq!(wrapped(127, 127, 131_072), 2_114_060_288);
    assert_eq!(tail(4, 32_768, (127, 127), Accumulator::I32), Ok(2_114_060_288));
    assert_eq!(wrapped(127, 127, 262_144), -66_846_720);
    let refused = Err(("depth".to_owned(), "262144".to_owned()));
    assert_eq!(tail(8, 32_768, (127, 127), Accumulator::I32), refused);
    // -66,846,720 + 2^32.
    assert_eq!(tail(8, 32_768, (127, 127), Accumulator::I64), Ok(4_228_120_576));
}

#[test]
fn defect_17_every_integer_product_has_its_limit() {
    let shape = |k| MatMulShape { m: 0, k, n: 0 };
    let (x, w) = (Codes::U8(&[]), Codes::I8(&[]));
    let (x, w) = (Affine { codes: x, zero_points: &[0] }, Affine { codes: w, zero_points: &[0] });
    // i8 reaches -128 here: 255 * 128.
    let most = deepest(255, 128);
    assert_eq!(matmul_integer(shape(most), &x, &w), Ok(vec![]));
    assert_eq!(matmul_integer(shape(most + 1), &x, &w).unwrap_err().field, "k");
    assert_eq!(int8_linear(shape(MAX_DEPTH + 1), &[], &[]).unwrap_err().field, "k");
    let case = |k: usize| {
        let id = format!(
            "linear/weight=int8/activation=int8/weight_rule=absmax/activation_rule=absmax/\
             m=1/k={k}/n=1/data=realistic/seed=1"
        );
        id.parse::<lowbit_reference::case::Case>()
    };
    assert!(case(131_071).is_ok());
    let error = case(131_072).unwrap_err().to_string();
    assert!(error.contains("overflows an i32 sum; at most 131071"), "{error}");
}

/// `acc as f32` is exact below 2^24 only; the sums themselves are kept.
#[test]
fn defect_17_sums_above_2_to_the_24_are_not_rounded_before_their_time() {
    let depth = (1 << 24) + 1;
    assert_eq!(depth as f32, 16_777_216.0);
    assert_eq!(tail(1, depth, (1, 1), Accumulator::I32), Ok(16_777_217));
}
