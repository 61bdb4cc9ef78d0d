#!/bin/sh
# Segmentation from end to end: train, eval, predict, and what is refused.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
"$draw" -m data 16 disc square || exit 99
mask_ini fcn resize=none crop=44 width=0.125 >run.ini
cat >>run.ini <<END
[stage head]
epochs = 2

[stage all]
train = *
epochs = 8
lr = 2e-3
lr.*classifier.* = 2x
schedule = poly
END
run 0 "a run of two stages" train run.ini
prints 'train 24 images in 3 classes (ground, disc, square) · val 8 · batch 4'
prints_like '^head: 184,806 of 313,198 parameters train \(classifier\.\*, aux_classifier\.\*\) · the rest is frozen, its features computed once$'
prints_like '^Epoch 1, Loss: [0-9]\.[0-9]{4}   pixel accuracy [01]\.[0-9]{3}   val loss [0-9]\.[0-9]{4} mIoU [01]\.[0-9]{3} pixel accuracy [01]\.[0-9]{3}   [0-9]+\.[0-9]{2} s$'
prints_like '^frozen parameters and buffers unchanged \([0-9]+ tensors'
for file in config.ini metrics.csv summary.json model.safetensors best.safetensors predictions.png report.html log.txt; do
    check "there is $file" test -s runs/run/$file
done
check "metrics.csv says what it holds" grep -qx 'epoch,stage,lr,train_loss,train_accuracy,val_loss,val_accuracy,val_mean_iou,seconds' runs/run/metrics.csv
check "it learned to tell them apart" awk -F, 'NR == 11 { exit !($8 > 0.6) }' runs/run/metrics.csv
check "summary.json has the mean IoU" grep -q '"val_mean_iou": 0\.' runs/run/summary.json
check "and the head" grep -q '"head": "fcn"' runs/run/summary.json
best=$(sed -n 's/^best epoch \([0-9]*\) .*/\1/p' out)
check "the best epoch has the best mean IoU" awk -F, -v best="$best" 'NR > 1 { if ($8 > most) { most = $8; epoch = $1 } } END { exit epoch != best }' runs/run/metrics.csv
for text in 'Mean IoU' '<th>IoU</th>' 'Dice' 'Pixels that are right' 'src="data:image/png;base64,iVBORw0KGgo' \
    '#800000"></i>disc<' '#e0e0c0"></i>not counted<'; do
    check "report.html has $text" grep -q -- "$text" runs/run/report.html
done
run 0 "config.ini as configuration" train runs/run/config.ini -o again -q
check "gives the same weights" cmp runs/run/model.safetensors again/model.safetensors
run 0 "without the cache" train run.ini -o none -q -s data.cache=none
check "gives the same weights, too" cmp runs/run/model.safetensors none/model.safetensors
run 0 "features that an earlier run left" train run.ini -o other -s stage.head.lr=0.01
says_like '^features  24/24 from cache$'
run 0 "the Dice loss" train run.ini -o dice -q -s stage.head.dice=1 -s stage.all.dice=0.5
# 1 - a mean of scores is between 0 and 1, and half of another comes from the auxiliary classifier
check "is added to the cross-entropy" sh -c 'paste -d, runs/run/metrics.csv dice/metrics.csv |
    awk -F, "NR == 2 { exit !(\$13 > \$4 + 0.3 && \$13 < \$4 + 1.5) }"'
sed '/^\[classes\]/,/^$/d' run.ini >classifier.ini
run 2 "no Dice loss for a classifier" train classifier.ini -s model.head=native -s stage.all.dice=0.5
says 'tl: -s stage.all.dice=0.5: dice is for segmentation, and head = native is not'
run 0 "a dry run" train run.ini --dry-run -o dry
check_not "writes nothing" test -e dry
run 0 "a model of its own file" inspect runs/run/best.safetensors
prints 'network   resnet50 · layers 1,1,1,1 · width 0.125 · head fcn · output stride 8 · auxiliary classifier · 3 classes'
prints_like 'libtl\.classes = \["ground", ?"disc", ?"square"\]'

