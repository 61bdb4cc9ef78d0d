# lib.sh: what the tests of the command line share. A test sources it, makes its checks and calls `finish`. They work in
# a folder of their own, which goes away afterwards, and speak TAP.
set -u
LC_ALL=C
export LC_ALL
unset NO_COLOR TL_CPU_ISA TL_CPU_CACHE TL_BACKEND_PATH
tl=$TL_TEST_BUILD/tl
draw=$TL_TEST_BUILD/tests/cli/draw
work=$(mktemp -d "${TMPDIR:-/tmp}/tl-cli-XXXXXX") || exit 99
trap 'cd /; rm -rf "$work" "$work.cache"' EXIT
XDG_CACHE_HOME=$work.cache # of this test alone, and beside its folder, so that that holds what it makes itself
export XDG_CACHE_HOME
trap 'exit 130' INT
trap 'exit 143' TERM
cd "$work" || exit 99
checks=0
failures=0

# report CODE NAME: one TAP line; what the last run printed follows a failure.
report() {
    checks=$((checks + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $checks - $2"
        return
    fi
    failures=$((failures + 1))
    echo "not ok $checks - $2"
    for file in out err; do
        [ -f "$file" ] && sed "s/^/# $file: /" "$file" | head -20
    done
}

# check NAME COMMAND...: the command must succeed.
check() {
    name=$1
    shift
    "$@" >check.out 2>&1
    report $? "$name"
}

# check_not NAME COMMAND...: the command must fail.
check_not() {
    name=$1
    shift
    ! "$@" >check.out 2>&1
    report $? "$name"
}

# run CODE NAME ARGUMENT...: runs tl; its outputs are in the files out and err, its exit code must be CODE.
run() {
    expected=$1
    name=$2
    shift 2
    "$tl" "$@" >out 2>err </dev/null
    code=$?
    [ "$code" -eq "$expected" ] || echo "# exit code $code, not $expected"
    [ "$code" -eq "$expected" ]
    report $? "$name"
}

# prints TEXT, says TEXT: the last run's stdout, stderr holds a line that is exactly this text.
prints() { grep -Fxq -- "$1" out; report $? "prints: $1"; }
says() { grep -Fxq -- "$1" err; report $? "says: $1"; }
# prints_like, says_like: a line that matches an extended regular expression.
prints_like() { grep -Eq -- "$1" out; report $? "prints: $1"; }
says_like() { grep -Eq -- "$1" err; report $? "says: $1"; }

skip() {
    checks=$((checks + 1))
    echo "ok $checks # SKIP $1"
}

# small_ini [KEY=VALUE]...: a configuration of a network so small that an epoch takes milliseconds, with these values in
# the place of its own. Data: the folder "data". It ends in [model].
small_ini() {
    edits=
    for pair; do
        edits="$edits;s/^${pair%%=*} = .*/${pair%%=*} = ${pair#*=}/"
    done
    sed "${edits#;}" <<END
[data]
train = data
val = 0.25
batch = 8
resize = 40
crop = 32

[model]
arch = resnet18
layers = 1,1,1,1
width = 0.0625
weights = random

END
}

# mask_ini HEAD [KEY=VALUE]...: the same for a segmenter of what "draw -m data COUNT disc square" draws.
mask_ini() {
    head=$1
    shift
    small_ini arch=resnet50 batch=4 "$@"
    printf 'head = %s\n\n[classes]\nground = 0\ndisc = 1\nsquare = 2\n\n' "$head"
}

finish() {
    echo "1..$checks"
    [ "$failures" -eq 0 ]
    exit
}
