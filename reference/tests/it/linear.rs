//! What the oracle of `linear` must find wrong, what it must let pass, and what is no case.
use lowbit_reference::bound;
use lowbit_reference::case::Case;
use lowbit_reference::data::NoFiles;
use lowbit_reference::format::Levels;
use lowbit_reference::judge::judge;
use lowbit_reference::op::linear::{Activation, Linear, LinearProblem, Weight, max_k};
use lowbit_reference::op::{Arithmetic, Bound, Expectation, Op, Outputs, Tensor};

const GROUPS: &str = r#"{"granularity":"group","group_size":32}"#;
const ZERO_POINTS: &str = r#"{"granularity":"group","group_size":32,"range":"minmax"}"#;

const WEIGHTS: [(&str, &str); 15] = [
    ("sign1", "b1"),
    ("ternary2", "b158"),
    ("ternary3", "b158"),
    ("int8", "absmax"),
    ("int8", GROUPS),
    ("int4", GROUPS),
    ("uint4", "onnx"),
    ("uint4", ZERO_POINTS),
    ("nf4", "none"),
    ("nf4_i8", "none"),
    ("q8_0", "none"),
    ("q4_0", "none"),
    ("tq2_0", "none"),
    ("mxfp4", "none"),
    ("q4_k", "none"),
];
const ACTIVATIONS: [(&str, &str); 4] =
    [("f32", "none"), ("int8", "absmax"), ("int4", "a48"), ("uint8", "onnx")];

fn id((weight, weight_rule): (&str, &str), (activation, rule): (&str, &str), rest: &str) -> String {
    format!(
        "linear/weight={weight}/activation={activation}/weight_rule={weight_rule}\
         /activation_rule={rule}/{rest}"
    )
}

fn problem(id: &str) -> LinearProblem {
    let case: Case = id.parse().unwrap_or_else(|e| panic!("{id}: {e}"));
    Linear::generate(&case, &NoFiles).unwrap()
}

fn expect(p: &LinearProblem, arithmetic: Arithmetic, got: &Outputs) -> Expectation {
    Linear::expect(p, &Linear::reference(p), arithmetic, got)
}

/// The oracle's own `y`.
fn y(p: &LinearProblem) -> Vec<f32> {
    match &expect(p, Arithmetic::FLOAT, &Outputs::default()).outputs[0].want {
        Tensor::F32(y) => y.clone(),
        other => panic!("y is {}", other.type_name()),
    }
}

fn fault(p: &LinearProblem, arithmetic: Arithmetic, y: Vec<f32>) -> Option<String> {
    let got = Outputs(vec![("y", Tensor::F32(y))]);
    judge(&expect(p, arithmetic, &got), &got).fault
}

/// The weights as floats, by the formats' own words.
fn dequantized(p: &LinearProblem) -> Vec<f32> {
    match &p.weight {
        Weight::Codes(w) => {
            let value = |(at, code): (usize, i16)| {
                let (j, g) = (at / w.k, at % w.k / w.group_size);
                (i32::from(code) - w.zero_point(j, g)) as f32 * w.group_scale(j, g)
            };
            w.weight_codes().into_iter().enumerate().map(value).collect()
        }
        Weight::Blocks(w) => w.format.decode(&w.bytes).unwrap(),
        Weight::Table(w) => w.format.dequantize(&w.codes, &w.absmax),
    }
}

fn token(p: &LinearProblem, i: usize) -> Vec<f32> {
    let value = |code: i32| (code - p.activation_zero_point(i)) as f32 * p.activation_scale(i);
    match &p.activation {
        Activation::F32(x) => p.rows.row(x, i).to_vec(),
        Activation::I8(x) => p.rows.row(&x.codes, i).iter().map(|c| value((*c).into())).collect(),
        Activation::U8(x) => p.rows.row(&x.codes, i).iter().map(|c| value((*c).into())).collect(),
    }
}

/// Products in f32, added in f32 from the last to the first.
fn naive(p: &LinearProblem) -> Vec<f32> {
    let w = dequantized(p);
    let output = |at: usize| {
        let (i, j) = (at / p.n, at % p.n);
        let pairs = token(p, i).into_iter().zip(w[j * p.k..][..p.k].to_vec()).rev();
        pairs.collect::<Vec<_>>().iter().fold(0.0f32, |sum, (x, w)| sum + x * w)
    };
    (0..p.m * p.n).map(output).collect()
}

fn every_pair(rest: &str) -> impl Iterator<Item = String> + '_ {
    let pair = move |weight| ACTIVATIONS.map(|activation| id(weight, activation, rest));
    WEIGHTS.into_iter().flat_map(pair)
}

