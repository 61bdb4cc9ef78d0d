#!/bin/sh
# Models that hold only what changed since the weights were read: save = changed.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
"$draw" data 16 disc square || exit 99
"$draw" test 4 disc square || exit 99
{ small_ini; printf '[stage head]\nepochs = 3\n'; } >run.ini
run 0 "weights" train run.ini -q -o first -s 'stage.head.train=*' -s model.weights=random -s data.cache=none
mkdir weights && cp first/model.safetensors weights/w.safetensors
sed -i 's,^weights = .*,weights = weights/w.safetensors,' run.ini
{ cat run.ini; printf '[experiment]\nsave = changed\n'; } >changed.ini

size() { wc -c <"$1"; }
# twins NAME OPTION...: both ways from one seed, and whole models of the small ones.
twins() {
    name=$1
    shift
    run 0 "$name, whole" train run.ini -q -o all --force "$@"
    run 0 "$name, what changed" train changed.ini -q -o some --force "$@"
    for model in model best; do
        run 0 "$name: $model as a whole" convert some/$model.safetensors $model.safetensors
        check "$name: the same file" cmp all/$model.safetensors $model.safetensors
    done
    check "$name: the same metrics" sh -c 'cut -d, -f1-7 all/metrics.csv >a && cut -d, -f1-7 some/metrics.csv >b && cmp a b'
}
names() { "$tl" inspect "$1" | sed -n 's/^  [fi][36][24] .* //p' | tr '\n' ' '; }

twins "a block" -s 'stage.head.train=layer4.*, fc.*'
twins "statistics" -s model.bn=batch
[ "$(names some/model.safetensors | wc -w)" -eq 38 ]; report $? "statistics and counters are in the file"
twins "dropout" -s model.dropout=0.3
twins "a new head" -s model.head=linear
twins "a head"
[ "$(names some/best.safetensors)" = "fc.weight fc.bias " ]; report $? "the head is all there is"
[ "$(size some/model.safetensors)" -lt 3000 ]; report $? "small"

# every reader reads both
for verb in "predict MODEL test" "eval MODEL test" "eval MODEL test --json" "features MODEL test -o FILE.npy"; do
    for way in all some; do
        set -- $(echo "$verb" | sed "s,MODEL,$way/best.safetensors,;s,FILE,$way,")
        run 0 "$*" "$@"
        sed "s,$way\([/.]\),\1,;/seconds/d" out >$way.out
    done
    check "the same" cmp all.out some.out
done
check "the same features" cmp all.npy some.npy
for way in all some; do
    run 0 "training from it ($way)" train run.ini -q -o from-$way -s model.weights=$way/model.safetensors -s 'stage.head.train=layer3.*'
done
check "the same" cmp from-all/model.safetensors from-some/model.safetensors
run 0 "changes of changes" train changed.ini -q -o deep -s model.weights=some/model.safetensors -s 'stage.head.train=layer3.*'
[ "$(names deep/model.safetensors | wc -w)" -eq 9 ]; report $? "the block, and not the head"
run 0 "as a whole" convert deep/model.safetensors deep.safetensors
check "the same" cmp from-all/model.safetensors deep.safetensors

# inspect
run 0 "inspect" inspect some/model.safetensors
prints 'network   resnet18 · layers 1,1,1,1 · width 0.0625 · 2 classes'
prints 'tensors   2 · 66 parameters'
prints_like "^changes   of $work/weights/w\.safetensors, which has the other [0-9]+ tensors\$"
hash=$("$tl" train run.ini -o again --force | sed -n 's/^frozen.*hash \([0-9a-f]*\)).*/\1/p')
prints_like "^ +libtl\.base = .*\"hash\":\"$hash\""
run 0 "inspect --json" inspect some/model.safetensors --json
prints_like '^    "file": "\.\./weights/w\.safetensors",$'
prints_like '^    "fits": true'

# the base
mv weights elsewhere
run 1 "without the base" predict some/best.safetensors test
says_like "^tl: some/best\.safetensors: holds only what changed, and its base is not there: some/\.\./weights/w\.safetensors: No such file.*; $work/weights/w\.safetensors: .*; some/w\.safetensors: "
run 0 "inspect" inspect some/best.safetensors
prints 'network   resnet18 · layers 1,1,1,1 · width 0.0625 · 2 classes'
prints_like '^          which is not to be had: some/best\.safetensors: holds only what changed'
ln -s ../elsewhere/w.safetensors some/w.safetensors
run 0 "a link beside the file" predict some/best.safetensors test

rm some/w.safetensors
mkdir weights && cp from-all/model.safetensors weights/w.safetensors
run 1 "another base" predict some/best.safetensors test
says_like '^tl: some/best\.safetensors: its base: some/\.\./weights/w\.safetensors: is not what the file was made from: the hash of '
run 1 "convert" convert some/best.safetensors whole.safetensors
check_not "nothing is written" test -e whole.safetensors
rm -r weights && mv elsewhere weights
mkdir box && cp -r weights some box && mv weights away
run 0 "all moved together" predict box/some/best.safetensors test
mv away weights

# what cannot be
run 2 "random weights" train changed.ini -s model.weights=random
says_like '^tl: changed\.ini:[0-9]+: save = changed: weights = random is no file'
run 2 "another word" train run.ini -s experiment.save=some
says_like 'must be all or changed'
run 0 "a run in the place of its own base" train changed.ini -q -o some --force -s model.weights=some/model.safetensors
says_like '^tl: warning: some/model\.safetensors: would take the place of the file that it needs as its base; it is written whole$'
run 0 "it is whole" inspect some/best.safetensors
prints_like '^tensors   [0-9]+ · 20,118 parameters'
finish
