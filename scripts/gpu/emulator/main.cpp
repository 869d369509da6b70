// The kernels against a plain product, for one format: g++ -std=c++20 -DTERNARY2 main.cpp. Answers 1
// where one value differs.
#include "cuda.hpp"
#include <cstdio>
#include <random>
#include "../../../kernels/src/linear/cuda/codes.cuh"
inline void mma(int d[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    mma_of(OFFSET == 0, d, a0, a1, a2, a3, b0, b1);
}
#include "../../../kernels/src/linear/cuda/gemv.cu"
#include "../../../kernels/src/linear/cuda/gemm.cu"
#include "../../../kernels/src/linear/cuda/products.cu"

static std::mt19937 random_bits(7);
static int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random_bits); }

static int code() {
    if (BITS == 1) return between(0, 1) * 2 - 1;
    if (BITS == 2) return between(-1, 1);
    return BITS == 4 ? between(-8, 7) : between(-128, 127);
}

static bool agrees(u32 m, u32 n, u32 k, bool scales_each) {
    const u32 unit = BITS == 1 ? 128 : 64, padded = (k + unit - 1) / unit * unit;
    const u32 row_bytes = padded * BITS / 8;
    std::vector<int> codes(n * k), values(m * k);
    std::vector<uint4> x(m * padded / 16 + 1), w(n * row_bytes / 16 + 1);
    auto *x_bytes = reinterpret_cast<int8_t *>(x.data());
    auto *w_words = reinterpret_cast<u32 *>(w.data());
    std::fill_n(x_bytes, 16 * x.size(), 0);
    // Padding of the weight may hold anything.
    std::fill_n(w_words, 4 * w.size(), 0xa5a5a5a5u);
    for (u32 i = 0; i < m; i++) {
        for (u32 j = 0; j < k; j++) x_bytes[i * padded + j] = values[i * k + j] = between(-128, 127);
    }
    for (u32 i = 0; i < n; i++) {
        for (u32 j = 0; j < k; j++) {
            codes[i * k + j] = code();
            const u32 stored = (u32)(codes[i * k + j] + OFFSET) / TIMES & MASK & 255;
            const u32 each = 32 / BITS, in = j % each, at = in % 4 * 8 + in / 4 * BITS;
            u32 &word = w_words[i * row_bytes / 4 + j / each];
            word = (word & ~((MASK & 255) << at)) | stored << at;
        }
    }
    std::vector<float> scales(scales_each ? m + n : 2), y(m * n + 1);
    for (float &scale : scales) scale = between(1, 1000) / 256.0f;
    const Dims dims = {m, n, row_bytes / 16, scales_each, scales_each, scales_each ? m : 1};
    auto wrong = [&](const char *name) {
        for (u32 i = 0; i < m; i++) {
            for (u32 j = 0; j < n; j++) {
                int sum = 0;
                for (u32 l = 0; l < k; l++) sum += values[i * k + l] * codes[j * k + l];
                const float want = (float)sum * (scales[i * dims.x_step] * scales[dims.w_scales + j * dims.w_step]);
                if (!(y[i * n + j] == want)) {
                    std::printf("%s m=%u n=%u k=%u: y[%u, %u] is %g, must be %g\n", name, m, n, k, i, j, y[i * n + j], want);
                    return true;
                }
            }
        }
        return y[m * n] != -7.0f;
    };
    auto run = [&](const char *name, u32 blocks, u32 threads, auto kernel) {
        std::fill(y.begin(), y.end(), NAN), y[m * n] = -7.0f;
        launch({(blocks + 1) / 2, 2, 1}, threads, kernel);
        return !wrong(name);
    };
    const u32 per_token = (n + ROWS * WARPS - 1) / (ROWS * WARPS);
    const u32 tiles = (m + TILE - 1) / TILE * ((n + TILE - 1) / TILE);
    const bool one = run("gemv", m * per_token, 32 * WARPS, [&] {
        gemv(reinterpret_cast<u32 *>(x.data()), w.data(), scales.data(), y.data(), &dims);
    });
    return run("gemm", tiles, THREADS, [&] {
        gemm(x.data(), reinterpret_cast<unsigned char *>(w.data()), scales.data(), y.data(), &dims);
    }) && one;
}

// Of signed bytes alone, which is what the probe of a device makes.
static bool products_agree() {
    if (OFFSET || BITS != 8) return true;
    const u32 blocks = 3, asked[] = {0x9e3779b9u, 5};
    std::vector<int> sums(256 * blocks, -7);
    launch({blocks, 1, 1}, 64, [&] { products(asked, sums.data()); });
    for (u32 block = 0; block < blocks; block++) {
        u32 word = block * asked[0];
        int want = 0;
        for (u32 i = 0; i < asked[1]; i++) {
            word = word * 1664525u + 1013904223u;
            for (u32 s = 0; s < 8; s++) want += 4 * 8 * __dp4a((int)(asked[0] * (2 * s + 3)), (int)word, 0);
        }
        for (u32 unit = 0; unit < 64; unit++) {
            const int sum = sums[256 * block + unit];
            if (sum != want) return std::printf("products: %d, must be %d\n", sum, want), false;
        }
        if (sums[256 * block + 64] != -7) return std::puts("products: wrote past its units"), false;
    }
    return true;
}

int main() {
    bool good = products_agree();
    for (const auto &[m, n, k] : std::vector<std::array<u32, 3>>{{1, 1, 1}, {2, 17, 63}, {3, 16, 64}, {1, 33, 65}, {5, 130, 129}, {130, 3, 200}, {130, 130, 65}, {17, 129, 515}, {0, 3, 5}, {2, 3, 0}}) {
        for (bool each : {false, true}) good = agrees(m, n, k, each) && good;
    }
    std::puts(good ? "all agree" : "some differ");
    return !good;
}
