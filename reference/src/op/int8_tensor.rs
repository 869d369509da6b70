//! INT8 as operations: f32 to bytes and back as [`Int8Config`] has it, per tensor or per block.
//!
//! The meaning is [`quantize_int8`](super::int8::quantize_int8): symmetric with the default rule,
//! asymmetric with ONNX's DynamicQuantizeLinear. The tensor `[N, K]` is one run of blocks over its
//! row-major values, the last of which may be short; `block_size` 0 is the whole tensor.
use super::blocks::{K, N};
use super::dequantize::{DequantizeProblem, expect as expect_values};
use super::int8::rule;
use super::quantize::{QuantizeProblem, expect, weight::storage};
use super::{Arithmetic, CodesSeen, Expectation, Op, OpSpec, Outputs, Storage, Work, inputs};
use crate::case::{Case, CaseError, Kind, Param, Word};
use crate::config::viva::Int8Config;
use crate::data::{Files, Stream};
use crate::format::{INT8, UINT8, WeightFormat};
use crate::op::part::Part;
use crate::quality::Quality;
use crate::rule::{Granularity, Quantized, Rule};
use std::sync::Arc;

const BLOCK_SIZE: Param = Param {
    key: "block_size",
    kind: Kind::Number { min: 0, max: 1 << 28 },
    about: "values that share a scale; 0 is the whole tensor",
    when: None,
    default: Some("0"),
};
const SYMMETRY: Param = Param {
    key: "symmetry",
    kind: Kind::Word(symmetry_words),
    about: "symmetric: -127 to 127; asymmetric: 0 to 255 with a zero point",
    when: None,
    default: None,
};
const PARAMS: &[Param] = &[
    SYMMETRY,
    BLOCK_SIZE,
    K,
    N,
    inputs::DRAWN,
    inputs::PATTERN,
    inputs::DISTRIBUTION,
    inputs::SIGMA,
    inputs::KEPT_FILE,
    inputs::SEED,
];

fn symmetry_words() -> Vec<Word> {
    ["symmetric", "asymmetric"].map(|name| Word { name, aliases: &[] }).to_vec()
}

fn validate(case: &Case) -> Result<(), CaseError> {
    inputs::area(case, "n", "k")
}

/// Bytes of the values, and of their codes with scales and zero points.
fn sizes(case: &Case) -> (u64, u64) {
    let len = case.number("n") * case.number("k");
    let block_len = match case.number("block_size") {
        0 => len.max(1),
        block_size => block_size,
    };
    let each = if case.word("symmetry") == "symmetric" { 4 } else { 8 };
    (4 * len as u64, (len + each * len.div_ceil(block_len)) as u64)
}

/// The tensor to quantize: its blocks are groups of no row in particular.
fn problem(case: &Case, files: &dyn Files) -> Result<QuantizeProblem, String> {
    let symmetric = case.word("symmetry") == "symmetric";
    let config = Int8Config { block_size: case.number("block_size"), symmetric };
    let format: &dyn WeightFormat = if symmetric { &INT8 } else { &UINT8 };
    let (rule, levels) = rule(&config);
    let granularity = match config.block_size {
        0 => Granularity::Tensor,
        _ => Granularity::Group,
    };
    let rule = Rule { granularity, group_size: config.block_size, ..rule };
    let len = case.number("n") * case.number("k");
    let kind = Some((&rule, levels));
    let x = inputs::values(case, kind, Stream::Weight, (len, len), files)?;
    let group_len = rule.group_len(len, len);
    Ok(QuantizeProblem {
        group_len,
        x: Arc::new(x),
        rows: 1,
        row_len: len,
        rule,
        format,
        packed_len: group_len,
        exact: inputs::exact_codes(case, &rule),
        distribution: inputs::distribution(case),
        sigma: inputs::sigma(case),
    })
}

/// Name and parameters.
pub static QUANTIZE: OpSpec = OpSpec {
    name: "quantize_int8",
    about: "f32 [N, K] to INT8 per tensor or per block, symmetric or with zero points",
    params: PARAMS,
    validate,
    work: |case| {
        let (values, stored) = sizes(case);
        Work { macs: 0, bytes_read: values, bytes_written: stored }
    },
};

