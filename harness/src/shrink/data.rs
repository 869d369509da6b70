//! Making the data of a failing case small: the fewest values that are not zero, and those 1 or -1.
//!
//! The values that each stream of the case had are written to a file, and the case takes them from
//! there (`data=kept`). If it still fails, halves of a tensor become zero, then ever shorter runs,
//! then single values; what is left becomes 1 or -1, all at once or one by one, and a tensor is
//! divided by its largest magnitude. What no longer fails is put back.
//!
//! A file has one shape, so that no step makes a case of `data=file` shorter. Its values are kept
//! first, and cut to the rows and columns that the smaller case has.
use super::{Budget, CaseTree, Found, Subject};
use crate::files::Disk;
use crate::outside::tensors;
use lowbit_reference::case::{Case, Value};
use lowbit_reference::data::{Files, Matrix, Stream};
use lowbit_reference::op::Tensor;
use lowbit_reference::op::exported::Input;
use proptest::strategy::ValueTree;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Most values of a case whose data are kept: above, a file is no small thing.
const MOST_VALUES: usize = 1 << 16;
/// The same of a case whose data are a file already: they are cut.
const MOST_IN_FILE: usize = 1 << 20;
/// Most trials of one case's data.
const MOST_TRIALS: usize = 4000;

/// The values of one stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    stream: Stream,
    row_len: usize,
    values: Vec<f32>,
}

impl Kept {
    /// How many are not zero.
    fn left(&self) -> usize {
        self.values.iter().filter(|x| **x != 0.0).count()
    }

    /// The first rows, and of each the first values, in the shape of `other`; nothing where that
    /// has more of either.
    fn cut(&self, other: &Kept) -> Option<Kept> {
        let (rows, columns) = (other.values.len() / other.row_len.max(1), other.row_len);
        let whole: Vec<&[f32]> = self.values.chunks(self.row_len.max(1)).collect();
        let rows = whole.get(..rows)?.iter().map(|row| row.get(..columns));
        let values: Option<Vec<&[f32]>> = rows.collect();
        Some(Kept { stream: other.stream, row_len: columns, values: values?.concat() })
    }

    fn most(&self) -> f32 {
        self.values.iter().fold(0.0, |most, x| x.abs().max(most))
    }
}

/// Remembers the values of each stream; files come from the disk.
struct Recorder(Mutex<Vec<Kept>>);

impl Files for Recorder {
    fn matrix(&self, path: &str, tensor: &str) -> Result<Matrix, String> {
        Disk.matrix(path, tensor)
    }

    fn keep(&self, stream: Stream, values: &[f32], row_len: usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|earlier| earlier.stream != stream);
        kept.push(Kept { stream, row_len, values: values.to_vec() });
    }
}

/// A failing case that reads its data from a file.
#[derive(Clone, Debug)]
pub(crate) struct KeptCase {
    pub(crate) found: Found,
    pub(crate) tensors: Vec<Kept>,
    /// Whether no step makes the case smaller, if its data were a file.
    pub(crate) cut: bool,
    /// Whether nothing more becomes zero or one.
    pub(crate) minimal: bool,
}

impl KeptCase {
    /// A line for each tensor: how many values are left, and the first few of them.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |kept: &Kept| {
            let left = kept.values.iter().enumerate().filter(|(_, x)| **x != 0.0);
            let at = |(i, x): (usize, &f32)| format!("[{i}] = {x}");
            let first: Vec<_> = left.take(4).map(at).collect();
            let more = if kept.left() > first.len() { ", ..." } else { "" };
            let (name, all) = (kept.stream.name(), kept.values.len());
            let first =
                if first.is_empty() { "".into() } else { format!(": {}", first.join(", ")) };
            format!("{name}: {} of {all} not zero{first}{more}", kept.left())
        };
        self.tensors.iter().map(line).collect()
    }

    /// Write the tensors to `path`.
    pub(crate) fn write(&self, path: &Path) -> Result<(), String> {
        write(&self.tensors, path)
    }
}

fn write(tensors: &[Kept], path: &Path) -> Result<(), String> {
    let input = |kept: &Kept| {
        let columns = kept.row_len.max(1);
        let shape = [kept.values.len() / columns, columns];
        Input::new(kept.stream.name(), &shape, Tensor::F32(kept.values.clone()))
    };
    tensors::write(path, &tensors.iter().map(input).collect::<Vec<_>>(), &[])
}

/// The values of each stream of a case; nothing where they cannot be made, or do not fill their rows
/// and have a shape of their own.
fn recorded(case: &Case, subject: &dyn Subject) -> Option<Vec<Kept>> {
    let recorder = Recorder(Mutex::new(Vec::new()));
    subject.generate(case, &recorder).ok()?;
    let tensors = recorder.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    let whole = |kept: &Kept| kept.values.len().is_multiple_of(kept.row_len.max(1));
    tensors.iter().all(whole).then_some(tensors)
}

/// The case with its data taken from `path`.
fn kept_case(case: &Case, path: &Path) -> Option<Case> {
    let file = Value::Text(path.to_string_lossy().into_owned());
    case.with(&[("data", Some(Value::Word("kept"))), ("file", Some(file))]).ok()
}

