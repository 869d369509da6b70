//! Planted faults: does the check notice when a row is wrong?
//!
//! A fault changes what a row reads, which problem it computes, or what it answers. The row itself
//! is untouched, so faults can be planted around any row of any op, and they are found, if they
//! are, by the very check that every row has to pass. A fault that changes no bit of an answer is
//! *equivalent*: nobody could have seen it, and it counts for nothing.
pub mod answer;
pub mod plant;
pub mod read;
use answer::Answered;
use lowbit_reference::case::{Case, Kind, Value};
use lowbit_reference::op::part::{Piece, Role};
use lowbit_reference::rule::Rule;
use serde::{Deserialize, Serialize};

/// One kind of mistake that kernels make.
pub struct Fault {
    /// Name, unique in the table.
    pub name: &'static str,
    /// What goes wrong, as a sentence about the row.
    pub about: &'static str,
    /// Where.
    pub plant: Plant,
}

/// Where a fault is planted.
pub enum Plant {
    /// In each tensor, of these roles, that the row reads.
    Read(&'static [Role], fn(&mut Piece<'_>)),
    /// In the rule by which the row quantizes; whether the rule has what is to be changed.
    Rule(fn(&mut Rule) -> bool),
    /// The row is handed another case.
    Case(fn(&Case) -> Vec<(String, Case)>),
    /// In each output, after the row has answered.
    Answer(fn(&mut Answered<'_>)),
    /// In the float whose bound is widest: as many bounds off. Only where bounds ten times as wide
    /// would let it pass: so it is the bound that catches it, and not something else.
    Bounds(f64),
}

impl Plant {
    /// Whether the fault changes what the row reads or computes, and not only what it answers.
    pub fn within(&self) -> bool {
        !matches!(self, Plant::Answer(_) | Plant::Bounds(_))
    }
}

/// Every fault. Adding one is a line here.
pub static FAULTS: &[&[Fault]] =
    &[read::TENSORS, read::SCALES, read::RULES, CASES, answer::FAULTS, BOUNDS];

/// The faults one by one, in the order of the tables.
pub fn all() -> impl Iterator<Item = &'static Fault> {
    FAULTS.iter().copied().flatten()
}

/// Look a fault up by name.
pub fn named(name: &str) -> Option<&'static Fault> {
    all().find(|fault| fault.name == name)
}

static CASES: &[Fault] = &[
    Fault {
        name: "stale_inputs",
        about: "reads the data of another seed, as if a buffer had been left from before",
        plant: Plant::Case(|case| {
            let next = case.number("seed").wrapping_add(1) as u64;
            with(case, "seed", Value::Number(next))
                .map(|c| ("seed".into(), c))
                .into_iter()
                .collect()
        }),
    },
    Fault {
        name: "wrong_setting",
        about: "computes with another word, or half the number, for one of the op's settings",
        plant: Plant::Case(settings),
    },
];

static BOUNDS: &[Fault] = &[Fault {
    name: "three_bounds",
    about: "answers one float three times its bound off",
    plant: Plant::Bounds(3.0),
}];

/// Parameters that say what the data are or how they are stored, and not what is done with them.
const DATA: &[&str] = &[
    "data",
    "pattern",
    "distribution",
    "sigma",
    "format",
    "weight",
    "activation",
    "codec",
    "layout",
];

/// The case with every other word, or half the decimal, for each setting of its op.
fn settings(case: &Case) -> Vec<(String, Case)> {
    let mut cases = Vec::new();
    for param in case.spec().params.iter().filter(|param| !DATA.contains(&param.key)) {
        let Some(value) = case.get(param.key) else { continue };
        let others = match (value, param.kind) {
            (Value::Word(word), Kind::Word(words) | Kind::WordOrConfig { words, .. }) => {
                let words = words().into_iter().map(|other| other.name);
                words.filter(|other| other != word).map(Value::Word).collect()
            }
            (Value::Decimal(decimal), _) => vec![Value::Decimal(decimal / 2.0)],
            _ => Vec::new(),
        };
        for other in others {
            let site = format!("{}={other}", param.key);
            cases.extend(with(case, param.key, other).map(|case| (site, case)));
        }
    }
    cases
}

