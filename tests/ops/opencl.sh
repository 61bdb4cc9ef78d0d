#!/bin/sh
# Every operation's test on opencl:0 (PoCL, where nothing else is there), as one: what is compared is the plugin as it was
# built with what the CPU's tests compare with. TL_OPENCL_DEVICE: another device.
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
for name in adam avgpool2d batchnorm batchnorm_grad conv2d conv2d_batch conv2d_grad_input conv2d_grad_weight \
    cross_entropy dropout maxpool2d normalize relu; do
    ("$tests/$name" --device "$device" --plugin "$TL_TEST_BUILD/backends/opencl/.libs/opencl.so"; echo "= status $?") |
        awk -f "$TL_TEST_SOURCE/tests/ops/tap.awk" -v name="$name" -v first="$count" >"$work/out"
    sed '$d' "$work/out"
    last=$(tail -1 "$work/out")
    count=$(echo "$last" | cut -d' ' -f2)
    failed=$((failed + $(echo "$last" | cut -d' ' -f3)))
done
echo "1..$count"
[ "$failed" -eq 0 ] && [ "$count" -gt 0 ]
