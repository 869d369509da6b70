//! CubeCL quantization of a matrix: statistics, scales and packed codes, all made on the device.
//!
//! A group is cut into parts of at most 8,192 values, until there are 1,024 of them; a cube of
//! 256 units strides over a part and adds up (or takes the maximum) in a tree. One part: the scale
//! follows at once. More: a second kernel gathers the parts of a group. The third kernel gives
//! every value a unit, reads it once and in order, and gathers the fields of a word in shared
//! memory; rows begin on a word, and `read` drops the bytes that pad them.
//!
//! Bounds: a chain of additions is shorter than 8,192 + 8 for up to 2^31 values, below the 16,384
//! the tolerance allows. Two passes over `x`: 8 bytes read for each value.
use super::rule::{Choices, Numbers, code_of, numbers, scale_of};
use super::tile::{Join, gather, joined};
use super::{Cube, Device, Output, Packing, Ready, Session, Words, field, spread, word};
use crate::context::Context;
use crate::{Failure, Prepared};
use cubecl::prelude::*;
use lowbit_reference::format::Levels;
use lowbit_reference::op::quantize::QuantizeProblem;
use lowbit_reference::op::{Outputs, Tensor};
use lowbit_reference::rule::Rule;

/// Units of a cube.
pub(crate) const UNITS: u32 = 256;
/// Values of a part, while there are fewer than `MAX_PARTS`.
const PART: usize = 8192;
/// Parts of a group, at most.
const MAX_PARTS: usize = 1024;

/// Where groups and their parts are.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Groups {
    groups: u32,
    group_len: u32,
    parts: u32,
    part_len: u32,
}

/// Over a group or a part of it: the largest magnitude or the sum of magnitudes, and the sum.
#[derive(CubeType, Clone, Copy)]
struct Sums {
    statistic: f32,
    total: f32,
}

/// Where rows, their words and their cubes are.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Rows {
    rows: u32,
    row_len: u32,
    words: u32,
    /// Cubes that share a row.
    cubes: u32,
    groups: u32,
    group_len: u32,
}

/// Both sums of a cube, for each of its units; that of the values only for centred rules.
#[cube]
fn gather_both(statistic: f32, total: f32, #[comptime] choices: Choices) -> Sums {
    let mut shared = SharedMemory::<f32>::new(comptime!(UNITS as usize));
    let statistic = gather::<f32>(statistic, &mut shared, comptime!(choices.join()), UNITS);
    let mut all = total;
    if comptime!(choices.centred) {
        all = gather::<f32>(total, &mut shared, Join::Sum, UNITS);
    }
    Sums { statistic, total: all }
}

/// Write the scale and the centre of a group, given the sums over it.
#[cube]
fn conclude(
    group: u32,
    sums: Sums,
    scales: &mut Array<f32>,
    groups: Groups,
    numbers: Numbers,
    #[comptime] choices: Choices,
) {
    let count = f32::cast_from(groups.group_len);
    let mut range = sums.statistic;
    if comptime!(!choices.absmax) {
        range = sums.statistic / count;
    }
    scales[group as usize] = scale_of(range, numbers, choices);
    if comptime!(choices.centred) {
        scales[(groups.groups + group) as usize] = sums.total / count;
    }
}

/// Sums over parts. With one part a group, `out` takes scales and centres; else sums, which for
/// centres come behind those of the magnitudes.
#[cube(launch)]
fn reduce_parts(
    x: &Array<f32>,
    out: &mut Array<f32>,
    groups: Groups,
    numbers: Numbers,
    #[comptime] choices: Choices,
    #[comptime] whole: bool,
) {
    let cube = CUBE_POS as u32;
    let (group, part) = (cube / groups.parts, cube % groups.parts);
    let from = part * groups.part_len;
    let to = min(from + groups.part_len, groups.group_len);
    let mut statistic = 0.0f32;
    let mut total = 0.0f32;
    let mut at = from + UNIT_POS;
    while at < to && group < groups.groups {
        let value = x[(group * groups.group_len + at) as usize];
        statistic = joined::<f32>(statistic, value.abs(), comptime!(choices.join()));
        if comptime!(choices.centred) {
            total += value;
        }
        at += UNITS;
    }
    let sums = gather_both(statistic, total, choices);
    if UNIT_POS == 0 && group < groups.groups {
        if comptime!(whole) {
            conclude(group, sums, out, groups, numbers, choices);
        } else {
            out[cube as usize] = sums.statistic;
            if comptime!(choices.centred) {
                out[(groups.groups * groups.parts + cube) as usize] = sums.total;
            }
        }
    }
}

