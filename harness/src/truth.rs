//! What is true of a problem, whatever a row answers: found once, and shared by the rows of a case.
use lowbit_reference::op::Op;
use lowbit_reference::quality::{Predicted, Quality};
use lowbit_reports::record;

/// The right answer, and what quantization costs.
pub(crate) struct Truth<O: Op> {
    /// What the oracle computes once.
    pub(crate) reference: O::Reference,
    quality: Option<Quality>,
    expected: Option<Predicted>,
}

impl<O: Op> Truth<O> {
    pub(crate) fn of(problem: &O::Problem) -> Truth<O> {
        let reference = O::reference(problem);
        let quality = O::quality(problem, &reference);
        let expected = quality.and_then(|_| O::expected_error(problem));
        Truth { reference, quality, expected }
    }

    /// Why the quality is not the one that format, rule and distribution predict, if it is not.
    pub(crate) fn unexpected(&self) -> Option<String> {
        self.quality?.unexpected(self.expected?)
    }

    /// The quality, and where it must lie, as they are recorded.
    pub(crate) fn quality(&self) -> Option<record::Quality> {
        let q = self.quality?;
        Some(record::Quality {
            sqnr_db: q.sqnr_db.map(finite),
            nmse: finite(q.nmse),
            mean_quant_error: finite(q.mean_abs_error),
            max_quant_error: finite(q.max_abs_error),
            rms_ratio: finite(q.rms_ratio),
            block_error: Some(finite(q.block_error)),
            expected_nmse: self.expected.and_then(|expected| expected.nmse(&q)),
        })
    }
}

/// JSON has no NaN and no infinity.
pub(crate) fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { f64::MAX }
}
