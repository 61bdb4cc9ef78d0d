#!/bin/sh
# Features that one run leaves to the next; tl features.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
"$draw" data 16 disc square || exit 99
features=$XDG_CACHE_HOME/libtl/features
{ small_ini; printf '[stage head]\nepochs = 3\n'; } >run.ini
{ small_ini; printf '[stage head]\nepochs = 2\n[stage deep]\ntrain = layer4.*, fc.*\nepochs = 1\n[stage again]\ntrain = layer4.*\nepochs = 1\n'; } >deep.ini

count() { sed -n "s/^ *\"$2\": \([0-9]*\).*/\1/p" "$1/summary.json" | tr '\n' ' '; }
# from_cache NAME FOLDER FOUND OF: what the summary says of the first stage.
from_cache() {
    [ "$(count "$2" feature_images_found)" = "$3 " ] && [ "$(count "$2" feature_images)" = "$4 " ]
    report $? "$1: $3 of $4 in the cache"
}

run 0 "the first run" train run.ini -o first
says_like '^features  24/24  [0-9.]+ images/s'
check_not "it finds nothing" grep -q 'from cache' err
from_cache "the first run" first 0 32
[ "$(ls "$features" | wc -l)" -eq 1 ]; report $? "one file"
check "it is named after its contents" sh -c "ls $features | grep -Eq '^resnet18-avgpool-[0-9a-f]{16}\.features\$'"
check "and says what it holds" sh -c "head -c 4096 $features/* | grep -aq '^preprocess resize 40, crop 32'"
run 0 "the second run" train run.ini -o second
says 'features  32/32 from cache'
check_not "it computes nothing" grep -q 'images/s' err
from_cache "the second run" second 32 32
check "the same weights" cmp first/model.safetensors second/model.safetensors
run 0 "without a cache" train run.ini -o none -s data.cache=none
prints_like 'features computed every step: switched off$'
check "the same weights" cmp first/model.safetensors none/model.safetensors
run 0 "in memory" train run.ini -o memory -s data.cache=memory
says_like '^features  24/24  [0-9.]+ images/s'
check "the same weights" cmp first/model.safetensors memory/model.safetensors
run 0 "in a folder" train run.ini -o folder -s data.cache=here/there
check "the same weights" cmp first/model.safetensors folder/model.safetensors
[ "$(ls here/there | wc -l)" -eq 1 ]; report $? "the folder has a file"
check "config.ini names it" grep -qx 'cache = here/there' folder/config.ini
run 0 "with -v" train run.ini -o verbose -v
says_like "^features are kept in $features/resnet18-avgpool-"
check "the report tells" grep -q '32 of 32 found in the cache' verbose/report.html

# a run with random weights has others with another seed; with weights from a file it has the same
run 0 "another seed" train run.ini -o seed -s experiment.seed=1 -s model.weights=first/model.safetensors
says 'features  32/32 from cache'

# ten more images
"$draw" further 21 disc square && mv further/disc/016.png further/disc/020.png data/disc && mv further/square/018.png data/square
run 0 "with three more images" train run.ini -o more
says 'features  32/35 from cache'
run 0 "the same again, in other parts" train run.ini -o parts -s experiment.seed=9 -s model.weights=first/model.safetensors
says 'features  35/35 from cache'

# stages
run 0 "several stages" train deep.ini -o deep
[ "$(count deep feature_images_found)" = "35 0 35 " ]; report $? "a stage with the cut of the one before finds all"
run 0 "without a cache" train deep.ini -o deep-none -s data.cache=none
check "the same weights" cmp deep/model.safetensors deep-none/model.safetensors
run 0 "statistics of the batch" train run.ini -o batch -s model.bn=batch
prints_like 'features computed every step: batch statistics in the frozen part$'
run 0 "everything learns" train run.ini -o all -s 'stage.head.train=*'
prints_like 'features computed every step: the first layers train$'

# what does not work is done without
printf 'no features' >"$(echo "$features"/resnet18-avgpool-*)"
run 0 "a foreign file" train run.ini -o foreign
says_like '^tl: warning: .*: damaged, or no cache of features: it is made anew$'
check "the same weights" cmp more/model.safetensors foreign/model.safetensors
run 0 "it is mended" train run.ini -o mended
says 'features  35/35 from cache'
touch file
run 0 "a folder that cannot be" train run.ini -o nofolder -s data.cache=file/below
says_like '^tl: warning: features are not kept for other runs: file/below: '
[ "$(grep -c warning err)" -eq 1 ]; report $? "said once"
run 0 "too little room" train run.ini -o room -s data.cache=small -s data.cache_limit=5kB
says_like '^tl: warning: features are not kept for other runs: [0-9.]+ kB of features where the limit for small is 5 kB$'
check "the same weights" cmp more/model.safetensors room/model.safetensors
mkdir tiny
if mount -t tmpfs -o size=8k none tiny 2>/dev/null; then
    run 0 "a full disk" train run.ini -o full -s data.cache=tiny -s data.cache_limit=1GB
    says_like '^tl: warning: features are not kept for other runs: tiny'
    [ "$(grep -c warning err)" -eq 1 ]; report $? "said once"
    umount tiny
else
    (ulimit -f 12; "$tl" train run.ini -o full -s data.cache=tiny >out 2>err) # the model does not fit either
    says_like '^tl: warning: features are not kept for other runs: tiny/.*File too large'
    [ "$(grep -c warning err)" -eq 1 ]; report $? "said once"
fi
for bad in 0 -1 5x 'MB' '1 . 5'; do
    run 2 "cache_limit = $bad" train run.ini -s "data.cache_limit=$bad"
    says_like 'must be a number of bytes, kB, MB, GB or TB, or auto'
done
for good in 5000000 '1.5 MB' 20GB '3 tb' auto; do
    run 0 "cache_limit = $good" train run.ini --dry-run -s "data.cache_limit=$good"
done

# tl features
run 0 "features of a configuration" features run.ini -o f.npy
says 'features  35/35 from cache'
prints 'f.npy · 35 images · 32 numbers each, avgpool [32, 1, 1]'
[ "$(wc -c <f.npy)" -eq $((128 + 35 * 32 * 4)) ]; report $? "the file is as long as it must be"
[ "$(wc -c <f.labels.npy)" -eq $((128 + 35 * 8)) ]; report $? "so are the labels"
[ "$(wc -l <f.files.txt)" -eq 35 ]; report $? "and the paths"
check "in order" sh -c 'LC_ALL=C sort -c f.files.txt'
run 0 "features of a model" features more/model.safetensors data -o g.npy
check "the same features" cmp f.npy g.npy
run 0 "of some node" features more/model.safetensors data -o f.safetensors --at layer2 --json
prints_like '^  "node": "layer2.0.relu",$'
run 0 "inspect" inspect f.safetensors
prints_like '^  f32 +35x128 +features$'
prints_like '^  i64 +35 +labels$'
run 0 "the format by name" features more/model.safetensors data -o some --format npy --at layer2
[ "$(wc -c <some)" -eq $((128 + 35 * 128 * 4)) ]; report $? "the file is as long as it must be"
run 2 "no such node" features run.ini -o x.npy --at layer9
says_like '^tl: resnet18 has no node "layer9"; its last ones are fc, avgpool, '
check_not "nothing is written" test -e x.npy
run 1 "no such folder" features run.ini nowhere -o x.npy
run 1 "nowhere to write" features run.ini -o nowhere/x.npy
says_like '^tl: nowhere/x.labels.npy: '
finish
