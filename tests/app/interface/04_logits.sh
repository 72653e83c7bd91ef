# Logits of every tiny model against the goldens, in batches and step by step.
for name in a b c d e c-f16 c-bf16; do
  golden=$goldens/llama/$name
  tokens=$(ids_of "$golden/tokens.npy")
  for steps in "" --steps; do
    succeeds "logits of $name $steps" logits --model "$models/tiny-llama-$name" --tokens "$tokens" $steps --out "$work/logits.npy"
    npy_is "logits of $name $steps" "$work/logits.npy" '<f4' "$(npy_shape "$golden/logits.npy")"
    npy_near "logits of $name $steps" "$work/logits.npy" "$golden/logits.npy" 1e-3
    rm -f "$work/logits.npy"
  done
done
for pair in c-f16:c-shards a:a.f32.gguf c:c.f32.gguf d:d.f32.gguf c-f16:c.f16.gguf c-q8_0:c.q8_0.gguf c-q4_0:c.q4_0.gguf c-q4_1:c.q4_1.gguf; do
  IFS=: read -r name model <<<"$pair"
  ids_of "$goldens/llama/$name/tokens.npy" | tr , '\n ' >"$work/tokens.txt"
  succeeds "logits of $model" logits --model "$models/tiny-llama-$model" --tokens "@$work/tokens.txt" --out "$work/logits.npy"
  case $model in
    # The golden rounds weights only. Activations rounded to 8 bits too cost 0.056 to 0.059 here, in llama.cpp as well.
    *.q*) npy_rms "logits of $model" "$work/logits.npy" "$goldens/llama/$name/logits.npy" 0.08 ;;
    *) npy_near "logits of $model" "$work/logits.npy" "$goldens/llama/$name/logits.npy" 1e-3 ;;
  esac
  rm -f "$work/logits.npy"
done
small=$models/tiny-llama-a
printf '1, 2\n3\t4 ,5\n' >"$work/tokens.txt"
succeeds "commas and white space" logits --model "$small" --tokens "@$work/tokens.txt" --out "$work/x.npy"
npy_is "commas and white space" "$work/x.npy" '<f4' "5,97"
for threads in 1 2 3; do
  succeeds "$threads threads" logits --model "$small" --tokens 1,2,3,4,5 --threads $threads --out "$work/t$threads.npy"
done
check "threads do not change a bit" cmp -s "$work/t1.npy" "$work/t3.npy"
check "threads do not change a bit" cmp -s "$work/t1.npy" "$work/t2.npy"
refuses "an id outside the vocabulary" '97' logits --model "$small" --tokens 1,97 --out "$work/y.npy"
refuses "a negative id" '-1' logits --model "$small" --tokens 1,-1 --out "$work/y.npy"
try logits --model "$small" --tokens 1,x --out "$work/y.npy"
check "a token that is no number" test $rc -eq 1 -o $rc -eq 2
refuses "a missing token file" 'absent' logits --model "$small" --tokens "@$work/absent" --out "$work/y.npy"
refuses "an output folder that is not there" 'nowhere' logits --model "$small" --tokens 1,2 --out "$work/nowhere/y.npy"
check "a failure leaves no file" test ! -e "$work/y.npy"
