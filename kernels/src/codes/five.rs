//! Five ternary codes a byte: the five digits of each byte in base 3, less 1, from a table of 2 KiB.
//!
//! A load and a store of 8 bytes make five codes; the three bytes too many are overwritten by the
//! next, and the last of a run are stored one by one. No reciprocal of 3 is needed. Bytes above 242 are
//! none of the format's; their digits are those of `byte % 243`.

/// The codes of each byte, the first the lowest digit; three bytes to spare.
static DIGITS: [[u8; 8]; 256] = digits();

const fn digits() -> [[u8; 8]; 256] {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut rest, mut n) = (byte, 0);
        while n < 5 {
            table[byte][n] = ((rest % 3) as u8).wrapping_sub(1);
            rest /= 3;
            n += 1;
        }
        byte += 1;
    }
    table
}

/// Codes of packed bytes.
#[inline(always)]
pub(super) fn unpack(bytes: &[u8], codes: &mut [u8]) {
    let mut codes = codes;
    for byte in &bytes[..codes.len().div_ceil(5)] {
        let digits = &DIGITS[usize::from(*byte)];
        match codes.first_chunk_mut::<8>() {
            Some(eight) => *eight = *digits,
            None => {
                let few = codes.len().min(5);
                codes[..few].copy_from_slice(&digits[..few]);
            }
        }
        let done = codes.len().min(5);
        codes = &mut codes[done..];
    }
}
