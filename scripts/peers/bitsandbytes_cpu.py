"""bitsandbytes' native CPU library, without torch: one round of its NF4 product.

    python scripts/peers/bitsandbytes_cpu.py DIR [--threads N] [--cache hot|cold] [--seconds S]

Needs numpy and the wheel of bitsandbytes (`pip install --no-deps bitsandbytes`). The peer
`bnb-nf4` is `gemv_4bit_inference_cpu_nf4_bf16`: activations, absmax and outputs are bf16. The
wheel is searched for its library and loaded by ctypes. Packing the weights as its
`_convert_weight_packed_for_cpu` does, and rounding the absmax, happen before the clock; rounding
the activations to bf16 too, since its callers hold bf16. Threads are OpenMP's: OMP_NUM_THREADS is
set before the library is loaded.
"""
import argparse
import ctypes
import importlib.metadata
import os

import numpy as np

from exchange import Skip, answer, read_case, samples

PEER = "bnb-nf4"
BLOCK_ROWS = 32
BLOCK = 64


def bf16(values):
    """Rounded to nearest, ties to even, as the upper half of an f32's bits."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def f32(values):
    """bf16 bits as f32."""
    return (values.astype(np.uint32) << 16).view(np.float32)


def library():
    """The wheel's CPU library and its version."""
    wheel = importlib.metadata.distribution("bitsandbytes")
    files = [f for f in wheel.files or [] if f.name == "libbitsandbytes_cpu.so"]
    if not files:
        raise SystemExit("bitsandbytes: the wheel holds no libbitsandbytes_cpu.so")
    return ctypes.CDLL(str(files[0].locate())), wheel.version


def packed(codes):
    """`[N, K / 2]` bytes, the first code high, as the library wants them: 32 rows side by side."""
    n, half = codes.shape
    pairs = np.stack([codes >> 4, codes & 15], axis=2)
    tiles = pairs.reshape(n // BLOCK_ROWS, BLOCK_ROWS, half, 2).transpose(0, 2, 1, 3)
    lines = tiles.reshape(-1, 2 * BLOCK_ROWS)
    return (lines[:, BLOCK_ROWS:] << 4 | lines[:, :BLOCK_ROWS]).astype(np.uint8).copy()


def product(case, t):
    """A call of the product, a function that reads its output, and the version."""
    p = case["parameters"]
    if case["op"] != "linear" or (p["weight"], p["activation"]) != ("nf4", "f32"):
        raise Skip("needs nf4 weights and f32 activations")
    x, codes = t["activation_f32"], t["weight_packed"]
    (m, k), n = x.shape, codes.shape[0]
    if n % BLOCK_ROWS:
        raise Skip(f"needs output features in whole blocks of {BLOCK_ROWS}")
    loaded, version = library()
    if not loaded.has_avx512bf16_cpu():
        raise Skip("its fused product needs AVX512-BF16")
    held = {
        "x": bf16(x),
        "w": packed(codes),
        "absmax": bf16(t["weight_absmax"].reshape(n, k // BLOCK).T),
        "y": np.zeros((m, n), np.uint16),
    }
    pointer = {name: v.ctypes.data_as(ctypes.c_void_p) for name, v in held.items()}
    size = ctypes.c_int64
    arguments = [size(m), size(n), size(k), pointer["x"], pointer["w"], pointer["absmax"],
                 pointer["y"], size(BLOCK), size(k), size(n)]
    function = loaded.gemv_4bit_inference_cpu_nf4_bf16
    function.restype = None

    def call(held=held):
        function(*arguments)

    return call, lambda: {"y": f32(held["y"])}, version


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", choices=["hot", "cold"], default="hot")
    parser.add_argument("--seconds", type=float, default=0.3)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    case, tensors = read_case(args.folder)
    try:
        call, read, version = product(case, tensors)
    except Skip as why:
        print(f"{PEER}: skipped: {why}")
        return
    taken = samples(call, args.cache, args.seconds)
    about = {"version": version,
             "arithmetic": {"integer": False, "operands": {"short": {"bits": 8}}}}
    answer(args.folder, PEER, read(), (args.threads, args.cache, taken), about)
    print(f"{PEER}: {len(taken)} samples, median {np.median(taken) / 1e3:.1f} us")


if __name__ == "__main__":
    main()
