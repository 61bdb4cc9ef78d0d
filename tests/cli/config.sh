#!/bin/sh
# Mistakes in configurations and data, as a user makes them: the message and the exit code.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
"$draw" data 8 disc square || exit 99

# mistake NAME CODE MESSAGE: trains with c.ini.
mistake() {
    run "$2" "$1" train c.ini
    says "tl: $3"
    check_not "$1: nothing is written" test -e runs
}

run 2 "no such configuration" train nowhere.ini
says "tl: nowhere.ini: No such file or directory"
run 2 "a folder as configuration" train data
printf '[data]\ntrain = data\n\nbatch = none\n' >c.ini
mistake "a bad value" 2 "c.ini:4: [data] batch = none: must be 1 to 4096, or auto"
printf '[data]\n\ntrian = data\n' >c.ini
mistake "a bad key" 2 "c.ini:3: unknown key 'trian' in [data]; did you mean 'train'?"
printf '[experiment]\nseed = 1\nseed = 2\n' >c.ini
mistake "a duplicate" 2 "c.ini:3: 'seed' a second time in [experiment]; the first is in line 2"
printf '[modle]\narch = resnet18\n' >c.ini
mistake "a bad section" 2 "c.ini:1: unknown section [modle]; did you mean [model]?"
{ echo '[stage a]'; printf 'train = %0191d\n' 0; } >c.ini
mistake "a long line" 2 "c.ini:2: a line of more than 198 bytes"
printf '[sweep]\nseed = 1\n' >c.ini
mistake "a section of another version" 2 "c.ini:1: [sweep] is not supported by this version"
printf '[stage a]\nmomentum = 1\n' >c.ini
mistake "a key of another version" 2 "c.ini:2: 'momentum' in [stage a] is not supported by this version"
printf '[stage a]\nlr.fc.* = 10y\n' >c.ini
mistake "a rate that is none" 2 "c.ini:2: [stage a] lr.fc.* = 10y: must be above 0, up to 1000, or a multiple of lr as in 10x"
printf '[stage a]\nlr. = 1\n' >c.ini
mistake "a rate of nothing" 2 "c.ini:2: unknown key 'lr.' in [stage a]; did you mean 'lr'?"
printf '[stage a]\nschedule = linear\n' >c.ini
mistake "a schedule that is none" 2 "c.ini:2: [stage a] schedule = linear: must be constant, poly or cosine"
{ small_ini; printf '[stage a]\ntrain = fc.*\nlr.layer4.* = 2x\n'; } >c.ini
mistake "a rate of what does not train" 2 "c.ini:16: [stage a] lr.layer4.*: no parameter that trains matches 'layer4.*'"
printf '[model]\nweights = random\n' >c.ini
mistake "no data" 2 "c.ini: [data] train is not set: the folder with one folder of images for each class"
printf '[data]\ntrain = data\n' >c.ini
mistake "no weights" 2 "c.ini: [model] weights is not set: a file of pretrained weights, or random"
{ small_ini; printf '[stage a]\ntrain = layer5.*\n'; } >c.ini
mistake "a pattern that matches nothing" 2 \
        "c.ini:15: [stage a] train: no parameter matches 'layer5.*'; 'tl inspect' lists the names in a file of weights"

small_ini >a.ini
run 2 "-s: a bad value" train a.ini -s data.batch=0
says "tl: -s data.batch=0: [data] batch = 0: must be 1 to 4096, or auto"
run 2 "-s: a bad key" train a.ini -s data.bacth=8
says "tl: -s data.bacth=8: unknown key 'bacth' in [data]; did you mean 'batch'?"
run 2 "-s: no value" train a.ini -s data.batch
run 2 "an unknown device" train a.ini --device gpu9
says_like 'gpu9'

# weights
run 1 "missing weights" train a.ini -s model.weights=gone.pth
says "tl: gone.pth: No such file or directory (-s model.weights=gone.pth)"
printf 'not weights' >bad.pth
run 1 "no weights in the file" train a.ini -s model.weights=bad.pth
says_like 'bad.pth'
run 0 "a network" train a.ini -o net -q
run 1 "weights of another network" train a.ini -s model.layers=1,1,1,2 -s model.weights=net/model.safetensors
says_like 'layer4\.1\.'
run 1 "weights of another family" train a.ini -s model.arch=vgg11 -s model.layers=auto -s data.crop=32 \
    -s model.weights=net/model.safetensors
says_like 'features\.0\.weight'

# data
run 1 "no such folder" train a.ini -s data.train=nowhere
says_like '^tl: nowhere: '
mkdir -p one/disc && cp data/disc/000.png one/disc
run 1 "one class" train a.ini -s data.train=one -s data.val=none
says_like '^tl: one: one class only \(disc\)'
cp -r data hole && mkdir hole/empty
run 1 "an empty class" train a.ini -s data.train=hole
says_like 'empty'
run 1 "another number of classes" train a.ini -s model.classes=3
says "tl: -s model.classes=3: [model] classes = 3, but data has 2 classes"
"$draw" other 4 disc stripes || exit 99
run 1 "other classes in val" train a.ini -s data.val=other
says_like 'stripes'
"$draw" three 4 disc square stripes || exit 99
run 1 "more classes in val" train a.ini -s data.val=three
says_like 'stripes'
cp -r data bad && printf 'not a picture' >bad/disc/003.jpg
run 1 "an unreadable image" train a.ini -s data.train=bad
says_like 'bad/disc/003\.jpg'
run 1 "an image cut short" train a.ini -s data.train=bad --dry-run
says_like 'bad/disc/003\.jpg'
check_not "no failure left a run" test -e runs

# the dry run
run 0 "a dry run" train a.ini --dry-run
prints_like '^train 12 images in 2 classes \(disc 6, square 6\) · val 4 · batch 8$'
prints_like '^head: 66 of 20,118 parameters train \(fc\.\*\)'
check_not "it trains nothing" grep -q '^Epoch' out
check_not "it writes nothing" test -e runs
finish
