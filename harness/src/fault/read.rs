//! Faults in what a row reads: tensors, scales, rules.
use super::{Fault, Plant};
use lowbit_reference::op::part::{Piece, Role};
use lowbit_reference::rule::{Range, Rounding, Rule};
use std::ops::Range as Span;

const VALUES: &[Role] = &[Role::Values];
const UNPACKED: &[Role] = &[Role::Values, Role::Codes];
const PACKED: &[Role] = &[Role::Packed];
const ROWS: &[Role] = &[Role::Values, Role::Codes, Role::Packed];
const GROUPS: &[Role] = &[Role::Scales, Role::ZeroPoints];

const fn read(
    name: &'static str,
    about: &'static str,
    roles: &'static [Role],
    plant: fn(&mut Piece<'_>),
) -> Fault {
    Fault { name, about, plant: Plant::Read(roles, plant) }
}

/// In values, codes and packed bytes.
pub static TENSORS: &[Fault] = &[
    read("dropped_tail", "leaves out the last value of every row", UNPACKED, |p| {
        rows(p).for_each(|row| p.numbers.set(row.end - 1, 0.0));
    }),
    read(
        "stale_tail",
        "reads the last byte of every row where the one before it lies",
        PACKED,
        |p| {
            let long = rows(p).filter(|row| row.len() > 1);
            long.for_each(|row| p.numbers.set(row.end - 1, p.numbers.get(row.end - 2)));
        },
    ),
    read("row_below", "reads every row where the next one lies", ROWS, |p| {
        let len = p.numbers.len();
        shift(p, 0..len, p.row_len);
    }),
    read("one_late", "reads every row one place late, as from an unaligned start", ROWS, |p| {
        rows(p).for_each(|row| shift(p, row, 1));
    }),
    read("half_repeated", "reads the first half of every row twice", ROWS, |p| {
        for row in rows(p) {
            let half = row.len() / 2;
            shift_back(p, row.start + half..row.end, half);
        }
    }),
    read("neighbours_swapped", "exchanges neighbouring values or bytes", ROWS, |p| {
        for row in rows(p) {
            let pairs = (row.start..row.end - 1).step_by(2);
            pairs.for_each(|i| swap(p, i, i + 1));
        }
    }),
    read("first_row_lost", "reads the first row as zeros", UNPACKED, |p| {
        rows(p).take(1).flatten().for_each(|i| p.numbers.set(i, 0.0));
    }),
    read("last_row_lost", "reads the last row as zeros", UNPACKED, |p| {
        if let Some(row) = rows(p).last() {
            row.for_each(|i| p.numbers.set(i, 0.0));
        }
    }),
    read("one_lost", "reads one value as zero", UNPACKED, |p| {
        if let Some(i) = some(p) {
            p.numbers.set(i, 0.0);
        }
    }),
    read("column_negated", "takes one column with the other sign", VALUES, |p| {
        for row in rows(p) {
            let i = row.start + row.len() / 2;
            p.numbers.set(i, -p.numbers.get(i));
        }
    }),
    read("sign_lost", "reads magnitudes", UNPACKED, |p| each(p, f64::abs)),
    read("short_floats", "reads values rounded to 8 bits, as bf16", VALUES, |p| each(p, bf16)),
    read("one_code_off", "reads one code one step nearer to zero", &[Role::Codes], |p| {
        if let Some(i) = some(p) {
            let code = p.numbers.get(i);
            p.numbers.set(i, code - code.signum());
        }
    }),
    read("sign_bit_lost", "reads 7 bits of every code", &[Role::Codes], |p| {
        each(p, |code| f64::from(code as i32 & 0x7f));
    }),
    read("nibbles_swapped", "takes the two halves of every byte in the other order", PACKED, |p| {
        each(p, |byte| f64::from(low_byte(byte).rotate_left(4)));
    }),
    read(
        "borrow_leaks",
        "takes 8 from both halves of every byte at once, and lets the low one borrow",
        PACKED,
        |p| {
            each(p, |byte| match low_byte(byte) {
                byte if byte & 15 < 8 => f64::from(byte.wrapping_sub(16)),
                byte => f64::from(byte),
            });
        },
    ),
    read("one_bit", "reads one bit of one byte wrongly", PACKED, |p| {
        let i = p.numbers.len() / 2;
        p.numbers.set(i, f64::from(low_byte(p.numbers.get(i)) ^ 1));
    }),
];

/// In scales, zero points and centres.
pub static SCALES: &[Fault] = &[
    read("scale_of_neighbour", "takes every group's scale from the next group", GROUPS, |p| {
        let len = p.numbers.len();
        shift(p, 0..len, 1);
    }),
    read("first_scale_for_all", "takes the first group's scale for every group", GROUPS, |p| {
        let first = p.numbers.get(0);
        each(p, |_| first);
    }),
    read("scale_ignored", "forgets to multiply by scales", &[Role::Scales], |p| each(p, |_| 1.0)),
    read("scale_doubled", "takes one scale twice as large", &[Role::Scales], |p| {
        if let Some(i) = some(p) {
            p.numbers.set(i, 2.0 * p.numbers.get(i));
        }
    }),
    read("scale_gain", "takes scales 2 % too large", &[Role::Scales], |p| each(p, |s| 1.02 * s)),
    read("short_scales", "rounds scales to 8 bits, as bf16", &[Role::Scales], |p| each(p, bf16)),
    read("last_scale_lost", "takes the last scale as zero", &[Role::Scales], |p| {
        let last = p.numbers.len() - 1;
        p.numbers.set(last, 0.0);
    }),
    read("zero_point_off_by_one", "subtracts one more", &[Role::ZeroPoints], |p| {
        each(p, |zero_point| zero_point + 1.0);
    }),
    read("zero_point_ignored", "subtracts nothing", &[Role::ZeroPoints], |p| each(p, |_| 0.0)),
    read("centre_ignored", "leaves the centre out", &[Role::Centres], |p| each(p, |_| 0.0)),
    read("centre_negated", "adds the centre with the other sign", &[Role::Centres], |p| {
        each(p, |centre| -centre);
    }),
];

const fn rule(name: &'static str, about: &'static str, plant: fn(&mut Rule) -> bool) -> Fault {
    Fault { name, about, plant: Plant::Rule(plant) }
}

/// In the rule by which values become codes.
pub static RULES: &[Fault] = &[
    rule("ties_the_other_way", "rounds ties away from zero for to even, or the other way", |r| {
        r.rounding = match r.rounding {
            Rounding::HalfEven => Rounding::HalfAway,
            Rounding::HalfAway => Rounding::HalfEven,
        };
        true
    }),
    rule("one_step_more", "divides the range into one step more: 128 for 127", |r| {
        r.steps += 1.0;
        r.range != Range::Fixed
    }),
    rule("range_clipped", "takes the range 2 % too small", |r| {
        r.times *= 0.98;
        r.range != Range::Fixed
    }),
    rule("other_statistic", "takes the mean for the maximum, or the other way", |r| {
        let other = match r.range {
            Range::Absmax => Some(Range::Absmean),
            Range::Absmean => Some(Range::Absmax),
            _ => None,
        };
        r.range = other.unwrap_or(r.range);
        other.is_some()
    }),
    rule("fixed_scale_gain", "takes the fixed scale 2 % too large", |r| {
        r.fixed_scale *= 1.02;
        r.range == Range::Fixed
    }),
    rule("threshold_moved", "has the ternary threshold a twentieth of a scale too high", |r| {
        r.threshold += 0.05;
        true
    }),
    rule("threshold_open", "takes a value at the threshold for the other side", |r| {
        r.inclusive = !r.inclusive;
        true
    }),
    rule("least_code_dropped", "saturates one code too early below", |r| {
        r.min_code = r.min_code.saturating_add(1);
        true
    }),
    rule("zero_negative", "takes the other sign for zero", |r| {
        r.zero_is_positive = !r.zero_is_positive;
        true
    }),
    rule("mean_left_in", "does not subtract the mean before it takes signs", |r| {
        std::mem::replace(&mut r.centred, false)
    }),
];

/// Rows of a tensor, the last of which may be short.
fn rows(p: &Piece<'_>) -> impl Iterator<Item = Span<usize>> + use<> {
    let (len, row_len) = (p.numbers.len(), p.row_len);
    (0..len).step_by(row_len).map(move |start| start..len.min(start + row_len))
}

fn each(p: &mut Piece<'_>, change: impl Fn(f64) -> f64) {
    for i in 0..p.numbers.len() {
        p.numbers.set(i, change(p.numbers.get(i)));
    }
}

fn swap(p: &mut Piece<'_>, i: usize, j: usize) {
    let (a, b) = (p.numbers.get(i), p.numbers.get(j));
    p.numbers.set(i, b);
    p.numbers.set(j, a);
}

/// Read `span` as many places late; what would come from behind it stays.
fn shift(p: &mut Piece<'_>, span: Span<usize>, places: usize) {
    for i in span.start..span.end.saturating_sub(places) {
        p.numbers.set(i, p.numbers.get(i + places));
    }
}

/// Read `span` as many places early.
fn shift_back(p: &mut Piece<'_>, span: Span<usize>, places: usize) {
    for i in span.rev() {
        p.numbers.set(i, p.numbers.get(i - places));
    }
}

/// A number that is neither zero nor NaN, from the middle on.
fn some(p: &Piece<'_>) -> Option<usize> {
    let len = p.numbers.len();
    let there = |i: &usize| p.numbers.get(*i).abs() > 0.0;
    (len / 2..len).chain(0..len / 2).find(there)
}

/// Of a packed byte, which every number of its piece is.
fn low_byte(x: f64) -> u8 {
    (x as i64).to_le_bytes()[0]
}

/// Rounded to the nearest bf16; overflow and NaN stay what they are.
fn bf16(x: f64) -> f64 {
    let bits = (x as f32).to_bits();
    let short = f32::from_bits(bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000);
    if short.is_finite() { f64::from(short) } else { x }
}
