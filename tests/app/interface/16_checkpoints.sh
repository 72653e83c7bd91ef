# Checkpoints: recomputing begins at the nearest one, with the same bits; damaged ones are refused with a sentence.
name=mamba2
model=$models/tiny-$name
s=$work/checkpoints.orrery
f=$work/checkpoints-full.orrery
tokens=$(seq 300 | awk '{ printf "%s%d", (NR > 1 ? "," : ""), ($1 * $1 * 7) % 29 }')
succeeds "recording" run --model "$model" --tokens "$tokens" -n 0 --record "$s"
succeeds "recording at level full" run --model "$model" --tokens "$tokens" -n 0 --level full --record "$f"
succeeds "info" info "$s" --json
equal "info has the checkpoint" 256 "$(json '$.runs[0].checkpoints[0].step')"
equal "and no other" 1 "$(json_length '$.runs[0].checkpoints')"
succeeds "info for people" info "$s"
check "info for people names it" sh -c "cat '$work/out' '$work/err' | grep -q '^checkpoints .*at step 256'"
succeeds "what was recorded" export "$f" --probe lens.top --steps 270:280 --out "$work/recorded.npy"
succeeds "recomputing" export "$s" --probe lens.top --steps 270:280 --recompute --out "$work/recomputed.npy"
check "it says where it began" grep -q 'from the checkpoint at step 256' "$work/err"
check "the same bits" cmp -s "$work/recorded.npy" "$work/recomputed.npy"
rm -f "$work/recomputed.npy"
succeeds "verify" verify "$s"
sqlite3 "$s" "update checkpoint set states = zeroblob(1000)"
succeeds "recomputing past a damaged one" export "$s" --probe lens.top --steps 270:280 --recompute --out "$work/recomputed.npy"
check "it says why" grep -q 'the checkpoint at step 256 cannot be used.*replayed from the start' "$work/err"
check "and has the same bits" cmp -s "$work/recorded.npy" "$work/recomputed.npy"
rm -f "$s" "$f"
