# Two programs on one session, kills at random instants, a full disk.
text=$models/tiny-text.q8_0.gguf
s=$work/shared.orrery
# A recording that is held still by SIGSTOP, so that it is under way for as long as the checks take.
"$bin" run --model "$text" --prompt "The river" -n 480 --threads 1 --level full --steps --record "$s" >/dev/null 2>"$work/first.err" &
first=$!
for _ in $(seq 2000); do
  [ "$(sqlite3 -readonly "$s" 'select count(*) > 2 from token' 2>/dev/null)" = 1 ] && break
  kill -0 $first 2>/dev/null || break
done
kill -STOP $first 2>/dev/null
if kill -0 $first 2>/dev/null; then
  check "the session itself exists while recording" test -s "$s"
  succeeds "info while another records" info "$s" --json
  succeeds "export while another records" export "$s" --probe residual.norm --out "$work/during.npy"
  refuses "recording into a session that another records" 'shared\.orrery' run --model "$text" --prompt a -n 2 --record "$s"
else
  fail "a recording that can be held still" "it ended too soon"
fi
kill -CONT $first 2>/dev/null
wait $first
equal "the first program ends well" 0 $?
equal "and its session is whole" ok "$(sql "$s" 'pragma integrity_check')"
equal "with one run" 1 "$(sql "$s" 'select count(*) from run')"
succeeds "after it a second run is welcome" run --model "$text" --prompt a -n 2 --record "$s"

killed() { # path, seconds after the first token
  "$bin" run --model "$text" --prompt "The river" -n 480 --threads 1 --level full --steps --record "$1" >/dev/null 2>&1 &
  local child=$!
  for _ in $(seq 500); do
    [ "$(sqlite3 -readonly "$1" 'select count(*) > 0 from token' 2>/dev/null)" = 1 ] && break
  done
  sleep "$2"
  kill -KILL $child 2>/dev/null
  wait $child 2>/dev/null
}
for delay in 0 0.02 0.05 0.1 0.2; do
  k=$work/killed$delay.orrery
  killed "$k" $delay
  succeeds "killed after $delay s: it opens" info "$k" --json
  equal "killed after $delay s: it is whole" ok "$(sql "$k" 'pragma integrity_check')"
  check "killed after $delay s: it has tokens" test "$(sql "$k" 'select count(*) from token')" -gt 0
  succeeds "killed after $delay s: it exports" export "$k" --probe residual.norm --out "$work/k.npy"
  succeeds "killed after $delay s: it verifies" verify "$k"
done
# Killed while the file was being made, before the first token.
for delay in 0.005 0.01 0.02; do
  k=$work/made$delay.orrery
  "$bin" run --model "$text" --prompt "The river" -n 480 --record "$k" >/dev/null 2>&1 &
  child=$!
  sleep $delay
  kill -KILL $child 2>/dev/null
  wait $child 2>/dev/null
  succeeds "whatever is left after $delay s is taken over" run --model "$text" --prompt a -n 2 --record "$k"
  succeeds "and opens" info "$k" --json
done

mkdir "$work/small" "$work/kept"
if unshare -rm true 2>/dev/null && unshare -rm mount -t tmpfs -o size=2m tmpfs "$work/small" 2>/dev/null; then
  unshare -rm bash -c "
    mount -t tmpfs -o size=1500k tmpfs '$work/small'
    '$bin' run --model '$text' --prompt 'The river' -n 5 --record '$work/small/s.orrery' >/dev/null 2>&1
    timeout 60 '$bin' run --model '$text' --prompt 'The river' -n 480 --level full --threads 1 --steps \
      --record '$work/small/s.orrery' >'$work/out' 2>'$work/err'
    echo \$? >'$work/rc'
    cp '$work/small/'s.orrery* '$work/kept/'"
  rc=$(cat "$work/rc")
  if crashed || [ "$rc" -gt 1 ]; then fail "a full disk" "exit $rc"; else pass; fi
  check "a full disk is named" grep -qiE 'full|space|disk' "$work/err"
  succeeds "what was there is kept" info "$work/kept/s.orrery" --json
  equal "and whole" ok "$(sql "$work/kept/s.orrery" 'pragma integrity_check')"
  check "with its tokens" test "$(sql "$work/kept/s.orrery" 'select count(*) from token')" -gt 0
  check "and a gap that says what is missing" test "$(sql "$work/kept/s.orrery" 'select count(*) from gap')" -gt 0
else
  skip "a full disk: no mounts allowed here"
fi
