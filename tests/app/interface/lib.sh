# Helpers of interface_test.sh. `try` runs the program; the checks look at what it left: $rc, $work/out, $work/err.
passed=0 failed=0 skipped=0 rc=0

pass() { passed=$((passed + 1)); }
fail() { # description, what was seen
  failed=$((failed + 1))
  printf 'FAILED %s: %s\n' "$section" "$1"
  [ -n "${2-}" ] && printf '    %s\n' "$2" | cut -c1-300
  [ "$rc" -ne 0 ] && [ -s "$work/err" ] && sed 's/^/    stderr: /' "$work/err" | head -5 | cut -c1-300
}
skip() { skipped=$((skipped + 1)); printf 'skipped %s: %s\n' "$section" "$1"; }

try() { # arguments of the program; at most 120 s
  timeout 120 "$bin" "$@" >"$work/out" 2>"$work/err" </dev/null
  rc=$?
}

check() { # description, command...: passes if the command succeeds
  local what=$1
  shift
  if "$@"; then pass; else fail "$what"; fi
}
equal() { # description, expected, seen
  if [ "$2" = "$3" ]; then pass; else fail "$1" "expected '$2', saw '$3'"; fi
}
succeeds() { # description, arguments...: exit 0, and nothing that looks like a bug
  local what=$1
  shift
  try "$@"
  if [ $rc -ne 0 ]; then fail "$what" "exit $rc of: $*"; else pass; fi
}
crashed() { [ $rc -ge 124 ] || grep -qE 'terminate called|Sanitizer|runtime error|CHECK failed|Segmentation|Aborted|what\(\)' "$work/err"; }
refuses() { # description, pattern (case does not matter), arguments...: exit 1 and one sentence on stderr that holds the pattern
  local what=$1 pattern=$2
  shift 2
  try "$@"
  local lines
  lines=$(grep -c . "$work/err")
  if crashed; then fail "$what" "crashed, exit $rc: $*"
  elif [ $rc -ne 1 ]; then fail "$what" "exit $rc, not 1: $*"
  elif [ "$lines" -ne 1 ]; then fail "$what" "stderr has $lines lines, not one sentence"
  elif ! grep -qiE -- "$pattern" "$work/err"; then fail "$what" "the sentence does not say '$pattern'"
  else pass; fi
}
misused() { # description, arguments...: exit 2, an explanation on stderr, nothing on stdout
  local what=$1
  shift
  try "$@"
  if [ $rc -ne 2 ]; then fail "$what" "exit $rc, not 2: $*"
  elif [ ! -s "$work/err" ] || [ -s "$work/out" ]; then fail "$what" "no word on stderr, or something on stdout"
  else pass; fi
}

# JSON of the last stdout (or of a file): value at a path; empty where there is none.
json() { sqlite3 :memory: "select json_extract(cast(readfile('${2-$work/out}') as text), '$1')" 2>/dev/null; }
json_length() { # path of an array, [file]
  sqlite3 :memory: "select json_array_length(cast(readfile('${2-$work/out}') as text), '$1')" 2>/dev/null
}
has_keys() { # description, path...: stdout is one JSON object in which each path exists
  local what=$1 path
  shift
  if [ "$(sqlite3 :memory: "select json_type(cast(readfile('$work/out') as text))" 2>&1)" != object ]; then
    fail "$what" "stdout is not one JSON object: $(head -c 200 "$work/out")"
    return
  fi
  for path in "$@"; do
    if [ -n "$(sqlite3 :memory: "select json_type(cast(readfile('$work/out') as text), '$path')")" ]; then pass
    else fail "$what" "no $path in $(head -c 200 "$work/out")"; fi
  done
}
sql() { sqlite3 -batch "$1" "$2" 2>&1; } # database, statement

# .npy files: header fields, values.
npy_start() { echo $((10 + $(od -An -tu2 -j8 -N2 "$1"))); }
npy_header() { tail -c +11 "$1" | head -c $(($(npy_start "$1") - 10)); }
npy_descr() { npy_header "$1" | sed -n "s/.*'descr': *'\([^']*\)'.*/\1/p"; }
npy_shape() { npy_header "$1" | sed -n "s/.*'shape': *(\([^)]*\)).*/\1/p" | tr -d ' ' | sed 's/,$//'; }
npy_values() { # file: one value a line
  case $(npy_descr "$1") in
    '<f4') od -An -v -tf4 -w4 -j "$(npy_start "$1")" "$1" ;;
    '<i4') od -An -v -td4 -w4 -j "$(npy_start "$1")" "$1" ;;
    '<i8') od -An -v -td8 -w8 -j "$(npy_start "$1")" "$1" ;;
  esac
}
npy_is() { # description, file, dtype, shape
  if [ ! -s "$2" ]; then fail "$1" "no file $2"; return; fi
  equal "$1: dtype and shape" "$3 ($4)" "$(npy_descr "$2") ($(npy_shape "$2"))"
}
# Largest difference of two lists of numbers (one a line), absolute, or relative to the second with a third argument.
# "nan" equals only itself; another length counts as infinite.
largest_difference() {
  paste "$1" "$2" | awk -v relative="${3-}" '
    NF != 2 { bad = 1; next }
    $1 ~ /nan/ || $2 ~ /nan/ { if (!($1 ~ /nan/ && $2 ~ /nan/)) bad = 1; next }
    { d = $1 - $2; if (d < 0) d = -d; if (relative != "") { s = $2 < 0 ? -$2 : $2; d = s > 0 ? d / s : (d > 0 ? 1e30 : 0) }
      if (d > worst) worst = d; n++ }
    END { if (bad || n == 0) print 1e30; else printf "%.9g\n", worst }'
}
near() { # description, file of numbers, file of expected numbers, bound, [relative]
  local d
  d=$(largest_difference "$2" "$3" "${5-}")
  if awk -v d="$d" -v bound="$4" 'BEGIN { exit !(d <= bound) }'; then pass
  else fail "$1" "differs by $d, more than $4"; fi
}
# Root mean square of the difference of two .npy files of the same shape, within a bound.
npy_rms() { # description, file, golden, bound
  if [ ! -s "$2" ]; then fail "$1" "no file $2"; return; fi
  equal "$1: shape" "$(npy_shape "$3")" "$(npy_shape "$2")"
  local rms
  rms=$(paste <(npy_values "$2") <(npy_values "$3") | awk 'NF != 2 || /nan/ { bad = 1 } { s += ($1 - $2) ^ 2 }
    END { print bad || NR == 0 ? 1e30 : sqrt(s / NR) }')
  if awk -v d="$rms" -v bound="$4" 'BEGIN { exit !(d <= bound) }'; then pass
  else fail "$1" "differs by $rms (root mean square), more than $4"; fi
}
npy_near() { # description, file, golden, bound, [relative]
  if [ ! -s "$2" ]; then fail "$1" "no file $2"; return; fi
  equal "$1: shape" "$(npy_shape "$3")" "$(npy_shape "$2")"
  npy_values "$2" >"$work/values"
  npy_values "$3" >"$work/expected"
  near "$1" "$work/values" "$work/expected" "$4" "${5-}"
}
ids_of() { npy_values "$1" | tr -d ' ' | paste -sd, -; } # tokens.npy as 1,2,3
