//! A packed weight: bytes, scales and shape under one format, known by its content.
//!
//! `generation = fnv1a(format name, shape, scale bits, bytes)`, each part behind its length, all
//! numbers little-endian. Two artifacts of equal content have the same generation wherever they
//! lie; an artifact whose content is replaced has another. The source keys its caches by the
//! address of the artifact (seed 002, lines 1960-1995 and 2261-2268), so that it finds the values
//! of an artifact that is no longer there.
//!
//! Layout: rows of the last dimension, each packed on its own and starting on a byte; one scale
//! for the tensor or one for each row.
mod cache;
use crate::format::WeightFormat;
use crate::hash::fnv1a;
use crate::invalid::Invalid;
use crate::rule::Code;
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
    scales: Vec<f32>,
    bytes: Vec<u8>,
    generation: Generation,
}

impl Artifact {
    /// An artifact of `shape` from packed rows and their scales.
    ///
    /// Errors name `format` (its codes need zero points), `shape` (no dimension, or a product that overflows), `scales` (neither one nor
    /// one a row, or not finite and positive) and `bytes` (not those of the rows, or no codes of
    /// the format).
    pub fn new(
        format: &'static dyn WeightFormat,
        shape: &[usize],
        scales: Vec<f32>,
        bytes: Vec<u8>,
    ) -> Result<Artifact, Invalid> {
        if format.levels().unsigned() {
            return Err(Invalid::new("format", format.name(), "a format of signed codes"));
        }
        let (rows, row_len) = rows(shape)?;
        check_scales(&scales, rows)?;
        let row_bytes = format.row_bytes(row_len);
        Invalid::check_len("bytes", bytes.len(), &[rows, row_bytes])?;
        unpack(format, &bytes, (rows, row_len))?;
        let generation = generation(format, shape, &scales, &bytes);
        Ok(Artifact { format, shape: shape.to_vec(), scales, bytes, generation })
    }

    /// An artifact of `shape` from codes and their scales.
    ///
    /// Errors as [`new`](Artifact::new); `codes` that are too few or outside the format's range.
    pub fn pack(
        format: &'static dyn WeightFormat,
        shape: &[usize],
        scales: Vec<f32>,
        codes: &[Code],
    ) -> Result<Artifact, Invalid> {
        let (_, row_len) = rows(shape)?;
        Invalid::check_len("codes", codes.len(), shape)?;
        let pack = |row| {
            format
                .pack(row)
                .map_err(|e| Invalid::new("codes", e, format!("{} codes", format.name())))
        };
        let packed: Result<Vec<_>, _> = codes.chunks(row_len.max(1)).map(pack).collect();
        Artifact::new(format, shape, scales, packed?.concat())
    }

