#!/usr/bin/env bash
# Everything that wants a GPU, from a binary built elsewhere: no Rust and no network are needed, only the
# device's driver and, for CUDA, the toolkit's NVRTC and headers (CUDA_PATH, if not /usr/local/cuda).
#
#     cargo build --release --features cuda --package lowbit-harness       # where there is Rust
#     scripts/gpu/run.sh BINARY OUT [cuda|wgpu]                            # where there is a GPU
#
# OUT gets, in this order: doctor.txt; check/, every GPU row of gpu-smoke.json against the reference;
# run/, gpu.json checked, timed and drawn; and for cuda, where python3 has torch, ceilings.json and PyTorch's
# own products of two cases of gpu.json, merged into run/. A part that fails does not stop the others. Takes
# 8 minutes at most; what had no time is said. Exits with 1 if a part failed.
set -uo pipefail
[ $# -ge 2 ] || { sed -n '2,11p' "$0" >&2; exit 2; }
binary=$(realpath "$1") out=$(realpath -m "$2") device=${3:-cuda}
cd "$(dirname "$0")/../.."
[ ! -e "$out" ] || { echo "$out: is there already" >&2; exit 2; }
mkdir -p "$out"
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
# The loader looks for NVRTC, CubeCL for headers.
export LD_LIBRARY_PATH="${CUDA_PATH:-/usr/local/cuda}/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
rows=(--kernel 'cube-wgpu' --kernel 'wgsl-*')
[ "$device" = wgpu ] || rows=(--kernel 'cube-cuda' --kernel 'cuda-*')
failed=0 end=$((SECONDS + 450))

# part NAME SECONDS COMMAND...: run it within its time and what is left of all; its words go to NAME.txt.
part() {
  local name=$1 limit=$2 left=$((end - SECONDS)) rc=0
  shift 2
  if [ $left -lt 10 ]; then echo "== $name: no time left"; failed=1; return; fi
  [ "$limit" -lt "$left" ] || limit=$left
  timeout --kill-after=10 "$limit" "$@" >"$out/$name.txt" 2>&1 || rc=$?
  case $rc in
    0) echo "== $name: ok ($SECONDS s)" ;;
    124 | 137) echo "== $name: not done in $limit s"; failed=1 ;;
    *) echo "== $name: exit $rc ($SECONDS s)"; tail -n 5 "$out/$name.txt"; failed=1 ;;
  esac
}

part doctor 60 "$binary" doctor --no-peaks
part check 120 "$binary" check scenarios/suites/gpu-smoke.json --require "$device" "${rows[@]}" --out "$out/check"
# What is left, less what PyTorch takes.
part run $((end - SECONDS - 90)) "$binary" run scenarios/suites/gpu.json --require "$device" "${rows[@]}" --out "$out/run"
[ -s "$out/run/summary.md" ] || timeout 25 "$binary" report "$out/run" >"$out/report.txt" 2>&1
if [ "$device" != cuda ]; then :
elif ! timeout 60 python3 -c 'import torch; assert torch.cuda.is_available()' 2>"$out/torch.txt"; then
  echo "== torch: $(tail -n 1 "$out/torch.txt")"
else
  part ceilings 60 python3 scripts/peers/torch_gpu.py --ceilings "$out/ceilings.json"
  product="linear/weight=int8/activation=int8/weight_rule=absmax/activation_rule=absmax"
  for m in 1 4096; do
    part "export-$m" 60 "$binary" export --case "$product/m=$m/k=8192/n=8192/data=realistic" --out "$out/case-$m"
    part "torch-$m" 60 python3 scripts/peers/torch_gpu.py "$out/case-$m"
  done
  part merge 60 "$binary" merge "$out/run" "$out/case-1" "$out/case-4096"
  rm -rf "$out"/case-*/inputs.safetensors
fi
tail -n 5 "$out"/{check,run}.txt 2>/dev/null
exit $failed
