#!/bin/sh
# conv2d with Winograd's algorithm wherever the OpenCL backend has it, on opencl:0 (TL_OPENCL_DEVICE: another device), as
# a device like a CPU and as a GPU.
case ${TL_TEST_OPENCL-} in
    plugin) ;;
    *) echo "1..0 # SKIP the OpenCL backend was not built as a plugin"; exit 0 ;;
esac
device=${TL_OPENCL_DEVICE:-opencl:0}
tests=$TL_TEST_BUILD/tests/ops
plugin=$TL_TEST_BUILD/backends/opencl/.libs/opencl.so
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
count=0
failed=0
export TL_OPENCL_WINOGRAD=1 TL_OPENCL_VECTORS
for TL_OPENCL_VECTORS in yes no; do
    for name in winograd conv2d conv2d_batch; do
        ("$tests/$name" --device "$device" --plugin "$plugin"; echo "= status $?") |
            awk -f "$TL_TEST_SOURCE/tests/ops/tap.awk" -v name="$name, vectors $TL_OPENCL_VECTORS" -v first="$count" \
                >"$work/out"
        sed '$d' "$work/out"
        last=$(tail -1 "$work/out")
        count=$(echo "$last" | cut -d' ' -f2)
        failed=$((failed + $(echo "$last" | cut -d' ' -f3)))
    done
done
echo "1..$count"
[ "$failed" -eq 0 ] && [ "$count" -gt 0 ]
