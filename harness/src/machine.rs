//! The machine record: what a reader needs to judge numbers taken on it.
use crate::measure::{unix_seconds, utc};
use crate::nvidia::{self, Clocks};
use crate::peaks::{CacheSizes, Peaks};
use lowbit_kernels::hardware::{Adapter, CudaDevice, Hardware, Need};
use lowbit_reference::hash::fnv1a;
use lowbit_reports::goals::Goal;
use lowbit_reports::record::Cache;
use lowbit_reports::summary::{PeakLine, RunInfo};
use serde::{Deserialize, Serialize};
use std::fs::read_to_string;
use std::process::Command;

/// Everything recorded of the machine and the build, in `machine.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Version of this layout.
    pub schema: u32,
    /// Run id: the time it began and the process.
    pub run: String,
    /// When the run began, UTC.
    pub started: String,
    /// Version of lowbit.
    pub version: String,
    /// Commit of the working directory's repository, `-dirty` if changed; absent outside one.
    pub commit: Option<String>,
    /// FNV-1a hash of the program's file: the commit is the folder's, and may be another.
    #[serde(default)]
    pub program: Option<String>,
    /// FNV-1a hash of the Cargo.lock the binary was built from.
    pub lockfile: String,
    /// Processor.
    pub cpu: Cpu,
    /// Share of processor time taken by the hypervisor since boot, percent.
    pub steal_percent: Option<f64>,
    /// Load averages over 1, 5 and 15 minutes when the run began.
    pub load: Option<String>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Operating system kernel.
    pub kernel: Option<String>,
    /// Transparent huge pages setting.
    pub huge_pages: Option<String>,
    /// wgpu adapter, if there is one.
    pub wgpu: Option<Adapter>,
    /// Why there is no wgpu adapter.
    pub no_wgpu: Option<String>,
    /// CUDA device, if there is one that can be used.
    #[serde(default)]
    pub cuda: Option<CudaDevice>,
    /// Why there is none.
    #[serde(default)]
    pub no_cuda: Option<String>,
    /// Clocks of the NVIDIA GPU when the run began, where there is one.
    #[serde(default)]
    pub nvidia: Option<Clocks>,
    /// The same when it ended.
    #[serde(default)]
    pub nvidia_at_end: Option<Clocks>,
    /// Peaks measured in this run.
    pub peaks: Vec<Peaks>,
    /// Command line of the run.
    pub command: String,
    /// What was swept: names of the scenarios, or case ids.
    pub title: String,
    /// Why: the scenarios' own words.
    pub about: Vec<String>,
    /// How fast rows should be: the scenarios' goals.
    #[serde(default)]
    pub goals: Vec<Goal>,
    /// Kernels that are not ours.
    #[serde(default)]
    pub peers: Vec<String>,
}

/// The processor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cpu {
    /// Name.
    pub model: Option<String>,
    /// Logical processors available.
    pub cores: usize,
    /// Those of the instruction sets rows need that it has.
    pub features: Vec<String>,
    /// Cache sizes.
    pub caches: CacheSizes,
    /// Frequency governor.
    pub governor: Option<String>,
    /// Clock in MHz when the run began.
    pub mhz: Option<f64>,
}

