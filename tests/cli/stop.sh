#!/bin/sh
# Runs that end early: by a signal, by a file system without room. Nothing half-written stays.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
"$draw" data 8 disc square || exit 99
{ small_ini; printf '[stage all]\ntrain = *\nepochs = 900000\n'; } >long.ini

# interrupt SIGNAL FOLDER: starts a run, and ends it once it has some epochs.
interrupt() {
    "$tl" train long.ini -o "$2" >out 2>err </dev/null &
    pid=$!
    tries=0
    until [ -s "$2/metrics.csv" ] && [ "$(wc -l <"$2/metrics.csv")" -gt 3 ]; do
        tries=$((tries + 1))
        [ $tries -gt 600 ] && break
        sleep 0.1
    done
    kill -"$1" $pid
    wait $pid
    code=$?
    [ $code -eq 1 ]
    report $? "SIG$1 ends a run with exit code 1 (it was $code)"
    says_like '^tl: interrupted after [0-9]+ whole epochs$'
    says_like "^wrote $2/model\.safetensors"
    for file in model.safetensors best.safetensors metrics.csv summary.json report.html config.ini log.txt; do
        check "there is $file" test -s "$2/$file"
    done
    [ "$(ls -A "$2" | wc -l)" -eq 7 ]
    report $? "and nothing else"
    check "the summary says so" grep -q '"status": "interrupted"' "$2/summary.json"
    run 0 "the model is whole" eval "$2/model.safetensors" data
}
interrupt INT by_int
interrupt TERM by_term
run 0 "one can go on from there" train long.ini -s model.weights=by_int/model.safetensors -s stage.all.epochs=1 -o on

# one file may not be larger than 32 kB: the model does not fit
(
    ulimit -f 64
    "$tl" train long.ini -s stage.all.epochs=2 -o full >out 2>err
    echo $? >code
)
[ "$(cat code)" -eq 1 ]; report $? "a model that cannot be written is exit code 1"
says_like '^tl: .*full/(model|best)\.safetensors.*: File too large'
check_not "no model is left" test -e full/model.safetensors
check_not "no temporary file is left" sh -c 'ls full | grep -E "\.[A-Za-z0-9]{6}$" | grep -v safetensors'
check_not "nor one of the model" sh -c 'ls full | grep "safetensors"'
check "the summary says that it failed" grep -q '"status": "failed"' full/summary.json
(
    ulimit -f 64
    "$tl" convert by_int/model.safetensors big.safetensors >out 2>err
    echo $? >code
)
[ "$(cat code)" -eq 1 ]; report $? "the same for convert"
check_not "nothing is left" sh -c 'ls | grep "^big"'

# a file system that is too small is noticed before the training
mkdir small
if mount -t tmpfs -o size=300k none small 2>/dev/null; then
    run 1 "a small file system" train long.ini -o small/run
    says_like '^tl: small/run: no space left: '
    check_not "nothing is written" test -e small/run
    umount small
else
    skip "file systems cannot be mounted here"
fi

mkdir closed
chmod a-w closed
if touch closed/try 2>/dev/null; then
    skip "this user may write everywhere"
else
    run 1 "a folder that is closed" train long.ini -o closed/run
    says 'tl: closed/run: Permission denied'
fi
touch file
run 1 "a file in the folder's place" train long.ini -o file/run
says 'tl: file/run: Not a directory'
finish
