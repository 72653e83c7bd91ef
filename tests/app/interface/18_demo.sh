# shellcheck shell=bash
# The main job without a display, on the model that comes with the program. Sourced by interface_test.sh.
try demo
if [ "$rc" -ne 0 ]; then
  check "the demo is refused only for want of Qt" grep -qi 'qt' "$work/err"
else
  equal "it gives the puzzle's last answer" n \
    "$(sqlite3 demo.orrery "select cast(bytes as text) from token where segment = 'generated' order by step limit 1")"
  for view in attention state convolution mixing routing loop cache lens output text window; do
    equal "demo-$view.png" "89504e47" "$(head -c 4 "demo-$view.png" | od -An -tx1 | tr -d ' ')"
  done
  created=$(sqlite3 demo.orrery "select created_ns from run")
  succeeds "a second demo" demo
  check "replaces the session" test "$(sqlite3 demo.orrery "select created_ns from run")" != "$created"
  echo mine >demo.orrery
  refuses "a file of that name that is no session" 'demo.orrery' demo
  equal "which stays as it was" mine "$(cat demo.orrery)"
  rm -f demo.orrery demo-*.png
fi
