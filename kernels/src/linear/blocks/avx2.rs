//! `avx2`: 32 codes a `vpmaddubsw`, eight rows in the lanes of a sum.
//!
//! A unit is two halves of eight rows. Integers: a field is `(w >> bits j) & mask`, the unsigned
//! operand of `vpmaddubsw`; a pair `u8 * s8 + u8 * s8` is at most `2 * 15 * 128 = 3840`, and the
//! fields of a unit add to at most 7680 in an i16 before `vpmaddwd` by ones makes them i32. Codes
//! of up to 255 (bytes, and tables looked up by `vpshufb`) would saturate: they are split into
//! `min(u, 127) + rest`, two operands of at most 127, whose pairs stay within
//! `2 * 127 * 128 = 32512`.
//!
//! Floats: two bits select by `vpermilps`; four bits of a table by two `vpermps` of eight entries
//! and a blend on the fourth bit; other codes become `2^23 + u` by setting bits, and `2^23 + bias`
//! (or `2^23 + z`) is taken off, exactly.
//!
//! Sixteen registers hold both halves of a panel for one token, or one half for four.
use super::{Codebook, Panel, QUAD, ROWS, Step, Sums, TABLE, Tile, Tokens, Unit, ZERO_POINT};
use crate::context::Context;
use crate::hardware::Need;
use core::arch::x86_64::*;

/// Made only where the instructions were detected.
#[derive(Clone, Copy)]
pub(in super::super) struct Found(());

impl Found {
    /// The proof, or what is missing.
    pub(in super::super) fn new(context: &Context) -> Result<Found, String> {
        context.hardware().has(Need::Avx2).map(|()| Found(()))
    }
}

/// Rows of half a panel.
const HALF: usize = ROWS / 2;

