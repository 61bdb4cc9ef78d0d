#!/bin/sh
# A backend from outside: examples/backend, compiled against an installed libtl, is found, and what it leaves the CPU
# does.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
root=$work/root
check "install" make -C "$TL_TEST_BUILD" install DESTDIR="$root"
prefix=$(sed -n 's/^prefix = //p' "$TL_TEST_BUILD/Makefile")
config=$(find "$root$prefix" -name libtl.pc)
PKG_CONFIG_PATH=${config%/*}
PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR

cp "$TL_TEST_SOURCE/examples/backend/sleepy.c" "$TL_TEST_SOURCE/examples/backend/Makefile" .
check "it compiles without a warning" make CC="${CC:-cc}" CFLAGS="-O2 -Wall -Wextra -pedantic -Werror"
check_not "it includes no more than tl/backend.h" grep -E '#include [<"]tl/([^b]|b[^a])' sleepy.c
# pkg-config has put the sysroot before this variable already or not, by its version.
backends=$(pkg-config --variable=backenddir libtl)
check "install it" make install DESTDIR="$root" backenddir="${backends#"$root"}"
TL_BACKEND_PATH=$root${backends#"$root"}
export TL_BACKEND_PATH
check "it is where plugins are" test -f "$TL_BACKEND_PATH/sleepy.so"

run 0 "devices" devices
prints_like '^sleepy:0 +A loop that takes relu$'
run 0 "devices --json" devices --json
prints_like '"name": *"sleepy:0"'

"$draw" data 6 disc square
small_ini >small.ini
run 0 "train on the CPU" train small.ini --device cpu -o cpu
run 0 "train on it" train small.ini --device sleepy -o sleepy
for run in cpu sleepy; do
    sed 's/,[^,]*$//' $run/metrics.csv >$run.csv # without the seconds
done
check "with the CPU's result" cmp cpu.csv sleepy.csv
run 2 "a device that is not there" train small.ini --device sleepy:1 -o none
says_like 'no device "sleepy:1"; there is: cpu,( .*,)? sleepy:0'
finish
