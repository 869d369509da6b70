//! Rows with faults around them: the honest answer first, then every fault at every place.
use super::answer::Answered;
use super::{Fate, Fault, Plant, Site, all};
use crate::bench::Bench;
use crate::driver::Task;
use crate::protocol::{Depth, Reply};
use crate::refusal::Refusal;
use crate::row::RowRun;
use crate::truth::Truth;
use lowbit_kernels::Kernel;
use lowbit_kernels::context::Poison;
use lowbit_reference::case::Case;
use lowbit_reference::op::part::{Part, Piece};
use lowbit_reference::op::{Op, Outputs};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Rows of a case, each with the faults that need not be planted again.
#[derive(Debug)]
pub struct Planting<'a> {
    /// The case.
    pub case: &'a Case,
    /// Rows by name, and what is known of each.
    pub rows: &'a [(String, BTreeSet<Site>)],
}

/// What a row answers on buffers of two different contents, and what those held beforehand.
#[derive(Clone)]
struct Answers {
    first: Outputs,
    second: Outputs,
    before: [Option<Outputs>; 2],
}

/// Where bounds are so many times as wide, a fault of [`Plant::Bounds`] has to pass.
const LOOSE: f64 = 10.0;

/// A row that passes its check on the case.
struct Honest<'a, O: Op> {
    kernel: &'static dyn Kernel<O>,
    known: &'a BTreeSet<Site>,
    answers: Answers,
}

/// A case, its problem, and what is true of it.
struct Scene<'a, O: Op> {
    task: Task<'a>,
    problem: O::Problem,
    truth: Truth<O>,
}

/// Plant every fault that is not known around every row that passes, and answer its fate.
pub(crate) fn run<O: Op>(
    kernels: &[&'static dyn Kernel<O>],
    planting: &Planting<'_>,
    bench: &mut Bench,
    answer: &mut dyn FnMut(Reply),
) -> Result<(), String> {
    let case = planting.case;
    let problem = O::generate(case, bench.files)?;
    let truth = Truth::of(&problem);
    let scene = Scene { task: Task { case, rows: &[], depth: &Depth::Claims }, problem, truth };
    let mut stand: Vec<Honest<'_, O>> = Vec::new();
    for (name, known) in planting.rows {
        let kernel = kernels.iter().find(|kernel| kernel.name() == name);
        let kernel = *kernel.ok_or_else(|| format!("op {} has no row {name}", O::SPEC.name))?;
        answer(Reply::Started { kernel: name.clone() });
        stand.extend(scene.honest(kernel, bench).map(|answers| Honest { kernel, known, answers }));
    }
    for fault in all() {
        for place in places::<O>(fault, &scene, &stand, bench) {
            let site = Site { fault: fault.name.to_owned(), place };
            let open: Vec<_> = stand.iter().filter(|row| !row.known.contains(&site)).collect();
            if open.is_empty() {
                continue;
            }
            let Some(given) = planted::<O>(fault, &site.place, case, bench)? else { continue };
            let given = given.as_ref().unwrap_or(&scene.problem);
            for row in open {
                let kernel = row.kernel.name().to_owned();
                answer(Reply::Planting { kernel: kernel.clone(), site: site.clone() });
                match scene.fate((fault, &site.place), given, row, bench) {
                    Some(fate) => answer(Reply::Fate { kernel, site: site.clone(), fate }),
                    None => answer(Reply::Alive),
                }
            }
        }
    }
    Ok(())
}

/// Where a fault can be planted on a case.
fn places<O: Op>(
    fault: &Fault,
    scene: &Scene<'_, O>,
    stand: &[Honest<'_, O>],
    bench: &Bench,
) -> BTreeSet<String> {
    match fault.plant {
        Plant::Read(roles, _) => {
            let Ok(mut problem) = O::generate(scene.task.case, bench.files) else {
                return BTreeSet::new();
            };
            let piece = |part| match part {
                Part::Piece(Piece { name, role, .. }) if roles.contains(&role) => Some(name.into()),
                _ => None,
            };
            O::parts(&mut problem).into_iter().filter_map(piece).collect()
        }
        Plant::Rule(_) => ["rule".to_owned()].into(),
        Plant::Case(others) => others(scene.task.case).into_iter().map(|(site, _)| site).collect(),
        Plant::Bounds(_) => ["widest".to_owned()].into(),
        Plant::Answer(_) => {
            let outputs = stand.iter().flat_map(|row| &row.answers.first.0);
            outputs.map(|(name, _)| (*name).to_owned()).collect()
        }
    }
}

/// The problem with the fault in it; `Some(None)` where the fault is in the answer, and `None`
/// where it would change nothing.
fn planted<O: Op>(
    fault: &Fault,
    place: &str,
    case: &Case,
    bench: &Bench,
) -> Result<Option<Option<O::Problem>>, String> {
    if let Plant::Case(others) = fault.plant {
        let other = others(case).into_iter().find(|(site, _)| site == place);
        // Another case may need a file, or be no problem at all.
        return Ok(other.and_then(|(_, case)| O::generate(&case, bench.files).ok()).map(Some));
    }
    if !fault.plant.within() {
        return Ok(Some(None));
    }
    let mut problem = O::generate(case, bench.files)?;
    let mut changed = false;
    for part in O::parts(&mut problem) {
        changed |= match (part, &fault.plant) {
            (Part::Piece(mut piece), Plant::Read(_, plant)) if piece.name == place => {
                changes(&mut piece, *plant)
            }
            (Part::Rule(rule), Plant::Rule(plant)) => {
                let before = *rule;
                plant(rule) && *rule != before
            }
            _ => false,
        };
    }
    Ok(changed.then_some(Some(problem)))
}

/// Plant a fault; whether any number is another one.
fn changes(piece: &mut Piece<'_>, plant: fn(&mut Piece<'_>)) -> bool {
    let bits = |piece: &Piece<'_>| -> Vec<u64> {
        (0..piece.numbers.len()).map(|i| piece.numbers.get(i).to_bits()).collect()
    };
    let before = bits(piece);
    if before.is_empty() {
        return false;
    }
    plant(piece);
    bits(piece) != before
}