/// The case with another value of a parameter, if that is a case.
fn with(case: &Case, key: &str, value: Value) -> Option<Case> {
    case.get(key)?;
    let given =
        case.parameters().map(|(k, v)| (k, if k == key { value.clone() } else { v.clone() }));
    Case::new(case.spec(), &given.collect::<Vec<_>>()).ok()
}

/// What became of a fault planted around a row on a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The check refused the row.
    Caught {
        /// Which part of the check.
        by: String,
        /// Its words.
        why: String,
    },
    /// The answer changed, and passed.
    Survived,
    /// The answer did not change.
    Equivalent,
}

/// A fault, and the place it is planted in: a tensor, a setting, an output.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Site {
    /// Name of the fault.
    pub fault: String,
    /// Name of the tensor, setting or output.
    pub place: String,
}

/// Survivors that are known, and why the check cannot see them.
pub static EXCUSED: &[Excuse] = &[
    tie("quantize_activation", "cube-wgpu"),
    tie("quantize_weight", "cube-wgpu"),
    tie("rho_pack", "cube-wgpu"),
    tie("quantize_activation", "cube-cuda"),
    tie("quantize_weight", "cube-cuda"),
    tie("rho_pack", "cube-cuda"),
    eight_bit("dropped_tail", "activation_f32"),
    eight_bit("one_lost", "activation_f32"),
    eight_bit("column_negated", "activation_f32"),
    eight_bit("short_floats", "activation_f32"),
    eight_bit("stale_tail", "weight"),
    eight_bit("one_bit", "weight"),
    eight_bit("gain", "y"),
    eight_bit("one_off", "y"),
];

const fn eight_bit(fault: &'static str, place: &'static str) -> Excuse {
    Excuse {
        fault,
        op: "linear",
        kernel: "candle",
        place,
        why: "the peer declares that it rounds activations to 8 bits: what is smaller is within that",
    }
}

const fn tie(op: &'static str, kernel: &'static str) -> Excuse {
    Excuse {
        fault: "ties_the_other_way",
        op,
        kernel,
        place: "rule",
        why: "WGSL divides within 2.5 ulp, and CUDA may, so that a tie may fall to either side",
    }
}

/// Why a fault may survive.
#[derive(Clone, Copy, Debug)]
pub struct Excuse {
    /// Name of the fault.
    pub fault: &'static str,
    /// The op.
    pub op: &'static str,
    /// The row.
    pub kernel: &'static str,
    /// The tensor, setting or output.
    pub place: &'static str,
    /// The reason.
    pub why: &'static str,
}

/// The reason why that fault may survive around that row, if it may.
pub fn excuse(op: &str, kernel: &str, site: &Site) -> Option<&'static str> {
    let is = |e: &&Excuse| {
        (e.op, e.kernel, e.fault, e.place) == (op, kernel, &*site.fault, &*site.place)
    };
    EXCUSED.iter().find(is).map(|excuse| excuse.why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn there_are_many_faults_and_most_are_within_the_row() {
        let names: BTreeSet<_> = all().map(|fault| fault.name).collect();
        assert_eq!(names.len(), all().count(), "a name stands twice");
        assert!(names.len() >= 30, "{}", names.len());
        assert!(2 * all().filter(|fault| fault.plant.within()).count() >= names.len());
    }

    #[test]
    fn whatever_is_excused_is_a_fault_of_the_table() {
        assert!(EXCUSED.iter().all(|e| named(e.fault).is_some() && !e.why.is_empty()));
    }

    #[test]
    fn settings_are_changed_one_at_a_time_and_data_never() {
        let id = "quantize_weight/weight=int8/weight_rule=absmax/k=8/n=4/data=realistic/seed=3";
        let case: Case = id.parse().unwrap();
        let others = settings(&case);
        assert!(others.iter().any(|(site, _)| site == "weight_rule=bnb"), "{others:?}");
        for (site, other) in &others {
            let differing = case.parameters().zip(other.parameters()).filter(|(a, b)| a != b);
            assert_eq!(differing.count(), 1, "{site}");
            assert_eq!(other.word("data"), "realistic");
        }
    }
}
