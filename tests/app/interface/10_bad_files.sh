# Damaged and foreign files: one sentence, exit 1, nothing lost.
text=$models/tiny-text.q8_0.gguf
size=$(stat -c %s "$text")
bad=$work/bad.gguf
use_bad() { # description, pattern: every command that opens a model refuses $bad
  refuses "info, $1" "$2" info "$bad"
  refuses "run, $1" "$2" run --model "$bad" --tokens 1,2 -n 1
  refuses "logits, $1" "$2" logits --model "$bad" --tokens 1,2 --out "$work/no.npy"
}
patch() { printf '%b' "$2" | dd of="$bad" bs=1 seek="$1" conv=notrunc status=none; } # offset, bytes
for cut in 0 3 4 8 23 100 5000 $((size / 2)) $((size - 1)); do
  head -c "$cut" "$text" >"$bad"
  use_bad "a file cut to $cut bytes" 'bad\.gguf'
done
cp "$text" "$bad"; patch 0 'GGML'
use_bad "wrong magic" 'bad\.gguf|magic|GGUF'
cp "$text" "$bad"; patch 4 '\x63\x00\x00\x00'
use_bad "version 99" '99'
for offset in 8 16; do
  cp "$text" "$bad"; patch $offset '\xff\xff\xff\xff\xff\xff\xff\x7f'
  use_bad "a count out of range at $offset" 'bad\.gguf'
  cp "$text" "$bad"; patch $offset '\x00\x00\x00\x00\x00\x00\x00\x00'
  refuses "a count of 0 at $offset" 'bad\.gguf' run --model "$bad" --tokens 1,2 -n 1
done
sed 's/blk\.1\.ffn_up\.weight/blk.1.ffn_uq.weight/' "$text" >"$bad"
refuses "a missing tensor" 'blk\.1\.ffn_up' run --model "$bad" --tokens 1,2 -n 1
sed 's/llama/llamb/g' "$text" >"$bad"
refuses "an unknown architecture" 'llamb' run --model "$bad" --tokens 1,2 -n 1
sed 's/blk\.0\.attn_q\.weight/blk.0.attn_Q.weight/; s/blk\.0\.attn_k\.weight/blk.0.attn_q.weight/; s/blk\.0\.attn_Q\.weight/blk.0.attn_k.weight/' "$text" >"$bad"
refuses "a wrong shape" 'bad\.gguf: .*, but is' run --model "$bad" --tokens 1,2 -n 1
head -c 20000 /dev/urandom >"$bad"
use_bad "noise" 'bad\.gguf'
printf 'just a text' >"$bad"
use_bad "a text file" 'bad\.gguf'
mkdir "$work/dir.gguf"
refuses "a folder under a file's name" 'dir\.gguf' info "$work/dir.gguf"
refuses "a vocabulary without weights" 'smollm\.gguf|token_embd|missing|tensor' run --model "$goldens/tokenizer/smollm.gguf" --tokens 1,2 -n 1

folder=$work/folder
fresh() { rm -rf "$folder"; cp -r "$models/tiny-llama-c-shards" "$folder"; }
fresh; rm "$folder/model-00002-of-00002.safetensors"
refuses "a missing shard" '00002' run --model "$folder" --tokens 1,2 -n 1
fresh; truncate -s -10 "$folder/model-00001-of-00002.safetensors"
refuses "a truncated shard" '00001' run --model "$folder" --tokens 1,2 -n 1
fresh; printf '\xff\xff\xff\xff\xff\xff\xff\xff' | dd of="$folder/model-00001-of-00002.safetensors" bs=1 conv=notrunc status=none
refuses "a header length out of range" '00001' run --model "$folder" --tokens 1,2 -n 1
fresh; echo '{' >"$folder/config.json"
refuses "a config that is no JSON" 'config\.json' run --model "$folder" --tokens 1,2 -n 1
fresh; rm "$folder/config.json"
refuses "a folder without config.json" 'config\.json' run --model "$folder" --tokens 1,2 -n 1
fresh; sed -i 's/"llama"/"griffin"/; s/LlamaForCausalLM/GriffinForCausalLM/' "$folder/config.json"
refuses "an unknown model_type" 'griffin' run --model "$folder" --tokens 1,2 -n 1
fresh; sed -i 's/"hidden_size": 64/"hidden_size": 60/' "$folder/config.json"
refuses "shapes that do not fit the config" 'shape|\[|60|64' run --model "$folder" --tokens 1,2 -n 1
fresh; sed -i 's/"num_hidden_layers": 2/"num_hidden_layers": 3/' "$folder/config.json"
refuses "a layer without weights" 'layers\.2|missing|no tensor' run --model "$folder" --tokens 1,2 -n 1
fresh; sed -i 's/"num_attention_heads": 4/"num_attention_heads": 0/' "$folder/config.json"
refuses "no heads" 'head' run --model "$folder" --tokens 1,2 -n 1
fresh; sed -i 's/"hidden_size": 64/"hidden_size": -64/' "$folder/config.json"
refuses "a negative width" 'hidden_size' run --model "$folder" --tokens 1,2 -n 1
fresh; sed -i 's/"rope_type": "default"/"rope_type": "spiral"/' "$folder/config.json"
refuses "an unknown rotary scaling" 'spiral' run --model "$folder" --tokens 1,2 -n 1

