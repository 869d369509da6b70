//! What conformance cannot see: ties bit for bit, padding bits, values that are no numbers, and
//! groups larger than [`super::FUSED`]. Problems here say `exact`: no near tie is tolerated.
use super::{FUSED, TASK};
use crate::Threads;
use crate::context::{Context, Poison};
use crate::hardware::Hardware;
use crate::pool::Pool;
use crate::quantize_weight::KERNELS;
use lowbit_reference::format::{INT4, INT8, SIGN1, TERNARY2, TERNARY3, UINT4, UINT8, WeightFormat};
use lowbit_reference::judge::judge;
use lowbit_reference::op::quantize::{QuantizeProblem, pack, unpack, weight::QuantizeWeight};
use lowbit_reference::op::{Op, Tensor};
use lowbit_reference::rule::{EpsilonUse, Granularity, Range, Rounding, Rule};
use std::sync::Arc;

fn problem(
    x: Vec<f32>,
    row_len: usize,
    rule: Rule,
    format: &'static dyn WeightFormat,
) -> QuantizeProblem {
    QuantizeProblem {
        group_len: rule.group_len(x.len(), row_len),
        rows: x.len() / row_len,
        row_len,
        packed_len: row_len,
        rule,
        format,
        exact: true,
        distribution: None,
        sigma: 1.0,
        x: Arc::new(x),
    }
}

/// Every row whose hardware is here, on 1 and on 3 threads; conformance counts those it is not.
fn check(problem: &QuantizeProblem) {
    let hardware = Hardware::without_devices("not asked");
    let reference = problem.reference();
    // The native rows: those with threads of the pool.
    let native = KERNELS.iter().filter(|kernel| kernel.threads() == Threads::Pool);
    for kernel in native.filter(|kernel| hardware.has(kernel.need()).is_ok()) {
        let what = format!("{} {:?} {:?}", kernel.name(), problem.rule, problem.format);
        let run = |threads, poison| {
            let pool = Pool::new(threads).unwrap();
            let mut context = Context::new(pool, hardware.clone(), poison);
            let mut prepared = kernel.prepare(problem, &mut context).unwrap();
            prepared.launch().unwrap();
            let outputs = prepared.read().unwrap();
            assert_eq!(context.check_guards(), Ok(()), "{what}");
            outputs
        };
        let one = run(1, Poison::Ones);
        let arithmetic = kernel.arithmetic(problem);
        let expectation = QuantizeWeight::expect(problem, &reference, arithmetic, &one);
        assert_eq!(judge(&expectation, &one).fault, None, "{what}");
        // Decoding ignores the bits beyond the last code of a run; they must be zero all the same.
        let Some(Tensor::U8(bytes)) = one.get("packed") else { panic!("{what}: not packed") };
        let codes = unpack(problem, bytes).unwrap();
        assert!(*bytes == pack(problem.format, &codes, problem.packed_len), "{what}: padding");
        assert_eq!(one, run(3, Poison::Sevens), "{what}: threads");
    }
}

/// A fixed sequence, roughly uniform in `-4..4`.
fn values(len: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 21) as f32 - 4.0
    };
    (0..len).map(|_| next()).collect()
}

/// Every multiple of half a code up to past the ends, and its neighbours above and below.
fn ties() -> Vec<f32> {
    let halves = (-300..=300).map(|i| i as f32 / 2.0);
    halves.flat_map(|x| [x, x.next_up(), x.next_down(), -x]).collect()
}

fn int8_rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for rounding in [Rounding::HalfEven, Rounding::HalfAway] {
        for min_code in [-128, -127, -8] {
            for times in [1.0, 0.3] {
                rules.push(Rule { rounding, min_code, times, ..Rule::default() });
            }
        }
    }
    rules
}

#[test]
fn ties_of_int8_go_where_the_rule_says() {
    // Scales of 1 (the maximum is the number of steps), and of anything else.
    for rule in int8_rules() {
        let ties: Vec<f32> = ties().into_iter().filter(|x| x.abs() <= 150.0).collect();
        let row_len = ties.len();
        let unit = Rule { times: 1.0, steps: 150.0, ..rule };
        check(&problem(ties.clone(), row_len, unit, &INT8));
        check(&problem(ties.iter().map(|x| x * 0.1).collect(), row_len, rule, &INT8));
        check(&problem(values(5000), 1000, rule, &INT8));
    }
}

