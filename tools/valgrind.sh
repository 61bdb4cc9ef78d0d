#!/bin/sh
# valgrind.sh BUILD: trains a small network with the tl of this build under valgrind: no wrong access, no use of what
# was never written, no leak. Ends with 77, and a last line that says why, where that cannot be.
set -u
build=$1
command -v valgrind >/dev/null || { echo "valgrind is not there"; exit 77; }
[ -x "$build/tl" ] || { echo "tl was not built"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME="$work/cache"
"$build/tests/cli/draw" "$work/images" 6 disc square || exit 1
cat >"$work/small.ini" <<'END'
[device]
device = cpu
threads = 1
isa = avx2
[data]
val = 0.34
batch = 3
resize = 40
crop = 32
[model]
arch = resnet18
weights = random
layers = 1, 1, 1, 1
width = 0.25
bn = mixed
[stage head]
epochs = 1
[stage deep]
train = layer4.*, fc.*
epochs = 1
END
# valgrind knows no AVX-512.
[ "$(uname -m)" = x86_64 ] || sed -i '/^isa/d' "$work/small.ini"
"$build/libtool" --mode=execute valgrind --quiet --error-exitcode=9 --leak-check=full \
    --errors-for-leak-kinds=definite --show-leak-kinds=definite --fair-sched=yes \
    "$build/tl" train "$work/small.ini" -s "data.train=$work/images" -o "$work/run"
