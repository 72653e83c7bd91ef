#!/usr/bin/env bash
# Builds Orrery without its window, runs what only a CUDA device can answer, and writes the figures down.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
script="gpu.sh"
# shellcheck source=cmake/prepare.sh
source "$root/cmake/prepare.sh"

build=$root/build/gpu
results=$root/tests/bench/gpu-results

help() {
  cat <<'HELP'
usage: tests/gpu.sh [OPTIONS]    build, run the device's tests and benchmarks, write tests/bench/gpu-results.{md,json}

  --packages FOLDER   where packages.tar.gz of tests/stage_gpu_packages.sh lies (build/gpu-packages); without the
                      archive the libraries must be installed
  --models FOLDER     models to time with `orrery bench`: *.gguf and folders with a config.json (build/models)
  --commit NAME       what is being built, where git cannot tell
  --seconds N         time for everything (530)
  --without-device    build, and run the tests on the emulated device; writes no results

Needs a CUDA device, nvcc, a C++ compiler, CMake and Python 3, and no network. Ends within nine minutes on 16 cores, whatever is left undone.
HELP
}

packages=$root/build/gpu-packages models=$root/build/models commit='' seconds=530 with_device=1
while [ $# -gt 0 ]; do
  case $1 in
    --packages | --models | --commit | --seconds)
      [ $# -ge 2 ] || stop "$1 takes a value"
      declare "${1#--}=$2"
      shift
      ;;
    --without-device) with_device='' ;;
    --help | -h)
      help
      exit 0
      ;;
    *) stop "unknown option (see --help): $1" ;;
  esac
  shift
done

# left: the seconds that remain, at least one.
left() {
  local remain=$((seconds - SECONDS))
  if [ "$remain" -lt 1 ]; then remain=1; fi
  echo "$remain"
}

