//! Weights of `linear`: codes with scales beside them, blocks that carry their scales, and codes
//! into a table.
use super::super::quantize::pack;
use super::super::{CodesSeen, Storage, inputs};
use crate::case::{Case, CaseError, Word};
use crate::data::{self, Files, Stream};
use crate::format::table::{NF4, NF4_I8};
use crate::format::{
    BlockFormat, INT8, Levels, MXFP4, Q4_0, Q4K, Q8_0, TQ2_0, TableFormat, WeightFormat,
    weight_format, weight_words,
};
use crate::op::part::Part;
use crate::rule::{self, Code, Granularity, Quantized, Range, Rule, named};
use rayon::prelude::*;

/// A format that carries its own scales, and so goes with no rule.
#[derive(Clone, Copy, Debug)]
enum Own {
    Blocks(&'static dyn BlockFormat),
    Table(&'static TableFormat),
}

/// Formats that carry their own scales, each with the whole number that tier `exact` draws up to
/// and that the largest value of every block is: then scales are powers of two. Those of `q4_k` are
/// products of two rounded numbers, so it has no exact data. Adding one is a line here.
static OWN_SCALES: &[(Own, Option<u8>)] = &[
    (Own::Table(&NF4), Some(1)),
    (Own::Table(&NF4_I8), Some(127)),
    (Own::Blocks(&Q8_0), Some(127)),
    (Own::Blocks(&Q4_0), Some(8)),
    (Own::Blocks(&TQ2_0), Some(1)),
    (Own::Blocks(&MXFP4), Some(6)),
    (Own::Blocks(&Q4K), None),
];

impl Own {
    fn word(self) -> Word {
        match self {
            Own::Blocks(format) => format.word(),
            Own::Table(format) => format.word(),
        }
    }
    fn block_len(self) -> usize {
        match self {
            Own::Blocks(format) => format.block_len(),
            Own::Table(_) => TableFormat::BLOCK,
        }
    }
    /// Bytes of `blocks` blocks: packed, and their scales beside.
    fn bytes(self, blocks: usize) -> (usize, usize) {
        match self {
            Own::Blocks(format) => (blocks * format.block_bytes(), 0),
            Own::Table(_) => (blocks * TableFormat::BLOCK / 2, 4 * blocks),
        }
    }
}

/// The words of `weight`.
pub(super) fn words() -> Vec<Word> {
    weight_words().into_iter().chain(OWN_SCALES.iter().map(|(own, _)| own.word())).collect()
}

/// The words of `weight_rule`.
pub(super) fn rule_words() -> Vec<Word> {
    let none = Word { name: "none", aliases: &[] };
    [none].into_iter().chain(named::weight_rule_words()).collect()
}

/// The format of a case that carries its own scales, if it does.
fn own(case: &Case) -> Option<(Own, Option<u8>)> {
    OWN_SCALES.iter().copied().find(|(own, _)| own.word().name == case.word("weight"))
}

fn format(case: &Case) -> &'static dyn WeightFormat {
    weight_format(case.word("weight")).unwrap_or(&INT8)
}

/// Values of a row that share a scale, and how many such runs a row of `k` has.
fn groups(rule: &Rule, k: usize) -> (usize, usize) {
    match rule.granularity {
        Granularity::Tensor | Granularity::Row => (k, 1),
        Granularity::Group | Granularity::HeadGroup => {
            (rule.group_size, k.div_ceil(rule.group_size.max(1)))
        }
    }
}

/// Whether the weight's words make a case together.
pub(super) fn validate(case: &Case) -> Result<(), CaseError> {
    if let Some((own, exact)) = own(case) {
        let (name, block) = (own.word().name, own.block_len());
        if case.word("weight_rule") != "none" {
            let why = format!("goes with no {name} weight, which carries its scales; use `none`");
            return Err(case.conflict("weight_rule", why));
        }
        if !case.number("k").is_multiple_of(block) {
            return Err(case.conflict("k", format!("is no multiple of {name}'s blocks of {block}")));
        }
        if exact.is_none() && case.word("data") == "exact" {
            let why = format!("goes with no {name} weight: its scales are rounded twice");
            return Err(case.conflict("data", why));
        }
        return Ok(());
    }
    let rule = inputs::weight_rule(case, format(case).levels())?;
    if rule.rotated {
        return Err(
            case.conflict("weight_rule", "has a rotation; `linear` takes values as they are")
        );
    }
    inputs::check_groups(case, &rule, "k")
}

/// Largest magnitude of a weight in integer arithmetic less its zero point, and how many of them
/// are added before a scale, if that many can overflow.
pub(super) fn depth(case: &Case) -> Option<(u32, usize)> {
    if own(case).is_some() {
        return None;
    }
    let levels = format(case).levels();
    let rule = inputs::weight_rule(case, levels).ok()?;
    Some((super::reach(levels), groups(&rule, case.number("k")).0.min(case.number("k"))))
}

/// Bytes of the weights of a case: packed, and scales and zero points beside.
pub(super) fn bytes(case: &Case) -> (usize, usize) {
    let (n, k) = (case.number("n"), case.number("k"));
    if let Some((own, _)) = own(case) {
        return own.bytes(n * k / own.block_len());
    }
    let packed = n * format(case).row_bytes(k);
    let scales = |rule: Rule| {
        let each = if rule.range == Range::Minmax { 8 } else { 4 };
        let rows = if rule.granularity == Granularity::Tensor { 1 } else { n };
        each * rows * groups(&rule, k).1
    };
    (packed, inputs::weight_rule(case, format(case).levels()).map_or(0, scales))
}

/// Packed weights, `[N, K]`.
#[derive(Debug)]
pub enum Weight {
    /// Codes of a [`WeightFormat`]; scales by a rule.
    Codes(PackedWeight),
    /// Blocks of a [`BlockFormat`], each with its scale.
    Blocks(BlockWeight),
    /// Four-bit codes into a table, an absmax per block.
    Table(TableWeight),
}

/// Codes, with a scale for the tensor, for each row, or for each group of a row:
/// `value = (code - zero_point) * scale`.
#[derive(Debug)]
pub struct PackedWeight {
    /// How `bytes` is to be read.
    pub format: &'static dyn WeightFormat,
    /// The rule that made it.
    pub rule: Rule,
    /// Output features: rows.
    pub n: usize,
    /// Input features: length of a row.
    pub k: usize,
    /// Values of a row that share a scale: K unless the rule has groups.
    pub group_size: usize,
    /// Scales of a row: 1 unless the rule has groups.
    pub groups: usize,
    /// One scale for all, or `[N, groups]`.
    pub scales: Vec<f32>,
    /// As many codes of zero as there are scales, or none where zero is the code 0.
    pub zero_points: Vec<i32>,
    /// Centres of a centred rule, else empty; not used by `linear` (b1 drops them).
    pub centres: Vec<f32>,
    /// Rows, each starting on a byte.
    pub bytes: Vec<u8>,
    /// Bytes of a row.
    pub row_bytes: usize,
}

impl PackedWeight {
    /// Packed bytes of row `j`.
    pub fn row(&self, j: usize) -> &[u8] {
        &self.bytes[j * self.row_bytes..][..self.row_bytes]
    }
    /// Scale of row `j`, or of its first group.
    pub fn scale(&self, j: usize) -> f32 {
        self.group_scale(j, 0)
    }
    /// Scale of group `g` of row `j`.
    pub fn group_scale(&self, j: usize, g: usize) -> f32 {
        self.scales[if self.scales.len() == 1 { 0 } else { j * self.groups + g }]
    }
    /// Code that stands for zero in group `g` of row `j`.
    pub fn zero_point(&self, j: usize, g: usize) -> i32 {
        match self.zero_points.len() {
            0 => 0,
            1 => self.zero_points[0],
            _ => self.zero_points[j * self.groups + g],
        }
    }
    /// The codes, unpacked.
    pub fn weight_codes(&self) -> Vec<Code> {
        let row = |j| self.format.unpack(self.row(j), self.k);
        let unpacked = |j| row(j).unwrap_or_else(|e| unreachable!("packed by the reference: {e}"));
        (0..self.n).into_par_iter().flat_map_iter(unpacked).collect()
    }
}

/// Blocks that carry their scales.
#[derive(Debug)]
pub struct BlockWeight {
    /// How a block is to be read.
    pub format: &'static dyn BlockFormat,
    /// Output features: rows.
    pub n: usize,
    /// Input features: whole blocks.
    pub k: usize,
    /// Row after row, block after block.
    pub bytes: Vec<u8>,
    /// Bytes of a row.
    pub row_bytes: usize,
}

impl BlockWeight {
    /// Blocks of row `j`.
    pub fn row(&self, j: usize) -> &[u8] {
        &self.bytes[j * self.row_bytes..][..self.row_bytes]
    }
}

/// Codes into a table: `value = values[code] * scale(absmax)`.
#[derive(Debug)]
pub struct TableWeight {
    /// The table and what becomes of an absmax.
    pub format: &'static TableFormat,
    /// Output features: rows.
    pub n: usize,
    /// Input features: whole blocks of [`TableFormat::BLOCK`].
    pub k: usize,
    /// Two codes a byte, the first in the high nibble; `k / 2` bytes a row.
    pub codes: Vec<u8>,
    /// `[N, K / BLOCK]`.
    pub absmax: Vec<f32>,
}

impl TableWeight {
    /// Packed codes of row `j`.
    pub fn row(&self, j: usize) -> &[u8] {
        &self.codes[j * self.k / 2..][..self.k / 2]
    }
    /// The absmax of each block of row `j`.
    pub fn row_absmax(&self, j: usize) -> &[f32] {
        let blocks = self.k / TableFormat::BLOCK;
        &self.absmax[j * blocks..][..blocks]
    }
}

impl Weight {
    /// Name of the format.
    pub fn name(&self) -> &'static str {
        match self {
            Weight::Codes(weight) => weight.format.name(),
            Weight::Blocks(weight) => weight.format.name(),
            Weight::Table(weight) => weight.format.name(),
        }
    }

