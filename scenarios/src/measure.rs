//! How long and under which conditions a case is measured.
use crate::json::{Checked, Node};
use crate::keys;
use std::ops::RangeInclusive;

/// Number of threads a kernel may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadCount {
    /// So many.
    Fixed(u32),
    /// One per core of the machine.
    All,
}

/// What the caches hold when a sample starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// The bytes of the sample before.
    Hot,
    /// None of the bytes the sample reads.
    Cold,
}

/// Measurement settings of a sweep. Every pair of `threads` and `cache` is measured, so a case
/// costs about `rows x threads x cache x max_seconds`, or `min_samples` of a slow kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Numbers of threads, each once.
    pub threads: Vec<ThreadCount>,
    /// States of the cache, each once.
    pub cache: Vec<Cache>,
    /// How often the rows of a case take turns; samples and seconds are divided by it.
    pub rounds: u32,
    /// Fewest samples.
    pub min_samples: u32,
    /// Most samples; at least `min_samples`.
    pub max_samples: u32,
    /// Seconds after which sampling stops, once `min_samples` are taken.
    pub max_seconds: f64,
    /// Sampling stops once the median's interval is narrower than this share of the median.
    pub interval: f64,
    /// Seconds after which a case is given up.
    pub time_limit_seconds: f64,
}

impl Default for Measure {
    fn default() -> Measure {
        Measure {
            threads: vec![ThreadCount::Fixed(1), ThreadCount::All],
            cache: vec![Cache::Hot, Cache::Cold],
            rounds: 1,
            min_samples: 15,
            max_samples: 200,
            max_seconds: 1.0,
            interval: 0.02,
            time_limit_seconds: 120.0,
        }
    }
}

pub(crate) const THREADS: RangeInclusive<u32> = 1..=4096;
pub(crate) const ROUNDS: RangeInclusive<u32> = 1..=1000;
pub(crate) const SAMPLES: RangeInclusive<u32> = 1..=1_000_000;
pub(crate) const MAX_SECONDS: f64 = 86_400.0;
pub(crate) const MAX_INTERVAL: f64 = 1.0;
pub(crate) const ALL: &str = "all";
pub(crate) const CACHE: &[(&str, Cache)] = &[("hot", Cache::Hot), ("cold", Cache::Cold)];

impl ThreadCount {
    /// The number, on a machine with so many cores.
    pub fn on(self, cores: usize) -> usize {
        match self {
            ThreadCount::Fixed(threads) => threads as usize,
            ThreadCount::All => cores,
        }
    }
}

impl std::fmt::Display for ThreadCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ThreadCount::Fixed(threads) => write!(f, "{threads}"),
            ThreadCount::All => f.write_str(ALL),
        }
    }
}

impl Measure {
    /// `self` with the settings that `node` gives.
    pub(crate) fn overridden(mut self, node: Node) -> Checked<Measure> {
        let fields = node.fields(keys::MEASURE)?;
        if let Some(node) = fields.get("threads") {
            self.threads = each_once(node, threads)?;
        }
        if let Some(node) = fields.get("cache") {
            self.cache = each_once(node, |node| node.word(CACHE))?;
        }
        let rounds = fields.get("rounds").map(|node| node.whole(ROUNDS)).transpose()?;
        rounds.inspect(|value| self.rounds = *value);
        let samples = ["min_samples", "max_samples"].map(|key| fields.get(key));
        for (node, slot) in samples.iter().zip([&mut self.min_samples, &mut self.max_samples]) {
            node.map(|node| node.whole(SAMPLES)).transpose()?.inspect(|value| *slot = *value);
        }
        for (key, max, slot) in [
            ("max_seconds", MAX_SECONDS, &mut self.max_seconds),
            ("interval", MAX_INTERVAL, &mut self.interval),
            ("time_limit_seconds", MAX_SECONDS, &mut self.time_limit_seconds),
        ] {
            let value = fields.get(key).map(|node| node.positive(max)).transpose()?;
            value.inspect(|value| *slot = *value);
        }
        if self.min_samples > self.max_samples {
            let at = samples.into_iter().flatten().next().unwrap_or(node);
            let (min, max) = (self.min_samples, self.max_samples);
            return Err(at.error(format!("min_samples {min} is more than max_samples {max}")));
        }
        Ok(self)
    }
}

pub(crate) fn threads(node: Node) -> Checked<ThreadCount> {
    match node.value.as_string_lit() {
        Some(_) => node.word(&[(ALL, ThreadCount::All)]),
        None => node.whole(THREADS).map(ThreadCount::Fixed),
    }
}

fn each_once<T: PartialEq>(node: Node, parse: impl Fn(Node) -> Checked<T>) -> Checked<Vec<T>> {
    let mut all = Vec::new();
    for node in node.one_or_more()? {
        let value = parse(node)?;
        if all.contains(&value) {
            return Err(node.error(format!("lists {} twice", node.raw())));
        }
        all.push(value);
    }
    Ok(all)
}
