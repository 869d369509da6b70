"""Compile the kernels in CUDA C++ with NVRTC, on a machine without a GPU, and look for what they claim.

    pip install nvidia-cuda-nvrtc-cu12
    python3 scripts/gpu/nvrtc.py

Every .cu of kernels/src/linear/cuda, for every format and architecture, as the rows compile it: the line
that names the format, codes.cuh, ptx.cuh, the kernel. A kernel's line `// Claims: a, b.` says what its PTX
must hold. Exits 1 if one does not compile or lacks what it claims.
"""
import ctypes
import glob
import pathlib
import re
import site
import sys

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "kernels/src/linear/cuda"
FORMATS = ("SIGN1", "TERNARY2", "INT4", "INT8")
ARCHITECTURES = ("sm_80", "sm_90a")


def library():
    folders = [*sys.argv[1:], *site.getsitepackages(), site.getusersitepackages()]
    found = (path for folder in folders for path in glob.glob(folder + "/nvidia/*/lib/libnvrtc.so.*"))
    path = next(found, None)
    if path is None:
        sys.exit("no NVRTC: pip install nvidia-cuda-nvrtc-cu12, or name the folder that holds nvidia/")
    return ctypes.CDLL(path)


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
    options = [f"--gpu-architecture={architecture}".encode(), b"--std=c++17"]
    if nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)):
        raise ValueError(text(nvrtc, program, "ProgramLog"))
    return text(nvrtc, program, "PTX")


def main():
    nvrtc, failed = library(), 0
    shared = "".join((FOLDER / name).read_text() for name in ("codes.cuh", "ptx.cuh"))
    for path in sorted(FOLDER.glob("*.cu")):
        body = path.read_text()
        line = re.search(r"^// Claims: (.*)\.$", body, re.MULTILINE)
        claims = line.group(1).split(", ") if line else []
        for form in FORMATS:
            for architecture in ARCHITECTURES:
                name = f"{path.name} {form} {architecture}"
                try:
                    ptx = compiled(nvrtc, f"#define {form}\n{shared}{body}", path.name, architecture)
                    lacks = [claim for claim in claims if claim not in ptx]
                    said = f"lacks {', '.join(lacks)}" if lacks or not claims else "has " + ", ".join(claims)
                except ValueError as log:
                    lacks, said = True, f"does not compile:\n{log}"
                failed += bool(lacks or not claims)
                print(f"{name}: {said}")
    sys.exit(failed > 0)


main()
