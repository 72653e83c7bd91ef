# The views of convolutions, of what every mixer reads, of the lens and of the output: drawn of tiny hybrids in every
# form, their numbers against exports of the same recording.
series_of() { # file, name of a series: its y, one a line; nothing where it is null
  sqlite3 :memory: "select coalesce(y.value, 'nan') from json_each(cast(readfile('$1') as text), '\$.series') s,
    json_each(s.value, '\$.y') y where json_extract(s.value, '\$.name') = '$2'"
}
cells_of_tile() { # file, name of a tile: its cells, row after row
  sqlite3 :memory: "select c.value from json_each(cast(readfile('$1') as text), '\$.tiles') t,
    json_each(t.value, '\$.cells') r, json_each(r.value) c where json_extract(t.value, '\$.name') = '$2'"
}
exported() { # probe, further arguments of export: its values in $work/expected, one a line
  local probe=$1
  shift
  rm -f "$work/e.npy"
  succeeds "export of $probe" export "$s" --probe "$probe" "$@" --out "$work/e.npy"
  npy_values "$work/e.npy" >"$work/expected"
}
is_drawn() { # description, bound, [relative]: $work/values against $work/expected
  check "$1: there are numbers" test -s "$work/values"
  equal "$1: as many" "$(wc -l <"$work/expected" | tr -d ' ')" "$(wc -l <"$work/values" | tr -d ' ')"
  near "$1" "$work/values" "$work/expected" "$2" "${3-}"
}

ids=5,9,3,17,22,8,4,31,6,2,19,11,7,28,13,21,10,3
for name in lfm2-moe falcon-h1 granite-hybrid qwen3-next; do
  succeeds "$name: recording" run --model "$models/tiny-$name" --tokens $ids -n 14 --seed 3 --level full --record "$work/$name.orrery"
  for view in convolution mixing lens output; do
    for form in svg json png; do
      try shot "$work/$name.orrery" --view $view --step 20 --size 1280x800 --theme dark --out "$work/$name-$view.$form"
      [ $form = png ] && [ $rc -ne 0 ] && { check "PNG is refused only for want of Qt" grep -qi qt "$work/err"; continue; }
      check "$name: $view as $form" test $rc -eq 0 -a -s "$work/$name-$view.$form"
    done
  done
done

# A convolution between gates.
s=$work/lfm2-moe.orrery
cells_of_tile "$work/lfm2-moe-convolution.json" "taps by step" >"$work/values"
exported conv.taps --layers 0
awk '{ at[NR - 1] = $1 } END { n = 4; for (i = 0; i < n; ++i) for (t = 0; t < NR / n; ++t) print at[n * t + i] }' "$work/expected" >"$work/turned"
mv "$work/turned" "$work/expected"
is_drawn "taps × tokens are conv.taps" 1e-5 relative
series_of "$work/lfm2-moe-convolution.json" taps >"$work/values"
exported conv.taps --layers 0 --steps 20:21
is_drawn "the bars are conv.taps of the step" 1e-5 relative
for gate in in:before out:after; do
  cells_of_tile "$work/lfm2-moe-convolution.json" "gate ${gate#*:} the convolution, mean size by layer" | head -31 >"$work/values"
  exported "conv.gate_${gate%%:*}" --layers 0
  is_drawn "a gate is conv.gate_${gate%%:*}" 1e-5 relative
done
succeeds "a model without convolutions: recording" run --model "$models/tiny-llama-a" --tokens $ids -n 2 --record "$work/llama.orrery"
refuses "convolutions of a model without" 'no short convolutions' shot "$work/llama.orrery" --view convolution --out "$work/no.svg"

