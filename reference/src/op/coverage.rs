//! Which codes a case holds: a row that errs in one code of 256 is found out by no case without it.
//!
//! A row that passed has met, or answered, the codes of the reference, so the codes of its cases
//! together are what a suite has shown of the row.
use super::quantize::QuantizeProblem;
use crate::format::Levels;
use crate::rule::{Code, Quantized, Range, Rule};

/// Codes of one operand or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodesSeen {
    /// Which: `codes`, `weight`, `activation`.
    pub what: &'static str,
    /// Their format.
    pub format: String,
    /// Codes there are, ascending, as first and last of each run. Under a rule, those that it can
    /// give: absmax reaches no -128.
    pub wanted: Vec<(Code, Code)>,
    /// Codes seen, in the same way.
    pub seen: Vec<(Code, Code)>,
    /// For a quantizer: values within 4 ulp of a tie.
    pub ties: Option<u64>,
}

impl CodesSeen {
    /// The codes of a tensor.
    pub fn new(
        what: &'static str,
        (format, levels, rule): (&str, Levels, Option<&Rule>),
        codes: impl IntoIterator<Item = Code>,
    ) -> CodesSeen {
        let (least, most) = wanted(levels, rule);
        let mut there = [false; 512];
        let index = |code: Code| usize::try_from(code + 256).unwrap_or(0).min(511);
        codes.into_iter().for_each(|code| there[index(code)] = true);
        let seen = (least..=most).filter(|code| there[index(*code)]);
        let all = (least..=most).filter(|code| levels != Levels::Sign || *code != 0);
        let (wanted, seen) = (runs(all), runs(seen));
        CodesSeen { what, format: format.to_owned(), wanted, seen, ties: None }
    }

    /// The codes that a quantizer gave, and its ties.
    pub(super) fn quantized(problem: &QuantizeProblem, q: &Quantized) -> CodesSeen {
        let (levels, group_len) = (problem.levels(), problem.group_len.max(1));
        let kind = (problem.format.name(), levels, Some(&problem.rule));
        let near = |(i, x): (usize, &f32)| {
            problem.rule.near_tie(levels, *x, &q.shared[i / group_len], group_len)
        };
        let ties = problem.x.iter().enumerate().filter(|at| near(*at)).count() as u64;
        // A sign about zero has no neighbour to round to.
        let ties = (levels != Levels::Sign || problem.rule.centred).then_some(ties);
        CodesSeen { ties, ..CodesSeen::new("codes", kind, q.codes.iter().copied()) }
    }

    /// The codes that are to come back.
    pub(super) fn stored(problem: &QuantizeProblem, q: &Quantized) -> CodesSeen {
        let kind = (problem.format.name(), problem.levels(), Some(&problem.rule));
        CodesSeen::new("codes", kind, q.codes.iter().copied())
    }
}

/// Least and largest code that a rule can give.
fn wanted(levels: Levels, rule: Option<&Rule>) -> (Code, Code) {
    let (least, most) = levels.range();
    match (levels, rule) {
        (Levels::Int4 | Levels::Int8, Some(rule)) => {
            let full = (rule.steps / rule.times) as Code;
            let reached = if rule.range == Range::Absmax { -full } else { least };
            (least.max(rule.min_code.into()).max(reached), most)
        }
        _ => (least, most),
    }
}

fn runs(codes: impl Iterator<Item = Code>) -> Vec<(Code, Code)> {
    let mut runs: Vec<(Code, Code)> = Vec::new();
    for code in codes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == code => *last = code,
            _ => runs.push((code, code)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::weight_rule;

    #[test]
    fn codes_are_counted_in_runs_within_what_a_rule_can_give() {
        let absmax = weight_rule("absmax", Levels::Int8).unwrap();
        let kind = ("int8", Levels::Int8, Some(&absmax));
        let seen = CodesSeen::new("codes", kind, [-127, -126, 5, 7, 6, 127, 5]);
        assert_eq!(seen.wanted, [(-127, 127)]);
        assert_eq!(seen.seen, [(-127, -126), (5, 7), (127, 127)]);
        let sign = CodesSeen::new("weight", ("sign1", Levels::Sign, None), [1, 1]);
        assert_eq!((sign.wanted, sign.seen), (vec![(-1, -1), (1, 1)], vec![(1, 1)]));
        let unsigned = CodesSeen::new("codes", ("uint8", Levels::Uint8, None), 0..=255);
        assert_eq!(unsigned.seen, unsigned.wanted);
    }
}
