"""An int8 product in Triton, as its tutorial on matrix products goes about it: blocks of the answer, `tl.dot` on
blocks of K, programs in an order that keeps the weight in the caches. Configurations are tried once a shape,
before the time begins. Without a GPU: TRITON_INTERPRET=1."""
import os

import triton
import triton.language as tl

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# Rows, columns and depth of a block, warps, stages.
BLOCKS = [(128, 256, 64, 8, 3), (128, 128, 128, 4, 4), (128, 128, 64, 8, 4), (64, 128, 128, 4, 4), (64, 64, 128, 4, 4)]


def configurations():
    blocks = BLOCKS[-1:] if INTERPRETED else BLOCKS
    return [triton.Config({"ROWS": m, "COLUMNS": n, "DEPTH": k, "GROUP": 8}, num_warps=warps, num_stages=stages)
            for m, n, k, warps, stages in blocks]


@triton.autotune(configs=configurations(), key=["m", "n", "k"])
@triton.jit
def product(x, w, x_scales, w_scales, y, m, n, k, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
            GROUP: tl.constexpr):
    """y[m, n] = x_scales[m] w_scales[n] sum over k of x[m, k] w[n, k]."""
    down, across = tl.cdiv(m, ROWS), tl.cdiv(n, COLUMNS)
    program = tl.program_id(0)
    # GROUP blocks of rows for each column of blocks, then the next column.
    first = program // (GROUP * across) * GROUP
    high = tl.minimum(down - first, GROUP)
    row = (first + program % (GROUP * across) % high) * ROWS + tl.arange(0, ROWS)
    column = program % (GROUP * across) // high * COLUMNS + tl.arange(0, COLUMNS)
    depth = tl.arange(0, DEPTH)
    sums = tl.zeros((ROWS, COLUMNS), dtype=tl.int32)
    for start in range(0, k, DEPTH):
        at = start + depth
        left = tl.load(x + row[:, None] * k + at[None, :], mask=(row[:, None] < m) & (at[None, :] < k), other=0)
        right = tl.load(w + column[None, :] * k + at[:, None], mask=(column[None, :] < n) & (at[:, None] < k), other=0)
        sums += tl.dot(left, right, out_dtype=tl.int32)
    scale = tl.load(x_scales + row, mask=row < m)[:, None] * tl.load(w_scales + column, mask=column < n)[None, :]
    tl.store(y + row[:, None] * n + column[None, :], sums.to(tl.float32) * scale,
             mask=(row[:, None] < m) & (column[None, :] < n))


def int8(x, w, x_scales, w_scales, y):
    """Into `y`; all contiguous on one device, `w` as [N, K]."""
    (m, k), n = x.shape, w.shape[0]
    product[lambda c: (triton.cdiv(m, c["ROWS"]) * triton.cdiv(n, c["COLUMNS"]),)](x, w, x_scales, w_scales, y, m, n, k)
