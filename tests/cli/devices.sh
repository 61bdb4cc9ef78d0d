#!/bin/sh
# tl devices: the list, what backends say besides, what auto takes and why.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
mkdir backends && cp "$TL_TEST_BUILD/tests/plugin/.libs/fake.so" backends || exit 99
TL_BACKEND_PATH=$work/backends
export TL_BACKEND_PATH

run 0 "a device that is no GPU" devices
prints_like '^cpu  '
prints_like '^fake:0 +Fake device 0$'
prints 'auto takes cpu'
prints "  not fake:0: libtl's own CPU backend comes before all but GPUs"
TL_FAKE_KIND=gpu
export TL_FAKE_KIND
run 0 "a GPU" devices
prints 'auto takes fake:0'
prints '  not cpu: a GPU comes first'
[ "$(sed -n 1p out | cut -d' ' -f1)" = fake:0 ]; report $? "it comes first"

TL_FAKE_DEVICES=0 TL_FAKE_REMARK='no driver is installed: install one'
export TL_FAKE_DEVICES TL_FAKE_REMARK
run 0 "no device, and why" devices
prints 'fake        no driver is installed: install one'
prints 'auto takes cpu'
check_not "a remark is no device" grep -q 'not fake' out
run 0 "the same in JSON" devices --json
if command -v python3 >/dev/null; then
    # Where OpenCL is built in, it is in the list, too.
    check "it is JSON" python3 -c "import json; r = json.load(open('out'))
devices, remarks = ([e for e in r[k] if e['backend'] != 'opencl'] for k in ('devices', 'remarks'))
assert r['auto'] == 'cpu' and len(devices) == 1 and devices[0]['auto']
assert remarks == [{'backend': 'fake', 'note': 'no driver is installed: install one'}]"
else
    skip "no python3"
fi
run 1 "to open it says why" selftest fake
says 'tl: fake cannot be used: no driver is installed: install one'
run 2 "and so does one with a number" selftest fake:0
says_like '^tl: no device "fake:0"; there is: cpu(, opencl:[0-9]+)*; fake: no driver is installed: install one$'

TL_FAKE_DEVICES=1 TL_FAKE_UNUSABLE=0
export TL_FAKE_UNUSABLE
run 0 "a device that cannot be used" devices
prints '            cannot be used: no permission, on demand'
prints '  not fake:0: it cannot be used'
finish
