//! Faults in what a row answers, and in whether it ran at all.
use super::{Fault, Plant};
use lowbit_reference::op::Tensor;

/// One output, and what can be mixed into it.
#[derive(Debug)]
pub struct Answered<'a> {
    /// What the row answered.
    pub tensor: &'a mut Tensor,
    /// What its buffers held before it was launched, where the row can say.
    pub before: Option<&'a Tensor>,
    /// Whether this is the second of two runs.
    pub again: bool,
}

const fn answer(name: &'static str, about: &'static str, plant: fn(&mut Answered<'_>)) -> Fault {
    Fault { name, about, plant: Plant::Answer(plant) }
}

/// Every such fault.
pub static FAULTS: &[Fault] = &[
    answer("never_launched", "returns without having run", |a| unwritten(a, 0)),
    answer("half_dispatched", "runs on the first half of the output alone", |a| {
        unwritten(a, a.tensor.len() / 2);
    }),
    answer("last_unwritten", "does not write the last element", |a| {
        unwritten(a, a.tensor.len().saturating_sub(1));
    }),
    answer("unsteady", "answers one element differently the second time", |a| {
        if a.again {
            one(a.tensor, |x| 2.0 * x + 1.0);
        }
    }),
    answer("gain", "answers everything 2 % too large, codes doubled", |a| match &mut *a.tensor {
        Tensor::F32(values) => values.iter_mut().for_each(|x| *x *= 1.02),
        codes => every(codes, |x| 2.0 * x),
    }),
    answer("counted_twice", "adds its result to itself, as a gradient that is routed twice", |a| {
        every(a.tensor, |x| 2.0 * x);
    }),
    answer("run_of_zeros", "answers 16 elements, or a third, as zero", |a| {
        let (len, start) = (a.tensor.len(), a.tensor.len() / 3);
        let end = start + 16.min(len.div_ceil(3));
        (start..end.min(len)).for_each(|i| set(a.tensor, i, 0.0));
    }),
    answer("one_negated", "answers one element with the other sign", |a| one(a.tensor, |x| -x)),
    answer("one_off", "answers one element one off, or a float an eighth", |a| {
        match &mut *a.tensor {
            floats @ Tensor::F32(_) => one(floats, |x| 1.125 * x),
            codes => one(codes, |x| if x > 0.0 { x - 1.0 } else { x + 1.0 }),
        }
    }),
    answer("one_nan", "answers one float as NaN", |a| {
        if let Tensor::F32(values) = a.tensor
            && !values.is_empty()
        {
            let middle = values.len() / 2;
            values[middle] = f32::NAN;
        }
    }),
    answer("shifted", "answers every element one place early", |a| {
        for i in 1..a.tensor.len() {
            set(a.tensor, i - 1, a.tensor.get(i));
        }
    }),
    answer("swapped", "exchanges neighbouring elements", |a| {
        for i in (1..a.tensor.len()).step_by(2) {
            let (left, right) = (a.tensor.get(i - 1), a.tensor.get(i));
            set(a.tensor, i - 1, right);
            set(a.tensor, i, left);
        }
    }),
    answer("rounded_down", "truncates: half of the codes are one nearer to zero", |a| {
        if let Tensor::I8(codes) = a.tensor {
            codes.iter_mut().step_by(2).for_each(|code| *code -= code.signum());
        }
    }),
    answer("frozen", "answers its first float everywhere, as a scale that is never renewed", |a| {
        if let Tensor::F32(values) = a.tensor
            && let Some(first) = values.first().copied()
        {
            values.fill(first);
        }
    }),
    answer("one_short", "answers one element too few", |a| match a.tensor {
        Tensor::F32(values) => drop(values.pop()),
        Tensor::I8(codes) => drop(codes.pop()),
        Tensor::U8(bytes) => drop(bytes.pop()),
        Tensor::I32(sums) => drop(sums.pop()),
    }),
];

/// From `from` on, the output is what its buffer held before the launch: of a row that allocates
/// for itself, NaN and -1.
fn unwritten(a: &mut Answered<'_>, from: usize) {
    for i in from..a.tensor.len() {
        match (&mut *a.tensor, a.before) {
            (Tensor::F32(values), Some(Tensor::F32(before))) if i < before.len() => {
                values[i] = before[i];
            }
            (Tensor::F32(values), _) => values[i] = f32::NAN,
            (tensor, Some(before)) if i < before.len() => set(tensor, i, before.get(i)),
            (tensor, _) => set(tensor, i, -1.0),
        }
    }
}

/// Integers take the low bits, as hardware does.
fn set(tensor: &mut Tensor, i: usize, value: f64) {
    match tensor {
        Tensor::F32(values) => values[i] = value as f32,
        Tensor::I8(codes) => codes[i] = value as i64 as i8,
        Tensor::U8(bytes) => bytes[i] = (value as i64).to_le_bytes()[0],
        Tensor::I32(sums) => sums[i] = value as i64 as i32,
    }
}

fn every(tensor: &mut Tensor, change: impl Fn(f64) -> f64) {
    (0..tensor.len()).for_each(|i| set(tensor, i, change(tensor.get(i))));
}

/// An element that is not zero, from the middle on; the middle one where there is none.
fn one(tensor: &mut Tensor, change: impl Fn(f64) -> f64) {
    let len = tensor.len();
    let mut places = (len / 2..len).chain(0..len / 2);
    let found = places.find(|i| tensor.get(*i).abs() > 0.0).unwrap_or(len / 2);
    if found < len {
        set(tensor, found, change(tensor.get(found)));
    }
}
