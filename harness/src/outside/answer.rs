//! What an outside peer says of itself and of its times: `DIR/<peer>.json`.
//!
//! ```json
//! {"kernel": "onnxruntime", "version": "1.31.1", "device": "cpu", "arithmetic": {"integer": true},
//!  "timings": [{"threads": 1, "cache": "hot", "rounds": [[275100.0, 275300.0], [274900.0]]}]}
//! ```
//!
//! Its outputs lie beside it in `DIR/<peer>.safetensors`, under the op's own names.
use lowbit_reference::op::Arithmetic;
use lowbit_reports::record::{Cache, Timing};
use lowbit_reports::stats;
use lowbit_scenarios::Measure;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Resamples of the bootstrap, as in the stopwatch.
const RESAMPLES: usize = 1000;

/// Where a peer may run: on the processor, or on the device that the run reached that way.
pub const DEVICES: [&str; 3] = [PROCESSOR, "wgpu", "cuda"];
/// The processor, as records name it too.
pub const PROCESSOR: &str = "cpu";

fn processor() -> String {
    PROCESSOR.to_owned()
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Name of its row.
    pub kernel: String,
    /// Version of the library.
    pub version: String,
    /// What it ran on: one of [`DEVICES`].
    #[serde(default = "processor")]
    pub device: String,
    /// How it computes; decides how exact it has to be.
    pub arithmetic: Arithmetic,
    /// Times, one for each number of threads and cache state.
    pub timings: Vec<Timed>,
}

/// Times of one setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// Threads it was told to use.
    pub threads: u32,
    /// Cache state.
    pub cache: Cache,
    /// Nanoseconds of each sample, round by round.
    pub rounds: Vec<Vec<f64>>,
}

impl Answer {
    /// Read and examine one. The error names file, field, value and what is allowed.
    pub fn read(path: &Path) -> Result<Answer, String> {
        let file = path.display();
        let text = std::fs::read_to_string(path).map_err(|e| format!("{file}: {e}"))?;
        let answer: Answer = serde_json::from_str(&text).map_err(|e| format!("{file}: {e}"))?;
        answer.examine().map_err(|why| format!("{file}: {why}"))?;
        Ok(answer)
    }

    fn examine(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.kernel.is_empty() || !self.kernel.chars().all(plain) {
            let kernel = &self.kernel;
            return Err(format!("kernel is `{kernel}`, must be letters, digits, `-`, `_` and `.`"));
        }
        if !DEVICES.contains(&self.device.as_str()) {
            return Err(format!("device is `{}`, must be cpu, wgpu or cuda", self.device));
        }
        for (t, timed) in self.timings.iter().enumerate() {
            let field = format!("timings[{t}]");
            if timed.threads == 0 {
                return Err(format!("{field}.threads is 0, must be at least 1"));
            }
            if timed.rounds.iter().all(Vec::is_empty) {
                return Err(format!("{field}.rounds holds no sample, must hold at least one"));
            }
            for (r, round) in timed.rounds.iter().enumerate() {
                let wrong = round.iter().position(|ns| !(ns.is_finite() && *ns > 0.0));
                if let Some(s) = wrong {
                    let ns = round[s];
                    return Err(format!(
                        "{field}.rounds[{r}][{s}] is {ns}, must be a positive number of nanoseconds"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Timed {
    /// The samples of all rounds, with their median.
    pub fn timing(&self) -> Timing {
        let samples_ns: Vec<f64> = self.rounds.iter().flatten().copied().collect();
        let (low_ns, high_ns) = stats::bootstrap_median_interval(&samples_ns, RESAMPLES, 7);
        let median_ns = stats::median(&samples_ns);
        let converged = (high_ns - low_ns) / 2.0 <= Measure::default().interval * median_ns;
        let round_samples = self
            .rounds
            .iter()
            .map(|round| u32::try_from(round.len()).unwrap_or(u32::MAX))
            .collect();
        Timing { samples_ns, round_samples, median_ns, low_ns, high_ns, converged }
    }
}