/// Name and parameters.
pub static DEQUANTIZE: OpSpec = OpSpec {
    name: "dequantize_int8",
    about: "INT8 per tensor or per block, symmetric or with zero points, to f32 [N, K]",
    params: PARAMS,
    validate,
    work: |case| {
        let (values, stored) = sizes(case);
        Work { macs: 0, bytes_read: stored, bytes_written: values }
    },
};

/// The operation.
#[derive(Debug)]
pub struct QuantizeInt8;

impl Op for QuantizeInt8 {
    const SPEC: &'static OpSpec = &QUANTIZE;
    type Problem = QuantizeProblem;
    type Reference = Quantized;

    fn generate(case: &Case, files: &dyn Files) -> Result<QuantizeProblem, String> {
        problem(case, files)
    }
    fn reference(problem: &QuantizeProblem) -> Quantized {
        problem.reference()
    }
    fn expect(
        problem: &QuantizeProblem,
        reference: &Quantized,
        arithmetic: Arithmetic,
        got: &Outputs,
    ) -> Expectation {
        expect(problem, reference, arithmetic, got)
    }
    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        problem.parts()
    }
    fn quality(problem: &QuantizeProblem, reference: &Quantized) -> Option<Quality> {
        Some(problem.quality(reference))
    }
    fn codes(problem: &QuantizeProblem, reference: &Quantized) -> Vec<CodesSeen> {
        vec![CodesSeen::quantized(problem, reference)]
    }

    fn storage(problem: &QuantizeProblem) -> Storage {
        storage(problem)
    }
    fn predicted_zeros(problem: &QuantizeProblem) -> Option<f64> {
        problem.predicted_zeros()
    }
}

/// The operation.
#[derive(Debug)]
pub struct DequantizeInt8;

impl Op for DequantizeInt8 {
    const SPEC: &'static OpSpec = &DEQUANTIZE;
    type Problem = DequantizeProblem;
    type Reference = Vec<f32>;

    fn generate(case: &Case, files: &dyn Files) -> Result<DequantizeProblem, String> {
        problem(case, files).map(DequantizeProblem::new)
    }
    fn reference(problem: &DequantizeProblem) -> Vec<f32> {
        problem.values()
    }
    fn expect(_: &DequantizeProblem, values: &Vec<f32>, _: Arithmetic, _: &Outputs) -> Expectation {
        expect_values(values)
    }
    fn parts(problem: &mut Self::Problem) -> Vec<Part<'_>> {
        problem.parts()
    }
    fn quality(problem: &DequantizeProblem, _: &Vec<f32>) -> Option<Quality> {
        Some(problem.source.quality(&problem.quantized))
    }
    fn codes(problem: &DequantizeProblem, _: &Vec<f32>) -> Vec<CodesSeen> {
        vec![CodesSeen::stored(&problem.source, &problem.quantized)]
    }

    fn storage(problem: &DequantizeProblem) -> Storage {
        storage(&problem.source)
    }
    fn predicted_zeros(problem: &DequantizeProblem) -> Option<f64> {
        Some(problem.zero_share())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::NoFiles;
    use crate::op::int8::quantize_int8;

    #[test]
    fn the_ops_mean_what_quantize_int8_does() {
        for symmetry in ["symmetric", "asymmetric"] {
            for block_size in [0, 1, 7, 64, 1000] {
                let id = format!(
                    "quantize_int8/symmetry={symmetry}/block_size={block_size}/k=37/n=11\
                     /data=realistic/distribution=student_t"
                );
                let problem = QuantizeInt8::generate(&id.parse().unwrap(), &NoFiles).unwrap();
                let config = Int8Config { block_size, symmetric: symmetry == "symmetric" };
                let want = quantize_int8(&config, &problem.x).unwrap();
                let q = problem.reference();
                assert_eq!((&q.codes, q.scales()), (&want.codes, want.scales.clone()), "{id}");
                assert_eq!(q.zero_points(), want.zero_points, "{id}");
                let values = DequantizeProblem::new(problem).values();
                assert_eq!(values, want.dequantize(), "{id}");
            }
        }
    }
}
