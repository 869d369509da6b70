//! Faulty kernels of `linear` through `check_kernel`: each refused, within ten seconds, with a case
//! that no single step makes smaller.
use lowbit_harness::own::{check_kernel_in, fault_on};
use lowbit_harness::shrink::{CaseTree, Cases, Fault, steps};
use lowbit_kernels::buffer::Buffer;
use lowbit_kernels::context::Context;
use lowbit_kernels::{Failure, Kernel, Prepared};
use lowbit_reference::case::Case;
use lowbit_reference::op::linear::{Activation, Linear, LinearProblem, PackedWeight, Weight};
use lowbit_reference::op::{Arithmetic, Outputs, Tensor};
use lowbit_scenarios::Scenario;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::time::Duration;

/// A product of matrices in f64, element by element, with a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// The last product of every sum is left out.
    LastProduct,
    /// Every group has the scale of the next.
    NextScale,
    /// The last token's answers are zero.
    ZeroRow,
    /// All answers are 1 % too large where there are more than four tokens.
    ManyTokens,
    /// The last product is left out where K is no multiple of 64.
    Tail,
    /// Where x is negative, a weight of -1 counts as 1.
    Signs,
    /// Unsigned codes of activations are read as signed bytes.
    BytesAsSigned,
    /// Sums of two products of unsigned and signed bytes are kept within 16 bits, as `vpmaddubsw` does.
    Saturates,
    /// The first answer is wrong where the first weight is that of the file in the suite.
    File,
    /// The last answer is not written.
    Unwritten,
    /// Panics where N is above 40.
    Panics,
    /// Never ends where N is above 40.
    Hangs,
    /// Accepts nothing.
    Refuses,
}

/// The bits of the first weight of the file.
const FIRST_OF_FILE: u32 = 0xbe182fbe;

#[derive(Debug)]
struct Row(Mistake);

impl Kernel<Linear> for Row {
    fn name(&self) -> &'static str {
        "faulty"
    }
    fn arithmetic(&self, _: &LinearProblem) -> Arithmetic {
        Arithmetic::FLOAT
    }
    fn accepts(&self, problem: &LinearProblem) -> Result<(), String> {
        match (&problem.weight, self.0) {
            (_, Mistake::Refuses) => Err("it is Monday".into()),
            (Weight::Codes(_), _) => Ok(()),
            (other, _) => Err(format!("reads no {}", other.name())),
        }
    }
    fn prepare<'p>(
        &self,
        problem: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let Weight::Codes(weight) = &problem.weight else { return Err(Failure("no codes".into())) };
        let y = context.buffer("y", problem.m * problem.n);
        Ok(Box::new(Run { mistake: self.0, problem, weight, codes: weight.weight_codes(), y }))
    }
}

struct Run<'p> {
    mistake: Mistake,
    problem: &'p LinearProblem,
    weight: &'p PackedWeight,
    codes: Vec<i16>,
    y: Buffer<f32>,
}