# find_device: sets `device`, `capability` and `driver`; stops where there is none.
find_device() {
  local answer
  command -v nvidia-smi >/dev/null || stop "there is no CUDA device here: nvidia-smi was not found"
  answer=$(nvidia-smi --query-gpu=name,compute_cap,driver_version --format=csv,noheader 2>&1) ||
    stop "there is no CUDA device here: ${answer%%$'\n'*}"
  IFS=, read -r device capability driver <<<"${answer%%$'\n'*}"
  capability=${capability//[ .]/}
  driver=${driver# }
  [[ $capability =~ ^[0-9]+$ ]] || stop "there is no CUDA device here: nvidia-smi says: ${answer%%$'\n'*}"
}

# find_cuda: nvcc on the PATH, or where it is usually installed; and cuBLAS, which is opened at run time.
find_cuda() {
  local folder found
  for folder in "${CUDA_HOME-}" "${CUDA_PATH-}" /usr/local/cuda /opt/cuda; do
    command -v nvcc >/dev/null && break
    if [ -x "$folder/bin/nvcc" ]; then PATH=$PATH:$folder/bin; fi
  done
  nvcc=$(command -v nvcc) || stop "nvcc was not found: put it on the PATH, or set CUDA_HOME"
  cuda=$("$nvcc" --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')
  if ldconfig -p 2>/dev/null | grep "libcublas.so.${cuda%%.*} " >/dev/null; then return; fi
  local places=("$(dirname "$(dirname "$(readlink -f "$nvcc")")")")
  # Python's packages of CUDA's libraries.
  found=$(python3 -c 'import nvidia; print(*nvidia.__path__, sep="\n")' 2>/dev/null) && mapfile -t -O 1 places <<<"$found"
  found=$(find -L "${places[@]}" -name "libcublas.so.${cuda%%.*}" -print -quit 2>/dev/null) || true
  if [ -n "$found" ]; then export LD_LIBRARY_PATH=${found%/*}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; fi
}

# use_packages: unpacks the archive once, and lets the build find its contents before the machine's own.
use_packages() {
  local archive=$packages/packages.tar.gz tree=$root/build/gpu-tree mark
  if [ ! -f "$archive" ]; then
    say "building with the libraries that are installed: there is no $archive"
    return
  fi
  local libraries=$tree/usr/lib/x86_64-linux-gnu
  mark="$tree $(cksum <"$archive")"
  if [ "$(cat "$tree/.unpacked" 2>/dev/null)" != "$mark" ]; then
    rm -rf "$tree"
    mkdir -p "$tree"
    tar -xzf "$archive" -C "$tree"
    # The archive's pkg-config, which knows its own libraries and no others.
    cat >"$tree/pkg-config" <<SCRIPT
#!/bin/sh
export PKG_CONFIG_SYSROOT_DIR='$tree' PKG_CONFIG_LIBDIR='$libraries/pkgconfig:$tree/usr/share/pkgconfig'
LD_LIBRARY_PATH='$libraries' exec '$tree/usr/bin/pkgconf' "\$@"
SCRIPT
    chmod +x "$tree/pkg-config"
    echo "$mark" >"$tree/.unpacked"
  fi
  PATH=$PATH:$tree/usr/bin # ninja, where the machine has none
  # DT_RPATH, not RUNPATH: it also holds for the libraries that the libraries load.
  options+=("-DPKG_CONFIG_EXECUTABLE=$tree/pkg-config" "-DCMAKE_PREFIX_PATH=$tree/usr"
    "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags,-rpath,$libraries"
    "-DCMAKE_CXX_STANDARD_INCLUDE_DIRECTORIES=$tree/usr/include;$tree/usr/include/x86_64-linux-gnu")
}

# tested OPTIONS: runs the tests that ctest's options select; their counts are read from build/gpu/tests.xml.
tested() {
  timeout "$(left)" ctest --test-dir "$build" --output-on-failure --parallel "$(nproc)" --timeout 120 "$@" \
    --output-junit "$build/tests.xml" >"$build/tests.log" 2>&1 || {
    grep -E 'tests passed|\((Failed|Timeout|Not Run|SEGFAULT|Subprocess aborted)\)' "$build/tests.log" >&2 || tail -n 5 "$build/tests.log" >&2
    return 1
  }
  grep 'tests passed' "$build/tests.log" >&2
}

# make_models: models of real shapes with random weights, written while the build runs.
make_models() {
  local shape dtype file
  mkdir -p "$build/models"
  for shape in 1b:BF16 1b:Q4_K 8b:Q8_0; do
    dtype=${shape#*:} shape=${shape%:*}
    file=$build/models/$shape-$dtype.gguf
    [ ! -f "$file" ] || continue
    if timeout "$(left)" python3 "$root/tests/bench/make_model.py" "$shape" "$dtype" "$file.part"; then
      mv "$file.part" "$file"
    else
      rm -f "$file.part"
    fi
  done
}

# each_model: times prefill and decoding of every model, with and without recording.
each_model() {
  local model name
  for model in "$build"/models/*.gguf "$models"/*.gguf "$models"/*/config.json; do
    [ -e "$model" ] || continue
    model=${model%/config.json}
    name=$(basename "$model" .gguf)
    say "timing the model: $name"
    du -sbL "$model" | cut -f 1 >"$build/model-$name.bytes"
    # Recording a long prompt may take too long, and a model's context may be short.
    bench_model 4096 off,light,standard || bench_model 4096 off || bench_model 256 off,light,standard || {
      rm "$build/model-$name.json"
      say "not timed: $name: $(tail -n 1 "$build/model-$name.log")"
    }
  done
}

bench_model() { # tokens of the prompt, levels
  local most
  most=$(left)
  [ "$most" -le 90 ] || most=90
  timeout "$most" "$build/orrery" bench --model "$model" --backend cuda --prompt "$1" --new 64 --repeat 2 --levels "$2" \
    --json >"$build/model-$name.json" 2>"$build/model-$name.log"
}

options=()
[ -z "$with_device" ] || find_device
find_cuda
use_packages
for tool in cmake ninja python3 c++; do
  command -v "$tool" >/dev/null || stop "this needs $tool"
done
mkdir -p "$build"
rm -f "$build"/model-*.{json,bytes} "$build"/{tests.xml,benchmarks.json}
[ -n "$commit" ] || commit=$(git -C "$root" describe --always --dirty --abbrev=10 --exclude='*' 2>/dev/null) || commit="unknown"

if [ -n "$with_device" ]; then make_models 2>"$build/models.log" & fi
say "building for sm_${capability:-90}"
cmake -S "$root" --preset gpu -B "$build" "-DCMAKE_CUDA_COMPILER=$nvcc" \
  "-DORRERY_CUDA_ARCHITECTURES=${capability:-90}" "${options[@]}" >"$build/configure.log" 2>&1 || {
  tail -n 25 "$build/configure.log" >&2
  stop "CMake could not configure; all it said is in $build/configure.log"
}
# A job a core: what memory is free now says little on a machine that gets it as it is used.
timeout "$(left)" cmake --build "$build" --parallel "$(nproc)" --target orrery kernels_tests engine_tests \
  probes_tests sessions_tests app_tests backend_bench >"$build/build.log" 2>&1 || {
  grep -m 1 -A 20 -E '^FAILED|error' "$build/build.log" >&2 || tail -n 5 "$build/build.log" >&2
  stop "the build failed, or took too long: all it said is in $build/build.log"
}
say "built after $SECONDS s"

if [ -z "$with_device" ]; then
  tested -R 'Cuda|cuda|Emulat' || stop "a test failed: $build/tests.log says why"
  exit 0
fi

failed=
# What the emulation shows, every machine's tests show.
tested -R 'Cuda|cuda|Device' -E '/Emulated$' || failed="a test failed: $build/tests.log says why"
say "tested after $SECONDS s"
timeout "$(left)" "$build/tests/backend_bench" --benchmark_out="$build/benchmarks.json" --benchmark_out_format=json \
  --benchmark_min_time=0.05 >"$build/benchmarks.log" 2>&1 || failed="the benchmarks failed: $(tail -n 1 "$build/benchmarks.log")"
wait
say "operations timed after $SECONDS s"
each_model
# The same measurements by hooks in transformers, where Python has it.
if python3 -c 'import torch, transformers' 2>/dev/null; then
  timeout "$(left)" python3 "$root/tests/bench/hooks_bench.py" >"$build/model-transformers.json" \
    2>"$build/model-transformers.log" || rm "$build/model-transformers.json"
fi
python3 "$root/tests/bench/gpu_report.py" --build "$build" --results "$results" --device "$device" --driver "$driver" \
  --cuda "$cuda" --commit "$commit"
say "results after $SECONDS s: $results.md"
[ -z "$failed" ] || stop "$failed"
