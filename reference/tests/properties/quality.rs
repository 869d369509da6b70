//! A coarser format loses more of normal data than a finer one.
use super::normal;
use lowbit_reference::fake_quantize::{ByBlocks, ByRule, FakeQuantize};
use lowbit_reference::format::codebook::Table;
use lowbit_reference::format::double_quant::DoubleQuant;
use lowbit_reference::format::nf4::{Nf4, Nibbles};
use lowbit_reference::format::{Levels, block_format};
use lowbit_reference::quality::quality;
use lowbit_reference::rho::{RhoCodec, State, StateShape, rho_compression, rho_precision};
use lowbit_reference::rule::{activation_rule, weight_rule};

/// Rows of 4096, whole blocks of every format.
const SHAPE: [usize; 2] = [8, 4096];
const LEN: usize = 8 * 4096;

fn nmse(quantizer: &dyn FakeQuantize) -> f64 {
    let x = normal(9, LEN);
    quality(&x, quantizer.fake_quantize(&x, &SHAPE).unwrap()).nmse
}

/// From the finest to the coarsest, each with at least this much more noise than the one before.
fn ascending(chain: &[(&str, f64)], ratio: f64) {
    for pair in chain.windows(2) {
        assert!(pair[0].1 * ratio < pair[1].1, "{:?} is not finer than {:?}", pair[0], pair[1]);
    }
}

#[test]
fn block_formats() {
    let chains: [&[&str]; 6] = [
        &["fp16", "bf16", "fp8_e4m3", "fp8_e5m2"],
        &["fp16", "mxfp8_e4m3", "mxfp6_e3m2", "mxfp4_e2m1"],
        &["mxint8", "mxint6", "mxint4"],
        &["q8_0", "q5_1", "q4_1"],
        &["q8_0", "q5_0", "q4_0", "q2_0", "tq2_0"],
        &["mxfp6_e2m3", "mxfp6_e3m2", "nvfp4", "mxfp4", "q1_0"],
    ];
    for chain in chains {
        let nmse = |name: &&'static str| (*name, nmse(&ByBlocks(block_format(name).unwrap())));
        ascending(&chain.iter().map(nmse).collect::<Vec<_>>(), 1.1);
    }
    let of = |name| nmse(&ByBlocks(block_format(name).unwrap()));
    assert_eq!(of("tq1_0"), of("tq2_0"));
}

#[test]
fn rules() {
    let weight = |name: &'static str, levels| {
        let rule = weight_rule(name, levels).unwrap();
        (name, nmse(&ByRule { rule, levels }))
    };
    let activation = |name: &'static str, levels| {
        let rule = activation_rule(name, levels).unwrap();
        (name, nmse(&ByRule { rule, levels }))
    };
    let (int8, int4, ternary) = (Levels::Int8, Levels::Int4, Levels::Ternary);
    let absmax = [weight("absmax", int8), weight("absmax", int4), weight("b158", ternary)];
    ascending(&absmax, 1.1);
    ascending(&[weight("twn", ternary), weight("burn_dragon", ternary)], 1.1);
    ascending(&[weight("onnx", int8), weight("onnx", int4)], 10.0);
    ascending(&[activation("onnx", int8), activation("burn_dragon", int8)], 10.0);
    ascending(&[activation("a48", int8), activation("a48", int4)], 10.0);
    // Twice the mean clips a tenth of normal data, whatever the number of codes.
    let clipped = [weight("burn_dragon", int8), weight("burn_dragon", int4)];
    ascending(&clipped, 1.0);
    assert!(clipped[1].1 < 2.0 * clipped[0].1);
}

#[test]
fn four_bit_floats() {
    let nf4 =
        |table, size, double| nmse(&Nf4::new(table, size, double, Nibbles::LowFirst).unwrap());
    let sizes = [32, 64, 128, 256].map(|size| ("nf4", nf4(Table::Nf4, size, None)));
    ascending(&sizes, 1.0);
    ascending(&[sizes[1], ("fp4", nf4(Table::Fp4, 64, None))], 1.1);
    for scheme in DoubleQuant::ALL {
        let double = nf4(Table::Nf4, 64, Some(scheme));
        // Dearer than absmax in f32, but not by the step to larger blocks.
        assert!(double > sizes[1].1 * 0.999 && double < 1.1 * sizes[1].1, "{scheme:?}");
    }
}

#[test]
fn codecs() {
    let shape = StateShape::new(&[8, 64, 64]).unwrap();
    let x = normal(9, LEN);
    let of = |name, codec: &dyn RhoCodec| {
        let payload = codec.encode(State::new(shape, &x).unwrap(), None).unwrap();
        (name, quality(&x, codec.decode(&payload, shape, None).unwrap()).nmse)
    };
    let precision = |name| of(name, rho_precision(name).unwrap().codec);
    let compression = |name| of(name, rho_compression(name).unwrap().codec.unwrap());
    ascending(&[precision("fp32"), precision("bf16"), precision("int8_block")], 1.1);
    ascending(&[precision("int8_block"), precision("blockfp8")], 1.1);
    let compressions = ["blockfp", "fp8_block", "ternary_block"].map(compression);
    ascending(&compressions, 1.1);
    ascending(&[compression("int8_block"), compression("binary_block")], 1.1);
}
