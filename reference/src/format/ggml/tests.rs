//! The formats against blocks worked out by hand from their definitions.
use super::*;
use crate::data::{Distribution, Stream, realistic};
use crate::format::BlockFormat;

static ALL: &[&dyn BlockFormat] =
    &[&Q1_0, &Q2_0, &Q4_0, &Q4_1, &Q4K, &Q5_0, &Q5_1, &Q8_0, &TQ1_0, &TQ2_0];

/// One block.
fn encode(format: &dyn BlockFormat, x: &[f32]) -> Vec<u8> {
    assert_eq!(x.len(), format.block_len());
    format.encode(x).unwrap()
}

fn decode(format: &dyn BlockFormat, bytes: &[u8]) -> Vec<f32> {
    format.decode(bytes).unwrap()
}

#[test]
fn sizes_are_those_of_the_structs() {
    let sizes = ALL.iter().map(|f| (f.name(), f.block_len(), f.block_bytes()));
    let want = [
        ("q1_0", 128, 18),
        ("q2_0", 64, 18),
        ("q4_0", 32, 18),
        ("q4_1", 32, 20),
        ("q4_k", 256, 144),
        ("q5_0", 32, 22),
        ("q5_1", 32, 24),
        ("q8_0", 32, 34),
        ("tq1_0", 256, 54),
        ("tq2_0", 256, 66),
    ];
    assert_eq!(sizes.collect::<Vec<_>>(), want);
    assert_eq!([TQ1_0.bits(), TQ2_0.bits(), Q4_0.bits()], [1.6875, 2.0625, 4.5]);
}

#[test]
fn exactly_representable_blocks_come_back() {
    let grid = |least: i32, levels: i32, unit: f32| -> Vec<f32> {
        (0..32).map(|i| (least + i * 7 % levels) as f32 * unit).collect()
    };
    let ternary = |len: i32| -> Vec<f32> { (0..len).map(|i| (i * 5 % 7 % 3 - 1) as f32).collect() };
    let cases: [(&dyn BlockFormat, Vec<f32>); 9] = [
        (&Q4_0, grid(-8, 16, 0.25)),
        // With 15 the largest, the sign of the scale is the other one.
        (&Q5_0, grid(-15, 32, -0.5)),
        (&Q4_1, grid(3, 16, 2.0)),
        (&Q5_1, grid(-9, 32, 0.125)),
        (&Q8_0, (0..32).map(|i| (i * 8 - 127) as f32).collect()),
        (&Q1_0, (0..128).map(|i| if i % 3 == 0 { -1.5 } else { 1.5 }).collect()),
        (&Q2_0, ternary(64)),
        (&TQ1_0, ternary(256)),
        (&TQ2_0, ternary(256)),
    ];
    for (format, x) in cases {
        let bytes = encode(format, &x);
        assert_eq!(decode(format, &bytes), x, "{}", format.name());
        assert_eq!(encode(format, &decode(format, &bytes)), bytes, "{}", format.name());
    }
}

#[test]
fn runs_of_a_block_have_scales_and_offsets_of_their_own() {
    // Run r has the codes 0 to 15 twice, times r + 1, less 2 r: scales 1 to 8, offsets 0 to 14.
    let x: Vec<f32> =
        (0..256).map(|i| (i / 32 + 1) as f32 * (i % 16) as f32 - 2.0 * (i / 32) as f32).collect();
    // d = f16(8 / 63), s = 63 (r + 1) / 8 rounded; dmin = f16(14 / 63), m = 9 r.
    let bytes = encode(&Q4K, &x);
    let mut want = vec![0x10, 0x30, 0x1c, 0x33];
    let s = [8u8, 16, 24, 32, 39, 47, 55, 63];
    let m = [0u8, 9, 18, 27, 36, 45, 54, 63];
    want.extend((0..4).map(|r| s[r] + s[r + 4] / 16 * 64));
    want.extend((0..4).map(|r| m[r] + m[r + 4] / 16 * 64));
    want.extend((4..8).map(|r| s[r] % 16 + m[r] % 16 * 16));
    assert_eq!(bytes[..16], want);
    // Both runs of a pair have the same codes: nibbles are alike.
    assert_eq!(bytes[16..48], std::array::from_fn::<u8, 32, _>(|i| (i % 16 * 17) as u8));
    let (d, dmin) = (f16(&bytes[..2]), f16(&bytes[2..4]));
    let value = |i: usize| d * f32::from(s[i / 32]) * (i % 16) as f32 - dmin * f32::from(m[i / 32]);
    let values = decode(&Q4K, &bytes);
    assert_eq!(values, (0..256).map(value).collect::<Vec<_>>());
    let reach = Q4K.reach(&bytes).unwrap();
    let wider = values.iter().zip(&reach).filter(|(x, reach)| x.abs() < **reach);
    assert_eq!(wider.count(), 7 * 30);
    assert!(Q4K.has_offset() && !Q8_0.has_offset());
    let bytes = encode(&Q8_0, &x[..32]);
    assert_eq!(Q8_0.reach(&bytes).unwrap(), decode(&Q8_0, &bytes));
}