#[test]
fn a_product_of_dequantized_floats_passes_and_in_tier_exact_bit_for_bit() {
    // Scales of q4_k are rounded twice: no data of its are exact, and a case of them is none.
    let exact = |id: &String| !id.contains("q4_k");
    for id in every_pair("m=3/k=256/n=5/data=exact/seed=3").filter(exact) {
        let p = problem(&id);
        let expected = expect(&p, Arithmetic::FLOAT, &Outputs::default());
        // Codes up to 255 less a zero point, times table values up to 127, pass 2^24 at times.
        let large = id.contains("uint8") && (id.contains("nf4_i8") || id.contains("q8_0"));
        assert!(large || matches!(expected.outputs[0].bound, Bound::Exact), "{id}");
        assert!(large || naive(&p) == y(&p), "{id}");
        assert_eq!(fault(&p, Arithmetic::FLOAT, naive(&p)), None, "{id}");
    }
    for id in every_pair("m=3/k=512/n=5/data=realistic/seed=4") {
        let p = problem(&id);
        assert_eq!(fault(&p, Arithmetic::FLOAT, naive(&p)), None, "{id}");
        assert_eq!(fault(&p, Arithmetic::INTEGER, y(&p)), None, "{id}");
    }
}

/// What a row must not do: change the problem as the row would have misread it, and hand the true
/// outputs of that to the judge of this one.
fn misread(id: &str, what: &str, change: impl Fn(&mut LinearProblem)) {
    let (p, mut other) = (problem(id), problem(id));
    change(&mut other);
    let wrong = y(&other);
    for arithmetic in [Arithmetic::INTEGER, Arithmetic::FLOAT] {
        assert!(fault(&p, arithmetic, wrong.clone()).is_some(), "{id}: {what} passes");
    }
}

#[test]
fn a_neighbours_scale_is_found() {
    for id in every_pair("m=2/k=512/n=4/data=realistic/seed=5") {
        misread(&id, "the next group's scale", |p| match &mut p.weight {
            Weight::Codes(w) if w.scales.len() > 1 => w.scales.swap(1, 2),
            Weight::Codes(w) => w.scales[0] *= 1.1,
            Weight::Blocks(w) => {
                // The scales of two blocks with their codes, but not in their places.
                let block = w.format.block_bytes();
                let (a, b) = w.bytes.split_at_mut(block);
                a.swap_with_slice(&mut b[..block]);
            }
            Weight::Table(w) => w.absmax.swap(1, 2),
        });
    }
    for activation in &ACTIVATIONS[1..3] {
        let id = id(("int8", GROUPS), *activation, "m=3/k=64/n=4/data=realistic/seed=5");
        misread(&id, "the next token's scale", |p| {
            if let Activation::I8(x) = &mut p.activation {
                x.scales.swap(0, 1);
            }
        });
    }
}

#[test]
fn swapped_nibbles_are_found() {
    for id in every_pair("m=2/k=256/n=4/data=realistic/seed=6") {
        misread(&id, "a byte read backwards", |p| {
            let bytes = match &mut p.weight {
                Weight::Codes(w) => &mut w.bytes,
                Weight::Blocks(w) => &mut w.bytes,
                Weight::Table(w) => &mut w.codes,
            };
            // Of a base-3 byte, another digit; of a block, a byte behind the scale.
            let at = (8..40).find(|at| bytes[*at].rotate_left(4) != bytes[*at]).unwrap();
            let ternary3 = id.contains("ternary3");
            bytes[at] = if ternary3 { (bytes[at] + 1) % 243 } else { bytes[at].rotate_left(4) };
        });
    }
}

#[test]
fn a_zero_point_off_by_one_is_found() {
    for rule in ["onnx", ZERO_POINTS] {
        for activation in ACTIVATIONS {
            let id = id(("uint4", rule), activation, "m=2/k=256/n=4/data=realistic/seed=7");
            misread(&id, "a zero point", |p| match &mut p.weight {
                Weight::Codes(w) => w.zero_points[0] += 1,
                other => panic!("{} has none", other.name()),
            });
        }
    }
    let id = id(("int8", "absmax"), ("uint8", "onnx"), "m=2/k=256/n=4/data=realistic/seed=7");
    misread(&id, "the activations' zero point", |p| match &mut p.activation {
        Activation::U8(x) => x.zero_points[0] -= 1,
        other => panic!("{} has none", other.name()),
    });
}

#[test]
fn a_value_that_lies_between_tokens_is_found() {
    for id in every_pair("m=3/k=256/n=4/x_stride=260/x_offset=5/data=realistic/seed=8") {
        let p = problem(&id);
        assert_eq!(p.rows.len(), 5 + 2 * 260 + 256);
        misread(&id, "a token that begins one too soon", |p| p.rows.offset -= 1);
        misread(&id, "a stride of K", |p| p.rows.stride = p.k);
        let contiguous = problem(&id.replace("/x_stride=260/x_offset=5", ""));
        assert_eq!(y(&p), y(&contiguous), "{id}");
        assert!(contiguous.rows.is_contiguous() && !p.rows.is_contiguous());
    }
}

