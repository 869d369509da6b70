//! How fast rows should be: a share of what the machine can do, or so many times another row.
//!
//! A goal is one measurement, what its speed is divided by, and the least that should come out.
//! It says nothing of cases: it holds for all of its sweep, or for those that meet its `where`.
use crate::axes::Entry;
use crate::constraint::{Constraint, Row};
use crate::error::Place;
use crate::json::{Checked, Node, unknown};
use crate::keys;
use crate::measure::{self, CACHE, Cache, Measure, ThreadCount};
use crate::scenario::{Scenario, Sweep};
use lowbit_reference::case::{Case, Kind, Value};
use lowbit_reference::op::OpSpec;

/// Limits of the machine that a goal can be a share of.
pub const LIMITS: &[&str] = &["roof", "int8 dot", "f32 FMA", "read", "stream", "quantize rows"];

/// No goal asks for more.
pub(crate) const MAX_GOAL: f64 = 1000.0;

/// One measurement: a kernel on a case under one setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The case.
    pub case: Case,
    /// The kernel row.
    pub kernel: String,
    /// Number of threads.
    pub threads: ThreadCount,
    /// State of the cache.
    pub cache: Cache,
}

/// What a speed is divided by.
#[derive(Clone, Debug, PartialEq)]
pub enum Of {
    /// One of [`LIMITS`].
    Limit(&'static str),
    /// The speed of another measurement.
    Subject(Subject),
}

/// A goal of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedGoal {
    /// Whose speed.
    pub subject: Subject,
    /// What it is divided by.
    pub of: Of,
    /// The least that the quotient should be.
    pub at_least: f64,
}

/// A goal as it is written in a sweep.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    row: String,
    threads: ThreadCount,
    cache: Cache,
    of: Relative,
    at_least: f64,
    constraints: Vec<Constraint>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Relative {
    Limit(&'static str),
    Other {
        kernel: Option<String>,
        threads: Option<ThreadCount>,
        sweep: Option<String>,
        place: Place,
    },
}

/// What a goal must fit: its sweep.
pub(crate) struct Asked<'a> {
    pub(crate) op: &'static OpSpec,
    pub(crate) measure: &'a Measure,
    pub(crate) kernel: &'a dyn Fn(&str) -> bool,
}

impl Goal {
    pub(crate) fn parse(node: Node, asked: &Asked<'_>) -> Checked<Goal> {
        let fields = node.fields(keys::GOAL)?;
        let caches = &asked.measure.cache;
        let cache = match fields.get("cache") {
            Some(node) => measured(node, node.word(CACHE)?, caches)?,
            None => measured(node, Cache::Hot, caches)?,
        };
        let threads = threads(fields.get("threads"), asked.measure)?;
        let threads = match threads {
            Some(threads) => threads,
            None => measured(node, ThreadCount::Fixed(1), &asked.measure.threads)?,
        };
        let conditions = fields.get("where").map(Node::one_or_more).transpose()?;
        let parse = |node| Constraint::parse(node, asked.op);
        Ok(Goal {
            row: kernel(fields.require("row")?, asked)?,
            threads,
            cache,
            of: relative(fields.require("of")?, asked)?,
            at_least: fields.require("at_least")?.positive(MAX_GOAL)?,
            constraints: conditions.into_iter().flatten().map(parse).collect::<Checked<_>>()?,
            place: node.place(),
        })
    }
}

/// A kernel that the sweep asks for.
fn kernel(node: Node, asked: &Asked<'_>) -> Checked<String> {
    let name = node.text()?;
    if !(asked.kernel)(name) {
        return Err(node.error(format!("`{name}` is none of the sweep's `kernels`")));
    }
    Ok(name.to_owned())
}

/// A number of threads that the sweep measures with.
fn threads(node: Option<Node>, measure: &Measure) -> Checked<Option<ThreadCount>> {
    let parse = |node| measured(node, measure::threads(node)?, &measure.threads);
    node.map(parse).transpose()
}

fn measured<T: PartialEq>(node: Node, value: T, all: &[T]) -> Checked<T> {
    match all.contains(&value) {
        true => Ok(value),
        false => Err(node.error("is not measured: the sweep's `measure` leaves it out")),
    }
}

