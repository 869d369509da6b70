//! Every coding, tile and row against sums that are written out.
use super::run::{Activations, bind};
use super::token::Source;
use super::weights::{Coding, Weights};
use super::{Tile, avx2, avx512vnni, scalar};
use crate::Prepared;
use crate::context::{Context, Poison};
use crate::hardware::Hardware;
use crate::pool::Pool;
use lowbit_reference::op::linear::Rows;

/// A number that looks random.
fn draw(i: usize) -> usize {
    i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 37
}

fn nf4() -> Coding {
    Coding::table(lowbit_reference::format::codebook::NF4_VALUES.map(|v| (127.0 * v).round()))
}

/// Code, scale and zero point.
fn entry(coding: &Coding, j: usize, k: usize, block_len: usize) -> (u8, f32, u8) {
    let code = (draw(j * 1009 + k) % (1 << coding.bits)) as u8;
    let scale = [1.0, 2.0, 3.0][draw(j * 77 + k / block_len) % 3];
    (code, scale, (draw(j + 31 * (k / block_len)) % 16) as u8)
}

fn weights(coding: Coding, n: usize, k: usize, block_len: usize) -> Weights<'static> {
    let read = move |j: usize, b: usize, codes: &mut [u8]| {
        let (_, scale, zero_point) = entry(&coding, j, b * block_len, block_len);
        for (i, code) in codes.iter_mut().enumerate() {
            *code = entry(&coding, j, b * block_len + i, block_len).0;
        }
        (scale, zero_point)
    };
    Weights { n, k, block_len, coding, row_scales: vec![1.0; n], read: Box::new(read) }
}

/// Small numbers: every sum is exact in any order.
fn want(weights: &Weights<'_>, x: &[i8], m: usize, zero_points: &[i32]) -> Vec<f32> {
    let (n, k, block_len) = (weights.n, weights.k, weights.block_len);
    let value = |i: usize, j: usize| -> f64 {
        let term = |at: usize| {
            let (code, scale, zero_point) = entry(&weights.coding, j, at, block_len);
            let x = i32::from(x[i * k + at]) - zero_points.get(i).unwrap_or(&0);
            f64::from(x * weights.coding.value(code, zero_point)) * f64::from(scale)
        };
        (0..k).map(term).sum()
    };
    (0..m * n).map(|at| (value(at / n, at % n) * 0.5) as f32).collect()
}

/// Floats or codes.
fn activations(
    x: &[i8],
    (m, k): (usize, usize),
    zx: &[i32],
    floats: bool,
    c: &mut Context,
) -> Activations {
    let source = match floats {
        true => Source::Floats(c.copy("x", &x.iter().map(|x| f32::from(*x)).collect::<Vec<_>>())),
        false => Source::Signed(c.copy("x", x)),
    };
    let zero_points = if zx.is_empty() { vec![0; m] } else { zx.to_vec() };
    Activations { source, rows: Rows::contiguous(m, k), scales: vec![0.5; m], zero_points }
}

fn bound<'p>(
    row: &str,
    w: &Weights<'_>,
    x: Activations,
    c: &mut Context,
) -> Option<Box<dyn Prepared + 'p>> {
    fn with<'p, I: Tile<i8> + Tile<f32> + 'p>(
        isa: I,
        w: &Weights<'_>,
        x: Activations,
        c: &mut Context,
    ) -> Box<dyn Prepared + 'p> {
        match x.source {
            Source::Floats(_) => bind::<I, f32>(isa, w, x, c),
            _ => bind::<I, i8>(isa, w, x, c),
        }
    }
    match row {
        "scalar" => Some(with(scalar::Plain, w, x, c)),
        "avx2" => avx2::Found::new(c).ok().map(|found| with(found, w, x, c)),
        _ => avx512vnni::Found::new(c).ok().map(|found| with(found, w, x, c)),
    }
}

#[test]
fn every_coding_tile_and_row_sums_what_the_codes_stand_for() {
    let codings = [
        ("bytes", Coding::plain(8, 128)),
        ("nibbles", Coding::plain(4, 8)),
        ("table", nf4()),
        ("zero points", Coding::zero_point(4)),
        ("bytes with zero points", Coding::zero_point(8)),
        ("crumbs", Coding::plain(2, 1)),
    ];
    let shapes = [(1, 1), (3, 20), (32, 32), (32, 96), (64, 129), (128, 256), (256, 300), (7, 0)];
    for (name, coding) in codings {
        for (s, (block_len, k)) in shapes.into_iter().enumerate() {
            let (m, n) = ([1, 4, 5, 2, 8, 1, 7, 3][s], [1, 16, 33, 15, 48, 17, 40, 5][s]);
            let weights = weights(coding, n, k, block_len);
            let x: Vec<i8> =
                (0..m * k).map(|i| ((draw(i + s) % 256) as u8).cast_signed()).collect();
            let zx: Vec<i32> = (0..).step_by(30).map(|z| z - 128).take(m).collect();
            for (zx, floats) in [(&zx[..0], false), (&zx[..], false), (&[][..], true)] {
                let hardware = Hardware::detect();
                let mut c = Context::new(Pool::new(2).unwrap(), hardware, Poison::Ones);
                let want = want(&weights, &x, m, zx);
                for row in ["scalar", "avx2", "avx512vnni"] {
                    let x = activations(&x, (m, k), zx, floats, &mut c);
                    let Some(mut run) = bound(row, &weights, x, &mut c) else { continue };
                    run.launch().unwrap();
                    let what = format!("{row} {name} {block_len} {m}x{k}x{n} {zx:?} {floats}");
                    assert_eq!(run.read().unwrap().f32s("y"), Some(&want[..]), "{what}");
                }
                c.check_guards().unwrap();
            }
        }
    }
}