#[test]
fn integers_are_held_to_their_groups_and_floats_to_every_product() {
    let rest = "m=2/k=1024/n=4/data=realistic/seed=9";
    for weight in [("int4", GROUPS), ("q8_0", "none"), ("nf4_i8", "none"), ("mxfp4", "none")] {
        let p = problem(&id(weight, ACTIVATIONS[1], rest));
        let bounds = |arithmetic| match expect(&p, arithmetic, &Outputs::default())
            .outputs
            .remove(0)
            .bound
        {
            Bound::Componentwise(bounds) => bounds,
            other => panic!("{other:?}"),
        };
        let tight = bounds(Arithmetic::INTEGER);
        for (tight, wide) in tight.iter().zip(bounds(Arithmetic::FLOAT)) {
            assert!(*tight > 0.0 && 50.0 * tight < wide, "{weight:?}: {tight:e} {wide:e}");
        }
        // Twice its bound is too much for a row of integers, and little for one of floats.
        let mut off = y(&p);
        off[3] += 2.0 * tight[3] as f32;
        assert!(fault(&p, Arithmetic::INTEGER, off.clone()).is_some());
        assert_eq!(fault(&p, Arithmetic::FLOAT, off), None);
    }
    // A table of floats has no integers to be held to.
    let p = problem(&id(("nf4", "none"), ACTIVATIONS[1], rest));
    let bound = expect(&p, Arithmetic::INTEGER, &Outputs::default()).outputs.remove(0).bound;
    let Bound::Componentwise(bounds) = bound else { panic!("exact") };
    assert!(bounds.iter().all(|b| *b > bound::gamma(1024)), "{bounds:?}");
}

#[test]
fn every_pair_of_codes_has_its_largest_depth() {
    let weights = [
        ("sign1", "b1", Levels::Sign, 1),
        ("ternary2", "b158", Levels::Ternary, 1),
        ("int4", "absmax", Levels::Int4, 8),
        ("uint4", "onnx", Levels::Uint4, 15),
        ("int8", "absmax", Levels::Int8, 128),
    ];
    let activations =
        [("int4", Levels::Int4, 8i64), ("int8", Levels::Int8, 128), ("uint8", Levels::Uint8, 255)];
    for (weight, rule, w_levels, w) in weights {
        for (activation, x_levels, x) in activations {
            let most = max_k(x_levels, w_levels);
            let sum = |k: usize| i32::try_from(i64::try_from(k).unwrap() * w * x);
            assert!(sum(most).is_ok() && sum(most + 1).is_err(), "{weight} {activation}");
            let case = |k: usize| {
                let rest = format!("m=1/k={k}/n=1/data=realistic");
                id((weight, rule), (activation, "absmax"), &rest).parse::<Case>()
            };
            assert!(case(most).is_ok(), "{weight} {activation} {most}");
            let error = case(most + 1).unwrap_err().to_string();
            let said = format!("`k={}` overflows an i32 sum; at most {most}", most + 1);
            // Above 2^28 there are no sizes at all.
            assert!(error == said || most + 1 >= 1 << 28, "{error}");
        }
    }
    // Sums end with their group.
    let long = id(("int8", GROUPS), ("int8", "absmax"), "m=1/k=1048576/n=1/data=realistic");
    assert!(long.parse::<Case>().is_ok());
}

