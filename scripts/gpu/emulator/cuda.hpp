// As much of CUDA as the kernels of kernels/src/linear/cuda need, on threads of the host: a thread of
// a block is a thread, and the lanes of a warp meet at a barrier for what they exchange. Copies that
// are asynchronous happen as late as they may, when they are waited for.
#pragma once
#include <algorithm>
#include <array>
#include <barrier>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <thread>
#include <vector>
#define __device__
#define __global__
#define __shared__ static
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(n)
using std::min;

struct uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct Index { unsigned x = 0, y = 0, z = 0; };

inline thread_local Index threadIdx, blockIdx;
inline Index gridDim;

struct Warp {
    std::barrier<> meet{32};
    unsigned values[32][6];
};
inline thread_local Warp *warp_of_thread;
inline std::barrier<> *block_barrier;

inline void __syncthreads() { block_barrier->arrive_and_wait(); }

// What every lane brings is there for every lane, until all have used it.
template <class Use> auto exchange(const std::vector<unsigned> &brought, Use use) {
    Warp &warp = *warp_of_thread;
    std::copy(brought.begin(), brought.end(), warp.values[threadIdx.x % 32]);
    warp.meet.arrive_and_wait();
    auto found = use(warp.values);
    warp.meet.arrive_and_wait();
    return found;
}

inline int __reduce_add_sync(unsigned, int value) {
    return exchange({(unsigned)value}, [](auto &values) {
        unsigned sum = 0;
        for (auto &lane : values) sum += lane[0];
        return (int)sum;
    });
}

inline int __shfl_xor_sync(unsigned, int value, int mask) {
    return exchange({(unsigned)value}, [&](auto &values) { return (int)values[threadIdx.x % 32 ^ mask][0]; });
}

inline int __dp4a(int a, int b, int sum) {
    for (int i = 0; i < 4; i++) sum += (int)(int8_t)(a >> 8 * i) * (int)(int8_t)(b >> 8 * i);
    return sum;
}

template <class T> T __ldcs(const T *from) { return *from; }
template <class T> T __ldg(const T *from) { return *from; }

struct Copy { void *to; const void *from; unsigned size; bool inside; };
inline thread_local std::deque<std::vector<Copy>> copies;
inline thread_local std::vector<Copy> begun;

template <unsigned SIZE> void copy_async(void *to, const void *from, bool inside) {
    begun.push_back({to, from, SIZE, inside});
}
inline void commit() { copies.push_back(std::move(begun)), begun.clear(); }
template <unsigned GROUPS> void wait_for_all_but() {
    for (; copies.size() > GROUPS; copies.pop_front()) {
        for (const Copy &copy : copies.front()) {
            if (copy.inside) std::memcpy(copy.to, copy.from, copy.size);
            else std::memset(copy.to, 0, copy.size);
        }
    }
}

// PTX ISA, mma.m16n8k32: lane (group, quad) holds bytes 4 quad .. of rows group and group + 8 of A, the
// same 16 further, bytes 4 quad .. and 16 + 4 quad .. of column group of B, and columns 2 quad and the
// next of rows group and group + 8 of D.
inline void mma_of(bool b_signed, int d[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0,
                   unsigned b1) {
    exchange({a0, a1, a2, a3, b0, b1}, [&](auto &values) {
        const unsigned lane = threadIdx.x % 32, group = lane / 4, quad = lane % 4;
        for (unsigned i = 0; i < 4; i++) {
            const unsigned row = group + i / 2 * 8, column = 2 * quad + i % 2;
            for (unsigned k = 0; k < 32; k++) {
                const unsigned word_a = k / 16 * 2 + row / 8, lane_a = row % 8 * 4 + k % 16 / 4;
                const unsigned word_b = 4 + k / 16, lane_b = column * 4 + k % 16 / 4;
                const int a = (int8_t)(values[lane_a][word_a] >> k % 4 * 8);
                const unsigned byte = values[lane_b][word_b] >> k % 4 * 8 & 255;
                d[i] += a * (b_signed ? (int)(int8_t)byte : (int)byte);
            }
        }
        return 0;
    });
}

// Run a kernel block by block.
template <class Kernel> void launch(Index grid, unsigned threads, Kernel kernel) {
    gridDim = grid;
    std::barrier<> all(threads);
    block_barrier = &all;
    std::vector<std::unique_ptr<Warp>> warps;
    for (unsigned i = 0; i < threads / 32; i++) warps.push_back(std::make_unique<Warp>());
    std::vector<std::thread> running;
    for (unsigned i = 0; i < threads; i++) {
        running.emplace_back([&, i] {
            threadIdx.x = i, warp_of_thread = warps[i / 32].get();
            for (unsigned y = 0; y < grid.y; y++) {
                for (unsigned x = 0; x < grid.x; x++) {
                    blockIdx.x = x, blockIdx.y = y;
                    kernel();
                    all.arrive_and_wait();
                }
            }
        });
    }
    for (auto &thread : running) thread.join();
}
