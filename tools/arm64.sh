#!/bin/sh
# arm64.sh BUILD: builds libtl for 64-bit ARM with gcc-aarch64-linux-gnu in BUILD and runs the tests of the core, of
# every operation and of the backends' registry under qemu-user.
#
# The libraries it needs come as Debian packages of that architecture into BUILD/root: fetched with apt but unpacked
# there, so nothing is installed, no foreign architecture is added to this system and nobody need be root. Once
# fetched, no network is needed.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
build=$(cd "$1" && pwd)
root=$build/root
triple=aarch64-linux-gnu
packages="libc6-dev libpng-dev libjpeg62-turbo-dev libinih-dev libjansson-dev libzip-dev libxxhash-dev"
packages="$packages libcmocka-dev"

if [ "$(cat "$root/complete" 2>/dev/null)" != "$packages" ]; then
    state=$build/apt
    rm -rf "$state" "$root"
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$root"
    : >"$state/status"
    apt="apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State=$state
        -o Dir::State::lists=$state/lists -o Dir::State::status=$state/status -o Dir::Cache=$state/cache
        -o APT::Sandbox::User=$(id -un) -o Debug::NoLocking=true"
    $apt update
    $apt --download-only --no-install-recommends install $packages
    for package in "$state"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$root"
    done
    rm -rf "$state"
    echo "$packages" >"$root/complete"
fi

export PKG_CONFIG_LIBDIR="$root/usr/lib/$triple/pkgconfig:$root/usr/share/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root"
# GCC 12 for arm64 fails inside of its own vectoriser (libtl/selftest/bound.c); the kernels write their vectors out.
"$top/tools/build.sh" "$build" --host=$triple --disable-static --enable-werror CC="$triple-gcc --sysroot=$root" \
    CFLAGS="-g -O3 -fno-tree-vectorize"
cd "$build"
find . -name '*.trs' -exec rm -f {} +
tests=$(make -s list-tests | tr ' ' '\n' | grep -E '^tests/(unit|ops|plugin)/[^.]*$' | tr '\n' ' ')
export TL_TEST_FEWER=1 # qemu takes a quarter of an hour for what the plain build does in seconds
# A test program that cannot run ends as a failed case.
make -k -j"$(nproc)" check TESTS="$tests" LOG_COMPILER="qemu-aarch64 -L $root" || true