impl Run<'_> {
    fn x(&self, i: usize, k: usize) -> f64 {
        let (problem, rows) = (self.problem, self.problem.rows);
        let (scale, zero) = (problem.activation_scale(i), problem.activation_zero_point(i));
        let value = |code: i32| f64::from(code - zero) * f64::from(scale);
        match &problem.activation {
            Activation::F32(x) => f64::from(rows.row(x, i)[k]),
            Activation::I8(x) => value(rows.row(&x.codes, i)[k].into()),
            Activation::U8(x) if self.mistake == Mistake::BytesAsSigned => {
                value(rows.row(&x.codes, i)[k].cast_signed().into())
            }
            Activation::U8(x) => value(rows.row(&x.codes, i)[k].into()),
        }
    }

    /// What two products lose where their sum leaves 16 bits.
    fn lost(&self, i: usize, j: usize, k: usize) -> f64 {
        let Activation::U8(x) = &self.problem.activation else { return 0.0 };
        let x = self.problem.rows.row(&x.codes, i);
        let w = |k: usize| i32::from(self.codes[j * self.weight.k + k]);
        let sum = i32::from(x[k]) * w(k) + i32::from(x[k + 1]) * w(k + 1);
        let group = k / self.weight.group_size.max(1);
        let scale = f64::from(self.weight.group_scale(j, group))
            * f64::from(self.problem.activation_scale(i));
        f64::from(sum.clamp(i16::MIN.into(), i16::MAX.into()) - sum) * scale
    }

    fn w(&self, j: usize, k: usize, x: f64) -> f64 {
        let (w, code) = (self.weight, i32::from(self.codes[j * self.weight.k + k]));
        let group = k / w.group_size.max(1);
        let next = self.mistake == Mistake::NextScale;
        let scale = w.group_scale(j, if next { (group + 1) % w.groups } else { group });
        let flipped = self.mistake == Mistake::Signs && x < 0.0 && code == -1;
        f64::from(if flipped { 1 } else { code - w.zero_point(j, group) }) * f64::from(scale)
    }

    fn element(&self, i: usize, j: usize) -> f32 {
        let LinearProblem { m, k, .. } = *self.problem;
        let last = match self.mistake {
            Mistake::LastProduct => k.saturating_sub(1),
            Mistake::Tail if !k.is_multiple_of(64) => k - 1,
            _ => k,
        };
        let sum: f64 = (0..last).map(|k| (self.x(i, k), k)).map(|(x, k)| x * self.w(j, k, x)).sum();
        let pairs = (0..k.saturating_sub(1)).step_by(2);
        let lost = pairs.filter(|_| self.mistake == Mistake::Saturates).map(|k| self.lost(i, j, k));
        let sum = sum + lost.sum::<f64>();
        match self.mistake {
            Mistake::ZeroRow if i + 1 == m => (0.0 * sum) as f32, // -0, where a sum of nothing is -0
            Mistake::ManyTokens if m > 4 => (1.01 * sum) as f32,
            _ => sum as f32,
        }
    }
}

impl Prepared for Run<'_> {
    fn launch(&mut self) -> Result<(), Failure> {
        let (m, n) = (self.problem.m, self.problem.n);
        match self.mistake {
            Mistake::Panics if n > 40 => panic!("more than 40"),
            Mistake::Hangs if n > 40 => loop {
                std::thread::sleep(Duration::from_millis(100));
            },
            _ => {}
        }
        let written = m * n - usize::from(self.mistake == Mistake::Unwritten && m * n > 0);
        for at in 0..written {
            self.y[at] = self.element(at / n, at % n);
        }
        let of_file = self.problem.weight_f32.first().map(|x| x.to_bits()) == Some(FIRST_OF_FILE);
        if self.mistake == Mistake::File && of_file && m * n > 0 {
            self.y[0] += 1.0;
        }
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

/// Refused in time, in the right way, and with a local minimum, which is looked at anew.
fn refused(row: &'static Row, fault: Fault) -> Case {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = check_kernel_in(row, folder.path()).expect_err("it is faulty");
    println!("{refused}");
    assert_eq!(refused.fault(), Some(fault), "{refused}");
    assert!(refused.minimal(), "{refused}");
    let smallest = refused.smallest().expect("a case").clone();
    assert!(fault_on(row, &smallest).is_some_and(|(seen, _)| seen == fault), "{smallest}");
    for step in steps(&smallest) {
        let seen = fault_on(row, &step);
        assert!(
            seen.as_ref().is_none_or(|(seen, _)| *seen != fault),
            "{step} is smaller: {seen:?}"
        );
    }
    smallest
}

fn sizes(case: &Case) -> [usize; 3] {
    ["m", "k", "n"].map(|key| case.number(key))
}

#[test]
fn the_row_without_a_mistake_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = check_kernel_in(&Row(Mistake::None), folder.path());
    let report = report.unwrap_or_else(|refused| panic!("{refused}"));
    assert!(report.suite > 100 && report.random >= 500, "{report}");
    assert!(report.refused > 20 && report.seconds > 0.0, "{report}");
}

#[test]
fn a_row_that_accepts_nothing_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = check_kernel_in(&Row(Mistake::Refuses), folder.path()).expect_err("nothing");
    assert!(refused.to_string().contains("its last reason: it is Monday"), "{refused}");
    assert!(refused.smallest().is_none() && refused.files().is_empty());
}

