// What both kernels begin with. The host writes constants before it: M, N, the words of a row of x
// and of w (X_WORDS, W_WORDS), words of four codes in a word of the weight (WIDTH), whether each
// token and each row has a scale (X_STEP, W_STEP: 1 or 0) and where the scales of the weight begin
// (W_SCALES); and after it which of the `four` below is meant. Bounds of loops with barriers have
// to be the same for all units, which WGSL takes no buffer's word for.
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> w: array<u32>;
// Scales of the tokens, then those of the rows of the weight.
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// Each byte, which is below 128, less that of `off`: no borrow leaves a byte whose top bit is set.
fn less(bytes: u32, off: u32) -> u32 {
    return ((bytes | 0x80808080u) - off) ^ 0x80808080u;
}

// Codes 4 i .. 4 i + 4 of a word as signed bytes.
fn four_of_int8(word: u32, i: u32) -> u32 {
    return word;
}

fn four_of_int4(word: u32, i: u32) -> u32 {
    let bits = word >> (16u * i);
    let bytes = (bits & 0xfu) | ((bits & 0xf0u) << 4u) | ((bits & 0xf00u) << 8u) | ((bits & 0xf000u) << 12u);
    return less(bytes ^ 0x08080808u, 0x08080808u);
}

fn four_of_ternary2(word: u32, i: u32) -> u32 {
    let bits = word >> (8u * i);
    let bytes = (bits & 3u) | ((bits & 0xcu) << 6u) | ((bits & 0x30u) << 12u) | ((bits & 0xc0u) << 18u);
    return less(bytes, 0x01010101u);
}

fn four_of_sign1(word: u32, i: u32) -> u32 {
    let bits = word >> (4u * i);
    let bytes = (bits & 1u) | ((bits & 2u) << 7u) | ((bits & 4u) << 14u) | ((bits & 8u) << 21u);
    return less(bytes << 1u, 0x01010101u);
}

// The scaled value of the sum of token i and row j.
fn scaled(sum: i32, i: u32, j: u32) -> f32 {
    return f32(sum) * (scales[i * X_STEP] * scales[W_SCALES + j * W_STEP]);
}
