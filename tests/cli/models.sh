#!/bin/sh
# eval, predict, inspect and convert on models that a run wrote.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
"$draw" data 16 disc square || exit 99
"$draw" test 6 disc square || exit 99
{ small_ini; printf '[stage all]\ntrain = *\nepochs = 12\nlr = 0.003\n'; } >run.ini
run 0 "a model" train run.ini -q
m=runs/run/best.safetensors

# eval
run 0 "eval" eval $m test
prints_like '^accuracy  [01]\.[0-9]{4}  \([0-9]+ of 12\)$'
prints_like '^disc +6 +[01-]'
run 0 "eval --json" eval $m test --json
for key in loss accuracy images confusion precision recall; do
    prints_like "\"$key\": "
done
run 0 "eval of a batch of one" eval $m test --batch 1 --json
"$draw" other 2 disc stripes || exit 99
run 1 "eval with other classes" eval $m other
says_like 'stripes'
run 1 "eval without data" eval $m nowhere
run 1 "eval without a model" eval nowhere.safetensors test
says_like 'nowhere\.safetensors'
cp -r test bad && printf 'x' >bad/disc/000.png
run 1 "eval with an unreadable image" eval $m bad
says_like 'bad/disc/000\.png'

# predict
run 0 "predict" predict $m test/disc/000.png
prints_like '^test/disc/000\.png	(disc|square)	[01]\.[0-9]{4}$'
run 0 "predict of a folder" predict $m test
[ "$(wc -l <out)" -eq 12 ]; report $? "a line an image"
sort -c out 2>/dev/null; report $? "in order"
cp out all
run 0 "predict in batches of five" predict $m test --batch 5
check "gives the same" cmp out all
run 0 "predict --top" predict $m test/disc/000.png --top 5
prints_like '^test/disc/000\.png	(disc	[01]\.[0-9]{4}	square	[01]\.[0-9]{4}|square	[01]\.[0-9]{4}	disc	[01]\.[0-9]{4})$'
run 0 "predict --json" predict $m test/disc/000.png test/square/001.jpg --json
prints_like '"path": "test/square/001\.jpg"'
prints_like '"probability": '
run 1 "predict with unreadable images among others" predict $m test/disc/000.png bad/disc/000.png nowhere.png test/disc/001.jpg
says_like 'bad/disc/000\.png'
says_like 'nowhere\.png'
[ "$(wc -l <out)" -eq 2 ]; report $? "the others are shown"
run 1 "the same as JSON" predict $m test/disc/000.png nowhere.png --json
prints_like '"error": '
mkdir empty
run 1 "predict of an empty folder" predict $m empty
says_like '^tl: empty: no \.png'

# inspect
run 0 "inspect" inspect $m
prints_like '^file +runs/run/best\.safetensors · safetensors · '
prints 'network   resnet18 · layers 1,1,1,1 · width 0.0625 · 2 classes'
prints_like '^tensors +[0-9]+ · 20,118 parameters and [0-9]+ statistics$'
prints_like '^  f32 +2x32 +fc\.weight$'
prints_like 'libtl\.classes = \["disc", ?"square"\]'
run 0 "inspect --json" inspect $m --json
prints_like '"arch": "resnet18"'
prints_like '"parameters": 20118'
run 0 "inspect of a folder" inspect data
prints 'folder    data · 32 images in 2 classes'
run 1 "inspect of something else" inspect test/disc/000.png
says_like 'test/disc/000\.png'

# convert
run 0 "convert" convert $m copy.safetensors
prints 'copy.safetensors · resnet18 · 2 classes'
check "nothing is lost" cmp $m copy.safetensors
run 0 "convert onto itself" convert copy.safetensors copy.safetensors
check "nothing is lost" cmp $m copy.safetensors
run 0 "convert with everything said" convert $m said.safetensors --arch resnet18 --layers 1,1,1,1 --width 0.0625 --classes 2 --head native
check "is the same" cmp $m said.safetensors
run 0 "convert to three classes" convert $m three.safetensors --classes 3
says 'the head is new, with random values: 3 classes'
run 0 "it predicts by number" predict three.safetensors test/disc/000.png --top 3
run 0 "convert --bgr" convert $m bgr.safetensors --bgr
run 0 "and back" convert bgr.safetensors rgb.safetensors --bgr
check "is the same" cmp $m rgb.safetensors
run 1 "convert to another network" convert $m wrong.safetensors --arch resnet34
check_not "writes nothing" test -e wrong.safetensors
run 2 "convert to an unknown network" convert $m wrong.safetensors --arch resnet35
run 2 "convert with a bad head" convert $m wrong.safetensors --head fcn
run 1 "convert of something else" convert test/disc/000.png wrong.safetensors
run 1 "convert of nothing" convert nowhere.pth wrong.safetensors
check_not "nothing was written" sh -c 'ls | grep wrong'
run 0 "a VGG without its classifier" train run.ini -s model.arch=vgg11_bn -s model.layers=auto -s model.head=linear -o vgg \
    -s stage.all.epochs=1
run 0 "is known" inspect vgg/model.safetensors
prints 'network   vgg11_bn · width 0.0625 · head linear · 2 classes'
run 0 "is converted" convert vgg/model.safetensors vgg.safetensors
check "nothing is lost" cmp vgg/model.safetensors vgg.safetensors
finish
