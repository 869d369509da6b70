//! Cases in which everything is drawn at once: sizes, numbers and data.
//!
//! What changes one size at a time never meets the corner of a tile, where two or three are large,
//! and sizes around powers of two never one whose remainder by 320 is 300 or more. Here formats take
//! turns, each with some case of the suite; its sizes are drawn, on a logarithmic scale, a third
//! left as they were, a third of the others whole vectors, and now and then one that is long; those
//! of windows are the small ones that kernels have ways of their own for, half of them square. What is
//! more work than was drawn for it loses halves of what was drawn, where that makes a case. Numbers
//! that are no sizes become some that no suite has.
use super::stretch::{Changes, MOST_WORK, formats, sizes, with_data, work};
use lowbit_reference::case::{Case, Kind, Param, Value};
use lowbit_scenarios::Dice;
use std::collections::{BTreeMap, BTreeSet};

/// Most cases, and most draws for them.
const MOST: usize = 4000;
const DRAWS: usize = 20_000;
/// Most operations and bytes of all of them.
const MOST_IN_ALL: u64 = 1 << 29;
/// The largest size, and the largest of one that is long.
const LARGEST: u64 = 700;
const LONGEST: u64 = 20_000;
/// What a third of the sizes are rounded up to: kernels have other ways for whole vectors.
const VECTOR: u64 = 16;
/// Sizes of windows, and numbers of which few are allowed, by what their names begin with.
const CHOICES: [(&str, [u64; 8]); 6] = [
    ("block_size", [0, 32, 32, 64, 64, 96, 128, 4096]),
    ("ceil_mode", [0, 0, 0, 0, 1, 1, 1, 1]),
    ("kernel_", [1, 1, 1, 2, 3, 3, 5, 9]),
    ("stride_", [1, 1, 1, 1, 2, 2, 2, 3]),
    ("padding_", [0, 0, 0, 0, 1, 1, 1, 2]),
    ("dilation_", [1, 1, 1, 1, 1, 1, 2, 3]),
];
/// Seed of the draws: each check has the same cases.
const SEED: u64 = 11;
/// Numbers that are no sizes: no sum of few powers of two, and one that makes scores large.
const DECIMALS: [f64; 3] = [0.1, 0.7, 3000.0];
/// The most work of a draw is halved less often than this: smaller ones are more frequent.
const HALVED: usize = 8;
/// Multiples that sizes are rounded up to where a draw makes no case.
const MULTIPLES: [u64; 5] = [1, 2, 8, 64, 256];
/// Data; what is listed twice comes twice as often.
const TIERS: [(&str, &str); 10] = [
    ("exact", ""),
    ("realistic", ""),
    ("exact", ""),
    ("adversarial", "one_hot"),
    ("realistic", ""),
    ("adversarial", "saturated"),
    ("adversarial", "nan"),
    ("adversarial", "huge_range"),
    ("adversarial", "outliers"),
    ("adversarial", "binades"),
];

/// Such cases, from those of the suite that were accepted.
pub(super) fn mixed(accepted: &[Case]) -> Vec<Case> {
    let mut of_formats: BTreeMap<String, Vec<&Case>> = BTreeMap::new();
    for case in accepted.iter().filter(|case| !matches!(case.word("data"), "file" | "kept")) {
        of_formats.entry(formats(case)).or_default().push(case);
    }
    let of_formats: Vec<Vec<&Case>> = of_formats.into_values().collect();
    let (mut dice, mut left) = (Dice::new(SEED), MOST_IN_ALL);
    let (mut cases, mut seen) = (Vec::new(), BTreeSet::new());
    for turn in 0..if of_formats.is_empty() { 0 } else { DRAWS } {
        if cases.len() == MOST {
            break;
        }
        let of_format = &of_formats[turn % of_formats.len()];
        let base = of_format[dice.below(of_format.len())];
        let Some(case) = drawn(base, &mut dice).filter(|case| work(case) <= left) else { continue };
        if seen.insert(case.to_string()) {
            left -= work(&case);
            cases.push(case);
        }
    }
    cases
}

/// The sizes to choose from, where there are such.
fn choices(key: &str) -> Option<&'static [u64]> {
    CHOICES.iter().find(|(prefix, _)| key.starts_with(prefix)).map(|(_, sizes)| &sizes[..])
}