    /// Put other content of the same shape and format in its place; the generation follows.
    /// Errors as [`new`](Artifact::new), and then nothing is changed.
    pub fn replace(&mut self, scales: Vec<f32>, bytes: Vec<u8>) -> Result<(), Invalid> {
        *self = Artifact::new(self.format, &self.shape, scales, bytes)?;
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
    /// One scale for the tensor or one for each row.
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

    /// The values `code * scale`, row-major.
    pub fn values(&self) -> Result<Vec<f32>, Invalid> {
        let (rows, row_len) = rows(&self.shape)?;
        let codes = unpack(self.format, &self.bytes, (rows, row_len))?;
        let group = if self.scales.len() == 1 { codes.len() } else { row_len };
        let groups = codes.chunks(group.max(1)).zip(&self.scales);
        Ok(groups.flat_map(|(codes, s)| codes.iter().map(move |c| f32::from(*c) * s)).collect())
    }
}

/// Rows and codes of a row.
fn rows(shape: &[usize]) -> Result<(usize, usize), Invalid> {
    let product = |dims: &[usize]| dims.iter().try_fold(1usize, |all, dim| all.checked_mul(*dim));
    match (shape.split_last(), product(shape)) {
        (Some((row_len, outer)), Some(_)) => Ok((product(outer).unwrap_or(0), *row_len)),
        _ => Err(Invalid::new(
            "shape",
            format!("{shape:?}"),
            "at least one dimension and below 2^64 values",
        )),
    }
}

fn check_scales(scales: &[f32], rows: usize) -> Result<(), Invalid> {
    if scales.len() != 1 && scales.len() != rows {
        let allowed = format!("1 value or {rows} values, one a row");
        return Err(Invalid::new("scales", format!("{} values", scales.len()), allowed));
    }
    match scales.iter().position(|s| !(s.is_finite() && *s > 0.0)) {
        Some(i) => Err(Invalid::new(format!("scales[{i}]"), scales[i], "finite and above 0")),
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
    format: &dyn WeightFormat,
    shape: &[usize],
    scales: &[f32],
    bytes: &[u8],
) -> Generation {
    let mut content = Vec::new();
    let mut part = |len: usize, bytes: &mut dyn Iterator<Item = u8>| {
        content.extend((len as u64).to_le_bytes());
        content.extend(bytes);
    };
    part(format.name().len(), &mut format.name().bytes());
    part(shape.len(), &mut shape.iter().flat_map(|dim| (*dim as u64).to_le_bytes()));
    part(scales.len(), &mut scales.iter().flat_map(|s| s.to_bits().to_le_bytes()));
    part(bytes.len(), &mut bytes.iter().copied());
    Generation(fnv1a(&content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{INT8, SIGN1, TERNARY2, UINT4};

    fn artifact(scale: f32, codes: &[Code]) -> Artifact {
        Artifact::pack(&TERNARY2, &[2, 3], vec![scale], codes).unwrap()
    }

    #[test]
    fn generation_follows_content_and_nothing_else() {
        let first = artifact(0.5, &[1, 0, -1, 1, 1, 0]);
        assert_eq!(first.generation(), artifact(0.5, &[1, 0, -1, 1, 1, 0]).generation());
        let elsewhere = [first.clone(), first.clone()];
        assert_eq!(first.generation(), elsewhere[1].generation());
        let others = [
            artifact(0.25, &[1, 0, -1, 1, 1, 0]),
            artifact(0.5, &[1, 0, -1, 1, 1, 1]),
            Artifact::pack(&TERNARY2, &[3, 2], vec![0.5], &[1, 0, -1, 1, 1, 0]).unwrap(),
            Artifact::pack(&TERNARY2, &[2, 3], vec![0.5; 2], &[1, 0, -1, 1, 1, 0]).unwrap(),
            Artifact::pack(&INT8, &[2, 3], vec![0.5], &[1, 0, -1, 1, 1, 0]).unwrap(),
        ];
        let mut all: Vec<_> = others.iter().map(Artifact::generation).collect();
        all.push(first.generation());
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6, "six contents, six generations");
        // Same bytes and scale, other shape: only the shape part tells them apart.
        let flat =
            |shape: &[usize]| Artifact::pack(&INT8, shape, vec![1.0], &[1, 2, 3, 4]).unwrap();
        assert_eq!(flat(&[1, 4]).bytes(), flat(&[2, 2]).bytes());
        assert_ne!(flat(&[1, 4]).generation(), flat(&[2, 2]).generation());
        // Same bytes, scale and shape, other format.
        let sign = Artifact::new(&SIGN1, &[1], vec![1.0], vec![1]).unwrap();
        let int8 = Artifact::new(&INT8, &[1], vec![1.0], vec![1]).unwrap();
        assert_ne!(sign.generation(), int8.generation());
    }

    #[test]
    fn replaced_content_has_another_generation_and_bad_content_changes_nothing() {
        let mut artifact = artifact(0.5, &[1, 0, -1, 1, 1, 0]);
        let (before, bytes) = (artifact.generation(), artifact.bytes().to_vec());
        assert!(artifact.replace(vec![0.5], vec![0xff, 0xff]).is_err(), "pattern 3");
        assert!(artifact.replace(vec![f32::NAN], bytes.clone()).is_err());
        assert!(artifact.replace(vec![0.5; 3], bytes.clone()).is_err());
        assert!(artifact.replace(vec![0.5], bytes[1..].to_vec()).is_err());
        assert_eq!(artifact.generation(), before);
        artifact.replace(vec![1.5], bytes.clone()).unwrap();
        assert_ne!(artifact.generation(), before);
        artifact.replace(vec![0.5], bytes).unwrap();
        assert_eq!(artifact.generation(), before, "the first content is back");
    }

    #[test]
    fn values_are_codes_times_the_scale_of_the_tensor_or_the_row() {
        let codes = [1, 0, -1, 1, 1, 0];
        assert_eq!(artifact(0.5, &codes).values().unwrap(), [0.5, 0.0, -0.5, 0.5, 0.5, 0.0]);
        let rows = Artifact::pack(&TERNARY2, &[2, 3], vec![0.5, 2.0], &codes).unwrap();
        assert_eq!(rows.values().unwrap(), [0.5, 0.0, -0.5, 2.0, 2.0, 0.0]);
        let empty = Artifact::pack(&TERNARY2, &[2, 0], vec![1.0], &[]).unwrap();
        assert_eq!(empty.values().unwrap(), Vec::<f32>::new());
    }

    #[test]
    fn shapes_without_a_size_and_codes_out_of_range_are_errors() {
        let field = |result: Result<Artifact, Invalid>| result.unwrap_err().field;
        assert_eq!(field(Artifact::pack(&UINT4, &[1], vec![1.0], &[1])), "format");
        assert_eq!(field(Artifact::pack(&INT8, &[], vec![1.0], &[])), "shape");
        let huge = [usize::MAX, 2];
        assert_eq!(field(Artifact::new(&INT8, &huge, vec![1.0], vec![])), "shape");
        assert_eq!(field(Artifact::pack(&TERNARY2, &[1], vec![1.0], &[2])), "codes");
        assert_eq!(field(Artifact::pack(&TERNARY2, &[2], vec![1.0], &[1])), "codes");
        assert_eq!(field(Artifact::new(&TERNARY2, &[1 << 60], vec![1.0], vec![])), "bytes");
    }
}
