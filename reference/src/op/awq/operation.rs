//! `awq_search`: which exponent of the activations' magnitudes makes the channel scales under which
//! a quantized weight changes the layer's outputs least.
//!
//! A row answers `losses`, one for each ratio of the grid, the `choice`, and its `scales`. Scales are
//! made of powers by single f32 operations, and so are the codes under them: a row makes them by the
//! same ones, so that the reconstructed weight is the reference's. What differs are sums.
//!
//! *Bound.* With `e = w' - w`, rounded to f32, an output's error `y = sum x e` in f32 in any order is
//! off by `g sum |x e|`, `g = gamma(k + 2)`. The loss `mean y^2` is then off by at most
//! `2 g mean |y| a + g^2 mean a^2` with `a = sum |x e| <= |x| |e|`, and by Cauchy and Schwarz by
//! `2 g sqrt(loss A) + g^2 A`, `A = sum_t |x_t|^2 sum_n |e_n|^2 / (T N)`; squares and their sum
//! round too, by `gamma(T + 8)` of the loss where a row adds them in f32.
//!
//! The choice is right if its loss is, within both bounds, the least.
use super::{Awq, AwqSearchConfig, MAX_GRID, Scaling, Search};
use crate::bound::gamma;
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::data::{Files, Stream};
use crate::format::Levels;
use crate::op::part::Part;
use crate::op::{
    Arithmetic, Bound, Expectation, Expected, Op, OpSpec, Outputs, Storage, Tensor, Work, inputs,
};
use crate::quality::{Quality, quality};

const WEIGHT: Param = Param {
    kind: Kind::Word(weight_words),
    about: "codes of the weight: uint4 with zero points, int4 without",
    ..inputs::WEIGHT
};
const GROUP_SIZE: Param = Param {
    key: "group_size",
    kind: Kind::Number { min: 1, max: 1 << 28 },
    about: "inputs that share a scale: a divisor of k",
    when: None,
    default: Some("128"),
};
const SCALING: Param = Param {
    key: "scaling",
    kind: Kind::Word(scaling_words),
    about: "activation: powers of the inputs' magnitudes (llm-awq); duo: over those of the weight",
    when: None,
    default: Some("activation"),
};
const N_GRID: Param = Param {
    key: "n_grid",
    kind: Kind::Number { min: 1, max: MAX_GRID as u64 },
    about: "ratios tried",
    when: None,
    default: Some("20"),
};

fn weight_words() -> Vec<Word> {
    ["uint4", "int4"].map(|name| Word { name, aliases: &[] }).to_vec()
}

fn scaling_words() -> Vec<Word> {
    ["activation", "duo"].map(|name| Word { name, aliases: &[] }).to_vec()
}

/// Name and parameters.
pub static SPEC: OpSpec = OpSpec {
    name: "awq_search",
    about: "the exponent whose channel scales cost a quantized weight's outputs least",
    params: &[
        WEIGHT,
        SCALING,
        GROUP_SIZE,
        N_GRID,
        inputs::M,
        inputs::K,
        inputs::N,
        inputs::DRAWN,
        inputs::PATTERN,
        inputs::DISTRIBUTION,
        inputs::KEPT_FILE,
        inputs::SEED,
    ],
    validate,
    work,
};

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "n", "k")?;
    inputs::area(case, "m", "k")?;
    inputs::area(case, "m", "n")?;
    match case.number("k").is_multiple_of(case.number("group_size")) {
        true => Ok(()),
        false => Err(case.conflict("group_size", "does not divide k")),
    }
}

/// A product for each ratio; both matrices are read once at least.
fn work(case: &Case) -> Work {
    let [m, k, n, grid] = ["m", "k", "n", "n_grid"].map(|key| case.number(key) as u64);
    Work {
        macs: m.saturating_mul(k).saturating_mul(n).saturating_mul(grid),
        bytes_read: 4 * k * (m + n),
        bytes_written: 4 * (grid + 1 + k),
    }
}

/// A weight and the tokens it is calibrated with.
#[derive(Debug)]
pub struct AwqProblem {
    /// What is searched.
    pub config: AwqSearchConfig,
    /// Tokens.
    pub m: usize,
    /// Output features.
    pub n: usize,
    /// Input features.
    pub k: usize,
    /// `[N, K]`.
    pub weight: Vec<f32>,
    /// `[M, K]`.
    pub tokens: Vec<f32>,
}

impl AwqProblem {
    fn awq(&self) -> Awq<'_> {
        let AwqProblem { config, n, k, ref weight, ref tokens, .. } = *self;
        Awq { config, n, k, weight, tokens }
    }

    /// How far a loss may be off, for the squared error of the weight it comes from.
    fn bound(&self, loss: f64, weight_error: f64) -> f64 {
        let outputs = (self.m * self.n) as f64;
        let tokens: f64 = self.tokens.iter().map(|x| f64::from(*x).powi(2)).sum();
        let (g, most) = (gamma(self.k + 2), tokens * weight_error / outputs);
        2.0 * g * (loss * most).sqrt() + g * g * most + gamma(self.m + 8) * loss
    }
}

