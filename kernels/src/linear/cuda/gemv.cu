// cuda-dp4a: a token at a time. A warp makes ROWS rows of the weight; its lanes stride over the row
// in units of 16 bytes, 128 / BITS codes, so that a warp reads 512 bytes of each row at once. Words of
// the activations are read once for all rows, from the L1 cache.
//
// Bounds, for 16 codes of ternary2: 7 shifts and masks and 4 dp4a, and the sum of the activations a
// quarter of 4 more: 12 instructions of a lane for 4 bytes, where an H100 (132 SM, 64 lanes, 1.7 GHz)
// has 17 for each 4 bytes of its 3.35 TB/s.
// Claims: dp4a.
#define ROWS 4
#define WARPS 4

extern "C" __global__ void __launch_bounds__(32 * WARPS)
    gemv(const u32 *__restrict__ x, const uint4 *__restrict__ w, const float *__restrict__ scales,
         float *__restrict__ y, const Dims *__restrict__ sizes) {
    const Dims dims = *sizes;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32 blocks = (dims.n + ROWS * WARPS - 1) / (ROWS * WARPS);
    const u32 block = blockIdx.y * gridDim.x + blockIdx.x;
    // The whole block leaves: where there is nothing to do, and beyond the last token.
    if (blocks == 0 || block / blocks >= dims.m) return;
    const u32 token = block / blocks, first = (block % blocks * WARPS + warp) * ROWS;
    const uint4 *own = reinterpret_cast<const uint4 *>(x) + (size_t)token * dims.chunks * FOURS;

    int sums[ROWS] = {0}, x_sum = 0;
    for (u32 at = lane; at < dims.chunks; at += 32) {
        u32 words[ROWS][4];
#pragma unroll
        for (u32 r = 0; r < ROWS; r++) {
            // Rows beyond the last repeat it; they are not stored.
            const uint4 chunk = __ldcs(w + (size_t)min(first + r, dims.n - 1) * dims.chunks + at);
            words[r][0] = chunk.x, words[r][1] = chunk.y, words[r][2] = chunk.z, words[r][3] = chunk.w;
        }
        u32 values[4 * FOURS];
#pragma unroll
        for (u32 i = 0; i < FOURS; i++) {
            const uint4 chunk = __ldg(own + (size_t)at * FOURS + i);
            values[4 * i] = chunk.x, values[4 * i + 1] = chunk.y;
            values[4 * i + 2] = chunk.z, values[4 * i + 3] = chunk.w;
        }
#pragma unroll
        for (u32 i = 0; i < 4 * FOURS; i++) {
#pragma unroll
            for (u32 r = 0; r < ROWS; r++) {
                sums[r] = __dp4a((int)values[i], (int)four(words[r][i / FOURS], i % FOURS), sums[r]);
            }
#if OFFSET
            x_sum = __dp4a((int)values[i], 0x01010101, x_sum);
#endif
        }
    }
#if OFFSET
    x_sum = __reduce_add_sync(0xffffffffu, x_sum);
#endif
#pragma unroll
    for (u32 r = 0; r < ROWS; r++) {
        const int sum = __reduce_add_sync(0xffffffffu, sums[r]);
        if (lane == 0 && first + r < dims.n) {
            y[(size_t)token * dims.n + first + r] = scaled(sum, x_sum, dims, scales, token, first + r);
        }
    }
}
