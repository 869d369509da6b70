//! Why a check refuses a row.
use lowbit_kernels::Failure;
use lowbit_kernels::hardware::Need;
use lowbit_reference::judge::Broken;
use lowbit_reports::record::Verdict;

/// How the reason begins where a device did not run a row.
pub(crate) const NOT_RUN: &str = "the device did not run it: ";

/// Which part of the check refused a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// The row itself: it failed, or its process died.
    Row,
    /// The device, which did not run the row: a kernel that cannot be built, a lost device.
    Device,
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
            Check::Device => "device",
            Check::Runs => "runs",
            Check::Output(Broken::Form) => "form",
            Check::Output(Broken::Exact) => "exact",
            Check::Output(Broken::Bound) => "bound",
            Check::Output(Broken::Code) => "code",
            Check::Zeros => "zeros",
            Check::Quality => "quality",
        }
    }

    /// What a record says of a row that it refuses.
    pub(crate) fn verdict(self) -> Verdict {
        match self {
            Check::Device => Verdict::Errored,
            check if check.mistrusts() => Verdict::Mistrusted,
            _ => Verdict::Failed,
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

impl Refusal {
    /// Of a row that was not launched to its end.
    pub(crate) fn unlaunched(need: Need, Failure(why): Failure) -> Refusal {
        match need.is_device() {
            true => Refusal { by: Check::Device, why: format!("{NOT_RUN}{why}") },
            false => Refusal { by: Check::Row, why },
        }
    }
}

impl From<Failure> for Refusal {
    fn from(Failure(why): Failure) -> Refusal {
        Refusal { by: Check::Row, why }
    }
}
