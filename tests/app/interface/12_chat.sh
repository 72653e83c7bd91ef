# Chats of several turns, system messages, and runs that go on.
text=$models/tiny-text.q8_0.gguf
s=$work/turns.orrery
succeeds "two turns" run --model "$text" --chat "Hello" --chat "And then?" -n 6 --temperature 0 --record "$s" --json
has_keys "two turns" '$.text' '$.ids' '$.session' '$.turns[1].ids' '$.turns[1].text'
equal "two turns are noted" 2 "$(sqlite3 :memory: "select json_array_length('$(json '$.turns')')")"
equal "ids are those of all turns" "$(json '$.ids' | tr -d '[]')" \
  "$(printf '%s,%s' "$(json '$.turns[0].ids' | tr -d '[]')" "$(json '$.turns[1].ids' | tr -d '[]')")"
equal "one run" 1 "$(sql "$s" 'select count(*) from run')"
equal "steps without holes" 1 "$(sql "$s" 'select max(step) + 1 = count(*) from token')"
equal "what was generated" "$(json '$.ids' | tr -d '[]')" \
  "$(sql "$s" "select group_concat(id) from (select id from token where segment = 'generated' order by step)")"
check "two messages of the user" test "$(sql "$s" "select count(*) from token a join token b on b.run = a.run and
  b.step = a.step - 1 where a.segment = 'user' and b.segment != 'user'")" -ge 1
equal "both turns in the prompt" "And then?" "$(sql "$s" "select json_extract(prompt, '\$.turns[0]') from run")"
succeeds "verify of two turns" verify "$s"
check "bit-identical" grep -qiE 'identical' "$work/out" "$work/err"
succeeds "the first turn alone" run --model "$text" --chat "Hello" -n 6 --temperature 0 --json
equal "the first answer does not know of the second question" "$(json '$.ids')" \
  "$(sqlite3 :memory: "select json('[$(sql "$s" "select group_concat(id) from (select id from token where
  segment = 'generated' order by step limit $(sqlite3 :memory: "select json_array_length('$(json '$.ids')')"))")]')")"
printf 'Hello\nAnd then?\n\nnever read\n' >"$work/lines"
"$bin" run --model "$text" --chat - -n 6 --temperature 0 --json <"$work/lines" >"$work/out" 2>"$work/err"
equal "--chat - reads turns from stdin" 2 "$(sqlite3 :memory: "select json_array_length('$(json '$.turns')')")"
equal "the same answers" "$(json '$.ids' | tr -d '[]')" \
  "$(sql "$s" "select group_concat(id) from (select id from token where segment = 'generated' order by step)")"
refuses "--chat - without a line" 'chat' run --model "$text" --chat - -n 4

succeeds "--system" run --model "$text" --system "Be brief." --chat "Hello" -n 4 --record "$work/system.orrery"
check "a system segment" test "$(sql "$work/system.orrery" "select count(*) from token where segment = 'system'")" -gt 2
equal "the system message is noted" "Be brief." \
  "$(sql "$work/system.orrery" "select json_extract(prompt, '\$.system') from run")"
misused "--system without --chat" run --model "$text" --system "Be brief." --prompt "Hello"
refuses "turns beyond the context" 'context' run --model "$text" --chat "Hi" \
  --chat "$(printf 'river %.0s' $(seq 900))" -n 2 --json

# A run that goes on is what it would have been, had it not ended.
succeeds "the whole run" run --model "$text" --prompt "The river" -n 20 --seed 5 --json
whole=$(json '$.ids')
c=$work/continued.orrery
succeeds "its beginning" run --model "$text" --prompt "The river" -n 8 --seed 5 --record "$c"
succeeds "--continue" run --continue "$c" -n 12 --json
equal "--continue adds a run" 2 "$(sql "$c" 'select count(*) from run')"
equal "it is the first one's child" 1 "$(sql "$c" 'select parent from run where id = 2')"
equal "--continue says so" 1 "$(json '$.parent')"
equal "the texts are one" "$(printf '%s' "$whole" | tr -d '[]')" \
  "$(sql "$c" "select group_concat(id) from (select id from token where run = 2 and segment = 'generated' order by step)")"
succeeds "verify of the continued run" verify "$c" --run 2
check "bit-identical" grep -qiE 'identical' "$work/out" "$work/err"
succeeds "--continue with a question" run --continue "$s" --chat "Are you sure?" -n 4
succeeds "verify of it" verify "$s"
succeeds "--continue into another session" run --continue "$c" --run 1 -n 2 --record "$work/elsewhere.orrery"
equal "no parent there" "" "$(sql "$work/elsewhere.orrery" 'select parent from run')"
refuses "--continue of nothing" 'nowhere' run --continue "$work/nowhere.orrery" -n 2
refuses "--continue of a run that is not there" '42' run --continue "$c" --run 42
misused "--continue with a prompt" run --continue "$c" --prompt "Hello"
misused "--run without --continue" run --model "$text" --run 1 --chat a
