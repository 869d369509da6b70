//! Defects 18 and 19: pad lanes, and panics where an error belongs.
use crate::source::packing::{encoding, pack_i8x4, unpack_rho_int8, unpack_ternary};
use lowbit_reference::artifact::Artifact;
use lowbit_reference::config::lowbit::{
    LowBitQuantizationConfig, LowBitRhoConfig, RhoCompressionConfig, RhoPrecisionConfig,
};
use lowbit_reference::format::{INT4, INT8, SIGN1, TERNARY2, UnpackError, WeightFormat};
use lowbit_reference::invalid::Invalid;
use lowbit_reference::memory::{Held, ModelShape, count};
use lowbit_reference::rho::rho_compression;
use lowbit_reference::rule::Code;

#[test]
fn defect_18_pad_lanes_hold_the_next_row() {
    let two_rows =
        |second: i8| -> Vec<i8> { (0..12).map(|i| if i < 6 { 1 } else { second }).collect() };
    let word = |second| pack_i8x4(&two_rows(second), 2, 6)[1];
    assert_ne!(word(1), word(-1), "the first row's second word shows the second row");
    // Ours packs each row on its own: neither the bytes of a row nor its padding see another.
    let formats: [&'static dyn WeightFormat; 4] = [&INT8, &INT4, &TERNARY2, &SIGN1];
    for format in formats {
        let len = 7;
        let first_row = |second: Code| {
            let codes: Vec<Code> = (0..14).map(|i| if i < len { 1 } else { second }).collect();
            let artifact = Artifact::pack(format, &[2, 7], vec![1.0], &codes).unwrap();
            artifact.bytes()[..format.row_bytes(7)].to_vec()
        };
        assert_eq!(first_row(1), first_row(-1), "{}", format.name());
        assert_eq!(first_row(1), format.pack(&[1; 7]).unwrap(), "{}", format.name());
    }
    // Seven ternary codes leave one field of two bits, seven signs one bit: both are 0.
    assert_eq!(TERNARY2.pack(&[1; 7]).unwrap()[1] >> 6, 0);
    assert_eq!(SIGN1.pack(&[1; 7]).unwrap()[0] >> 7, 0);
}

#[test]
fn defect_19_bad_bytes_are_errors_and_not_panics() {
    assert!(unpack_ternary(0xff).unwrap_err().contains("invalid packed ternary code 3"));
    let pattern = UnpackError::Pattern { index: 0, pattern: 3, format: "ternary2" };
    assert_eq!(TERNARY2.unpack(&[0xff], 4), Err(pattern));

    assert!(unpack_rho_int8(64, &[1.0; 2], &[0; 40]).unwrap_err().contains("out of range"));
    let short = UnpackError::Short { len: 64, needed: 64, found: 40 };
    assert_eq!(INT8.unpack(&[0; 40], 64), Err(short));
    let field = |artifact: Result<Artifact, Invalid>| artifact.unwrap_err().field;
    assert_eq!(field(Artifact::new(&INT8, &[2, 32], vec![1.0; 2], vec![0; 40])), "bytes");
}

#[test]
fn defect_19_missing_scales_are_an_error_and_not_a_shorter_state() {
    assert_eq!(unpack_rho_int8(64, &[1.0], &[0; 64]).unwrap().len(), 32, "32 of 64, unsaid");
    let missing = Artifact::new(&INT8, &[4, 16], vec![1.0; 2], vec![0; 64]).unwrap_err();
    assert_eq!(missing.to_string(), "`scales` is 2 values, must be 1 value or 4 values, one a row");
}

#[test]
fn defect_19_unsupported_compressions_are_errors() {
    assert!(encoding("lowrank_delta_exp").is_err(), "an `expect` there");
    assert!(rho_compression("lowrank_delta_exp").is_some_and(|known| known.codec.is_some()));
    assert!(rho_compression("no such compression").is_none());
    let both = LowBitRhoConfig {
        precision: RhoPrecisionConfig::Fp8Exp,
        compression: RhoCompressionConfig::Fp8BlockExp,
        ..Default::default()
    };
    let (quant, shape) =
        (LowBitQuantizationConfig::default(), ModelShape { n_head: 1, ..Default::default() });
    let error = count(&quant, &both, &shape, Held::default()).unwrap_err();
    assert_eq!(error.field, "model.rho.precision");
}

#[test]
fn defect_19_shapes_are_checked() {
    // `logical_shape.iter().product()`, unchecked: wraps to 0 in a release build.
    let dims = [1usize << 32, 1 << 32, 1, 1];
    assert_eq!(dims.iter().fold(1usize, |product, dim| product.wrapping_mul(*dim)), 0);
    assert_eq!(Artifact::new(&INT8, &dims, vec![1.0], vec![]).unwrap_err().field, "shape");
    // A rank or size that was not expected: an assert there.
    assert!(Invalid::check_len("x", 24, &[2, 3, 5]).is_err());
}
