# The session file, read by plain sqlite3: header, tables, tokens, frames, further runs, forced tokens.
text=$models/tiny-text.q8_0.gguf
s=$work/s.orrery
succeeds "recording" run --model "$text" --prompt "The river" -n 10 --record "$s" --json
generated=$(sqlite3 :memory: "select json_array_length('$(json '$.ids')')")
check "run --json names the session" grep -q 's\.orrery' "$work/out"
check "one file once closed" test "$(ls "$work"/s.orrery*)" = "$s"
equal "application_id" 1330795097 "$(sql "$s" 'pragma application_id')"
check "user_version" test "$(sql "$s" 'pragma user_version')" -ge 1
equal "integrity" ok "$(sql "$s" 'pragma integrity_check')"
while read -r table columns; do
  for column in $columns; do
    equal "column $table.$column" 1 "$(sql "$s" "select count(*) from pragma_table_info('$table') where name = '$column'")"
  done
done <<'END'
model id name architecture fingerprint config layers
run id parent model created_ns prompt settings edits backend build level
token run step id bytes time_ns segment
event run step kind layer detail
gap run step_begin step_end reason
note id run step view_state text
chunk run probe level step_begin step_end codec data
END
equal "one run" 1 "$(sql "$s" 'select count(*) from run')"
equal "architecture" llama "$(sql "$s" 'select architecture from model')"
equal "level" standard "$(sql "$s" 'select level from run')"
equal "JSON in the columns that hold it" 1 "$(sql "$s" 'select min(json_valid(prompt) and json_valid(settings) and json_valid(edits)) from run')"
equal "JSON of the model" 1 "$(sql "$s" 'select min(json_valid(config) and json_valid(layers)) from model')"
equal "generated tokens" "$generated" "$(sql "$s" "select count(*) from token where segment = 'generated'")"
check "prompt tokens are of segment user" test "$(sql "$s" "select count(*) from token where segment = 'user'")" -ge 3
equal "BOS leads" 1 "$(sql "$s" 'select id from token order by step limit 1')"
equal "steps are whole" 1 "$(sql "$s" 'select min(step) = 0 and max(step) + 1 = count(*) from token')"
equal "token bytes" "The river" "$(sql "$s" "select group_concat(cast(bytes as text), '') from (select bytes from token where segment = 'user' and step > 0 order by step)")"
equal "no gaps" 0 "$(sql "$s" 'select count(*) from gap')"
for probe in output.top output.entropy output.tail residual.norm attention.entropy attention.first attention.previous \
  attention.distance cache.bytes cache.entries cache.evicted attention.top attention.rest attention.mass attention.output; do
  equal "chunks of $probe" 1 "$(sql "$s" "select count(*) > 0 from chunk where probe = '$probe'")"
done
equal "no exact rows at standard" 0 "$(sql "$s" "select count(*) from chunk where probe = 'attention.row'")"
equal "a sampled last token has no frame" 1 "$(sql "$s" "select (select max(step_end) from chunk) = (select max(step) from token)")"
equal "frames without holes" "$(sql "$s" 'select max(step) from token')" \
  "$(sql "$s" "select sum(step_end - step_begin) from chunk where probe = 'residual.norm' and level = 0")"

succeeds "info of a session" info "$s" --json
has_keys "info of a session" '$.bytes' '$.runs[0].tokens' '$.runs[0].probes' '$.runs[0].level' '$.runs[0].bytes' '$.runs[0].gaps'
equal "info of a session says its level" standard "$(json '$.runs[0].level')"
equal "info of a session counts its tokens" "$(sql "$s" 'select count(*) from token')" "$(json '$.runs[0].tokens')"
succeeds "a second run into the same file" run --model "$text" --prompt "A model" -n 4 --record "$s" --level light
equal "an existing session gains a run" 2 "$(sql "$s" 'select count(*) from run')"
equal "light keeps no summaries" 0 "$(sql "$s" "select count(*) from chunk where probe = 'attention.top' and run = (select max(id) from run)")"

f=$work/forced.orrery
succeeds "forced tokens" run --model "$models/tiny-llama-a" --tokens 5,6,7,8 -n 0 --record "$f" --level full
equal "--tokens have segment forced" "5,6,7,8" "$(sql "$f" "select group_concat(id) from (select id from token where segment = 'forced' order by step)")"
equal "every forced token has a frame" 4 "$(sql "$f" "select max(step_end) from chunk where probe = 'residual.norm'")"
equal "full keeps rows" 1 "$(sql "$f" "select count(*) > 0 from chunk where probe = 'attention.row'")"
p=$work/span.orrery
succeeds "a span of another level" run --model "$models/tiny-llama-a" --tokens 5,6,7,8,9,10 -n 0 --record "$p" --level light --span 2:4=full
equal "rows inside the span only" "2 4" "$(sql "$p" "select min(step_begin) || ' ' || max(step_end) from chunk where probe = 'attention.row'")"
refuses "a span that ends before it begins" 'span|4:2' run --model "$models/tiny-llama-a" --tokens 5,6 -n 0 --record "$work/q.orrery" --span 4:2=full
chat=$work/chat.orrery
succeeds "a recorded chat" run --model "$text" --chat "Hello" -n 3 --record "$chat"
equal "a chat's own words are of segment user" 1 "$(sql "$chat" "select count(*) > 0 from token where segment = 'user'")"
