//! The table of forward values and gradients, made here; `METHODOLOGY.md` must hold it.
use lowbit_reference::estimator::Estimator;
use lowbit_reference::format::{
    ACTIVATION_FORMATS, INT4, INT8, Levels, UINT8, WEIGHT_FORMATS, WeightFormat,
};
use lowbit_reference::rule::{Range, Rule, Shared, named};
use std::collections::BTreeSet;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../METHODOLOGY.md");
/// What every quotient is a multiple of: a power of two.
const STEP: f32 = 0.25;
/// The code of zero of ranges from minimum to maximum.
const ZERO_POINT: i16 = 5;

/// Where a value lies, in words, and the value.
type Place = (&'static str, f32);

fn up(x: f32) -> f32 {
    if x > 0.0 { x.next_up() } else { x.next_down() }
}

fn down(x: f32) -> f32 {
    if x > 0.0 { x.next_down() } else { x.next_up() }
}

/// What a group shares if its step is [`STEP`], and its scale where that is no function of it.
fn shared(rule: &Rule, levels: Levels) -> Shared {
    let near = |ulps: i32| f32::from_bits(STEP.to_bits().wrapping_add_signed(ulps));
    let fits = (-4000..=0).map(near).find(|scale| rule.step(*scale) == STEP);
    let mut shared = rule.under(fits.expect("a scale with this step"));
    if rule.kept_mean {
        shared.scale *= 1.5;
    }
    if rule.range == Range::Minmax && levels.unsigned() {
        shared.zero_point = ZERO_POINT;
    }
    if rule.centred {
        shared.centre = STEP / 2.0;
    }
    shared
}

/// Quotients of integers; `T` and `B` are the largest and the least code, counted from zero.
fn integers(rule: &Rule, levels: Levels, zero_point: i16) -> Vec<Place> {
    let (least, most) = levels.range();
    let least = if levels.unsigned() { least } else { least.max(rule.min_code.into()) };
    let [bottom, top] = [least, most].map(|code| f32::from(code - zero_point) * STEP);
    let half = STEP / 2.0;
    vec![
        ("0", 0.0),
        ("-0", -0.0),
        ("1/2", half),
        ("1 1/2", 3.0 * half),
        ("2 1/2", 5.0 * half),
        ("T", top),
        ("T + 1/2 less an ulp", down(top + half)),
        ("T + 1/2", top + half),
        ("1000 T", 1000.0 * top),
        ("-1/2", -half),
        ("-1 1/2", -3.0 * half),
        ("B", bottom),
        ("B - 1/2 and an ulp", if bottom - half == 0.0 { -0.0 } else { down(bottom - half) }),
        ("B - 1/2", bottom - half),
        ("-1000 T", -1000.0 * top),
    ]
}

/// `t` is the limit, `s` the scale.
fn ternary(shared: &Shared) -> Vec<Place> {
    let (t, s) = (shared.limit, shared.scale);
    vec![
        ("0", 0.0),
        ("-0", -0.0),
        ("t less an ulp", down(t)),
        ("t", t),
        ("t and an ulp", up(t)),
        ("s", s),
        ("s and an ulp", up(s)),
        ("1000 s", 1000.0 * s),
        ("-t", -t),
        ("-t less an ulp", up(-t)),
        ("-s", -s),
        ("-s less an ulp", up(-s)),
        ("-1000 s", -1000.0 * s),
    ]
}

/// `c` is the centre, 0 where none is subtracted.
fn signs(shared: &Shared) -> Vec<Place> {
    let (c, s) = (shared.centre, shared.scale);
    vec![
        ("c", c),
        ("c and an ulp", c.next_up()),
        ("c less an ulp", c.next_down()),
        ("c + s", c + s),
        ("c + s and an ulp", up(c + s)),
        ("c + 1000 s", c + 1000.0 * s),
        ("c - s", c - s),
        ("c - s less an ulp", (c - s).next_down()),
        ("c - 1000 s", c - 1000.0 * s),
    ]
}

/// Code counted from zero, with a star where the clipped estimator stops the gradient.
fn cell(rule: &Rule, levels: Levels, x: f32, shared: &Shared) -> String {
    assert!(Estimator::Identity.passes(rule, levels, x, shared));
    let code = rule.code(levels, x, shared);
    // The value is the code's, to the bit, and never a negative zero.
    let value = rule.value(code, shared);
    assert_eq!(value.to_bits(), (f32::from(code - shared.zero_point) * shared.scale).to_bits());
    let star = if Estimator::Clipped.passes(rule, levels, x, shared) { "" } else { "*" };
    format!("{}{star}", code - shared.zero_point)
}

/// Rules that say the same of every place.
struct Family {
    format: &'static str,
    rules: Vec<&'static str>,
    places: Vec<&'static str>,
    cells: Vec<String>,
}

fn kinds() -> Vec<(&'static str, Levels, &'static str, Rule)> {
    let mut kinds = Vec::new();
    for format in WEIGHT_FORMATS {
        for word in named::weight_rule_words() {
            let rule = named::weight_rule(word.name, format.levels());
            kinds.extend(rule.map(|rule| (format.name(), format.levels(), word.name, rule)));
        }
    }
    for format in ACTIVATION_FORMATS {
        for word in named::activation_rule_words() {
            let rule = named::activation_rule(word.name, format.levels());
            kinds.extend(rule.map(|rule| (format.name(), format.levels(), word.name, rule)));
        }
    }
    // A scale known from calibration, as a scenario spells it: in the steps of absmax.
    for format in [&INT8, &INT4, &UINT8] as [&dyn WeightFormat; 3] {
        let rule = Rule { range: Range::Fixed, fixed_scale: STEP, ..absmax(format.levels()) };
        kinds.push((format.name(), format.levels(), "fixed", rule));
    }
    kinds
}

fn absmax(levels: Levels) -> Rule {
    named::activation_rule("absmax", levels).expect("a rule of integers")
}

fn families() -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for (format, levels, name, rule) in kinds() {
        let format = if format == "ternary3" { "ternary2" } else { format };
        let shared = shared(&rule, levels);
        let places = match levels {
            Levels::Sign => signs(&shared),
            Levels::Ternary => ternary(&shared),
            _ => integers(&rule, levels, shared.zero_point),
        };
        let cells: Vec<String> =
            places.iter().map(|(_, x)| cell(&rule, levels, *x, &shared)).collect();
        match families.iter_mut().find(|f| f.format == format && f.cells == cells) {
            Some(family) if family.rules.contains(&name) => {}
            Some(family) => family.rules.push(name),
            None => families.push(Family {
                format,
                rules: vec![name],
                places: places.iter().map(|(place, _)| *place).collect(),
                cells,
            }),
        }
    }
    families
}

