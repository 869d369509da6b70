//! What keeps the first NVIDIA GPU from its full clocks, as NVML tells through `nvidia-smi`.
use serde::{Deserialize, Serialize};
use std::process::Command;

/// What is asked, in this order.
const QUERY: &str =
    "clocks.sm,clocks.max.sm,clocks.mem,temperature.gpu,power.draw,clocks_throttle_reasons.active";

/// Bits of the reasons and their words (`nvml.h`, `nvmlClocksEventReason*`).
const REASONS: [(u64, &str); 9] = [
    (0x1, "idle"),
    (0x2, "set by an application"),
    (0x4, "power cap"),
    (0x8, "hardware slowdown"),
    (0x10, "kept with other GPUs"),
    (0x20, "heat"),
    (0x40, "heat, by the hardware"),
    (0x80, "power brake"),
    (0x100, "display"),
];

/// Clocks of the GPU at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clocks {
    /// Of the multiprocessors, MHz.
    pub sm_mhz: Option<f64>,
    /// The most that they may be set to, MHz.
    pub sm_max_mhz: Option<f64>,
    /// Of the memory, MHz.
    pub memory_mhz: Option<f64>,
    /// Degrees Celsius.
    pub celsius: Option<f64>,
    /// Power drawn, W.
    pub watts: Option<f64>,
    /// Why the clocks are not higher; empty where nothing keeps them back.
    pub kept_back_by: Vec<String>,
}

/// Those of now; none where there is no `nvidia-smi`, or no GPU that it knows.
pub fn clocks() -> Option<Clocks> {
    let query = format!("--query-gpu={QUERY}");
    let arguments = ["--id=0", query.as_str(), "--format=csv,noheader,nounits"];
    let output = Command::new("nvidia-smi").args(arguments).output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| parse(&said))?
}

/// A line of its answer; a value that the GPU does not tell is in brackets (`[N/A]`).
fn parse(said: &str) -> Option<Clocks> {
    let cells: Vec<&str> = said.lines().next()?.split(',').map(str::trim).collect();
    let [sm, sm_max, memory, celsius, watts, reasons] = cells[..] else { return None };
    let number = |cell: &str| cell.parse().ok();
    let bits = u64::from_str_radix(reasons.trim_start_matches("0x"), 16).unwrap_or(0);
    let named = REASONS.iter().filter(|(bit, _)| bits & bit != 0);
    Some(Clocks {
        sm_mhz: number(sm),
        sm_max_mhz: number(sm_max),
        memory_mhz: number(memory),
        celsius: number(celsius),
        watts: number(watts),
        kept_back_by: named.map(|(_, word)| (*word).to_owned()).collect(),
    })
}

impl std::fmt::Display for Clocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = |x: Option<f64>| x.map_or("?".to_owned(), |x| format!("{x:.0}"));
        let Clocks { sm_mhz, sm_max_mhz, memory_mhz, celsius, watts, .. } = self;
        let [sm, most, memory, celsius, watts] =
            [sm_mhz, sm_max_mhz, memory_mhz, celsius, watts].map(|x| value(*x));
        write!(f, "SM {sm} of {most} MHz, memory {memory} MHz, {celsius} C, {watts} W")?;
        match &self.kept_back_by[..] {
            [] => Ok(()),
            reasons => write!(f, "; kept back: {}", reasons.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_its_reasons() {
        let clocks = parse("1755, 1980, 2619, 41, 312.55, 0x0000000000000024\n").unwrap();
        assert_eq!((clocks.sm_mhz, clocks.sm_max_mhz), (Some(1755.0), Some(1980.0)));
        assert_eq!(clocks.kept_back_by, ["power cap", "heat"]);
        let said = "SM 1755 of 1980 MHz, memory 2619 MHz, 41 C, 313 W; kept back: power cap, heat";
        assert_eq!(clocks.to_string(), said);
    }

    #[test]
    fn what_a_gpu_does_not_tell_is_left_out_and_another_answer_is_none() {
        let clocks = parse("345, [N/A], 405, 30, [Not Supported], 0x0000000000000000").unwrap();
        assert_eq!(clocks.to_string(), "SM 345 of ? MHz, memory 405 MHz, 30 C, ? W");
        assert_eq!(parse("No devices were found"), None);
        assert_eq!(parse(""), None);
    }
}
