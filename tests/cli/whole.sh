#!/bin/sh
# Segmenters on whole images: tl eval and tl predict say the same of every pixel, with and without tiles.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
"$draw" -m data 6 disc square || exit 99
mask_ini fcn resize=112 crop=64 >run.ini
printf '[stage head]\nepochs = 1\n[stage all]\ntrain = *\nepochs = 2\nlr = 2e-3\n' >>run.ini
run 0 "train" train run.ini -q
m=runs/run/best.safetensors

# pixels FOLDER: how many there are, but for the frame of a pixel that is ignored, from the headers of the masks.
pixels() {
    for mask in "$1"/masks/*.png; do
        od -An -tu1 -j16 -N8 "$mask"
    done | awk '{ w = $3 * 256 + $4; h = $7 * 256 + $8; sum += (w - 2) * (h - 2) } END { print sum }'
}
all=$(pixels data)
value() { sed -n "s/^ *\"$1\": *\\([0-9.e+-]*\\),*$/\\1/p" "${2:-out}" | head -1; }
for view in "" "--tile 64" "--tile 64 --tile-overlap 0.6" "--tile 96 --batch 1" "--batch 3"; do
    run 0 "eval $view" eval $m data --json $view
    [ "$(value pixels)" = "$all" ]; report $? "every pixel that is not ignored counts once"
    value loss >"loss$(echo "$view" | tr -dc 0-9)"
    run 0 "predict $view" predict $m data/images --mask-dir masks $view
    rm -rf said && mkdir said && cp -r data/images said && mv masks said/masks
    run 0 "eval of what was predicted $view" eval $m said $view
    prints_like '^pixel accuracy  1\.0000  '
done
check "batches change nothing" cmp loss loss3
check_not "tiles do, a little" cmp loss loss64
run 0 "predict with overlays and probabilities, in tiles" predict $m data/images --mask-dir more --tile 64 --overlay --probabilities --json
check "there are overlays" test -s more/disc-001.overlay.png
check "and probabilities" test -s more/disc-001.npy
run 0 "the crop" eval $m data --crop --json
[ "$(value pixels)" -le $((12 * 64 * 64)) ]; report $? "counts what it shows"
cp out crop
sed 's/^crop = 64/crop = 64\neval = crop/' run.ini >crop.ini
run 0 "the same by the configuration" eval $m data --json --config crop.ini
check "is the same" cmp out crop
sed 's/^crop = 64/crop = 64\ntile = 64/' run.ini >tile.ini
run 0 "tiles by the configuration" eval $m data --json --config tile.ini
[ "$(value loss)" = "$(cat loss64)" ]; report $? "are the same"
run 0 "training judged by tiles" train tile.ini -q
run 0 "and by the crop" train crop.ini -q
check_not "are other scores" cmp runs/tile/metrics.csv runs/crop/metrics.csv
check "but the same weights, for training sees the crop" cmp runs/tile/model.safetensors runs/crop/model.safetensors

# the device
case ${TL_TEST_OPENCL-} in
    plugin) TL_BACKEND_PATH=$TL_TEST_BUILD/backends/opencl/.libs; export TL_BACKEND_PATH ;;
esac
case ${TL_TEST_OPENCL-} in
    plugin | builtin)
        rm -rf said && mkdir said && cp -r data/images said
        run 0 "predict on OpenCL, in tiles" predict $m data/images --mask-dir said/masks --tile 64 --device opencl:0
        run 0 "eval on the CPU of that" eval $m said --tile 64 --json
        value pixel_accuracy | awk '{ exit !($1 > 0.999) }'; report $? "is the same but for ties"
        run 0 "eval on OpenCL" eval $m data --tile 64 --json --device opencl:0
        [ "$(value pixels)" = "$all" ]; report $? "counts every pixel" ;;
    *) skip "the OpenCL backend was not built" ;;
esac

# classes that are not there
sed 's/^square = 2/square = 2\nstar = 3/' run.ini >star.ini
run 0 "a class that no mask shows" train star.ini -q -o star
says_like '^tl: warning: class 3, "star", is in none of the 9 masks \(data/masks/'
run 0 "eval of its model" eval star/model.safetensors data
says 'tl: warning: class 3, "star", is in none of the masks of data'

# mistakes
run 2 "a tile too small" eval $m data --tile 63
says_like "^tl: --tile: '63' is not a whole number from 64 to 16384"
run 2 "an overlap too large" predict $m data/images --mask-dir no --tile-overlap 0.9
says_like "^tl: --tile-overlap: '0\.9' is not a number above 0, up to 0\.75"
run 2 "tiles of a crop" eval $m data --crop --tile 64
run 2 "an overlap that is none" train run.ini -o no -s data.tile_overlap=1
says_like 'tile_overlap'
cp -r data large && cp data/masks/disc-000.png large/masks/square-000.png
run 1 "eval of a mask of another size" eval $m large
says_like 'large/masks/square-000\.png: [0-9]+ x [0-9]+ pixels, and its image large/images/square-000\.png has [0-9]+ x [0-9]+'
run 1 "validation with it" train run.ini -s data.val=large -o no -q
says_like 'large/masks/square-000\.png: [0-9]+ x [0-9]+ pixels'
"$draw" -m many 2 disc square stripes || exit 99
run 1 "eval of a number beyond the classes" eval $m many
says_like 'many/masks/stripes-000\.png: pixel [0-9]+, [0-9]+ is 3, and there are 3 classes from 0 on'
run 1 "eval of a folder of images" eval $m data/images
says_like '^tl: data/images/images: No such file or directory \(a folder of images with masks holds images/ and masks/\)$'
says "Where masks are the images' alpha, --config CONFIG.ini says so."
cp -r data hole && rm hole/masks/disc-003.png
run 1 "eval of an image without a mask" eval $m hole
says_like 'hole/images/disc-003\.jpg: there is no mask hole/masks/disc-003\.png for it'
cp -r data torn && head -c 300 data/images/disc-001.jpg >torn/images/disc-001.jpg
run 1 "eval of half an image" eval $m torn
says_like 'torn/images/disc-001\.jpg'
run 1 "predict of it among others" predict $m torn/images --mask-dir torn/out
says_like 'torn/images/disc-001\.jpg'
[ "$(wc -l <out)" -eq 11 ]; report $? "the others are done"
{ small_ini; printf '[stage head]\nepochs = 1\n'; } >class.ini
"$draw" folders 4 disc square || exit 99
run 0 "a classifier" train class.ini -q -s data.train=folders
run 2 "does not know tiles" eval runs/class/model.safetensors folders --tile 64
says_like '^tl: --tile is for masks, and runs/class/model\.safetensors tells images apart'
run 2 "nor sheets" eval runs/class/model.safetensors folders --sheet sheet.png
says_like '^tl: --sheet is for masks, and runs/class/model\.safetensors tells images apart'
check "its report has no pictures" sh -c '! grep -q data:image runs/class/report.html'
finish
