"""ONNX Runtime on the CPU: one round of every kernel of its that can answer an exported case.

    python scripts/peers/onnxruntime_cpu.py DIR [--threads N] [--cache hot|cold] [--seconds S]

Needs numpy, onnx and onnxruntime from PyPI. Peers, by name of their row:

ort-matmul-integer    MatMulInteger, u8 x s8 -> s32, then the scales: uint8 activations as they
                      are, int8 ones as x + 128 with the zero point 128 (made within the time)
ort-dynamic-matmul    DynamicQuantizeMatMul: f32 activations to u8 in the call, s8 weights
ort-matmul-nbits      MatMulNBits, 4 bits, accuracy level 4 (activations to int8 in the call);
                      q4_0 weights, whose codes and scales it takes as they are
ort-quantize          quantize_activation: DynamicQuantizeLinear (uint8, rule `onnx`)
ort-quantize-linear   quantize_activation: QuantizeLinear (int8, a rule with a fixed scale for the
                      tensor and codes down to -128)
"""
import argparse
import json

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from exchange import Skip, answer, per_row, read_case, samples

FLOAT, INT32, UINT8 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.UINT8
MICROSOFT = "com.microsoft"


def session(nodes, inputs, outputs, constants, threads):
    """A session of a graph: (name, type, shape) in and out, arrays as constants."""
    info = [helper.make_tensor_value_info(*i) for i in inputs]
    out = [helper.make_tensor_value_info(*o) for o in outputs]
    held = [numpy_helper.from_array(v, name) for name, v in constants.items()]
    graph = helper.make_graph(nodes, "peer", info, out, held)
    domains = [helper.make_opsetid("", 20), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def bound(made, feeds, outputs):
    """A call on arrays that lie where they are, and where its outputs will be."""
    binding = made.io_binding()
    for name, values in feeds.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(values))
    for name in outputs:
        binding.bind_output(name)

    def call():
        made.run_with_iobinding(binding)

    return call, lambda: binding.copy_outputs_to_cpu()


def matmul_integer(case, t, threads):
    if "activation_codes" not in t or "weight_codes" not in t:
        raise Skip("needs integer activations and weights")
    if "weight_zero_points" in t or t["weight_scales"].size not in (1, t["weight_codes"].shape[0]):
        raise Skip("needs a scale per tensor or row and no zero points of weights")
    x, w = t["activation_codes"], t["weight_codes"]
    (m, k), n = x.shape, w.shape[0]
    if w.dtype != np.int8:
        raise Skip("needs signed weights")
    scale = per_row(t["activation_scales"], m)[:, None]
    constants = {"w": w.T.copy(), "sw": per_row(t["weight_scales"], n)[None, :], "sx": scale}
    nodes, u = [], "x"
    if x.dtype == np.int8:
        # There is no fast kernel for signed activations: their bytes plus 128, in the graph.
        constants |= {"bias": np.array(128, np.int32), "zero": np.array(128, np.uint8)}
        nodes = [helper.make_node("Cast", ["x"], ["wide"], to=INT32),
                 helper.make_node("Add", ["wide", "bias"], ["moved"]),
                 helper.make_node("Cast", ["moved"], ["u"], to=UINT8)]
        u = "u"
    else:
        zeros = np.unique(t.get("activation_zero_points", np.zeros(1, np.int32)))
        if zeros.size != 1:
            raise Skip("needs one zero point for all tokens")
        constants["zero"] = zeros.astype(np.uint8)[0]
    nodes += [helper.make_node("MatMulInteger", [u, "w", "zero"], ["sums"]),
              helper.make_node("Cast", ["sums"], ["floats"], to=FLOAT),
              helper.make_node("Mul", ["sx", "sw"], ["scales"]),
              helper.make_node("Mul", ["floats", "scales"], ["y"])]
    kind = TensorProto.INT8 if x.dtype == np.int8 else UINT8
    made = session(nodes, [("x", kind, [m, k])], [("y", FLOAT, [m, n])], constants, threads)
    call, outputs = bound(made, {"x": x.copy()}, ["y"])
    return call, lambda: {"y": outputs()[0]}, {"integer": True}


def dynamic_matmul(case, t, threads):
    if case["parameters"]["activation"] != "f32" or "weight_codes" not in t:
        raise Skip("needs f32 activations and integer weights")
    w, x = t["weight_codes"], t["activation_f32"]
    (m, k), n = x.shape, w.shape[0]
    if w.dtype != np.int8 or t["weight_scales"].size not in (1, n) or "weight_zero_points" in t:
        raise Skip("needs signed weights with a scale per tensor or row")
    constants = {"w": w.T.copy(), "sw": t["weight_scales"].copy()}
    node = helper.make_node(
        "DynamicQuantizeMatMul", ["x", "w", "sw"], ["y"], domain=MICROSOFT)
    made = session([node], [("x", FLOAT, [m, k])], [("y", FLOAT, [m, n])], constants, threads)
    call, outputs = bound(made, {"x": x.copy()}, ["y"])
    operands = {"eight_bit": {"block": 0, "scale_bits": 24, "asymmetric": True}}
    return call, lambda: {"y": outputs()[0]}, {"integer": True, "operands": operands}