#[test]
fn steps_without_a_reciprocal_are_divided_by() {
    for (size, epsilon) in [(1e-41, 1e-45), (1e38, 1e-45), (3e38, 1e-8), (0.0, 1e-45)] {
        for rule in int8_rules() {
            let x: Vec<f32> = values(300).iter().map(|x| x / 4.0 * size).collect();
            check(&problem(x.clone(), 100, Rule { epsilon, ..rule }, &INT8));
            let wide = Rule { steps: 1e-3, epsilon, ..rule };
            check(&problem(x, 100, wide, &INT8));
        }
    }
}

#[test]
fn values_that_are_no_numbers_do_as_the_reference_does() {
    for format in [&INT8 as &dyn WeightFormat, &TERNARY2, &SIGN1] {
        for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 1e-45, f32::MAX] {
            for rule in int8_rules() {
                let mut x = values(33 * 5);
                x.iter_mut().step_by(7).for_each(|x| *x = special);
                let rule = Rule { epsilon: 1e-3, ..rule };
                check(&problem(x, 33, rule, format));
            }
        }
    }
}

#[test]
fn comparisons_at_the_limit_are_inclusive_only_by_rule() {
    for (inclusive, threshold) in [(true, 1.0), (false, 1.0), (true, 0.0), (false, 0.0)] {
        let x = [1.0, -1.0, 0.0, -0.0, 0.5, 2.0, -2.0, 1.0f32.next_down(), -1.0f32.next_up()];
        let rule = Rule { inclusive, threshold, steps: 2.0, ..Rule::default() };
        check(&problem(x.repeat(9), 81, rule, &TERNARY2));
        check(&problem(x.repeat(9), 81, rule, &TERNARY3));
        // Two of four magnitudes are the mean, which is the limit where the threshold is 1.
        let kept = Rule { range: Range::Absmean, steps: 1.0, kept_mean: true, ..rule };
        for format in [&TERNARY2 as &dyn WeightFormat, &TERNARY3] {
            check(&problem([0.5, -1.5, 1.0, -1.0].repeat(9), 12, kept, format));
        }
        let rule = Rule { zero_is_positive: inclusive, ..rule };
        check(&problem(x.repeat(9), 81, rule, &SIGN1));
        check(&problem(x.repeat(9), 81, Rule { centred: true, ..rule }, &SIGN1));
    }
}

#[test]
fn large_groups_are_blocks_in_order_whatever_the_threads() {
    // Long rows cut inside, short rows cut between, bytes that rows do not fill, and the border.
    let shapes = [(2, FUSED + 4099), (20_011, 5), (3, FUSED), (2, TASK + 1), (7, 20_001)];
    for (rows, row_len) in shapes {
        let x = values(rows * row_len);
        for granularity in [Granularity::Row, Granularity::Tensor] {
            for range in [Range::Absmax, Range::Absmean] {
                let rule = Rule { granularity, range, ..Rule::default() };
                check(&problem(x.clone(), row_len, rule, &INT8));
                let add = Rule { steps: 1.0, epsilon_use: EpsilonUse::Add, epsilon: 0.1, ..rule };
                check(&problem(x.clone(), row_len, add, &TERNARY2));
                check(&problem(x.clone(), row_len, Rule { centred: true, ..rule }, &SIGN1));
            }
        }
    }
}

#[test]
fn zero_points_and_unsigned_codes_are_those_of_the_reference_to_the_bit() {
    for (format, steps) in [(&UINT8 as &dyn WeightFormat, 255.0), (&UINT4, 15.0)] {
        for special in [0.0, -0.0, f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-45] {
            for rounding in [Rounding::HalfEven, Rounding::HalfAway] {
                let rule = Rule { steps, min_code: 0, rounding, ..Rule::default() };
                // Values on both sides of zero, on one, and at halves of codes.
                for shift in [0.0, 5.0, -5.0] {
                    let mut x: Vec<f32> = values(33 * 6).iter().map(|x| x + shift).collect();
                    x[40] = special;
                    for range in [Range::Minmax, Range::Absmax] {
                        let unit = EpsilonUse::Unit;
                        let zero = Rule { with_zero: true, epsilon_use: unit, range, ..rule };
                        check(&problem(x.clone(), 33, zero, format));
                        check(&problem(x.clone(), 33, Rule { range, ..rule }, format));
                    }
                }
                let halves: Vec<f32> = (-20..=40).map(|i| i as f32 / 2.0).collect();
                let unit = Rule { range: Range::Fixed, fixed_scale: 1.0, ..rule };
                check(&problem(halves, 61, unit, format));
            }
        }
    }
}

