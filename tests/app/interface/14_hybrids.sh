# Hybrid models: what is recorded of states, convolutions and experts against the goldens, cache bytes, the views.
golden_is() { # probe, file of the golden, bound, [relative]: an export of all steps of $s
  local values=$work/export.npy
  rm -f "$values"
  succeeds "$name: export of $1" export "$s" --probe "$1" --out "$values"
  npy_near "$name: $1" "$values" "$golden/$2" "$3" "${4-}"
}
steps_are() { # probe, file of the golden, file of its steps, bound: exports of single steps, recomputed where need be
  local step
  : >"$work/steps.values"
  for step in $(npy_values "$golden/$3"); do
    rm -f "$work/step.npy"
    succeeds "$name: $1 of step $step" export "$s" --probe "$1" --steps $step:$((step + 1)) --recompute --out "$work/step.npy"
    npy_values "$work/step.npy" >>"$work/steps.values"
  done
  npy_values "$golden/$2" >"$work/steps.expected"
  near "$name: $1" "$work/steps.values" "$work/steps.expected" "$4"
}
column_sums() { # file [t, layer, 4] of int64, number of layers: the sums of each component, a line per step
  npy_values "$1" | awk -v n="$2" '{ s[(NR - 1) % 4] += $1 } NR % (4 * n) == 0 { print s[0], s[1], s[2], s[3]; split("", s) }'
}

for name in lfm2 lfm2-moe mamba mamba2 jamba granite-hybrid falcon-h1 nemotron-h-moe qwen3-next zamba2 retnet gpt-oss ttt-linear-b ttt-mlp rwkv7 recurrent-gemma; do
  model=$models/tiny-$name
  golden=$goldens/hybrids/tiny-$name
  tokens=$(ids_of "$golden/tokens.npy")
  s=$work/$name.orrery
  for steps in "" --steps; do
    rm -f "$work/logits.npy"
    succeeds "$name: logits $steps" logits --model "$model" --tokens "$tokens" $steps --out "$work/logits.npy"
    npy_near "$name: logits $steps" "$work/logits.npy" "$golden/logits.npy" 1e-3
  done

  succeeds "$name: info" info "$model" --json
  has_keys "$name: info" '$.layers[0].label' '$.layers[0].summary' '$.cache.bytes_per_token' '$.cache.constant."recurrent state"'
  n_layers=$(json_length '$.layers')
  per_token=$(json '$.cache.bytes_per_token') of_windows=$(json '$.cache.of_windows')
  state=$(json '$.cache.constant."recurrent state"') convolution=$(json '$.cache.constant."convolution state"')
  fast=$(json '$.cache.constant."fast weights"')
  succeeds "$name: info for people" info "$model"
  check "$name: info for people says what the cache takes" sh -c "cat '$work/out' '$work/err' | grep -q '^cache '"

  succeeds "$name: recording" run --model "$model" --tokens "$tokens" -n 0 --level full --record "$s"
  golden_is residual.norm residual_norm.npy 1e-3 relative
  [ -e "$golden/state_norm.npy" ] && golden_is state.norm state_norm.npy 1e-3 relative
  [ -e "$golden/state_keep.npy" ] && golden_is state.keep state_keep.npy 1e-3
  [ -e "$golden/state_write.npy" ] && golden_is state.write state_write.npy 1e-3
  for what in loss_before loss_after rate update drift; do
    [ -e "$golden/fast_$what.npy" ] && golden_is fast.$what fast_$what.npy 1e-3 relative
  done
  [ -e "$golden/conv_taps.npy" ] && golden_is conv.taps conv_taps.npy 1e-3
  [ -e "$golden/conv_gate_in.npy" ] && golden_is conv.gate_in conv_gate_in.npy 1e-3
  [ -e "$golden/conv_gate_out.npy" ] && golden_is conv.gate_out conv_gate_out.npy 1e-3
  [ -e "$golden/moe_experts.npy" ] && golden_is moe.experts moe_experts.npy 0
  [ -e "$golden/moe_weights.npy" ] && golden_is moe.weights moe_weights.npy 1e-3
  [ -e "$golden/attention_row.npy" ] && steps_are attention.row attention_row.npy attention_steps.npy 2e-4
  [ -e "$golden/state_row.npy" ] && steps_are state.row state_row.npy state_steps.npy 1e-3

  # Keys and values grow by what a token takes, the rest is constant from the first token on.
  succeeds "$name: export of cache.bytes" export "$s" --probe cache.bytes --out "$work/bytes.npy"
  column_sums "$work/bytes.npy" "$n_layers" >"$work/sums"
  equal "$name: states are constant" "$state $convolution $fast" "$(awk '{ print $2, $3, $4 }' "$work/sums" | sort -u)"
  [ "$of_windows" = 0 ] && equal "$name: keys and values of a token" "$per_token" \
    "$(awk 'NR > 1 { print $1 - before } { before = $1 }' "$work/sums" | sort -u)"
  equal "$name: keys and values of the first token" "$per_token" "$(head -1 "$work/sums" | cut -d' ' -f1)"

  succeeds "$name: verify" verify "$s" --json
  equal "$name: bit-identical" 1 "$(json '$.bit_identical')"
  for view in attention state convolution fast mixing routing cache lens window; do
    try shot "$s" --view $view --size 1280x800 --out "$work/$view.json"
    if [ $rc -eq 0 ]; then
      equal "$name: $view is an object" object "$(sqlite3 :memory: "select json_type(cast(readfile('$work/$view.json') as text))")"
    else
      check "$name: $view says why it is not there" grep -q "This model has no" "$work/err"
    fi
    rm -f "$work/$view.json"
  done
