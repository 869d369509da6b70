//! A packed weight: bytes, scales and shape under one format, known by its content.
//!
//! `generation = fnv1a(format name, shape, groups, scale bits, bytes)`, each part behind its length, all
//! numbers little-endian. Two artifacts of equal content have the same generation wherever they
//! lie; an artifact whose content is replaced has another. The source keys its caches by the
//! address of the artifact (seed 002, lines 1960-1995 and 2261-2268), so that it finds the values
//! of an artifact that is no longer there.
//!
//! Layout: rows of the last dimension, each packed on its own and starting on a byte; one scale
//! for each of the [`Groups`] of the tensor, in their order, four bytes each. A scale may be 0 (that
//! of zeros under a rule that adds its epsilon elsewhere): its values are zeros.
mod cache;
use crate::format::WeightFormat;
use crate::hash::fnv1a;
use crate::invalid::Invalid;
use crate::rule::{
    Code, Granularity, Groups, Range, Rule, Shared, dequantize_groups, quantize_groups,
};
pub use cache::Cache;

/// What an artifact is known by: a hash of its content, never an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u64);

impl Generation {
    /// The number, for messages and records.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// A packed weight tensor. Its fields cannot be changed behind the generation's back.
#[derive(Clone, Debug)]
pub struct Artifact {
    format: &'static dyn WeightFormat,
    shape: Vec<usize>,
    groups: Groups,
    scales: Vec<f32>,
    bytes: Vec<u8>,
    generation: Generation,
}

impl Artifact {
    /// An artifact of `shape` from packed rows and a scale for the tensor or one for each row.
    ///
    /// Errors as [`grouped`](Artifact::grouped).
    pub fn new(
        format: &'static dyn WeightFormat,
        shape: &[usize],
        scales: Vec<f32>,
        bytes: Vec<u8>,
    ) -> Result<Artifact, Invalid> {
        let (rows, row_len) = rows(shape)?;
        let granularity = match scales.len() {
            1 => Granularity::Tensor,
            found if found == rows || row_len == 0 => Granularity::Row,
            found => {
                let allowed = format!("1 value or {rows} values, one a row");
                return Err(Invalid::new("scales", format!("{found} values"), allowed));
            }
        };
        let rule = Rule { granularity, ..Rule::default() };
        Artifact::grouped(format, &rule, shape, (scales, bytes))
    }

    /// An artifact of `shape` from a scale for each of a rule's groups (three dimensions are heads,
    /// rows and columns: [`Groups::weight`]) and packed rows.
    ///
    /// Errors name `format` (its codes need zero points), `rule` (rotated, or with zero points),
    /// `shape` (no dimension, or a product that overflows), what the groups refuse, `scales` (not
    /// those of the groups, negative or not finite) and `bytes` (not those of the rows, or no codes
    /// of the format).
    pub fn grouped(
        format: &'static dyn WeightFormat,
        rule: &Rule,
        shape: &[usize],
        content: (Vec<f32>, Vec<u8>),
    ) -> Result<Artifact, Invalid> {
        if rule.rotated {
            return Err(Invalid::new("rule.rotated", true, "false: rows are packed as they are"));
        }
        if rule.range == Range::Minmax {
            return Err(Invalid::new("rule.range", "minmax", "absmax or absmean: no zero points"));
        }
        rows(shape)?;
        Artifact::of_groups(format, Groups::weight(rule, shape)?, shape, content)
    }

    fn of_groups(
        format: &'static dyn WeightFormat,
        groups: Groups,
        shape: &[usize],
        (scales, bytes): (Vec<f32>, Vec<u8>),
    ) -> Result<Artifact, Invalid> {
        if format.levels().unsigned() {
            return Err(Invalid::new("format", format.name(), "a format of signed codes"));
        }
        let (rows, row_len) = rows(shape)?;
        check_scales(&scales, &groups)?;
        let row_bytes = format.row_bytes(row_len);
        Invalid::check_len("bytes", bytes.len(), &[rows, row_bytes])?;
        unpack(format, &bytes, (rows, row_len))?;
        let generation = generation((format, shape, &groups), &scales, &bytes);
        Ok(Artifact { format, shape: shape.to_vec(), groups, scales, bytes, generation })
    }

    /// An artifact of `shape` from codes and a scale for the tensor or one for each row.
    ///
    /// Errors as [`new`](Artifact::new); `codes` that are too few or outside the format's range.
    pub fn pack(
        format: &'static dyn WeightFormat,
        shape: &[usize],
        scales: Vec<f32>,
        codes: &[Code],
    ) -> Result<Artifact, Invalid> {
        Artifact::new(format, shape, scales, pack_rows(format, shape, codes)?)
    }

    /// The weight `w` of `shape` under a rule.
    ///
    /// Errors as [`grouped`](Artifact::grouped); `w` that has not the values of its shape. A group
    /// that holds NaN or an infinity has no finite scale.
    pub fn quantize(
        format: &'static dyn WeightFormat,
        rule: &Rule,
        w: &[f32],
        shape: &[usize],
    ) -> Result<Artifact, Invalid> {
        Invalid::check_len("w", w.len(), shape)?;
        let q = quantize_groups(rule, format.levels(), w, &Groups::weight(rule, shape)?);
        let bytes = pack_rows(format, shape, &q.codes)?;
        Artifact::grouped(format, rule, shape, (q.scales(), bytes))
    }