impl<O: Op> Scene<'_, O> {
    /// What a row answers that is right; nothing if it cannot run here, or is not.
    fn honest(&self, kernel: &'static dyn Kernel<O>, bench: &Bench) -> Option<Answers> {
        bench.hardware.has(kernel.need()).ok()?;
        kernel.accepts(&self.problem).ok()?;
        let run = self.row(kernel, &self.problem);
        let answers = answers(&run, bench).ok()?;
        let (_, _, refusal) = run.weigh(&self.truth, &answers.first, &answers.second);
        refusal.is_none().then_some(answers)
    }

    fn row<'r>(&'r self, kernel: &'static dyn Kernel<O>, given: &'r O::Problem) -> RowRun<'r, O> {
        RowRun { kernel, task: &self.task, problem: &self.problem, given }
    }

    /// What becomes of a fault; nothing where the row does not take the problem with the fault in
    /// it, or has no such output.
    fn fate(
        &self,
        (fault, place): (&Fault, &str),
        given: &O::Problem,
        row: &Honest<'_, O>,
        bench: &Bench,
    ) -> Option<Fate> {
        let run = self.row(row.kernel, given);
        let caught = |Refusal { by, why }| Fate::Caught { by: by.name().to_owned(), why };
        let answered = match fault.plant {
            Plant::Answer(plant) => altered(&row.answers, place, plant)?,
            Plant::Bounds(factor) => {
                let (honest, before) = (&row.answers.second, row.answers.before.clone());
                let wrong = run.displaced(&self.truth.reference, honest, factor)?;
                // Else another output is judged by this one, and more than a bound is broken.
                run.admits(&self.truth.reference, &wrong, LOOSE).then_some(())?;
                Answers { first: wrong.clone(), second: wrong, before }
            }
            _ => {
                row.kernel.accepts(given).ok()?;
                // A row that trips over what it was told has noticed.
                match catch_unwind(AssertUnwindSafe(|| answers(&run, bench))) {
                    Ok(Ok(answers)) => answers,
                    Ok(Err(refusal)) => return Some(caught(refusal)),
                    Err(_) => {
                        let (by, why) = ("row".to_owned(), "it panicked".to_owned());
                        return Some(Fate::Caught { by, why });
                    }
                }
            }
        };
        if (&answered.first, &answered.second) == (&row.answers.first, &row.answers.second) {
            return Some(Fate::Equivalent);
        }
        let (_, _, refusal) = run.weigh(&self.truth, &answered.first, &answered.second);
        Some(refusal.map_or(Fate::Survived, caught))
    }
}

fn answers<O: Op>(run: &RowRun<'_, O>, bench: &Bench) -> Result<Answers, Refusal> {
    let (first, before) = run.answer(bench, Poison::Ones)?;
    let (second, before_again) = run.answer(bench, Poison::Sevens)?;
    Ok(Answers { first, second, before: [before, before_again] })
}

/// The answers with a fault in the output of that name.
fn altered(honest: &Answers, place: &str, plant: fn(&mut Answered<'_>)) -> Option<Answers> {
    let mut answers = honest.clone();
    let outputs = [&mut answers.first, &mut answers.second];
    for (again, (outputs, before)) in outputs.into_iter().zip(&honest.before).enumerate() {
        let (_, tensor) = outputs.0.iter_mut().find(|(name, _)| *name == place)?;
        let before = before.as_ref().and_then(|before| before.get(place));
        plant(&mut Answered { tensor, before, again: again == 1 });
    }
    Some(answers)
}
