#!/bin/sh
# Every operation's test on opencl:0 (PoCL, where nothing else is there), as one: what is compared is the plugin as it was
# built with what the CPU's tests compare with. TL_OPENCL_DEVICE: another device. What no order of sums can change (sums of
# small integers, values that are copied, chosen or come from a table) must be the CPU backend's, bit for bit.
case ${TL_TEST_OPENCL-} in
    plugin) set -- --plugin "$TL_TEST_BUILD/backends/opencl/.libs/opencl.so" ;;
    *) echo "1..0 # SKIP the OpenCL backend was not built as a plugin"; exit 0 ;;
esac
device=${TL_OPENCL_DEVICE:-opencl:0}
tests=$TL_TEST_BUILD/tests/ops
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
count=0
failed=0
# cases NAME LABEL OPTION...
cases() {
    name=$1
    label=$2
    shift 2
    ("$tests/$name" --device "$device" "$@"; echo "= status $?") |
        awk -f "$TL_TEST_SOURCE/tests/ops/tap.awk" -v name="$label" -v first="$count" >"$work/out"
    sed '$d' "$work/out"
    last=$(tail -1 "$work/out")
    count=$(echo "$last" | cut -d' ' -f2)
    failed=$((failed + $(echo "$last" | cut -d' ' -f3)))
}
for name in accept adam avgpool2d batchnorm batchnorm_grad concat conv2d conv2d_batch conv2d_grad_input \
    conv2d_grad_weight cross_entropy dropout maxpool2d normalize relu upsample2d; do
    cases "$name" "$name" "$@"
done
for name in conv2d conv2d_grad_input conv2d_grad_weight; do
    cases "$name" "$name, the CPU's bits" "$@" --equal cpu --filter integers
done
for name in concat dropout normalize relu; do
    cases "$name" "$name, the CPU's bits" "$@" --equal cpu
done
echo "1..$count"
[ "$failed" -eq 0 ] && [ "$count" -gt 0 ]