/// A line for each place, a column for each family.
fn table(families: &[&Family]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let name = |f: &&Family| {
        let rules: Vec<String> = f.rules.iter().map(|rule| format!("`{rule}`")).collect();
        let format = if f.format == "ternary2" { "ternary" } else { f.format };
        format!("{format}: {}", rules.join(", "))
    };
    let mut head = vec!["x".to_owned()];
    head.extend(families.iter().map(name));
    let mut text = line(head);
    text.push_str(&format!("|---|{}\n", "--:|".repeat(families.len())));
    for (i, place) in families[0].places.iter().enumerate() {
        let mut cells = vec![(*place).to_owned()];
        cells.extend(families.iter().map(|family| family.cells[i].clone()));
        text.push_str(&line(cells));
    }
    text
}

#[test]
fn the_document_holds_the_table_of_every_format_and_rule() {
    let families = families();
    let of = |formats: &[&str]| -> Vec<&Family> {
        families.iter().filter(|family| formats.contains(&family.format)).collect()
    };
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let all = [&["int8", "int4"][..], &["uint8", "uint4"], &["ternary2"], &["sign1"]];
    let tables = all.map(|formats| table(&of(formats)));
    println!("{}", tables.join("\n"));
    for table in &tables {
        assert!(document.contains(table), "METHODOLOGY.md lacks one of the tables above");
    }
    // Every format and rule is in one of them.
    let said: BTreeSet<_> =
        families.iter().flat_map(|f| f.rules.iter().map(|rule| (f.format, *rule))).collect();
    for (format, _, rule, _) in kinds() {
        let format = if format == "ternary3" { "ternary2" } else { format };
        assert!(said.contains(&(format, rule)), "{format} {rule}");
    }
}

/// NaN passes under identity, as the source has it, and under nothing else.
#[test]
fn nan_passes_under_identity_only() {
    for (format, levels, name, rule) in kinds() {
        let shared = shared(&rule, levels);
        let passes = Estimator::ALL.map(|by| by.passes(&rule, levels, f32::NAN, &shared));
        assert_eq!(passes, [true, false], "{format} {name}");
    }
}
