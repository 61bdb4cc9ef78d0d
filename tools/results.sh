# Sourced by run-tests and .ci/run: counting cases.
passed=0
failed=0
skips=
failures=

say() { printf '== %s\n' "$*"; }
note_passed() { passed=$((passed + ${1:-1})); }
note_failed() { # TEXT
    failed=$((failed + 1))
    failures="$failures$1
"
    printf 'FAILED %s\n' "$1"
}
note_skipped() { # TEXT
    skips="$skips$1
"
}

# count_results NAME DIR: adds up the cases of the .trs files that make check left in DIR, and names those that failed
# or were skipped. A program that died or said less than it had planned is a failed case of its own. That nothing
# ran at all is a failure.
count_results() {
    results=$(find "$2" -name '*.trs' | LC_ALL=C sort)
    [ -n "$results" ] || { tail -30 "$2.log"; note_failed "$1: no test was run"; return; }
    counted=$(printf '%s\n' "$results" | while IFS= read -r file; do
        program=${file#"$2"/}
        sed -n "s|^:test-result: |${program%.trs} |p" "$file"
    done)
    count=$(printf '%s\n' "$counted" | grep -cE '^[^ ]+ (PASS|XFAIL)')
    note_passed "$count"
    # Results are "PROGRAM SKIP NUMBER - CASE" and the like.
    while read -r program result text; do
        case $result in
            SKIP) note_skipped "$1: $program: $text" ;;
            FAIL | ERROR | XPASS)
                note_failed "$1: $program: $text"
                ;;
        esac
    done <<END
$counted
END
    for program in $(printf '%s\n' "$counted" | awk '$2 == "FAIL" || $2 == "ERROR" { print $1 }' | uniq); do
        printf -- '-- the end of %s.log\n' "$program"
        tail -25 "$2/$program.log"
    done
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
