//! The operations say what the functions of this module say; cases that make no sense are refused.
use super::*;
use crate::case::Case;
use crate::data::NoFiles;
use crate::op::{Arithmetic, Bound, Op, Tensor};

const LOWRANK_SHAPE: &str =
    "batch=2/input_heads=3/heads=3/time=4/embd=5/packed_latent=7/latent=6/data=realistic";
const TAIL_SHAPE: &str = "batch=2/heads=3/time=4/latent=5/latent_total=21/dim=6/data=realistic";

fn case(op: &str, words: &str, shape: &str) -> Case {
    let id = format!("{op}/weight=int8/weight_rule=onnx/{words}/{shape}/seed=3");
    id.parse().unwrap_or_else(|e| panic!("{id}: {e}"))
}

fn problem<S: Named>(words: &str, shape: &str) -> ProjectionProblem<S> {
    ProjectionOp::<S>::generate(&case(S::SPEC.name, words, shape), &NoFiles).unwrap()
}

/// Every output of the oracle with its largest bound.
fn expected<S: Named>(
    problem: &ProjectionProblem<S>,
    arithmetic: Arithmetic,
) -> Vec<(Vec<f32>, f64)> {
    let reference = ProjectionOp::<S>::reference(problem);
    let nothing = crate::op::Outputs(Vec::new());
    let expectation = ProjectionOp::<S>::expect(problem, &reference, arithmetic, &nothing);
    let largest = |bound| match bound {
        Bound::Exact => 0.0,
        Bound::Componentwise(bounds) => bounds.into_iter().fold(0.0, f64::max),
        Bound::Code(_) => panic!("no output is codes"),
    };
    let each = expectation.outputs.into_iter().map(|output| match output.want {
        Tensor::F32(want) => (want, largest(output.bound)),
        other => panic!("{}", other.type_name()),
    });
    each.collect()
}

fn integer<'a, S: Contraction + Copy>(
    problem: &'a ProjectionProblem<S>,
    scale: &'a [f32; 1],
) -> IntegerProjection<'a, S, i8, i16> {
    IntegerProjection {
        shape: problem.shape,
        input: Coded { codes: &problem.input.codes, limit: 128, scales: &problem.input.scales },
        weight: Coded { codes: problem.weight.codes.as_slice(), limit: 128, scales: scale },
        accumulator: Accumulator::I32,
        relu_threshold: problem.relu_threshold,
    }
}

fn check_codes<S: Named>(rule: &str, shape: &str) {
    for relu in ["none", "zero", "above"] {
        let words = format!("activation=int8/activation_rule={rule}/relu={relu}");
        let forward = problem::<S>(&words, shape);
        let scale = [forward.weight.scale];
        let want = integer(&forward, &scale).forward().unwrap();
        assert_eq!(expected(&forward, Arithmetic::INTEGER), [(want, 0.0)], "{words}");
        let backward = problem::<S>(&format!("{words}/pass=backward"), shape);
        let want = integer(&backward, &scale).gradients(&backward.grad_output).unwrap();
        let found = expected(&backward, Arithmetic::INTEGER);
        assert_eq!((&found[0].0, &found[1].0), (&want.input, &want.weight), "{words}");
        assert!(found.iter().all(|(_, bound)| (1e-9..1e-2).contains(bound)), "{words}");
    }
}

#[test]
fn codes_are_those_of_the_integer_projection() {
    check_codes::<LowrankProjection>("onnx", LOWRANK_SHAPE);
    check_codes::<LowrankProjection>("bnb", LOWRANK_SHAPE);
    check_codes::<DecoderTail>("onnx", TAIL_SHAPE);
}

fn check_floats<S: Named>(shape: &str) {
    for relu in ["none", "zero", "above"] {
        let words = format!("activation=f32/activation_rule=none/relu={relu}");
        let problem = problem::<S>(&words, shape);
        let weight: Vec<f32> =
            problem.weight.codes.iter().map(|w| f32::from(*w) * problem.weight.scale).collect();
        let want = Projection {
            shape: problem.shape,
            input: &problem.input.values,
            weight: &weight,
            relu_threshold: problem.relu_threshold,
        };
        let [(found, bound)] = &expected(&problem, Arithmetic::FLOAT)[..] else { panic!() };
        let near = |(a, b): (&f32, &f32)| f64::from((a - b).abs()) <= *bound;
        assert!((1e-9..1e-4).contains(bound), "{bound}");
        assert!(found.iter().zip(&want.forward().unwrap()).all(near), "{words}");
    }
}

#[test]
fn floats_are_those_of_the_float_projection() {
    check_floats::<LowrankProjection>(LOWRANK_SHAPE);
    check_floats::<DecoderTail>(TAIL_SHAPE);
}

#[test]
fn tier_exact_leaves_no_room_for_either_arithmetic() {
    for pass in ["forward", "backward"] {
        let shape = "heads=3/time=4/latent=5/latent_total=21/dim=6/data=exact";
        let words = format!("activation=f32/activation_rule=none/relu=zero/pass={pass}");
        let problem = problem::<DecoderTail>(&words, shape);
        let found = expected(&problem, Arithmetic::FLOAT);
        assert!(found.iter().all(|(_, bound)| *bound == 0.0), "{pass}");
    }
}

#[test]
fn cases_that_do_not_fit_are_refused_by_name() {
    let tail = "batch=1/heads=3/time=4/latent=5/latent_total=21/dim=6/data=exact";
    let lowrank = "heads=2/time=1/embd=1/packed_latent=4/latent=5/data=exact";
    for (op, words, shape, key) in [
        ("decoder_tail", "activation=int8/activation_rule=bnb", tail, "activation_rule"),
        ("decoder_tail", "activation=int8/activation_rule=none", tail, "activation_rule"),
        ("decoder_tail", "activation=f32/activation_rule=onnx", tail, "activation_rule"),
        ("lowrank_projection", "activation=f32/activation_rule=none", lowrank, "latent"),
    ] {
        let id = format!("{op}/weight=int8/weight_rule=onnx/{words}/{shape}");
        let error = id.parse::<Case>().unwrap_err().to_string();
        assert!(error.contains(key), "{id}: {error}");
    }
    let id = format!(
        "decoder_tail/weight=int8/weight_rule=absmax/activation=f32/activation_rule=none/{tail}"
    );
    assert!(id.parse::<Case>().unwrap_err().to_string().contains("one"), "{id}");
}
