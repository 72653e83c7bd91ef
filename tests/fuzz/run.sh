#!/usr/bin/env bash
# Drives the fuzz targets with libFuzzer under AddressSanitizer and UndefinedBehaviorSanitizer.
#
#   tests/fuzz/run.sh SECONDS [TARGET...]      all targets: gguf safetensors config tokenizer_json chat_template session
#
# Starts from tests/fuzz/corpus/TARGET; what is found beyond it stays in build/fuzz/found/TARGET. A crash, a leak, more
# than 4 GB or more than 20 s for one input ends it with status 1 and the name of the input, which then belongs into the
# corpus, where every build tests it.
set -euo pipefail
root=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
script="tests/fuzz/run.sh"
# shellcheck source=cmake/prepare.sh
source "$root/cmake/prepare.sh"

if [ $# -eq 0 ] || [ "$1" = --help ]; then
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
  exit 0
fi
seconds=$1
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(gguf safetensors config tokenizer_json chat_template session)
folder=$root/build/fuzz

build fuzz "$folder" "${targets[@]/#/fuzz_}"

# fuzz TARGET: one line of result; the log beside it.
fuzz() {
  local found=$folder/found/$1 log=$folder/found/$1.log
  mkdir -p "$found"
  if ! ASAN_OPTIONS=detect_stack_use_after_return=1 nice "$folder/tests/fuzz_$1" "$found" "$root/tests/fuzz/corpus/$1" \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=200000 -len_control=20 \
    -artifact_prefix="$found/../crash-$1-" -print_final_stats=1 >"$log" 2>&1; then
    tail -n 60 "$log"
    echo "$1: failed; the input is named above"
    return 1
  fi
  echo "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s," \
    "$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1) edges," \
    "peak $(sed -n 's/^stat::peak_rss_mb: *//p' "$log") MB"
}

failed=0
running=0
for target in "${targets[@]}"; do
  if [ "$running" -ge "$(build_jobs)" ]; then
    wait -n || failed=1
    running=$((running - 1))
  fi
  fuzz "$target" &
  running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
  wait -n || failed=1
  running=$((running - 1))
done
exit "$failed"
