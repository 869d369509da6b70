// What both kernels begin with; the host defines the format before it.
//
// Codes are four bytes apart: byte i of `word >> BITS s`, masked, is code 4 s + i of a word's
// 32 / BITS. So a shift and a mask open four of them, in the order in which four activations lie
// in a word, and what is left of a format is a factor and an offset:
//
//     sum w x = TIMES sum c x - OFFSET sum x        (modulo 2^32; the result is in range)
#if defined(SIGN1)
#define BITS 1
#define TIMES 2
#define OFFSET 1
#elif defined(TERNARY2)
#define BITS 2
#define TIMES 1
#define OFFSET 1
#elif defined(INT4)
#define BITS 4
#define TIMES 1
#define OFFSET 8
#elif defined(INT8)
#define BITS 8
#define TIMES 1
#define OFFSET 0
#else
#error "no format"
#endif

typedef unsigned int u32;

#if BITS == 8
#define MASK 0xffffffffu
#else
#define MASK (0x01010101u * ((1u << BITS) - 1u))
#endif
// Fours in a word of codes, which are words of activations.
#define FOURS (8 / BITS)

// dims: tokens, rows of the weight, units of 16 bytes in a row of it, whether each token and each
// row has a scale (1 or 0), and where the scales of the weight begin.
struct Dims {
    u32 m, n, chunks, x_step, w_step, w_scales;
};

__device__ __forceinline__ u32 four(u32 word, u32 s) { return (word >> (BITS * s)) & MASK; }

__device__ __forceinline__ float scaled(int sum, int x_sum, const Dims &dims, const float *scales, u32 token,
                                        u32 row) {
    const int total = (int)((u32)TIMES * (u32)sum - (u32)OFFSET * (u32)x_sum);
    return (float)total * (scales[token * dims.x_step] * scales[dims.w_scales + row * dims.w_step]);
}
