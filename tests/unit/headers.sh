#!/bin/sh
# Every public header compiles alone, as C11 and as C++, without a warning.
include=$TL_TEST_SOURCE/libtl/include
set -- "$include"/tl/*.h
echo "1..$(($# * 2 + 1))"
n=0

compiles() { # NAME COMPILER...
    what=$1
    shift
    n=$((n + 1))
    if errors=$(printf '#include <%s>\nextern int unused;\n' "${what%% *}" | "$@" 2>&1); then
        echo "ok $n - $what"
    else
        echo "not ok $n - $what"
        echo "$errors" | sed 's/^/# /'
    fi
}

cxx=
for compiler in "${CXX:-g++}" clang++; do
    if echo 'int x;' | $compiler -x c++ -fsyntax-only - 2>/dev/null; then
        cxx=$compiler
        break
    fi
done

for header; do
    name=tl/$(basename "$header")
    compiles "$name as C11" ${CC:-cc} -x c -std=c11 -Wall -Wextra -pedantic -Werror -fsyntax-only -I "$include" -
    if [ -n "$cxx" ]; then
        compiles "$name as C++" $cxx -x c++ -std=c++11 -Wall -Wextra -pedantic -Werror -fsyntax-only -I "$include" -
    else
        n=$((n + 1))
        echo "ok $n - $name as C++ # SKIP no C++ compiler"
    fi
done

# What a backend may include is less than what a program may.
n=$((n + 1))
if grep -hE '^#include <tl/' "$include/tl/backend.h" "$include/tl/context.h" "$include/tl/status.h" |
    grep -vE '<tl/(context|status)\.h>'; then
    echo "not ok $n - backend.h needs context.h and status.h alone"
else
    echo "ok $n - backend.h needs context.h and status.h alone"
fi
