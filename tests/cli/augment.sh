#!/bin/sh
# Random changes to images, classes and masks as an INI file describes them.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
"$draw" data 12 disc square || exit 99
"$draw" -m pixels 6 disc square || exit 99
{ small_ini; printf '[stage head]\nepochs = 2\n[stage all]\ntrain = *\nepochs = 2\nlr = 0.003\n'; } >plain.ini
cat plain.ini - >run.ini <<END
[augment]
random_crop = 0.4
flip = both
rotate = 20
brightness = 0.3
contrast = 0.3
saturation = 0.3
END

# classification
run 0 "random changes" train run.ini
prints_like '^head: .* · features computed every step: the images change at random$'
check "config.ini has them" grep -qx 'rotate = 20' runs/run/config.ini
run 0 "config.ini as configuration" train runs/run/config.ini -o again -q
check "gives the same weights" cmp runs/run/model.safetensors again/model.safetensors
for workers in 1 3; do
    run 0 "$workers decoding threads" train run.ini -q -o threads$workers -s data.workers=$workers
    check "give the same weights" cmp runs/run/model.safetensors threads$workers/model.safetensors
done
run 0 "another seed" train run.ini -q -o seed -s experiment.seed=9
check_not "gives others" cmp -s runs/run/model.safetensors seed/model.safetensors
run 0 "two views of each image" train run.ini -o views -s augment.views=2 -s data.cache=none
run 0 "whose features are kept" train run.ini -o kept -s augment.views=2
prints_like '^head: .* · the rest is frozen, its features computed once$'
check "give the same weights" cmp views/model.safetensors kept/model.safetensors
run 0 "and are found" train run.ini -o found -s augment.views=2
says_like '^features  .* from cache$'
check "with the same weights" cmp views/model.safetensors found/model.safetensors
check_not "which are not those of new ones every epoch" cmp -s runs/run/model.safetensors views/model.safetensors
run 2 "no views" train run.ini -s augment.views=0
says 'tl: -s augment.views=0: [augment] views = 0: must be 1 to 65536, or none'
run 0 "no section" train plain.ini
run 0 "one that changes nothing" train run.ini -q -o neutral -s augment.random_crop=none -s augment.flip=none -s augment.rotate=0 \
    -s augment.brightness=0 -s augment.contrast=0 -s augment.saturation=0
check "gives the weights of none" cmp runs/plain/model.safetensors neutral/model.safetensors
check_not "which random changes do not give" cmp -s runs/plain/model.safetensors runs/run/model.safetensors
run 0 "class weights" train plain.ini -q -o even -s 'stage.all.class_weights=auto'
check "of classes of one size change nothing" cmp runs/plain/model.safetensors even/model.safetensors
find data/disc -name '*.*' | sort | head -6 | xargs rm
run 0 "fewer of a class" train plain.ini -q -o fewer
run 0 "class weights of these" train plain.ini -q -o weighted -s 'stage.all.class_weights=auto'
check_not "make a difference" cmp -s fewer/model.safetensors weighted/model.safetensors

# segmentation
mask_ini lite train=pixels resize=none crop=40 arch=resnet18 width=0.125 | sed '/^val = /d' >masks.ini
cat >>masks.ini <<END
[augment]
random_crop = 0.5
rotate = 30
[stage head]
epochs = 1
class_weights = auto
END
run 0 "masks change with their images" train masks.ini -s stage.head.epochs=2
run 0 "with other threads" train masks.ini -q -o masks3 -s data.workers=3 -s stage.head.epochs=2
check "the weights are the same" cmp runs/masks/model.safetensors masks3/model.safetensors
check "config.ini has the classes" grep -qx 'disc = 1' runs/masks/config.ini
run 0 "classes by number" train masks.ini -o numbers -s classes.sky=3
says_like 'warning: class 3, "sky", is in none of the 12 masks'
printf 'image,mask\nimages/disc-000.png,masks/disc-000.png\nimages/square-000.png,masks/square-000.png\n' >pixels/list.csv
run 0 "a list" train masks.ini -o list -s data.train=pixels/list.csv
prints_like '^train 2 images in 3 classes \(ground, disc, square\)'
run 1 "too few classes" train masks.ini -o wrong -s model.classes=2
says_like 'model\] classes = 2, but pixels has 3 classes'
sed '/^square = 2/d' masks.ini >few.ini
run 1 "a number beyond them" train few.ini -o wrong
says_like 'pixels/masks/square-[0-9]*\.png: pixel [0-9]+, [0-9]+ is 2, and there are 2 classes'
run 1 "alpha where there is none" train few.ini -o wrong -s data.masks=alpha
says_like 'has no alpha channel'

# mistakes
run 2 "a share of more than all" train run.ini -o wrong -s augment.random_crop=2
says_like 'random_crop = 2: must be above 0, up to 1, or none'
run 2 "a flip that is none" train run.ini -o wrong -s augment.flip=yes
says_like 'flip = yes: must be none, horizontal, vertical or both'
run 2 "an unknown change" train run.ini -o wrong -s augment.rotat=3
says_like "did you mean 'rotate'"
run 2 "a class twice" train masks.ini -o wrong -s classes.sky=1
says_like '\[classes\] sky = 1: another class has this number'
run 2 "a number left out" train masks.ini -o wrong -s classes.sky=4
says_like '4 classes have the numbers 0 to 3, and none has 3'
run 2 "a colour that is none" train masks.ini -o wrong -s 'classes.sky=3, #12'
says_like 'sky = 3, #12: must be a number from 0 to 255, or number, #rrggbb'
run 2 "one colour" train masks.ini -o wrong -s 'classes.sky=3, #123456'
says_like 'has no colour, and others have'
run 2 "colours without any" train masks.ini -o wrong -s data.masks=colour
says_like 'masks = colour, and \[classes\] has no colours'
run 2 "classes for a classifier" train masks.ini -o wrong -s model.head=native
says_like '\[classes\] is for segmentation'
check_not "nothing was written" test -e wrong
finish
