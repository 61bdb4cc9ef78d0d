#!/bin/sh
# tl selftest: the table, the JSON and the exit codes, on the CPU and on a backend that is right, wrong or refuses.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
mkdir backends && cp "$TL_TEST_BUILD/tests/plugin/.libs/fake.so" backends || exit 99
operations="normalize conv2d conv2d_grad_input conv2d_grad_weight batchnorm batchnorm_grad relu relu_grad add maxpool2d
    maxpool2d_grad avgpool2d avgpool2d_grad dropout cross_entropy cross_entropy_grad adam concat slice
    upsample2d upsample2d_grad"

run 0 "the CPU" selftest cpu
prints_like '^cpu: .*, against the CPU backend$'
for operation in $operations; do
    prints_like "^$operation +[2-9][0-9] +[0-9]+ +0\.[0-9]{3}  ok +[a-z]"
done
for operation in normalize conv2d maxpool2d avgpool2d; do
    prints_like "^$operation u8 +[2-9][0-9] +[0-9]+ +0\.000  ok +[a-z]"
done
prints_like '^23 operations in [0-9]+ cases: 0 wrong, 0 on the CPU; '
check_not "no word on stderr" test -s err

TL_BACKEND_PATH=$work/backends
export TL_BACKEND_PATH
run 0 "a device that lacks operations" selftest fake
prints_like '^conv2d +[0-9]+ +[0-9]+ +0\.[0-9]{3}  ok +slow$'
prints_like '^adam +[0-9]+ +[0-9]+ +-  on the CPU'
prints_like '^    fake:0: adam: it has no arithmetic for this operation \('
prints_like '^    [0-9]+ of [0-9]+ on the CPU: fake:0: batchnorm: it has no arithmetic for the statistics of the batch \('
prints_like ': 0 wrong, 16 on the CPU; '

TL_FAKE_WRONG=conv2d:slightly
export TL_FAKE_WRONG
run 1 "a device that is wrong" selftest fake:0
prints_like '^conv2d +[0-9]+ +[0-9]+ +inf  WRONG +slow$'
prints_like '^    [0-9]+ of [0-9]+: y\[[0-9]+\] is [-0-9.e]+, on the CPU [-0-9.e]+, which may be [-0-9.e]+ apart \(x f32 \['
prints_like '^relu .* ok '
says "tl: fake:0 is wrong in: conv2d"
run 1 "the same in JSON" selftest fake --json
prints_like '"operation": "conv2d"'
prints_like '"result": "wrong"'
prints_like '"result": "cpu"'
prints_like '"ok": false'
if command -v python3 >/dev/null; then
    check "it is JSON" python3 -c "import json; r = json.load(open('out')); assert len(r['operations']) == 23"
else
    skip "no python3"
fi
unset TL_FAKE_WRONG

TL_FAKE_FAIL=enqueue:100
export TL_FAKE_FAIL
run 1 "a device that fails" selftest fake
prints_like ': fake:0: enqueue 100 fails on demand \('
unset TL_FAKE_FAIL

# OpenCL's, where there is a device, taken for a GPU: what is stored in 16 bits, too.
if [ "${TL_TEST_OPENCL-}" = plugin ]; then
    TL_BACKEND_PATH=$TL_TEST_BUILD/backends/opencl/.libs
else
    unset TL_BACKEND_PATH
fi
if [ "${TL_TEST_OPENCL-}" = plugin ] || [ "${TL_TEST_OPENCL-}" = builtin ]; then
    TL_OPENCL_VECTORS=no
    export TL_OPENCL_VECTORS
    run 0 "OpenCL" selftest opencl:0
    for operation in normalize conv2d batchnorm relu add maxpool2d avgpool2d concat slice upsample2d; do
        prints_like "^$operation f16 +[2-9][0-9] +[0-9]+ +[01]\.[0-9]{3}  ok +[a-z]"
    done
    prints_like '^23 operations in [0-9]+ cases: 0 wrong, 0 on the CPU; '
    check_not "and not as bf16" grep -q ' bf16 ' out
    run 0 "tl devices says so" devices
    prints_like 'stores the frozen part as fp16 on request'
    TL_OPENCL_VECTORS=yes
    run 0 "a device that is a CPU" devices
    check_not "nor there as fp16" grep -q 'fp16' out
    run 1 "fp16 there" bench resnet18 --device opencl:0 --batch 1 --size 32 --precision fp16
    says_like '^tl: normalize .*: opencl:0: normalize: fp16 storage is for GPUs, and this device is a CPU: take fp32$'
    run 1 "int8 there" bench resnet18 --device opencl:0 --batch 1 --size 32 --precision int8
    says_like '^tl: normalize .* with values stored in int8: opencl:0: normalize: int8 storage is the CPU backend.s: take fp32 here$'
else
    skip "the OpenCL backend was not built"
fi
TL_BACKEND_PATH=$work/backends
run 2 "no such device" selftest gpu9
run 2 "which device" selftest
run 2 "one device at a time" selftest cpu fake
finish
