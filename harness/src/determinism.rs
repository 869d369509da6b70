//! What a row declares to be the same bit for bit, put to the test; and what it declares nothing
//! of, judged as often.
//!
//! | declared | tried |
//! |---|---|
//! | `runs` | the prepared row again, after its outputs were overwritten |
//! | `threads` | on 1, 2, 3, 4 and 8 threads |
//! | `batch` | on the case with half the tokens or images: its answer is the beginning of this one's |
//! | `backend` | nothing more: the answer has no bit that is not the reference's |
//!
//! Where bits are declared they are compared; where not, the answer is judged as the first one was.
//! Where the process may be lost, the buffers of the run on one thread end at a page that may not be
//! touched, and those of the run on two begin at one.
//! Only `check` does this, and only on cases small enough to be run so often. A test that finds no
//! difference proves none is impossible: threads may race and agree this time.
use crate::bench::Bench;
use crate::rounding;
use crate::row::RowRun;
use lowbit_kernels::buffer::Guard;
use lowbit_kernels::context::{Context, Poison};
use lowbit_kernels::pool::Pool;
use lowbit_kernels::{Determinism, Failure, Prepared, Threads};
use lowbit_reference::case::Case;
use lowbit_reference::hash::fnv1a;
use lowbit_reference::judge::Agreement;
use lowbit_reference::op::part::fingerprint;
use lowbit_reference::op::{Op, Outputs, Tensor};

/// Thread counts that are tried.
const THREADS: [usize; 5] = [1, 2, 3, 4, 8];
/// Work, in multiply-accumulates and bytes, above which a case is not run again and again.
const MOST_WORK: u64 = 1 << 20;
/// Work above which a row is tried on three thread counts, and only where it declares them.
const MOST_WORK_ON_ALL: u64 = 1 << 17;
/// Work above which a row is not launched dozens of times.
const MOST_WORK_LAUNCHED: u64 = 1 << 13;
/// Launches of a small case beyond the others, and of one small case in eight.
const LAUNCHES: usize = 20;
const MORE_LAUNCHES: usize = 64;
/// A slow row is launched so often, and once more only until so many seconds have passed.
const SLOW_LAUNCHES: usize = 8;
const MOST_SECONDS: f64 = 0.1;

/// Multiply-accumulates and bytes of a case.
pub(crate) fn work(case: &Case) -> u64 {
    let work = (case.spec().work)(case);
    work.macs.saturating_add(work.bytes_read).saturating_add(work.bytes_written)
}

/// Thread counts on which a row that runs on the processor is tried: all of them on small cases;
/// on larger ones 1, 2, and one more that the case decides.
pub(crate) fn thread_counts(case: &Case) -> Vec<usize> {
    let work = work(case);
    if work <= MOST_WORK_ON_ALL {
        THREADS.to_vec()
    } else if work <= MOST_WORK {
        vec![1, 2, THREADS[2 + chance(case, 3)]]
    } else {
        Vec::new()
    }
}

/// A number below `below` that the case decides.
pub(crate) fn chance(case: &Case, below: u64) -> usize {
    (fnv1a(case.to_string().as_bytes()) % below) as usize
}

/// A row that passed its check, and what it answered.
pub(crate) struct Passed<'a, 'p, O: Op> {
    pub(crate) run: &'a RowRun<'p, O>,
    pub(crate) reference: &'a O::Reference,
    pub(crate) outputs: &'a Outputs,
    pub(crate) agreement: &'a Agreement,
}

/// The first difference between two answers, bit by bit; a NaN is like another. Where `beginning`
/// is set, `other` may end before `this`.
fn difference(this: &Outputs, other: &Outputs, beginning: bool) -> Option<String> {
    if this.0.len() != other.0.len() {
        return Some(format!("{} outputs, then {}", this.0.len(), other.0.len()));
    }
    for (name, other) in &other.0 {
        let Some(this) = this.get(name) else { return Some(format!("no output `{name}`")) };
        let (a, b) = (this.len(), other.len());
        if this.type_name() != other.type_name() || a < b || (a > b && !beginning) {
            return Some(format!("`{name}` has {a} values, then {b}"));
        }
        let same = |i: &usize| this.bits(*i) == other.bits(*i) || nan(this, *i) && nan(other, *i);
        if let Some(at) = (0..b).find(|i| !same(i)) {
            return Some(format!("`{name}`[{at}] is {}, then {}", this.get(at), other.get(at)));
        }
    }
    None
}

fn nan(tensor: &Tensor, i: usize) -> bool {
    tensor.get(i).is_nan()
}

