#!/bin/sh
# What libtl.so exports is what libtl.map lists and what the headers declare; what it needs is what it may need.
library=$TL_TEST_BUILD/.libs/libtl.so
plugin=$TL_TEST_BUILD/tests/plugin/.libs/fake.so
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

if [ ! -f "$library" ]; then
    echo "1..0 # SKIP no shared library was built"
    exit 0
fi
echo 1..7

result() { # NUMBER NAME STATUS; the details are in $work/details
    if [ "$3" = 0 ]; then
        echo "ok $1 - $2"
    else
        echo "not ok $1 - $2"
        sed 's/^/# /' "$work/details"
    fi
}

${NM:-nm} -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
    LC_ALL=C sort >"$work/exported"
sed -n '/global:/,/local:/s/^ *\([a-z0-9_]*\);$/\1/p' "$TL_TEST_SOURCE/libtl/libtl.map" >"$work/listed"
LC_ALL=C sort "$work/listed" >"$work/map"
for header in "$TL_TEST_SOURCE"/libtl/include/tl/*.h; do
    # backend.h declares what a plugin exports
    [ "${header##*/}" = backend.h ] || grep -v '^ *#' "$header" | tr '\n' ' ' | grep -oE 'TL_API [^;]*;'
done | sed 's/ *(.*//; s/.*[ *]//' | LC_ALL=C sort >"$work/declared"

diff "$work/map" "$work/exported" >"$work/details"
result 1 "exported as in libtl.map" $?
diff "$work/map" "$work/declared" >"$work/details"
result 2 "declared as in libtl.map" $?
diff "$work/listed" "$work/map" >"$work/details"
result 3 "libtl.map is in order" $?

${OBJDUMP:-objdump} -p "$library" | awk '$1 == "NEEDED" { print $2 }' >"$work/needed"
foreign='OpenCL|clblast|stdc\+\+|libmpi|inih|cmocka'
[ "${TL_TEST_OPENCL-}" != builtin ] || foreign='libmpi|inih|cmocka'
! grep -E "$foreign" "$work/needed" >"$work/details"
result 4 "no library that is not its own" $?

${NM:-nm} -D "$plugin" | awk '$NF ~ /^tl_/ && !($2 == "T" && $3 == "tl_backend_entry")' >"$work/details"
[ ! -s "$work/details" ]
result 5 "a plugin exports its entry and imports nothing of libtl" $?

# Nor by way of another library, where no sanitizer brings its own.
if grep -q '^CFLAGS = .*-fsanitize' "$TL_TEST_BUILD/Makefile"; then
    echo "ok 6 # SKIP sanitizers need libstdc++"
elif command -v ldd >/dev/null; then
    ldd "$library" >"$work/all"
    ! grep -E "$foreign" "$work/all" >"$work/details"
    result 6 "no foreign library through another one" $?
else
    echo "ok 6 # SKIP no ldd"
fi

opencl=$TL_TEST_BUILD/backends/opencl/.libs/opencl.so
if [ "${TL_TEST_OPENCL-}" = plugin ]; then
    ${NM:-nm} -D "$opencl" | awk '$NF ~ /^_*tl_/ || $2 ~ /^[A-TV-Z]$/' | grep -v ' T tl_backend_entry$' >"$work/details"
    ${NM:-nm} -D "$opencl" | grep -q ' T tl_backend_entry$' && [ ! -s "$work/details" ]
    result 7 "the OpenCL backend exports its entry alone and imports nothing of libtl" $?
else
    echo "ok 7 # SKIP the OpenCL backend was not built as a plugin"
fi
