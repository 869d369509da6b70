//! The largest cases: the longest sums, where an accumulator is too narrow, and more values and rows
//! than 16 bits count.
use super::stretch::{
    bases, edges, formats, numbers, of_formats, setting, shaped, sizes, with_data, without_products,
};
use lowbit_reference::case::Case;
use std::collections::BTreeMap;

/// Most cases of the longest sums, and their most operations and bytes.
const MOST_SUMS: usize = 300;
const MOST_SUM: u64 = 1 << 21;
/// Up to this a size alone may be one that another bounds.
const BOUNDED_FROM: usize = 1025;
/// How large both become then.
const MOST_BOUNDED: u64 = 4097;
/// Seeds of saturated values: one sign, so that sums across rows are as long; rows of either sign.
const SIGNS: [u64; 2] = [2, 7];
/// Most cases of many blocks, and the most bytes of one: they are read once.
const MOST_MANY: usize = 12;
const MOST_BYTES: u64 = 20 << 20;
/// 2^16 blocks of 32 values and one more; 2^16 rows and one more.
const MANY: [u64; 2] = [(1 << 21) + 33, (1 << 16) + 1];
/// Large cases that are tried before all else, on these data; the longest sums of so many formats, or of
/// rules where these are what sums; and cases of many blocks.
const SCOUTS: usize = 24;
const SCOUTED_SUMS: usize = 72;
const SCOUTS_OF_BLOCKS: usize = 2;
const SCOUTED: [(&str, &str); 2] = [("adversarial", "saturated"), ("exact", "")];
/// A prime by which a list is gone through, so that what repeats in it does not.
const STRIDE: usize = 7919;

/// The largest cases of the settings that a kernel takes.
pub(super) struct Longest {
    sums: Vec<Case>,
    blocks: Vec<Case>,
}

impl Longest {
    pub(super) fn new(accepted: &[Case]) -> Longest {
        Longest { sums: longest_sums(accepted), blocks: many_blocks(accepted) }
    }

    /// A few that are tried first: what a kernel loses beyond 2^16 of something is found at once.
    pub(super) fn scouts(&self) -> Vec<Case> {
        let on_each = |case: &Case| SCOUTED.map(|tier| with_data(case, tier));
        let sums = self.sums.iter().take(SCOUTS).flat_map(on_each).flatten();
        sums.chain(self.deepest())
            .chain(self.blocks.iter().take(SCOUTS_OF_BLOCKS).cloned())
            .collect()
    }

    /// Of each format, or of each rule where nothing is multiplied, the case whose sums are the longest.
    fn deepest(&self) -> Vec<Case> {
        let mut deepest: BTreeMap<String, &Case> = BTreeMap::new();
        for case in &self.sums {
            let summed = if without_products(case) { setting(case) } else { formats(case) };
            let found = deepest.entry(summed).or_insert(case);
            if (depth(case), row_len(case)) > (depth(found), row_len(found)) {
                *found = case;
            }
        }
        deepest.into_values().take(SCOUTED_SUMS).cloned().collect()
    }

    pub(super) fn sums(&self) -> Vec<Case> {
        self.sums.clone()
    }

    pub(super) fn blocks(self) -> Vec<Case> {
        self.blocks
    }
}

/// Products, or bytes that are read, for each byte that is answered: how long the sums are, those of
/// products or those of which a scale is made.
fn depth(case: &Case) -> f64 {
    let work = (case.spec().work)(case);
    work.macs.max(work.bytes_read) as f64 / work.bytes_written.max(1) as f64
}

/// How many values are the same where all of a row are.
fn row_len(case: &Case) -> usize {
    case.number("k").max(case.number("columns")).max(case.number("elements"))
}