    /// What a row reads.
    pub(super) fn parts(&mut self) -> Vec<Part<'_>> {
        match self {
            Weight::Codes(w) => vec![
                Part::packed("weight", &mut w.bytes, w.row_bytes),
                Part::scales("weight_scales", &mut w.scales[..]),
                Part::zero_points("weight_zero_points", &mut w.zero_points[..]),
                Part::Rule(&mut w.rule),
            ],
            Weight::Blocks(w) => vec![Part::packed("weight", &mut w.bytes, w.row_bytes)],
            Weight::Table(w) => vec![
                Part::packed("weight", &mut w.codes, w.k / 2),
                Part::scales("weight_absmax", &mut w.absmax[..]),
            ],
        }
    }

    /// Which codes there are; of blocks each format knows its own.
    pub(super) fn seen(&self) -> Option<CodesSeen> {
        match self {
            Weight::Codes(w) => {
                let kind = (w.format.name(), w.format.levels(), Some(&w.rule));
                Some(CodesSeen::new("weight", kind, w.weight_codes()))
            }
            Weight::Table(w) => {
                let kind = (w.format.name(), Levels::Uint4, None);
                let nibbles = w.codes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                Some(CodesSeen::new("weight", kind, nibbles.map(Code::from)))
            }
            Weight::Blocks(_) => None,
        }
    }

    /// Stored bytes: packed, and scales and whatever else stands beside them.
    pub(super) fn storage(&self, elements: usize) -> Storage {
        let (packed, beside) = match self {
            Weight::Codes(w) => (&w.bytes, w.scales.len() + w.zero_points.len() + w.centres.len()),
            Weight::Blocks(w) => (&w.bytes, 0),
            Weight::Table(w) => (&w.codes, w.absmax.len()),
        };
        Storage {
            elements: elements as u64,
            artifact_bytes: packed.len() as u64,
            scale_bytes: 4 * beside as u64,
        }
    }
}

