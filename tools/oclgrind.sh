#!/bin/bash
# oclgrind.sh BUILD: the OpenCL plugin's operations over small shapes under oclgrind, with the kernels for CPUs and with
# those for GPUs: nothing out of bounds, no race, no barrier that some work-items miss, no use of what was never written.
# Every kernel but three must have run. Shapes with whole tiles are the canary's, which runs first; the rest are those of tests/ops
# with at most MOST products or elements, for oclgrind is thousands of times as slow as a device.
set -u
build=$(cd "$1" && pwd) || exit 1
top=$(cd "$(dirname "$0")/.." && pwd)
command -v oclgrind >/dev/null || { echo "oclgrind is not there"; exit 77; }
export MOST=${MOST:-10000}
export build work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# operation VECTORS NAME [WAY [FILTER]]: one test program, or those of its cases that have FILTER in their names; what
# oclgrind reports is in NAME.reports, the kernels that ran in NAME.kernels. WAY is told apart by the environment.
# Kernels for CPUs join vectors, of which oclgrind 21.10 says wrongly that they are uninitialised (HACKING.md). It does not
# know a word that LLVM leaves where it has inlined much, either: two are compiled without optimisation. And counting
# breaks its heap in avgpool2d, whose cases stand for the kernels of the same names.
operation() {
    local name=$work/$2-vectors-$1${3:+-$3} start=$SECONDS status cases
    local options="--num-threads 1 --data-races --max-errors 20"
    [ "$2" = avgpool2d ] || options="$options --inst-counts"
    [ "$1" = yes ] || options="$options --uninitialized"
    case $1-$2 in yes-batchnorm_grad | yes-cross_entropy) options="$options --build-options -cl-opt-disable" ;; esac
    # shellcheck disable=SC2086
    TL_OPENCL_VECTORS=$1 XDG_CACHE_HOME=$work/cache-$1 LD_PRELOAD="$work/lanes.so" \
        oclgrind $options --log "$name.reports" "$build/tests/ops/$2" --device opencl:0 \
        --plugin "$build/backends/opencl/.libs/opencl.so" --most "$MOST" ${4:+--filter "$4"} >"$name.out" 2>&1
    status=$?
    sed -nE "s/^Instructions executed for kernel '(.*)':$/\1/p; s/^ok [0-9]+ - (avgpool2d[a-z_]*) .*/\1/p" "$name.out" |
        sort -u >"$name.kernels"
    cases=$(grep -c '^ok ' "$name.out")
    printf '%s, vectors = %s%s: %d cases, %d s\n' "$2" "$1" "${3:+, $3}" "$cases" $((SECONDS - start))
    if [ $status != 0 ] || [ "$cases" = 0 ] || [ -s "$name.reports" ]; then
        grep -E '^(not ok|Bail out|# |OCLGRIND|Undefined)' "$name.out" | head -20
        head -60 "$name.reports"
        echo "FAILED with $status"
        return 1
    fi
}
export -f operation

# What it is told to find it finds, in kernels made for that.
cat >"$work/wrong.cl" <<'END'
kernel void beyond(global int *x) { x[get_global_id(0) + 1] = 1; }
kernel void race(global int *x) { x[0] = x[0] + (int)get_global_id(0); }
kernel void unwritten(global int *x) {
    local int y[4];
    if (x[0] == 9)
        y[get_local_id(0)] = 1;
    if (y[get_local_id(0)] > 0)
        x[get_global_id(0)] = 1;
}
kernel void diverges(global int *x) { if (get_local_id(0) > 1) barrier(CLK_LOCAL_MEM_FENCE); x[get_global_id(0)] = 1; }
kernel void fine(global int *x) { x[get_global_id(0)] = 1; }
END
wrong=0
# finds KERNEL TEXT: the report has this text; without one there is none.
finds() {
    printf '%s\n%s\n4 1 1\n4 1 1\n<size=16 fill=0>\n' wrong.cl "$1" >"$work/wrong.sim"
    (cd "$work" && oclgrind-kernel --data-races --uninitialized --log wrong.log wrong.sim) >"$work/wrong.out" 2>&1
    if [ $# = 1 ] && [ ! -s "$work/wrong.log" ]; then
        return
    elif [ $# = 2 ] && grep -q "$2" "$work/wrong.log"; then
        return
    fi
    echo "FAILED oclgrind on $1:"
    head -20 "$work/wrong.out" "$work/wrong.log"
    wrong=1
}
finds fine
finds beyond 'Invalid write of size'
finds race 'data race'
finds unwritten 'depends on uninitialized'
finds diverges 'divergence'

"${CC:-cc}" -O2 -D_GNU_SOURCE -std=c11 -fno-builtin -shared -fPIC -o "$work/lanes.so" \
    "$top/tests/faults/oclgrind_lanes.c" -ldl || exit 1
# The first program of each kind finds no cache and goes through the canary; what that found right the others trust.
# What takes longest begins first.
for vectors in yes no; do echo "$vectors"; done | xargs -P "$(nproc)" -I % bash -c 'operation % conv2d' || wrong=1
for name in conv2d_grad_input conv2d_grad_weight batchnorm_grad batchnorm maxpool2d cross_entropy relu \
    avgpool2d upsample2d adam dropout normalize concat dice; do
    for vectors in yes no; do echo "$vectors $name"; done
done | xargs -P "$(nproc)" -I % bash -c 'operation %' || wrong=1
# What is not chosen for shapes as small as these.
for vectors in yes no; do
    TL_OPENCL_WINOGRAD=1 MOST=200000 operation $vectors winograd winograd '4x4x32 -> 32' || wrong=1
done

# Kernels' names stand before a parenthesis, their attributes perhaps on a line before.
cat "$top"/backends/opencl/kernels/*.cl | grep -v '^ \*' | grep -A1 '^kernel ' | grep -oE 'void [a-z0-9_]+\(' |
    sed 's/void //; s/($//' | sort -u >"$work/all"
sort -u "$work"/*.kernels >"$work/seen"
# Those around CLBlast's products: its own kernels take oclgrind longer than all the rest, and counting breaks there too.
comm -23 "$work/all" "$work/seen" | grep -vxE 'conv2d_gpu_(columns|finish|weights)' >"$work/unseen"
echo "$(comm -12 "$work/all" "$work/seen" | wc -l) of $(wc -l <"$work/all") kernels ran"
[ ! -s "$work/unseen" ] || { echo "FAILED these did not run:"; cat "$work/unseen"; wrong=1; }
exit $wrong
