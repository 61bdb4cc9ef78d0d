#!/bin/sh
# Help, versions, mistakes on the command line and their exit codes.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"

run 0 "--version" --version
prints_like '^tl [0-9]+\.[0-9]+\.[0-9]+$'
run 0 "--help" --help
prints_like '^Usage: tl VERB'
cp out help
run 0 "help" help
check "help and --help are one" cmp out help
for verb in train eval predict inspect convert devices features selftest tune bench; do
    check "the help lists $verb" grep -q "^  $verb " help
    run 0 "$verb --help" $verb --help
    prints_like "^Usage: tl $verb "
    cp out verb
    run 0 "help $verb" help $verb
    check "help $verb is $verb --help" cmp out verb
    run 2 "$verb with an unknown option" $verb --jsom
    says_like "^tl: unknown option --jsom"
    run 2 "$verb with an unknown letter" $verb -Z
    says "tl: unknown option -Z"
    says "See 'tl $verb --help'."
done
run 0 "help ini" help ini
prints_like '^\[stage NAME\]$'
prints_like '^  lr = 0.001$'

run 2 "no verb"
run 2 "an unknown verb" trian
says "tl: unknown verb 'trian'; did you mean 'train'?"
run 2 "help of an unknown verb" help predcit
says "tl: unknown verb 'predcit'; did you mean 'predict'?"
run 2 "an option in the verb's place" --versoin
says "tl: unknown option --versoin; did you mean --version?"
run 2 "eval: nearest option" eval --jso-n
says "tl: unknown option --jso-n; did you mean --json?"
run 2 "an option without its argument" bench --batch
says "tl: --batch needs an argument"
run 2 "an argument too much" bench --json=yes resnet18
says "tl: --json takes no argument"
run 2 "a number out of range" bench --batch 0 resnet18
says "tl: --batch: '0' is not a whole number from 1 to 4096"
run 2 "no number" bench --size big resnet18
run 2 "an unknown mode" bench --mode forwrd resnet18
says_like "did you mean forward\?$"
run 2 "an unknown network" bench resnet51
says_like 'resnet5[01]'
run 2 "layer4 of a VGG" bench --mode layer4 vgg11
run 2 "bench: which network" bench
run 2 "train: which configuration" train
run 2 "train: one configuration" train a.ini b.ini
run 2 "eval: two operands" eval a
run 2 "predict: two operands" predict a
run 2 "inspect: one operand" inspect
run 2 "features: which images" features model.safetensors -o f.npy
says_like '^tl: which images\?'
run 2 "features: no operand" features -o f.npy
run 2 "features: where to" features a.ini
says "tl: where to? tl features ... -o FILE"
run 2 "features: the ending" features a.ini -o f.bin
says "tl: f.bin: neither .npy nor .safetensors; --format says which"
run 2 "features: the format" features a.ini -o f --format npz
says "tl: --format npz: npy or safetensors; did you mean npy?"
run 2 "features: -s without a configuration" features a.safetensors data -o f.npy -s data.batch=1
run 2 "convert: two operands" convert a
run 2 "convert: the ending" convert a b.pth
says "tl: b.pth: tl writes .safetensors files only"
run 2 "devices: no operands" devices a
run 1 "inspect: no such file" inspect nowhere.pth
says "tl: nowhere.pth: No such file or directory"

run 0 "devices" devices
prints_like '^cpu '
run 0 "devices --json" devices --json
prints_like '"name": "cpu"'
prints_like '"usable": true'

run 0 "bench --json" bench resnet18 --batch 1 --size 32 --json
for key in images_per_second best_images_per_second resident_bytes ready_seconds arch batch size mode device flops \
    flops_per_second peak_flops_per_second peak_type share_of_peak; do
    prints_like "^  \"$key\": "
done
prints_like '"peak_type": "fp32"'
run 0 "bench --layers, in int8" bench resnet18 --batch 2 --size 32 --precision int8 --layers
prints_like ' G(FL)?OP/s, [0-9]+ % of the [0-9.]+ that its arithmetic can do in (int8|fp32)$'
prints_like '^node .* peak$'
prints_like 'conv2d .*%$'
prints_like '^all .*%$'
prints_like 'images/s'

run 0 "bench: a segmenter" bench lite_resnet50 --batch 1 --size 64 --mode head --json
prints_like '"arch": "lite_resnet50"'
run 0 "bench: its inference" bench fcn_vgg11 --batch 1 --size 32
prints_like '^fcn_vgg11 · forward'
run 1 "bench: a head that the network cannot have" bench deeplabv3_vgg11

# no colours, no bar, where stderr is no terminal; output that does not arrive is a failure
check_not "no escape sequences" grep -q "$(printf '\033')" err
if [ -e /dev/full ]; then
    "$tl" devices >/dev/full 2>err
    [ $? -eq 1 ]
    report $? "a full standard output is exit code 1"
    says_like '^tl: standard output: '
fi
finish