/// Scales and centres from the sums over parts: a cube a group.
#[cube(launch)]
fn reduce_groups(
    sums: &Array<f32>,
    scales: &mut Array<f32>,
    groups: Groups,
    numbers: Numbers,
    #[comptime] choices: Choices,
) {
    let group = CUBE_POS as u32;
    let mut statistic = 0.0f32;
    let mut total = 0.0f32;
    let mut at = UNIT_POS;
    while at < groups.parts && group < groups.groups {
        let part = group * groups.parts + at;
        statistic = joined::<f32>(statistic, sums[part as usize], comptime!(choices.join()));
        if comptime!(choices.centred) {
            total += sums[(groups.groups * groups.parts + part) as usize];
        }
        at += UNITS;
    }
    let sums = gather_both(statistic, total, choices);
    if UNIT_POS == 0 && group < groups.groups {
        conclude(group, sums, scales, groups, numbers, choices);
    }
}

/// Gather the fields of the cube's units into words and write those below `end`, from `first` on.
/// All units of the cube must come here.
#[cube]
pub(crate) fn store(
    bits: u32,
    packed: &mut Array<u32>,
    first: u32,
    end: u32,
    #[comptime] packing: Packing,
) {
    let per_word = comptime!(packing.per_word());
    let mut fields = SharedMemory::<u32>::new(comptime!(UNITS as usize));
    fields[UNIT_POS as usize] = bits;
    sync_cube();
    let at = first + UNIT_POS;
    if UNIT_POS < UNITS / per_word && at < end {
        let mut packed_word = 0u32;
        #[unroll]
        for j in 0..per_word {
            let bits = fields[(UNIT_POS * per_word + j) as usize];
            packed_word |= bits << comptime!(j * packing.bits());
        }
        packed[at as usize] = packed_word;
    }
}

/// Codes, packed: a unit a value.
#[cube(launch)]
fn encode(
    x: &Array<f32>,
    scales: &Array<f32>,
    packed: &mut Array<u32>,
    rows: Rows,
    numbers: Numbers,
    #[comptime] choices: Choices,
) {
    let cube = CUBE_POS as u32;
    let (row, tile) = (cube / rows.cubes, cube % rows.cubes);
    let column = tile * UNITS + UNIT_POS;
    let mut bits = 0u32;
    if row < rows.rows && column < rows.row_len {
        let at = row * rows.row_len + column;
        let group = at / rows.group_len;
        let mut centre = 0.0f32;
        if comptime!(choices.centred) {
            centre = scales[(rows.groups + group) as usize];
        }
        let code = code_of(x[at as usize], scales[group as usize], centre, numbers, choices);
        bits = field(code, choices.packing);
    }
    let first = tile * comptime!(UNITS / choices.packing.per_word());
    let mut end = 0u32;
    if row < rows.rows {
        end = rows.words * (row + 1);
    }
    store(bits, packed, row * rows.words + first, end, choices.packing);
}

/// Whether the device can hold a problem.
pub(crate) fn accepts<R: Device>(row: &Cube<R>, p: &QuantizeProblem) -> Result<(), String> {
    crate::rules::classic(p)?;
    crate::rules::classic_format(p.format)?;
    refuse_non_finite(&p.x)?;
    let words = p.rows * Packing::of(p.levels()).words(p.row_len);
    row.binds(4 * p.x.len().max(words))
}

/// A shader need not have NaN and infinities (WGSL, section 15.7), nor has CUDA with fast math.
pub(crate) fn refuse_non_finite(x: &[f32]) -> Result<(), String> {
    let all = x.iter().all(|x| x.is_finite());
    all.then_some(())
        .ok_or_else(|| "no NaN or infinity: shaders and fast math need not have them".into())
}

/// Where a matrix and its groups are, and by which rule.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    pub(crate) rule: Rule,
    pub(crate) levels: Levels,
    pub(crate) rows: usize,
    pub(crate) row_len: usize,
    pub(crate) groups: usize,
    pub(crate) group_len: usize,
}

/// What the launches for a matrix have in common.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    matrix: Matrix,
    choices: Choices,
    /// Parts of a group.
    parts: usize,
    /// Words of a row, and cubes that encode it.
    words: usize,
    cubes: usize,
    /// Floats a group answers: its scale, and its centre.
    answers: usize,
}

/// What they write.
#[derive(Clone, Copy)]
pub(crate) struct Written<'a> {
    pub(crate) sums: &'a Words,
    pub(crate) scales: &'a Words,
    pub(crate) packed: &'a Words,
}

