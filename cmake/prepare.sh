# Sourced by ./run, ./test and .ci/run: installs packages, configures and builds. All it prints goes to stderr, so that
# the program's own output stays clean. The caller sets `root` (the repository) and `script` (its name, for messages).
# shellcheck shell=bash
# shellcheck disable=SC2154

say() { printf '%s: %s\n' "$script" "$*" >&2; }

stop() {
  say "$*"
  exit 1
}

# missing_packages FILE...: the packages named in FILEs that are not installed, one a line.
missing_packages() {
  local wanted installed
  wanted=$(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$@" | sort -u)
  # dpkg-query fails when it does not know one of the names; what it knows is printed all the same.
  # shellcheck disable=SC2086
  installed=$(dpkg-query --show --showformat '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
    sed -n 's/^installed //p' | sort -u) || true
  comm -23 <(printf '%s\n' "$wanted") <(printf '%s\n' "$installed")
}

# install_packages FILE...: installs what is missing; stops with one line where it cannot.
install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    command -v cmake >/dev/null && command -v ninja >/dev/null && return
    stop "this needs Debian 12 (apt-get), or the packages of packages.txt installed by hand"
  fi
  local missing log=$root/build/packages.log as_root=()
  missing=$(missing_packages "$@" | tr '\n' ' ')
  missing=${missing% }
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || stop "missing, and neither root nor sudo to install them: $missing"
    as_root=(sudo)
  fi
  say "installing: $missing"
  as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  # An update that fails for one source may still have brought the lists that are needed.
  "${as_root[@]}" update >"$log" 2>&1 || true
  # shellcheck disable=SC2086
  "${as_root[@]}" install --yes --no-install-recommends $missing >>"$log" 2>&1 || true
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -z "$missing" ] || stop "could not install (see $log): ${missing% }"
}

# One job a core, and no more than the free memory bears: the largest source files take about 1 GiB to compile.
build_jobs() {
  local cores free_mib limit
  cores=$(nproc)
  free_mib=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
  if read -r limit 2>/dev/null </sys/fs/cgroup/memory.max && [ "$limit" != max ]; then
    limit=$((limit / 1048576))
    [ "$limit" -ge "$free_mib" ] || free_mib=$limit
  fi
  local jobs=$((free_mib / 1200))
  [ "$jobs" -le "$cores" ] || jobs=$cores
  [ "$jobs" -ge 1 ] || jobs=1
  echo "$jobs"
}

# configure PRESET FOLDER: runs CMake only where the preset, its file or the place of the repository changed;
# all else ninja notices by itself.
configure() {
  local preset=$1 folder=$2 fresh=() wanted
  wanted="$preset $(cksum <"$root/CMakePresets.json") $root"
  if [ -f "$folder/build.ninja" ] && [ "$(cat "$folder/.configured" 2>/dev/null)" = "$wanted" ]; then return; fi
  # A build folder that came along from elsewhere would be refused by CMake.
  if [ -f "$folder/CMakeCache.txt" ] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$folder/CMakeCache.txt"; then
    fresh=(--fresh)
  fi
  say "configuring (preset $preset)"
  if ! cmake -S "$root" --preset "$preset" "${fresh[@]}" >"$folder/configure.log" 2>&1; then
    tail -n 25 "$folder/configure.log" >&2
    stop "CMake could not configure; all it said is in $folder/configure.log"
  fi
  printf '%s' "$wanted" >"$folder/.configured"
}

# build PRESET FOLDER TARGET...: configures and builds; waits for another build in the same folder.
build() {
  local preset=$1 folder=$2 options=()
  shift 2
  mkdir -p "$folder" || stop "cannot write in: $root"
  exec 9>"$folder/.lock"
  flock --nonblock 9 || {
    say "waiting for another build in: $folder"
    flock 9
  }
  configure "$preset" "$folder"
  # Once built, a log need not say that there was nothing to do; a terminal shows ninja's one status line.
  if [ -f "$folder/.built" ] && [ ! -t 2 ]; then options=(--quiet); fi
  if ! cmake --build "$folder" --parallel "$(build_jobs)" --target "$@" -- "${options[@]}" >&2; then
    stop "the build failed: the first error above says why"
  fi
  touch "$folder/.built"
  exec 9>&-
}
