#!/usr/bin/env bash
# The program as a person meets it: opened on a model under a virtual display, driven by real keys and clicks.
# usage: smoke.sh ORRERY MODEL; exits 77 (skipped) where xdotool is missing.
set -euo pipefail
orrery=$1
model=$2
command -v xdotool >/dev/null || { echo "skipped: xdotool is not installed"; exit 77; }
folder=$(mktemp -d)
export XDG_STATE_HOME=$folder/state XDG_DATA_HOME=$folder/data XDG_CONFIG_HOME=$folder/config HOME=$folder
trap 'kill "${pid-}" 2>/dev/null || true; rm -rf "$folder"' EXIT

"$orrery" "$model" 2>"$folder/errors" &
pid=$!
window=$(timeout 60 xdotool search --sync --onlyvisible --name '^Orrery' | tail -n 1)
sleep 3
xdotool windowfocus --sync "$window"
xdotool key ctrl+l
xdotool type 'Once upon a time'
xdotool key ctrl+Return
for _ in $(seq 100); do
  session=$(find "$folder/state" -name '*.orrery' 2>/dev/null | head -n 1)
  [ -n "$session" ] && break
  sleep 0.2
done
[ -n "$session" ] || { echo "no session was recorded"; cat "$folder/errors"; exit 1; }
sleep 2
# In a chat the keys stay with the prompt: a click into the views takes them there.
xdotool mousemove --window "$window" 760 150 click 1
for key in space Left Left Down bracketright space f question; do
  xdotool key "$key"
  sleep 0.2
done
# No window manager is there to hand the focus on.
dialog=$(timeout 20 xdotool search --sync --onlyvisible --name '^Keyboard' | tail -n 1) || true
[ -n "$dialog" ] || { echo "? did not open the list of keys"; exit 1; }
xdotool windowfocus --sync "$dialog" key Escape
sleep 0.5
xdotool windowfocus --sync "$window"
# Every dialog opens with its key and closes with Esc; a note is kept in the session.
for step in 'ctrl+t|as a table' 'ctrl+comma|^Preferences' 'ctrl+k|^Commands' 'ctrl+r|^Read this' 'n|^Note at'; do
  xdotool key "${step%%|*}"
  dialog=$(timeout 20 xdotool search --sync --onlyvisible --name "${step#*|}" | tail -n 1) || true
  [ -n "$dialog" ] || { echo "${step%%|*} opened nothing"; exit 1; }
  xdotool windowfocus --sync "$dialog"
  if [ "${step%%|*}" = n ]; then
    xdotool type 'seen by a script'
    xdotool key ctrl+Return
  else
    xdotool key Escape
  fi
  sleep 0.5
  xdotool windowfocus --sync "$window"
done
for _ in $(seq 50); do
  noted=$(sqlite3 "file:$session?mode=ro" 'SELECT text FROM note' 2>/dev/null || echo unknown)
  [ -n "$noted" ] && break
  sleep 0.2
done
[ "$noted" = 'seen by a script' ] || [ "$noted" = unknown ] || { echo "the note was not kept: $noted"; exit 1; }
kill -0 "$pid" || { echo "the program ended by itself"; cat "$folder/errors"; exit 1; }
xdotool key ctrl+q
for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
if kill -0 "$pid" 2>/dev/null; then echo "Ctrl+Q did not close the window"; exit 1; fi
wait "$pid" || { echo "exit status $?"; cat "$folder/errors"; exit 1; }
"$orrery" info "$session" --json >"$folder/info"
grep -q '"n_tokens"\|"tokens"' "$folder/info" || { cat "$folder/info"; exit 1; }
echo "recorded and closed: $(basename "$session")"
