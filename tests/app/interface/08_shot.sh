# Views drawn without a window, from live-like and hostile text.
text=$models/tiny-text.q8_0.gguf
s=$work/shot.orrery
hostile='<script>alert("&x")</script> =1+1 '$'\e[31m'
succeeds "a recording" run --model "$text" --prompt "$hostile" -n 12 --level full --record "$s"
for view in attention mixing lens cache output text window; do
  succeeds "$view as SVG" shot "$s" --view $view --size 900x600 --out "$work/$view.svg"
  check "$view.svg is SVG" grep -q '<svg' "$work/$view.svg"
  check "$view.svg keeps text as text" grep -q '<text' "$work/$view.svg"
  check "$view.svg quotes model text" sh -c "! grep -q '<script' '$work/$view.svg'"
  check "$view.svg holds no escapes" sh -c "! grep -q \$(printf '\\033') '$work/$view.svg'"
  succeeds "$view as JSON" shot "$s" --view $view --step 5 --out "$work/$view.json"
  equal "$view.json is an object" object "$(sqlite3 :memory: "select json_type(cast(readfile('$work/$view.json') as text))")"
  for theme in light dark projector; do
    try shot "$s" --view $view --theme $theme --size 640x400 --out "$work/$view.png"
    if [ $rc -eq 0 ]; then
      equal "$view.png in $theme" "89504e47" "$(head -c 4 "$work/$view.png" | od -An -tx1 | tr -d ' ')"
      equal "$view.png is 640 by 400" "00000280 00000190" "$(od -An -tx1 -j16 -N8 "$work/$view.png" | tr -d ' ' | sed 's/\(........\)/\1 /; s/ $//')"
    else
      check "PNG is refused only for want of Qt" grep -qi 'qt' "$work/err"
    fi
  done
done
succeeds "two shots" shot "$s" --view attention --out "$work/once.svg"
succeeds "two shots" shot "$s" --view attention --out "$work/twice.svg"
check "a shot is the same each time" cmp -s "$work/once.svg" "$work/twice.svg"
for view in convolution loop fast nonsense; do
  refuses "the view $view" "$view" shot "$s" --view $view --out "$work/no.svg"
done
refuses "the state view of a model without any" 'no layers with a recurrent state' shot "$s" --view state --out "$work/no.svg"
refuses "the routing of a model without experts" 'no experts' shot "$s" --view routing --out "$work/no.svg"
refuses "a step that is not there" '999' shot "$s" --view attention --step 999 --out "$work/no.svg"
refuses "a form that is not there" 'bmp' shot "$s" --view attention --out "$work/no.bmp"
try shot "$s" --view attention --size 0x10 --out "$work/no.svg"
check "a size of nothing" test $rc -eq 1 -o $rc -eq 2
try shot "$s" --view attention --size 999999999x999999999 --out "$work/no.svg"
check "a size beyond reason" test $rc -eq 1 -o $rc -eq 2
check "a failure leaves no file" test ! -e "$work/no.svg"
mkdir "$work/moved"
cp "$s" "$work/moved/"
succeeds "a session is drawn without its model" shot "$work/moved/shot.orrery" --view text --out "$work/moved/x.svg"
# A view's numbers as tables are those of an export.
succeeds "a view as CSV" shot "$s" --view attention --step 5 --out "$work/shown.csv"
succeeds "the same of the recording" export "$s" --probe attention.entropy --steps 5:6 --out "$work/entropy.csv"
tr -d '\r' <"$work/shown-1-heads.csv" | awk -F, 'NR > 1 { printf "%d %d %.6f\n", $1, $(NF - 1), $NF }' | sort >"$work/shown"
tr -d '\r' <"$work/entropy.csv" | awk -F, 'NR > 1 { printf "%d %d %.6f\n", $(NF - 2), $(NF - 1), $NF }' | sort >"$work/exported"
check "there are heads" test -s "$work/exported"
check "a table has the numbers of an export" cmp -s "$work/shown" "$work/exported"
succeeds "a view as NPY" shot "$s" --view attention --step 5 --out "$work/shown.npy"
check "a map per file" test -s "$work/shown-1-heads.npy"
check "the files are told" grep -q 'shown-1-heads.npy' "$work/err"
