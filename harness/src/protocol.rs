//! What the parent and `lowbit worker` say to each other: one JSON object a line, each way.
use crate::fault::{Fate, Site};
use crate::peaks::Peaks;
use lowbit_kernels::hardware::Hardware;
use lowbit_reports::record::{Cache, Record};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a line of a worker begins with if it is a reply; libraries may print others.
pub const REPLY: &str = "lowbit-reply ";

/// How long and in which cache states to measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Cache states.
    pub caches: Vec<Cache>,
    /// How often the rows take turns.
    pub rounds: u32,
    /// Fewest samples.
    pub min_samples: u32,
    /// Most samples.
    pub max_samples: u32,
    /// Most seconds of sampling per row and cache state.
    pub max_seconds: f64,
    /// Stop when the half width of the median's interval is below this share of it.
    pub interval: f64,
}

/// How much is asked of rows on a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// One answer that is right.
    Answer,
    /// Two, on buffers of different content, and whatever else the rows declare.
    Claims,
    /// Two, and then times.
    Times(Settings),
}

impl Depth {
    /// How to measure, where there is something to.
    pub(crate) fn settings(&self) -> Option<&Settings> {
        match self {
            Depth::Times(settings) => Some(settings),
            Depth::Answer | Depth::Claims => None,
        }
    }
}

/// A question to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Check these rows on a case, and measure them if that is asked for.
    Case {
        /// Case id.
        case: String,
        /// Rows, in the order of the op's table.
        rows: Vec<String>,
        /// How much is asked of them.
        depth: Depth,
    },
    /// Plant faults around these rows on a case.
    Mutate {
        /// Case id.
        case: String,
        /// Rows, each with the faults that need not be planted again.
        rows: Vec<(String, BTreeSet<Site>)>,
    },
    /// Look what the machine has. Asked of a worker because looking runs drivers' code.
    Hardware,
    /// Measure what the processor can do, unless an earlier worker has.
    Peaks {
        /// Peaks that earlier workers measured.
        known: Vec<Peaks>,
    },
}

/// An answer of a worker. A request ends with `Done`, `Hardware`, `Peaks` or `Impossible`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The row is about to run: if nothing more comes, it is the one that died.
    Started {
        /// Row.
        kernel: String,
    },
    /// Nothing yet, but the row is alive: a part of its work is done.
    Alive,
    /// One record of a row; a measured row answers one per cache state.
    Record(Box<Record>),
    /// A fault is about to be planted around a row.
    Planting {
        /// Row.
        kernel: String,
        /// Fault.
        site: Site,
    },
    /// What became of it.
    Fate {
        /// Row.
        kernel: String,
        /// Fault.
        site: Site,
        /// What became of it.
        fate: Fate,
    },
    /// All rows are done.
    Done,
    /// What the machine has.
    Hardware(Hardware),
    /// Peaks of the processor or of a device.
    Peaks(Peaks),
    /// The case cannot be built: no such file, a tensor of another shape.
    Impossible {
        /// Why.
        reason: String,
    },
}
