//! `mutate` with a check that sees nothing, and with a row that dies of a fault.
use crate::lowbit;
use lowbit_kernels::buffer::Buffer;
use lowbit_kernels::context::Context;
use lowbit_kernels::{Failure, Kernel, Prepared};
use lowbit_reference::case::Case;
use lowbit_reference::data::Files;
use lowbit_reference::op::hadamard::{HadamardProblem, HadamardTransform};
use lowbit_reference::op::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Part, Storage, Tensor,
};
use lowbit_reference::quality::Quality;

/// The Hadamard transform with bounds that admit every number.
#[derive(Debug)]
pub(crate) struct Blind;

impl Op for Blind {
    const SPEC: &'static OpSpec = HadamardTransform::SPEC;
    type Problem = HadamardProblem;
    type Reference = Vec<f32>;

    fn generate(case: &Case, files: &dyn Files) -> Result<HadamardProblem, String> {
        HadamardTransform::generate(case, files)
    }
    fn reference(problem: &HadamardProblem) -> Vec<f32> {
        problem.x.clone()
    }
    fn expect(_: &HadamardProblem, x: &Vec<f32>, _: Arithmetic, _: &Outputs) -> Expectation {
        let bound = Bound::Componentwise(vec![f64::INFINITY; x.len()]);
        let outputs = vec![Expected::all("y", Tensor::F32(x.clone()), bound)];
        Expectation { outputs, faults: Vec::new() }
    }
    fn parts(problem: &mut HadamardProblem) -> Vec<Part<'_>> {
        HadamardTransform::parts(problem)
    }
    fn quality(_: &HadamardProblem, _: &Vec<f32>) -> Option<Quality> {
        None
    }
    fn storage(problem: &HadamardProblem) -> Storage {
        HadamardTransform::storage(problem)
    }
    fn predicted_zeros(_: &HadamardProblem) -> Option<f64> {
        None
    }
}

/// Copies its input; `brittle` dies of an input that begins with zero.
pub(crate) struct Copy {
    pub(crate) brittle: bool,
}

impl Kernel<Blind> for Copy {
    fn name(&self) -> &'static str {
        if self.brittle { "brittle" } else { "copy" }
    }
    fn arithmetic(&self, _: &HadamardProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, _: &HadamardProblem) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        problem: &'p HadamardProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let y = context.buffer("y", problem.x.len());
        Ok(Box::new(Run { brittle: self.brittle, x: &problem.x, y }))
    }
}

struct Run<'p> {
    brittle: bool,
    x: &'p [f32],
    y: Buffer<f32>,
}

impl Prepared for Run<'_> {
    fn launch(&mut self) -> Result<(), Failure> {
        if self.brittle && self.x.first() == Some(&0.0) {
            std::process::abort();
        }
        self.y.copy_from_slice(self.x);
        Ok(())
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.y.fill(f32::NAN);
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("y", Tensor::F32(self.y.to_vec()))]))
    }
}

const CASE: &str = "hadamard/m=3/k=64/data=realistic/seed=5";

pub(crate) fn survivors() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["mutate", "--case", CASE, "--kernel", "copy", "--out", "out"];
    let output = lowbit(folder.path(), &arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert!(text.contains("SURVIVED: column_negated of x around copy of hadamard"), "{text}");
    // What no bound can admit is caught all the same.
    let caught = |fault: &str| text.lines().any(|l| l.contains(fault) && l.contains(" 1/1 "));
    assert!(caught("never_launched") && caught("one_nan") && caught("one_short"), "{text}");
    assert!(!caught("row_below"), "{text}");
    let csv = std::fs::read_to_string(folder.path().join("out/mutants.csv")).expect("mutants");
    assert!(csv.contains("hadamard,copy,row_below,x,survived"), "{csv}");
    let again = lowbit(folder.path(), &arguments);
    assert_eq!(again.status.code(), Some(2), "a folder with mutants.csv is refused");
}

pub(crate) fn deaths() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["mutate", "--case", CASE, "--kernel", "brittle", "--out", "out"];
    let output = lowbit(folder.path(), &arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(", rows 1, faults "), "{text}");
    let csv = std::fs::read_to_string(folder.path().join("out/mutants.csv")).expect("mutants");
    assert!(
        csv.contains("brittle,first_row_lost,x,caught,row,the worker died of signal 6"),
        "{csv}"
    );
    // The worker was started again, and the faults after that one were planted.
    assert!(csv.contains("brittle,one_short,y,caught,form"), "{csv}");
}
