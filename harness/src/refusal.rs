//! Why a check refuses a row.
use lowbit_kernels::Failure;
use lowbit_reference::judge::Broken;

/// Which part of the check refused a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The row itself: it failed, or its process died.
    Row,
    /// Two runs on buffers of different content disagree.
    Runs,
    /// An output, for what is broken.
    Output(Broken),
    /// More zeros than expected.
    Zeros,
    /// A quality that format, rule and distribution do not predict.
    Quality,
}

impl Check {
    /// One word for tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Check::Row => "row",
            Check::Runs => "runs",
            Check::Output(Broken::Form) => "form",
            Check::Output(Broken::Exact) => "exact",
            Check::Output(Broken::Bound) => "bound",
            Check::Output(Broken::Code) => "code",
            Check::Zeros => "zeros",
            Check::Quality => "quality",
        }
    }

    /// Whether the row is not wrong but proves nothing.
    pub(crate) fn mistrusts(self) -> bool {
        matches!(self, Check::Zeros | Check::Quality)
    }
}

/// Why a check refused a row.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) by: Check,
    pub(crate) why: String,
}

impl From<Failure> for Refusal {
    fn from(Failure(why): Failure) -> Refusal {
        Refusal { by: Check::Row, why }
    }
}
