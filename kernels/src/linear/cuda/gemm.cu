// cuda-mma: many tokens on tensor cores. 256 threads make 128 tokens by 128 rows of the weight, 64
// codes deep at a time, which come by cp.async in three stages while the stage before is multiplied.
// Each of 8 warps makes 64 x 32 by mma.sync m16n8k32.
//
// The order of a sum is free, so a lane reads 16 neighbouring codes of its row, in one load, for
// what the instruction takes for codes 4 q .. 4 q + 4 and 16 + 4 q .. of two steps: lane
// (group, quad) of a warp has codes 16 quad .. of row `group`, of A and B alike. Rows of 64 bytes,
// one load of 16 a lane: no two lanes of a quarter warp meet in a bank. Weights stay packed until
// they are in registers. Offsets of codes come off by sums of the activations, which the threads
// take from the same stages, half a row each.
//
// Bounds: 49,152 bytes of shared memory; 32 products of 16 x 8 x 32 a stage for 8 + 4 loads of a lane
// and, of ternary2, 32 shifts and masks.
// Claims: mma.sync.aligned.m16n8k32, cp.async.cg.
#define TILE 128
#define DEPTH 64
#define STAGES 3
#define THREADS 256
// Bytes of a row of the weight in a stage.
#define ROW_BYTES (DEPTH * BITS / 8)
#if ROW_BYTES >= 16
#define PIECE 16
#else
#define PIECE ROW_BYTES
#endif
#define PIECES (ROW_BYTES / PIECE)

struct Stage {
    uint4 x[TILE][DEPTH / 16];
    unsigned char w[TILE][ROW_BYTES];
};

// 16 codes of one row, as four words of four.
__device__ __forceinline__ void open(const unsigned char *row, u32 quad, u32 words[4]) {
#if BITS == 8
    const uint4 all = reinterpret_cast<const uint4 *>(row)[quad];
    words[0] = all.x, words[1] = all.y, words[2] = all.z, words[3] = all.w;
#elif BITS == 4
    const uint2 two = reinterpret_cast<const uint2 *>(row)[quad];
    words[0] = four(two.x, 0), words[1] = four(two.x, 1), words[2] = four(two.y, 0), words[3] = four(two.y, 1);
#elif BITS == 2
    const u32 word = reinterpret_cast<const u32 *>(row)[quad];
#pragma unroll
    for (u32 s = 0; s < 4; s++) words[s] = four(word, s);
#else
    const u32 word = reinterpret_cast<const u32 *>(row)[quad / 2] >> (quad % 2 * 4);
#pragma unroll
    for (u32 s = 0; s < 4; s++) words[s] = four(word, s);
#endif
}

// One stage of this block on its way: what lies beyond the last token or row is zero.
__device__ __forceinline__ void fetch(Stage &stage, const uint4 *x, const unsigned char *w, const Dims &dims,
                                      u32 token, u32 row, u32 step) {
    const u32 x_chunks = dims.chunks * FOURS, w_bytes = dims.chunks * 16;
#pragma unroll
    for (u32 i = 0; i < TILE * (DEPTH / 16) / THREADS; i++) {
        const u32 item = i * THREADS + threadIdx.x, line = item / (DEPTH / 16), column = item % (DEPTH / 16);
        const bool inside = token + line < dims.m;
        const size_t from = inside ? (size_t)(token + line) * x_chunks + step * (DEPTH / 16) + column : 0;
        copy_async<16>(&stage.x[line][column], x + from, inside);
    }
#pragma unroll
    for (u32 item = threadIdx.x; item < TILE * PIECES; item += THREADS) {
        const u32 line = item / PIECES, column = item % PIECES * PIECE;
        const bool inside = row + line < dims.n;
        const size_t from = inside ? (size_t)(row + line) * w_bytes + (size_t)step * ROW_BYTES + column : 0;
        copy_async<PIECE>(&stage.w[line][column], w + from, inside);
    }
}

// The products of one stage, of a warp's 64 x 32.
__device__ __forceinline__ void multiply(const Stage &stage, u32 tokens, u32 rows, int sums[4][4][4]) {
    const u32 lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
    u32 b[4][4];
#pragma unroll
    for (u32 j = 0; j < 4; j++) open(stage.w[rows + 8 * j + group], quad, b[j]);
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        const uint4 low = stage.x[tokens + 16 * i + group][quad];
        const uint4 high = stage.x[tokens + 16 * i + group + 8][quad];
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            mma(sums[i][j], low.x, high.x, low.y, high.y, b[j][0], b[j][1]);
            mma(sums[i][j], low.z, high.z, low.w, high.w, b[j][2], b[j][3]);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    gemm(const uint4 *__restrict__ x, const unsigned char *__restrict__ w, const float *__restrict__ scales,
         float *__restrict__ y, const Dims *__restrict__ sizes) {
    __shared__ Stage stages[STAGES];
    const Dims dims = *sizes;
    const u32 wide = (dims.n + TILE - 1) / TILE, block = blockIdx.y * gridDim.x + blockIdx.x;
    if (wide == 0 || block / wide * TILE >= dims.m) return;
    const u32 token = block / wide * TILE, row = block % wide * TILE;
    const u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
    const u32 tokens = warp % 2 * 64, rows = warp / 2 * 32;
    const u32 steps = dims.chunks * 16 / ROW_BYTES;

    int sums[4][4][4] = {{{0}}}, x_sum = 0;
#pragma unroll
    for (u32 step = 0; step < STAGES - 1; step++) {
        if (step < steps) fetch(stages[step], x, w, dims, token, row, step);
        commit();
    }
    for (u32 step = 0; step < steps; step++) {
        wait_for_all_but<STAGES - 2>();
        // This stage has come for every thread, and the one before it has been read by every thread.
        __syncthreads();
        if (step + STAGES - 1 < steps) {
            fetch(stages[(step + STAGES - 1) % STAGES], x, w, dims, token, row, step + STAGES - 1);
        }
        commit();
        const Stage &stage = stages[step % STAGES];
        multiply(stage, tokens, rows, sums);
#if OFFSET
#pragma unroll
        for (u32 i = 0; i < 2; i++) {
            const uint4 four = stage.x[threadIdx.x / 2][threadIdx.x % 2 * 2 + i];
            x_sum = __dp4a((int)four.x, 0x01010101, x_sum);
            x_sum = __dp4a((int)four.y, 0x01010101, x_sum);
            x_sum = __dp4a((int)four.z, 0x01010101, x_sum);
            x_sum = __dp4a((int)four.w, 0x01010101, x_sum);
        }
#endif
    }
    wait_for_all_but<0>();
    __syncthreads();
    // The stages are done with: sums of the tokens take their place.
    int *x_sums = reinterpret_cast<int *>(stages);
    x_sum += __shfl_xor_sync(0xffffffffu, x_sum, 1);
    if (threadIdx.x % 2 == 0) x_sums[threadIdx.x / 2] = x_sum;
    __syncthreads();
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
#pragma unroll
            for (u32 k = 0; k < 4; k++) {
                const u32 line = tokens + 16 * i + group + k / 2 * 8, column = row + rows + 8 * j + 2 * quad + k % 2;
                if (token + line < dims.m && column < dims.n) {
                    y[(size_t)(token + line) * dims.n + column] =
                        scaled(sums[i][j][k], x_sums[line], dims, scales, token + line, column);
                }
            }
        }
    }
}
