#!/bin/sh
# A training run from end to end: what it prints, what it writes, what it refuses.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
"$draw" data 16 disc square || exit 99
{ small_ini; printf '[experiment]\nseed = 3\n[stage head]\nepochs = 2\n[stage all]\ntrain = *\nepochs = 6\nlr = 0.003\n'; } >run.ini

run 0 "a run of two stages" train run.ini
prints_like '^libtl [0-9.]+ · cpu: .* · resnet18 from random weights$'
prints 'train 24 images in 2 classes (disc 12, square 12) · val 8 · batch 8'
prints_like '^head: 66 of 20,118 parameters train \(fc\.\*\) · the rest is frozen, its features computed once$'
prints_like '^all: 20,118 of 20,118 parameters train \(\*\)'
prints_like '^Epoch 1, Loss: [0-9]\.[0-9]{4}   accuracy [01]\.[0-9]{3}   val loss [0-9]\.[0-9]{4} accuracy [01]\.[0-9]{3}   [0-9]+\.[0-9]{2} s$'
prints_like '^Epoch 8, Loss: '
prints_like '^frozen parameters and buffers unchanged \(36 tensors, hash [0-9a-f]{32}\)$'
prints_like '^best epoch [1-8] · runs/run/best\.safetensors · runs/run/report\.html$'
[ "$(grep -c '^Epoch' out)" -eq 8 ]; report $? "a line an epoch"
check_not "no progress on stdout" grep -q 'images/s' out
says_like '^features  24/24  [0-9.]+ images/s'
for file in config.ini metrics.csv summary.json model.safetensors best.safetensors report.html log.txt; do
    check "there is $file" test -s runs/run/$file
done
[ "$(ls -A runs/run | wc -l)" -eq 7 ]; report $? "and nothing else"
[ "$(wc -l <runs/run/metrics.csv)" -eq 9 ]; report $? "metrics.csv has a head and a row an epoch"
check "metrics.csv says what it holds" grep -qx 'epoch,stage,lr,train_loss,train_accuracy,val_loss,val_accuracy,seconds' runs/run/metrics.csv
check "its rows name their stage" grep -Eq '^3,all,0.003,' runs/run/metrics.csv
check "log.txt holds the lines of the epochs" grep -q '^Epoch 8, Loss: ' runs/run/log.txt
check "summary.json says that it is done" grep -q '"status": "done"' runs/run/summary.json
check "it has the confusion matrix" grep -q '"confusion"' runs/run/summary.json
for text in '<svg' '</html>' 'Validation set at epoch' 'truth .* predicted' 'layers = 1,1,1,1' 'Frozen parameters'; do
    check "report.html has $text" grep -q -- "$text" runs/run/report.html
done
check_not "report.html refers to nothing outside" grep -Eq '(src|href)=|https?://|url\(|@import' runs/run/report.html

# the loss has the line's value in the table
loss=$(sed -n 's/^Epoch 8, Loss: \([0-9.]*\) .*/\1/p' out)
check "stdout and metrics.csv agree" awk -F, -v loss="$loss" 'NR == 9 { d = $4 - loss; exit !(d < 6e-5 && d > -6e-5) }' runs/run/metrics.csv

# an existing run
cp -r runs kept
run 2 "an existing run is not overwritten" train run.ini
says 'tl: runs/run holds a run already; --force replaces it, -o DIR puts this one elsewhere'
check "it is as it was" diff -r runs kept
run 2 "nor in a dry run" train run.ini --dry-run
run 0 "with --force it is" train run.ini --force -s experiment.seed=4
check_not "it is another one" cmp -s runs/run/model.safetensors kept/run/model.safetensors
mkdir foreign && touch foreign/file
run 2 "a folder that is no run" train run.ini -o foreign --force
check "it is as it was" test -e foreign/file

