#!/bin/sh
# The manual pages say what the program does.
. "$TL_TEST_SOURCE/tests/cli/lib.sh"
docs=$TL_TEST_SOURCE/docs

"$TL_TEST_BUILD/tests/cli/keys" >table
sed -n '/^\.\\" The table/,/^\.\\" The end of the table/p' "$docs/tl.ini.5" | sed '1d;$d' >page
check "tl.ini(5) has the table of keys ('make update-ini-man' writes it)" cmp page table

for verb in train eval predict inspect convert devices features selftest tune bench; do
    run 0 "$verb --help" $verb --help
    for option in $(sed -n 's/^ .*--\([a-z-]*\).*/\1/p' out); do
        check "tl(1) knows --$option of $verb" grep -q "Fl -$option" "$docs/tl.1"
    done
    check "tl(1) has $verb" grep -q "^\.Ss tl $verb" "$docs/tl.1"
done

for page in tl.1 tl.ini.5 libtl.3 tl-backends.7; do
    check "there is $page" test -s "$docs/$page"
    if command -v mandoc >/dev/null; then
        # references to pages that are not installed here are not mistakes of the page
        mandoc -Tlint "$docs/$page" | grep -v 'referenced manual not found' >lint
        [ ! -s lint ]
        report $? "mandoc has nothing against $page"
        [ -s lint ] && sed 's/^/# /' lint
    else
        skip "no mandoc"
    fi
done

for function in $(sed -n 's/^ *\(tl_[a-z0-9_]*\);/\1/p' "$TL_TEST_SOURCE/libtl/libtl.map"); do
    check "a header declares $function" grep -rqw "$function" "$TL_TEST_SOURCE/libtl/include/tl"
done
for ini in seed medical deeper; do
    run 1 "examples/$ini.ini is understood" train "$TL_TEST_SOURCE/examples/$ini.ini" --dry-run
    says_like '^tl: resnet50-0676ba61\.pth: No such file or directory'
done
run 1 "examples/segment.ini is understood" train "$TL_TEST_SOURCE/examples/segment.ini" --dry-run
says_like '^tl: vgg16\.onnx: No such file or directory'
run 1 "examples/quickstart.ini is understood" train "$TL_TEST_SOURCE/examples/quickstart.ini" --dry-run -s data.train=a -s model.weights=b
says_like '^tl: b: No such file or directory'
finish