/// What the groups of `x` share and their codes, in rows of `k`; groups that have no values
/// included, so that every row has its scale.
pub(super) fn quantized(
    (rule, levels): (&Rule, Levels),
    x: &[f32],
    (rows, k): (usize, usize),
) -> Quantized {
    if !x.is_empty() {
        return rule::quantize(rule, levels, x, rule.group_len(x.len(), k));
    }
    let rows = if rule.granularity == Granularity::Tensor { 1 } else { rows };
    let shared = vec![rule.shared(levels, &[]); rows * groups(rule, k).1];
    Quantized { shared, codes: Vec::new() }
}

/// The weights of a case, and what they were quantized from.
pub(super) fn generate(case: &Case, files: &dyn Files) -> Result<(Weight, Vec<f32>), String> {
    let (n, k) = (case.number("n"), case.number("k"));
    let draw = |kind| inputs::values(case, kind, Stream::Weight, (n * k, k), files);
    if let Some((own, whole)) = own(case) {
        let seed = (inputs::seed(case), Stream::Weight);
        let x = match case.word("data") {
            "exact" => data::whole_blocks(seed, n * k, (own.block_len(), whole.unwrap_or(1))),
            _ => draw(None)?,
        };
        return Ok((own_scales(own, &x, (n, k)), x));
    }
    let format = format(case);
    let rule = inputs::weight_rule(case, format.levels()).map_err(|e| e.to_string())?;
    let x = draw(Some((&rule, format.levels())))?;
    let q = quantized((&rule, format.levels()), &x, (n, k));
    let (group_size, groups) = groups(&rule, k);
    let minmax = rule.range == Range::Minmax;
    let zero_points = if minmax { q.zero_points() } else { Vec::new() };
    let weight = PackedWeight {
        format,
        rule,
        n,
        k,
        group_size,
        groups,
        scales: q.scales(),
        zero_points: zero_points.into_iter().map(i32::from).collect(),
        centres: if rule.centred { q.centres() } else { Vec::new() },
        bytes: if k == 0 { Vec::new() } else { pack(format, &q.codes, k) },
        row_bytes: format.row_bytes(k),
    };
    Ok((Weight::Codes(weight), x))
}

fn own_scales(own: Own, x: &[f32], (n, k): (usize, usize)) -> Weight {
    match own {
        Own::Blocks(format) => {
            let bytes = format.encode(x).unwrap_or_else(|e| unreachable!("whole blocks: {e}"));
            let row_bytes = k / format.block_len() * format.block_bytes();
            Weight::Blocks(BlockWeight { format, n, k, bytes, row_bytes })
        }
        Own::Table(format) => {
            let tensor = format.quantize(x);
            let (codes, absmax) = (tensor.codes, tensor.absmax);
            Weight::Table(TableWeight { format, n, k, codes, absmax })
        }
    }
}
