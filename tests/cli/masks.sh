#!/bin/sh
# Segmenters: inspect, convert and predict.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
"$draw" data 4 disc square || exit 99
{ small_ini arch=resnet50; printf '[stage head]\nepochs = 1\n'; } >run.ini
run 0 "a classifier" train run.ini -q
for head in lite fcn deeplabv3; do
    run 0 "a $head on its trunk" convert runs/run/model.safetensors $head.safetensors --head $head --classes 5
    says 'the head is new, with random values: 5 classes'
    run 0 "converted once more" convert $head.safetensors same.safetensors
    check "is the same" cmp $head.safetensors same.safetensors
done
run 0 "inspect of lite" inspect lite.safetensors
prints 'network   resnet50 · layers 1,1,1,1 · width 0.0625 · head lite · output stride 32 · 5 classes'
run 0 "inspect of deeplabv3" inspect deeplabv3.safetensors --json
prints_like '"head": "deeplabv3"'
prints_like '"auxiliary": true'
prints_like '"output_stride": 8'
prints_like '"name": "aux_classifier\.4\.weight"'
run 0 "inspect of fcn" inspect fcn.safetensors
prints 'network   resnet50 · layers 1,1,1,1 · width 0.0625 · head fcn · output stride 8 · auxiliary classifier · 5 classes'
run 0 "an FCN-8s on a VGG" train run.ini -o vgg -q -s model.arch=vgg11 -s model.layers=auto -s model.head=linear
run 0 "is converted" convert vgg/model.safetensors vgg.safetensors --head fcn --classes 3
run 0 "and told by its skips" inspect vgg.safetensors
prints 'network   vgg11 · width 0.0625 · head fcn · output stride 8 · 3 classes'

# predict
m=fcn.safetensors
run 0 "masks of a folder" predict $m data --mask-dir masks
[ "$(wc -l <out)" -eq 8 ]; report $? "a line an image"
prints_like '^data/disc/001\.jpg	masks/disc/001\.png	[0-4]	[01]\.[0-9]{4}(	[0-4]	0\.[0-9]{4})*$'
[ "$(find masks -type f | wc -l)" -eq 8 ]; report $? "a mask an image"
for image in data/disc/000.png data/square/002.png; do
    check "a mask is as large as its image" cmp \
        "$(dd if=$image bs=1 skip=16 count=8 of=a 2>dd.log; echo a)" "$(dd if=masks/${image#data/} bs=1 skip=16 count=8 of=b 2>dd.log; echo b)"
done
# bit depth 8, colour type 3: a palette
check "a mask is a palette image" sh -c 'test "$(od -An -tu1 -j24 -N2 masks/disc/000.png | tr -d " ")" = 83'
run 0 "in batches of one" predict $m data --mask-dir one --batch 1
check "they are the same" diff -r masks one
ls data/disc/*.png >list
"$tl" predict $m - --mask-dir all --overlay --probabilities --json <list >out 2>err
report $? "a list on standard input, with overlays and probabilities"
for file in 000.png 002.png 000.overlay.png 000.npy; do
    check "there is $file" test -s all/$file
done
check "the mask is that of the folder" cmp all/000.png masks/disc/000.png
for key in path mask overlay probabilities width height classes pixels; do
    prints_like "\"$key\": "
done
check "the array says its shape" grep -aq "'descr': '<f4', 'fortran_order': False, 'shape': (5, [0-9]*, [0-9]*)" all/000.npy
run 1 "two images of one name" predict $m data/disc/000.png data/square/000.png --mask-dir two
says 'tl: data/disc/000.png and data/square/000.png would both be two/000.png'
check_not "nothing is written" test -e two
run 1 "an unreadable image among others" predict $m data/disc/000.png nowhere.png data/disc/002.png --mask-dir bad
says_like 'nowhere\.png'
[ "$(wc -l <out)" -eq 2 ]; report $? "the others are done"
cp -r data/disc own
run 1 "masks beside their images" predict $m own --mask-dir own
says 'tl: own/000.png is an image itself: another --mask-dir, for nothing is written over images'
check "nothing is written over" diff -r data/disc own
mkdir overlays && cp data/disc/000.png overlays && cp data/disc/002.png overlays/000.overlay.png
run 1 "nor is an overlay" predict $m data/disc/000.png overlays/000.overlay.png --mask-dir overlays --overlay
says 'tl: overlays/000.overlay.png is an image itself: another --mask-dir, for nothing is written over images'
ln -s data/disc/000.png link.png
run 0 "a link to an image" predict $m link.png --mask-dir links
sed "s/\$/$(printf '\r')/" list >crlf
"$tl" predict $m - --mask-dir crlfs <crlf >out 2>err
report $? "a list with another system's ends of lines"
check "is the same" diff -r masks/disc/000.png crlfs/000.png
run 2 "no place for masks" predict $m data
says 'tl: fcn.safetensors labels pixels: where to? --mask-dir DIR'
run 2 "masks of a classifier" predict runs/run/model.safetensors data --mask-dir no
says 'tl: runs/run/model.safetensors tells images apart, not pixels: no mask comes of it'
touch file
run 1 "a place that is no folder" predict $m data --mask-dir file
says_like '^tl: file'
"$tl" predict $m - --mask-dir none </dev/null >out 2>err
[ $? -eq 1 ]; report $? "an empty list"
says 'tl: standard input: no path in it'
finish
