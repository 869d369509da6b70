// Products of tensor cores and nothing else: what bounds gemm.cu.
//
// As the dots of `cube/probe.rs`, but that all units of a block have the same words and make the products
// together: in chain s each of the four sums of a unit grows by 8 (a_s . w), since 32 codes are 8 words.
// Claims: mma.sync.aligned.m16n8k32.
#ifndef CHAINS
#define CHAINS 8
#define UNITS 256
#endif
extern "C" __global__ void products(const u32 *asked, int *sums) {
    const u32 seed = asked[0], times = asked[1];
    int chains[CHAINS][4] = {};
    u32 word = blockIdx.x * seed;
    for (u32 i = 0; i < times; i++) {
        word = word * 1664525u + 1013904223u;
#pragma unroll
        for (u32 s = 0; s < CHAINS; s++) {
            const u32 a = seed * (2 * s + 3);
            mma(chains[s], a, a, a, a, word, word);
        }
    }
    u32 sum = 0;
#pragma unroll
    for (u32 s = 0; s < CHAINS; s++) {
#pragma unroll
        for (u32 j = 0; j < 4; j++) sum += (u32)chains[s][j];
    }
    sums[blockIdx.x * UNITS + threadIdx.x] = (int)sum;
}