/// Each size of each combination of formats as large as the limit of work allows, on data at the end
/// of the range: of settings that take turns, few meet a sum that leaves 24 bits. Where nothing is
/// multiplied it is quantizers that sum, each rule in its own way: a value many times over, whose roundings in one
/// chain all go the same way.
fn longest_sums(accepted: &[Case]) -> Vec<Case> {
    let all = bases(accepted);
    let (bases, pattern, seeds) = match all.first().is_some_and(without_products) {
        true => (all.iter().collect(), "constant_rows", &[7][..]),
        false => (of_formats(&all), "saturated", &SIGNS[..]),
    };
    let largest = |base: &Case, key: &'static str| {
        let case = largest(base, key).and_then(|c| with_data(&c, ("adversarial", pattern)));
        let of = |seed: &u64| case.as_ref()?.with(&numbers(&[("seed", *seed)])).ok();
        seeds.iter().filter_map(of).collect()
    };
    in_turns(each_size(&bases, largest), MOST_SUMS)
}

/// The largest size within the limit; where another size bounds it (the whole a slice, an image a
/// window) with that one as large.
fn largest(base: &Case, key: &'static str) -> Option<Case> {
    let mut sizes_down: Vec<u64> = edges().collect();
    sizes_down.reverse();
    let alone =
        sizes_down.iter().find_map(|size| shaped(base, &numbers(&[(key, *size)]), MOST_SUM));
    if alone.as_ref().is_some_and(|case| case.number(key) > BOUNDED_FROM) {
        return alone;
    }
    let keys = sizes(base).map(|(other, _)| other).filter(|other| *other != key);
    let others: Vec<&'static str> = keys.collect();
    let both = |size: &u64| {
        let with = |other: &&'static str| {
            shaped(base, &numbers(&[(key, *size), (*other, *size)]), MOST_SUM)
        };
        others.iter().find_map(with)
    };
    let bounded = sizes_down.iter().filter(|s| (BOUNDED_FROM as u64..=MOST_BOUNDED).contains(*s));
    bounded.into_iter().find_map(both).or(alone)
}

/// 2^21 values and more, or 2^16 rows, of ops that multiply nothing: indices of blocks leave 16 bits.
fn many_blocks(accepted: &[Case]) -> Vec<Case> {
    let many = |base: &Case, key: &'static str| {
        let fits = |size| shaped(base, &numbers(&[(key, size)]), MOST_BYTES);
        let case = MANY.into_iter().filter(|_| without_products(base)).find_map(fits);
        let drawn = |case: Case| with_data(&case, ("realistic", "")).unwrap_or(case);
        case.map(drawn).into_iter().collect()
    };
    in_turns(each_size(&of_formats(&bases(accepted)), many), MOST_MANY)
}

