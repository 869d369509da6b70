//! Products of codes: packing changes nothing, and integers are exact.
use super::{config, floats};
use lowbit_reference::data::NoFiles;
use lowbit_reference::format::{Levels, WEIGHT_FORMATS};
use lowbit_reference::op::Op;
use lowbit_reference::op::exact::exact_integer_dot;
use lowbit_reference::op::integer::{Affine, Codes, MatMulShape, matmul_integer};
use lowbit_reference::op::linear::{Linear, Weight};
use lowbit_reference::op::pack::{pack_words, unpack_words};
use lowbit_reference::op::projection::{
    Accumulator, Coded, Contraction, DecoderTail, IntegerProjection, LowrankProjection,
};
use lowbit_reference::rule::{Code, burn_dragon, quantize};
use proptest::prelude::*;

/// Two tokens of 3 heads with 5 channels each, and 7 latents of 9 that are packed.
const LOWRANK: LowrankProjection = LowrankProjection {
    batch: 1,
    input_heads: 3,
    heads: 3,
    time: 2,
    embd: 5,
    packed_latent: 9,
    latent: 7,
};

/// Two tokens of 3 heads with 5 latents of 9 each, to 5 channels.
const TAIL: DecoderTail =
    DecoderTail { batch: 1, heads: 3, time: 2, latent: 5, latent_total: 27, dim: 5 };

/// The sums over codes that were packed row by row are those over the codes, each an exact dot.
fn check<S: Contraction + Copy>(shape: S, x: &[Code], w: &[Code], packed: &[Code]) {
    let coded = |codes| Coded { codes, limit: 255, scales: &[1.0] };
    let sums = |weight| {
        let (input, relu_threshold) = (coded(x), None);
        let accumulator = Accumulator::I32;
        let weight = coded(weight);
        IntegerProjection { shape, input, weight, accumulator, relu_threshold }.sums().unwrap()
    };
    assert_eq!(sums(packed), sums(w));
    for (output, sum) in sums(w).into_iter().enumerate() {
        let (xs, ws): (Vec<_>, Vec<_>) = shape.terms(output).map(|(i, j)| (x[i], w[j])).unzip();
        assert_eq!(exact_integer_dot(&xs, &ws), Ok(i128::from(sum)));
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn packed_weights_have_the_products_of_their_codes(x in floats(30), w in floats(135)) {
        let x = quantize(&burn_dragon(Levels::Int8), Levels::Int8, &x, 30).codes;
        for format in WEIGHT_FORMATS.iter().copied() {
            let w = quantize(&burn_dragon(format.levels()), format.levels(), &w, 135).codes;
            let bytes = w.chunks(9).map(|row| format.pack(row).unwrap());
            let unpacked: Vec<Code> =
                bytes.flat_map(|row| format.unpack(&row, 9).unwrap()).collect();
            check(LOWRANK, &x, &w, &unpacked);
            let words = pack_words(format, &w, 5).unwrap();
            check(TAIL, &x, &w, &unpack_words(format, &words, 5).unwrap());
        }
    }

    #[test]
    fn integer_products_are_exact(
        a in prop::collection::vec(any::<u8>(), 3 * 40),
        b in prop::collection::vec(any::<i8>(), 40 * 4),
        a_zeros in prop::collection::vec(0i32..256, 3),
        b_zeros in prop::collection::vec(-128i32..128, 4),
    ) {
        let shape = MatMulShape { m: 3, k: 40, n: 4 };
        let [left, right] = [(Codes::U8(&a), &a_zeros), (Codes::I8(&b), &b_zeros)]
            .map(|(codes, zero_points)| Affine { codes, zero_points });
        let product = matmul_integer(shape, &left, &right).unwrap();
        for (index, found) in product.into_iter().enumerate() {
            let (i, j) = (index / 4, index % 4);
            let row = (0..40).map(|p| i32::from(a[i * 40 + p]) - a_zeros[i]);
            let column = (0..40).map(|p| i32::from(b[p * 4 + j]) - b_zeros[j]);
            let [row, column]: [Vec<i32>; 2] = [row.collect(), column.collect()];
            prop_assert_eq!(i128::from(found), exact_integer_dot(&row, &column).unwrap());
        }
    }
}

#[test]
fn linear_multiplies_the_codes_it_packed() {
    for (weight, rule) in [
        ("ternary2", "b158"),
        ("ternary3", "twn"),
        ("sign1", "b1"),
        ("int8", "absmax"),
        ("int4", "absmax"),
    ] {
        let id = format!(
            "linear/weight={weight}/activation=int8/weight_rule={rule}/activation_rule=b158/\
             m=2/k=67/n=5/data=realistic/seed=3"
        );
        let problem = Linear::generate(&id.parse().unwrap(), &NoFiles).unwrap();
        let Weight::Codes(weight) = &problem.weight else { panic!("{id}: no codes") };
        let levels = weight.format.levels();
        let group_len = weight.rule.group_len(5 * 67, 67);
        let q = quantize(&weight.rule, levels, &problem.weight_f32, group_len);
        assert_eq!(weight.weight_codes(), q.codes, "{id}");
        assert_eq!(weight.row_bytes, weight.format.row_bytes(67));
    }
}