#[test]
fn formats_without_an_offset_map_the_largest_magnitude_to_the_lowest_code() {
    // d = 4 / -8 = -0.5 (f16 b800); x / d + 8.5 is 0.5, 16.5 (at most 15), 8.0 | 9.0, 6.5, 15.5.
    let mut x = [0.0f32; 32];
    (x[0], x[1], x[2], x[16], x[17], x[31]) = (4.0, -4.0, 0.25, -0.25, 1.0, -3.5);
    let mut want = vec![0x00, 0xb8, 0x90, 0x6f];
    want.extend([0x88; 13]);
    want.push(0xf8);
    assert_eq!(encode(&Q4_0, &x), want);
    // d = 4 / -16 = -0.25 (b400); x / d + 16.5: 0, 31 (32.5), 15 | 17, 12, 30; fifth bits of all
    // but the values 0, 2 and 17.
    let mut want = vec![0x00, 0xb4, 0xfa, 0xff, 0xfd, 0xff, 0x10, 0xcf, 0x0f];
    want.extend([0x00; 12]);
    want.push(0xe0);
    assert_eq!(encode(&Q5_0, &x), want);
}

#[test]
fn formats_with_an_offset_map_the_smallest_value_to_code_zero() {
    // m = -2 (c000), d = (5.5 - -2) / 15 = 0.5 (3800); -1.75 is a tie: 0.5 + 0.5 is 1.
    let mut x = [-2.0f32; 32];
    (x[0], x[1], x[16], x[30]) = (5.5, -1.75, -1.0, 0.0);
    let mut want = vec![0x00, 0x38, 0x00, 0xc0, 0x2f, 0x01];
    want.extend([0x00; 12]);
    want.extend([0x40, 0x00]);
    assert_eq!(encode(&Q4_1, &x), want);
    // d = (13.5 - -2) / 31 = 0.5; codes 31, 1, 2, 4 and one of 16 + 3 at 30.
    (x[0], x[30]) = (13.5, 7.5);
    let mut want = vec![0x00, 0x38, 0x00, 0xc0, 0x01, 0x00, 0x00, 0x40, 0x2f, 0x01];
    want.extend([0x00; 12]);
    want.extend([0x30, 0x00]);
    assert_eq!(encode(&Q5_1, &x), want);
}

#[test]
fn eight_bits_round_ties_away_from_zero() {
    // d = 254 / 127 = 2 (4000): codes 127, -127, 1 (0.5), -1 (-0.5), 2 (1.5), 0.
    let mut x = [0.0f32; 32];
    (x[0], x[1], x[2], x[3], x[31]) = (254.0, -254.0, 1.0, -1.0, 3.0);
    let mut want = vec![0x00, 0x40, 0x7f, 0x81, 0x01, 0xff];
    want.extend([0x00; 27]);
    want.push(0x02);
    assert_eq!(encode(&Q8_0, &x), want);
}

#[test]
fn signs_take_the_mean_and_count_zero_as_positive() {
    // mean |x| = 128 / 128 = 1 (3c00); bits 0, 2 and 9 are clear, -0 is positive.
    let mut x = [0.0f32; 128];
    (x[0], x[1], x[2], x[9], x[10]) = (-60.0, 4.0, -60.0, -4.0, -0.0);
    let mut want = vec![0x00, 0x3c, 0xfa, 0xfd];
    want.extend([0xff; 14]);
    assert_eq!(encode(&Q1_0, &x), want);
    assert_eq!(decode(&Q1_0, &want)[..4], [-1.0, 1.0, -1.0, 1.0]);
}

