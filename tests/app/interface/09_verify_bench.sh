# verify finds every change; bench gives its promised keys.
text=$models/tiny-text.q8_0.gguf
cp "$text" "$work/model.gguf"
s=$work/verify.orrery
succeeds "a recording" run --model "$work/model.gguf" --prompt "The river" -n 12 --record "$s"
succeeds "verify" verify "$s"
check "verify says bit-identical" grep -qiE 'identical' "$work/out" "$work/err"
succeeds "verify with other threads" verify "$s" --model "$text"
t=$work/steps.orrery
succeeds "a recording by single steps" run --model "$text" --prompt "The river" -n 12 --record "$t" --steps --level full
succeeds "verify of single steps" verify "$t"
succeeds "a second run" run --model "$text" --tokens 1,9,8 -n 3 --record "$t" --level light
succeeds "verify of the second run" verify "$t" --run "$(sql "$t" 'select max(id) from run')"
cp "$s" "$work/changed.orrery"
sql "$work/changed.orrery" "update token set id = id - 1 where step = 2" >/dev/null
try verify "$work/changed.orrery"
equal "verify of a changed token exits 1" 1 $rc
check "verify prints the first difference" test -s "$work/out" -o -s "$work/err"
rm "$work/model.gguf"
refuses "verify without the model" 'model' verify "$s"
succeeds "verify with --model" verify "$s" --model "$text"
refuses "verify with another model" 'model|fingerprint' verify "$s" --model "$models/tiny-llama-c.q8_0.gguf"
refuses "verify of a run that is not there" '42' verify "$s" --run 42

succeeds "bench" bench --model "$text" --prompt 32 --new 8 --repeat 1 --levels off,light,standard --json
for group in prefill_tokens_per_s decode_tokens_per_s recorded_bytes_per_token; do
  has_keys "bench" "\$.$group.off" "\$.$group.light" "\$.$group.standard"
done
has_keys "bench" '$.peak_bytes'
check "speeds are numbers above 0" test "$(sqlite3 :memory: "select $(json '$.decode_tokens_per_s.off') > 0 and $(json '$.prefill_tokens_per_s.off') > 0")" = 1
check "standard records more than light" test "$(sqlite3 :memory: "select $(json '$.recorded_bytes_per_token.standard') > $(json '$.recorded_bytes_per_token.light')")" = 1
equal "off records nothing" 0 "$(sqlite3 :memory: "select cast($(json '$.recorded_bytes_per_token.off') as integer)")"
check "bench leaves nothing behind" test -z "$(ls -A)"
succeeds "models" models
refuses "an unknown model to fetch" 'no-such-model' models get no-such-model