/// The data of a case shrunk in a file at `path`; nothing where the op draws data that cannot be
/// kept, where there are too many, or where the case fails no more once they are.
pub(crate) fn shrink(
    found: &Found,
    path: PathBuf,
    subject: &mut dyn Subject,
    budget: &mut Budget,
) -> Option<KeptCase> {
    let case = kept_case(&found.case, &path)?;
    let tensors = recorded(&found.case, subject)?;
    let values: usize = tensors.iter().map(|kept| kept.values.len()).sum();
    let in_file = found.case.word("data") == "file";
    if values == 0 || values > if in_file { MOST_IN_FILE } else { MOST_VALUES } {
        return None;
    }
    let mut walk = Walk { case, path, subject, budget, best: found.clone(), tensors, trials: 0 };
    if !walk.fails(walk.tensors.clone()) {
        return None;
    }
    let cut = !in_file || walk.sizes();
    // What is 1 now may let others become zero, and those others 1: until nothing changes.
    let minimal = loop {
        let before = walk.tensors.clone();
        if !(walk.zeros() && walk.ones()) {
            break false;
        }
        if walk.tensors == before {
            break true;
        }
    };
    Some(KeptCase { found: walk.best, tensors: walk.tensors, cut, minimal })
}

struct Walk<'a> {
    case: Case,
    path: PathBuf,
    subject: &'a mut dyn Subject,
    budget: &'a mut Budget,
    best: Found,
    tensors: Vec<Kept>,
    trials: usize,
}

impl Walk<'_> {
    fn spent(&self) -> bool {
        self.trials >= MOST_TRIALS || self.budget.spent() || self.subject.exhausted()
    }

    /// Whether the case fails with these data; then they are the best.
    fn fails(&mut self, tensors: Vec<Kept>) -> bool {
        self.trials += 1;
        self.budget.trials += 1;
        if write(&tensors, &self.path).is_err() {
            return false;
        }
        let Some(found) = self.best.again(&self.case, self.subject) else { return false };
        (self.best, self.tensors) = (found, tensors);
        true
    }

    /// Walk the steps of the case, with its data cut.
    fn sizes(&mut self) -> bool {
        let mut tree = CaseTree::new(self.case.clone());
        let mut more = tree.simplify();
        while more && !self.spent() {
            let case = tree.current();
            more = if self.smaller(&case) { tree.simplify() } else { tree.complicate() };
        }
        !more
    }

    /// Whether a smaller case fails with the first of these data; then it is the case.
    fn smaller(&mut self, case: &Case) -> bool {
        if case.word("data") != "kept" {
            return false;
        }
        // The shapes that it wants are those of drawn data.
        let drawn = case.with(&[("data", Some(Value::Word("realistic")))]).ok();
        let Some(shapes) = drawn.and_then(|drawn| recorded(&drawn, self.subject)) else {
            return false;
        };
        let of = |shape: &Kept| self.tensors.iter().find(|kept| kept.stream == shape.stream);
        let cut: Option<Vec<Kept>> = shapes.iter().map(|shape| of(shape)?.cut(shape)).collect();
        let before = std::mem::replace(&mut self.case, case.clone());
        let fails = cut.is_some_and(|tensors| self.fails(tensors));
        if !fails {
            self.case = before;
        }
        fails
    }

    /// The data with one tensor's values changed, tried unless nothing changes.
    fn changed(&mut self, tensor: usize, change: impl FnOnce(&mut [f32])) -> bool {
        let mut tensors = self.tensors.clone();
        change(&mut tensors[tensor].values);
        tensors != self.tensors && self.fails(tensors)
    }

    /// Zero runs of half a tensor, of a quarter, and so on to single values, until none helps.
    fn zeros(&mut self) -> bool {
        for tensor in 0..self.tensors.len() {
            let mut run = self.tensors[tensor].values.len().max(1);
            loop {
                let mut any = false;
                for from in (0..self.tensors[tensor].values.len()).step_by(run) {
                    if self.spent() {
                        return false;
                    }
                    any |= self.changed(tensor, |values| {
                        let to = (from + run).min(values.len());
                        values[from..to].fill(0.0);
                    });
                }
                if run == 1 && !any {
                    break;
                }
                run = (run / 2).max(1);
            }
        }
        true
    }

    /// Make what is left 1 or -1, and scales 1.
    fn ones(&mut self) -> bool {
        let sign = |x: &mut f32| *x = if *x == 0.0 { *x } else { 1f32.copysign(*x) };
        for tensor in 0..self.tensors.len() {
            if self.changed(tensor, |values| values.iter_mut().for_each(sign)) {
                continue;
            }
            let most = self.tensors[tensor].most();
            if most > 0.0 {
                self.changed(tensor, |values| values.iter_mut().for_each(|x| *x /= most));
            }
            for at in 0..self.tensors[tensor].values.len() {
                if self.spent() {
                    return false;
                }
                self.changed(tensor, |values| sign(&mut values[at]));
            }
        }
        true
    }
}
