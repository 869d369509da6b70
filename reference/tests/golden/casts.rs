//! Casts to small floats and back: the bits, the values they stand for, and whole decode tables.
use super::replay::{Replay, Within, floats};
use lowbit_reference::format::e8m0;
use lowbit_reference::format::minifloat::{
    BF16, E2M1, E2M3, E3M2, E4M3FN, E4M3FNUZ, E5M2, E5M2FNUZ, F16, Minifloat,
};
use serde_json::Value;

/// A format under its library's name.
enum Cast {
    Float(Minifloat),
    PowerOfTwo,
}

impl Cast {
    fn named(name: &str) -> Option<Cast> {
        let float = match name {
            "bfloat16" => BF16,
            "float16" => F16,
            "float8_e4m3fn" => E4M3FN,
            "float8_e5m2" => E5M2,
            "float8_e4m3fnuz" => E4M3FNUZ,
            "float8_e5m2fnuz" => E5M2FNUZ,
            "float6_e2m3fn" => E2M3,
            "float6_e3m2fn" => E3M2,
            "float4_e2m1fn" => E2M1,
            "float8_e8m0fnu" => return Some(Cast::PowerOfTwo),
            _ => return None,
        };
        Some(Cast::Float(float))
    }

    fn bits(&self) -> u32 {
        match self {
            Cast::Float(float) => float.bits(),
            Cast::PowerOfTwo => 8,
        }
    }

    fn encode(&self, x: f32) -> u16 {
        match self {
            Cast::Float(float) => float.encode(x),
            Cast::PowerOfTwo => e8m0::encode(x).into(),
        }
    }

    fn decode(&self, pattern: u16) -> f32 {
        match self {
            Cast::Float(float) => float.decode(pattern),
            Cast::PowerOfTwo => e8m0::decode(pattern as u8),
        }
    }
}

pub(crate) fn replay(document: &Value, replay: &mut Replay) {
    replay.input(&document["source"]);
    replay.input(&document["note"]);
    let x = floats(replay.input(&document["x"]));
    for part in ["cast_bits", "back_f32", "decode_table"] {
        for (name, want) in document[part].as_object().into_iter().flatten() {
            let Some(cast) = Cast::named(name) else {
                replay.fail(part, format!("{name} is no known format"));
                continue;
            };
            let patterns: Vec<u16> = match part {
                "decode_table" => (0..=u16::MAX >> (16 - cast.bits())).collect(),
                _ => x.iter().map(|x| cast.encode(*x)).collect(),
            };
            if part == "cast_bits" {
                replay.integers(part, name, want, patterns);
            } else {
                let values: Vec<f32> = patterns.iter().map(|bits| cast.decode(*bits)).collect();
                replay.floats(part, name, want, &values, Within::Exactly);
            }
        }
    }
}