impl Plan {
    pub(crate) fn new(matrix: Matrix) -> Plan {
        let choices = Choices::of(&matrix.rule, matrix.levels);
        Plan {
            matrix,
            choices,
            parts: matrix.group_len.div_ceil(PART).clamp(1, MAX_PARTS),
            words: choices.packing.words(matrix.row_len),
            cubes: matrix.row_len.div_ceil(UNITS as usize),
            answers: if choices.centred { 2 } else { 1 },
        }
    }

    /// Lengths of what is written: sums over parts, scales and centres, packed words.
    pub(crate) fn lengths(&self) -> [usize; 3] {
        let Matrix { rows, groups, .. } = self.matrix;
        [self.answers * groups * self.parts, self.answers * groups, rows * self.words]
    }

    fn groups<R: Runtime>(&self) -> GroupsLaunch<R> {
        let Matrix { groups, group_len, .. } = self.matrix;
        let part_len = group_len.div_ceil(self.parts);
        let [groups, group_len, parts, part_len] =
            [groups, group_len, self.parts, part_len].map(word);
        GroupsLaunch::new(groups, group_len, parts, part_len)
    }

    fn rows<R: Runtime>(&self) -> RowsLaunch<R> {
        let Matrix { rows, row_len, groups, group_len, .. } = self.matrix;
        let [rows, row_len, words] = [rows, row_len, self.words].map(word);
        let [cubes, groups, group_len] = [self.cubes, groups, group_len].map(word);
        RowsLaunch::new(rows, row_len, words, cubes, groups, group_len)
    }

    /// Scales, then codes: two or three launches.
    pub(crate) fn enqueue<R: Runtime>(
        &self,
        client: &ComputeClient<R>,
        x: &Words,
        to: Written<'_>,
    ) {
        let Matrix { rule, rows, groups, .. } = self.matrix;
        let (choices, parts) = (self.choices, self.parts);
        let (dim, whole) = (CubeDim::new_1d(UNITS), parts == 1);
        let numbers = || numbers::<R>(&rule);
        let (out, count) = (if whole { to.scales } else { to.sums }, spread(groups * parts));
        let (values, out, shape) = (x.arg(), out.arg(), self.groups());
        reduce_parts::launch::<R>(
            client,
            count,
            dim,
            values,
            out,
            shape,
            numbers(),
            choices,
            whole,
        );
        if !whole {
            let (count, shape) = (spread(groups), self.groups());
            let (sums, scales) = (to.sums.arg(), to.scales.arg());
            reduce_groups::launch::<R>(client, count, dim, sums, scales, shape, numbers(), choices);
        }
        let (count, shape) = (spread(rows * self.cubes), self.rows());
        let (values, scales, packed) = (x.arg(), to.scales.arg(), to.packed.arg());
        encode::launch::<R>(client, count, dim, values, scales, packed, shape, numbers(), choices);
    }

    /// Scales before centres, and rows without the bytes that pad them.
    fn outputs(&self, answers: &[f32], words: &[u8]) -> Outputs {
        let (scales, centres) = answers.split_at(self.matrix.groups);
        let row = self.choices.packing.bytes(self.matrix.row_len);
        let packed = words.chunks(4 * self.words).flat_map(|bytes| &bytes[..row]).copied();
        let scales = Tensor::F32(scales.to_vec());
        let mut outputs = vec![("scales", scales), ("packed", Tensor::U8(packed.collect()))];
        if self.choices.centred {
            outputs.push(("centres", Tensor::F32(centres.to_vec())));
        }
        Outputs(outputs)
    }
}

/// Upload a matrix and plan its two or three launches.
pub(crate) fn prepare<'p, R: Device>(
    p: &'p QuantizeProblem,
    context: &mut Context,
) -> Result<Box<dyn Prepared + 'p>, Failure> {
    let mut session = Session::<R>::open(context)?;
    let &QuantizeProblem { rule, rows, row_len, group_len, .. } = p;
    let (levels, groups) = (p.levels(), p.groups());
    let plan = Plan::new(Matrix { rule, levels, rows, row_len, groups, group_len });
    let x = session.upload(&p.x)?;
    let [sums, scales, packed] = plan.lengths();
    let sums = session.output(context, "sums", sums)?;
    let scales = session.output(context, "scales", scales)?;
    let packed = session.output(context, "packed", packed)?;
    let [sums_words, scale_words, packed_words] =
        [&sums, &scales, &packed].map(Output::words_and_guard);
    let enqueue = move |client: &ComputeClient<R>| {
        let to = Written { sums: &sums_words, scales: &scale_words, packed: &packed_words };
        plan.enqueue(client, &x, to);
    };
    let answer = move |session: &Session<R>| {
        Ok(plan.outputs(&session.read(&scales)?, &session.read(&packed)?))
    };
    Ok(Box::new(Ready::new(session, enqueue, answer)))
}