/// Whether what is read once outputs were overwritten is still the old answer. Outputs of one value
/// throughout may be what they were overwritten with.
fn kept(answer: &Outputs, after: &Outputs) -> bool {
    let constant = |t: &Tensor| (1..t.len()).all(|i| t.bits(i) == t.bits(0));
    let same = |a: &Tensor, b: &Tensor| {
        a.type_name() == b.type_name()
            && a.len() == b.len()
            && (0..a.len()).all(|i| a.bits(i) == b.bits(i))
    };
    answer.0.iter().any(|(_, t)| !constant(t))
        && answer.0.iter().all(|(name, a)| after.get(name).is_some_and(|b| same(a, b)))
}

/// Launch and wait. Nothing goes between host and device meanwhile: that would be timed as part of
/// the kernel, or hide a part of its work.
fn launched(prepared: &mut dyn Prepared) -> Result<(), Failure> {
    let before = prepared.host_copies();
    prepared.launch()?;
    prepared.sync()?;
    no_copies(prepared, before)
}

/// Whether there were no more copies between host and device than before.
pub(crate) fn no_copies(prepared: &dyn Prepared, before: u64) -> Result<(), Failure> {
    match prepared.host_copies() - before {
        0 => Ok(()),
        n => Err(Failure(format!("copies between host and device in a launch: {n}, must be 0"))),
    }
}

fn launch(prepared: &mut dyn Prepared) -> Result<Outputs, Failure> {
    launched(prepared)?;
    let outputs = prepared.read()?;
    rounding::as_ever()?;
    Ok(outputs)
}

impl<O: Op> Passed<'_, '_, O> {
    /// Put the row's declaration to the test; the error says what was not so.
    pub(crate) fn verify(
        &self,
        prepared: &mut dyn Prepared,
        bench: &mut Bench,
    ) -> Result<(), Failure> {
        let declared = self.run.kernel.determinism();
        if declared.backend {
            self.has_the_references_bits()?;
        }
        prepared.forget()?;
        // Rows that work in place have their answer where their input was.
        if !prepared.in_place() && prepared.read().is_ok_and(|after| kept(self.outputs, &after)) {
            return Err(Failure("`forget` left the old answer in place".into()));
        }
        self.again(prepared, declared.runs)?;
        let work = work(self.run.task.case);
        if work > MOST_WORK {
            return Ok(());
        }
        self.on_other_threads(declared, bench)?;
        if let Some(fewer) = O::fewer(self.run.task.case).filter(|_| declared.batch) {
            self.batch(&fewer, bench)?;
        }
        let here = !self.run.kernel.need().is_device();
        if here && work <= MOST_WORK_LAUNCHED {
            self.leaves_its_problem(bench)?;
        }
        // Others have run since, which may share with this one what they must not; and the last
        // launch finds what the one before it has written.
        prepared.forget()?;
        self.again(prepared, declared.runs)?;
        self.again(prepared, declared.runs)?;
        if here && work <= MOST_WORK_LAUNCHED {
            self.dozens_of_times(prepared, declared.runs)?;
        }
        Ok(())
    }

    fn has_the_references_bits(&self) -> Result<(), Failure> {
        let Agreement { max_abs_error, negated_zeros, .. } = *self.agreement;
        let off = match (max_abs_error > 0.0, negated_zeros) {
            (true, _) => format!("an answer is {max_abs_error} off"),
            (false, 0) => return Ok(()),
            (false, zeros) => format!("{zeros} zeros have the other sign"),
        };
        Err(broken("the reference's bits", off))
    }

    /// Launch once more.
    fn again(&self, prepared: &mut dyn Prepared, declared: bool) -> Result<(), Failure> {
        if prepared.in_place() {
            prepared.reset()?;
        }
        self.agrees("run to run", &launch(prepared)?, declared)
    }

    /// What happens at the ninth launch happens in use, too.
    fn dozens_of_times(&self, prepared: &mut dyn Prepared, declared: bool) -> Result<(), Failure> {
        let more = chance(self.run.task.case, 8) == 0;
        let begun = crate::measure::now();
        for launches in 0..if more { MORE_LAUNCHES } else { LAUNCHES } {
            if launches >= SLOW_LAUNCHES && begun.elapsed().as_secs_f64() > MOST_SECONDS {
                break;
            }
            prepared.forget()?;
            self.again(prepared, declared)?;
        }
        Ok(())
    }

