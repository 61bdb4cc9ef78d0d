# Makes one TAP stream of those of several programs: -v name=PROGRAM -v first=CASES SO FAR. A program that ends early or
# with a status is a failed case. The last line, for the caller alone: "= CASES FAILED".
function case(ok, text) {
    printf "%s %d - %s\n", ok ? "ok" : "not ok", ++first, text
    failed += !ok
}
/^(not )?ok / {
    ok = $1 == "ok"
    sub(/^(not )?ok [0-9]+ - /, "")
    case(ok, name ": " $0)
    seen++
    next
}
/^1\.\./ { planned = substr($0, 4); has_plan = 1; next }
/^Bail out!/ { case(0, name ": " $0); bailed = 1; next }
/^= status / { status = $3; next }
{ print }
END {
    if (!bailed && (!has_plan || planned != seen))
        case(0, name ": it ended after " seen + 0 " cases")
    else if (status > 0 && !failed)
        case(0, name ": it ended with " status)
    print "= " first " " failed + 0
}