#[test]
fn ternary_codes_lie_where_the_layouts_say() {
    // d = 2 (4000); half of it is a tie and becomes 1.
    let mut x = [0.0f32; 256];
    (x[0], x[1], x[2], x[32], x[160], x[240], x[255]) = (2.0, -1.0, 0.999, -2.0, 2.0, -2.0, 2.0);
    // Neighbours in a byte: 2 + (0 << 2) + (1 << 4) + (1 << 6); zeros are 01 01 01 01.
    let mut want = vec![0x00, 0x40, 0x52];
    want.extend([0x55; 7]);
    want.push(0x54);
    want.extend([0x55; 7]);
    assert_eq!(encode(&Q2_0, &x[..64]), want);
    // Value 0 and 32 in byte 0: 2 + (0 << 2) + (1 << 4) + (1 << 6). 160 in byte 32, place 1; 240 in
    // byte 48, place 3; 255 in byte 63, place 3.
    let mut want = [0x55; 66];
    (want[0], want[1], want[32], want[48], want[63]) = (0x52, 0x54, 0x59, 0x15, 0x95);
    (want[64], want[65]) = (0x00, 0x40);
    assert_eq!(encode(&TQ2_0, &x), want);
    // Zeros: 121 = 11111 in base 3 (120 = 11110 in the last four bytes), ceil(121 256 / 243) = 128
    // and 127. Byte 0: 20111 = 175 -> 185. Byte 1: 01111 = 40 -> 43. Byte 32: 21111 = 202 -> 213.
    // Byte 48: 01110 = 39 -> 42. Byte 51: 11120 = 123 -> 130.
    let mut want = [128; 54];
    (want[0], want[1], want[32]) = (185, 43, 213);
    want[48..54].copy_from_slice(&[42, 127, 127, 130, 0x00, 0x40]);
    assert_eq!(encode(&TQ1_0, &x), want);
}

#[test]
fn a_block_does_not_depend_on_what_its_bytes_held() {
    for format in ALL {
        let len = format.block_len();
        let x = realistic(Distribution::Normal, (5, Stream::Weight), (len, len), 1.0);
        let mut bytes = vec![0xff; format.block_bytes()];
        format.encode_block(&x, &mut bytes);
        assert_eq!(bytes, encode(*format, &x), "{}", format.name());
    }
}

#[test]
fn zeros_become_zeros() {
    for format in ALL {
        let zeros = vec![0.0; format.block_len()];
        let x = decode(*format, &encode(*format, &zeros));
        assert!(x.iter().all(|x| *x == 0.0), "{}", format.name());
    }
}

#[test]
fn a_nan_makes_its_block_nan_and_an_infinity_leaves_nothing_finite() {
    for format in ALL {
        let len = format.block_len();
        for at in [0, len / 2, len - 1] {
            let finite = realistic(Distribution::Normal, (3, Stream::Weight), (3 * len, len), 1.0);
            let with = |value: f32| {
                let mut x = finite.clone();
                x[len + at] = value;
                let x = decode(*format, &format.encode(&x).unwrap());
                assert!(x[..len].iter().chain(&x[2 * len..]).all(|x| x.is_finite()));
                x[len..2 * len].to_vec()
            };
            assert!(with(f32::NAN).iter().all(|x| x.is_nan()), "{} {at}", format.name());
            for value in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN] {
                let x = with(value);
                assert!(!x.iter().any(|x| x.is_finite()), "{} {value} {x:?}", format.name());
            }
        }
    }
}

#[test]
fn any_bytes_decode_and_subnormal_scales_saturate() {
    for format in ALL {
        for byte in 0..=255 {
            let bytes = vec![byte; format.block_bytes()];
            assert_eq!(decode(*format, &bytes).len(), format.block_len());
        }
        for tiny in [f32::from_bits(1), -f32::from_bits(3), 1e-40] {
            let mut x = vec![tiny; format.block_len()];
            x[1] = 0.0;
            assert!(decode(*format, &encode(*format, &x)).iter().all(|x| *x == 0.0));
        }
        assert!(format.encode(&[0.0]).is_err() && format.decode(&[0]).is_err());
    }
}

#[test]
fn a_sum_is_rounded_once_before_it_is_cut() {
    // Each quotient plus 8.5 is just below a whole number, which two roundings reach.
    let mut x = [0.0f32; 32];
    x[..4].copy_from_slice(&[0.701_546_4, 0.570_006_43, 0.219_233_26, -0.570_006_4]);
    let codes = signed_codes(&x, 8).1;
    assert_eq!(codes[..4], [0, 1, 5, 14]);
}
