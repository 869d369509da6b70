//! Probes must do what they say: a probe that reads less than it claims raises every roof.
use super::*;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 167 % 251) as u8).collect()
}

fn checksum(bytes: &[u8]) -> u64 {
    let place = |(i, byte): (usize, &u8)| u64::from(*byte) << (8 * (i % 8));
    bytes.iter().enumerate().map(place).fold(0, u64::wrapping_add)
}

#[test]
fn the_checksum_covers_every_byte_at_any_length_and_alignment() {
    for len in (0..200).chain([511, 512, 513, 1024, 4096, 5001, 20_011]) {
        for offset in [0, 1, 7] {
            let bytes = bytes(len + offset);
            let bytes = &bytes[offset..];
            let want = checksum(bytes);
            assert_eq!(portable::read(bytes), want, "portable {len} {offset}");
            for reader in READERS {
                assert_eq!(read_with(*reader, bytes), want, "{reader:?} {len} {offset}");
                #[cfg(target_arch = "x86_64")]
                if hardware::avx2() {
                    // SAFETY: detected.
                    let sum = unsafe { avx2::read(bytes, *reader) };
                    assert_eq!(sum, want, "avx2 {reader:?} {len}");
                }
            }
        }
    }
}

fn lines(len: usize) -> Vec<Line> {
    let line = |i: usize| Line(std::array::from_fn(|j| (64 * i + j * 7 % 253) as u8 | 1));
    (0..len).map(line).collect()
}

#[test]
fn streams_write_the_same_lines_with_all_instructions_and_no_zeros() {
    for kind in Stream::ALL {
        let (read, written) = kind.lines();
        let (from, empty) = (lines(3 * read), vec![Line([0xee; 64]); 3 * written + 1]);
        let mut want = empty.clone();
        portable::stream(kind, &from, &mut want);
        assert_eq!(want[3 * written], empty[0], "wrote past the last whole step");
        assert!(want.iter().all(|line| line.0.iter().any(|byte| *byte != 0)));
        for store in [Store::Plain, Store::NonTemporal] {
            let mut got = empty.clone();
            stream(kind, &from, &mut got, store);
            assert_eq!(got, want, "{kind:?} {store:?}");
            #[cfg(target_arch = "x86_64")]
            if hardware::avx2() {
                let mut got = empty.clone();
                // SAFETY: detected.
                unsafe { avx2::stream(kind, &from, &mut got, store) };
                assert_eq!(got, want, "avx2 {kind:?} {store:?}");
            }
        }
    }
}

#[test]
fn rows_are_quantized_alike_with_all_instructions() {
    let value = |i: usize| ((i * 7919 % 1009) as f32 - 504.0) / 3.0;
    let rows: Vec<[f32; ROW]> =
        (0..2).map(|r| std::array::from_fn(|i| value(i + 31 * r))).collect();
    let empty = vec![[Line([0; 64]); ROW / 64]; 2];
    let mut want = empty.clone();
    portable::quantize_rows(&rows, &mut want);
    let codes = want.as_flattened().iter().flat_map(|line| line.0);
    assert_eq!(codes.map(|code| code.cast_signed().unsigned_abs()).max(), Some(127));
    let mut got = empty.clone();
    quantize_rows(&rows, &mut got);
    assert!(got == want);
    #[cfg(target_arch = "x86_64")]
    if hardware::avx2() {
        let mut got = empty.clone();
        // SAFETY: detected.
        unsafe { avx2::quantize_rows(&rows, &mut got) };
        assert!(got == want, "avx2");
    }
}

#[test]
fn macs_grow_with_iterations_and_so_does_the_sum() {
    assert_eq!(int8_dot(0).0, 0);
    assert_eq!(int8_dot(20).0, 20 * int8_dot(1).0);
    assert_eq!(f32_fma(20).0, 20 * f32_fma(1).0);
    assert_ne!(int8_dot(1).1, int8_dot(2).1);
    assert_ne!(f32_fma(1).1, f32_fma(2).1);
    assert!(f32_fma(10_000).1.is_finite());
}