#[test]
fn a_product_left_out() {
    assert_eq!(sizes(&refused(&Row(Mistake::LastProduct), Fault::Wrong)), [1, 1, 1]);
}

#[test]
fn the_scale_of_the_next_group() {
    let smallest = refused(&Row(Mistake::NextScale), Fault::Wrong);
    let [m, k, n] = sizes(&smallest);
    assert!((m, n) == (1, 1) && k <= 64, "{smallest}");
    assert!(smallest.to_string().contains("group_size"), "{smallest}");
}

#[test]
fn a_row_of_zeros() {
    assert_eq!(sizes(&refused(&Row(Mistake::ZeroRow), Fault::Wrong)), [1, 1, 1]);
}

#[test]
fn wrong_above_four_tokens() {
    assert_eq!(sizes(&refused(&Row(Mistake::ManyTokens), Fault::Wrong)), [5, 1, 1]);
}

#[test]
fn wrong_in_the_tail() {
    assert_eq!(sizes(&refused(&Row(Mistake::Tail), Fault::Wrong)), [1, 1, 1]);
}

#[test]
fn wrong_signs() {
    // A negative weight and a negative value must meet: which seed has them so is luck.
    let [m, k, n] = sizes(&refused(&Row(Mistake::Signs), Fault::Wrong));
    assert!(m * k * n <= 2, "{m} {k} {n}");
}

#[test]
fn unsigned_bytes_read_as_signed() {
    let smallest = refused(&Row(Mistake::BytesAsSigned), Fault::Wrong);
    assert_eq!((sizes(&smallest), smallest.word("activation")), ([1, 1, 1], "uint8"));
}

#[test]
fn sums_that_saturate_at_16_bits() {
    let smallest = refused(&Row(Mistake::Saturates), Fault::Wrong);
    // Two large products of one sign must meet: which seed has them so is luck.
    let [m, k, n] = sizes(&smallest);
    assert!(m == 1 && k <= 4 && n <= 16 && smallest.word("activation") == "uint8", "{smallest}");
}

/// A file has one shape: its values are kept and cut.
#[test]
fn wrong_on_a_file_only() {
    let smallest = refused(&Row(Mistake::File), Fault::Wrong);
    assert_eq!(smallest.word("data"), "kept");
    assert_eq!(sizes(&smallest), [1, 1, 1]);
}

#[test]
fn an_answer_that_is_not_written() {
    assert_eq!(sizes(&refused(&Row(Mistake::Unwritten), Fault::Wrong)), [1, 0, 1]);
}

#[test]
fn a_panic_with_many_outputs() {
    assert_eq!(sizes(&refused(&Row(Mistake::Panics), Fault::Died)), [0, 0, 41]);
}

#[test]
fn silence_with_many_outputs() {
    assert_eq!(sizes(&refused(&Row(Mistake::Hangs), Fault::Silent)), [0, 0, 41]);
}

/// The strategy that proptest draws from, and its tree.
#[test]
fn a_drawn_case_becomes_small_in_proptests_own_loop() {
    let text = include_str!("../../scenarios/suites/nightly.json");
    let nightly = Scenario::parse("nightly.json", text).expect("a suite");
    let sweep =
        |(i, sweep): (usize, &lowbit_scenarios::Sweep)| (sweep.op.name == "hadamard").then_some(i);
    let sweeps: Vec<usize> = nightly.sweeps.iter().enumerate().filter_map(sweep).collect();
    let cases = Cases { scenario: &nightly, sweeps };
    let mut runner = TestRunner::deterministic();
    for _ in 0..20 {
        let mut tree: CaseTree = cases.new_tree(&mut runner).expect("a case");
        let fails = |case: &Case| case.number("k") >= 8;
        let mut last = tree.current();
        if !fails(&last) {
            continue;
        }
        let mut more = tree.simplify();
        while more {
            let now = tree.current();
            more = if fails(&now) {
                last = now;
                tree.simplify()
            } else {
                tree.complicate()
            };
        }
        assert_eq!(last.to_string(), "hadamard/m=1/k=8/data=exact/seed=0");
        assert_eq!(tree.current(), last);
    }
}