done

# A model without any attention.
s=$work/mamba.orrery
succeeds "describe state.norm" export "$s" --probe state.norm --describe
check "groups of channels are called such" grep -q '16 groups of [0-9]* channels' "$work/out"
refuses "no attention" 'attention\.row' export "$s" --probe attention.row --out "$work/no.npy"
refuses "no keys are held" 'cache\.entries' export "$s" --probe cache.entries --out "$work/no.npy"
refuses "the attention view of it" 'no attention' shot "$s" --view attention --out "$work/no.svg"
refuses "the routing of it" 'no experts' shot "$s" --view routing --out "$work/no.svg"
refuses "rows that no level keeps" 'state\.row.*recompute' export "$s" --probe state.row --out "$work/no.npy"
succeeds "describe state.row" export "$s" --probe state.row --recompute --describe
equal "state.row is recomputed" recomputed "$(json '$.level')"
succeeds "rows of one layer and group" export "$s" --probe state.row --recompute --steps 60:62 --layers 1 --heads 3,15 --out "$work/few.npy"
succeeds "rows of all" export "$s" --probe state.row --recompute --steps 60:62 --out "$work/all.npy"
npy_is "rows of one layer and group" "$work/few.npy" '<f4' "2,1,2,70"
npy_is "rows of all" "$work/all.npy" '<f4' "2,3,16,70"
npy_values "$work/few.npy" >"$work/values"
npy_values "$work/all.npy" | awk '{ i = NR - 1; key = i % 70; i = int(i / 70); head = i % 16; i = int(i / 16); layer = i % 3
  if (layer == 1 && (head == 3 || head == 15)) print }' >"$work/expected"
near "the chosen rows are the chosen rows" "$work/values" "$work/expected" 0
equal "keys after the token have no weight" 0 "$(npy_values "$work/all.npy" | awk '(NR - 1) % 70 > 61 { s += $1 * $1 } END { print s + 0 }')"
for view in state convolution mixing cache lens text output window; do
  for form in svg json png; do
    try shot "$s" --view $view --step 30 --out "$work/$view.$form"
    [ $form = png ] && [ $rc -ne 0 ] && { check "PNG is refused only for want of Qt" grep -qi qt "$work/err"; continue; }
    check "$view of a Mamba as $form" test $rc -eq 0 -a -s "$work/$view.$form"
  done
done
check "layers are named by what they are" grep -q '1 Mamba' "$work/state.svg"
equal "the state view has norm, write, keep, half-life and read gain of layers and heads" 10 "$(json_length '$.tiles' "$work/state.json")"
succeeds "the state view with the implied row" shot "$s" --view state --step 30 --model "$models/tiny-mamba" --out "$work/row.json"
check "the implied row is drawn where it was computed" grep -q 'implied row' "$work/row.json"
check "and is not invented" sh -c "! grep -q 'implied row' '$work/state.json'"
succeeds "generating without attention" run --model "$models/tiny-mamba" --tokens 1,2,3 -n 5 --temperature 0 --json

# Recorded scalars equal the view's cells.
s=$work/granite-hybrid.orrery
succeeds "a routing picture" shot "$s" --view routing --step 20 --out "$work/routing.json"
equal "tokens counted" 1 "$(grep -c '21 tokens counted' "$work/routing.json")"
check "equal shares are printed" grep -q 'equal shares' "$work/routing.json"
s=$work/ttt-mlp.orrery
succeeds "a picture of fast weights" shot "$s" --view fast --size 1280x800 --out "$work/fast.json"
cells_of() { # name of a tile of fast.json: its cells, row after row
  sqlite3 :memory: "select c.value from json_each(cast(readfile('$work/fast.json') as text), '\$.tiles') t,
    json_each(t.value, '\$.cells') r, json_each(r.value) c where json_extract(t.value, '\$.name') = '$1'"
}
for pair in "loss_before:loss before the step" "loss_after:loss after the step" "rate:inner step size" \
  "update:change of the weights" "drift:drift of the weights"; do
  succeeds "export of fast.${pair%%:*}" export "$s" --probe "fast.${pair%%:*}" --layers 0 --out "$work/fast.npy"
  npy_values "$work/fast.npy" | awk '{ at[NR - 1] = $1 } END { for (h = 0; h < 3; ++h) for (t = 0; t < NR / 3; ++t) print at[3 * t + h] }' >"$work/expected"
  cells_of "${pair#*:} by head" >"$work/values"
  near "the view's cells are fast.${pair%%:*}" "$work/values" "$work/expected" 1e-5 relative
  equal "as many cells of fast.${pair%%:*}" 600 "$(wc -l <"$work/values" | tr -d ' ')"
  rm -f "$work/fast.npy"
done
