//! The comparison: a row's outputs against what they must be.
//!
//! One function decides, for the harness, the conformance test and the benches alike.
use crate::case::Case;
use crate::op::{Bound, Expectation, Expected, Outputs, Tensor};
use crate::rule::ulp;

/// Share of zeros an output may have beyond what was predicted before it is mistrusted.
pub const ZERO_SLACK: f64 = 0.05;
/// The same in standard deviations of a count of independent values, where that is more: of ten
/// thousand random cases none may be a fluke.
const ZERO_DEVIATIONS: f64 = 6.0;
/// Where nothing is known beforehand, more zeros than this are too many.
pub const ZERO_UNKNOWN: f64 = 0.9;
/// However few values there are, more zeros than this are too many, unless they are predicted.
const ZERO_MOST: f64 = 0.95;
/// Values other than zero that are evidence enough, however many zeros stand beside them.
const NONZERO_ENOUGH: f64 = 100.0;
/// Outputs smaller than this say nothing about shares of zeros.
pub const ZERO_MINIMUM: usize = 100;

/// What a wrong output broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It is missing, of another type or length, or faulty as a whole.
    Form,
    /// It had to be equal bit for bit.
    Exact,
    /// It is farther off than its bound.
    Bound,
    /// A code is another one, and not for being near a tie.
    Code,
}

/// What the comparison saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Elements compared.
    pub compared: u64,
    /// Elements out of bound.
    pub mismatches: u64,
    /// Codes one step off near a tie.
    pub near_ties: u64,
    /// Zeros of the other sign than the reference's: equal as numbers, and other bits.
    pub negated_zeros: u64,
    /// Largest absolute difference.
    pub max_abs_error: f64,
    /// Largest difference over its bound.
    pub error_over_bound: f64,
    /// Share of zeros in the last output of the expectation: its main one.
    pub zero_share: f64,
    /// Share of the same elements that were to be zero, or may be for being less than any normal
    /// float.
    pub wanted_zeros: f64,
    /// Elements of that output that were compared.
    pub main: u64,
    /// Whether only a sample was compared.
    pub sampled: bool,
    /// Whether an output may be off by a derived bound, wider than two units in its last place.
    pub bounded: bool,
    /// The first thing wrong, as a sentence; `None` when nothing is.
    pub fault: Option<String>,
    /// What it broke.
    pub broken: Option<Broken>,
}

/// Compare outputs with what they must be.
pub fn judge(expectation: &Expectation, got: &Outputs) -> Agreement {
    let mut seen = Agreement { fault: expectation.faults.first().cloned(), ..Agreement::default() };
    seen.broken = seen.fault.as_ref().map(|_| Broken::Form);
    for expected in &expectation.outputs {
        let Some(tensor) = expected.decoded.as_ref().or_else(|| got.get(expected.name)) else {
            let text = format!("output `{}` is missing", expected.name);
            fault(&mut seen, Broken::Form, text);
            continue;
        };
        if tensor.len() != expected.len || tensor.type_name() != expected.want.type_name() {
            let (name, len) = (expected.name, expected.len);
            let (t, w) = (tensor.type_name(), expected.want.type_name());
            let text = format!("output `{name}` is {t}[{}], must be {w}[{len}]", tensor.len());
            fault(&mut seen, Broken::Form, text);
            continue;
        }
        compare(expected, tensor, &mut seen);
    }
    // What is not looked at may be anything, and so proves the row no better than silence.
    let asked = |name: &str| expectation.outputs.iter().any(|expected| expected.name == name);
    if let Some((name, _)) = got.0.iter().find(|(name, _)| !asked(name)) {
        fault(&mut seen, Broken::Form, format!("nobody asked for output `{name}`"));
    }
    if expectation.outputs.is_empty() && seen.fault.is_none() {
        fault(&mut seen, Broken::Form, "nothing was compared".into());
    }
    seen
}

fn fault(seen: &mut Agreement, broken: Broken, text: String) {
    seen.mismatches += 1;
    seen.broken.get_or_insert(broken);
    seen.fault.get_or_insert(text);
}

