//! NF4 and FP4 in every block size, with every way to store absmax.
use super::{config, floats, negated, normal, scaled};
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::double_quant::DoubleQuant;
use lowbit_reference::format::nf4::{Nf4, Nibbles};
use proptest::prelude::*;

const TABLES: [Table; 2] = [Table::Nf4, Table::Fp4];

fn double_quants() -> impl Iterator<Item = Option<DoubleQuant>> {
    DoubleQuant::ALL.into_iter().map(Some).chain([None])
}

fn format(table: Table, block_size: usize, double_quant: Option<DoubleQuant>) -> Nf4 {
    Nf4::new(table, block_size, double_quant, Nibbles::HighFirst).unwrap()
}

/// Both tables, three block sizes, four ways to store absmax.
fn all() -> impl Iterator<Item = Nf4> {
    TABLES.into_iter().flat_map(|table| {
        let sized = move |size| double_quants().map(move |double| format(table, size, double));
        [32, 64, 128].into_iter().flat_map(sized)
    })
}

fn kept(format: &Nf4, x: &[f32]) -> Vec<f32> {
    format.quantize(x).dequantize()
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn codes_are_stable(x in floats(1..600)) {
        for format in all() {
            let once = format.quantize(&x);
            let again = format.quantize(&once.dequantize());
            match (format.table(), format.double_quant()) {
                (Table::Nf4, _) => prop_assert_eq!(again.packed(), once.packed(), "{:?}", format),
                // FP4 has two codes of zero, of which only one is that of zero.
                (Table::Fp4, None) => prop_assert_eq!(again.dequantize(), once.dequantize()),
                (Table::Fp4, _) => {}
            }
            if format.double_quant().is_none() {
                prop_assert_eq!(again.absmax(), once.absmax());
            }
        }
    }

    #[test]
    fn powers_of_two_pass_through(x in floats(1..600), k in -8i32..=8) {
        for format in all() {
            let want = scaled(&kept(&format, &x), k);
            prop_assert_eq!(kept(&format, &scaled(&x, k)), want, "{:?}", format);
        }
    }

    #[test]
    fn signs_pass_through_fp4(x in floats(1..600)) {
        for format in all().filter(|format| format.table() == Table::Fp4) {
            prop_assert_eq!(kept(&format, &negated(&x)), negated(&kept(&format, &x)));
        }
    }

    #[test]
    fn blocks_are_apart(x in floats(128), y in floats(1..200)) {
        for format in all().filter(|format| format.double_quant().is_none()) {
            let both = [format.quantize(&x).codes(), format.quantize(&y).codes()].concat();
            prop_assert_eq!(format.quantize(&[&x[..], &y].concat()).codes(), both);
        }
    }

    #[test]
    fn zeros_and_order_change_nothing(x in floats(32), by in 0usize..32) {
        for table in TABLES {
            let (whole, half) = (format(table, 64, None), format(table, 32, None));
            let padded = [&x[..], &[0.0; 32]].concat();
            let codes = half.quantize(&x).codes();
            prop_assert_eq!(&whole.quantize(&padded).codes()[..32], &codes[..]);
            let turn = |x: &[f32]| [&x[by..], &x[..by]].concat();
            prop_assert_eq!(kept(&half, &turn(&x)), turn(&kept(&half, &x)));
        }
    }

    #[test]
    fn errors_are_half_of_the_gap_between_values(x in floats(1..600)) {
        for format in all().filter(|format| format.double_quant().is_none()) {
            let table = format.table();
            let ascending = table.ascending().map(|code| table.values()[usize::from(code)]);
            let gaps = ascending.windows(2).map(|pair| pair[1] - pair[0]);
            let widest = gaps.fold(0.0, f32::max);
            let absmax = format.quantize(&x).absmax().dequantize();
            for ((i, x), back) in x.iter().enumerate().zip(kept(&format, &x)) {
                let absmax = absmax[i / format.block_size()];
                // Reciprocal, quotient, midpoint and product round once each.
                let bound = (widest / 2.0 + 4.0 * f32::EPSILON) * absmax;
                prop_assert!((x - back).abs() <= bound, "{format:?}: {x} {back}");
            }
        }
    }
}

#[test]
fn two_codes_of_zero_are_not_stable() {
    // A quotient of 0.001 has code 8, which is zero, which has code 0.
    let fp4 = format(Table::Fp4, 32, None);
    let once = fp4.quantize(&[1.0, 0.001]);
    assert_eq!(once.codes(), [3, 8]);
    assert_eq!(fp4.quantize(&once.dequantize()).codes(), [3, 0]);
}

#[test]
fn nf4_has_more_values_above_zero_than_below() {
    let nf4 = format(Table::Nf4, 32, None);
    let x = normal(1, 32);
    assert_ne!(kept(&nf4, &negated(&x)), negated(&kept(&nf4, &x)));
}

/// absmax stored in a byte around its mean has another mean afterwards.
#[test]
fn stored_absmax_drifts_where_it_is_centred() {
    let x = normal(3, 64 * 64);
    for scheme in DoubleQuant::ALL {
        let format = format(Table::Nf4, 64, Some(scheme));
        let once = format.quantize(&x);
        let again = format.quantize(&once.dequantize());
        let drifts = again.absmax().dequantize() != once.absmax().dequantize();
        assert_eq!(drifts, scheme != DoubleQuant::Fp8E4m3, "{scheme:?}");
    }
}
