# What `info` says of models.
for name in a b c d e c-f16 c-bf16 c-shards; do
  succeeds "info of the folder $name" info "$models/tiny-llama-$name" --json
  has_keys "info of the folder $name" '$.architecture' '$.parameters' '$.layers' '$.tokenizer' '$.probes'
  equal "architecture of $name" llama "$(json '$.architecture')"
done
for file in "$models"/*.gguf; do
  succeeds "info of $(basename "$file")" info "$file" --json
  has_keys "info of $(basename "$file")" '$.architecture' '$.parameters' '$.layers' '$.tokenizer' '$.probes'
done
try info "$models/tiny-llama-c" --json
equal "parameters of the folder c" 78144 "$(json '$.parameters')"
check "info names the block kinds" grep -qi attention "$work/out"
check "info offers attention.row" grep -q 'attention\.row' "$work/out"
check "info does not offer state.norm for a llama" sh -c "! grep -q 'state\.norm' '$work/out'"
try info "$models/tiny-llama-c.q4_0.gguf" --json
equal "parameters of c in Q4_0" 78144 "$(json '$.parameters')"
check "info names the weight types" sh -c "grep -qi 'q4_0' '$work/out' && grep -qi 'f32' '$work/out'"
succeeds "info for people" info "$models/tiny-llama-a"
check "info for people says the architecture" grep -qi llama "$work/out" "$work/err"