fn compare(expected: &Expected, got: &Tensor, seen: &mut Agreement) {
    let want = &expected.want;
    let (mut zeros, mut wanted) = (0u64, 0u64);
    for i in 0..want.len() {
        let at = expected.at.as_ref().map_or(i, |at| at[i]);
        let (g, w) = (got.get(at), want.get(i));
        zeros += u64::from(g == 0.0);
        // A row may flush what is below the least normal float.
        wanted += u64::from(w.abs() < f64::from(f32::MIN_POSITIVE));
        // The common case, and the only one for which infinities agree. NaN is right where the
        // reference says NaN, the scale of a group that holds one; whoever leaves the NaN an
        // output begins as is found out by the second filling.
        if g == w || (g.is_nan() && w.is_nan()) {
            let signs = [g, w].map(f64::is_sign_negative);
            seen.negated_zeros += u64::from(g == 0.0 && signs[0] != signs[1]);
            continue;
        }
        let error = (g - w).abs();
        let bound = match &expected.bound {
            Bound::Exact => 0.0,
            Bound::Componentwise(bounds) => bounds[i],
            Bound::Code(step) => step(at),
        };
        // A bound may be infinite where an infinity is wanted; nothing else is right there.
        if error <= bound && error.is_finite() {
            seen.max_abs_error = seen.max_abs_error.max(error);
            match expected.bound {
                Bound::Code(_) => seen.near_ties += 1,
                _ => seen.error_over_bound = seen.error_over_bound.max(error / bound),
            }
            continue;
        }
        let name = expected.name;
        seen.max_abs_error = if error.is_nan() { f64::MAX } else { seen.max_abs_error.max(error) };
        seen.error_over_bound = f64::MAX;
        let broken = match &expected.bound {
            Bound::Exact => Broken::Exact,
            Bound::Componentwise(_) => Broken::Bound,
            Bound::Code(_) => Broken::Code,
        };
        fault(seen, broken, format!("`{name}`[{at}] is {g}, must be {w}{}", within(bound)));
    }
    if let Bound::Componentwise(bounds) = &expected.bound {
        let wide = |(i, bound): (usize, &f64)| *bound > 2.0 * f64::from(ulp(want.get(i) as f32));
        seen.bounded |= bounds.iter().enumerate().any(wide);
    }
    seen.compared += want.len() as u64;
    seen.sampled |= expected.at.is_some();
    seen.main = want.len() as u64;
    seen.zero_share = zeros as f64 / want.len().max(1) as f64;
    seen.wanted_zeros = wanted as f64 / want.len().max(1) as f64;
}

fn within(bound: f64) -> String {
    if bound == 0.0 { " exactly".into() } else { format!(" within {bound:.3e}") }
}

/// The share of zeros to predict of so many values where counting says `share`: an output of next
/// to nothing else proves nothing, even if it is right.
pub fn counted_zeros(share: f64, values: usize) -> f64 {
    let enough = 1.0 - NONZERO_ENOUGH / values.max(1) as f64;
    share.min(enough.max(ZERO_UNKNOWN))
}

impl Agreement {
    /// The largest share of zeros that format, rule and distribution let one expect: more mean
    /// that little of the output could have been wrong. 1 for an output too small to say.
    pub fn most_zeros(&self, predicted: Option<f64>) -> f64 {
        if (self.main as usize) < ZERO_MINIMUM {
            return 1.0;
        }
        predicted.map_or(ZERO_UNKNOWN, |share| {
            let deviation = (share * (1.0 - share) / self.main.max(1) as f64).sqrt();
            let most = share + ZERO_SLACK.max(ZERO_DEVIATIONS * deviation);
            // What is known to be zero, such as padding, may be more than that.
            most.min(ZERO_MOST).max(share + ZERO_SLACK * (1.0 - share))
        })
    }

    /// The same for a case. What an op predicts holds for drawn values; the zeros of a pattern are
    /// known (all of them, or all but one of a group), and the reference has counted them.
    pub fn most_zeros_of(&self, case: &Case, predicted: Option<f64>) -> f64 {
        let known = case.word("data") == "adversarial";
        self.most_zeros(if known { Some(self.wanted_zeros) } else { predicted })
    }

