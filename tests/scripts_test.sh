#!/usr/bin/env bash
# The scripts that install and build, without installing or building: stand-ins for dpkg-query, apt-get, id and sudo.
#
#   scripts_test.sh REPOSITORY
#
# shellcheck disable=SC2317  # the functions are called through `check`
set -euo pipefail
repository=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() { # description, command...
  local what=$1
  shift
  "$@" || {
    echo "FAILED: $what"
    failed=1
  }
}

fails() { ! "$@"; }

stand_in() { # name, body
  printf '#!/bin/bash\n%s\n' "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

# prepared COMMAND...: runs a function of prepare.sh in a tree of the test's own.
prepared() {
  (
    # shellcheck disable=SC2030,SC2034
    PATH=$work/bin:$PATH root=$work/tree script=test
    # shellcheck source=cmake/prepare.sh
    source "$repository/cmake/prepare.sh"
    "$@"
  ) >"$work/out" 2>"$work/err"
}

mkdir -p "$work/bin" "$work/tree/build" "$work/elsewhere"
printf '# a comment\nwanted-one\nwanted-two  # why\n\n' >"$work/packages"
# What is installed is what the file `installed` names.
stand_in dpkg-query "for name; do grep -qxF -- \"\$name\" '$work/installed' && echo \"installed \$name\"; done; exit 1"
stand_in apt-get "echo \"\$*\" >>'$work/apt'; case \"\$*\" in *install*) [ ! -e '$work/broken' ] && printf 'wanted-one\nwanted-two\n' >'$work/installed' ;; esac"
stand_in id "echo 0"
: >"$work/installed"

prepared missing_packages "$work/packages"
check "names what is missing" test "$(cat "$work/out")" = "$(printf 'wanted-one\nwanted-two')"
printf 'wanted-one\nother\n' >"$work/installed"
prepared missing_packages "$work/packages"
check "leaves out what is there" test "$(cat "$work/out")" = wanted-two

check "installs what is missing" prepared install_packages "$work/packages"
check "asks apt-get for it alone" grep -qE 'install .* wanted-two$' "$work/apt"
: >"$work/apt"
check "is content when all is there" prepared install_packages "$work/packages"
check "calls no apt-get then" test ! -s "$work/apt"
check "and says nothing" test ! -s "$work/err"

: >"$work/installed"
touch "$work/broken"
check "fails when apt-get does not bring it" fails prepared install_packages "$work/packages"
check "says what is still missing" grep -q 'could not install.*wanted-one wanted-two' "$work/err"
stand_in id "echo 1000"
without_sudo() {
  local PATH=$work/bin
  "$@"
}
for tool in bash sed sort comm tr awk cat mkdir grep; do ln -sf "$(command -v $tool)" "$work/bin/$tool"; done
check "fails without root and sudo" fails without_sudo prepared install_packages "$work/packages"
check "says so in one line" test "$(wc -l <"$work/err")" -eq 1
check "and names the packages" grep -q 'wanted-one wanted-two' "$work/err"
stand_in sudo 'printf "%s\n" "sudo $*" >>'"'$work/apt'"'; exec "$@"'
rm "$work/broken"
: >"$work/apt"
check "goes through sudo" prepared install_packages "$work/packages"
check "with apt-get" grep -q 'sudo env .*apt-get' "$work/apt"

prepared build_jobs
check "runs at least one job and no more than the cores" test "$(cat "$work/out")" -ge 1 -a "$(cat "$work/out")" -le "$(nproc)"

explain() { "$repository/$1" "$2" >"$work/out"; }
cd "$work/elsewhere"
for name in run test; do
  for option in --help -h; do
    check "$name $option" explain "$name" "$option"
    check "$name $option explains" grep -q "usage: ./$name" "$work/out"
  done
done
check "help leaves nothing in the current folder" test -z "$(ls -A)"

# What a machine with a device runs, without one.
results=$repository/tests/bench/gpu-results.md
before=$(cksum "$repository"/tests/bench/gpu-results.*)
gpu() { PATH=$work/bin bash "$repository/tests/gpu.sh" "$@" >"$work/out" 2>"$work/err"; }
ln -sf "$(command -v dirname)" "$(command -v readlink)" "$work/bin/"
check "gpu.sh fails without a driver" fails gpu
check "and says so in one line" test "$(cat "$work/err")" = "gpu.sh: there is no CUDA device here: nvidia-smi was not found"
stand_in nvidia-smi 'printf "No devices were found\nmore\n"; exit 6'
check "gpu.sh fails without a device" fails gpu
check "and says what the driver says" test "$(cat "$work/err")" = "gpu.sh: there is no CUDA device here: No devices were found"
check "gpu.sh refuses unknown options" fails gpu --nonsense
check "and leaves the results alone" test "$(cksum "$repository"/tests/bench/gpu-results.*)" = "$before"
check "the results say what they are" grep -qE 'Not yet run on a device|, driver .*; commit ' "$results"
for name in tests/gpu.sh tests/stage_gpu_packages.sh; do
  check "$name --help" explain "$name" --help
  check "$name --help explains" grep -q "usage: $name" "$work/out"
done

mkdir "$work/gpu"
cat >"$work/gpu/tests.xml" <<'XML'
<testsuite><testcase name="A" status="run"/><testcase name="B" status="fail"><failure message=""/></testcase>
<testcase name="C" status="notrun"><skipped message="no device"/></testcase></testsuite>
XML
cat >"$work/gpu/benchmarks.json" <<'JSON'
{"benchmarks": [
  {"name": "cpu/rms_norm/1x8/F32/real_time", "items_per_second": 1e5, "bytes_per_second": 1e9},
  {"name": "cuda/copy/64/I8/real_time", "items_per_second": 1e3, "bytes_per_second": 4e12},
  {"name": "cuda/rms_norm/1x8/F32/real_time", "items_per_second": 5e5, "bytes_per_second": 1e12, "FLOP/s": 2e12}]}
JSON
echo '{"model": "m", "prompt_tokens": 9, "prefill_tokens_per_s": {"off": 50}, "decode_tokens_per_s": {"off": 40}}' \
  >"$work/gpu/model-m.json"
echo 20000000000 >"$work/gpu/model-m.bytes"
check "writes the results" python3 "$repository/tests/bench/gpu_report.py" --build "$work/gpu" --results "$work/results" \
  --device D --driver 580.1 --cuda 13.0 --commit c
check "counts the tests" grep -qxF 'Tests: 1 passed, 1 failed, 1 skipped.' "$work/results.md"
check "lists operations beside the CPU" grep -qF '| rms_norm | 1x8 | F32 |  | 2.0 | 1000.0 | 25 % | 2.00 | 10.0 |' "$work/results.md"
check "relates decoding to copying" grep -qF '| m | 9 | off | 50 | 40.0 | 25.00 | 20 % | 0.0 % |' "$work/results.md"
check "keeps all figures" python3 -c "import json; assert json.load(open('$work/results.json'))['tests']['failures'] == ['B']"

# The whole run, on a device, a build and programs that only pretend.
device=$work/device
mkdir -p "$device/tests/bench" "$device/cmake"
cp "$repository/tests/gpu.sh" "$device/tests/"
cp "$repository/cmake/prepare.sh" "$device/cmake/"
cp "$repository/tests/bench/gpu_report.py" "$device/tests/bench/"
echo 'import sys; open(sys.argv[3], "w").write("0" * 1000)' >"$device/tests/bench/make_model.py"
echo 'raise SystemExit(1)' >"$device/tests/bench/hooks_bench.py"
cp -r "$work/bin" "$work/device-bin"
in_device_bin() { # name, body
  printf '#!/bin/bash\n%s\n' "$2" >"$work/device-bin/$1"
  chmod +x "$work/device-bin/$1"
}
in_device_bin nvidia-smi 'echo "NVIDIA Pretended, 9.0, 580.1"'
in_device_bin nvcc 'echo "Cuda compilation tools, release 13.0, V13.0.88"'
in_device_bin cmake "case \$1 in
-S) echo \"\$*\" >'$work/cmake'; mkdir -p '$device/build/gpu/tests' ;;
*)
  printf '#!/bin/bash\necho bench \"\$*\" >>\"$work/benched\"; [[ \"\$*\" != *4096* ]] && cat \"$work/gpu/model-m.json\"\n' >'$device/build/gpu/orrery'
  printf '#!/bin/bash\nfor o; do case \$o in --benchmark_out=*) cp \"$work/gpu/benchmarks.json\" \"\${o#*=}\" ;; esac; done\n' \
    >'$device/build/gpu/tests/backend_bench'
  chmod +x '$device/build/gpu/orrery' '$device/build/gpu/tests/backend_bench' ;;
