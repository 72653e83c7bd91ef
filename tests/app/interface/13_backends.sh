# --backend: CUDA emulated through every command that runs a model, against the CPU; CUDA where there is no device.
text=$models/tiny-text.q8_0.gguf
no_device() { ! "$bin" run --model "$models/tiny-llama-a" --tokens 1 -n 0 --backend cuda >/dev/null 2>&1; }

for name in tiny-llama-a tiny-llama-b tiny-llama-c.q8_0.gguf tiny-gemma2.f32.gguf tiny-qwen3; do
  for steps in "" --steps; do
    for backend in cpu cuda-emulated; do
      succeeds "logits of $name on $backend $steps" \
        logits --model "$models/$name" --tokens 1,7,3,9,2,8,5 --backend $backend $steps --out "$work/$backend.npy"
    done
    npy_near "logits of $name, emulated against CPU $steps" "$work/cuda-emulated.npy" "$work/cpu.npy" 2e-3
    rm -f "$work"/cpu.npy "$work"/cuda-emulated.npy
  done
done

s=$work/emulated.orrery
succeeds "run --record on the emulation" run --model "$text" --prompt "The river" -n 6 --temperature 0 --record "$s" --backend cuda-emulated --json
equal "one line says that it is slow" 1 "$(grep -c slower "$work/err")"
equal "the session notes the backend" cuda-emulated "$(sql "$s" 'select backend from run')"
for key in instruction_set device; do
  check "the session notes its $key" test -n "$(sql "$s" "select json_extract(settings, '\$.$key') from run")"
done
ids=$(json '$.ids')
succeeds "the same on the CPU" run --model "$text" --prompt "The river" -n 6 --temperature 0 --backend cpu --json
equal "the same likeliest tokens" "$(json '$.ids')" "$ids"
succeeds "info" info "$s" --json
equal "info says the backend" cuda-emulated "$(json '$.runs[0].backend')"
succeeds "verify on the emulation" verify "$s" --backend cuda-emulated --json
equal "bit-identical there" 1 "$(json '$.bit_identical')"
succeeds "verify on the CPU" verify "$s" --backend cpu --json
equal "within tolerances" "1 0" "$(json '$.passed') $(json '$.bits_expected')"
check "and says why" test "$(json '$.other_conditions[0]')" = "another backend (cuda-emulated, now cpu)"
check "and says which" test "$(json '$.probes[0].tolerance.absolute')" != ""
c=$work/cpu.orrery
succeeds "a recording on the CPU" run --model "$text" --prompt "The river" -n 6 --record "$c" --backend cpu
succeeds "verify of it on the emulation" verify "$c" --backend cuda-emulated
check "it names the other backend" grep -q 'another backend (cpu, now cuda-emulated)' "$work/err"
for probe in attention.entropy residual.norm; do
  succeeds "export of $probe from the emulation" export "$s" --probe $probe --out "$work/emulated.npy"
  succeeds "export of $probe recomputed" export "$s" --probe $probe --recompute --backend cpu --out "$work/again.npy"
  check "recorded $probe is not recomputed" cmp -s "$work/emulated.npy" "$work/again.npy"
done
succeeds "export --recompute on the emulation" export "$s" --probe attention.row --recompute --backend cuda-emulated --out "$work/emulated.npy"
succeeds "export --recompute on the CPU" export "$s" --probe attention.row --recompute --backend cpu --out "$work/cpu.npy"
npy_near "rows, emulated against CPU" "$work/emulated.npy" "$work/cpu.npy" 2e-3
succeeds "bench on the emulation" bench --model "$models/tiny-llama-a" --backend cuda-emulated --prompt 4 --new 2 --repeat 1 --levels off,light --json
equal "bench says the backend" cuda-emulated "$(json '$.backend')"
has_keys "bench" '$.device' '$.instruction_set' '$.decode_tokens_per_s.light'
succeeds "a shot that recomputes on the emulation" shot "$c" --view attention --model "$text" --backend cuda-emulated --out "$work/a.json"

check "--help explains the three" sh -c "'$bin' run --help | tr -s ' \n' ' ' | grep -q 'cpu.*cuda.*cuda-emulated.*slow'"
misused "another name" logits --model "$models/tiny-llama-a" --tokens 1 --out "$work/x.npy" --backend gpu
check "it names the three" grep -q 'cpu, cuda, cuda-emulated' "$work/err"
if no_device; then
  refuses "--backend cuda without a device" 'CUDA cannot be used.*use --backend cpu' run --model "$text" --prompt a -n 1 --backend cuda
  refuses "logits --backend cuda without a device" 'use --backend cpu' logits --model "$models/tiny-llama-a" --tokens 1 --out "$work/x.npy" --backend cuda
  refuses "verify --backend cuda without a device" 'use --backend cpu' verify "$c" --backend cuda
  succeeds "by default the CPU" run --model "$text" --prompt a -n 1 --record "$work/default.orrery"
  check "without a word" sh -c "! grep -qi cuda '$work/err'"
  equal "the default is noted" cpu "$(sql "$work/default.orrery" 'select backend from run')"
else
  skip "--backend cuda without a device: there is one"
fi
succeeds "what computes nothing opens no device" export "$c" --probe output.entropy --out "$work/x.npy" --backend cuda
