#!/usr/bin/env bash
# Packs what a machine without network lacks to build Orrery without its window: the headers and libraries of the
# Debian packages that packages.txt names, with what they load at run time, pkg-config and ninja. Runs on Debian 12 with
# network, installs nothing. tests/gpu.sh unpacks the archive where the device is.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
script="stage_gpu_packages.sh"
# shellcheck source=cmake/prepare.sh
source "$root/cmake/prepare.sh"

most_mib=64 # the tree and the archive together

if [ $# -gt 1 ] || [ "${1-}" = --help ] || [ "${1-}" = -h ]; then
  cat <<'HELP'
usage: tests/stage_gpu_packages.sh [FOLDER]    write FOLDER/packages.tar.gz (build/gpu-packages)

Needs Debian 12, its network, and g++. A compiler, CMake and Python 3 are left to the machine with the device.
HELP
  [ $# -le 1 ]
  exit
fi
folder=${1-$root/build/gpu-packages}
mkdir -p "$folder" || stop "cannot write in: $folder"
folder=$(readlink -f "$folder")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree/usr

# What is asked for: every library for development but the window's.
wanted() {
  sed -e 's/#.*//' -e 's/[[:space:]]//g' "$root/packages.txt" | grep -E -- '-dev$' | grep -vE '^(qt6-|libgl-)'
  echo pkgconf ninja-build | tr ' ' '\n'
}

# closure NAME...: these packages and all they depend on, but for what every machine with a C++ compiler has, Boost's
# compiled libraries other than Context, and plug-ins.
closure() {
  local common='gcc-[0-9]+-base|libc6|libc6-dev|libc-dev-bin|libgcc-.*|libstdc\+\+.*|lib(a|l|t|ub)san[0-9]|libatomic1'
  common+='|libgomp1|libitm1|libquadmath0|linux-libc-dev|libcrypt.*|libnsl.*|libtirpc.*|rpcsvc-proto'
  local unused='googletest|icu-devtools|python3.*|libsasl2-modules-db|libdb5.3'
  unused+='|libboost-(atomic|chrono|date-time|serialization|system|thread)[0-9.]*(-dev)?'
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
    grep -E '^[a-z0-9]' | sort -u | grep -vxE "$common|$unused"
}

# Of Boost's headers, the folders that the project's own includes reach: a fiftieth.
prune_boost() {
  local kept=$work/boost part
  mkdir "$kept"
  grep -rhoE --include='*.h' --include='*.cpp' '^#include <boost/[^>]+>' "$root"/{kernels,engine,tests} | sort -u \
    >"$work/boost.cpp"
  g++ -std=c++20 -M -I"$tree/include" "$work/boost.cpp" | tr ' ' '\n' | sed -n "s|^$tree/include/boost/||p" |
    cut -d/ -f1 | sort -u >"$work/boost.parts"
  [ -s "$work/boost.parts" ] || stop "g++ could not read Boost's headers"
  while read -r part; do mv "$tree/include/boost/$part" "$kept/"; done <"$work/boost.parts"
  # A folder and the header of its name belong together (boost/assert.hpp, boost/assert/).
  while read -r part; do
    part=${part%.hpp}
    for part in "$part" "$part.hpp"; do
      if [ -e "$tree/include/boost/$part" ]; then mv "$tree/include/boost/$part" "$kept/"; fi
    done
  done <"$work/boost.parts"
  rm -rf "$tree/include/boost"
  mv "$kept" "$tree/include/boost"
}

# Static libraries only where there is no shared one of the name.
prune_static() {
  local library
  find "$tree/lib" -name '*.a' | while read -r library; do
    if [ -e "${library%.a}.so" ]; then rm "$library"; fi
  done
}

# The tree can lie anywhere.
relative_links() {
  local link target
  find "$tree" -type l -lname '/*' | while read -r link; do
    target=$(readlink "$link")
    ln -sfnr "$tree/${target#/usr}" "$link"
  done
  find "$tree" -xtype l -delete
}

mapfile -t names < <(wanted)
mapfile -t packages < <(closure "${names[@]}")
[ "${#packages[@]}" -ge "${#names[@]}" ] || stop "apt-cache does not know these packages: run apt-get update"
say "fetching ${#packages[@]} packages"
mkdir "$work/packages" "$work/tree"
(cd "$work/packages" && apt-get -q download "${packages[@]}") >"$work/log" 2>&1 || {
  tail -n 3 "$work/log" >&2
  stop "could not fetch the packages"
}
for package in "$work/packages"/*.deb; do dpkg-deb -x "$package" "$work/tree"; done
# Some packages still have a /lib of their own, which is /usr/lib.
if [ -d "$work/tree/lib" ]; then
  cp -a "$work/tree/lib/." "$tree/lib/"
  rm -r "$work/tree/lib"
fi
find "$work/tree" -mindepth 1 -maxdepth 1 ! -name usr -exec rm -rf {} +
rm -rf "$tree"/{src,sbin} "$tree"/share/{doc,man,locale,lintian,bug,doc-base,bash-completion,zsh,vim,info}
prune_boost
prune_static
relative_links
tar -C "$work/tree" --owner=0 --group=0 --sort=name --mtime=@0 -cf - usr | gzip -9n >"$work/packages.tar.gz"
mv "$work/packages.tar.gz" "$folder/packages.tar.gz"

mib() { echo $((($(wc -c) + 1048575) / 1048576)); }
archive=$(mib <"$folder/packages.tar.gz")
project=$(cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 cat -- 2>/dev/null | mib)
say "$folder/packages.tar.gz: $archive MiB from ${#packages[@]} packages; $((archive + project)) MiB with the project"
[ $((archive + project)) -le "$most_mib" ] || stop "that is more than $most_mib MiB"
