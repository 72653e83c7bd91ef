# Exported probes against the goldens, prompt in one batch and token by token; slices, forms, recomputing.
c=$models/tiny-llama-c
golden=$goldens/llama/c
tokens=$(ids_of "$golden/tokens.npy")
for steps in "" --steps; do
  s=$work/full$steps.orrery
  succeeds "recording all rows $steps" run --model "$c" --tokens "$tokens" -n 0 --level full --record "$s" $steps
  for probe in attention.row residual.norm attention.output lens.top output.top output.entropy output.tail; do
    succeeds "export of $probe $steps" export "$s" --probe $probe --out "$work/$probe.npy"
  done
  npy_near "attention.row $steps" "$work/attention.row.npy" "$golden/attention_row.npy" 2e-4
  npy_near "residual.norm $steps" "$work/residual.norm.npy" "$golden/residual_norm.npy" 1e-3 relative
  npy_near "attention.output $steps" "$work/attention.output.npy" "$golden/attention_output.npy" 1e-3 relative
  npy_near "output.entropy $steps" "$work/output.entropy.npy" "$golden/output_entropy.npy" 1e-3
  npy_near "output.tail $steps" "$work/output.tail.npy" "$golden/output_tail.npy" 1e-3
  npy_is "lens.top $steps" "$work/lens.top.npy" '<f4' "140,2,8,2"
  npy_is "output.top $steps" "$work/output.top.npy" '<f4' "140,64,2"
  # Sorted values may be compared even where near ties swap their ids.
  for pair in lens.top:lens_top output.top:output_top; do
    npy_values "$work/${pair%:*}.npy" | awk 'NR % 2 == 0' >"$work/values"
    npy_values "$golden/${pair#*:}.npy" | awk 'NR % 2 == 0' >"$work/expected"
    near "probabilities of ${pair%:*} $steps" "$work/values" "$work/expected" 1e-3
    npy_values "$work/${pair%:*}.npy" | awk 'NR % 2 == 1' >"$work/values"
    npy_values "$golden/${pair#*:}.npy" | awk 'NR % 2 == 1' >"$work/expected"
    differing=$(paste "$work/values" "$work/expected" | awk '$1 != $2' | wc -l)
    check "ids of ${pair%:*} $steps: $differing differ, near ties apart" test "$differing" -le 20
  done
done

# Summaries against the rows that they summarise: 140 steps, 2 layers, 4 heads, 140 keys.
s=$work/full.orrery
for probe in attention.top attention.rest attention.mass attention.entropy attention.first attention.previous \
  attention.distance cache.bytes cache.entries cache.evicted; do
  succeeds "export of $probe" export "$s" --probe $probe --out "$work/$probe.npy"
done
npy_is "attention.top" "$work/attention.top.npy" '<f4' "140,2,4,32,2"
npy_is "attention.mass" "$work/attention.mass.npy" '<f4' "140,2,4,3"
npy_is "cache.bytes" "$work/cache.bytes.npy" '<i8' "140,2,4"
npy_is "cache.entries" "$work/cache.entries.npy" '<i4' "140,2"
equal "no key is dropped" 0 "$(npy_values "$work/cache.evicted.npy" | awk '{ s += $1 } END { print s }')"
equal "a step adds a key" 280 "$(npy_values "$work/cache.entries.npy" | tail -1 | awk '{ print $1 * 2 }')"
# Keys and values of one layer: 140 tokens of 2 heads of 16 numbers, twice; weights are F32, so is the cache.
check "bytes of keys and values" test "$(npy_values "$work/cache.bytes.npy" | tail -4 | head -1)" -ge $((140 * 2 * 16 * 2 * 4))
npy_values "$golden/attention_row.npy" | awk -v n=140 -v heads=8 '
  { row = int((NR - 1) / n); t = int(row / heads); key = (NR - 1) % n; w = $1
    if (key <= t) { if (w > 0) entropy -= w * log(w); if (key < 4) first += w; if (key == t - 1) previous = w
      distance += w * (t - key); sum += w }
    mass[int(key / 64)] += w
    if (key == n - 1) {
      print entropy > "'"$work"'/g.entropy"; print first > "'"$work"'/g.first"; print previous + 0 > "'"$work"'/g.previous"
      print distance / sum > "'"$work"'/g.distance"; print mass[0] + 0 "\n" mass[1] + 0 "\n" mass[2] + 0 > "'"$work"'/g.mass"
      entropy = first = previous = distance = sum = 0; split("", mass) } }'
