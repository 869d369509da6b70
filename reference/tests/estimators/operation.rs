//! The op `fake_quantize`: its oracle against Burn's automatic differentiation, and the faults that
//! it refuses.
use lowbit_reference::case::Case;
use lowbit_reference::data::{NoFiles, Pattern};
use lowbit_reference::estimator::Estimator;
use lowbit_reference::fake_quantize::{ByRule, FakeQuantize as _};
use lowbit_reference::judge::judge;
use lowbit_reference::op::quantize::fake::{FakeQuantize, FakeQuantizeProblem};
use lowbit_reference::op::{Arithmetic, Op, Outputs, Tensor};
use lowbit_reference::rule::Range;

fn problem(words: &str) -> FakeQuantizeProblem {
    let case: Case = format!("fake_quantize/{words}").parse().unwrap_or_else(|e| panic!("{e}"));
    FakeQuantize::generate(&case, &NoFiles).unwrap()
}

/// Every kind of code and rule.
const KINDS: [&str; 10] = [
    "operand=weight/format=ternary2/rule=b158",
    "operand=weight/format=ternary3/rule=twn",
    "operand=weight/format=sign1/rule=b1",
    "operand=weight/format=int8/rule=burn_dragon",
    "operand=weight/format=uint4/rule=llm_awq",
    "operand=activation/format=int8/rule=a48",
    "operand=activation/format=int4/rule=a48",
    "operand=activation/format=int8/rule={\"range\":\"fixed\",\"scale\":0.0078125}",
    "operand=activation/format=uint8/rule=burn_dragon",
    "operand=activation/format=uint8/rule=onnx",
];

/// Every kind of code and rule, under both estimators and in both tiers.
fn problems() -> Vec<(String, FakeQuantizeProblem)> {
    let mut all = Vec::new();
    for kind in KINDS {
        for estimator in ["identity", "clipped"] {
            for data in ["exact", "realistic/distribution=student_t"] {
                let words = format!("{kind}/estimator={estimator}/m=3/k=128/data={data}/seed=5");
                all.push((words.clone(), problem(&words)));
            }
        }
    }
    all
}

/// What the scalar meaning answers.
fn answer(p: &FakeQuantizeProblem) -> Outputs {
    let q = p.quantize.reference();
    let by = ByRule { rule: p.quantize.rule, levels: p.quantize.levels() };
    let shape = [p.quantize.rows, p.quantize.row_len];
    let values = by.fake_quantize(&p.quantize.x, &shape).unwrap();
    let gradient = p.estimator.gradient(&by, (&p.quantize.x, &shape), &p.grad_output).unwrap();
    let mut outputs = vec![
        ("scales", Tensor::F32(q.scales())),
        ("dequantized", Tensor::F32(values)),
        ("grad_input", Tensor::F32(gradient)),
    ];
    if p.quantize.rule.centred {
        outputs.push(("centres", Tensor::F32(q.centres())));
    }
    if p.quantize.rule.range == Range::Minmax {
        let points = q.zero_points().into_iter().map(i32::from).collect();
        outputs.push(("zero_points", Tensor::I32(points)));
    }
    Outputs(outputs)
}

fn fault(p: &FakeQuantizeProblem, outputs: &Outputs) -> Option<String> {
    let reference = FakeQuantize::reference(p);
    judge(&FakeQuantize::expect(p, &reference, Arithmetic::FLOAT, outputs), outputs).fault
}

fn change(outputs: &Outputs, name: &str, change: impl Fn(usize, f32) -> f32) -> Outputs {
    let change = |(key, tensor): &(&'static str, Tensor)| match tensor {
        Tensor::F32(values) if *key == name => {
            let values = values.iter().enumerate().map(|(i, x)| change(i, *x));
            (*key, Tensor::F32(values.collect()))
        }
        _ => (*key, tensor.clone()),
    };
    Outputs(outputs.0.iter().map(change).collect())
}

