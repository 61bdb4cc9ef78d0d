#!/bin/sh
# Head trainings that share a trunk: what RUNS of them, with seeds 0, 1, ..., cost in all against one, each a process of its
# own that reads the weights, trains ten epochs and writes its models. The first computes the features, the others find
# them. Once with models that are whole, once with models of what changed; each time with a cache that is empty at first.
# Then the first one once more with nothing kept.
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
echo "$arch, $images images"
for save in all changed; do
    rm -rf "$work/cache" "$work/runs"
    begin=$(now)
    train 0 -s experiment.save=$save
    one=$(since "$begin")
    least=$one
    seed=1
    while [ $seed -lt "$runs" ]; do
        start=$(now)
        train $seed -s experiment.save=$save
        least=$(awk -v a="$least" -v b="$(since "$start")" 'BEGIN { print b < a ? b : a }')
        seed=$((seed + 1))
    done
    all=$(since "$begin")
    awk -v one="$one" -v all="$all" -v runs="$runs" -v least="$least" -v save="$save" \
        -v disk="$(du -sk "$work/runs" | cut -f 1)" 'BEGIN {
        printf "save = %s: %d runs %.2f s, %.2f times the first with its %.2f s; %.3f s for each of the others, the least %.3f s; ",
            save, runs, all, all / one, one, (all - one) / (runs - 1), least
        printf "%.1f MB of disk\n", disk / 1000 }'
done
begin=$(now)
train 0
cp "$work/runs/0/model.safetensors" "$work/found.safetensors"
again=$(since "$begin")
begin=$(now)
train 0 -s data.cache=memory
without=$(since "$begin")
cmp "$work/runs/0/model.safetensors" "$work/found.safetensors"
echo "the first again $again s; with nothing kept $without s, and the same weights"