fn relative(node: Node, asked: &Asked<'_>) -> Checked<Relative> {
    if node.value.as_object().is_none() {
        let limits: Vec<_> = LIMITS.iter().map(|limit| (*limit, *limit)).collect();
        return node.word(&limits).map(Relative::Limit);
    }
    let fields = node.fields(keys::OTHER)?;
    let sweep = fields.get("sweep").map(|node| node.text().map(str::to_owned)).transpose()?;
    let named = fields.get("kernel").map(|node| match sweep {
        Some(_) => node.text().map(str::to_owned),
        None => kernel(node, asked),
    });
    let named = named.transpose()?;
    let threads = threads(fields.get("threads"), asked.measure)?;
    if (&named, threads, &sweep) == (&None, None, &None) {
        return Err(node.error("takes a limit, or an object with `kernel`, `threads` or `sweep`"));
    }
    Ok(Relative::Other { kernel: named, threads, sweep, place: node.place() })
}

impl Scenario {
    /// Every goal on every case it is for, in the order of the file.
    pub fn goals(&self) -> Checked<Vec<PlannedGoal>> {
        let mut all = Vec::new();
        for sweep in self.sweeps.iter().filter(|sweep| !sweep.goals.is_empty()) {
            let cases = self.cases(sweep)?;
            for goal in &sweep.goals {
                let before = all.len();
                for case in &cases {
                    if goal.is_for(&self.file, case)? {
                        all.push(self.planned(goal, case)?);
                    }
                }
                if all.len() == before {
                    let message = "is for no case: its `where` leaves none of the sweep's";
                    return Err(goal.place.error(&self.file, "goals", message));
                }
            }
        }
        Ok(all)
    }

    fn cases(&self, sweep: &Sweep) -> Checked<Vec<Case>> {
        let mut cases = Vec::new();
        sweep.expand(&self.file, &mut |case| cases.push(case))?;
        Ok(cases)
    }

    fn planned(&self, goal: &Goal, case: &Case) -> Checked<PlannedGoal> {
        let Goal { row, threads, cache, at_least, .. } = goal;
        let subject =
            Subject { case: case.clone(), kernel: row.clone(), threads: *threads, cache: *cache };
        let of = match &goal.of {
            Relative::Limit(limit) => Of::Limit(limit),
            Relative::Other { kernel, threads, sweep, place } => {
                let mut other = subject.clone();
                kernel.iter().for_each(|kernel| other.kernel.clone_from(kernel));
                threads.iter().for_each(|threads| other.threads = *threads);
                if let Some(name) = sweep {
                    other.case = self.counterpart(&other, name, *place)?;
                }
                Of::Subject(other)
            }
        };
        Ok(PlannedGoal { subject, of, at_least: *at_least })
    }

    /// The one case of another sweep with the same sizes, measured there as `wanted` is here.
    fn counterpart(&self, wanted: &Subject, name: &str, place: Place) -> Checked<Case> {
        let fail = |message: String| place.error(&self.file, "of", message);
        let names = self.sweeps.iter().map(|sweep| sweep.name.as_str());
        let sweep = self.sweeps.iter().find(|sweep| sweep.name == name);
        let sweep = sweep
            .ok_or_else(|| fail(unknown(&format!("there is no sweep `{name}`"), name, names)))?;
        let Measure { threads, cache, .. } = &sweep.measure;
        if !sweep.kernel_matches(&wanted.kernel)
            || !threads.contains(&wanted.threads)
            || !cache.contains(&wanted.cache)
        {
            let kernel = &wanted.kernel;
            return Err(fail(format!("sweep `{name}` does not measure `{kernel}` that way")));
        }
        let mut alike = self.cases(sweep)?;
        alike.retain(|case| sizes(case) == sizes(&wanted.case));
        match (alike.pop(), alike.len()) {
            (Some(case), 0) => Ok(case),
            (None, _) => {
                Err(fail(format!("sweep `{name}` has no case of the sizes of {}", wanted.case)))
            }
            (Some(_), more) => {
                let more = more + 1;
                Err(fail(format!(
                    "sweep `{name}` has {more} cases of the sizes of {}",
                    wanted.case
                )))
            }
        }
    }
}

/// The whole numbers of a case, its seed aside.
fn sizes(case: &Case) -> Vec<(&'static str, &Value)> {
    let number = |key| case.spec().param(key).is_ok_and(|p| matches!(p.kind, Kind::Number { .. }));
    case.parameters().filter(|(key, _)| number(key) && *key != SEED).collect()
}

/// The parameter that seeds a case's data.
pub(crate) const SEED: &str = "seed";

impl Goal {
    fn is_for(&self, file: &str, case: &Case) -> Checked<bool> {
        let spec = case.spec();
        let entry = |key| Some(Entry::new(case.get(key)?.clone(), self.place));
        let entries: Vec<_> = spec.params.iter().map(|param| entry(param.key)).collect();
        let slots = entries.iter().map(Option::as_ref).collect();
        let row = Row { spec, slots, absent: evalexpr::Value::String(String::new()) };
        for constraint in &self.constraints {
            if !constraint.holds(file, &row)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