esac"
in_device_bin ctest "while [ \$# -gt 0 ]; do [ \"\$1\" != --output-junit ] || cp '$work/gpu/tests.xml' \"\$2\"; shift; done
echo '50% tests passed, 1 tests failed out of 2'; exit 8"
in_device_bin ninja ''
in_device_bin c++ ''
on_device() { PATH=$work/device-bin:$PATH bash "$device/tests/gpu.sh" --commit abc "$@" >"$work/out" 2>"$work/err"; }
check "a run with a failed test fails" fails on_device
check "and says where the log is" grep -q 'a test failed: .*/tests.log' "$work/err"
check "builds for the device at hand" grep -q 'preset gpu .*ARCHITECTURES=90' "$work/cmake"
check "writes all the same" grep -qF 'NVIDIA Pretended, driver 580.1, CUDA 13.0; commit abc' "$device/tests/bench/gpu-results.md"
check "times every model it made" test "$(grep -c -- '--prompt 256' "$work/benched")" -eq 3
check "with a shorter prompt where the long one fails" grep -q -- '--model .*/8b-Q8_0.gguf .*--prompt 4096' "$work/benched"

check "every package is named once" test -z "$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$repository"/packages*.txt | sort | uniq -d)"

[ "$failed" -eq 0 ] && echo "all passed"
exit "$failed"