refuses "a session in a folder that is not there" 'nowhere' run --model "$text" --prompt a -n 2 --record "$work/nowhere/s.orrery"
refuses "a session under a folder's name" 'dir\.gguf' run --model "$text" --prompt a -n 2 --record "$work/dir.gguf"
echo "my shopping list, which is longer than the header of a database, so that nobody takes it for a short file" >"$work/list.orrery"
cp "$work/list.orrery" "$work/list.copy"
refuses "something else under that name" 'list\.orrery' run --model "$text" --prompt a -n 2 --record "$work/list.orrery"
check "something else stays as it was" cmp -s "$work/list.orrery" "$work/list.copy"
sql "$work/other.orrery" "create table cake(id)" >/dev/null
refuses "another program's database" 'other\.orrery' run --model "$text" --prompt a -n 2 --record "$work/other.orrery"
equal "another program's database stays as it was" cake "$(sql "$work/other.orrery" "select group_concat(name) from sqlite_master")"

succeeds "a session to damage" run --model "$text" --prompt "The river" -n 8 --record "$work/good.orrery"
damaged=$work/damaged.orrery
use_damaged() { # description, pattern
  refuses "info, $1" "$2" info "$damaged"
  refuses "export, $1" "$2" export "$damaged" --probe residual.norm --out "$work/no.npy"
  refuses "shot, $1" "$2" shot "$damaged" --view attention --out "$work/no.svg"
  refuses "verify, $1" "$2" verify "$damaged" --model "$text"
}
cp "$work/good.orrery" "$damaged"; sql "$damaged" 'pragma user_version = 999' >/dev/null
use_damaged "a newer schema" '999|newer'
refuses "run, a newer schema" '999|newer' run --model "$text" --prompt a -n 2 --record "$damaged"
equal "a newer schema stays as it was" 1 "$(sql "$damaged" 'select count(*) from run')"
head -c 5000 "$work/good.orrery" >"$damaged"
use_damaged "a truncated session" 'damaged\.orrery'
cp "$work/good.orrery" "$damaged"; sql "$damaged" 'drop table chunk' >/dev/null
use_damaged "a session without a table" 'damaged\.orrery|chunk'
cp "$work/good.orrery" "$damaged"
sql "$damaged" "update chunk set data = zeroblob(length(data)) where probe = 'residual.norm'" >/dev/null
refuses "chunks of zeros" 'residual\.norm|damaged' export "$damaged" --probe residual.norm --out "$work/no.npy"
cp "$work/good.orrery" "$damaged"
sql "$damaged" "update chunk set data = substr(data, 1, length(data) / 2) where probe = 'residual.norm'" >/dev/null
refuses "halved chunks" 'residual\.norm|damaged' export "$damaged" --probe residual.norm --out "$work/no.npy"
cp "$work/good.orrery" "$damaged"
sql "$damaged" "update chunk set step_end = 9000000000000000000 where probe = 'residual.norm'" >/dev/null
refuses "a chunk of endless steps" 'residual\.norm|damaged' export "$damaged" --probe residual.norm --out "$work/no.npy"
cp "$work/good.orrery" "$damaged"
pages=$(($(stat -c %s "$damaged") / 4096))
for page in $(seq 2 $((pages - 1))); do
  printf 'damage' | dd of="$damaged" bs=1 seek=$((page * 4096)) conv=notrunc status=none
done
for command in "info $damaged" "export $damaged --probe residual.norm --out $work/no.npy" "shot $damaged --view text --out $work/no.svg"; do
  try $command
  check "overwritten pages: $command ends with a sentence" sh -c "test $rc -eq 1 && test -s '$work/err'"
  if crashed; then fail "overwritten pages: $command" "crashed, exit $rc"; fi
done
refuses "a session that is not there" 'absent\.orrery' info "$work/absent.orrery"
refuses "an empty file as a session" 'bad|empty\.orrery' info "$(: >"$work/empty.orrery"; echo "$work/empty.orrery")"
