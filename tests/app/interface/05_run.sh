# Generating: text, JSON, seeds, threads, forced tokens, and prompts that are refused.
text=$models/tiny-text.q8_0.gguf
succeeds "run" run --model "$text" --prompt "The river" -n 12 --json
has_keys "run --json" '$.text' '$.ids' '$.session'
first=$(json '$.ids')
check "run gives up to 12 ids" test "$(sqlite3 :memory: "select json_array_length('$first') between 1 and 12")" = 1
equal "no session without --record" "" "$(json '$.session')"
check "without --record nothing is written" test -z "$(ls -A; find "$HOME" -type f | head -1)"
try run --model "$text" --prompt "The river" -n 12 --json
equal "one seed, one text" "$first" "$(json '$.ids')"
for threads in 1 2 3; do
  try run --model "$text" --prompt "The river" -n 12 --threads $threads --json
  equal "$threads threads, the same text" "$first" "$(json '$.ids')"
done
try run --model "$text" --prompt "The river" -n 12 --seed 7 --json
check "another seed, another text" test "$first" != "$(json '$.ids')"
try run --model "$text" --prompt "The river" -n 12 --temperature 0 --json
greedy=$(json '$.ids')
try run --model "$text" --prompt "The river" -n 12 --temperature 0 --seed 9 --json
equal "temperature 0 needs no seed" "$greedy" "$(json '$.ids')"
try run --model "$text" --prompt "The river" -n 12 --top-k 1 --json
equal "top-k 1 is greedy" "$greedy" "$(json '$.ids')"
try run --model "$text" --prompt "The river" -n 12 --temperature 0 --kv f32 --steps --json
check "--steps generates" test -n "$(json '$.ids[0]')"
try run --model "$text" --prompt "The river" -n 12 --temperature 0 --repeat-penalty 1.3 --min-p 0.1 --top-p 0.5 --json
check "all samplers together" test $rc -eq 0
try run --model "$text" --prompt "The river" -n 12 --temperature 0 --json
json '$.text' >"$work/text"
"$bin" run --model "$text" --prompt "The river" -n 12 --temperature 0 >"$work/streamed" 2>/dev/null
check "the streamed text is the text" test "$(tr -d '\n' <"$work/streamed")" = "$(tr -d '\n' <"$work/text")"
check "the text is whole UTF-8" iconv -f UTF-8 -t UTF-8 "$work/text" -o /dev/null
succeeds "the model that comes with the program" run --prompt "recall:AqBwCe;B" -n 1 --temperature 0 --json
equal "recalls what stood behind the letter" w "$(json '$.text')"
check "and is installed from then on" sh -c "'$bin' models --json | grep -q orrery-hybrid"
succeeds "--chat" run --model "$text" --chat "Hello" -n 4 --json
has_keys "--chat" '$.text' '$.ids'
succeeds "forced tokens of a model without tokenizer" run --model "$models/tiny-llama-a" --tokens 1,2,3 -n 4 --json
has_keys "forced tokens" '$.ids' '$.text'
succeeds "-n 0" run --model "$models/tiny-llama-a" --tokens 1,2,3 -n 0 --json
equal "-n 0 generates nothing" '[]' "$(json '$.ids')"
check "model text brings no escapes to the terminal" sh -c "'$bin' run --model '$text' --prompt a -n 60 2>/dev/null | grep -q \$'\\033' ; test \$? -eq 1"

refuses "an empty prompt" 'prompt' run --model "$text" --prompt "" -n 4
refuses "a prompt that is no UTF-8" 'UTF-8' run --model "$text" --prompt $'a\xff\xfeb' -n 4
refuses "a prompt longer than the context" '512' run --model "$text" --prompt "$(printf 'river %.0s' $(seq 900))" -n 4
refuses "a prompt without a tokenizer" 'tokenizer' run --model "$models/tiny-llama-a" --prompt hello -n 4
refuses "a chat without a tokenizer" 'tokenizer' run --model "$models/tiny-llama-c.f32.gguf" --chat hello -n 4
sed "s/'<|im_start|>/'<|in_start|>/g" "$text" >"$work/template.gguf"
refuses "a chat template that is not ChatML" 'template|chat' run --model "$work/template.gguf" --chat hello -n 4
refuses "a forced id outside the vocabulary" '5000' run --model "$text" --tokens 1,5000 -n 1
refuses "a model that is not there" 'no-such-model' run --model no-such-model --prompt a
refuses "a folder that is no model" 'home' run --model "$work/home" --tokens 1
try run --model "$text" --prompt a --temperature -1
check "a negative temperature" test $rc -eq 1 -o $rc -eq 2
try run --model "$text" --prompt a --top-p 7
check "a top-p of 7" test $rc -eq 1 -o $rc -eq 2