def matmul_nbits(case, t, threads):
    if case["parameters"]["weight"] != "q4_0" or case["parameters"]["activation"] != "f32":
        raise Skip("needs q4_0 weights and f32 activations")
    packed, x = t["weight_packed"], t["activation_f32"]
    (m, k), n = x.shape, packed.shape[0]
    blocks = packed.reshape(n, k // 32, 18)
    scales = blocks[:, :, :2].copy().view(np.float16).astype(np.float32)[:, :, 0]
    # ggml: the first 16 values in low nibbles, the others in high ones; here two neighbours.
    low, high = blocks[:, :, 2:] & 15, blocks[:, :, 2:] >> 4
    codes = np.concatenate([low, high], axis=2)
    pairs = (codes[:, :, 0::2] | codes[:, :, 1::2] << 4).astype(np.uint8)
    constants = {"w": pairs, "s": scales.reshape(-1).copy()}
    node = helper.make_node(
        "MatMulNBits", ["x", "w", "s"], ["y"], domain=MICROSOFT,
        K=k, N=n, bits=4, block_size=32, accuracy_level=4)
    made = session([node], [("x", FLOAT, [m, k])], [("y", FLOAT, [m, n])], constants, threads)
    call, outputs = bound(made, {"x": x.copy()}, ["y"])
    operands = {"eight_bit": {"block": 32, "scale_bits": 24}}
    return call, lambda: {"y": outputs()[0]}, {"integer": True, "operands": operands}


def quantize(case, t, threads):
    p = case["parameters"]
    if case["op"] != "quantize_activation" or p["activation"] != "uint8":
        raise Skip("needs quantize_activation to uint8")
    if p["activation_rule"] != "onnx":
        raise Skip("computes the rule `onnx` and no other")
    x = t["x"]
    node = helper.make_node("DynamicQuantizeLinear", ["x"], ["codes", "scale", "zero"])
    out = [("codes", UINT8, list(x.shape)), ("scale", FLOAT, []), ("zero", UINT8, [])]
    made = session([node], [("x", FLOAT, list(x.shape))], out, {}, threads)
    call, outputs = bound(made, {"x": x.copy()}, [name for name, *_ in out])

    def read():
        codes, scale, zero = outputs()
        zero_points = zero.reshape(1).astype(np.int32)
        return {"codes": codes.ravel(), "scales": scale.reshape(1), "zero_points": zero_points}

    return call, read, {"integer": False}


def quantize_linear(case, t, threads):
    p = case["parameters"]
    if case["op"] != "quantize_activation" or p["activation"] != "int8":
        raise Skip("needs quantize_activation to int8")
    spelled = p["activation_rule"].startswith("{")
    rule = json.loads(p["activation_rule"]) if spelled else {}
    wanted = {"range": "fixed", "granularity": "tensor", "min_code": -128}
    if any(rule.get(key) != value for key, value in wanted.items()):
        raise Skip(f"computes {json.dumps(wanted)} with a scale, and no other rule")
    if rule.get("rounding", "half_even") != "half_even":
        raise Skip("rounds ties to even")
    x, scale = t["x"], np.array(rule["scale"], np.float32)
    constants = {"scale": scale, "zero": np.array(0, np.int8)}
    node = helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"])
    shape = list(x.shape)
    out = [("codes", TensorProto.INT8, shape)]
    made = session([node], [("x", FLOAT, shape)], out, constants, threads)
    call, outputs = bound(made, {"x": x.copy()}, ["codes"])
    return call, lambda: {"codes": outputs()[0].ravel(), "scales": scale.reshape(1)}, {
        "integer": False}


PEERS = {
    "ort-matmul-integer": ("linear", matmul_integer),
    "ort-dynamic-matmul": ("linear", dynamic_matmul),
    "ort-matmul-nbits": ("linear", matmul_nbits),
    "ort-quantize": ("quantize_activation", quantize),
    "ort-quantize-linear": ("quantize_activation", quantize_linear),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cache", choices=["hot", "cold"], default="hot")
    parser.add_argument("--seconds", type=float, default=0.3)
    args = parser.parse_args()
    case, tensors = read_case(args.folder)
    for peer, (op, make) in PEERS.items():
        if op != case["op"]:
            continue
        try:
            call, read, arithmetic = make(case, tensors, args.threads)
        except Skip as why:
            print(f"{peer}: skipped: {why}")
            continue
        taken = samples(call, args.cache, args.seconds)
        about = {"version": ort.__version__, "arithmetic": arithmetic}
        answer(args.folder, peer, read(), (args.threads, args.cache, taken), about)
        print(f"{peer}: {len(taken)} samples, median {np.median(taken) / 1e3:.1f} us")


if __name__ == "__main__":
    main()
