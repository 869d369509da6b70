//! The steps that make a case smaller, from the op's table of parameters and nothing else.
//!
//! | parameter | becomes |
//! |---|---|
//! | word | an earlier word of its list (`data`: realistic, then exact; `distribution`: normal) |
//! | config | a named word; itself without one of its fields, with half of a number, or with 1 for a decimal |
//! | number | its least value; a small size or an edge of a tile; a part of itself; one less, or one power of two that divides it less |
//! | seed | 0, 1, 2 or 3 |
//! | decimal | its default; 1 |
//! | what may be left out | left out |
//!
//! Where a value alone makes no case two change at once: both sizes of a pair, or a word and the
//! first word of another parameter that goes with it.
use lowbit_reference::case::{Case, Kind, Param, Value};

/// Sizes that are tried of every number: the smallest ones, and edges of bytes, vectors, tiles and
/// 16 bits.
const SIZES: [u64; 20] =
    [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 32, 33, 64, 65, 128, 257, 4097, 65536, 65537];
/// Seeds that count as small.
const SEEDS: [u64; 4] = [0, 1, 2, 3];

/// How many groups of steps an op has: one for each parameter, and two for pairs.
pub(super) fn groups(case: &Case) -> usize {
    case.spec().params.len() + 2
}

/// The steps of one group, the boldest first. Words come before numbers, since a word may allow
/// sizes that another does not.
pub(super) fn of_group(case: &Case, group: usize) -> Vec<Case> {
    let params = case.spec().params;
    let (sizes, words): (Vec<_>, Vec<_>) = params.iter().partition(is_size);
    let mut steps = match words.into_iter().chain(sizes).nth(group) {
        Some(param) => alone(case, param),
        None if group == params.len() => size_pairs(case),
        None => word_pairs(case),
    };
    steps.retain(|step| step != case);
    steps
}

/// Every step from a case: those that make a case, each once.
pub fn steps(case: &Case) -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    for step in (0..groups(case)).flat_map(|group| of_group(case, group)) {
        if !all.contains(&step) {
            all.push(step);
        }
    }
    all
}

fn is_size(param: &&Param) -> bool {
    matches!(param.kind, Kind::Number { .. })
}

fn alone(case: &Case, param: &'static Param) -> Vec<Case> {
    let step = |value| case.with(&[(param.key, value)]).ok();
    values(case, param).into_iter().filter_map(step).collect()
}

/// Smaller values of a parameter; `None` leaves it out.
fn values(case: &Case, param: &Param) -> Vec<Option<Value>> {
    let Some(now) = case.get(param.key) else { return Vec::new() };
    let left_out = (param.default == Some(Param::ABSENT)).then_some(None);
    let smaller = match (now, param.kind) {
        (Value::Word(now), Kind::Word(words) | Kind::WordOrConfig { words, .. }) => {
            let words = words().into_iter().map(|word| word.name);
            words.take_while(|word| word != now).map(Value::Word).collect()
        }
        (Value::Config(text), Kind::WordOrConfig { words, .. }) => {
            let words = words().into_iter().map(|word| Value::Word(word.name));
            words.chain(configs(text, param)).collect()
        }
        (Value::Number(now), Kind::Number { min, .. }) => {
            numbers(*now, min, param.key).into_iter().map(Value::Number).collect()
        }
        (Value::Decimal(now), _) => decimals(*now, param),
        _ => Vec::new(),
    };
    left_out.into_iter().chain(smaller.into_iter().map(Some)).collect()
}

/// The config without one of its fields, with half of one of its numbers, or 1 for a decimal.
fn configs(text: &str, param: &Param) -> Vec<Value> {
    let Ok(config) = serde_json::from_str::<serde_json::Map<_, _>>(text) else { return Vec::new() };
    let mut steps = Vec::new();
    for (key, value) in &config {
        let mut without = config.clone();
        without.remove(key);
        steps.push(without);
        if let Some(half) = value.as_u64().map(|number| number / 2).filter(|half| *half > 0) {
            let mut smaller = config.clone();
            smaller.insert(key.clone(), half.into());
            steps.push(smaller);
        }
        if value.as_f64().is_some_and(|decimal| value.is_f64() && decimal != 1.0) {
            let mut one = config.clone();
            one.insert(key.clone(), 1.0.into());
            steps.push(one);
        }
    }
    let canonical = |step| param.parse(&serde_json::Value::Object(step).to_string()).ok();
    steps.into_iter().filter_map(canonical).collect()
}

/// Numbers from `min` up to, not including, `now`, in ascending order.
fn numbers(now: u64, min: u64, key: &str) -> Vec<u64> {
    let mut smaller: Vec<u64> = SEEDS.to_vec();
    if key != "seed" {
        smaller = SIZES.to_vec();
        smaller.push(min);
        // Parts that keep the divisors of a size, and then always less of it.
        smaller.extend([2, 3, 5, 7].iter().flat_map(|part| [now / part, now - now / part]));
        smaller.extend((1..20).map(|half| now - (now >> half)));
        let divisors =
            (0..=now.trailing_zeros().min(20)).map(|power| now.saturating_sub(1 << power));
        smaller.extend(divisors);
    }
    smaller.retain(|value| (min..now).contains(value));
    smaller.sort_unstable();
    smaller.dedup();
    smaller
}