    /// A row that says it uses one thread is given others all the same: it may use them.
    fn on_other_threads(&self, declared: Determinism, bench: &mut Bench) -> Result<(), Failure> {
        let (kernel, case) = (self.run.kernel, self.run.task.case);
        let small = work(case) <= MOST_WORK_ON_ALL;
        let tried = small || (declared.threads && kernel.threads() == Threads::Pool);
        if kernel.need().is_device() || !tried {
            return Ok(());
        }
        let own = bench.pool.threads();
        for count in thread_counts(case).into_iter().filter(|count| *count != own) {
            let pool = bench.other_pool(count)?;
            let guard = match count {
                _ if !bench.expendable => Guard::Bands,
                1 => Guard::PageAfterAligned,
                2 => Guard::PageBefore,
                _ => Guard::Bands,
            };
            let outputs = self.on(pool, guard, self.run.problem, bench)?;
            self.agrees(&format!("on {count} threads"), &outputs, declared.threads)?;
        }
        Ok(())
    }

    fn batch(&self, fewer: &Case, bench: &Bench) -> Result<(), Failure> {
        let problem = O::generate(fewer, bench.files)?;
        if self.run.kernel.accepts(&problem).is_err() {
            return Ok(());
        }
        let outputs = self.on(bench.pool.clone(), Guard::Bands, &problem, bench)?;
        self.compare("for any batch", &outputs, true)
    }

    /// Others read the problem, too.
    fn leaves_its_problem(&self, bench: &Bench) -> Result<(), Failure> {
        let mut problem = O::generate(self.run.task.case, bench.files)?;
        let before = fingerprint(&O::parts(&mut problem));
        let outputs = self.on(bench.pool.clone(), Guard::Bands, &problem, bench)?;
        self.agrees("on a copy of the problem", &outputs, self.run.kernel.determinism().runs)?;
        match fingerprint(&O::parts(&mut problem)) == before {
            true => Ok(()),
            false => Err(Failure("the row changes the problem it was given".into())),
        }
    }

    fn on(
        &self,
        pool: Pool,
        guard: Guard,
        problem: &O::Problem,
        bench: &Bench,
    ) -> Result<Outputs, Failure> {
        let context = Context::new(pool, bench.hardware.clone(), Poison::Sevens);
        let mut context = context.with_guard(guard);
        let outputs = launch(&mut *self.run.kernel.prepare(problem, &mut context)?)?;
        context.check_guards()?;
        Ok(outputs)
    }

    /// Whether another answer has the same bits where that is declared, and else is as right.
    fn agrees(&self, what: &str, other: &Outputs, declared: bool) -> Result<(), Failure> {
        if declared {
            return self.compare(what, other, false);
        }
        let fault = (other != self.outputs).then(|| self.run.judge(self.reference, other).fault);
        fault.flatten().map_or(Ok(()), |fault| Err(Failure(format!("{what}: {fault}"))))
    }

    fn compare(&self, what: &str, other: &Outputs, beginning: bool) -> Result<(), Failure> {
        match difference(self.outputs, other, beginning) {
            Some(why) => Err(broken(&format!("the same bits {what}"), why)),
            None => Ok(()),
        }
    }
}

fn broken(declared: &str, why: String) -> Failure {
    Failure(format!("the row declares {declared}, but {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_there_after_forget_is_told_from_a_filling() {
        let of = |y: &[f32]| Outputs(vec![("y", Tensor::F32(y.to_vec()))]);
        let nan = f32::NAN;
        assert!(kept(&of(&[1.0, 2.0]), &of(&[1.0, 2.0])));
        for (answer, after) in [
            (of(&[1.0, 2.0]), of(&[nan, nan])),
            (of(&[1.0, 2.0]), of(&[1.0, nan])),
            (of(&[1.0, 2.0]), of(&[])),
            (of(&[0.0, -0.0]), of(&[0.0, 0.0])),
            // Fillings that are the right answer.
            (of(&[nan, nan]), of(&[nan, nan])),
            (of(&[7.0]), of(&[7.0])),
            (of(&[]), of(&[])),
            (Outputs::default(), Outputs::default()),
        ] {
            assert!(!kept(&answer, &after), "{answer:?} {after:?}");
        }
    }

    #[test]
    fn small_cases_have_all_thread_counts_and_larger_ones_in_turn() {
        let of = |id: String| thread_counts(&id.parse::<Case>().expect("a case"));
        let large = |seed| of(format!("hadamard/m=64/k=1024/data=exact/seed={seed}"));
        assert_eq!(of("hadamard/m=1/k=8/data=exact".into()), THREADS);
        let thirds: std::collections::BTreeSet<_> = (0..20).map(|seed| large(seed)[2]).collect();
        assert_eq!(thirds.into_iter().collect::<Vec<_>>(), THREADS[2..]);
        assert!(of("hadamard/m=4096/k=1024/data=exact".into()).is_empty());
    }
}