# Attention beside a recurrence, each with a row of its own.
s=$work/falcon-h1.orrery
succeeds "mixing with implied rows" shot "$s" --view mixing --step 20 --size 1280x800 --model "$models/tiny-falcon-h1" --out "$work/implied.json"
series_of "$work/implied.json" "0 attention, head 0" >"$work/values"
exported attention.row --layers 0 --heads 0 --steps 20:21
head -21 "$work/expected" >"$work/row" && mv "$work/row" "$work/expected"
is_drawn "the selected head's row is attention.row" 1e-6
series_of "$work/implied.json" "0 Mamba-2, head 0" >"$work/values"
exported state.row --recompute --layers 0 --heads 0 --steps 20:21
head -21 "$work/expected" >"$work/row" && mv "$work/row" "$work/expected"
is_drawn "the selected head's implied row is state.row" 1e-6
cells_of_tile "$work/implied.json" "0 attention" | head -21 >"$work/values"
exported attention.row --layers 0 --steps 20:21
keys=$(npy_shape "$work/e.npy" | sed 's/.*,//')
awk -v keys="$keys" '{ at[NR - 1] = $1 }
  END { for (k = 0; k < 21; ++k) { most = 0; for (i = k; i < NR; i += keys) if (at[i] > most) most = at[i]; print most } }' "$work/expected" >"$work/most"
mv "$work/most" "$work/expected"
is_drawn "a lane is the greatest of the heads" 1e-6
check "rows that were not computed are not invented" sh -c "! grep -q 'implied, signed' '$work/falcon-h1-mixing.json'"
check "and it is said how to get them" grep -q 'shot --model' "$work/falcon-h1-mixing.json"

# The lens, recorded or computed again.
s=$work/granite-hybrid.orrery
exported lens.top --steps 20:21
awk '(NR - 1) % 16 == 0' "$work/expected" >"$work/first" && mv "$work/first" "$work/expected"
series_of "$work/granite-hybrid-lens.json" "likeliest by layer" >"$work/values"
is_drawn "the likeliest of each layer are lens.top's" 0
succeeds "recording without the lens" run --model "$models/tiny-granite-hybrid" --tokens $ids -n 14 --seed 3 --level light --record "$work/light.orrery"
succeeds "the lens that was not recorded" shot "$work/light.orrery" --view lens --step 20 --out "$work/none.json"
check "says how to get it" grep -q -- '--level full' "$work/none.json"
equal "and draws none" 0 "$(json_length '$.tiles' "$work/none.json")"
succeeds "the lens computed again" shot "$work/light.orrery" --view lens --step 20 --size 1280x800 --model "$models/tiny-granite-hybrid" --out "$work/again.json"
series_of "$work/again.json" "likeliest by layer" >"$work/again"
near "computed again, it is the same" "$work/again" "$work/values" 0

# What was sampled, and why.
succeeds "a greedy run" run --model "$models/tiny-granite-hybrid" --tokens $ids -n 6 --temperature 0 --record "$work/greedy.orrery"
succeeds "its output" shot "$work/greedy.orrery" --view output --step 19 --out "$work/greedy.json"
check "the likeliest was taken" grep -q 'temperature 0: the likeliest: 1 of' "$work/greedy.json"
check "as it was the only one left" grep -q 'the likeliest before the samplers, .*; after them 100 %, one of 1' "$work/greedy.json"
succeeds "a sampled run" run --model "$models/tiny-granite-hybrid" --tokens $ids -n 6 --top-k 5 --top-p 1 --temperature 0.7 --seed 11 --record "$work/sampled.orrery"
succeeds "its output" shot "$work/sampled.orrery" --view output --step 19 --out "$work/sampled.json"
check "the settings are printed" grep -q 'top-k 5 · temperature 0.7 · seed 11: 5 of' "$work/sampled.json"
equal "five could be taken" 5 "$(series_of "$work/sampled.json" "probability after the samplers" | awk '$1 > 0' | wc -l | tr -d ' ')"
equal "with all of the probability" 1.0000 "$(series_of "$work/sampled.json" "probability after the samplers" | awk '{ s += $1 } END { printf "%.4f", s }')"
