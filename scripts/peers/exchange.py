"""What every outside peer shares: reading an exported case, timing a call, writing an answer.

`lowbit export --case ID --out DIR` writes DIR/case.json and DIR/inputs.safetensors; a peer writes
DIR/<peer>.safetensors with the op's outputs and DIR/<peer>.json with its samples, and
`lowbit merge RUN DIR` judges and joins them. Needs numpy and nothing else.
"""
import json
import os
import struct
import time

import numpy as np

TYPES = {
    "F32": np.float32, "I8": np.int8, "U8": np.uint8, "I32": np.int32,
}
NAMES = {np.dtype(t): name for name, t in TYPES.items()}
# Bytes swept between cold samples, as the harness sweeps them.
SWEEP_BYTES = 128 << 20
# A hot sample repeats the call until it takes this long, as the harness does.
MIN_SAMPLE_NS = 20_000


def read_tensors(path):
    """Every tensor of a .safetensors file, by name."""
    with open(path, "rb") as file:
        data = file.read()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + size + begin:8 + size + end], TYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def write_tensors(path, tensors):
    """Write tensors by name."""
    header, blobs, at = {}, [], 0
    for name, values in tensors.items():
        values = np.ascontiguousarray(values)
        blob = values.tobytes()
        header[name] = {
            "dtype": NAMES[values.dtype],
            "shape": list(values.shape),
            "data_offsets": [at, at + len(blob)],
        }
        blobs.append(blob)
        at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_case(folder):
    """The case's description and its inputs."""
    with open(os.path.join(folder, "case.json")) as file:
        case = json.load(file)
    return case, read_tensors(os.path.join(folder, "inputs.safetensors"))


def per_row(values, rows):
    """One value a row."""
    return np.broadcast_to(values, rows).astype(np.float32).copy()


class Skip(Exception):
    """The peer cannot answer the case; the text says why."""


def samples(call, cache, seconds, sweep=None):
    """Nanoseconds of calls: hot, or with the caches swept before each, those of the host by default."""
    now = time.perf_counter_ns
    if cache == "hot":
        sweep = None
    elif sweep is None:
        sweep = (np.arange(SWEEP_BYTES // 8, dtype=np.int64) | 1).sum
    fastest = None
    for _ in range(3):
        begin = now()
        call()
        took = now() - begin
        fastest = took if fastest is None else min(fastest, took)
    repeats = 1 if cache == "cold" else max(1, min(1000, -(-MIN_SAMPLE_NS // max(fastest, 1))))
    taken, until = [], now() + int(seconds * 1e9)
    while len(taken) < 5 or now() < until:
        if sweep is not None:
            sweep()
        begin = now()
        for _ in range(repeats):
            call()
        taken.append((now() - begin) / repeats)
    return taken


def answer(folder, peer, outputs, timing, about):
    """Write an answer, or add a round to the one there is.

    `timing` is (threads, cache, samples of this round); `about` holds version and arithmetic,
    and device ("cuda") if it is not the processor.
    """
    path = os.path.join(folder, peer + ".json")
    said = {"kernel": peer, "timings": [], **about}
    if os.path.exists(path):
        with open(path) as file:
            before = json.load(file)
        if all(before.get(key) == said.get(key) for key in ("kernel", "version", "device", "arithmetic")):
            said["timings"] = before["timings"]
    threads, cache, round_ = timing
    same = [t for t in said["timings"] if (t["threads"], t["cache"]) == (threads, cache)]
    if same:
        same[0]["rounds"].append(round_)
    else:
        said["timings"].append({"threads": threads, "cache": cache, "rounds": [round_]})
    write_tensors(os.path.join(folder, peer + ".safetensors"), outputs)
    with open(path, "w") as file:
        json.dump(said, file)
        file.write("\n")