    /// Put other content of the same shape, groups and format in its place; the generation follows.
    /// Errors as [`grouped`](Artifact::grouped), and then nothing is changed.
    pub fn replace(&mut self, scales: Vec<f32>, bytes: Vec<u8>) -> Result<(), Invalid> {
        *self = Artifact::of_groups(self.format, self.groups, &self.shape, (scales, bytes))?;
        Ok(())
    }

    /// How the codes are stored.
    pub fn format(&self) -> &'static dyn WeightFormat {
        self.format
    }
    /// Dimensions, row-major; the last is the packed one.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    /// Which values share a scale.
    pub fn groups(&self) -> Groups {
        self.groups
    }
    /// One scale for each group.
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }
    /// The packed rows, one after another.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// What this content is known by.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Bytes that are stored: the packed rows and four for each scale.
    pub fn byte_len(&self) -> usize {
        self.bytes.len() + 4 * self.scales.len()
    }

    /// The values `code * scale`, row-major.
    pub fn values(&self) -> Result<Vec<f32>, Invalid> {
        let codes = unpack(self.format, &self.bytes, rows(&self.shape)?)?;
        let shared = |scale: &f32| Shared { scale: *scale, ..Shared::default() };
        let shared: Vec<Shared> = self.scales.iter().map(shared).collect();
        Ok(dequantize_groups(&Rule::default(), (&codes, &shared), &self.groups))
    }
}

/// Bytes of packed rows and of a scale for each group, of a tensor that need not be there:
/// [`Artifact::byte_len`]. `None` from 2^64 bytes on, or without a dimension.
pub fn stored_bytes(format: &dyn WeightFormat, shape: &[usize], groups: &Groups) -> Option<u64> {
    let (rows, row_len) = rows(shape).ok()?;
    let packed = (rows as u64).checked_mul(format.row_bytes(row_len) as u64)?;
    packed.checked_add((groups.count() as u64).checked_mul(4)?)
}

fn pack_rows(
    format: &dyn WeightFormat,
    shape: &[usize],
    codes: &[Code],
) -> Result<Vec<u8>, Invalid> {
    let (_, row_len) = rows(shape)?;
    Invalid::check_len("codes", codes.len(), shape)?;
    let pack = |row| {
        format.pack(row).map_err(|e| Invalid::new("codes", e, format!("{} codes", format.name())))
    };
    let packed: Result<Vec<_>, _> = codes.chunks(row_len.max(1)).map(pack).collect();
    Ok(packed?.concat())
}

/// Rows and codes of a row.
fn rows(shape: &[usize]) -> Result<(usize, usize), Invalid> {
    let Some((row_len, outer)) = shape.split_last() else {
        return Err(Invalid::new("shape", "[]", "at least one dimension"));
    };
    Invalid::area("shape", shape)?;
    Ok((Invalid::area("shape", outer)?, *row_len))
}

fn check_scales(scales: &[f32], groups: &Groups) -> Result<(), Invalid> {
    if scales.len() != groups.count() {
        let allowed = format!("{} values, one a group", groups.count());
        return Err(Invalid::new("scales", format!("{} values", scales.len()), allowed));
    }
    match scales.iter().position(|s| !(s.is_finite() && *s >= 0.0)) {
        Some(i) => Err(Invalid::new(format!("scales[{i}]"), scales[i], "finite and at least 0")),
        None => Ok(()),
    }
}

fn unpack(
    format: &dyn WeightFormat,
    bytes: &[u8],
    (rows, row_len): (usize, usize),
) -> Result<Vec<Code>, Invalid> {
    let row_bytes = format.row_bytes(row_len);
    let mut codes = Vec::with_capacity(rows.saturating_mul(row_len).min(8 * bytes.len()));
    for row in bytes.chunks(row_bytes.max(1)).take(rows) {
        let row = format.unpack(row, row_len);
        codes.extend(row.map_err(|e| {
            Invalid::new("bytes", e, format!("rows of {row_len} {} codes", format.name()))
        })?);
    }
    Ok(codes)
}

fn generation(
    (format, shape, groups): (&dyn WeightFormat, &[usize], &Groups),
    scales: &[f32],
    bytes: &[u8],
) -> Generation {
    let mut content = Vec::new();
    let mut part = |len: usize, bytes: &mut dyn Iterator<Item = u8>| {
        content.extend((len as u64).to_le_bytes());
        content.extend(bytes);
    };
    part(format.name().len(), &mut format.name().bytes());
    for numbers in [shape, &groups.numbers()] {
        part(numbers.len(), &mut numbers.iter().flat_map(|n| (*n as u64).to_le_bytes()));
    }
    part(scales.len(), &mut scales.iter().flat_map(|s| s.to_bits().to_le_bytes()));
    part(bytes.len(), &mut bytes.iter().copied());
    Generation(fnv1a(&content))
}

#[cfg(test)]
mod tests;
