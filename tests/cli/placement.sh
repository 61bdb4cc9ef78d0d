#!/bin/sh
# What runs where, what may fall back to the CPU, and what fits: fallback, --dry-run, batch = auto.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
mkdir backends && cp "$TL_TEST_BUILD/tests/plugin/.libs/fake.so" backends || exit 99
TL_BACKEND_PATH=$work/backends
export TL_BACKEND_PATH
"$draw" data 16 disc square || exit 99
{ small_ini; printf '[stage head]\nepochs = 1\n[stage deep]\ntrain = layer4.*, fc.*\nepochs = 1\n'; } >s.ini

# the dry run
run 0 "a dry run on the CPU" train s.ini --dry-run
prints_like '^head: memory: [0-9.]+ kB of frozen parameters, [0-9.]+ kB of what trains, [0-9.]+ kB of activations and workspace: [0-9.]+ kB of [0-9.]+ [GT]B$'
prints_like '^features, 8 images: [0-9]+ nodes, 0 transfers, '
prints_like '^training step, 8 images: [0-9]+ nodes, 0 transfers, '
prints_like '^inference from features, 8 images: '
prints_like '^  cpu +adam +1  adam$'
[ "$(grep -c '^deep: memory: ' out)" -eq 1 ]; report $? "each stage once"
run 0 "a dry run on a device" train s.ini --dry-run --device fake
prints_like '^  fake:0 +conv2d +12  slow$'
prints_like '^  cpu +adam +1  adam$'
prints_like '^  [0-9]+ transfers from cpu to fake:0, [0-9.]+ KiB: fc, '
prints_like '^  [0-9]+ transfers from fake:0 to cpu, [0-9.]+ [KM]iB: '
prints '  not on fake:0: adam, 1 node (adam): adam: it has no arithmetic for this operation'
says_like '^tl: warning: fake:0 leaves to the CPU: 1 cross_entropy \(loss\): .*; 1 adam \(adam\): '
[ "$(grep -c 'adam: it has no' err)" -eq 1 ]; report $? "a reason is told once"

# fallback
run 0 "fallback = warn" train s.ini --device fake -o warn
says_like '^tl: warning: fake:0 leaves to the CPU: '
check "log.txt has the plans" grep -q '^  not on fake:0: adam, ' warn/log.txt
run 0 "fallback = allow" train s.ini --device fake -o allow -s device.fallback=allow
check_not "no warning" grep -q warning err
check "log.txt has the plans" grep -q '^  not on fake:0: adam, ' allow/log.txt
check "config.ini keeps it" grep -qx 'fallback = allow' allow/config.ini
run 1 "fallback = error" train s.ini --device fake -o error -s device.fallback=error
says 'tl: loss (cross_entropy): fake:0 does not do it, and the CPU may not instead: cross_entropy: it has no arithmetic for this operation'
run 1 "so does a dry run" train s.ini --device fake -s device.fallback=error --dry-run
run 2 "an unknown way" train s.ini -s device.fallback=never
says "tl: -s device.fallback=never: [device] fallback = never: must be warn, error or allow"

model=warn/model.safetensors
TL_FAKE_REFUSE=avgpool2d
export TL_FAKE_REFUSE
for verb in "eval $model data" "predict $model data/disc/000.png" "bench resnet18 --batch 1 --size 32"; do
    name=${verb%% *}
    run 0 "$name warns" $verb --device fake
    says_like '^tl: warning: fake:0 leaves to the CPU: 1 avgpool2d \(avgpool\): avgpool2d: refused on demand$'
    run 0 "$name may not warn" $verb --device fake --fallback allow -v
    check_not "no warning" grep -q warning err
    says_like '^inference, [0-9]+ images?: [0-9]+ nodes, 2 transfers, '
    says '  not on fake:0: avgpool2d, 1 node (avgpool): avgpool2d: refused on demand'
    run 1 "$name may refuse" $verb --device fake --fallback error
    says 'tl: avgpool (avgpool2d): fake:0 does not do it, and the CPU may not instead: avgpool2d: refused on demand'
    run 2 "$name knows three ways" $verb --fallback sometimes
    says "tl: --fallback: 'sometimes' is none of warn, error and allow"
done
unset TL_FAKE_REFUSE

# what fits
run 0 "batch = auto on the CPU" train s.ini -s data.batch=auto -o auto
prints 'train 24 images in 2 classes (disc 12, square 12) · val 8 · batch 24'
check "config.ini has the number" grep -qx 'batch = 24' auto/config.ini
TL_FAKE_MEMORY=500000
export TL_FAKE_MEMORY
run 1 "a batch that is too large" train s.ini --device fake -s data.batch=24 -s model.bn=batch -s device.fallback=allow -o large
says_like '^tl: training step, 24 images: activations and workspace would take [0-9.]+ [KM]iB where fake:0 has [0-9.]+ KiB for them; a batch of [0-9]+ fits$'
fits=$(sed -n 's/.*; a batch of \([0-9]*\) fits$/\1/p' err)
run 0 "batch = auto" train s.ini --device fake -s data.batch=auto -s model.bn=batch -s device.fallback=allow -o fits
check "is at most that" sh -c "n=\$(sed -n 's/^batch = //p' fits/config.ini); [ \$n -gt 1 ] && [ \$n -le $fits ]"
run 0 "a dry run says how much there is" train s.ini --device fake -s data.batch=auto -s device.fallback=allow --dry-run
prints_like '^deep: memory: .* kB of activations and workspace: [0-9.]+ kB of 500 kB$'
TL_FAKE_MEMORY=1000
run 1 "no batch fits" train s.ini --device fake -s data.batch=auto -s device.fallback=allow -o none
says_like '^tl: .*fake:0'
finish