impl Tile<i8> for Found {
    #[inline]
    fn tile<const FIELDS: usize, const CODE: u8, const P: usize, const M: usize>(
        self,
        book: &Codebook,
        panels: [Panel<'_>; P],
        x: Tokens<'_, i8, FIELDS, M>,
    ) -> Sums<P, M> {
        // SAFETY: a `Found` is made only after detection.
        unsafe { integer_tile::<FIELDS, CODE, P, M>(book, panels, x) }
    }
}

impl Tile<f32> for Found {
    #[inline]
    fn tile<const FIELDS: usize, const CODE: u8, const P: usize, const M: usize>(
        self,
        book: &Codebook,
        panels: [Panel<'_>; P],
        x: Tokens<'_, f32, FIELDS, M>,
    ) -> Sums<P, M> {
        // SAFETY: a `Found` is made only after detection.
        unsafe { float_tile::<FIELDS, CODE, P, M>(book, panels, x) }
    }
}

#[target_feature(enable = "avx2,fma")]
fn integer_tile<const FIELDS: usize, const CODE: u8, const P: usize, const M: usize>(
    book: &Codebook,
    panels: [Panel<'_>; P],
    x: Tokens<'_, i8, FIELDS, M>,
) -> Sums<P, M> {
    let mut sums = [[[0.0; ROWS]; P]; M];
    for (p, panel) in panels.iter().enumerate() {
        if M == 1 {
            keep(&mut sums, p, 0, &integer_rows::<FIELDS, CODE, 2, M>(book, panel, 0, x));
            continue;
        }
        for half in 0..2 {
            keep(&mut sums, p, half, &integer_rows::<FIELDS, CODE, 1, M>(book, panel, half, x));
        }
    }
    sums
}

/// `H` halves of a panel, from half `first` on.
#[expect(clippy::needless_range_loop, reason = "an index runs through several arrays")]
#[target_feature(enable = "avx2,fma")]
fn integer_rows<const FIELDS: usize, const CODE: u8, const H: usize, const M: usize>(
    book: &Codebook,
    panel: &Panel<'_>,
    first: usize,
    x: Tokens<'_, i8, FIELDS, M>,
) -> [[__m256; H]; M] {
    let table = _mm256_broadcastsi128_si256(load_table(&book.integers));
    let ones = _mm256_set1_epi16(1);
    let mut sums = [[_mm256_setzero_ps(); H]; M];
    for b in 0..panel.scales.len() {
        let units: &[Unit] = panel.block(b);
        let steps: &[Step<i8, FIELDS, M>] = &x.steps[b * units.len()..][..units.len()];
        let mut acc = [[_mm256_setzero_si256(); H]; M];
        for t in 0..M {
            for h in 0..H {
                let offset = (x.offsets[b][t], x.zero_points[t]);
                acc[t][h] = begin::<CODE>(panel, b, first + h, offset);
            }
        }
        for (unit, step) in units.iter().zip(steps) {
            for h in 0..H {
                let mut w = load_half(unit, first + h);
                let mut narrow = [_mm256_setzero_si256(); M];
                for j in 0..FIELDS {
                    let code = field::<FIELDS, CODE>(w, table);
                    w = next_field::<FIELDS>(w);
                    let low = _mm256_min_epu8(code, _mm256_set1_epi8(127));
                    let high = _mm256_sub_epi8(code, low);
                    for t in 0..M {
                        let x = _mm256_set1_epi32(quad(step[j][t]));
                        if FIELDS > 1 && CODE != TABLE {
                            narrow[t] = _mm256_add_epi16(narrow[t], _mm256_maddubs_epi16(code, x));
                            continue;
                        }
                        let low = _mm256_madd_epi16(_mm256_maddubs_epi16(low, x), ones);
                        let high = _mm256_madd_epi16(_mm256_maddubs_epi16(high, x), ones);
                        acc[t][h] = _mm256_add_epi32(acc[t][h], _mm256_add_epi32(low, high));
                    }
                }
                for t in 0..M {
                    acc[t][h] = _mm256_add_epi32(acc[t][h], _mm256_madd_epi16(narrow[t], ones));
                }
            }
        }
        for h in 0..H {
            let scales = load_floats(&panel.scales[b], first + h);
            for t in 0..M {
                sums[t][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[t][h]), scales, sums[t][h]);
            }
        }
    }
    sums
}

/// What the sum of a block begins as: `-bias sum x`, or `-z sum x`, less `zx sum w`.
#[target_feature(enable = "avx2,fma")]
fn begin<const CODE: u8>(
    panel: &Panel<'_>,
    b: usize,
    half: usize,
    (offset, zero_point): (i32, i32),
) -> __m256i {
    let mut sum = _mm256_set1_epi32(offset);
    if CODE == ZERO_POINT {
        sum = _mm256_mullo_epi32(sum, load_zero_points(&panel.zero_points[b], half));
    }
    if let Some(totals) = panel.totals.get(b) {
        let shift = _mm256_mullo_epi32(load_integers(totals, half), _mm256_set1_epi32(zero_point));
        sum = _mm256_sub_epi32(sum, shift);
    }
    sum
}

/// The first field of every byte as an unsigned code.
#[target_feature(enable = "avx2,fma")]
fn field<const FIELDS: usize, const CODE: u8>(w: __m256i, table: __m256i) -> __m256i {
    let code = match FIELDS {
        1 => w,
        2 => _mm256_and_si256(w, _mm256_set1_epi8(15)),
        _ => _mm256_and_si256(w, _mm256_set1_epi8(3)),
    };
    if CODE == TABLE { _mm256_shuffle_epi8(table, code) } else { code }
}

/// Shifts the next field of every byte to its low bits; what comes from a neighbour is masked.
#[target_feature(enable = "avx2,fma")]
fn next_field<const FIELDS: usize>(w: __m256i) -> __m256i {
    match FIELDS {
        1 => w,
        2 => _mm256_srli_epi16::<4>(w),
        _ => _mm256_srli_epi16::<2>(w),
    }
}

#[target_feature(enable = "avx2,fma")]
fn float_tile<const FIELDS: usize, const CODE: u8, const P: usize, const M: usize>(
    book: &Codebook,
    panels: [Panel<'_>; P],
    x: Tokens<'_, f32, FIELDS, M>,
) -> Sums<P, M> {
    let mut sums = [[[0.0; ROWS]; P]; M];
    for (p, panel) in panels.iter().enumerate() {
        if M == 1 {
            keep(&mut sums, p, 0, &float_rows::<FIELDS, CODE, 2, M>(book, panel, 0, x));
            continue;
        }
        for half in 0..2 {
            keep(&mut sums, p, half, &float_rows::<FIELDS, CODE, 1, M>(book, panel, half, x));
        }
    }
    sums
}

/// `H` halves of a panel, from half `first` on.
#[expect(clippy::needless_range_loop, reason = "an index runs through several arrays")]
#[target_feature(enable = "avx2,fma")]
fn float_rows<const FIELDS: usize, const CODE: u8, const H: usize, const M: usize>(
    book: &Codebook,
    panel: &Panel<'_>,
    first: usize,
    x: Tokens<'_, f32, FIELDS, M>,
) -> [[__m256; H]; M] {
    let table = [load_floats(&book.floats, 0), load_floats(&book.floats, 1)];
    let mut sums = [[_mm256_setzero_ps(); H]; M];
    for b in 0..panel.scales.len() {
        let units: &[Unit] = panel.block(b);
        let steps: &[Step<f32, FIELDS, M>] = &x.steps[b * units.len()..][..units.len()];
        let mut acc = [[[_mm256_setzero_ps(); 2]; H]; M];
        // What 2^23 + u has too much.
        let mut extra = [_mm256_set1_ps(POWER - book.floats[0]); H];
        if CODE == ZERO_POINT {
            for h in 0..H {
                let zero_points = load_zero_points(&panel.zero_points[b], first + h);
                let zero_points = _mm256_cvtepi32_ps(zero_points);
                extra[h] = _mm256_add_ps(_mm256_set1_ps(POWER), zero_points);
            }
        }
        for (unit, step) in units.iter().zip(steps) {
            for h in 0..H {
                let mut w = load_half(unit, first + h);
                for q in 0..QUAD {
                    for j in 0..FIELDS {
                        let value = value::<FIELDS, CODE>(w, table, extra[h]);
                        w = next_code::<FIELDS>(w);
                        for t in 0..M {
                            let x = _mm256_set1_ps(step[j][t][q]);
                            let sum = &mut acc[t][h][(q * FIELDS + j) % 2];
                            *sum = _mm256_fmadd_ps(value, x, *sum);
                        }
                    }
                }
            }
        }
        for h in 0..H {
            let scales = load_floats(&panel.scales[b], first + h);
            for t in 0..M {
                let sum = _mm256_add_ps(acc[t][h][0], acc[t][h][1]);
                sums[t][h] = _mm256_fmadd_ps(sum, scales, sums[t][h]);
            }
        }
    }
    sums
}

/// 2^23: the floats from here on are whole numbers.
const POWER: f32 = 8_388_608.0;

/// The value of the code in the low bits of every lane.
#[target_feature(enable = "avx2,fma")]
fn value<const FIELDS: usize, const CODE: u8>(
    w: __m256i,
    [low, high]: [__m256; 2],
    extra: __m256,
) -> __m256 {
    if FIELDS == 4 {
        return _mm256_permutevar_ps(low, w);
    }
    if CODE == TABLE {
        // The fourth bit becomes the sign, which is what a blend looks at.
        let fourth = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(w));
        let values = [low, high].map(|table| _mm256_permutevar8x32_ps(table, w));
        return _mm256_blendv_ps(values[0], values[1], fourth);
    }
    let code = _mm256_and_si256(w, _mm256_set1_epi32(if FIELDS == 1 { 255 } else { 15 }));
    let power = _mm256_castps_si256(_mm256_set1_ps(POWER));
    _mm256_sub_ps(_mm256_castsi256_ps(_mm256_or_si256(code, power)), extra)
}

/// Shifts the next code to the low bits of every lane.
#[target_feature(enable = "avx2,fma")]
fn next_code<const FIELDS: usize>(w: __m256i) -> __m256i {
    match FIELDS {
        1 => _mm256_srli_epi32::<8>(w),
        2 => _mm256_srli_epi32::<4>(w),
        _ => _mm256_srli_epi32::<2>(w),
    }
}

/// Keep the sums of `H` halves of panel `p`, from half `first` on.
#[target_feature(enable = "avx2,fma")]
fn keep<const H: usize, const P: usize, const M: usize>(
    sums: &mut Sums<P, M>,
    p: usize,
    first: usize,
    some: &[[__m256; H]; M],
) {
    for (sums, some) in sums.iter_mut().zip(some) {
        let halves = sums[p].as_chunks_mut::<HALF>().0[first..].iter_mut();
        for (to, sum) in halves.zip(some) {
            // SAFETY: 8 floats are 32 bytes; `storeu` has no alignment rule.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), *sum) };
        }
    }
}

/// Four activations as one number.
fn quad(x: [i8; QUAD]) -> i32 {
    i32::from_ne_bytes(x.map(i8::cast_unsigned))
}

#[target_feature(enable = "avx2,fma")]
fn load_half(unit: &Unit, half: usize) -> __m256i {
    let half: &[u8; QUAD * HALF] = &unit.as_chunks().0[half];
    // SAFETY: 32 bytes; `loadu` has no alignment rule.
    unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma")]
fn load_table(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: 16 bytes; `loadu` has no alignment rule.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma")]
fn load_zero_points(bytes: &[u8; ROWS], half: usize) -> __m256i {
    let half: [u8; HALF] = bytes.as_chunks().0[half];
    _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(i64::from_le_bytes(half)))
}

#[target_feature(enable = "avx2,fma")]
fn load_integers(x: &[i32; ROWS], half: usize) -> __m256i {
    let half: &[i32; HALF] = &x.as_chunks().0[half];
    // SAFETY: 8 integers are 32 bytes; `loadu` has no alignment rule.
    unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma")]
fn load_floats(x: &[f32; ROWS], half: usize) -> __m256 {
    let half: &[f32; HALF] = &x.as_chunks().0[half];
    // SAFETY: 8 floats are 32 bytes; `loadu` has no alignment rule.
    unsafe { _mm256_loadu_ps(half.as_ptr()) }
}
