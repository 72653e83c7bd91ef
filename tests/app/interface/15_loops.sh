# Looped models: what is recorded against the goldens, with an axis of iterations; loops over layers that have none.
name=ouro
model=$models/tiny-ouro
golden=$goldens/hybrids/tiny-ouro
tokens=$(ids_of "$golden/tokens.npy")
s=$work/ouro.orrery

succeeds "ouro: info" info "$model" --json
equal "ouro: layers are the architecture's" 3 "$(json_length '$.layers')"
equal "ouro: layers have no iterations in their names" "1 attention" "$(json '$.layers[1].label')"
equal "ouro: times" 4 "$(json '$.loop.iterations')"
equal "ouro: what stops it" gate "$(json '$.loop.exit')"
check "ouro: offers loop.exit" grep -q '"loop.exit"' "$work/out"
# Every iteration remembers apart: 4 times 3 layers of 5 heads of 4, keys and values in float32.
equal "ouro: bytes of a token" $((4 * 3 * 5 * 4 * 2 * 4)) "$(json '$.cache.bytes_per_token')"
succeeds "ouro: info for people" info "$model"
check "ouro: info for people tells of the loop" sh -c "cat '$work/out' '$work/err' | grep -q '^loop .*up to 4 times'"

for steps in "" --steps; do
  rm -f "$work/logits.npy"
  succeeds "ouro: logits $steps" logits --model "$model" --tokens "$tokens" $steps --out "$work/logits.npy"
  npy_near "ouro: logits $steps" "$work/logits.npy" "$golden/logits.npy" 1e-3
done

succeeds "ouro: recording" run --model "$model" --tokens "$tokens" -n 0 --level full --record "$s"
for probe in depth exit step cosine; do
  succeeds "ouro: export of loop.$probe" export "$s" --probe loop.$probe --out "$work/$probe.npy"
done
npy_is "ouro: loop.depth" "$work/depth.npy" '<i4' 70
npy_is "ouro: loop.exit" "$work/exit.npy" '<f4' 70,4
npy_near "ouro: loop.depth" "$work/depth.npy" "$golden/loop_depth.npy" 0
npy_near "ouro: loop.exit" "$work/exit.npy" "$golden/loop_exit.npy" 1e-3
npy_near "ouro: loop.step" "$work/step.npy" "$golden/loop_step.npy" 1e-3 relative
equal "ouro: the first step has no cosine" nan "$(npy_values "$work/cosine.npy" | head -1 | tr -d ' -')"

# Layers, then iterations: the golden has the visits in the order in which they are made.
succeeds "ouro: export of residual.norm" export "$s" --probe residual.norm --out "$work/norm.npy"
npy_is "ouro: residual.norm" "$work/norm.npy" '<f4' 70,3,4
npy_values "$work/norm.npy" >"$work/values"
npy_values "$golden/residual_norm.npy" | awk '{ i = NR - 1; layer = i % 3; i = int(i / 3); v[layer, i % 4] = $1 }
  NR % 12 == 0 { for (l = 0; l < 3; ++l) for (k = 0; k < 4; ++k) print v[l, k] }' >"$work/expected"
near "ouro: residual.norm by layer and iteration" "$work/values" "$work/expected" 1e-3 relative
succeeds "ouro: rows of one layer" export "$s" --probe attention.row --layers 1 --heads 0,3 --steps 5:9 --out "$work/row.npy"
npy_is "ouro: attention.row" "$work/row.npy" '<f4' 4,1,4,2,70
succeeds "ouro: export of cache.bytes" export "$s" --probe cache.bytes --steps 9:10 --out "$work/bytes.npy"
npy_is "ouro: cache.bytes" "$work/bytes.npy" '<i8' 1,3,4,4
succeeds "ouro: describe" export "$s" --probe attention.entropy --describe
equal "ouro: the axis after the layers" iteration "$(json '$.axes[2].name')"
equal "ouro: layers by their own numbers" '[0,1,2]' "$(json '$.layers' | tr -d ' ')"
equal "ouro: labels without iterations" '0 attention' "$(json '$.axes[1].labels[0]')"
refuses "ouro: a layer that is none" '3' export "$s" --probe attention.entropy --layers 3 --out "$work/no.npy"
succeeds "ouro: CSV" export "$s" --probe loop.exit --steps 0:2 --out "$work/exit.csv"
equal "ouro: CSV names the iteration" '"t","token","iteration","loop.exit"' "$(head -1 "$work/exit.csv" | tr -d '\r')"
succeeds "ouro: JSON" export "$s" --probe attention.entropy --steps 0:2 --out "$work/entropy.json"
equal "ouro: JSON names the axes" '["t","layer","iteration","head"]' "$(json '$.axes' "$work/entropy.json" | tr -d ' ')"
succeeds "ouro: verify" verify "$s" --json
equal "ouro: bit-identical" 1 "$(json '$.bit_identical')"
equal "ouro: the session has the architecture's layers" 3 "$(sql "$s" "select json_array_length(layers) from model")"
equal "ouro: and the loop with the run" 4 "$(sql "$s" "select json_extract(settings, '\$.loop.n_iterations') from run")"

