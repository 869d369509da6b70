//! In which way a row fails. A case made smaller must fail in the same way, or it is another defect.
use crate::refusal::NOT_RUN;
use lowbit_reports::record::{Record, Verdict};

/// A way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An answer that is not the reference's.
    Wrong,
    /// Two runs on buffers of different content disagree.
    Unrepeatable,
    /// Bits that the row declares the same, on other threads or in another batch, are not.
    Declared,
    /// Something was written outside a buffer.
    Overrun,
    /// The row says that it failed.
    Broken,
    /// The row ended its process, or panicked.
    Died,
    /// No answer came in time.
    Silent,
    /// The check proved nothing.
    Mistrusted,
}

impl Fault {
    /// What a record says, if it says that its row is at fault.
    pub fn of(record: &Record) -> Option<Fault> {
        match record.verdict {
            Verdict::Errored if record.reason.starts_with(NOT_RUN) => Some(Fault::Broken),
            Verdict::Passed | Verdict::Skipped | Verdict::Errored => None,
            Verdict::Mistrusted => Some(Fault::Mistrusted),
            Verdict::Crashed if record.reason.contains("no answer within") => Some(Fault::Silent),
            Verdict::Crashed => Some(Fault::Died),
            // Without outputs that were compared, the row itself failed, or a guard band says so.
            Verdict::Failed => Some(match (&record.agreement, record.reason.as_str()) {
                (None, reason) if reason.contains("wrote ") => Fault::Overrun,
                (None, _) => Fault::Broken,
                (Some(seen), _) if seen.mismatches > 0 => Fault::Wrong,
                (Some(_), reason) if reason.contains("wrote ") => Fault::Overrun,
                (Some(_), reason) if reason.starts_with("the row declares") => Fault::Declared,
                (Some(_), reason) if reason.contains("disagree") => Fault::Unrepeatable,
                (Some(_), _) => Fault::Wrong,
            }),
        }
    }

    /// What a kernel author is told.
    pub fn sentence(self) -> &'static str {
        match self {
            Fault::Wrong => "it answers wrongly",
            Fault::Unrepeatable => "its answer depends on what buffers held before",
            Fault::Declared => "it declares more of its bits than is so",
            Fault::Overrun => "it writes outside its buffers",
            Fault::Broken => "it fails",
            Fault::Died => "it panics or ends its process",
            Fault::Silent => "it does not answer",
            Fault::Mistrusted => "its check proves nothing",
        }
    }
}
