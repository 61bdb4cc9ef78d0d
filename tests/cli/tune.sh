#!/bin/sh
# tl tune: what is measured, kept, listed and forgotten, on a backend whose choice is made up and on OpenCL's.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
mkdir backends && cp "$TL_TEST_BUILD/tests/plugin/.libs/fake.so" backends || exit 99
small="resnet18 --batch 1 --size 32"

run 2 "which device" tune
run 2 "one network at a time" tune cpu resnet18 resnet34
run 2 "list and forget" tune --list --forget all
run 2 "forget has its device" tune --forget all cpu
run 2 "no such network" tune cpu resnet51
check_not "no word of a file of choices" grep -q damaged err
check_not "nor a folder for one" test -e "$XDG_CACHE_HOME/libtl/cpu"
run 1 "list: no such device" tune --list gpu9
run 1 "forget: no such device" tune --forget gpu9
says 'tl: no device "gpu9"'

TL_BACKEND_PATH=$work/backends
export TL_BACKEND_PATH
run 0 "a network's convolutions" tune fake $small -v
prints_like '^  conv2d 32x32x3 -> 16x16x64 +slow +2\.000 ms$'
prints_like '^  conv2d 1x1x512 -> 1x1x1000 +slow +2\.000 ms$'
says 'conv1 (conv2d): slow takes 2.000 ms'
says 'conv1 (conv2d): odd does not work: it computes other numbers, on demand'
says_like '^[0-9]+ choices after [0-9]+ measurements, kept for fake:0$'
run 0 "in JSON" tune fake $small --json
if command -v python3 >/dev/null; then
    check "it is JSON" python3 -c "import json; r = json.load(open('out'))['choices']; \
assert {'form': 'conv2d 32x32x3 -> 16x16x64', 'implementation': 'slow', 'seconds': 0.002} in r"
else
    skip "no python3"
fi
TL_FAKE_TUNE=fail "$tl" tune fake $small >out 2>err
[ $? -eq 1 ]; report $? "what cannot be kept"
says 'tl: conv1 (conv2d): fake:0: nothing can be kept, on demand'
TL_FAKE_LACKS=tune "$tl" tune fake $small >out 2>err
[ $? -eq 1 ]; report $? "a backend without the function"
says 'tl: fake:0: its backend has nothing to choose'

run 0 "nothing kept" tune --list
says 'nothing was measured yet'
TL_FAKE_TUNED="conv2d 9"
export TL_FAKE_TUNED
run 0 "all that was kept" tune --list
prints 'fake: fake device, driver 1'
prints 'fake: fake device, driver 0'
prints_like '^  conv2d 9 +slow +250\.000 ms$'
run 0 "of one device" tune --list fake:0
prints 'fake: fake device, driver 1'
check_not "and no other" grep -q 'driver 0' out
run 0 "forget one" tune --forget fake
says '1 forgotten'
says_like 'forgets one device$'
run 0 "forget all" tune --forget all
says '2 forgotten'
says_like 'forgets every device$'
TL_FAKE_TUNED=fail
run 1 "what cannot be read" tune --list
says 'tl: fake: nothing can be read, on demand'
unset TL_FAKE_TUNED

# The CPU's own: what training needs beside inference, but no choice where forward passes are to be exact.
unset TL_BACKEND_PATH
run 0 "the CPU" tune cpu $small -v
prints_like '^  conv2d 8x8x64 -> 8x8x64 3x3 s1,1 p1,1 d1,1 g1 +(winograd|gemm) +[0-9.]+ ms$'
prints_like '^  conv2d_grad_input 8x8x64 -> 8x8x64 3x3 s1,1 p1,1 d1,1 g1 +(winograd|gemm) +[0-9.]+ ms$'
prints_like '^  conv2d_grad_weight 8x8x64 -> 8x8x64 3x3 s1,1 p1,1 d1,1 g1 +(winograd|gemm) +[0-9.]+ ms$'
says_like '^layer1\.0\.conv1 \(conv2d\): winograd takes [0-9.]+ ms$'
says_like '^layer1\.0\.conv1 \(conv2d\): gemm takes [0-9.]+ ms$'
check_not "none where exact" grep -q exact out
choices=$(grep -c '^  ' out)
cp out measured
run 0 "its choices are kept" tune --list cpu
sed 1d out >kept
check "they are those that were made" cmp measured kept
"$draw" data 4 disc square || exit 99
{ small_ini | sed 's/^width.*/width = 1/'; printf '[stage head]\nepochs = 1\n'; } >run.ini
run 0 "features with these choices" train run.ini -o tuned
says_like '^features  6/6  [0-9.]+ images/s'
run 0 "are found with them" train run.ini -o again
says 'features  8/8 from cache'
run 0 "and are what is computed without a cache" train run.ini -o none -s data.cache=none
check "the same weights" cmp tuned/model.safetensors none/model.safetensors
file=$(ls "$XDG_CACHE_HOME"/libtl/cpu/tuned-*)
cp "$file" whole
sed 's/3x3/5x5/' whole >"$file"
run 0 "a file that was changed is as good as none" train run.ini -o damaged
says_like '^tl: warning: cpu: tuned-[0-9a-f]+: this file of choices is damaged, and none is used: measure again with tl tune$'
says_like '^features  6/6  [0-9.]+ images/s'
run 0 "forget it" tune --forget cpu
says '0 forgotten'
check_not "the file is gone" test -e "$file"
cp whole "$file"
TL_CPU_WINOGRAD=0 "$tl" tune cpu $small >out 2>err
says '0 choices after 0 measurements, kept for cpu'
run 0 "forget" tune --forget cpu
says "$choices forgotten"
check_not "the file is gone" test -e "$file"
run 0 "features as at first" train run.ini -o first
says 'features  8/8 from cache'

# OpenCL's, where there is a device.
TL_BACKEND_PATH=$TL_TEST_BUILD/backends/opencl/.libs TL_OPENCL_CACHE=$work/cache
export TL_BACKEND_PATH TL_OPENCL_CACHE
"$tl" devices >out 2>err
if ! grep -q '^opencl:0 ' out || [ "${TL_TEST_OPENCL-}" = no ]; then
    skip "no OpenCL device"
    finish
fi
run 0 "OpenCL" tune opencl:0 $small
choices=$(grep -c '^  ' out)
[ "$choices" -ge 30 ]; report $? "$choices choices"
cp out measured
run 0 "its choices are kept" tune --list opencl:0
sed 1d out >kept
check "they are those that were made" cmp measured kept
file=$(ls cache/tuned-*)
cp "$file" whole
sed 's/3x3/5x5/' whole >"$file"
run 0 "a file that was changed is as good as none" tune --list opencl:0
says 'nothing was measured yet'
head -c 100 whole >"$file"
run 0 "and one that is cut off" tune --list
says 'nothing was measured yet'
cp whole "$file"
run 0 "forget" tune --forget opencl:0
says "$choices forgotten"
check_not "the file is gone" test -e "$file"
TL_OPENCL_CACHE=none "$tl" tune opencl:0 $small >out 2>err
[ $? -eq 1 ]; report $? "no folder to keep anything in"
says_like 'there is no folder to keep results in'
finish
