#!/usr/bin/env bash
# The scripts that install and build, without installing or building: stand-ins for dpkg-query, apt-get, id and sudo.
#
#   scripts_test.sh REPOSITORY
#
# shellcheck disable=SC2317  # the functions are called through `check`
set -euo pipefail
repository=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

check() { # description, command...
  local what=$1
  shift
  "$@" || {
    echo "FAILED: $what"
    failed=1
  }
}

fails() { ! "$@"; }

stand_in() { # name, body
  printf '#!/bin/bash\n%s\n' "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}

# prepared COMMAND...: runs a function of prepare.sh in a tree of the test's own.
prepared() {
  (
    # shellcheck disable=SC2030,SC2034
    PATH=$work/bin:$PATH root=$work/tree script=test
    # shellcheck source=cmake/prepare.sh
    source "$repository/cmake/prepare.sh"
    "$@"
  ) >"$work/out" 2>"$work/err"
}

mkdir -p "$work/bin" "$work/tree/build" "$work/elsewhere"
printf '# a comment\nwanted-one\nwanted-two  # why\n\n' >"$work/packages"
# What is installed is what the file `installed` names.
stand_in dpkg-query "for name; do grep -qxF -- \"\$name\" '$work/installed' && echo \"installed \$name\"; done; exit 1"
stand_in apt-get "echo \"\$*\" >>'$work/apt'; case \"\$*\" in *install*) [ ! -e '$work/broken' ] && printf 'wanted-one\nwanted-two\n' >'$work/installed' ;; esac"
stand_in id "echo 0"
: >"$work/installed"

prepared missing_packages "$work/packages"
check "names what is missing" test "$(cat "$work/out")" = "$(printf 'wanted-one\nwanted-two')"
printf 'wanted-one\nother\n' >"$work/installed"
prepared missing_packages "$work/packages"
check "leaves out what is there" test "$(cat "$work/out")" = wanted-two

check "installs what is missing" prepared install_packages "$work/packages"
check "asks apt-get for it alone" grep -qE 'install .* wanted-two$' "$work/apt"
: >"$work/apt"
check "is content when all is there" prepared install_packages "$work/packages"
check "calls no apt-get then" test ! -s "$work/apt"
check "and says nothing" test ! -s "$work/err"

: >"$work/installed"
touch "$work/broken"
check "fails when apt-get does not bring it" fails prepared install_packages "$work/packages"
check "says what is still missing" grep -q 'could not install.*wanted-one wanted-two' "$work/err"
stand_in id "echo 1000"
without_sudo() {
  local PATH=$work/bin
  "$@"
}
for tool in bash sed sort comm tr awk cat mkdir grep; do ln -sf "$(command -v $tool)" "$work/bin/$tool"; done
check "fails without root and sudo" fails without_sudo prepared install_packages "$work/packages"
check "says so in one line" test "$(wc -l <"$work/err")" -eq 1
check "and names the packages" grep -q 'wanted-one wanted-two' "$work/err"
stand_in sudo 'printf "%s\n" "sudo $*" >>'"'$work/apt'"'; exec "$@"'
rm "$work/broken"
: >"$work/apt"
check "goes through sudo" prepared install_packages "$work/packages"
check "with apt-get" grep -q 'sudo env .*apt-get' "$work/apt"

prepared build_jobs
check "runs at least one job and no more than the cores" test "$(cat "$work/out")" -ge 1 -a "$(cat "$work/out")" -le "$(nproc)"

explain() { "$repository/$1" "$2" >"$work/out"; }
cd "$work/elsewhere"
for name in run test; do
  for option in --help -h; do
    check "$name $option" explain "$name" "$option"
    check "$name $option explains" grep -q "usage: ./$name" "$work/out"
  done
done
check "help leaves nothing in the current folder" test -z "$(ls -A)"
check "every package is named once" test -z "$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$repository"/packages*.txt | sort | uniq -d)"

[ "$failed" -eq 0 ] && echo "all passed"
exit "$failed"
