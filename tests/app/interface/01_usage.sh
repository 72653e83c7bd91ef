# Help, version, wrong usage, and what is not there yet.
text=$models/tiny-text.q8_0.gguf
succeeds "--version" --version
check "--version prints a number" grep -qE '[0-9]+\.[0-9]+' "$work/out"
succeeds "--help" --help
for command in info models tokenize logits run export shot verify bench; do
  check "--help names $command" grep -qw "$command" "$work/out"
done
for command in info models tokenize logits run export shot verify bench; do
  succeeds "$command --help" $command --help
  check "$command --help says something on stdout" test -s "$work/out"
done

misused "an unknown option" run --model "$text" --prompt a --frobnicate
misused "an option without its value" run --prompt a --model
misused "run without a prompt" run --model "$text"
misused "a number that is none" run --model "$text" --prompt a -n many
misused "a temperature that is none" run --model "$text" --prompt a --temperature hot
misused "an unknown level" run --model "$text" --prompt a --record x.orrery --level loud
misused "an unknown backend" run --model "$text" --prompt a --backend abacus
misused "an unknown cache type" run --model "$text" --prompt a --kv f8
misused "tokenize without text" tokenize --model "$text"
misused "logits without --out" logits --model "$models/tiny-llama-a" --tokens 1,2
misused "logits without tokens" logits --model "$models/tiny-llama-a" --out x.npy
misused "export without a session" export
misused "export without a probe" export x.orrery --out x.npy
misused "shot without a view" shot x.orrery --out x.svg
misused "verify without a session" verify
misused "bench without a model" bench --json
misused "info without a path" info
check "wrong usage writes nothing" test -z "$(ls -A)"

refuses "diff" 'diff' diff a.orrery b.orrery
refuses "lesson" 'lesson' lesson
refuses "quantize" 'quantize' quantize
refuses "--edit" 'edit' run --model "$text" --prompt a -n 1 --edit "layer 0"
refuses "a file that is not there" 'absent\.orrery' "$work/absent.orrery"
try
check "no argument and no display: a word, no crash" sh -c "test $rc -eq 1 -o $rc -eq 2 && test -s '$work/err'"
