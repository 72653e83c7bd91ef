# models: lists, gets and removes; the servers are on loopback.
served=$work/served
mkdir -p "$served/lab/tiny" "$served/lab/files"
cp "$models/tiny-text.q8_0.gguf" "$served/text.gguf"
cp "$models"/tiny-llama-c-shards/* "$served/lab/tiny/"
cp "$models/tiny-llama-c.q8_0.gguf" "$models/tiny-llama-c.f16.gguf" "$served/lab/files/"
python3 "$here/interface/model_server.py" "$served" "$work/port" &
server=$!
for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.05; done
web=http://127.0.0.1:$(cat "$work/port")
export ORRERY_MODELS_DIR=$work/models HF_ENDPOINT=$web no_proxy=127.0.0.1

succeeds "models with nothing installed" models --json
has_keys "models" '$.folder' '$.installed' '$.known[0].name' '$.known[0].licence' '$.known[0].bytes' '$.known[1].name'
equal "nothing is installed" '[]' "$(json '$.installed')"
check "nothing is made by looking" test ! -e "$work/models"

succeeds "a file at an address" models get "$web/files/text.gguf" --json
equal "it is where it says" "$work/models/text.gguf" "$(json '$.path')"
check "whole" cmp -s "$served/text.gguf" "$work/models/text.gguf"
check "its licence is said to be unknown" grep -qi 'licence: unknown' "$work/err"
succeeds "the installed model runs by its name" run --model text --prompt "The river" -n 2
succeeds "a second get" models get "$web/files/text.gguf" --json
equal "fetches nothing" 0 "$(json '$.fetched')"
check "and says so" grep -q 'installed already' "$work/err"
refuses "another address of the same name" 'name' models get "$web/slow/text.gguf"
succeeds "the same under another name" models get "$web/files/text.gguf" --name other --sha256 "$(sha256sum "$served/text.gguf" | cut -d ' ' -f 1)"
check "is there" test -s "$work/models/other.gguf"
try models get "$web/files/text.gguf" --name wrong --sha256 "$(printf '%064d' 0)"
equal "another SHA-256 is refused" 1 $rc
check "naming it" grep -qi 'SHA-256' "$work/err"
check "and leaves nothing under the name" test ! -e "$work/models/wrong.gguf"

succeeds "a repository" models get hf:lab/tiny --json
equal "its licence is told" mit "$(json '$.licence')"
check "before it is fetched" grep -q 'licence: mit' "$work/err"
succeeds "its folder opens by name" info tiny --json
refuses "a repository of several GGUF files" 'tiny-llama-c.q8_0.gguf' models get hf:lab/files
succeeds "one of them" models get hf:lab/files --file tiny-llama-c.q8_0.gguf
succeeds "it opens by name" info tiny-llama-c.q8_0 --json
refuses "no such repository" 'hf:lab/none' models get hf:lab/none
try models get "$web/files/none.gguf"
equal "no such file" 1 $rc

"$bin" models get "$web/slow/text.gguf" --name slow >/dev/null 2>"$work/slow.err" &
slow=$!
for _ in $(seq 200); do
  [ "$(stat -c %s "$work/models/slow.gguf.part/files/text.gguf.part" 2>/dev/null || echo 0)" -gt 0 ] && break
  sleep 0.05
done
kill -INT $slow
wait $slow
equal "an interrupted get exits 1" 1 $?
check "says that it goes on later" grep -q 'goes on from there' "$work/slow.err"
succeeds "the list" models --json
equal "shows what was fetched in part" slow "$(json '$.unfinished[0].name')"
check "and half of it" test "$(json '$.unfinished[0].done_bytes')" -gt 0
succeeds "it goes on" models get "$web/slow/text.gguf" --name slow
check "to the whole" cmp -s "$served/text.gguf" "$work/models/slow.gguf"

succeeds "the list for people" models
for word in tiny slow other text mit "$work/models/text.gguf" gemma-3-270m; do
  check "the list names $word" grep -qF -- "$word" "$work/err"
done
succeeds "remove" models remove tiny --json
check "says how much" test "$(json '$.freed_bytes')" -gt 1000
check "it is gone" test ! -e "$work/models/tiny"
refuses "remove what is not there" 'tiny' models remove tiny
refuses "remove by a path" 'text.gguf' models remove ../models/text.gguf
check "deletes nothing" test -s "$work/models/text.gguf"
refuses "a repository that is none" 'OWNER' models get hf:../x
PIP_INDEX_URL=$web/simple try models get gemma-3-270m
equal "a model that the index does not have" 1 $rc
check "its terms are shown first" grep -q 'Gemma Terms of Use' "$work/err"
check "and nothing is left of it" test -z "$(find "$work/models" -name 'gemma*')"

misused "get without a model" models get
misused "remove without a model" models remove
misused "an unknown action" models fetch x
misused "an option of another action" models --sha256 00
misused "too many words" models get a b
kill $server
wait $server 2>/dev/null
unset ORRERY_MODELS_DIR HF_ENDPOINT no_proxy