/// A size of this name.
fn size(key: &str, largest: u64, dice: &mut Dice) -> u64 {
    if let Some(sizes) = choices(key) {
        return sizes[dice.below(sizes.len())];
    }
    // Groups of channels divide two other sizes: half of the draws have none.
    let largest = if key == "groups" && dice.coin() { 1 } else { largest };
    let size = dice.size(1, largest);
    if size > 1 && dice.below(3) == 0 { size.next_multiple_of(VECTOR) } else { size }
}

/// Windows as wide as they are high: kernels have ways of their own for these, too.
fn squared(all: &[(&'static str, u64)], changes: &mut Changes) {
    for (width, _) in all.iter().filter(|(key, _)| choices(key).is_some()) {
        let stem = width.strip_suffix("_w");
        let twin = all.iter().find(|(key, _)| stem.is_some() && key.strip_suffix("_h") == stem);
        let Some((height, size)) = twin else { continue };
        let drawn = changes.iter().find(|(key, _)| key == height).map(|(_, value)| value.clone());
        changes.retain(|(key, _)| key != width);
        changes.push((*width, drawn.unwrap_or(Some(Value::Number(*size)))));
    }
}

/// One try.
fn drawn(base: &Case, dice: &mut Dice) -> Option<Case> {
    let all: Vec<(&'static str, u64)> = sizes(base).collect();
    let long = dice.below(3 * all.len().max(1));
    let mut changes: Changes = Vec::new();
    for (i, (key, _)) in all.iter().enumerate() {
        let largest = if i == long { LONGEST } else { LARGEST };
        // Every third stays as it is.
        if dice.below(3) > 0 {
            changes.push((*key, Some(Value::Number(size(key, largest, dice)))));
        }
    }
    if dice.coin() {
        squared(&all, &mut changes);
    }
    let decimal = |param: &&Param| matches!(param.kind, Kind::Decimal) && param.key != "sigma";
    for param in base.spec().params.iter().filter(decimal) {
        if base.get(param.key).is_some() && dice.coin() {
            changes.push((param.key, Some(Value::Decimal(DECIMALS[dice.below(DECIMALS.len())]))));
        }
    }
    let most = MOST_WORK >> dice.below(HALVED).max(dice.below(HALVED));
    let tier = TIERS[dice.below(TIERS.len())];
    let seed = Some(Value::Number(dice.below(1 << 20) as u64));
    changes.push(("seed", seed));
    // What is too much work loses half of one size or another, until it is not.
    let case = loop {
        let made =
            MULTIPLES.iter().find_map(|multiple| base.with(&rounded(&changes, *multiple)).ok())?;
        if work(&made) <= most {
            break made;
        }
        let large: Vec<usize> = (0..changes.len()).filter(|i| number(&changes[*i]) > 1).collect();
        let one = large.get(dice.below(large.len().max(1)))?;
        changes[*one].1 = Some(Value::Number(number(&changes[*one]) / 2));
    };
    Some(with_data(&case, tier).unwrap_or(case))
}

/// The size that a change is of, 0 for one that was chosen and for what is no size.
fn number((key, value): &(&'static str, Option<Value>)) -> u64 {
    match value {
        Some(Value::Number(size)) if choices(key).is_none() && *key != "seed" => *size,
        _ => 0,
    }
}

/// Sizes, but for those that were chosen, rounded up to whole multiples.
fn rounded(changes: &Changes, multiple: u64) -> Changes {
    let round = |change: &(&'static str, Option<Value>)| match number(change) {
        0 => change.clone(),
        size => (change.0, Some(Value::Number(size.next_multiple_of(multiple)))),
    };
    changes.iter().map(round).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_of_tiles_long_rows_and_odd_remainders_are_met() {
        let of = |weight: &str, rule: &str| -> Case {
            let id = format!(
                "linear/weight={weight}/weight_rule={rule}/activation=int8/activation_rule=absmax\
                 /m=3/k=65/n=5/data=exact"
            );
            id.parse().unwrap_or_else(|e| panic!("{id}: {e}"))
        };
        let cases = mixed(&[of("int8", "absmax"), of("ternary2", "b158"), of("int4", "absmax")]);
        assert!(cases.len() > MOST / 2 && cases.iter().all(|case| work(case) <= MOST_WORK));
        let met = |what: &str, weights: &[&str], found: &dyn Fn([usize; 3]) -> bool| {
            let of = cases.iter().filter(|case| weights.contains(&case.word("weight")));
            let sizes = |case: &Case| ["m", "k", "n"].map(|key| case.number(key));
            assert!(of.map(sizes).any(found), "{weights:?}: {what}");
        };
        let weights = ["int8", "ternary2", "int4"];
        for weight in weights {
            met("three large ones", &[weight], &|[m, k, n]| m > 32 && k > 64 && n > 64);
            met("a long row", &[weight], &|[_, k, _]| k > 2048);
        }
        // Of one in a few hundred there is one, in some format.
        met("a corner", &weights, &|[m, _, n]| m % 6 == 5 && n % 16 == 3);
        met("a remainder", &weights, &|[_, k, _]| k % 320 >= 300);
    }

    #[test]
    fn numbers_are_drawn_where_there_are_some() {
        let id = "lowrank_projection/weight=int8/weight_rule=onnx/activation=f32/activation_rule=none\
                  /pass=forward/relu=above/relu_threshold=0.5/batch=1/input_heads=1/heads=1/time=2\
                  /embd=4/packed_latent=4/latent=4/data=exact";
        let cases = mixed(&[id.parse().unwrap_or_else(|e| panic!("{id}: {e}"))]);
        let thresholds = |case: &Case| case.get("relu_threshold").map(ToString::to_string);
        assert!(cases.iter().any(|case| thresholds(case).as_deref() == Some("0.1")));
    }

    #[test]
    fn numbers_of_which_few_are_allowed_are_met() {
        let of = |op: &str| mixed(&crate::own::cases::suite(op).expect("the suite is ours"));
        let odd = |case: &Case| {
            let len = case.number("n") * case.number("k");
            case.number("block_size") == 32 && len % 64 == 32 && len > 64
        };
        assert!(of("quantize_nf4").iter().any(odd), "no odd number of blocks of 32");
        let apart = |case: &Case| case.number("dilation_h").max(case.number("dilation_w")) > 1;
        let cut = |case: &&Case| case.number("ceil_mode") == 1 && case.word("divisor") == "padded";
        let pools = of("pool2d");
        assert!(pools.iter().filter(cut).any(apart), "no dilated window that is cut off");
    }

    #[test]
    fn windows_that_kernels_have_ways_of_their_own_for_are_met() {
        let cases = mixed(&crate::own::cases::suite("conv2d").expect("the suite is ours"));
        assert!(cases.len() > MOST / 2, "{}", cases.len());
        let all = |case: &Case, what: &str, size: usize| {
            ["_h", "_w"].iter().all(|side| case.number(&format!("{what}{side}")) == size)
        };
        let depth = |case: &Case| {
            let [channels, groups] = ["c_in", "groups"].map(|key| case.number(key));
            channels / groups * case.number("kernel_h") * case.number("kernel_w")
        };
        let has = |what: &str, found: &dyn Fn(&Case) -> bool| {
            assert!(cases.iter().any(found), "no case of {what}");
        };
        has("pixels apart in rows alone", &|case| {
            all(case, "kernel", 1) && case.number("stride_h") > 1 && case.number("stride_w") == 1
        });
        has("3 x 3 on whole vectors of channels and an odd number of rows", &|case| {
            let dense = ["stride", "dilation", "padding"].map(|what| all(case, what, 1));
            let [height, channels] = ["height", "c_in"].map(|key| case.number(key));
            all(case, "kernel", 3) && dense == [true; 3] && height % 2 == 1 && channels % 4 == 0
        });
        has("a sum of bytes beyond 24 bits", &|case| {
            depth(case) * 127 * 127 > 1 << 24
                && case.word("format") == "int8"
                && case.word("data") == "adversarial"
                && case.word("pattern") == "saturated"
        });
        has("a large kernel", &|case| all(case, "kernel", 9));
        has("depthwise, two outputs a channel", &|case| {
            let [groups, channels, outputs] =
                ["groups", "c_in", "c_out"].map(|key| case.number(key));
            groups > 4 && groups == channels && outputs == 2 * channels
        });
    }
}