#[test]
fn words_that_make_no_case_are_refused_with_a_reason() {
    let rest = "m=1/k=256/n=1/data=realistic";
    let error = |id: String| id.parse::<Case>().unwrap_err().to_string();
    let found = error(id(("q8_0", "absmax"), ACTIVATIONS[0], rest));
    assert_eq!(
        found,
        "`weight_rule=absmax` goes with no q8_0 weight, which carries its scales; use `none`"
    );
    let found = error(id(("int8", "none"), ACTIVATIONS[0], rest));
    assert!(found.starts_with("`weight_rule=none` is no rule for int8 codes; rules"), "{found}");
    let found = error(id(("nf4_i8", "none"), ACTIVATIONS[0], "m=1/k=100/n=1/data=realistic"));
    assert_eq!(found, "`k=100` is no multiple of nf4_i8's blocks of 64");
    let found = error(id(("q4_k", "none"), ACTIVATIONS[0], "m=1/k=256/n=1/data=exact"));
    assert_eq!(found, "`data=exact` goes with no q4_k weight: its scales are rounded twice");
    let found = error(id(("int4", GROUPS), ACTIVATIONS[0], "m=1/k=100/n=1/data=realistic"));
    assert_eq!(found, "`k=100` is no multiple of the rule's groups of 32");
    let found = error(id(("int8", "absmax"), ("int8", GROUPS), rest));
    assert!(found.ends_with("groups within a row; `linear` takes a scale per tensor or token"));
    let found =
        error(id(("int8", "absmax"), ACTIVATIONS[0], &rest.replace("/n", "/x_stride=255/n")));
    assert_eq!(found, "`x_stride=255` is less than k: rows would overlap");
    let found = error(id(("int8", r#"{"rotated":true}"#), ACTIVATIONS[0], rest));
    assert!(found.ends_with("has a rotation; `linear` takes values as they are"), "{found}");
}

#[test]
fn nothing_is_an_answer_and_an_empty_sum_is_zero() {
    for (rest, len) in
        [("m=0/k=64/n=3", 0), ("m=2/k=64/n=0", 0), ("m=2/k=0/n=3", 6), ("m=0/k=0/n=0", 0)]
    {
        for id in every_pair(&format!("{rest}/data=realistic")) {
            if (id.contains("tq2_0") || id.contains("q4_k")) && rest.contains("k=64") {
                continue;
            }
            let p = problem(&id);
            assert_eq!(y(&p), vec![0.0; len], "{id}");
            assert_eq!(fault(&p, Arithmetic::INTEGER, vec![0.0; len]), None, "{id}");
            assert!(fault(&p, Arithmetic::INTEGER, vec![0.0; len + 1]).is_some(), "{id}");
            assert!(
                Linear::predicted_zeros(&p).is_some()
                    && Linear::storage(&p).bits_per_element() >= 0.0
            );
        }
    }
}

/// Above 2^29 products a sample is compared; what lies outside it is still looked at.
#[test]
fn large_products_are_sampled_and_the_rest_is_summed_up() {
    let rest = "m=65/k=4096/n=2500/data=realistic/seed=2";
    for (weight, activation) in
        [(("ternary2", "b158"), 1), (("nf4_i8", "none"), 1), (("q4_0", "none"), 0)]
    {
        let p = problem(&id(weight, ACTIVATIONS[activation], rest));
        let reference = Linear::reference(&p);
        assert!(reference.grid.sampled);
        let arithmetic = if activation == 0 { Arithmetic::FLOAT } else { Arithmetic::INTEGER };
        let expected = Linear::expect(&p, &reference, arithmetic, &Outputs::default());
        let seen = expected.outputs[0].at.clone().unwrap();
        assert!(seen.len() < p.m * p.n / 2);
        // The whole of `y`: products of floats, which integers would not all pass.
        let mut whole = parallel(&p);
        let judged = |y: &[f32]| {
            let got = Outputs(vec![("y", Tensor::F32(y.to_vec()))]);
            judge(&Linear::expect(&p, &reference, arithmetic, &got), &got).fault
        };
        assert_eq!(judged(&whole), None, "{weight:?}");
        let (i, j) = (0..p.m * p.n)
            .map(|at| (at / p.n, at % p.n))
            .find(|(i, j)| {
                *j > 3 && !seen.contains(&(i * p.n + j)) && whole[i * p.n + j].abs() > 1.0
            })
            .unwrap();
        for wrong in [f32::NAN, 0.0, whole[i * p.n + j - 1] + 1.0] {
            let right = std::mem::replace(&mut whole[i * p.n + j], wrong);
            let fault = judged(&whole).unwrap_or_else(|| panic!("{weight:?}: {wrong} passes"));
            assert!(fault.contains("checksum of row") || fault.contains("must be"), "{fault}");
            whole[i * p.n + j] = right;
        }
    }
}

/// Every output in f64 and rounded as the op rounds, on all cores.
fn parallel(p: &LinearProblem) -> Vec<f32> {
    use rayon::prelude::*;
    let w = dequantized(p);
    let scales: Vec<f32> = match &p.weight {
        Weight::Codes(codes) => (0..p.n).map(|j| codes.scale(j)).collect(),
        _ => vec![1.0; p.n],
    };
    let row = |i: usize| {
        let x: Vec<f64> = token(p, i).into_iter().map(f64::from).collect();
        let column = |j: usize| {
            let w = &w[j * p.k..][..p.k];
            let sum: f64 = x.iter().zip(w).map(|(x, w)| x * f64::from(*w)).sum();
            match matches!(p.weight, Weight::Codes(_)) {
                // An integer sum, recovered, and its one product with both scales.
                true => {
                    let scale = p.activation_scale(i) * scales[j];
                    (sum / f64::from(scale)).round() as f32 * scale
                }
                false => sum as f32,
            }
        };
        (0..p.n).map(column).collect::<Vec<f32>>()
    };
    (0..p.m).into_par_iter().flat_map_iter(row).collect()
}