/// First value of `key` in a file of `key : value` lines.
fn field(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.trim_start().starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn one_line(path: &str) -> Option<String> {
    read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Logical processors this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Cache sizes as the system tells them; those of a common server core where it does not.
pub fn cache_sizes() -> CacheSizes {
    let mut sizes = CacheSizes { l1: 32 << 10, l2: 1 << 20, l3: 32 << 20 };
    for index in 0..8 {
        let read = |file: &str| {
            one_line(&format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{file}"))
        };
        let (Some(level), Some(kind), Some(size)) = (read("level"), read("type"), read("size"))
        else {
            continue;
        };
        let digits = size.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = if size.ends_with('M') { 1 << 20 } else { 1 << 10 };
        let bytes = digits.parse::<u64>().unwrap_or(0) * unit;
        match (level.as_str(), kind.as_str()) {
            ("1", "Data") => sizes.l1 = bytes,
            ("2", _) => sizes.l2 = bytes,
            ("3", _) => sizes.l3 = bytes,
            _ => {}
        }
    }
    sizes
}

fn cpu(hardware: &Hardware) -> Cpu {
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = Need::WORDS.iter().filter(|(_, need)| !need.is_device());
    Cpu {
        model: field(&info, "model name"),
        cores: cores(),
        features: named
            .filter(|(_, need)| hardware.has(*need).is_ok())
            .map(|(name, _)| (*name).into())
            .collect(),
        caches: cache_sizes(),
        governor: one_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        mhz: field(&info, "cpu MHz").and_then(|mhz| mhz.parse().ok()),
    }
}

fn steal_percent() -> Option<f64> {
    let stat = read_to_string("/proc/stat").ok()?;
    let ticks: Vec<f64> =
        stat.lines().next()?.split_whitespace().skip(1).filter_map(|t| t.parse().ok()).collect();
    let total: f64 = ticks.iter().take(8).sum();
    (total > 0.0).then(|| 100.0 * ticks.get(7).copied().unwrap_or(0.0) / total)
}

/// Output of a git command in the working directory, if it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Hash of the running program's file.
fn program() -> Option<String> {
    let bytes = std::fs::read(std::env::current_exe().ok()?).ok()?;
    Some(format!("{:016x}", fnv1a(&bytes)))
}

fn commit() -> Option<String> {
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let clean = git(&["status", "--porcelain"]).is_some_and(|changes| changes.is_empty());
    Some(if clean { commit } else { format!("{commit}-dirty") })
}

impl Machine {
    /// Look at the machine now.
    pub fn detect(hardware: &Hardware, command: String) -> Machine {
        let seconds = unix_seconds();
        let memory = read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = field(&memory, "MemTotal").and_then(|v| v.trim_end_matches(" kB").parse().ok());
        Machine {
            schema: 1,
            run: format!("{}-{}", utc(seconds), std::process::id()),
            started: utc(seconds),
            version: env!("CARGO_PKG_VERSION").into(),
            commit: commit(),
            program: program(),
            lockfile: format!("{:016x}", fnv1a(include_bytes!("../../Cargo.lock"))),
            cpu: cpu(hardware),
            steal_percent: steal_percent(),
            load: one_line("/proc/loadavg"),
            memory_bytes: kib.map(|kib: u64| kib << 10),
            kernel: one_line("/proc/sys/kernel/osrelease"),
            huge_pages: one_line("/sys/kernel/mm/transparent_hugepage/enabled"),
            wgpu: hardware.wgpu.clone().ok(),
            no_wgpu: hardware.wgpu.clone().err(),
            cuda: hardware.cuda.clone().ok(),
            no_cuda: hardware.cuda.clone().err(),
            nvidia: nvidia::clocks(),
            nvidia_at_end: None,
            peaks: Vec::new(),
            command,
            title: String::new(),
            about: Vec::new(),
            goals: Vec::new(),
            peers: Vec::new(),
        }
    }

    /// Name, in records, of what `cpu`, `wgpu` or `cuda` runs on here.
    pub fn device(&self, api: &str) -> Option<String> {
        match api {
            "wgpu" => self.wgpu.as_ref().map(|adapter| adapter.name.clone()),
            "cuda" => self.cuda.as_ref().map(|device| device.name.clone()),
            _ => Some("cpu".into()),
        }
    }

    /// A warning when more is running on this machine than a measurement should share it with.
    pub fn busy(&self) -> Option<String> {
        let load = self.load.as_ref()?.split(' ').next()?.parse::<f64>().ok()?;
        (load > 0.5 * self.cpu.cores as f64).then(|| {
            format!("load is {load} on {} cores: times and peaks will be noisy", self.cpu.cores)
        })
    }

    /// The part that reports print.
    pub fn run_info(&self) -> RunInfo {
        RunInfo {
            title: self.title.clone(),
            about: self.about.clone(),
            command: self.command.clone(),
            started: self.started.clone(),
            machine: self.facts(),
            peaks: self.peaks.iter().flat_map(|p| self.peak_lines(p)).collect(),
            goals: self.goals.clone(),
            peers: self.peers.clone(),
        }
    }

    /// The machine as name and value, without what is unknown.
    pub fn facts(&self) -> Vec<(String, String)> {
        let cpu = &self.cpu;
        let caches = cpu.caches;
        let sizes = format!(
            "{} KiB L1d, {} KiB L2, {} MiB L3",
            caches.l1 >> 10,
            caches.l2 >> 10,
            caches.l3 >> 20
        );
        let gpu = |g: &Adapter| {
            let note = if g.software { ", software" } else { "" };
            format!("{} ({}, {}{note})", g.name, g.api, g.driver)
        };
        let wgpu = self.wgpu.as_ref().map(gpu);
        let cuda = self.cuda.as_ref().map(|device| {
            let CudaDevice { name, capability, driver, compiler, memory_bytes, .. } = device;
            let gib = memory_bytes >> 30;
            let nvrtc = if compiler.is_empty() { "" } else { ", NVRTC " };
            format!("{name} (compute capability {capability}, CUDA {driver}{nvrtc}{compiler}, {gib} GiB)")
        });
        let list = |words: Option<&Vec<String>>| {
            words.filter(|words| !words.is_empty()).map(|words| words.join(", "))
        };
        let (adapter, device) = (self.wgpu.as_ref(), self.cuda.as_ref());
        let none = |why: &Option<String>| why.as_ref().map(|why| format!("none: {why}"));
        let clocks = |clocks: &Option<Clocks>, when: &str| {
            clocks.as_ref().map(|clocks| format!("{clocks} ({when})"))
        };
        let facts = [
            ("processor", cpu.model.clone()),
            ("cores", Some(cpu.cores.to_string())),
            ("instructions", Some(cpu.features.join(", "))),
            ("caches", Some(sizes)),
            ("clock", cpu.mhz.map(|mhz| format!("{mhz:.0} MHz when the run began"))),
            ("governor", cpu.governor.clone()),
            ("load", self.load.clone()),
            ("steal", self.steal_percent.map(|s| format!("{s:.2} % since boot"))),
            ("memory", self.memory_bytes.map(|b| format!("{} MiB", b >> 20))),
            ("huge pages", self.huge_pages.clone()),
            ("kernel", self.kernel.clone()),
            ("wgpu", wgpu.or_else(|| none(&self.no_wgpu))),
            ("wgpu has", list(adapter.map(|adapter| &adapter.features))),
            ("unused adapters", list(adapter.map(|adapter| &adapter.others))),
            ("CUDA", cuda.or_else(|| none(&self.no_cuda))),
            ("CUDA has", list(device.map(|device| &device.features))),
            ("unused devices", list(device.map(|device| &device.others))),
            ("GPU clocks", clocks(&self.nvidia, "when the run began")),
            ("GPU clocks later", clocks(&self.nvidia_at_end, "when it ended")),
            ("lowbit", Some(self.version.clone())),
            ("commit", self.commit.clone()),
            ("Cargo.lock", Some(self.lockfile.clone())),
        ];
        facts.into_iter().filter_map(|(k, v)| Some((k.into(), v?))).collect()
    }

    fn peak_lines(&self, peaks: &Peaks) -> Vec<PeakLine> {
        let line = |name: String, rate: &crate::peaks::Rate, unit: &str| PeakLine {
            name,
            threads: if peaks.device.is_some() { 0 } else { peaks.threads },
            value: rate.best,
            unit: unit.into(),
        };
        let size = |bytes: u64| match bytes >> 20 {
            0 => format!("{} KiB", bytes >> 10),
            mib => format!("{mib} MiB"),
        };
        let level = |bytes| peaks.level(bytes, self.cpu.caches);
        let cold_of = peaks.device.as_ref().map_or(String::new(), |_| format!("{} ", peaks.isa));
        let reads = peaks.read.iter().map(|(bytes, rate)| {
            line(format!("{} read, {}", level(*bytes), size(*bytes)), rate, "GB/s")
        });
        let cold = peaks.cold_read.iter();
        let cold = cold.map(|(bytes, rate)| {
            line(format!("{cold_of}cold read, {}", size(*bytes)), rate, "GB/s")
        });
        let streams = peaks.streams.iter().map(|s| {
            let state = match s.cache {
                Cache::Hot => level(s.footprint).to_owned(),
                Cache::Cold => format!("{cold_of}cold"),
            };
            let name = format!("{state} stream {}:{}, {}", s.reads, s.writes, size(s.footprint));
            line(name, &s.rate, "GB/s")
        });
        let rows = (peaks.quantize_rows.best > 0.0)
            .then(|| line("quantize rows, 64 MiB of f32".into(), &peaks.quantize_rows, "GB/s"));
        let compute = [("int8 dot", &peaks.int8_dot), ("f32 FMA", &peaks.f32_fma)];
        let isa = &peaks.isa;
        let compute = compute.map(|(name, rate)| line(format!("{name} ({isa})"), rate, "GOPS"));
        reads.chain(cold).chain(streams).chain(rows).chain(compute).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_key() {
        assert_eq!(field("a\t: 1\nmodel name\t: EPYC\n", "model name").as_deref(), Some("EPYC"));
        assert_eq!(field("a: 1", "b"), None);
    }
}
