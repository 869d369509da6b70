//! CubeCL `linear`: every weight but the blocks and `ternary3`, against every activation, by the
//! products of [`crate::cube::product`], which multiply codes as they are packed.
//!
//! Rows reach the device one after another, each on whole words; codes of a table are turned from
//! high nibble first to low nibble first on the way. What else is prepared: where tokens have zero
//! points, the sum of the codes of each group of a row of the weight.
//!
//! Bounds: those of `product`; groups of a multiple of 32 values.
use super::decode;
use crate::context::Context;
use crate::cube::product::{Product, Rows, Sizes, Tokens};
use crate::cube::{Cube, Device, Packing, Ready, Session, filled, floats, padded};
use crate::hardware::Need;
use crate::{Failure, Kernel, Prepared, Threads};
use cubecl::prelude::*;
use lowbit_reference::format::TableFormat;
use lowbit_reference::op::Arithmetic;
use lowbit_reference::op::linear::{Activation, Linear, LinearProblem, Weight};

/// Groups are whole words of every format.
const GROUP: usize = 32;

/// How a weight is read.
fn packing(weight: &Weight) -> Result<Packing, String> {
    match weight {
        Weight::Table(_) => Ok(Packing::Table),
        Weight::Codes(_) | Weight::Blocks(_) => Packing::named(weight.name()),
    }
}

/// Whether products are those of integers.
fn is_integer(p: &LinearProblem) -> bool {
    let integer = match &p.weight {
        Weight::Codes(_) => true,
        Weight::Blocks(_) => false,
        Weight::Table(w) => w.format.integer(),
    };
    integer && !matches!(p.activation, Activation::F32(_))
}

/// The rows of the activations, one after another.
fn dense<T: Copy>(p: &LinearProblem, x: &[T]) -> Vec<T> {
    (0..p.m).flat_map(|i| p.rows.row(x, i)).copied().collect()
}

fn tokens<R: Device>(session: &Session<R>, p: &LinearProblem) -> Result<Tokens, Failure> {
    let packing = match &p.activation {
        Activation::F32(_) => Packing::Float,
        Activation::I8(_) => Packing::Int8,
        Activation::U8(_) => Packing::Uint8,
    };
    let words = packing.words(p.k);
    let rows = match &p.activation {
        Activation::F32(x) => padded(f32::as_bytes(&dense(p, x)), 4 * p.k, words),
        Activation::I8(x) => padded(i8::as_bytes(&dense(p, &x.codes)), p.k, words),
        // As a signed byte of 128 less, 0x80 is 0.
        Activation::U8(x) => filled(&dense(p, &x.codes), p.k, words, 0x80),
    };
    let scales = match p.activation.scales() {
        [] => vec![1.0],
        scales => scales.to_vec(),
    };
    let zero_points = match (p.activation.zero_points(), packing) {
        ([], Packing::Uint8) => vec![0; scales.len()],
        (zero_points, _) => zero_points.to_vec(),
    };
    Ok(Tokens { words: session.upload(&rows)?, packing, scales, zero_points })
}

/// The sum of the units of each group of each row.
fn sums(p: &LinearProblem, group: usize) -> Result<Vec<i32>, Failure> {
    let unit: Box<dyn Fn(usize, usize) -> f32> = match &p.weight {
        Weight::Codes(w) => {
            let unit = decode::code(w.format.name())?;
            Box::new(move |row, k| unit(w.row(row), k))
        }
        Weight::Table(w) => {
            let table = decode::table(w.format.name())?;
            Box::new(move |row, k| {
                let byte = w.row(row)[k / 2];
                table.0[usize::from(if k % 2 == 0 { byte >> 4 } else { byte & 15 })]
            })
        }
        Weight::Blocks(w) => return Err(Failure(format!("no {} weights", w.format.name()))),
    };
    let all: Vec<usize> = (0..p.k).collect();
    let row = |row| all.chunks(group.max(1)).map(move |group| (row, group));
    let sum = |(row, group): (usize, &[usize])| -> i32 {
        group.iter().map(|k| unit(row, *k) as i32).sum()
    };
    Ok((0..p.n).flat_map(row).map(sum).collect())
}