# Another number of times, another rule: of a run, not of the model.
succeeds "ouro: fewer times" run --model "$model" --tokens "$tokens" -n 0 --loops 2 --exit step:0.7 --record "$s"
succeeds "ouro: depth of the second run" export "$s" --probe loop.depth --out "$work/depth2.npy"
equal "ouro: depths are 1 and 2" "1 2" "$(npy_values "$work/depth2.npy" | tr -d ' ' | sort -u | paste -sd' ')"
succeeds "ouro: verify the second run" verify "$s" --json
equal "ouro: bit-identical with its own loop" 1 "$(json '$.bit_identical')"
succeeds "ouro: the first run is as it was" export "$s" --run 1 --probe loop.exit --out "$work/again.npy"
check "ouro: to the bit" cmp -s "$work/exit.npy" "$work/again.npy"
for view in attention cache output text window; do
  succeeds "ouro: $view" shot "$s" --run 1 --view $view --size 1280x800 --out "$work/$view.json"
done
check "ouro: layers are named with their iteration" grep -q '0 attention, loop 2' "$work/attention.json"

# Layers of any model, several times.
text=$models/tiny-text.q8_0.gguf
s=$work/damped.orrery
succeeds "plain text" run --model "$text" --prompt "A tree" -n 12 --temperature 0 --json
plain=$(json '$.text')
succeeds "one time" run --model "$text" --prompt "A tree" -n 12 --temperature 0 --loops 1 --loop-layers 0:2 --json
equal "one time is the model itself" "$plain" "$(json '$.text')"
succeeds "three times" run --model "$text" --prompt "A tree" -n 12 --loops 3 --loop-layers 1:3 --record "$s" --json
succeeds "what was not recorded of it" export "$s" --probe attention.row --steps 2:4 --recompute --out "$work/row.npy"
equal "two layers have three iterations" 3 "$(npy_shape "$work/row.npy" | cut -d, -f3)"
npy_values "$work/row.npy" | awk -v n="$(npy_shape "$work/row.npy" | cut -d, -f4,5 | tr , '*' | { read -r x; echo $((x)); })" \
  '{ i = int((NR - 1) / n); it = i % 3; layer = int(i / 3) % 3; if (tolower($1) ~ /nan/) bad[layer, it] = 1 } END { print bad[0, 0] + 0, bad[0, 1] + 0, bad[1, 2] + 0, bad[2, 2] + 0 }' >"$work/missing"
equal "layers outside the loop have one" "0 1 0 0" "$(cat "$work/missing")"
succeeds "verify what went three times" verify "$s" --json
equal "bit-identical, three times" 1 "$(json '$.bit_identical')"
succeeds "a run of the model itself beside it" run --model "$text" --prompt "A tree" -n 3 --record "$s"
succeeds "which has no iterations" export "$s" --probe attention.entropy --out "$work/plain.npy"
equal "t, layer, head" 3 "$(npy_shape "$work/plain.npy" | tr , '\n' | grep -c .)"
refuses "and no depth" 'loop\.depth|does not have it' export "$s" --probe loop.depth --out "$work/no.npy"
succeeds "leaving by what would be said" run --model "$text" --prompt "A tree" -n 4 --loops 4 --loop-layers 0:2 --exit kl:0.5 --json
succeeds "one memory for all times" run --model "$text" --prompt "A tree" -n 4 --loops 2 --loop-layers 0:2 --loop-cache shared --json

refuses "times without layers" 'no loop of its own.*--loop-layers' run --model "$text" --prompt a -n 1 --loops 3
refuses "layers that are not there" '3 layers.*2:9' run --model "$text" --prompt a -n 1 --loops 3 --loop-layers 2:9
refuses "layers that are none" '--loop-layers takes.*upper' run --model "$text" --prompt a -n 1 --loops 3 --loop-layers upper
refuses "no times" '--loops takes.*: 0' run --model "$text" --prompt a -n 1 --loops 0 --loop-layers 0:2
refuses "a gate that is not there" 'learned gate' run --model "$text" --prompt a -n 1 --loops 2 --loop-layers 0:2 --exit gate:0.5
refuses "a rule that there is not" '--exit takes.*early' run --model "$text" --prompt a -n 1 --loops 2 --loop-layers 0:2 --exit early
refuses "a threshold that is none" '--exit takes.*step:x' run --model "$text" --prompt a -n 1 --loops 2 --loop-layers 0:2 --exit step:x
misused "a cache of another kind" run --model "$text" --prompt a -n 1 --loops 2 --loop-layers 0:2 --loop-cache none
misused "another loop when going on" run --continue "$s" -n 1 --loops 2
