# Sourced by the scripts beside it, which run tests of operations on opencl:0 (TL_OPENCL_DEVICE: another device) as one test,
# or are skipped where the plugin was not built.
[ "${TL_TEST_OPENCL-}" = plugin ] || { echo "1..0 # SKIP the OpenCL backend was not built as a plugin"; exit 0; }
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
count=0
failed=0

# cases PROGRAM LABEL [OPTION]...: its cases, by the label.
cases() {
    program=$1
    label=$2
    shift 2
    ("$TL_TEST_BUILD/tests/ops/$program" --device "${TL_OPENCL_DEVICE:-opencl:0}" \
        --plugin "$TL_TEST_BUILD/backends/opencl/.libs/opencl.so" "$@"; echo "= status $?") |
        awk -f "$TL_TEST_SOURCE/tests/ops/tap.awk" -v name="$label" -v first="$count" >"$work/out"
    sed '$d' "$work/out"
    last=$(tail -1 "$work/out")
    count=$(echo "$last" | cut -d' ' -f2)
    failed=$((failed + $(echo "$last" | cut -d' ' -f3)))
}

# The last command: the plan, and the status.
end_cases() {
    echo "1..$count"
    [ "$failed" -eq 0 ] && [ "$count" -gt 0 ]
}
