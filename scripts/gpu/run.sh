#!/usr/bin/env bash
# Everything that wants a GPU, from a binary built elsewhere: no Rust and no network are needed, only the
# device's driver and, for CUDA, the toolkit's NVRTC and headers (CUDA_PATH, if not /usr/local/cuda).
#
#     cargo build --release --features cuda,gpu-peers --package lowbit-harness  # where there is Rust
#     CUDARC_CUDA_VERSION=12080 cargo build --release --features cuda --manifest-path benches/peers/burn_dragon/Cargo.toml
#     scripts/gpu/run.sh BINARY OUT [cuda|wgpu [BURN_DRAGON_PEER]]              # where there is a GPU
#
# OUT gets, in this order: doctor.txt; check-OP/, every GPU row of gpu-smoke.json against the reference, all ops
# side by side; run/, gpu.json checked, timed and drawn beside Burn's own products. Merged into run/: for cuda, where python3
# has torch, the products of PyTorch and Triton of two cases of gpu.json (and ceilings.json); with
# BURN_DRAGON_PEER, the second binary, the source's kernels on its own bench shapes. A part that fails does not
# stop the others. Takes 8 minutes at most; what had no time is said. Exits with 1 if a part failed.
set -uo pipefail
[ $# -ge 2 ] || { sed -n '2,13p' "$0" >&2; exit 2; }
binary=$(realpath "$1") out=$(realpath -m "$2") device=${3:-cuda} dragon=${4:+$(realpath "$4")}
cd "$(dirname "$0")/../.."
[ ! -e "$out" ] || { echo "$out: is there already" >&2; exit 2; }
mkdir -p "$out"
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"
# The loader looks for NVRTC, CubeCL for headers. Not exported: torch brings libraries of its own.
libraries="LD_LIBRARY_PATH=${CUDA_PATH:-/usr/local/cuda}/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
lowbit=(env "$libraries" "$binary")
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

part doctor 60 "${lowbit[@]}" doctor --no-peaks
# Most of it is compiling, by one thread each: ops side by side, of which `linear` takes longest.
checks=()
trap 'kill "${checks[@]}" 2>/dev/null' INT TERM
for op in $("${lowbit[@]}" list scenarios/suites/gpu-smoke.json 2>/dev/null | cut -d/ -f1 | sort -u); do
  (failed=0; part "check-$op" 150 "${lowbit[@]}" check scenarios/suites/gpu-smoke.json --op "$op" \
    --require "$device" "${rows[@]}" --out "$out/check-$op"; exit $failed) &
  checks+=($!)
done
[ ${#checks[@]} -gt 0 ] || { echo "== check: no op in gpu-smoke.json"; failed=1; }
for check in "${checks[@]}"; do wait "$check" || failed=1; done
if grep -q "burn-$device-" "$out/doctor.txt"; then rows+=(--kernel "burn-$device-*")
else echo "== no row burn-$device-*: built without gpu-peers"; fi
# What is left, less what the peers outside take.
part run $((end - SECONDS - 120)) "${lowbit[@]}" run scenarios/suites/gpu.json --require "$device" "${rows[@]}" --out "$out/run"
[ -s "$out/run/summary.md" ] || timeout 25 "${lowbit[@]}" report "$out/run" >"$out/report.txt" 2>&1

# peer NAME CASE COMMAND...: what a program outside answers on a case is merged into run/.
peer() {
  local folder=$out/case-$1 case=$2
  part "export-$1" 60 "${lowbit[@]}" export --case "$case/data=realistic" --out "$folder"
  part "peer-$1" 60 "${@:3}" "$folder"
  rm -f "$folder/inputs.safetensors"
  # It may have skipped the case.
  if compgen -G "$folder/*.safetensors" >/dev/null; then part "merge-$1" 40 "${lowbit[@]}" merge "$out/run" "$folder"; fi
}
if [ "$device" != cuda ]; then :
elif ! timeout 60 python3 -c 'import torch; assert torch.cuda.is_available()' 2>"$out/torch.txt"; then
  echo "== torch: $(tail -n 1 "$out/torch.txt")"
else
  part ceilings 60 python3 scripts/peers/torch_gpu.py --ceilings "$out/ceilings.json"
  product="activation=int8/activation_rule=absmax/k=8192/n=8192"
  torch=(python3 scripts/peers/torch_gpu.py)
  peer gemv "linear/weight=ternary2/weight_rule=b158/m=1/$product" "${torch[@]}" --cache cold
  peer gemm "linear/weight=int8/weight_rule=absmax/m=4096/$product" "${torch[@]}"
fi
if [ -n "$dragon" ]; then
  codes="weight=int8/weight_rule=burn_dragon/activation=int8/activation_rule=onnx/batch=8/heads=4/time=128"
  for pass in forward backward; do
    peer "lowrank-$pass" "lowrank_projection/pass=$pass/$codes/embd=256/packed_latent=128/latent=128" env "$libraries" "$dragon" --device "$device"
    peer "decoder-$pass" "decoder_tail/pass=$pass/$codes/latent=128/latent_total=512/dim=256" env "$libraries" "$dragon" --device "$device"
  done
fi
grep -HE '^[0-9]+ results?: ' "$out"/check-*.txt
tail -n 5 "$out/run.txt" 2>/dev/null
exit $failed
