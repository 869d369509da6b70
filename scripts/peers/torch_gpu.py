"""PyTorch on a GPU: one round of every kernel of its that can answer an exported case.

    python scripts/peers/torch_gpu.py DIR [--threads N] [--cache hot|cold] [--seconds S] [--device cuda]
    python scripts/peers/torch_gpu.py --ceilings FILE [--device cuda]

Needs numpy and torch. `--device cpu` is for trying it out (TRITON_INTERPRET=1 for the last). Peers, by name of
their row:

torch-int-mm   torch._int_mm, s8 x s8 -> s32, then the scales; CUDA wants more than 16 tokens, and K and
               N that are multiples of 8
torch-bf16     torch.matmul of bf16: codes times scale, rounded to bf16 before the time begins
triton-dot     a product of s8 x s8 in Triton, triton_dot.py, with the scales; the fastest of five configurations

Cold, 512 MiB of the device are read before each call. Times are the host's, a
synchronization included, and the scales of torch-int-mm are multiplied within. With --ceilings, what the
device reaches is written as JSON, by its own events: copying 1 GiB to 1 GiB (bytes read and written a
second), and the products of two matrices of 8192 by 8192, bf16 and by torch._int_mm (operations a second).
"""
import argparse
import json
import statistics

import numpy as np
import torch

from exchange import Skip, answer, per_row, read_case, samples

SWEPT = 128 << 20


def on(device, values):
    return torch.from_numpy(values.copy()).to(device)


def operands(case, t):
    """Codes of the activations and weights, and their scales."""
    if case["op"] != "linear" or "activation_codes" not in t or "weight_codes" not in t:
        raise Skip("needs a linear case of integer codes")
    x, w = t["activation_codes"], t["weight_codes"]
    if x.dtype != np.int8 or w.dtype != np.int8 or "weight_zero_points" in t:
        raise Skip("needs signed codes without zero points")
    if t["weight_scales"].size not in (1, w.shape[0]):
        raise Skip("needs a scale per tensor or row")
    return x, w, per_row(t["activation_scales"], x.shape[0]), per_row(t["weight_scales"], w.shape[0])


def int_mm(case, t, device):
    x, w, sx, sw = operands(case, t)
    (m, k), n = x.shape, w.shape[0]
    if device == "cuda" and (m <= 16 or k % 8 or n % 8):
        raise Skip("CUDA wants more than 16 tokens, and K and N that are multiples of 8")
    x, w, sx, sw = on(device, x), on(device, w).t(), on(device, sx)[:, None], on(device, sw)[None, :]
    made = {}

    def call():
        made["y"] = torch._int_mm(x, w).float() * (sx * sw)

    return call, lambda: {"y": made["y"].cpu().numpy()}, {"integer": True}


def bf16(case, t, device):
    x, w, sx, sw = operands(case, t)
    x = on(device, x.astype(np.float32) * sx[:, None]).bfloat16()
    w = on(device, w.astype(np.float32) * sw[:, None]).bfloat16().t()
    made = {}

    def call():
        made["y"] = torch.matmul(x, w)

    # Both sides and the answer keep 8 bits of a significand.
    said = {"integer": False, "operands": {"short": {"bits": 8}}}
    return call, lambda: {"y": made["y"].float().cpu().numpy()}, said


def triton_dot(case, t, device):
    try:
        import triton_dot as ours
    except ImportError as why:
        raise Skip(f"needs Triton: {why}") from why
    if device != "cuda" and not ours.INTERPRETED:
        raise Skip("needs CUDA, or TRITON_INTERPRET=1")
    x, w, sx, sw = (on(device, values) for values in operands(case, t))
    y = torch.empty(x.shape[0], w.shape[0], dtype=torch.float32, device=device)
    return lambda: ours.int8(x, w, sx, sw, y), lambda: {"y": y.cpu().numpy()}, {"integer": True}


PEERS = {"torch-int-mm": int_mm, "torch-bf16": bf16, "triton-dot": triton_dot}


def ceilings(device):
    """Bytes and operations a second, medians of 20 by the device's events."""
    def seconds(call):
        taken = []
        for _ in range(23):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            torch.cuda.synchronize()
            taken.append(begin.elapsed_time(end) / 1e3)
        return statistics.median(taken[3:])

    source = torch.randint(0, 1 << 30, (256 << 20,), dtype=torch.int32, device=device)
    target = torch.empty_like(source)
    copy = 2 * source.nbytes / seconds(lambda: target.copy_(source))
    a, b = (torch.randn(8192, 8192, device=device).bfloat16() for _ in range(2))
    matmul = 2 * 8192**3 / seconds(lambda: torch.matmul(a, b))
    c, d = (torch.randint(-127, 128, (8192, 8192), device=device).to(torch.int8) for _ in range(2))
    int_mm = 2 * 8192**3 / seconds(lambda: torch._int_mm(c, d.t()))
    return {"device": torch.cuda.get_device_name(), "torch": torch.__version__,
            "copy_bytes_per_second": copy, "bf16_operations_per_second": matmul,
            "int_mm_operations_per_second": int_mm}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", choices=["hot", "cold"], default="hot")
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--ceilings")
    args = parser.parse_args()
    if args.ceilings:
        with open(args.ceilings, "w") as file:
            json.dump(ceilings(args.device), file)
        return
    if not args.folder:
        parser.error("DIR or --ceilings FILE")
    torch.set_num_threads(args.threads)
    wait = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    swept = torch.ones(SWEPT, dtype=torch.int32, device=args.device)

    def sweep():
        swept.sum()
        wait()

    case, tensors = read_case(args.folder)
    for peer, make in PEERS.items():
        try:
            call, read, arithmetic = make(case, tensors, args.device)
            taken = samples(lambda: (call(), wait()), args.cache, args.seconds, sweep)
        except (Skip, RuntimeError) as why:
            print(f"{peer}: skipped: {why}")
            continue
        about = {"version": torch.__version__, "device": args.device, "arithmetic": arithmetic}
        answer(args.folder, peer, read(), (args.threads, args.cache, taken), about)
        print(f"{peer}: {len(taken)} samples, median {np.median(taken) / 1e3:.1f} us")


if __name__ == "__main__":
    main()
