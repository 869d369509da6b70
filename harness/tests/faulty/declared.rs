//! Rows whose answers are within every bound and not the same twice: each breaks one declaration,
//! and one that declares nothing breaks none.
use crate::lowbit;
use lowbit_kernels::buffer::Buffer;
use lowbit_kernels::context::Context;
use lowbit_kernels::hardware::{Hardware, Need};
use lowbit_kernels::{Determinism, Failure, Kernel, Prepared};
use lowbit_reference::op::linear::{Linear, LinearProblem};
use lowbit_reference::op::{Arithmetic, Bound, Op, Outputs, Tensor};
use lowbit_reports::record::{Record, Verdict};

/// When an answer is half its bound off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Never,
    /// When it is launched again.
    Again,
    /// On three threads.
    ThreeThreads,
    /// In a batch of two.
    TwoTokens,
    /// Always.
    Always,
    /// On all but the first of these occasions, but nothing is declared.
    Undeclared,
    /// Never, but a launch copies from its device to the host.
    Copies,
    /// Never: its device cannot build it.
    Unbuilt,
}

/// A row and when it is off.
pub(crate) struct Moody(pub(crate) &'static str, pub(crate) When);

/// The table.
pub(crate) static KERNELS: &[&dyn Kernel<Linear>] = &[
    &Moody("steady", When::Never),
    &Moody("again", When::Again),
    &Moody("three_threads", When::ThreeThreads),
    &Moody("two_tokens", When::TwoTokens),
    &Moody("always", When::Always),
    &Moody("undeclared", When::Undeclared),
    &Moody("copies", When::Copies),
    &Moody("unbuilt", When::Unbuilt),
];

impl Kernel<Linear> for Moody {
    fn name(&self) -> &'static str {
        self.0
    }
    fn need(&self) -> Need {
        if self.1 == When::Unbuilt { Need::Wgpu } else { Need::Nothing }
    }
    fn determinism(&self) -> Determinism {
        match self.1 {
            When::Undeclared => {
                Determinism { runs: false, threads: false, batch: false, backend: false }
            }
            When::Always => Determinism::EXACT,
            _ => Determinism::NATIVE,
        }
    }
    fn arithmetic(&self, _: &LinearProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, _: &LinearProblem) -> Result<(), String> {
        Ok(())
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let reference = Linear::reference(problem);
        let expected = Linear::expect(problem, &reference, Arithmetic::FLOAT, &Outputs::default());
        let y = &expected.outputs[0];
        let (Tensor::F32(want), Bound::Componentwise(bounds)) = (&y.want, &y.bound) else {
            return Err(Failure("no bound".into()));
        };
        let off = want.iter().zip(bounds).map(|(y, bound)| y + 0.5 * *bound as f32).collect();
        Ok(Box::new(Run {
            when: self.1,
            threads: context.pool().threads(),
            tokens: problem.m,
            launches: 0,
            want: want.clone(),
            off,
            y: context.buffer("y", want.len()),
        }))
    }
}

struct Run {
    when: When,
    threads: usize,
    tokens: usize,
    launches: usize,
    want: Vec<f32>,
    off: Vec<f32>,
    y: Buffer<f32>,
}

impl Prepared for Run {
    fn launch(&mut self) -> Result<(), Failure> {
        self.launches += 1;
        let again = self.launches > 1;
        let is_off = match self.when {
            When::Unbuilt => return Err(Failure("build: no such function".into())),
            When::Never | When::Copies => false,
            When::Again => again,
            When::ThreeThreads => self.threads == 3,
            When::TwoTokens => self.tokens == 2,
            When::Always => true,
            When::Undeclared => again || self.threads == 3 || self.tokens == 2,
        };
        self.y.copy_from_slice(if is_off { &self.off } else { &self.want });
        Ok(())
    }
    fn host_copies(&self) -> u64 {
        if self.when == When::Copies { self.launches as u64 } else { 0 }
    }
    fn forget(&mut self) -> Result<(), Failure> {
        self.y.fill(f32::NAN);
        Ok(())
    }
    fn read(&mut self) -> Result<Outputs, Failure> {
        Ok(Outputs(vec![("y", Tensor::F32(self.y.to_vec()))]))
    }
}

const CASE: &str = "linear/weight=int8/activation=f32/weight_rule=absmax/activation_rule=none\
                    /m=4/k=64/n=8/data=realistic/seed=3";

pub(crate) fn declarations() {
    for (row, code, why) in [
        ("steady", 0, ""),
        ("again", 4, "the row declares the same bits run to run, but `y`[0] is "),
        ("three_threads", 4, "the row declares the same bits on 3 threads, but `y`[0] is "),
        ("two_tokens", 4, "the row declares the same bits for any batch, but `y`[0] is "),
        ("always", 4, "the row declares the reference's bits, but an answer is "),
        ("undeclared", 0, ""),
        ("copies", 4, "copies between host and device in a launch: 1, must be 0"),
        ("unbuilt", 8, "unbuilt of linear: the device did not run it: build: no such function"),
    ] {
        if row == "unbuilt" && Hardware::detect().wgpu.is_err() {
            continue;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let output = lowbit(folder.path(), &["check", "--case", CASE, "--kernel", row]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{row}: {text}");
        assert!(text.contains(why), "{row}: {text}");
    }
}

/// A row that says its device could not build the kernel, in a run: its name, an exit code of its own, and
/// no time.
pub(crate) fn no_time_for_what_is_not_built() {
    if let Err(why) = Hardware::detect().wgpu {
        println!("not run: {why}");
        return;
    }
    let scenario = r#"{ "about": "A row without a kernel.", "sweeps": [{
        "name": "unbuilt", "op": "linear",
        "product": { "weight": "int8", "activation": "f32", "weight_rule": "absmax",
                     "activation_rule": "none", "m": 4, "k": 64, "n": 8, "data": "realistic" },
        "measure": { "threads": [1], "cache": "hot", "min_samples": 3, "max_seconds": 0.05 } }] }"#;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("s.json"), scenario).expect("written");
    let arguments = ["run", "s.json", "--out", "out", "--kernel", "unbuilt", "--shrink", "0"];
    let output = lowbit(folder.path(), &arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(8), "{text}");
    assert!(text.contains("unbuilt of linear: the device did not run it: build:"), "{text}");
    let records = std::fs::read_to_string(folder.path().join("out/records.jsonl")).unwrap();
    let records = Record::parse_lines(&records).expect("records");
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].verdict, Verdict::Errored, "{records:?}");
    assert!(records[0].timing.is_none(), "{records:?}");
}
