"""Compile CUDA C++ with NVRTC, on a machine without a GPU, and look for what it claims.

    pip install nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12
    python3 scripts/gpu/nvrtc.py [--listed FILE]

Every .cu of kernels/src/linear/cuda, for every format and architecture, as the rows compile it: the line
that names the format, codes.cuh, ptx.cuh, the kernel; and the clock, kernels/src/cube/stamp.cu. A kernel's
line `// Claims: a, b.` says what its PTX must hold.

FILE is what the test `every_kernel_is_written_in_both_languages` prints: the CUDA C++ of the kernels in
CubeCL, each below a line `//@ its name`. Where a kernel's name has a vector of 4 words, its PTX must load
such from memory; products, attention and convolution must go through shared memory.

Exits 1 if one does not compile or lacks what it claims.
"""
import argparse
import collections
import concurrent.futures
import ctypes
import glob
import itertools
import os
import pathlib
import re
import site
import sys

KERNELS = pathlib.Path(__file__).resolve().parents[2] / "kernels/src"
FOLDER = KERNELS / "linear/cuda"
STAMP = KERNELS / "cube/stamp.cu"
FORMATS = ("SIGN1", "TERNARY2", "INT4", "INT8")
ARCHITECTURES = ("sm_80", "sm_90a")
THROUGH_SHARED_MEMORY = ("gemv", "gemm", "attend", "convolve", "outer")


def packages(pattern):
    """Paths below site-packages."""
    folders = [*site.getsitepackages(), site.getusersitepackages()]
    return [path for folder in folders for path in glob.glob(f"{folder}/nvidia/{pattern}")]


def library():
    found = packages("*/lib/libnvrtc.so.*")
    if not found:
        sys.exit("no NVRTC: pip install nvidia-cuda-nvrtc-cu12")
    return ctypes.CDLL(found[0])


def text(nvrtc, program, what):
    size = ctypes.c_size_t()
    getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(nvrtc, f"nvrtcGet{what}")(program, buffer)
    return buffer.value.decode()


def compiled(nvrtc, source, name, architecture):
    """PTX, or the compiler's log as an error."""
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name.encode(), 0, None, None)
    options = [f"--gpu-architecture={architecture}", "--std=c++17"]
    options += [f"--include-path={folder}" for folder in packages("cuda_runtime/include")]
    arguments = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    try:
        if nvrtc.nvrtcCompileProgram(program, len(options), arguments):
            raise ValueError(text(nvrtc, program, "ProgramLog"))
        return text(nvrtc, program, "PTX")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def written(nvrtc):
    """The kernels in CUDA C++: how many failed."""
    failed = 0
    shared = "".join((FOLDER / name).read_text() for name in ("codes.cuh", "ptx.cuh"))
    kernels = [(path, form) for path in sorted(FOLDER.glob("*.cu")) for form in FORMATS] + [(STAMP, "")]
    for path, form in kernels:
        body = path.read_text()
        line = re.search(r"^// Claims: (.*)\.$", body, re.MULTILINE)
        claims = line.group(1).split(", ") if line else []
        source = f"#define {form}\n{shared}{body}" if form else body
        for architecture in ARCHITECTURES:
            try:
                ptx = compiled(nvrtc, source, path.name, architecture)
                lacks = [claim for claim in claims if claim not in ptx]
                said = f"lacks {', '.join(lacks)}" if lacks or not claims else "has " + ", ".join(claims)
            except ValueError as log:
                lacks, said = True, f"does not compile:\n{log}"
            failed += bool(lacks or not claims)
            print(f"{path.name} {form} {architecture}: {said}".replace("  ", " "))
    return failed


def vectored(entry):
    return re.search(r"_n[a-z]*_4(_|$)", entry)


def tiled(entry):
    return entry.startswith(THROUGH_SHARED_MEMORY)


def listed(nvrtc, file):
    """The kernels in CubeCL: how many failed."""
    sources = re.findall(r"^//@ [^\n]*\n(.*?)(?=^//@)", pathlib.Path(file).read_text(), re.MULTILINE | re.DOTALL)
    entries = [re.search(r"__global__ .*?(\w+) \(", source).group(1) for source in sources]

    def check(job):
        (entry, source), architecture = job
        try:
            ptx = compiled(nvrtc, source, entry, architecture)
        except ValueError as log:
            return f"does not compile:\n{log}"
        lacks = []
        if vectored(entry) and not re.search(r"ld\.global[.a-z]*\.v4", ptx):
            lacks.append("loads of 4 words")
        if tiled(entry) and not ("ld.shared" in ptx and "st.shared" in ptx):
            lacks.append("shared memory")
        return f"lacks {', '.join(lacks)}" if lacks else None

    # Each for one of them, by turns: what differs between them is NVRTC's.
    turns = itertools.cycle(ARCHITECTURES)
    jobs = list(zip(zip(entries, sources), turns))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        answers = list(pool.map(check, jobs))
    failures = [(job, answer) for job, answer in zip(jobs, answers) if answer]
    for ((entry, _), architecture), answer in failures:
        print(f"{entry} {architecture}: {answer}")
    vectors, tiles = len([e for e in entries if vectored(e)]), len([e for e in entries if tiled(e)])
    print(f"of them by four words: {vectors}; through shared memory: {tiles}")
    kinds = collections.Counter(re.split(r"_[a-z]+_", entry)[0] for entry in entries)
    said = ", ".join(f"{name} {count}" for name, count in sorted(kinds.items()))
    print(f"kernels in CubeCL, {' or '.join(ARCHITECTURES)}: {len(jobs) - len(failures)} of {len(jobs)} ({said})")
    return len(failures) + (0 in (len(jobs), vectors, tiles))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listed", help="CUDA C++ of the kernels in CubeCL")
    arguments, nvrtc = parser.parse_args(), library()
    failed = listed(nvrtc, arguments.listed) if arguments.listed else written(nvrtc)
    sys.exit(failed > 0)


main()
