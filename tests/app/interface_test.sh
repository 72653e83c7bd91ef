#!/bin/bash
# Exercises the built program from outside, as scripts and teachers use it: every command of the documented interface
# on the tiny models of assets/models, its JSON, files and exit codes, and the bad input that must end in one sentence.
#
#   interface_test.sh PROGRAM [SECTION...]     sections: the files of interface/ without number and .sh
#
# Needs bash, sqlite3, coreutils, awk. Prints one line per failure and a count; exits 1 if anything failed.
set -u
if [ $# -lt 1 ] || [ ! -x "$1" ]; then
  echo "usage: interface_test.sh PROGRAM [SECTION...]" >&2
  exit 2
fi
bin=$(realpath "$1")
shift
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
assets=$(realpath "$here/../../assets")
models=$assets/models
goldens=$assets/goldens
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/home" "$work/cwd"
export HOME=$work/home LC_ALL=C.UTF-8
export XDG_DATA_HOME=$work/home/data XDG_STATE_HOME=$work/home/state XDG_CONFIG_HOME=$work/home/config XDG_CACHE_HOME=$work/home/cache
unset DISPLAY WAYLAND_DISPLAY
cd "$work/cwd" || exit 1

. "$here/interface/lib.sh"
for part in "$here"/interface/[0-9]*.sh; do
  section=$(basename "$part" .sh)
  section=${section#*_}
  if [ $# -gt 0 ]; then
    case " $* " in *" $section "*) ;; *) continue ;; esac
  fi
  before=$failed
  started=$(date +%s%N)
  . "$part"
  echo "$section: $((failed - before)) failed, $((($(date +%s%N) - started) / 1000000)) ms"
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