fn decimals(now: f64, param: &Param) -> Vec<Value> {
    let default = match param.default_value() {
        Ok(Some(Value::Decimal(default))) => Some(default),
        _ => None,
    };
    let steps = default.into_iter().chain([1.0].into_iter().filter(|_| default != Some(now)));
    steps.filter(|step| *step != now).map(Value::Decimal).collect()
}

/// Two sizes at once: both the least, half, and one less.
fn size_pairs(case: &Case) -> Vec<Case> {
    let params = case.spec().params.iter().filter(|param| is_size(param) && param.key != "seed");
    let sizes: Vec<(&'static str, u64, u64)> = params
        .filter_map(|param| match (case.get(param.key), param.kind) {
            (Some(Value::Number(now)), Kind::Number { min, .. }) if *now > min => {
                Some((param.key, *now, min))
            }
            _ => None,
        })
        .collect();
    let mut steps = Vec::new();
    for (i, (first, a, least_a)) in sizes.iter().enumerate() {
        for (second, b, least_b) in &sizes[i + 1..] {
            let smaller = [
                (*least_a, *least_b),
                (1, 1),
                (a / 2, b / 2),
                (a - 1, b - 1),
                (*least_a.max(&1), b / a.max(&1)),
                (a / b.max(&1), *least_b.max(&1)),
            ];
            let to = |(x, y): (u64, u64)| {
                if x > *a || y > *b {
                    return None;
                }
                let changes = [(*first, Value::Number(x)), (*second, Value::Number(y))];
                case.with(&changes.map(|(key, value)| (key, Some(value)))).ok()
            };
            steps.extend(smaller.into_iter().filter_map(to));
        }
    }
    steps
}

/// An earlier word that makes no case by itself, with the first word of a later parameter that
/// does: a format and a rule that goes with it.
fn word_pairs(case: &Case) -> Vec<Case> {
    let params = case.spec().params;
    let mut steps = Vec::new();
    for (i, param) in params.iter().enumerate() {
        for value in values(case, param).into_iter().flatten() {
            let word = matches!(value, Value::Word(_));
            if !word || case.with(&[(param.key, Some(value.clone()))]).is_ok() {
                continue;
            }
            let both = |(key, word)| {
                case.with(&[(param.key, Some(value.clone())), (key, Some(Value::Word(word)))]).ok()
            };
            steps.extend(params[i + 1..].iter().flat_map(words).find_map(both));
        }
    }
    steps
}

fn words(param: &Param) -> Vec<(&'static str, &'static str)> {
    match param.kind {
        Kind::Word(words) | Kind::WordOrConfig { words, .. } => {
            words().into_iter().map(|word| (param.key, word.name)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str) -> Case {
        id.parse().unwrap_or_else(|e| panic!("{id}: {e}"))
    }

    #[test]
    fn steps_are_other_cases_and_none_leads_back() {
        let rule = r#"{"granularity":"group","group_size":64}"#;
        for id in [
            format!("quantize_weight/weight=int8/weight_rule={rule}/k=192/n=7/data=realistic/distribution=laplace/seed=99"),
            "conv2d/format=int8/c_in=6/c_out=10/height=9/width=8/groups=2/kernel_h=3/kernel_w=3/data=realistic/seed=5".into(),
            "linear/weight=int4/weight_rule=absmax/activation=int8/activation_rule=absmax/m=3/k=64/n=5/x_stride=80/data=realistic".into(),
        ] {
            let start = case(&id);
            let all = steps(&start);
            assert!(all.len() > 20, "{id}: {}", all.len());
            for step in &all {
                assert_ne!(*step, start);
                assert!(!steps(step).contains(&start), "{step} leads back to {start}");
            }
        }
    }

    #[test]
    fn sizes_keep_what_divides_them() {
        for (now, wanted) in
            [(288, 96), (480, 96), (512, 256), (37, 36), (96, 64), (131_071, 65_536)]
        {
            assert!(numbers(now, 0, "k").contains(&wanted), "{now} to {wanted}");
        }
        assert_eq!(numbers(1, 0, "k"), [0]);
        assert!(numbers(0, 0, "k").is_empty());
        assert_eq!(numbers(u64::MAX, 0, "seed"), SEEDS);
    }

    #[test]
    fn a_fixed_scale_becomes_one() {
        let rule = r#"{"range":"fixed","scale":0.02}"#;
        let id =
            |rule| format!("quantize_weight/weight=int8/weight_rule={rule}/k=4/n=1/data=exact");
        let all = steps(&case(&id(rule)));
        let spelled = rule.replace("0.02", "1.0");
        let one = case(&id(&spelled));
        assert!(all.contains(&one), "{all:?}");
        assert!(!steps(&one).iter().any(|step| *step == one || *step == case(&id(rule))));
    }

    #[test]
    fn a_format_takes_its_rule_along() {
        let start = case("quantize_weight/weight=int8/weight_rule=bnb/k=64/n=8/data=exact");
        let formats: Vec<_> = steps(&start).iter().map(|step| step.word("weight")).collect();
        assert!(formats.contains(&"ternary2"), "{formats:?}");
    }
}
