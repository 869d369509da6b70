//! Compression of the recurrent state as operations: blocks with scales beside them (`rho_pack`,
//! `rho_unpack`), and the payloads of codecs (`rho_encode`, `rho_decode`),
//! chunk after chunk (`rho_drift`).
pub mod decode;
pub mod drift;
pub mod encode;
pub mod pack;
pub mod payload;
pub mod unpack;
use super::inputs;
use super::quantize::QuantizeProblem;
use crate::case::Case;
use crate::data::{Files, Stream};
use crate::rho::{RHO_BLOCK, RHO_FORMATS, RhoFormat, rho_format};
use std::sync::Arc;

fn format(case: &Case) -> &'static RhoFormat {
    rho_format(case.word("format")).unwrap_or(&RHO_FORMATS[0])
}

fn problem(case: &Case, files: &dyn Files) -> Result<QuantizeProblem, String> {
    let format = format(case);
    let rule = format.rule();
    let len = case.number("elements");
    let levels = format.codes.levels();
    let x = match case.word("data") {
        // Block by block, so that every block's scale is a power of two.
        "exact" | "adversarial" => {
            let rule = crate::rule::Rule { granularity: crate::rule::Granularity::Row, ..rule };
            let shape = (len, RHO_BLOCK);
            inputs::values(case, Some((&rule, levels)), Stream::State, shape, files)?
        }
        _ => inputs::values(case, Some((&rule, levels)), Stream::State, (len, len), files)?,
    };
    Ok(QuantizeProblem {
        x: Arc::new(x),
        rows: 1,
        row_len: len,
        group_len: RHO_BLOCK,
        rule,
        format: format.codes,
        packed_len: RHO_BLOCK,
        exact: inputs::exact_codes(case, &rule),
        distribution: inputs::distribution(case),
        sigma: inputs::sigma(case),
    })
}