fn weights<R: Device>(session: &Session<R>, p: &LinearProblem) -> Result<Rows, Failure> {
    let packing = packing(&p.weight)?;
    let words = packing.words(p.k);
    let unsigned = matches!(p.activation, Activation::U8(_));
    let zeros = is_integer(p) && (unsigned || !p.activation.zero_points().is_empty());
    let group = group(p).unwrap_or(p.k);
    let sums = if zeros { sums(p, group)? } else { Vec::new() };
    let integer = is_integer(p);
    match &p.weight {
        Weight::Codes(w) => Ok(Rows {
            words: session.upload(&padded(&w.bytes, w.row_bytes, words))?,
            packing,
            scales: w.scales.clone(),
            zero_points: w.zero_points.clone(),
            sums,
            table: [0.0; 16],
            integer,
        }),
        Weight::Table(w) => {
            let turned: Vec<u8> = w.codes.iter().map(|byte| byte.rotate_left(4)).collect();
            let (table, divisor) = decode::table(w.format.name())?;
            Ok(Rows {
                words: session.upload(&padded(&turned, p.k / 2, words))?,
                packing,
                scales: w.absmax.iter().map(|absmax| absmax / divisor).collect(),
                zero_points: Vec::new(),
                sums,
                table,
                integer,
            })
        }
        Weight::Blocks(w) => Err(Failure(format!("no {} weights", w.format.name()))),
    }
}

/// Values that share a scale, where there are more scales than one a row.
fn group(p: &LinearProblem) -> Option<usize> {
    match &p.weight {
        Weight::Codes(w) if w.groups == 1 => None,
        Weight::Codes(w) => Some(w.group_size),
        Weight::Blocks(_) | Weight::Table(_) => Some(TableFormat::BLOCK),
    }
}

impl<R: Device> Kernel<Linear> for Cube<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }
    fn need(&self) -> Need {
        R::NEED
    }
    fn threads(&self) -> Threads {
        Threads::Own
    }
    fn arithmetic(&self, problem: &LinearProblem) -> Arithmetic {
        match is_integer(problem) {
            true => Arithmetic::INTEGER_GPU,
            false => Arithmetic::FLOAT_GPU,
        }
    }
    fn accepts(&self, p: &LinearProblem) -> Result<(), String> {
        let packing = packing(&p.weight)?;
        if let Some(group) = group(p).filter(|group| group % GROUP != 0) {
            return Err(format!("no groups of {group}: not a multiple of {GROUP}"));
        }
        let x_words = match p.activation {
            Activation::F32(_) => p.k,
            Activation::I8(_) | Activation::U8(_) => p.k.div_ceil(4),
        };
        let words = [p.m * x_words, p.n * packing.words(p.k), p.m * p.n];
        self.binds(4 * words.into_iter().fold(0, usize::max))
    }
    fn prepare<'p>(
        &self,
        p: &'p LinearProblem,
        context: &mut Context,
    ) -> Result<Box<dyn Prepared + 'p>, Failure> {
        let mut session = Session::<R>::open(context)?;
        let sizes = Sizes {
            batch: 1,
            time: p.m,
            inputs: 1,
            pieces: 1,
            weights: 1,
            n: p.n,
            piece: p.k,
            group: group(p),
        };
        let (x, w) = (tokens(&session, p)?, weights(&session, p)?);
        let product = Product::new(&session, sizes, (x, w), None)?;
        let y = session.output(context, "y", sizes.outputs())?;
        let out = y.clone();
        let enqueue = move |client: &ComputeClient<R>| product.enqueue(client, &out);
        Ok(Box::new(Ready::new(session, enqueue, floats("y", y))))
    }
}