    /// Why the agreement proves little, if it does.
    pub fn vacuous(&self, most_zeros: f64) -> Option<String> {
        (self.zero_share > most_zeros).then(|| {
            let (share, most) = (100.0 * self.zero_share, 100.0 * most_zeros);
            format!("{share:.1} % of the output is zero, {most:.1} % is the most expected")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(want: Tensor, bound: Bound, got: Tensor) -> Agreement {
        let expectation =
            Expectation { outputs: vec![Expected::all("y", want, bound)], faults: vec![] };
        judge(&expectation, &Outputs(vec![("y", got)]))
    }
    fn floats(values: &[f32]) -> Tensor {
        Tensor::F32(values.to_vec())
    }

    #[test]
    fn nan_passes_where_it_is_wanted() {
        let seen = one(floats(&[1.0, f32::NAN]), Bound::Exact, floats(&[1.0, f32::NAN]));
        assert_eq!((seen.fault, seen.broken), (None, None));
        let seen = one(floats(&[f32::NAN]), Bound::Exact, floats(&[0.0]));
        assert!(seen.fault.is_some());
    }

    #[test]
    fn nan_and_unwritten_outputs_never_pass() {
        for bound in [Bound::Exact, Bound::Componentwise(vec![f64::INFINITY; 2])] {
            let seen = one(floats(&[1.0, 2.0]), bound, floats(&[1.0, f32::NAN]));
            assert_eq!((seen.mismatches, seen.broken.is_some()), (1, true));
            assert!(seen.fault.unwrap().contains("`y`[1] is NaN, must be 2"));
        }
    }

    #[test]
    fn an_infinity_is_met_by_itself_alone() {
        let bound = || Bound::Componentwise(vec![f64::INFINITY]);
        let infinite = || floats(&[f32::INFINITY]);
        assert_eq!(one(infinite(), bound(), infinite()).fault, None);
        for wrong in [f32::NEG_INFINITY, f32::NAN, f32::MAX, 1.0] {
            assert!(one(infinite(), bound(), floats(&[wrong])).fault.is_some(), "{wrong}");
        }
    }

    #[test]
    fn zeros_of_either_sign_are_equal_and_counted() {
        for (want, got, counted) in [(0.0, -0.0, 1), (-0.0, 0.0, 1), (-0.0, -0.0, 0), (0.0, 0.0, 0)]
        {
            let seen = one(floats(&[want, 1.0]), Bound::Exact, floats(&[got, 1.0]));
            assert_eq!((seen.fault, seen.negated_zeros), (None, counted), "{want:?} {got:?}");
        }
    }

    #[test]
    fn what_is_below_the_least_normal_float_may_be_zero_and_nothing_else() {
        let bound = || Bound::Componentwise(vec![f64::from(f32::MIN_POSITIVE); 200]);
        let case = "hadamard/m=4/k=64/data=adversarial/pattern=denormals".parse::<Case>().unwrap();
        for (want, vacuous) in [(f32::MIN_POSITIVE.next_down(), false), (f32::MIN_POSITIVE, true)] {
            let seen = one(floats(&[want; 200]), bound(), floats(&[0.0; 200]));
            assert_eq!(seen.fault, None);
            let why = seen.vacuous(seen.most_zeros_of(&case, Some(0.0)));
            assert_eq!(why.is_some(), vacuous, "{want}");
        }
    }

    #[test]
    fn outputs_that_nobody_asked_for_are_faults() {
        let want = Expected::all("y", floats(&[1.0]), Bound::Exact);
        let expectation = Expectation { outputs: vec![want], faults: vec![] };
        let got = Outputs(vec![("y", floats(&[1.0])), ("z", floats(&[1.0]))]);
        let fault = judge(&expectation, &got).fault.unwrap();
        assert_eq!(fault, "nobody asked for output `z`");
    }

    #[test]
    fn a_bound_is_met_or_missed_element_by_element() {
        let bound = || Bound::Componentwise(vec![0.0, 0.5]);
        assert_eq!(one(floats(&[1.0, 2.0]), bound(), floats(&[1.0, 2.5])).fault, None);
        assert_eq!(one(floats(&[1.0, 2.0]), bound(), floats(&[1.0, 2.25])).error_over_bound, 0.5);
        assert!(one(floats(&[1.0, 2.0]), bound(), floats(&[1.25, 2.0])).fault.is_some());
    }

    #[test]
    fn codes_may_be_one_step_off_only_near_a_tie() {
        let near = |step| Bound::Code(Box::new(move |i| if i == 1 { step } else { 0.0 }));
        let codes = |v: &[i8]| Tensor::I8(v.to_vec());
        let seen = one(codes(&[3, 4]), near(1.0), codes(&[3, 5]));
        assert_eq!((seen.fault, seen.near_ties), (None, 1));
        assert!(one(codes(&[3, 4]), near(1.0), codes(&[3, 6])).fault.is_some());
        assert!(one(codes(&[3, 4]), near(1.0), codes(&[2, 4])).fault.is_some());
        assert_eq!(one(codes(&[1, -1]), near(2.0), codes(&[1, 1])).near_ties, 1);
        assert!(one(codes(&[1, -1]), near(1.0), codes(&[1, 1])).fault.is_some());
    }

    #[test]
    fn missing_short_and_mistyped_outputs_are_faults() {
        assert!(one(floats(&[1.0]), Bound::Exact, floats(&[])).fault.is_some());
        assert!(one(floats(&[1.0]), Bound::Exact, Tensor::I32(vec![1])).fault.is_some());
        assert!(judge(&Expectation::default(), &Outputs::default()).fault.is_some());
    }

    #[test]
    fn zeros_beyond_the_prediction_prove_little() {
        let seen = one(floats(&[0.0; 200]), Bound::Exact, floats(&[0.0; 200]));
        let why = seen.vacuous(seen.most_zeros(Some(0.5))).unwrap();
        assert_eq!(why, "100.0 % of the output is zero, 71.2 % is the most expected");
        // Zeros that are known are fine, and nothing but zeros is not.
        let of = |zero_share| Agreement { zero_share, ..seen.clone() };
        assert_eq!(of(0.96).vacuous(of(0.96).most_zeros(Some(0.96))), None);
        assert!(seen.vacuous(seen.most_zeros(Some(0.96))).is_some());
        // Of 200 values half of which are zero, 21 % more are six standard deviations.
        assert_eq!(of(0.70).vacuous(of(0.70).most_zeros(Some(0.5))), None);
        assert!(of(0.72).vacuous(of(0.72).most_zeros(Some(0.5))).is_some());
        let large = Agreement { main: 1 << 20, zero_share: 0.56, ..seen.clone() };
        assert!(large.vacuous(large.most_zeros(Some(0.5))).is_some());
        assert!(large.vacuous(large.most_zeros(None)).is_none());
        // Of a million values 98 % may be zero where the data say so, of two hundred they may not.
        let counted = |zero_share, counted, main| {
            let seen = Agreement { main, zero_share, ..seen.clone() };
            seen.vacuous(seen.most_zeros(Some(counted_zeros(counted, main as usize))))
        };
        assert_eq!(counted(0.9853, 0.9853, 1 << 20), None);
        assert!(counted(0.99, 0.9853, 1 << 20).is_some());
        assert!(counted(0.9853, 0.9853, 200).is_some());
        assert!(counted(1.0, 1.0, 1 << 20).is_some());
        // Padding may be nearly all, and an output of nothing else still proves nothing.
        assert!(large.most_zeros(Some(0.99)) > 0.99 && large.most_zeros(Some(0.99)) < 1.0);
        // The zeros of a pattern are known, and more than those are not.
        let id = |data: &str| format!("hadamard/m=4/k=64/{data}").parse::<Case>().unwrap();
        let (known, drawn) = (id("data=adversarial/pattern=zeros"), id("data=realistic"));
        let most = |wanted_zeros, case| {
            Agreement { wanted_zeros, ..seen.clone() }.most_zeros_of(case, Some(0.0))
        };
        assert_eq!(seen.vacuous(most(1.0, &known)), None);
        assert!(seen.vacuous(most(0.5, &known)).is_some());
        assert!(seen.vacuous(most(1.0, &drawn)).is_some());
        let small = Agreement { main: 99, ..seen };
        assert_eq!(small.most_zeros(Some(0.0)), 1.0);
    }
}