# the same again; the resolved configuration; -q
run 0 "the same seed elsewhere" train run.ini -o sub/folder/again
check "gives the same weights" cmp kept/run/model.safetensors sub/folder/again/model.safetensors
run 0 "config.ini as configuration" train kept/run/config.ini -o resolved -q
check "gives the same weights, too" cmp kept/run/model.safetensors resolved/model.safetensors
[ "$(sed -n '1s/^\(Epoch 1\).*/\1/p' out)" = "Epoch 1" ]; report $? "-q begins with the first epoch"
check_not "-q says nothing" test -s err
check "config.ini resolves to itself" sh -c 'sed "s/^output.*//" kept/run/config.ini >a; sed "s/^output.*//" resolved/config.ini >b; cmp a b'

# name, include, overrides
printf '[experiment]\ninclude = run.ini\nname = other\n[stage all]\nepochs = 1\n' >other.ini
run 0 "an include" train other.ini -s stage.head.epochs=1 -s 'stage all.lr=0.5'
[ "$(grep -c '^Epoch' out)" -eq 2 ]; report $? "overrides count"
check "the name decides the folder" grep -qx 'lr = 0.5' runs/other/config.ini
check "and the included values hold" grep -qx 'width = 0.0625' runs/other/config.ini

# without validation, no shuffle, bn = batch and mixed, VGG
run 0 "without validation" train run.ini -s data.val=none -o noval
prints_like '^Epoch 8, Loss: [0-9.]+   accuracy [0-9.]+   [0-9.]+ s$'
check "its columns stay empty" grep -Eq '^8,all,0.003,[0-9.e-]+,[0-9.e-]+,,,' noval/metrics.csv
run 0 "bn = batch" train run.ini -s model.bn=batch -o batch
run 0 "bn = mixed" train run.ini -s model.bn=mixed -o mixed
run 0 "a VGG with a linear head" train run.ini -s model.arch=vgg11 -s model.layers=auto -s model.head=linear -o vgg \
    -s stage.all.epochs=1
prints_like '^head: 66 of [0-9,]+ parameters train \(fc\.\*\)'
run 0 "a VGG with its own head" train run.ini -s model.arch=vgg11_bn -s model.layers=auto -o vgg_native -s stage.all.epochs=1
prints_like '^head: [0-9,]+ of [0-9,]+ parameters train \(classifier\.6\.\*\)'

# schedules, rates of their own
run 0 "a schedule and rates" train run.ini -o poly -s stage.all.schedule=poly -s 'stage.all.lr.fc.*=10x' -s stage.all.lr.fc.bias=0.5
check "config.ini has them" grep -qx 'lr\.fc\.\* = 10x' poly/config.ini
check "in their order" sh -c "grep -n '^lr\.' poly/config.ini | grep -A1 -F 'lr.fc.*' | grep -q 'lr.fc.bias = 0.5'"
check "the rate falls" awk -F, '$2 == "all" { if (n++ && $3 >= last) exit 1; last = $3 } END { exit n != 6 }' poly/metrics.csv
run 0 "config.ini as configuration" train poly/config.ini -o poly2 -q
check "gives the same weights" cmp poly/model.safetensors poly2/model.safetensors
check_not "which are others than without" cmp -s poly/model.safetensors kept/run/model.safetensors
run 0 "a multiple of 1 and a constant schedule" train run.ini -o ones -q -s 'stage.all.lr.*=1x' -s stage.all.schedule=constant
check "are as if they were not there" cmp ones/model.safetensors kept/run/model.safetensors

# a loss that is no number
run 1 "a loss that is not finite" train run.ini -s stage.head.lr=1000 -s stage.all.lr=1000 -s stage.all.epochs=200 -o nan
says_like '^tl: step [0-9]+: the loss is '
says 'Numbers grew beyond bounds; a smaller learning rate may help.'
check_not "the useless model is not written" test -e nan/model.safetensors
check "what was good before is" test -s nan/best.safetensors
finish