#[test]
fn groups_of_a_row_have_scales_of_their_own_in_batches_and_after() {
    for (group_size, format) in [
        (32, &INT8 as &dyn WeightFormat),
        (64, &INT8),
        (128, &INT8),
        (5, &INT8),
        (32, &INT4),
        (64, &TERNARY2),
        (160, &TERNARY3),
        (32, &SIGN1),
        (128, &SIGN1),
        (256, &SIGN1),
    ] {
        // Batches of sixteen, and groups left over.
        for (rows, groups) in [(1, 1), (3, 5), (2, 16), (7, 37)] {
            let mut x = values(rows * groups * group_size);
            for (i, group) in x.chunks_mut(group_size).enumerate() {
                group.iter_mut().for_each(|x| *x *= 1.0 + i as f32);
            }
            let granularity = Granularity::Group;
            let rule =
                Rule { granularity, group_size, steps: 7.0, min_code: -7, ..Rule::default() };
            check(&problem(x.clone(), groups * group_size, rule, format));
            let mean = Rule { range: Range::Absmean, ..rule };
            check(&problem(x.clone(), groups * group_size, mean, format));
            if format.name() == "sign1" {
                for range in [Range::Absmax, Range::Absmean] {
                    let centred = Rule { range, centred: true, ..rule };
                    check(&problem(x.clone(), groups * group_size, centred, format));
                }
            }
        }
    }
}

#[test]
fn short_rows_have_scales_of_their_own_in_batches_and_after() {
    let formats = [&INT8 as &dyn WeightFormat, &INT4, &TERNARY2, &TERNARY3, &SIGN1];
    for (row_len, format) in [31, 32, 33, 64].into_iter().flat_map(|k| formats.map(|f| (k, f))) {
        let mut x = values(37 * row_len);
        for (i, row) in x.chunks_mut(row_len).enumerate() {
            row.iter_mut().for_each(|x| *x *= 1.0 + i as f32);
        }
        for range in [Range::Absmax, Range::Absmean] {
            let granularity = Granularity::Row;
            let rule = Rule { granularity, range, steps: 7.0, min_code: -7, ..Rule::default() };
            check(&problem(x.clone(), row_len, rule, format));
        }
    }
}

#[test]
fn groups_that_end_within_a_byte_are_refused_by_name() {
    let rule = Rule { granularity: Granularity::Group, group_size: 3, ..Rule::default() };
    let problem = problem(values(30), 6, rule, &INT4);
    let kernels = KERNELS.iter().filter(|kernel| kernel.threads() == Threads::Pool);
    for kernel in kernels {
        let why = kernel.accepts(&problem).unwrap_err();
        assert_eq!(why, "groups of 3 int4 codes end within a byte or a row");
    }
}

#[test]
fn what_goes_past_the_caches_is_what_stays() {
    // Rows that begin anywhere in a line, and one that is parts; 20 MiB and a little in all.
    let formats = [&INT8 as &dyn WeightFormat, &INT4, &TERNARY2, &TERNARY3, &SIGN1];
    for (row_len, format) in [(4099, formats[0]), (40_961, formats[0])]
        .into_iter()
        .chain(formats[1..].iter().map(|format| (8_193, *format)))
    {
        let rows = super::STREAMED / 4 / row_len + 1;
        let rule = Rule { steps: 7.0, min_code: -7, ..Rule::default() };
        check(&problem(values(rows * row_len), row_len, rule, format));
    }
    let (granularity, group_size) = (Granularity::Group, 32);
    let rule = Rule { granularity, group_size, ..Rule::default() };
    check(&problem(values((super::STREAMED / 4 / 96 + 1) * 96), 96, rule, &INT8));
    let tensor = Rule { granularity: Granularity::Tensor, ..Rule::default() };
    check(&problem(values(super::STREAMED / 4 + 31), super::STREAMED / 4 + 31, tensor, &INT8));
}

#[test]
fn the_mean_of_what_is_kept_is_summed_in_f64() {
    for (rows, row_len) in [(7, 33), (2, FUSED + 4099), (20_011, 5)] {
        for granularity in [Granularity::Row, Granularity::Tensor] {
            let range = Range::Absmean;
            let rule = Rule { granularity, range, steps: 1.0, kept_mean: true, ..Rule::default() };
            for inclusive in [false, true] {
                let rule = Rule { threshold: 0.7, inclusive, ..rule };
                check(&problem(values(rows * row_len), row_len, rule, &TERNARY2));
                check(&problem(values(rows * row_len), row_len, rule, &TERNARY3));
                check(&problem(vec![0.0; rows * row_len], row_len, rule, &TERNARY3));
            }
        }
    }
}
