//! Saved activations: what a training step keeps of its inputs for the backward pass.
//!
//! `fp16` is two bytes a value and has no scale. The coded formats (`int8`, `int4`, `uint8` for
//! values that are not negative) are packed as one run, so that `int4` is half a byte a value, with
//! one scale per group of the rule; the source's rule is `burn_dragon`, one scale for all. The
//! source (seed 002, lines 253-265 and 1079-1145) names the same formats but keeps `fp16` in f32
//! and `int4` in bytes, and panics where this answers an error.
use crate::format::{BlockFormat, FP16, WeightFormat, activation_format, activation_words};
use crate::invalid::Invalid;
use crate::rule::{
    Groups, Quantized, Range, Rule, Shared, burn_dragon, dequantize_groups, quantize_groups,
};

/// How activations are saved.
#[derive(Clone, Copy, Debug)]
pub enum SavedFormat {
    /// IEEE half precision, rounded to nearest even; too large becomes infinity.
    Fp16,
    /// Codes of a format under a rule.
    Coded {
        /// How codes are stored.
        format: &'static dyn WeightFormat,
        /// How groups become scales and codes.
        rule: Rule,
    },
}

/// A saved tensor.
#[derive(Clone, Debug)]
pub struct SavedActivation {
    /// Shape of the tensor, row-major.
    pub shape: Vec<usize>,
    /// How it is saved.
    pub format: SavedFormat,
    /// What the groups share, in the order of the rule's groups; empty for `fp16`.
    pub shared: Vec<Shared>,
    /// The values.
    pub bytes: Vec<u8>,
}

impl SavedFormat {
    /// `fp16`, or a format of activations under the source's rule.
    pub fn named(name: &str) -> Result<SavedFormat, Invalid> {
        match (name, activation_format(name)) {
            ("fp16", _) => Ok(SavedFormat::Fp16),
            (_, Some(format)) => {
                Ok(SavedFormat::Coded { format, rule: burn_dragon(format.levels()) })
            }
            _ => {
                let coded = activation_words().into_iter().map(|word| word.name);
                let names: Vec<&str> = ["fp16"].into_iter().chain(coded).collect();
                Err(Invalid::new("format", name, names.join(", ")))
            }
        }
    }

    /// Bytes of `len` values, what the groups share excluded.
    fn payload(&self, len: usize) -> usize {
        match self {
            SavedFormat::Fp16 => len.saturating_mul(FP16.block_bytes()),
            SavedFormat::Coded { format, .. } => format.row_bytes(len),
        }
    }

    /// The groups of a tensor; none for `fp16`.
    fn groups(&self, shape: &[usize]) -> Result<Groups, Invalid> {
        let SavedFormat::Coded { rule, .. } = self else { return Ok(Groups::runs(0, 1)) };
        if rule.rotated {
            return Err(Invalid::new("rule.rotated", true, "false: rows are saved as they are"));
        }
        Groups::activation(rule, shape)
    }

    /// Bytes of what a group shares: four for the scale and, under a rule that has them, one for
    /// the zero point.
    fn group_bytes(&self) -> usize {
        match self {
            SavedFormat::Coded { rule, .. } if rule.range == Range::Minmax => 4 + 1,
            _ => 4,
        }
    }

    /// Bytes kept of a tensor of this shape, which need not be there: [`SavedActivation::byte_len`].
    pub fn stored_bytes(&self, shape: &[usize]) -> Result<u64, Invalid> {
        let (values, groups) = (Invalid::area("shape", shape)?, self.groups(shape)?.count());
        let shared = (groups as u64).checked_mul(self.group_bytes() as u64);
        let bytes = shared.and_then(|shared| shared.checked_add(self.payload(values) as u64));
        bytes
            .ok_or_else(|| Invalid::new("shape", format!("{shape:?}"), "a tensor below 2^64 bytes"))
    }
}

/// Values of a shape; 1 for that of a scalar.
impl SavedActivation {
    /// Save a tensor.
    pub fn pack(
        x: &[f32],
        shape: &[usize],
        format: SavedFormat,
    ) -> Result<SavedActivation, Invalid> {
        Invalid::check_len("x", x.len(), shape)?;
        let groups = format.groups(shape)?;
        let (shared, bytes) = match format {
            SavedFormat::Fp16 => (Vec::new(), FP16.encode(x)?),
            SavedFormat::Coded { format, rule } => {
                let Quantized { shared, codes } =
                    quantize_groups(&rule, format.levels(), x, &groups);
                let packed = format.pack(&codes);
                (shared, packed.map_err(|error| Invalid::new("rule", error, format.name()))?)
            }
        };
        Ok(SavedActivation { shape: shape.to_vec(), format, shared, bytes })
    }

    /// The values.
    pub fn unpack(&self) -> Result<Vec<f32>, Invalid> {
        let len = Invalid::area("shape", &self.shape)?;
        Invalid::check_len("bytes", self.bytes.len(), &[self.format.payload(len)])?;
        let groups = self.format.groups(&self.shape)?;
        Invalid::check_len("shared", self.shared.len(), &[groups.count()])?;
        match self.format {
            SavedFormat::Fp16 => FP16.decode(&self.bytes),
            SavedFormat::Coded { format, rule } => {
                let codes = format.unpack(&self.bytes, len);
                let codes = codes.map_err(|error| Invalid::new("bytes", error, format.name()))?;
                Ok(dequantize_groups(&rule, (&codes, &self.shared), &groups))
            }
        }
    }

