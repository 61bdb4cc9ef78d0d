#!/bin/sh
# No driver, broken ones, and no loader: the CPU works, what is missing is said once, and nobody crashes or hangs.
if [ "${TL_TEST_OPENCL-}" != plugin ]; then
    echo "1..0 # SKIP the OpenCL backend was not built as a plugin"
    exit 0
fi
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
TL_BACKEND_PATH=$TL_TEST_BUILD/backends/opencl/.libs
export TL_BACKEND_PATH
icd=$TL_TEST_BUILD/tests/faults/.libs

# once TEXT: exactly one line of both outputs holds it.
once() {
    [ "$(cat out err | grep -cF -- "$1")" = 1 ]
    report $? "says once: $1"
}
# A training on what auto takes, with one word about it or, where there is nothing to load or to mend, none.
trains() {
    run 0 "$1: auto trains on the CPU" train small.ini -o run --force
    prints_like ' cpu: '
    lines=$(grep -ci opencl err)
    [ "$lines" -le 1 ] && [ "$lines" -ge "${2-0}" ]
    report $? "$1: no more than one line about it"
}
small_ini >small.ini
printf '[stage head]\nepochs = 1\n' >>small.ini
"$draw" data 6 disc square || exit 99

run 0 "all as it is" devices
prints_like '^opencl:0 '
cp out before

mkdir empty broken abort mixed hang
export OCL_ICD_VENDORS
OCL_ICD_VENDORS=$work/empty
run 0 "no driver" devices
prints_like '^cpu '
once 'no driver is installed'
run 1 "no driver: the device" selftest opencl
says_like 'no driver is installed'
trains "no driver"

echo "$work/nowhere/libnone.so" >broken/none.icd
OCL_ICD_VENDORS=$work/broken
run 0 "a driver that is not there" devices
prints_like '^cpu '
once "$work/broken/none.icd does not load"
trains "a driver that is not there"

echo "$icd/icd_abort.so" >abort/abort.icd
OCL_ICD_VENDORS=$work/abort
run 0 "a driver that aborts" devices
prints_like '^cpu '
once "$work/abort/abort.icd crashes (SIGABRT)"
run 1 "a driver that aborts: the device" selftest opencl
says_like 'crashes'
trains "a driver that aborts"

# Beside a good one: the file that is to blame is named.
cp abort/abort.icd mixed
for good in /etc/OpenCL/vendors/*.icd; do
    [ ! -f "$good" ] || cp "$good" mixed
done
OCL_ICD_VENDORS=$work/mixed
run 0 "a driver that aborts beside others" devices
once "$work/mixed/abort.icd crashes (SIGABRT)"
prints_like '^cpu '

echo "$icd/icd_hang.so" >hang/hang.icd
OCL_ICD_VENDORS=$work/hang
run 0 "a driver that hangs" devices
prints_like '^cpu '
once "$work/hang/hang.icd does not answer"

# What wants the CPU asks no driver anything.
ICD_TRACE=$work/trace
export ICD_TRACE
OCL_ICD_VENDORS=$work/hang
run 0 "--device cpu" train small.ini -o run --force --device cpu
[ ! -e trace ]; report $? "--device cpu: no driver was asked"
unset ICD_TRACE OCL_ICD_VENDORS

# The program's own children are none of ours.
(trap '' CHLD; "$tl" devices) >out 2>err
cmp -s before out; report $? "SIGCHLD is ignored: the same list"
TL_OPENCL_PROBE=here
export TL_OPENCL_PROBE
run 0 "without a child" devices
cmp -s before out; report $? "without a child: the same list"
TL_OPENCL_PROBE=never
run 0 "an option that is none" devices
once 'probe takes child or here'
prints_like '^cpu '
unset TL_OPENCL_PROBE

# library NAME TITLE: in its place one that lacks everything, which stands for none at all.
library() {
    mkdir -p "lacking/$1"
    if ! ${CC:-cc} -shared -o "lacking/$1/$1" -x c /dev/null 2>/dev/null; then
        skip "no compiler for a library"
        return
    fi
    before=${LD_LIBRARY_PATH-}
    LD_LIBRARY_PATH=$work/lacking/$1${before:+:$before}
    export LD_LIBRARY_PATH
    run 0 "$2" devices
    once 'backend not loaded'
    says_like "opencl.so: backend not loaded.*$3"
    prints_like '^cpu '
    trains "$2" 1
    LD_LIBRARY_PATH=$before
    [ -n "$before" ] || unset LD_LIBRARY_PATH
}
library libOpenCL.so.1 "no loader" '[: ]cl[A-Z]'
if grep -q '^#define HAVE_CLBLAST 1' "$TL_TEST_BUILD/config.h"; then
    library libclblast.so.1 "no CLBlast" CLBlast
fi
finish
