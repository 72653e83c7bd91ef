# shellcheck shell=bash
# tasks: fresh cases as text, and what cannot be marked. Sourced by interface_test.sh.
succeeds "cases are printed without a model" tasks --task recall --cases 3 --seed 7 --print
check "three lines of recall" test "$(grep -c '^recall:' "$work/out")" -eq 3
cp "$work/out" "$work/first"
succeeds "and again" tasks --task recall --cases 3 --seed 7 --print
check "the same seed prints the same" cmp -s "$work/out" "$work/first"
succeeds "another seed" tasks --task recall --cases 3 --seed 8 --print
check "prints other cases" test "$(cmp -s "$work/out" "$work/first" && echo same)" != same
succeeds "all tasks" tasks --cases 1 --print
equal "one line of each" 5 "$(wc -l <"$work/out" | tr -d ' ')"
refuses "an unknown task" 'dance' tasks --task dance --print
refuses "a vocabulary that joins answers" 'story' tasks --task story --cases 1 --model "$models/tiny-text.q8_0.gguf"
refuses "no cases at all" 'cases' tasks --cases 0 --print