for name in entropy first previous distance mass; do
  npy_values "$work/attention.$name.npy" >"$work/values"
  near "attention.$name follows from the rows" "$work/values" "$work/g.$name" 2e-3
done
npy_values "$work/attention.top.npy" | awk 'NR % 2 == 0 { s += $1; if (++n == 32) { print s; s = n = 0 } }' >"$work/tops"
npy_values "$work/attention.rest.npy" | paste - "$work/tops" | awk '{ print $1 + $2 }' >"$work/values"
yes 1 | head -1120 >"$work/expected"
near "tops and rest make 1" "$work/values" "$work/expected" 1e-4
equal "padding of attention.top has id -1" 31 "$(npy_values "$work/attention.top.npy" | head -64 | awk 'NR % 2 == 1 && $1 == -1' | wc -l)"

succeeds "a slice" export "$s" --probe attention.row --steps 3:5 --layers 1 --heads 2 --out "$work/slice.npy"
npy_is "a slice" "$work/slice.npy" '<f4' "2,1,1,140"
npy_values "$work/attention.row.npy" | awk 'NR > ((3 * 2 + 1) * 4 + 2) * 140 && NR <= ((3 * 2 + 1) * 4 + 3) * 140' >"$work/expected"
npy_values "$work/slice.npy" | head -140 >"$work/values"
near "the slice is the slice" "$work/values" "$work/expected" 0
succeeds "export as CSV" export "$s" --probe residual.norm --steps 0:3 --out "$work/x.csv"
check "CSV holds 3 steps of 2 layers" test "$(grep -c '[0-9]' "$work/x.csv")" -ge 3
succeeds "export as JSON" export "$s" --probe residual.norm --steps 0:3 --out "$work/x.json"
equal "the JSON is JSON" 1 "$(sqlite3 :memory: "select json_valid(cast(readfile('$work/x.json') as text))")"
succeeds "--describe" export "$s" --probe attention.mass --describe
check "--describe says axes" grep -qi 'head' "$work/out"

light=$work/light.orrery
succeeds "a light recording" run --model "$c" --tokens "$tokens" -n 0 --level light --record "$light"
refuses "a probe that was not recorded" 'attention\.row.*recompute|recompute.*attention\.row' export "$light" --probe attention.row --out "$work/no.npy"
succeeds "recomputed rows" export "$light" --probe attention.row --recompute --model "$c" --out "$work/again.npy"
npy_near "recomputed rows" "$work/again.npy" "$golden/attention_row.npy" 2e-4
check "it says that they were recomputed" grep -qi recompute "$work/err" "$work/out"
succeeds "a recomputed lens" export "$light" --probe lens.top --recompute --out "$work/lens.npy"
check "recomputing twice is bit-identical" cmp -s "$work/lens.npy" "$work/lens.top.npy"
refuses "a probe of other architectures" 'state\.norm' export "$s" --probe state.norm --out "$work/no.npy"
refuses "a probe that does not exist" 'attention\.nonsense' export "$s" --probe attention.nonsense --out "$work/no.npy"
refuses "steps outside the run" '900' export "$s" --probe residual.norm --steps 900:910 --out "$work/no.npy"
refuses "a layer that is not there" '7' export "$s" --probe residual.norm --layers 7 --out "$work/no.npy"
refuses "a head that is not there" '9' export "$s" --probe attention.first --heads 9 --out "$work/no.npy"
refuses "a run that is not there" '42' export "$s" --probe residual.norm --run 42 --out "$work/no.npy"
refuses "a model that is another" 'model|fingerprint' export "$light" --probe attention.row --recompute --model "$models/tiny-llama-a" --out "$work/no.npy"
refuses "a form that is not there" 'xyz' export "$s" --probe residual.norm --out "$work/no.xyz"
check "a failure leaves no file" test ! -e "$work/no.npy"