#[test]
fn the_scalar_meaning_passes_and_every_fault_is_refused() {
    let mut masks = 0;
    for (words, p) in problems() {
        let right = answer(&p);
        assert_eq!(fault(&p, &right), None, "{words}");
        let gradient = right.f32s("grad_input").unwrap();
        let some = gradient.iter().position(|g| *g != 0.0).unwrap();
        let refused = |what: &str, wrong: &Outputs| {
            assert!(fault(&p, wrong).is_some(), "{words}: {what} passes");
        };
        refused("a doubled gradient", &change(&right, "grad_input", |_, g| 2.0 * g));
        refused(
            "one doubled gradient",
            &change(&right, "grad_input", |i, g| if i == some { 2.0 * g } else { g }),
        );
        refused(
            "one lost gradient",
            &change(&right, "grad_input", |i, g| if i == some { 0.0 } else { g }),
        );
        refused("a scaled gradient", &change(&right, "grad_input", |_, g| 1.000_001 * g));
        // Tier `exact` of a rule may plant nothing but values that are codes.
        if right.f32s("dequantized") != Some(&p.quantize.x[..]) {
            refused("no quantization", &change(&right, "dequantized", |i, _| p.quantize.x[i]));
        }
        let ulp = |_: usize, y: f32| if y == 0.0 { y } else { y.next_up() };
        refused("values an ulp off", &change(&right, "dequantized", ulp));
        // Both masks, where they differ on this problem.
        let other = match p.estimator {
            Estimator::Identity => Estimator::Clipped,
            Estimator::Clipped => Estimator::Identity,
        };
        let wrong = answer(&FakeQuantizeProblem { estimator: other, ..problem(&words) });
        if wrong.f32s("grad_input") != right.f32s("grad_input") {
            masks += 1;
            refused("the other estimator's mask", &wrong);
        }
    }
    assert!(masks >= 18, "{masks} problems tell the masks apart");
}

/// Ties, ends of the range, subnormals, NaN and infinities: one right answer each, and a doubled
/// gradient is none of them.
#[test]
fn adversarial_values_have_one_right_answer() {
    let mut checked = 0;
    for (kind, pattern) in KINDS
        .iter()
        .flat_map(|kind| Pattern::words().into_iter().map(move |word| (kind, word.name)))
    {
        for estimator in Estimator::ALL {
            let words = format!(
                "{kind}/estimator={}/m=3/k=128/data=adversarial/pattern={pattern}/seed=5",
                estimator.name()
            );
            let p = problem(&words);
            let right = answer(&p);
            assert_eq!(fault(&p, &right), None, "{words}");
            if right.f32s("grad_input").unwrap().iter().any(|g| *g != 0.0) {
                let doubled = change(&right, "grad_input", |_, g| 2.0 * g);
                assert!(fault(&p, &doubled).is_some(), "{words}");
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked}");
}

/// A row that hides its values or answers codes is not judged as a quantizer.
#[test]
fn values_and_gradient_are_both_wanted() {
    let p = problem("operand=weight/format=int8/rule=absmax/m=2/k=64/data=exact");
    let right = answer(&p);
    for name in ["dequantized", "grad_input", "scales"] {
        let less = right.0.iter().filter(|(key, _)| *key != name).cloned().collect();
        assert!(fault(&p, &Outputs(less)).is_some(), "{name}");
    }
    let short = change(&right, "scales", |_, s| s);
    let cut = short.0.into_iter().map(|(key, tensor)| match (key, tensor) {
        ("grad_input", Tensor::F32(values)) => (key, Tensor::F32(values[1..].to_vec())),
        other => other,
    });
    assert!(fault(&p, &Outputs(cut.collect())).is_some());
}

#[test]
fn cases_that_do_not_fit_are_refused_by_name() {
    for (words, key) in [
        ("operand=weight/format=uint8/rule=onnx", "format"),
        ("operand=activation/format=sign1/rule=b1", "format"),
        ("operand=activation/format=int8/rule=twn", "rule"),
        ("operand=weight/format=uint4/rule=absmax", "rule"),
        ("operand=weight/format=int4/rule=llm_awq", "k"),
        ("operand=activation/format=int8/rule=b2_hadamard", "k"),
    ] {
        let id = format!("fake_quantize/{words}/m=1/k=3/data=exact");
        let error = id.parse::<Case>().unwrap_err().to_string();
        assert!(error.contains(&format!("{key}=")) || error.contains(key), "{id}: {error}");
    }
}