# eval
m=runs/run/best.safetensors
run 0 "eval" eval $m data
prints_like '^mean IoU        0\.[0-9]{4}$'
prints_like '^pixel accuracy  0\.[0-9]{4}  \([0-9,]+ of [0-9,]+\)$'
prints_like '^class +pixels +IoU +Dice +precision +recall$'
prints_like '^disc +[0-9,]+ +0\.[0-9]{4} +0\.[0-9]{4} +[01]\.[0-9]{4} +[01]\.[0-9]{4}$'
run 0 "eval --json" eval $m data --json --config runs/run/config.ini
for key in loss mean_iou mean_dice pixel_accuracy pixels iou dice confusion; do
    prints_like "\"$key\": "
done
cp out one
run 0 "in batches of one" eval $m data --json --batch 1
check "gives the same matrix" sh -c "sed -n '/confusion/,\$p' one >a; sed -n '/confusion/,\$p' out | cmp - a"
run 1 "eval of a folder of classes" eval $m runs
run 0 "masks" predict $m data/images --mask-dir masks
prints_like '^data/images/disc-000\.png	masks/disc-000\.png	ground	0\.[0-9]{4}	disc	0\.[0-9]{4}'
mkdir said && cp -r data/images said && cp -r masks said/masks
run 0 "what it predicted, as the truth" eval $m said
prints_like '^(ground|disc|square) '

# pictures
base64 -w0 runs/run/predictions.png >base64
check "the report holds the pictures" grep -qF -f base64 runs/run/report.html
"$draw" -m two 1 disc square || exit 99
run 0 "eval with pictures" eval $m two --sheet two.png
cp out said.txt
run 0 "without" eval $m two
check "says the same" cmp out said.txt
run 0 "masks of these" predict $m two/images --mask-dir two/said -q
check "they show images, truth and predictions" "$TL_TEST_BUILD/tests/cli/sheet" two.png \
    two/images/disc-000.png two/masks/disc-000.png two/said/disc-000.png \
    two/images/square-000.png two/masks/square-000.png two/said/square-000.png
run 1 "nowhere to draw" eval $m two --sheet nowhere/two.png
says_like '^tl: warning: no pictures of predictions: nowhere/two\.png'
prints_like '^mean IoU '
rm runs/run/predictions.png && mkdir -p runs/run/predictions.png/full
run 0 "a run that cannot draw" train run.ini --force -q -s stage.all.epochs=1
says_like '^tl: warning: no pictures of predictions: runs/run/predictions\.png'
check "has its report all the same" grep -q 'Mean IoU' runs/run/report.html
check_not "without them" grep -q 'data:image' runs/run/report.html

# other heads, a VGG
for head in lite deeplabv3; do
    run 0 "head = $head" train run.ini -q -o $head -s model.head=$head -s stage.all.epochs=1 -s 'stage.all.lr.*classifier.*=1x'
done
run 0 "without the auxiliary classifier" train run.ini -o alone -q -s model.auxiliary=no -s stage.all.epochs=1
run 0 "an FCN-16s on a VGG" train run.ini -o vgg -s model.arch=vgg11 -s model.layers=auto -s model.output_stride=16 -s stage.all.epochs=1 -s stage.head.epochs=1
prints_like '^head: [0-9,]+ of [0-9,]+ parameters train \(classifier\.\*\)'
run 0 "is known" inspect vgg/model.safetensors
prints 'network   vgg11 · width 0.125 · head fcn · output stride 16 · 3 classes'
run 0 "a classifier's trunk" train run.ini -o trunk -q -s model.weights=alone/model.safetensors -s model.auxiliary=no -s stage.all.epochs=1

# mistakes
run 2 "deeplabv3 on a VGG" train run.ini -s model.arch=vgg11 -s model.layers=auto -s model.head=deeplabv3 -o wrong
says_like 'vgg11: deeplabv3 is for ResNets'
run 2 "an output stride that is none" train run.ini -s model.output_stride=12 -o wrong
says_like 'output stride 12: must be 8, 16 or 32'
"$draw" folders 4 disc square || exit 99
run 1 "a folder of classes for a segmenter" train run.ini -s data.train=folders -o wrong
cp -r data large && cp masks/disc-000.png large/masks/square-000.png
run 1 "a mask of another size" train run.ini -s data.train=large -o wrong
says_like 'square-000'
cp -r data hole && rm hole/masks/disc-003.png
run 1 "an image without its mask" train run.ini -s data.train=hole -o wrong
says_like 'disc-003'
check_not "nothing was written" test -e wrong
finish
