//! The cases of [`check_kernel`](super::check_kernel): a suite, the regressions, and random ones.
use crate::regressions;
use crate::urn::Urns;
use lowbit_reference::case::Case;
use lowbit_reference::data::{Files, Matrix};
use lowbit_scenarios::{Dice, Scenario};
use std::path::Path;

/// The root of the sources this was built from: files of cases are looked for there, too.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const SMOKE: &str = include_str!("../../../scenarios/suites/smoke.json");
const NIGHTLY: &str = include_str!("../../../scenarios/suites/nightly.json");

/// Random cases that are to be accepted.
const RANDOM: usize = 500;
/// Draws before that is given up: a kernel may accept one format of many.
const DRAWS: usize = 20_000;
/// Most operations and bytes of a random case: five hundred of them are to take some seconds.
const MOST_WORK: u64 = 1 << 18;
/// Most large cases, and the most operations and bytes of one.
const LARGE: usize = 24;
const MOST_LARGE_WORK: u64 = 1 << 22;
/// Seed of the draws: each check has the same cases.
const SEED: u64 = 7;

/// Files by their path from the working directory, or from the root of the sources.
pub(super) struct Sources;

impl Files for Sources {
    fn matrix(&self, path: &str, tensor: &str) -> Result<Matrix, String> {
        let there = Path::new(ROOT).join(path);
        let path = if Path::new(path).exists() { path.into() } else { there.to_string_lossy() };
        crate::files::Disk.matrix(&path, tensor)
    }
}

/// The cases of the op in the suite `smoke`, whichever rows they are for, and its regressions.
pub(super) fn suite(op: &str) -> Result<Vec<Case>, String> {
    let smoke = Scenario::parse("smoke.json", SMOKE).map_err(|e| e.to_string())?;
    let planned = smoke.expand().map_err(|e| e.to_string())?.into_iter().map(|p| p.case);
    let kept = regressions::cases(&Path::new(ROOT).join("scenarios/regressions"));
    let kept = kept.map_err(|e| e.to_string())?.into_iter().map(|(_, case)| case);
    let mut cases: Vec<Case> = planned.chain(kept).filter(|case| case.op() == op).collect();
    // Small ones first: what fails there is found soonest.
    cases.sort_by_cached_key(work);
    cases.dedup();
    Ok(cases)
}

/// Large cases of the op in the suite `nightly`, evenly spread over its file: what only happens
/// beyond a tile or a cache happens there.
pub(super) fn large(op: &str) -> Result<Vec<Case>, String> {
    let nightly = Scenario::parse("nightly.json", NIGHTLY).map_err(|e| e.to_string())?;
    let planned = nightly.expand().map_err(|e| e.to_string())?.into_iter().map(|p| p.case);
    let large = |case: &Case| (MOST_WORK..MOST_LARGE_WORK).contains(&work(case));
    let all: Vec<Case> = planned.filter(|case| case.op() == op && large(case)).collect();
    let step = all.len().div_ceil(LARGE).max(1);
    Ok(all.into_iter().step_by(step).collect())
}

/// Operations or bytes of a case, whichever are more.
pub(super) fn work(case: &Case) -> u64 {
    let work = (case.spec().work)(case);
    work.macs.max(work.bytes_read.saturating_add(work.bytes_written))
}

/// Random cases from the axes of the suite `nightly`.
pub(super) struct Random {
    nightly: Scenario,
    urns: Urns,
    dice: Dice,
    draws: usize,
    accepted: usize,
}

impl Random {
    pub(super) fn new(op: &str) -> Result<Random, String> {
        let nightly = Scenario::parse("nightly.json", NIGHTLY).map_err(|e| e.to_string())?;
        let sweeps = nightly.sweeps.iter().enumerate().filter(|(_, sweep)| sweep.op.name == op);
        let urns = Urns::new(sweeps.map(|(i, _)| i));
        Ok(Random { nightly, urns, dice: Dice::new(SEED), draws: 0, accepted: 0 })
    }

    /// The next case; nothing once enough were accepted, or too many drawn.
    pub(super) fn next(&mut self) -> Result<Option<Case>, String> {
        while self.accepted < RANDOM && self.draws < DRAWS {
            self.draws += 1;
            let Some(sweep) = self.urns.pick(&mut self.dice) else { return Ok(None) };
            let case = self.nightly.draw(sweep, &mut self.dice).map_err(|e| e.to_string())?;
            if let Some(case) = case.filter(|case| work(case) <= MOST_WORK) {
                return Ok(Some(case));
            }
        }
        Ok(None)
    }

    /// Whether the last case was accepted: sweeps whose cases are come up more often.
    pub(super) fn was_useful(&mut self, useful: bool) {
        self.accepted += usize::from(useful);
        self.urns.was_useful(useful);
    }
}
