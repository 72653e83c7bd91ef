# Ids of the golden vocabularies, files byte for byte, decoding.
for name in smollm gpt-2 llama-bpe qwen2; do
  vocab=$goldens/tokenizer/$name.gguf
  cases=$goldens/tokenizer/$name.json
  rm -rf "$work/cases"
  mkdir "$work/cases"
  # Some of the texts and bytes, each to a file; the engine's own tests compare them all.
  sqlite3 -separator ' ' :memory: "
    select key, json_extract(value, '\$.special'), json_extract(value, '\$.ids'),
           writefile('$work/cases/' || key, json_extract(value, '\$.text'))
      from json_each(cast(readfile('$cases') as text), '\$.cases')
      where json_extract(value, '\$.text') is not null and instr(value, 'u0000') = 0 and key % 20 = 3" >"$work/list"
  sqlite3 -separator ' ' :memory: "
    select key, json_extract(value, '\$.special'), json_extract(value, '\$.ids'), json_extract(value, '\$.bytes_hex')
      from json_each(cast(readfile('$cases') as text), '\$.cases')
      where json_extract(value, '\$.bytes_hex') is not null and json_extract(value, '\$.decoded_anyway') is null
        and key % 6 = 1" >>"$work/list"
  check "cases of $name" test "$(wc -l <"$work/list")" -gt 15
  while read -r key special ids hex; do
    [ -e "$work/cases/$key" ] || printf '%b' "$(sed 's/../\\x&/g' <<<"$hex")" >"$work/cases/$key"
    option=--no-special
    [ "$special" = 1 ] && option=
    try tokenize --model "$vocab" --file "$work/cases/$key" $option --json
    equal "$name, case $key ($(head -c 40 "$work/cases/$key" | od -An -c | tr -s ' ' | head -1))" "$ids" "$(json '$.ids')"
  done <"$work/list"
done

vocab=$goldens/tokenizer/qwen2.gguf
: >"$work/empty"
for special in "" --no-special; do
  succeeds "an empty file $special" tokenize --model "$vocab" --file "$work/empty" $special --json
  equal "an empty file has no ids $special" '[]' "$(json '$.ids')"
  succeeds "empty text $special" tokenize --model "$goldens/tokenizer/smollm.gguf" --text "" $special --json
  equal "empty text has no ids $special" '[]' "$(json '$.ids')"
done
printf 'a\0b\r\n' >"$work/zero"
try tokenize --model "$vocab" --file "$work/zero" --no-special --json
equal "a file is taken byte for byte" "$(printf 'a\0b\r\n' | od -An -c)" \
  "$("$bin" tokenize --model "$vocab" --decode "$(json '$.ids' | tr -d '[] ')" 2>/dev/null | head -c 5 | od -An -c)"
printf '\364\220\200\200 \370\210\200\200\200 \377\376' >"$work/bad"
succeeds "bytes past the last code point" tokenize --model "$vocab" --file "$work/bad" --json

try tokenize --model "$vocab" --text "Hello, wörld! 👩‍👩‍👧 <|im_end|>" --json
ids=$(json '$.ids' | tr -d '[] ')
equal "decoding gives the text back" "Hello, wörld! 👩‍👩‍👧 <|im_end|>" "$("$bin" tokenize --model "$vocab" --decode "$ids" 2>/dev/null)"
try tokenize --model "$vocab" --text "<|im_end|>" --no-special --json
check "--no-special does not parse special tokens" test "$(sqlite3 :memory: "select json_array_length('$(json '$.ids')')")" -gt 1
refuses "an id outside the vocabulary" '99999' tokenize --model "$vocab" --decode 1,99999
refuses "a missing text file" 'absent' tokenize --model "$vocab" --file "$work/absent.txt"
refuses "a model without a tokenizer" 'tokenizer' tokenize --model "$models/tiny-llama-c.f32.gguf" --text a
refuses "a folder without a tokenizer" 'tokenizer' tokenize --model "$models/tiny-llama-a" --text a
refuses "a model that is not there" 'no-such-model' tokenize --model no-such-model --text a
