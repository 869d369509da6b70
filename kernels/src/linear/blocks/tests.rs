//! Every coding, tile and row against sums that are written out.
use super::run::{Activations, bind};
use super::weights::{Coding, Weights};
use super::{avx2, avx512vnni, scalar};
use crate::context::{Context, Poison};
use crate::hardware::Hardware;
use crate::pool::Pool;
use crate::{Failure, Prepared};

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
    let scale = (1 + draw(j * 77 + k / block_len) % 5) as f32 / 4.0;
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
    Weights { n, k, block_len, coding, read: Box::new(read) }
}

/// Small numbers: every sum is exact in any order.
fn want(weights: &Weights<'_>, x: &[i8], zero_points: &[i32]) -> Vec<f32> {
    let (n, k, block_len) = (weights.n, weights.k, weights.block_len);
    let m = x.len() / k.max(1);
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

type Bound = Result<Vec<(&'static str, Box<dyn Prepared>)>, Failure>;

fn rows(weights: &Weights<'_>, x: &[i8], zx: &[i32], floats: bool, c: &mut Context) -> Bound {
    let scales = vec![0.5; x.len() / weights.k.max(1)];
    let x_f32: Vec<f32> = x.iter().map(|x| f32::from(*x)).collect();
    let codes = Activations { values: x, scales: &scales, zero_points: zx };
    let values = Activations { values: &x_f32, scales: &scales, zero_points: &[] };
    let mut rows: Vec<(_, Box<dyn Prepared>)> = Vec::new();
    rows.push(match floats {
        true => ("scalar", bind(scalar::Plain, weights, values, c)),
        false => ("scalar", bind(scalar::Plain, weights, codes, c)),
    });
    if let Ok(found) = avx2::Found::new(c) {
        rows.push(match floats {
            true => ("avx2", bind(found, weights, values, c)),
            false => ("avx2", bind(found, weights, codes, c)),
        });
    }
    if let Ok(found) = avx512vnni::Found::new(c) {
        rows.push(match floats {
            true => ("avx512vnni", bind(found, weights, values, c)),
            false => ("avx512vnni", bind(found, weights, codes, c)),
        });
    }
    Ok(rows)
}

#[test]
fn every_coding_tile_and_row_sums_what_the_codes_stand_for() {
    let codings = [
        ("bytes", Coding::plain(8, 128)),
        ("nibbles", Coding::plain(4, 8)),
        ("table", nf4()),
        ("zero points", Coding::zero_point()),
        ("crumbs", Coding::plain(2, 1)),
    ];
    let shapes = [(1, 1), (3, 20), (32, 32), (32, 96), (64, 129), (128, 256), (256, 300), (7, 0)];
    for (name, coding) in codings {
        for (s, (block_len, k)) in shapes.into_iter().enumerate() {
            let (m, n) = ([1, 4, 5, 2, 8, 1, 7, 3][s], [1, 16, 33, 15, 48, 17, 40, 5][s]);
            let weights = weights(coding, n, k, block_len);
            let x: Vec<i8> = (0..m * k).map(|i| (draw(i + s) % 256) as u8 as i8).collect();
            let zx: Vec<i32> = (0..m).map(|i| 60 * i as i32 - 128).collect();
            for (zx, floats) in [(&zx[..0], false), (&zx[..], false), (&[][..], true)] {
                let hardware = Hardware::detect();
                let mut c = Context::new(Pool::new(2).unwrap(), hardware, Poison::Ones);
                let want = match k {
                    0 => vec![],
                    _ => want(&weights, &x, zx),
                };
                for (row, mut run) in rows(&weights, &x, zx, floats, &mut c).unwrap() {
                    run.launch().unwrap();
                    let what = format!("{row} {name} {block_len} {m}x{k}x{n} {zx:?} {floats}");
                    assert_eq!(run.read().unwrap().f32s("y"), Some(&want[..]), "{what}");
                }
                c.check_guards().unwrap();
            }
        }
    }
}
