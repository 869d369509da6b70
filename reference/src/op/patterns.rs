//! Which patterns of tier `adversarial` an op has no answer to, and why.
//!
//! A NaN or an infinity needs a stated policy. Quantizers and codecs have one each (`rule`, `format`,
//! `rho`): a poisoned group is seen, and stays one group. Sums, maxima and rows of `linear`,
//! `conv2d`, `pool2d` and `hadamard` are IEEE's. What is here has none.
use crate::case::{Case, CaseError};
use crate::data::Pattern;

/// Why a pattern makes no case of an op; `None` where it does.
pub fn refused(op: &str, pattern: Pattern) -> Option<&'static str> {
    let special = pattern.special().is_some();
    match op {
        "attention" if special => {
            Some("has no policy in attention: no softmax is defined where a score is no number")
        }
        "attention" if matches!(pattern, Pattern::HugeRange | Pattern::Outliers) => Some(
            "makes scores of attention whose rounding alone is more than a float's exponential \
             holds: no answer is wrong",
        ),
        "lowrank_projection" | "decoder_tail" if special => {
            Some("has no policy in a projection: what a relu keeps of a NaN is not said")
        }
        "awq_search" if special => {
            Some("has no policy in awq_search: no ratio is best where every loss is NaN")
        }
        _ => None,
    }
}

/// The error of a case whose op refuses its pattern.
pub(crate) fn check(case: &Case) -> Result<(), CaseError> {
    let pattern = Pattern::named(case.word("pattern"));
    match pattern.and_then(|pattern| refused(case.op(), pattern)) {
        Some(why) => Err(case.conflict("pattern", why)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::case::Case;

    #[test]
    fn what_has_no_policy_is_refused_with_the_reason() {
        let id = |pattern: &str| {
            format!(
                "attention/format=f32/heads=1/kv_heads=1/query_len=2/key_len=2/head_dim=4\
                 /data=adversarial/pattern={pattern}"
            )
        };
        let error = |pattern| id(pattern).parse::<Case>().unwrap_err().to_string();
        assert!(error("nan").contains("`pattern=nan` has no policy in attention"));
        assert!(error("huge_range").contains("no answer is wrong"));
        assert!(error("tie").contains("did you mean `ties`?"));
        assert!(id("ties").parse::<Case>().is_ok());
    }
}