/// The operation.
#[derive(Debug)]
pub struct AwqSearch;

impl Op for AwqSearch {
    const SPEC: &'static OpSpec = &SPEC;
    type Problem = AwqProblem;
    /// The search, or why there is none: a group whose range is no float.
    type Reference = Result<Search, String>;

    fn generate(case: &Case, files: &dyn Files) -> Result<AwqProblem, String> {
        let [m, n, k] = ["m", "n", "k"].map(|key| case.number(key));
        let uint4 = case.word("weight") == "uint4";
        let config = AwqSearchConfig {
            levels: if uint4 { Levels::Uint4 } else { Levels::Int4 },
            group_size: case.number("group_size"),
            n_grid: case.number("n_grid"),
            scaling: match case.word("scaling") {
                "duo" => Scaling::Duo,
                _ => Scaling::Activation,
            },
            max_tokens: usize::MAX,
        };
        let weight = inputs::values(case, None, Stream::Weight, (n * k, k), files)?;
        let tokens = inputs::values(case, None, Stream::Activation, (m * k, k), files)?;
        Ok(AwqProblem { config, m, n, k, weight, tokens })
    }

    fn reference(problem: &AwqProblem) -> Result<Search, String> {
        problem.awq().search().map_err(|e| e.to_string())
    }

    fn expect(
        problem: &AwqProblem,
        reference: &Result<Search, String>,
        _: Arithmetic,
        got: &Outputs,
    ) -> Expectation {
        let search = match reference {
            Ok(search) => search,
            Err(why) => return Expectation { outputs: Vec::new(), faults: vec![why.clone()] },
        };
        let losses = search.losses.iter().zip(&search.weight_errors);
        let bounds: Vec<f64> = losses.map(|(loss, error)| problem.bound(*loss, *error)).collect();
        let want = Tensor::F32(search.losses.iter().map(|loss| *loss as f32).collect());
        // The answer rounds to f32, and so does what is wanted.
        let rounded = bounds.iter().zip(&search.losses).map(|(b, loss)| b + gamma(2) * loss);
        let least =
            Bound::Componentwise(rounded.map(|b| b + f64::from(f32::MIN_POSITIVE)).collect());
        let losses = Expected::all("losses", want, least);
        let mut out = Expectation::default();
        let choice = match got.get("choice") {
            Some(Tensor::I32(choice)) => choice.first().and_then(|c| usize::try_from(*c).ok()),
            _ => None,
        };
        let Some(choice) = choice.filter(|choice| *choice < search.losses.len()) else {
            out.faults.push("`choice` is no ratio of the grid".into());
            return out;
        };
        let chosen = Tensor::I32(vec![i32::try_from(choice).unwrap_or(i32::MAX)]);
        out.outputs.push(Expected::all("choice", chosen, Bound::Exact));
        let beaten = (0..search.losses.len())
            .find(|i| search.losses[*i] + bounds[*i] < search.losses[choice] - bounds[choice]);
        if let Some(better) = beaten {
            out.faults.push(format!("ratio {choice} is chosen, and ratio {better} loses less"));
        }
        let ratio = choice as f64 / search.losses.len() as f64;
        match problem.awq().candidate(ratio) {
            Ok(candidate) => {
                let want = Tensor::F32(candidate.scales);
                out.outputs.push(Expected::all("scales", want, Bound::Exact));
            }
            Err(why) => out.faults.push(why.to_string()),
        }
        out.outputs.push(losses);
        out
    }

    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        vec![
            Part::values("weight", &mut problem.weight, problem.k),
            Part::values("tokens", &mut problem.tokens, problem.k),
        ]
    }

    /// What the chosen codes leave of the weight.
    fn quality(problem: &AwqProblem, reference: &Result<Search, String>) -> Option<Quality> {
        let search = reference.as_ref().ok()?;
        Some(quality(&problem.weight, search.best.weight.iter().copied()))
    }

    /// Codes of four bits, a scale (and zero point) for each group, a scale for each input.
    fn storage(problem: &AwqProblem) -> Storage {
        let elements = (problem.n * problem.k) as u64;
        let groups = elements / problem.config.group_size as u64;
        let each = if problem.config.levels == Levels::Uint4 { 8 } else { 4 };
        let scale_bytes = each * groups + 4 * problem.k as u64;
        Storage { elements, artifact_bytes: elements.div_ceil(2), scale_bytes }
    }

    fn predicted_zeros(_: &AwqProblem) -> Option<f64> {
        None
    }
}