/// What is made of each size of each case.
fn each_size(bases: &[&Case], made: impl Fn(&Case, &'static str) -> Vec<Case>) -> Vec<Case> {
    let of_base =
        |base: &&Case| sizes(base).flat_map(|(key, _)| made(base, key)).collect::<Vec<Case>>();
    bases.iter().flat_map(of_base).collect()
}

/// The first, then those that are left by turns: a step that divides how many sizes there are would
/// meet one of them alone.
fn in_turns(all: Vec<Case>, most: usize) -> Vec<Case> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|i| i.wrapping_mul(STRIDE) % all.len());
    order.into_iter().take(most).map(|i| all[i].clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn cases(id: &str) -> [Case; 1] {
        [id.parse().unwrap_or_else(|e| panic!("{id}: {e}"))]
    }

    #[test]
    fn sums_across_channels_and_heads_leave_24_bits() {
        let conv = "conv2d/format=int8/batch=1/c_in=3/height=5/width=5/c_out=2/kernel_h=3/kernel_w=3/stride_h=1/stride_w=1/padding_h=0/padding_w=0/dilation_h=1/dilation_w=1/groups=1/data=exact";
        let depth = |case: &Case| ["c_in", "kernel_h", "kernel_w"].map(|key| case.number(key));
        let long = |case: &Case| depth(case).iter().product::<usize>() * 127 * 127 > 1 << 24;
        let saturated = |case: &Case| case.word("pattern") == "saturated";
        let one_sign = |case: &Case| saturated(case) && case.number("seed") % 3 == 2;
        let longest = longest_sums(&cases(conv));
        assert!(longest.iter().any(|case| long(case) && one_sign(case)), "{longest:?}");
        let either = |case: &Case| long(case) && saturated(case) && !one_sign(case);
        assert!(longest.iter().any(either), "{longest:?}");
        let projection = "lowrank_projection/weight=int8/activation=int8/weight_rule=onnx/activation_rule=onnx/pass=forward/relu=none/batch=2/input_heads=1/heads=2/time=3/embd=17/packed_latent=5/latent=5/data=exact";
        let longest = longest_sums(&cases(projection));
        let long = |case: &Case| case.number("embd") > 1041 && one_sign(case);
        assert!(longest.iter().any(long), "{longest:?}");
        let tail = "decoder_tail/weight=int8/activation=int8/weight_rule=onnx/activation_rule=onnx/pass=forward/relu=none/batch=2/heads=3/time=13/latent=17/latent_total=57/dim=35/data=exact";
        let longest = longest_sums(&cases(tail));
        // A slice of latents is bounded by the whole.
        let long = |case: &Case| case.number("latent") > 1041 && one_sign(case);
        assert!(longest.iter().any(long), "{longest:?}");
    }

    #[test]
    fn more_blocks_than_16_bits_count_are_met() {
        let state = "rho_unpack/format=int8/elements=64/data=exact";
        let many = many_blocks(&cases(state));
        assert!(many.iter().any(|case| case.number("elements") > 1 << 21), "{many:?}");
        let nf4 = "quantize_nf4/block_size=32/double_quant=none/n=3/k=64/data=realistic";
        let many = many_blocks(&cases(nf4));
        assert!(many.iter().any(|case| case.number("n") > 1 << 16), "{many:?}");
        let packed = "unpack/weight=ternary2/n=3/k=64/data=exact/seed=7";
        let many = many_blocks(&cases(packed));
        assert!(many.iter().any(|case| case.number("k") > 1 << 21), "{many:?}");
        let product = "linear/weight=int8/weight_rule=absmax/activation=int8/activation_rule=absmax/m=3/k=65/n=5/data=exact";
        assert_eq!(many_blocks(&cases(product)), []);
    }

    #[test]
    fn scouts_are_on_data_that_overflow_and_on_data_that_differ() {
        let product = "linear/weight=int8/weight_rule=absmax/activation=int8/activation_rule=absmax/m=3/k=65/n=5/data=exact";
        let scouts = Longest::new(&cases(product)).scouts();
        for key in ["m", "k", "n"] {
            let large = |case: &&Case| case.number(key) > 1 << 16;
            let words = scouts.iter().filter(large).map(|case| case.word("data"));
            let mut words: Vec<&str> = words.collect();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words, ["adversarial", "exact"], "{key}");
        }
        // The longest sum of every format.
        let formats = [
            ("int8", "absmax"),
            ("int4", "absmax"),
            ("uint4", "onnx"),
            ("sign1", "b1"),
            ("ternary2", "b158"),
            ("ternary3", "b158"),
        ];
        let of = |(weight, rule): (&str, &str)| {
            let named = format!("weight={weight}/weight_rule={rule}");
            cases(&product.replace("weight=int8/weight_rule=absmax", &named))[0].clone()
        };
        let scouts = Longest::new(&formats.map(of)).scouts();
        for (weight, _) in formats {
            let long = |case: &Case| case.word("weight") == weight && case.number("k") > 1 << 14;
            assert!(scouts.iter().any(long), "{weight}");
        }
    }

    #[test]
    fn every_rule_of_a_quantizer_meets_one_value_many_times_first() {
        for op in ["quantize_weight", "quantize_activation", "fake_quantize"] {
            let suite = crate::own::cases::suite(op).expect("the suite is ours");
            let scouts = Longest::new(&suite).scouts();
            // The sums of groups are short whatever is large.
            let rules: BTreeSet<String> = bases(&suite).iter().map(setting).collect();
            for rule in rules.into_iter().filter(|rule| !rule.contains("group")) {
                let one_value = |case: &&Case| {
                    let rows = case.number("n").max(case.number("m"));
                    case.word("pattern") == "constant_rows" && rows == 1 && row_len(case) > 1 << 16
                };
                let met = scouts.iter().any(|case| setting(case) == rule && one_value(&case));
                assert!(met, "{op}/{rule}");
            }
        }
    }
}
