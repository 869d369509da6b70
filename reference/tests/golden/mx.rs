//! OCP Microscaling blocks with FLOOR scales: scale bytes, codes and values of every element type.
use super::replay::{Replay, Within, floats, integers};
use lowbit_reference::format::{
    BlockFormat, MX_BLOCK, MXFP4_E2M1, MXFP6_E2M3, MXFP6_E3M2, MXFP8_E4M3, MXFP8_E5M2, MXINT8, Mx,
};
use lowbit_reference::invalid::Invalid;
use serde_json::Value;

/// The format whose elements have the library's name.
fn named(name: &str) -> Option<&'static Mx> {
    Some(match name {
        "float8_e4m3fn" => &MXFP8_E4M3,
        "float8_e5m2" => &MXFP8_E5M2,
        "float6_e3m2fn" => &MXFP6_E3M2,
        "float6_e2m3fn" => &MXFP6_E2M3,
        "float4_e2m1fn" => &MXFP4_E2M1,
        "mxint8" => &MXINT8,
        _ => return None,
    })
}

/// The section `ocp_mx_block32_floor`: `X` of whole blocks per row, and one object per format.
pub(crate) fn replay(section: &Value, replay: &mut Replay) {
    let case = "ocp_mx_block32_floor";
    let shape: Vec<usize> = integers(replay.input(&section["X"]["shape"]));
    let x = floats(replay.input(&section["X"]["data"]));
    if let Err(error) = Invalid::check_len("X", x.len(), &shape) {
        replay.fail(case, error);
    }
    if shape.last().is_none_or(|row| !row.is_multiple_of(MX_BLOCK)) {
        replay.fail(case, format!("rows of {shape:?} are not whole blocks"));
    }
    for (name, want) in section.as_object().into_iter().flatten().filter(|(key, _)| *key != "X") {
        let Some(format) = named(name) else {
            replay.fail(case, format!("{name} is no known element"));
            continue;
        };
        match format.encode(&x).and_then(|bytes| Ok((format.decode(&bytes)?, bytes))) {
            Ok((values, bytes)) => compare(format, (name, want), (&bytes, &values), replay),
            Err(error) => replay.fail(case, error),
        }
    }
}

fn compare(
    format: &Mx,
    (case, want): (&str, &Value),
    (bytes, values): (&[u8], &[f32]),
    replay: &mut Replay,
) {
    let blocks = || bytes.chunks(format.block_bytes());
    replay.integers(case, "e8m0_biased", &want["e8m0_biased"], blocks().map(|block| block[0]));
    let codes = blocks().flat_map(|block| format.codes(block));
    match want.get("codes") {
        Some(want) => replay.integers(case, "codes", want, codes.map(u8::cast_signed)),
        None => replay.integers(case, "elem_bits", &want["elem_bits"], codes),
    }
    replay.floats(case, "dequant", &want["dequant"], values, Within::Exactly);
}
