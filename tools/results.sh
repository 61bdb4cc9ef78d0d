# Sourced by run-tests and .ci/run: counting cases.
passed=0
failed=0
skips=
failures=
# What may be skipped where TL_SKIPS is "known", one extended regular expression a line, of "SUITE: TEST # SKIP WHY": all
# else that is skipped is a failure then. None of them is for want of an OpenCL device.
known_skips='# SKIP hangs on rounding, see HACKING.md$
# SKIP this user may write everywhere$
# SKIP file systems cannot be mounted here$
# SKIP (only root can make a setuid program of another user|this file system honours no setuid bit)$
^(sanitized|arm64): tests/.* (# SKIP|-) the OpenCL backend was not built( as a plugin)?$
^(sanitized|arm64): tests/cli/tune.sh .* # SKIP no OpenCL device$
^sanitized: tests/unit/symbols.sh 6 # SKIP sanitizers need libstdc..$
^valgrind: '

say() { printf '== %s\n' "$*"; }
note_passed() { passed=$((passed + ${1:-1})); }
note_failed() { # TEXT
    failed=$((failed + 1))
    failures="$failures$1
"
    printf 'FAILED %s\n' "$1"
}
note_skipped() { # TEXT
    if [ "${TL_SKIPS-}" = known ] && ! printf '%s\n' "$1" | grep -qE "$known_skips"; then
        note_failed "$1"
        return
    fi
    skips="$skips$1
"
}

# count_results NAME DIR: adds up the cases of the .trs files that make check left in DIR, and names those that failed
# or were skipped, for which their .log has the words. A program that died or said less than it had planned is a
# failed case of its own. That nothing ran at all is a failure.
count_results() {
    count=0
    find "$2" -name '*.trs' | LC_ALL=C sort >"$2.trs"
    [ -s "$2.trs" ] || { tail -30 "$2.log"; note_failed "$1: no test was run"; return; }
    while IFS= read -r file; do
        log=${file%.trs}.log
        count=$((count + $(grep -cE '^:test-result: (PASS|XFAIL)' "$file")))
        bad=$(grep -cE '^:test-result: (FAIL|ERROR|XPASS)' "$file")
        sed -n "s|^SKIP: tests/|$1: tests/|p" "$log" >"$2.skips"
        while IFS= read -r skip; do
            note_skipped "$skip"
        done <"$2.skips"
        [ "$bad" -gt 0 ] || continue
        failed=$((failed + bad))
        failures=$failures$(sed -nE "s#^(FAIL|ERROR|XPASS): tests/#$1: tests/#p" "$log" && echo .)
        failures=${failures%.}
        printf -- '-- %s\n' "$log"
        grep -vE '^(ok|PASS:)' "$log" | tail -40
    done <"$2.trs"
    rm -f "$2.trs" "$2.skips"
    note_passed "$count"
    say "$1: $count passed"
}

# Names what was skipped and what failed, then the one line that counts.
finish() {
    [ -z "$skips" ] || printf 'skipped:\n%s' "$skips" | sed '2,$s/^/  /'
    [ -z "$failures" ] || printf 'failed:\n%s' "$failures" | sed '2,$s/^/  /'
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit $?
}
