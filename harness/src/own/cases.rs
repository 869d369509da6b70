//! The cases of [`check_kernel`](super::check_kernel): a suite, the regressions, large ones, and
//! random ones.
use super::stretch::{formats, setting, work};
use crate::regressions;
use crate::urn::Urns;
use lowbit_reference::case::Case;
use lowbit_reference::data::{Files, Matrix};
use lowbit_scenarios::{Dice, Scenario};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The root of the sources this was built from: files of cases are looked for there, too.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const SMOKE: &str = include_str!("../../../scenarios/suites/smoke.json");
const NIGHTLY: &str = include_str!("../../../scenarios/suites/nightly.json");

/// Random cases that are to be accepted.
const RANDOM: usize = 500;
/// Draws before that is given up: a kernel may accept one format of many.
const DRAWS: usize = 200_000;
/// Cases that are drawn before it is asked which of them were accepted.
const DRAWN: usize = 16;
/// Refusals of a setting, of which nothing was ever accepted, before it is not tried again.
const REFUSALS: usize = 3;
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

/// Large cases of the op in the suite `nightly` with the formats of accepted ones, evenly spread
/// over its file: what only happens beyond a tile or a cache happens there.
pub(super) fn large(op: &str, accepted: &[Case]) -> Result<Vec<Case>, String> {
    let known: BTreeSet<String> = accepted.iter().map(formats).collect();
    let nightly = Scenario::parse("nightly.json", NIGHTLY).map_err(|e| e.to_string())?;
    let planned = nightly.expand().map_err(|e| e.to_string())?.into_iter().map(|p| p.case);
    let large = |case: &Case| (MOST_WORK..MOST_LARGE_WORK).contains(&work(case));
    let fits = |case: &Case| case.op() == op && large(case) && known.contains(&formats(case));
    let all: Vec<Case> = planned.filter(fits).collect();
    let step = all.len().div_ceil(LARGE).max(1);
    Ok(all.into_iter().step_by(step).collect())
}

/// Random cases from the axes of the suite `nightly`.
pub(super) struct Random {
    nightly: Scenario,
    urns: Urns,
    dice: Dice,
    draws: usize,
    accepted: usize,
    /// The sweeps of the cases that were drawn last.
    drawn: Vec<usize>,
    /// Of each setting, how many cases were refused, and whether one was accepted.
    settings: BTreeMap<String, (usize, bool)>,
}

impl Random {
    pub(super) fn new(op: &str) -> Result<Random, String> {
        let nightly = Scenario::parse("nightly.json", NIGHTLY).map_err(|e| e.to_string())?;
        let sweeps = nightly.sweeps.iter().enumerate().filter(|(_, sweep)| sweep.op.name == op);
        let urns = Urns::new(sweeps.map(|(i, _)| i));
        let (dice, settings) = (Dice::new(SEED), BTreeMap::new());
        Ok(Random { nightly, urns, dice, draws: 0, accepted: 0, drawn: Vec::new(), settings })
    }

    /// The next cases; none once enough were accepted, or too many drawn.
    pub(super) fn next(&mut self) -> Result<Vec<Case>, String> {
        let mut cases = Vec::new();
        self.drawn.clear();
        while cases.len() < DRAWN && self.accepted < RANDOM && self.draws < DRAWS {
            self.draws += 1;
            let Some(sweep) = self.urns.pick(&mut self.dice) else { break };
            let case = self.nightly.draw(sweep, &mut self.dice).map_err(|e| e.to_string())?;
            let refused = |case: &Case| {
                matches!(self.settings.get(&setting(case)), Some((REFUSALS.., false)))
            };
            if let Some(case) = case.filter(|case| work(case) <= MOST_WORK && !refused(case)) {
                self.drawn.push(sweep);
                cases.push(case);
            }
        }
        Ok(cases)
    }

    /// Whether the last cases were accepted: sweeps whose cases are come up more often, and settings
    /// that are refused no more.
    pub(super) fn were_useful<'c>(&mut self, cases: impl Iterator<Item = (&'c Case, bool)>) {
        for (sweep, (case, useful)) in std::mem::take(&mut self.drawn).into_iter().zip(cases) {
            self.accepted += usize::from(useful);
            self.urns.was_useful(sweep, useful);
            let seen = self.settings.entry(setting(case)).or_default();
            seen.0 += usize::from(!useful);
            seen.1 |= useful;
        }
    }
}
