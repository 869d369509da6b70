#!/usr/bin/env bash
# What can be said of kernels for CUDA without a GPU: that NVRTC compiles those in CUDA C++, and with
# FILE those in CubeCL, to the instructions they claim, and that on threads of the processor the former
# answer what a plain product does. Needs python3 with venv and pip for the first, a C++20 compiler
# (CXX, else c++) for the second; says which of them is not there.
#
#     scripts/gpu/check.sh [FILE]
#     cargo test --lib every_kernel_is_written -- --nocapture > FILE
set -euo pipefail
listed=${1:+$(realpath "$1")}
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

if python3 -m venv "$out/venv" >"$out/pip" 2>&1 &&
  "$out/venv/bin/pip" install --quiet nvidia-cuda-nvrtc-cu12==12.9.86 nvidia-cuda-runtime-cu12==12.9.79 >>"$out/pip" 2>&1
then
  "$out/venv/bin/python" nvrtc.py
  if [ -n "$listed" ]; then "$out/venv/bin/python" nvrtc.py --listed "$listed"; fi
else echo "not compiled by NVRTC: $(tail -n 1 "$out/pip")"
fi

if command -v "${CXX:-c++}" >/dev/null; then
  for format in SIGN1 TERNARY2 INT4 INT8; do
    "${CXX:-c++}" -std=c++20 -O1 -w -pthread "-D$format" emulator/main.cpp -o "$out/emulator"
    printf 'emulated, %s: ' "$format"
    "$out/emulator"
  done
else echo "not emulated: no C++ compiler"
fi
