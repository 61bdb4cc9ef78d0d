#!/bin/sh
# Operations on values stored in f16, on opencl:0 (TL_OPENCL_DEVICE: another device) taken for a GPU: all forms with what it
# chooses by itself, and some with each of the tiles that a convolution may have.
case ${TL_TEST_OPENCL-} in
    plugin) ;;
    *) echo "1..0 # SKIP the OpenCL backend was not built as a plugin"; exit 0 ;;
esac
device=${TL_OPENCL_DEVICE:-opencl:0}
tests=$TL_TEST_BUILD/tests/ops
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
count=0
failed=0
TL_OPENCL_VECTORS=no
export TL_OPENCL_VECTORS

# try NAME PROGRAM ARGUMENT...
try() {
    name=$1
    program=$2
    shift 2
    ("$tests/$program" --device "$device" --plugin "$TL_TEST_BUILD/backends/opencl/.libs/opencl.so" "$@"; echo "= status $?") |
        awk -f "$TL_TEST_SOURCE/tests/ops/tap.awk" -v name="$name" -v first="$count" >"$work/out"
    sed '$d' "$work/out"
    last=$(tail -1 "$work/out")
    count=$(echo "$last" | cut -d' ' -f2)
    failed=$((failed + $(echo "$last" | cut -d' ' -f3)))
}

try stored_f16 stored_f16
try conv2d_f16 conv2d_f16
for tile in "64x64 by 64" 32x32; do
    TL_OPENCL_CONV="implicit $tile"
    export TL_OPENCL_CONV
    try "conv2d_f16 $tile" conv2d_f16 --filter "1x14x14x64 -> 64"
done
echo "1..$count"
[ "$failed" -eq 0 ] && [ "$count" -gt 0 ]
