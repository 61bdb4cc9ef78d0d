#!/bin/sh
# Head trainings that share a trunk: what RUNS of them, with seeds 0, 1, ..., cost in all against one, each a process of its
# own that reads the weights, trains ten epochs and writes its models. The first computes the features, the others find
# them. Then the first one once more with nothing kept.
#
#   tests/bench/cache.sh [IMAGES [RUNS [ARCH]]]     128, 20, resnet50; TL_TEST_BUILD says where tl was built
set -eu
images=${1:-128} runs=${2:-20} arch=${3:-resnet50}
build=${TL_TEST_BUILD:-.}
tl=$build/tl
if [ -x "$build/.libs/tl" ]; then # what libtool leaves in its place is a script that takes longer than a training from the cache
    tl=$build/.libs/tl
    LD_LIBRARY_PATH=$(cd "$build/.libs" && pwd)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/tl-bench-XXXXXX")
trap 'rm -rf "$work"' EXIT
XDG_CACHE_HOME=$work/cache
export XDG_CACHE_HOME
now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.3f", b - a }'; }

"$build/tests/cli/draw" "$work/data" $((images / 2)) disc square
"$build/tests/cli/draw" "$work/few" 2 disc square
cat >"$work/run.ini" <<END
[data]
train = $work/data
[model]
arch = $arch
weights = $work/weights.safetensors
END
"$tl" train "$work/run.ini" -q -o "$work/random" -s data.train="$work/few" -s model.weights=random -s data.cache=none >/dev/null
mv "$work/random/model.safetensors" "$work/weights.safetensors"

train() { # SEED OPTION...
    seed=$1
    shift
    "$tl" train "$work/run.ini" -q -o "$work/runs/$seed" --force -s experiment.seed="$seed" "$@" >/dev/null
}
train 0 -s data.cache=none -s stage.head.epochs=1 # what the machine has to read is in its memory now
begin=$(now)
train 0
one=$(since "$begin")
seed=1
while [ $seed -lt "$runs" ]; do
    train $seed
    seed=$((seed + 1))
done
all=$(since "$begin")
cp "$work/runs/0/model.safetensors" "$work/found.safetensors"
begin=$(now)
train 0
again=$(since "$begin")
begin=$(now)
train 0 -s data.cache=memory
without=$(since "$begin")
cmp "$work/runs/0/model.safetensors" "$work/found.safetensors"
awk -v one="$one" -v all="$all" -v again="$again" -v without="$without" -v runs="$runs" -v images="$images" -v arch="$arch" 'BEGIN {
    printf "%s, %d images: first run %.2f s, again %.2f s, without a file %.2f s\n", arch, images, one, again, without
    printf "%d runs %.2f s: %.2f times one, %.3f s for each of the others\n", runs, all, all / one, (all - one) / (runs - 1)
}'
