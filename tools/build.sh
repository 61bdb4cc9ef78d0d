#!/bin/sh
# build.sh DIR [CONFIGURE OPTION...]: builds libtl out of tree in DIR, from a fresh clone or again.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
dir=$1
shift
[ -x "$top/configure" ] && [ "$top/configure" -nt "$top/configure.ac" ] || (cd "$top" && autoreconf -fi)
mkdir -p "$dir"
cd "$dir"
[ -f Makefile ] && [ Makefile -nt "$top/configure" ] || "$top/configure" "$@"
make -j"$(nproc)"
