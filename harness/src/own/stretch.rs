//! Sizes at which kernels break, for each setting that a kernel takes.
//!
//! A suite's sizes are those of its ops; a kernel of somebody's own has tiles, unrollings and
//! accumulators that no suite can know. So every setting (formats, rules, layouts: what is neither
//! size nor data) that was accepted is tried with one size after the other at 0 to 7 and around
//! each power of two up to 2^18, the others as they were; with two and all of them large; with
//! offsets and strides; with other group sizes, and rules that reach the lowest code. Long sums
//! are also tried on data at the end of the range, where an accumulator that is too narrow wraps.
use lowbit_reference::case::{Case, Kind, Param, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Most cases of other sizes, some for each base beside them.
const MOST: usize = 2400;
/// Most cases of other rules.
const MOST_RULES: usize = 1600;
/// Most operations and bytes of a case: 2^18 floats in and out.
pub(super) const MOST_WORK: u64 = 1 << 21;
/// Sizes from which data at the end of the range are tried too: sums of bytes leave 16 bits.
const LONG: u64 = 256;
/// What a size becomes for two at once.
const PAIRS: [(u64, u64); 11] = [
    (1, 2),
    (2, 1),
    (7, 7),
    (16, 16),
    (63, 63),
    (33, 129),
    (129, 33),
    (65, 1025),
    (1025, 65),
    (260, 260),
    (1025, 1025),
];
/// What all become at once.
const ALL: [u64; 4] = [17, 33, 65, 129];
/// Strides and offsets.
const LAYOUTS: [u64; 9] = [1, 3, 8, 77, 160, 300, 600, 1100, 4200];
/// Rules that the suites have not: other groups, the lowest code of each width, zero points of rows
/// and groups, an epsilon that is added, and each choice of a rule made the other way.
const RULES: [&str; 22] = [
    r#"{"granularity":"group","group_size":16}"#,
    r#"{"granularity":"group","group_size":24}"#,
    r#"{"granularity":"group","group_size":96}"#,
    r#"{"granularity":"group","group_size":128}"#,
    r#"{"granularity":"group","group_size":256}"#,
    r#"{"range":"fixed","scale":0.02,"min_code":-128}"#,
    r#"{"range":"fixed","scale":0.3,"min_code":-8}"#,
    r#"{"granularity":"tensor","range":"fixed","scale":0.02,"min_code":-128}"#,
    r#"{"granularity":"tensor","range":"fixed","scale":0.3,"min_code":-8}"#,
    r#"{"range":"minmax"}"#,
    r#"{"granularity":"group","group_size":32,"range":"minmax"}"#,
    r#"{"epsilon":0.01,"epsilon_use":"add"}"#,
    r#"{"granularity":"group","group_size":512}"#,
    r#"{"times":0.5}"#,
    r#"{"steps":100}"#,
    r#"{"rounding":"half_away"}"#,
    r#"{"rounding":"half_even"}"#,
    r#"{"inclusive":true}"#,
    r#"{"zero_is_positive":true}"#,
    r#"{"range":"absmean","threshold":0.5,"kept_mean":true,"inclusive":true}"#,
    r#"{"range":"minmax","epsilon":0.00001,"epsilon_use":"floor_statistic"}"#,
    r#"{"range":"fixed","scale":1e-12}"#,
];
/// Lengths of a row for other rules: several groups that end within one, one group more than eight,
/// two large groups, short rows.
const RULE_ROWS: [u64; 5] = [520, 768, 288, 1024, 64];
/// Of these, so many for each rule.
const LENGTHS: usize = 2;
/// Their data: drawn, at the ends of the range, planted, at thresholds, beyond all numbers.
const RULE_TIERS: [(&str, &str); 5] = [
    ("realistic", ""),
    ("adversarial", "saturated"),
    ("exact", ""),
    ("adversarial", "ties"),
    ("adversarial", "inf"),
];
/// Data of the smallest cases: one value alone.
const LONE: [&str; 6] = ["nan", "inf", "negative_inf", "negative_zeros", "denormals", "saturated"];
/// Keys of the data, which say nothing of what a kernel does with them.
const DATA: [&str; 7] = ["data", "pattern", "distribution", "sigma", "file", "tensor", "seed"];

pub(super) type Changes = Vec<(&'static str, Option<Value>)>;

/// What a kernel may dispatch on: all parameters that are neither sizes nor data.
pub(super) fn setting(case: &Case) -> String {
    of_kernel(case, |_, value| !matches!(value, Value::Number(_)))
}

/// The formats of a setting, without its rules and layouts.
pub(super) fn formats(case: &Case) -> String {
    of_kernel(case, |key, value| !key.ends_with("rule") && matches!(value, Value::Word(_)))
}

/// The parameters that are chosen and say nothing of the data.
fn of_kernel(case: &Case, chosen: impl Fn(&str, &Value) -> bool) -> String {
    let parameters =
        case.parameters().filter(|(key, value)| !DATA.contains(key) && chosen(key, value));
    parameters.map(|(key, value)| format!("{key}={value}/")).collect()
}

/// Operations, or bytes if those are more.
pub(super) fn work(case: &Case) -> u64 {
    let work = (case.spec().work)(case);
    work.macs.max(work.bytes_read.saturating_add(work.bytes_written))
}

/// Whether a case multiplies and adds nothing: quantizers, packing, transforms by additions, masks.
pub(super) fn without_products(case: &Case) -> bool {
    (case.spec().work)(case).macs == 0
}

/// Sizes as changes of a case.
pub(super) fn numbers(sizes: &[(&'static str, u64)]) -> Changes {
    sizes.iter().map(|(key, size)| (*key, Some(Value::Number(*size)))).collect()
}

/// The stretched cases of the settings of `accepted`, small ones first. Where there are many
/// settings each size is tried on a share of them: formats take turns, and the settings of a format.
pub(super) fn stretched(accepted: &[Case]) -> Vec<Case> {
    let bases = bases(accepted);
    let mut of_formats: BTreeMap<String, Vec<Vec<Case>>> = BTreeMap::new();
    for base in &bases {
        of_formats.entry(formats(base)).or_default().push(of_base(base));
    }
    let all: Vec<Vec<Vec<Case>>> = of_formats.into_values().collect();
    let longest = all.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let share = (MOST / longest.max(1)).clamp(1, bases.len().max(1));
    let mut cases = BTreeMap::new();
    let some = bases.iter().filter_map(of_seed).chain(lone(&bases)).chain(rules(&bases));
    for case in some {
        cases.insert((work(&case), case.to_string()), case);
    }
    for i in 0..longest {
        for turn in i * share..(i + 1) * share {
            let settings = &all[turn % all.len()];
            let setting = &settings[turn / all.len() % settings.len()];
            if let Some(case) = setting.get(i) {
                cases.insert((work(case), case.to_string()), case.clone());
            }
        }
    }
    cases.into_values().collect()
}

/// One case of each setting: the smallest without a size of 0 or 1, if there is one.
pub(super) fn bases(accepted: &[Case]) -> Vec<Case> {
    let mut bases: BTreeMap<String, ((usize, u64), &Case)> = BTreeMap::new();
    for case in accepted.iter().filter(|case| !matches!(case.word("data"), "file" | "kept")) {
        let tiny = sizes(case).filter(|(_, size)| *size < 2).count();
        let rank = (tiny, work(case));
        let best = bases.entry(setting(case)).or_insert((rank, case));
        if rank < best.0 {
            *best = (rank, case);
        }
    }
    bases.into_values().map(|(_, case)| case.clone()).collect()
}

pub(super) fn sizes(case: &Case) -> impl Iterator<Item = (&'static str, u64)> {
    case.parameters().filter_map(|(key, value)| match value {
        Value::Number(size) if key != "seed" => Some((key, *size)),
        _ => None,
    })
}

/// All stretched cases of one setting, those that differ in one size before others.
fn of_base(base: &Case) -> Vec<Case> {
    let keys: Vec<&'static str> = sizes(base).map(|(key, _)| key).collect();
    let mut changes: Vec<Changes> = Vec::new();
    for size in edges() {
        changes.extend(keys.iter().map(|key| numbers(&[(key, size)])));
    }
    for (a, b) in PAIRS {
        let pairs = keys.iter().enumerate().flat_map(|(i, first)| {
            keys[i + 1..].iter().map(|second| numbers(&[(first, a), (second, b)]))
        });
        changes.extend(pairs);
    }
    let all = |size| keys.iter().map(|key| (*key, size)).collect::<Vec<_>>();
    changes.extend(ALL.map(|size| numbers(&all(size))));
    let mut cases: Vec<Case> = Vec::new();
    let mut seen = BTreeSet::from([base.to_string()]);
    let changed = changes.iter().enumerate().flat_map(|(i, change)| sized(base, change, i));
    for case in changed.chain(layouts(base)) {
        if seen.insert(case.to_string()) {
            cases.push(case);
        }
    }
    cases
}

/// 0 to 7, and each power of two with one less, one more and half of it more.
pub(super) fn edges() -> impl Iterator<Item = u64> {
    let around = |power: u32| [(1 << power) - 1, 1 << power, (1 << power) + 1, 3 << (power - 1)];
    (0..8).chain((3..=18).flat_map(around))
}

/// The case with the sizes of a change, or with those next to them that make one, on data that
/// take turns; long ones at the end of the range as well.
fn sized(base: &Case, change: &Changes, turn: usize) -> Vec<Case> {
    let Some(case) = shaped(base, change, MOST_WORK) else { return Vec::new() };
    let long = sizes(&case).any(|(_, size)| size >= LONG);
    let words = [
        ("exact", ""),
        ("adversarial", "one_hot"),
        ("realistic", ""),
        ("adversarial", "constant_rows"),
        ("adversarial", "cancelling"),
    ];
    let saturated = [("adversarial", "saturated")].into_iter().filter(|_| long);
    let tiers = saturated.chain([words[turn % words.len()]]);
    tiers.map(|tier| with_data(&case, tier).unwrap_or_else(|| case.clone())).collect()
}

pub(super) fn with_data(
    case: &Case,
    (data, pattern): (&'static str, &'static str),
) -> Option<Case> {
    let pattern = (!pattern.is_empty()).then_some(Value::Word(pattern));
    case.with(&[("data", Some(Value::Word(data))), ("pattern", pattern)]).ok()
}

/// The first that makes a case of bearable size: the sizes themselves, multiples of 8, 64 and 256,
/// powers of two; and for each the other sizes as they are, 16 or the least.
pub(super) fn shaped(base: &Case, change: &Changes, most_work: u64) -> Option<Case> {
    let rounded: [fn(u64) -> u64; 5] = [
        |size| size,
        |size| size.next_multiple_of(8),
        |size| size.next_multiple_of(64),
        |size| size.next_multiple_of(256),
        u64::next_power_of_two,
    ];
    let fits = |case: &Case| work(case) <= most_work;
    rounded.iter().find_map(|round| {
        let change: Changes = change
            .iter()
            .map(|(key, value)| match value {
                Some(Value::Number(size)) => (*key, Some(Value::Number(round(*size)))),
                other => (*key, other.clone()),
            })
            .collect();
        let others = sizes(base).filter(|(key, _)| change.iter().all(|(other, _)| other != key));
        let others: Vec<_> = others.collect();
        [u64::MAX, 16, 1].iter().find_map(|most| {
            let smaller =
                |(key, size): &(&'static str, u64)| (*key, Some(Value::Number((*size).min(*most))));
            let all: Changes = change.iter().cloned().chain(others.iter().map(smaller)).collect();
            base.with(&all).ok().filter(fits)
        })
    })
}

/// A stride and an offset where the case has none: the first two of each that make a case.
fn layouts(base: &Case) -> Vec<Case> {
    let absent =
        |param: &&Param| matches!(param.kind, Kind::Number { .. }) && base.get(param.key).is_none();
    let of = |param: &Param| {
        let with = |size| base.with(&[(param.key, Some(Value::Number(size)))]).ok();
        LAYOUTS.into_iter().filter_map(with).take(2).collect::<Vec<_>>()
    };
    base.spec().params.iter().filter(absent).flat_map(of).collect()
}

/// Every other rule with the formats of each base, first each rule once, then on other rows and data.
/// Where there are many formats they take turns, each from another rule and other data on.
fn rules(bases: &[Case]) -> Vec<Case> {
    let each = of_formats(bases).into_iter().enumerate();
    in_turns(each.map(|(turn, base)| rules_of(base, turn)).collect()).take(MOST_RULES).collect()
}

/// The last base of each format.
pub(super) fn of_formats(bases: &[Case]) -> Vec<&Case> {
    let named: BTreeMap<String, &Case> = bases.iter().map(|base| (formats(base), base)).collect();
    named.into_values().collect()
}

/// The first of each list, then the second of each, until all are through.
fn in_turns(lists: Vec<Vec<Case>>) -> impl Iterator<Item = Case> {
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .flat_map(move |i| lists.iter().filter_map(|l| l.get(i).cloned()).collect::<Vec<_>>())
}

/// Every other rule, on rows of some lengths and each kind of data.
fn rules_of(base: &Case, turn: usize) -> Vec<Case> {
    let of_rule = |param: &Param, text: &str, i: usize| -> Option<Vec<Case>> {
        let config = param.parse(text).ok()?;
        let of_len = |k| {
            let sizes = sizes(base).filter(|(key, _)| *key == "k").map(|(key, _)| key);
            let size = sizes.map(|key| (key, Some(Value::Number(k))));
            let change = [(param.key, Some(config.clone()))];
            base.with(&change.into_iter().chain(size).collect::<Changes>()).ok()
        };
        let (mut rows, mut tiers) = (RULE_ROWS, RULE_TIERS);
        rows.rotate_left(i % RULE_ROWS.len());
        tiers.rotate_left((i + turn) % RULE_TIERS.len());
        let lengths: Vec<Case> = rows.into_iter().filter_map(of_len).take(LENGTHS).collect();
        let of_tier = |tier| lengths.iter().filter_map(move |case| with_data(case, tier));
        Some(tiers.into_iter().flat_map(of_tier).collect())
    };
    let rule = |param: &&Param| matches!(param.kind, Kind::WordOrConfig { .. });
    let params = base.spec().params.iter().filter(rule);
    let each = params.flat_map(|param| RULES.iter().map(move |text| (param, *text)));
    let mut all: Vec<Vec<Case>> =
        each.enumerate().filter_map(|(i, (param, text))| of_rule(param, text, i)).collect();
    let first = 7 * turn % all.len().max(1);
    all.rotate_left(first);
    in_turns(all).collect()
}

/// Of each setting the least sizes that make a case, with values of which others would hide something.
fn lone(bases: &[Case]) -> Vec<Case> {
    let least = |base: &Case| {
        let ones: Vec<(&'static str, u64)> = sizes(base).map(|(key, _)| (key, 1)).collect();
        shaped(base, &numbers(&ones), MOST_WORK)
    };
    let least = bases.iter().filter_map(least);
    let lone =
        |case: Case| LONE.into_iter().filter_map(move |p| with_data(&case, ("adversarial", p)));
    least.flat_map(lone).collect()
}

/// A seed beyond 32 bits, which kernels that draw for themselves must not lose.
fn of_seed(base: &Case) -> Option<Case> {
    base.with(&[("seed", Some(Value::Number((1 << 40) + 5)))]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str) -> Case {
        id.parse().unwrap_or_else(|e| panic!("{id}: {e}"))
    }

    #[test]
    fn every_size_is_met_alone_and_some_together() {
        let id = "linear/weight=int8/weight_rule=absmax/activation=int8/activation_rule=absmax/m=3/k=65/n=5/data=exact";
        let cases = stretched(&[case(id), case(&id.replace("k=65", "k=4"))]);
        assert!(cases.len() <= MOST && cases.iter().all(|case| work(case) <= MOST_WORK));
        let has = |what: &str, seen: &dyn Fn([usize; 3], &Case) -> bool| {
            let sizes = |case: &Case| ["m", "k", "n"].map(|key| case.number(key));
            assert!(cases.iter().any(|case| seen(sizes(case), case)), "{what}");
        };
        has("many tokens", &|[m, ..], _| m > 1024);
        has("long rows", &|[_, k, _], case| k > 65536 && case.word("pattern") == "saturated");
        has("many rows", &|[.., n], _| n > 65536);
        has("long rows in a multiple of 256", &|[_, k, _], _| k > 4096 && k % 256 == 0);
        has("an index beyond 16 bits", &|[m, _, n], _| m > 255 && m * n > 65536);
        has("no token", &|[m, k, n], _| m == 0 && k * n > 0);
        has("nothing to add", &|[m, k, n], _| k == 0 && m * n > 0);
        has("a stride", &|_, case| case.number("x_stride") > case.number("k"));
        let rule = |case: &Case, text: &str| {
            case.get("activation_rule").is_some_and(|rule| rule.to_string().contains(text))
        };
        has("the lowest code", &|_, case| rule(case, "-128"));
        has("a long seed", &|_, case| case.number("seed") > u32::MAX as usize);
        // The larger one is the base: it has no size that any kernel has a branch for.
        has("sizes of the base", &|[m, k, _], _| m == 3 && k == 65);
    }

    #[test]
    fn every_rule_is_met_where_formats_are_many_and_values_are_met_alone() {
        let suite = crate::own::cases::suite("linear").expect("the suite is ours");
        let cases = stretched(&suite);
        for param in ["weight_rule", "activation_rule"] {
            let param = suite[0].spec().params.iter().find(|p| p.key == param).expect("a rule");
            for text in RULES {
                let Ok(rule) = param.parse(text) else { continue };
                let fits =
                    suite.iter().any(|case| case.with(&[(param.key, Some(rule.clone()))]).is_ok());
                let met = cases.iter().filter(|case| case.get(param.key) == Some(&rule)).count();
                assert!(met > 0 || !fits, "{} {text}", param.key);
            }
        }
        let alone = |case: &&Case| sizes(case).all(|(_, size)| size == 1);
        let lone =
            stretched(&[case("rho_encode/codec=bf16/matrices=2/rows=9/columns=100/data=exact")]);
        let patterns: BTreeSet<&str> =
            lone.iter().filter(alone).map(|c| c.word("pattern")).collect();
        assert!(patterns.is_superset(&BTreeSet::from(["nan", "inf"])), "{patterns:?}");
        // Under every rule of the suite.
        let suite = crate::own::cases::suite("quantize_weight").expect("the suite is ours");
        let lone = stretched(&suite);
        let met = lone.iter().filter(|case| case.word("pattern") == "negative_inf").map(setting);
        assert_eq!(met.collect::<BTreeSet<_>>(), bases(&suite).iter().map(setting).collect());
    }

    #[test]
    fn sizes_that_make_no_case_are_rounded_to_some_that_do() {
        let blocks = stretched(&[case("quantize_blocks/format=tq2_0/k=256/n=2/data=exact")]);
        assert!(blocks.iter().any(|case| case.number("k") > 4096), "{}", blocks.len());
        let heads = "attention/format=f32/batch=1/heads=4/kv_heads=2/query_len=3/key_len=5/head_dim=8/causal=no/scaling=root/mode=inference/data=exact";
        let heads = stretched(&[case(heads)]);
        for (key, most) in [("batch", 16), ("heads", 16), ("key_len", 4096), ("head_dim", 1024)] {
            assert!(heads.iter().any(|case| case.number(key) > most), "{key}");
        }
    }
}
