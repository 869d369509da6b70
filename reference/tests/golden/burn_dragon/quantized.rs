//! Scales, codes and bytes of every rule; forward values of fake quantization.
use super::{inputs, items};
use crate::replay::{Replay, Within, float, floats, text};
use crate::source::{fake, packing, quantize as source};
use lowbit_reference::bound::{UNIT, gamma};
use lowbit_reference::format::{Levels, SIGN1, TERNARY2, WeightFormat};
use lowbit_reference::rule::{Range, Rule, burn_dragon};
use serde_json::Value;

/// A rule of the source: our levels and rule for it, and its own formula.
struct Kind {
    key: &'static str,
    rule: Rule,
    levels: Levels,
    format: Option<&'static dyn WeightFormat>,
    formula: fn(&[f32]) -> (f32, Vec<i16>),
}

/// Codes of any width as the widest.
fn wide<C: Into<i16>>((scale, codes): (f32, Vec<C>)) -> (f32, Vec<i16>) {
    (scale, codes.into_iter().map(Into::into).collect())
}

fn kinds() -> Vec<Kind> {
    let kind = |key, levels, format, formula| Kind {
        key,
        rule: burn_dragon(levels),
        levels,
        format,
        formula,
    };
    let absmax = Rule { range: Range::Absmax, times: 1.0, ..burn_dragon(Levels::Int8) };
    vec![
        kind("act_int4_2mean", Levels::Int4, None, |x| wide(source::signed(x, 7.0))),
        kind("act_int8_2mean", Levels::Int8, None, |x| wide(source::signed(x, 127.0))),
        kind("weight_symmetric_i8_2mean", Levels::Int8, None, |x| wide(source::signed(x, 127.0))),
        kind("act_uint8_2mean", Levels::Uint8, None, |x| wide(source::positive(x))),
        kind("ternary_absmean", Levels::Ternary, Some(&TERNARY2), |x| wide(source::ternary(x))),
        kind("binary_sign", Levels::Sign, Some(&SIGN1), |x| wide(source::binary(x))),
        Kind {
            rule: absmax,
            ..kind("activation_symmetric_i8_absmax", Levels::Int8, None, |x| {
                wide(source::absmax(x))
            })
        },
    ]
}

pub(super) fn rules(cases: &Value, replay: &mut Replay) {
    for case in items(cases) {
        let name = text(replay.input(&case["name"]));
        let x = inputs(&case["x"], usize::MAX, replay);
        for kind in kinds() {
            let (at, want) = (format!("{name} {}", kind.key), &case[kind.key]);
            let (scale, codes) = (kind.formula)(&x);
            replay.floats(&at, "scale", &want["scale"], &[scale], Within::Exactly);
            // Under the golden scale our codes are the source's; its answer to NaN and infinity
            // is its own.
            let golden = float(&want["scale"]);
            let finite = x.iter().all(|x| x.is_finite());
            let codes = match finite {
                true => {
                    let shared = kind.rule.under(golden);
                    x.iter().map(|x| kind.rule.code(kind.levels, *x, &shared)).collect()
                }
                false => codes,
            };
            replay.integers(&at, "codes", &want["codes"], codes.iter().copied());
            if let Some(format) = kind.format {
                let bytes = format.pack(&codes).unwrap_or_default();
                replay.hex(&at, "packed_hex", &want["packed_hex"], &bytes);
            }
            if kind.levels == Levels::Uint8 {
                let bytes: Vec<u8> = codes.iter().map(|code| code.to_le_bytes()[0]).collect();
                let wrapped = packing::as_i8(&bytes);
                replay.integers(&at, "as_i8_wrapped", &want["as_i8_wrapped"], wrapped);
            }
            ours(&at, &kind, &x, golden, replay);
        }
    }
}

/// Our own scale: an f64 sum, within the bound of the source's f32 one; and what it is where the
/// input is not finite.
fn ours(at: &str, kind: &Kind, x: &[f32], golden: f32, replay: &mut Replay) {
    let shared = kind.rule.shared(kind.levels, x);
    if x.iter().any(|x| !x.is_finite()) {
        if shared.scale.is_finite() {
            replay.fail(at, format!("our scale is {}: not all values are finite", shared.scale));
        }
        return;
    }
    // n - 1 additions and a division; the product and quotient of the rule, there and here.
    let bound = gamma(x.len() + 5) * f64::from(golden);
    let distance = (f64::from(shared.scale) - f64::from(golden)).abs();
    if distance > bound || (kind.rule.range == Range::Absmax && distance != 0.0) {
        replay.fail(at, format!("our scale is {}, golden {golden}, bound {bound}", shared.scale));
    }
}

/// A fake quantization of the source: our levels, its step and its forward values.
type Fake = (&'static str, Levels, fn(&[f32]) -> f32, fn(&[f32]) -> Vec<f32>);

static FAKES: &[Fake] = &[
    ("a_int4", Levels::Int4, |x| fake::signed_step(x, 7.0), |x| fake::signed(x, 7.0)),
    ("a_int8", Levels::Int8, |x| fake::signed_step(x, 127.0), |x| fake::signed(x, 127.0)),
    ("w_int8", Levels::Int8, |x| fake::signed_step(x, 127.0), |x| fake::signed(x, 127.0)),
    ("a_uint8", Levels::Uint8, fake::positive_step, fake::positive),
    ("w_sign1", Levels::Sign, fake::scale, fake::binary),
    ("w_ternary", Levels::Ternary, fake::scale, fake::ternary),
];

pub(super) fn fake(cases: &Value, forwards: &Value, replay: &mut Replay) {
    for forward in items(forwards) {
        let name = text(replay.input(&forward["name"]));
        let Some(case) = items(cases).iter().find(|case| case["name"] == forward["name"]) else {
            replay.fail(name, "has no input of that name");
            continue;
        };
        let x = floats(&case["x"]);
        for (key, levels, step, values) in FAKES {
            let at = format!("{name} {key}");
            replay.floats(&at, "forward", &forward[key], &values(&x), Within::Exactly);
            if x.iter().all(|x| x.is_finite()) {
                dequantized(&at, *levels, &x, step(&x), &forward[key], replay);
            }
        }
    }
}

/// Our dequantized values under the source's step, which its forward values should be.
fn dequantized(at: &str, levels: Levels, x: &[f32], step: f32, want: &Value, replay: &mut Replay) {
    let rule = burn_dragon(levels);
    let exact = rule.shared(levels, x).scale;
    if (f64::from(exact) - f64::from(step)).abs() > gamma(x.len() + 5) * f64::from(step) {
        replay.fail(at, format!("our scale is {exact}, the source's {step}"));
    }
    let shared = rule.under(step);
    for (i, (x, want)) in x.iter().zip(floats(want)).enumerate() {
        let q = rule.value(rule.code(levels, *x, &shared), &shared);
        // Two roundings of the source: of q - x and of the sum.
        let bound = UNIT * (f64::from((q - x).abs()) + f64::from(want.abs())) * (1.0 + 2.0 * UNIT);
        let distance = (f64::from(q) - f64::from(want)).abs();
        if distance > bound && !rule.near_tie(levels, *x, &shared, 0) {
            replay.fail(at, format!("our value {i} is {q}, golden {want}, bound {bound:e}"));
        }
    }
}