    /// Bytes kept: the values, four for each scale and, under a rule that has them, one for each
    /// zero point.
    pub fn byte_len(&self) -> usize {
        self.bytes.len() + self.format.group_bytes() * self.shared.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{INT4, INT8, Levels};
    use crate::rule::{Granularity, activation_rule};

    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i * 7919 % 1009) as f32 / 100.0 - 5.0).collect()
    }

    fn save(x: &[f32], shape: &[usize], name: &str) -> SavedActivation {
        SavedActivation::pack(x, shape, SavedFormat::named(name).unwrap()).unwrap()
    }

    /// The source reports 4000 and 1004 bytes for 1000 values of fp16 and int4.
    #[test]
    fn bytes_are_those_that_are_kept() {
        let x = values(1000);
        for (name, bytes) in [("fp16", 2000), ("int8", 1004), ("int4", 504), ("uint8", 1004)] {
            assert_eq!(save(&x, &[10, 100], name).byte_len(), bytes, "{name}");
        }
        assert_eq!(save(&x[..7], &[7], "int4").bytes.len(), 4);
        // A rule with a scale and a zero point per token.
        let rule = activation_rule("onnx", Levels::Uint8).unwrap();
        let rule = Rule { granularity: Granularity::Row, ..rule };
        let format = SavedFormat::Coded { format: &crate::format::UINT8, rule };
        let saved = SavedActivation::pack(&x, &[10, 100], format).unwrap();
        assert_eq!(saved.byte_len(), 1000 + 10 * 5);
    }

    #[test]
    fn values_come_back_within_half_a_step_of_what_was_not_clamped() {
        let x = values(24);
        for (name, most) in [("int8", 127.0f32), ("int4", 7.0)] {
            let saved = save(&x, &[2, 3, 4], name);
            let scale = saved.shared[0].scale;
            // Twice the mean over the largest code.
            let mean = x.iter().map(|x| f64::from(x.abs())).sum::<f64>() / 24.0;
            let want = 2.0 * mean / f64::from(most);
            assert!((f64::from(scale) / want - 1.0).abs() < crate::bound::gamma(3), "{name}");
            for (x, back) in x.iter().zip(saved.unpack().unwrap()) {
                let kept = x.clamp(-most * scale, most * scale);
                let bound = (0.5 + 4.0 * most * f32::EPSILON) * scale;
                assert!((kept - back).abs() <= bound, "{name}: {x} {back}");
            }
        }
        let halves = save(&[1.0, -0.1, 70000.0, f32::NAN], &[4], "fp16").unpack().unwrap();
        assert_eq!(halves[..3], [1.0, -0.099_975_586, f32::INFINITY]);
        assert!(halves[3].is_nan());
        let positive = save(&[-3.0, 0.0, 1.0, 1.0], &[4], "uint8").unpack().unwrap();
        assert_eq!(positive[..2], [0.0, 0.0]);
        assert!((positive[2] - 1.0).abs() < 0.004);
    }

    #[test]
    fn scales_belong_to_their_groups() {
        // Tokens of different magnitudes, each with a scale of its own: absmax is exact.
        let x: Vec<f32> =
            (0..6).flat_map(|token| [1.0, -1.0, 0.0, 1.0].map(|x| x * 10f32.powi(token))).collect();
        for shape in [&[6, 4][..], &[2, 3, 4], &[1, 2, 3, 4]] {
            let rule = activation_rule("absmax", Levels::Int4).unwrap();
            let format = SavedFormat::Coded { format: &INT4, rule };
            let saved = SavedActivation::pack(&x, shape, format).unwrap();
            assert_eq!(saved.shared.len(), 6);
            for (x, back) in x.iter().zip(saved.unpack().unwrap()) {
                assert!((x - back).abs() <= x.abs() * f32::EPSILON, "{shape:?}: {x} {back}");
            }
        }
    }

    #[test]
    fn nothing_is_a_tensor_too() {
        for name in ["fp16", "int8", "int4"] {
            let saved = save(&[], &[3, 0], name);
            assert_eq!((saved.byte_len(), saved.unpack().unwrap()), (0, Vec::new()), "{name}");
        }
        assert_eq!(save(&[2.0], &[], "fp16").unpack().unwrap(), [2.0]);
        assert_eq!(save(&[0.0; 4], &[4], "int8").unpack().unwrap(), [0.0; 4]);
    }

    #[test]
    fn errors_name_the_field() {
        let field = |result: Result<SavedActivation, Invalid>| result.unwrap_err().field;
        let int8 = SavedFormat::named("int8").unwrap();
        assert_eq!(SavedFormat::named("int5").unwrap_err().allowed, "fp16, int8, int4, uint8");
        assert_eq!(field(SavedActivation::pack(&[1.0; 3], &[4], int8)), "x");
        assert_eq!(field(SavedActivation::pack(&[], &[usize::MAX, 2], int8)), "x");
        let rule = activation_rule("b2_hadamard", Levels::Int8).unwrap();
        let rotated = SavedFormat::Coded { format: &INT8, rule };
        assert_eq!(field(SavedActivation::pack(&[1.0; 4], &[4], rotated)), "rule.rotated");
        let saved = save(&[1.0; 8], &[2, 4], "int8");
        let broken = |change: fn(&mut SavedActivation)| {
            let mut saved = saved.clone();
            change(&mut saved);
            saved.unpack().unwrap_err().field
        };
        assert_eq!(broken(|saved| saved.bytes.truncate(7)), "bytes");
        // The source returns a shorter tensor.
        assert_eq!(broken(|saved| saved.shared.clear()), "shared");
        assert_eq!(broken(|saved| saved.shape.push(2)), "bytes");
        assert_eq!(broken(|saved| saved.shape = vec![usize::MAX, 2]), "shape");
    }
}
