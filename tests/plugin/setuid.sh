#!/bin/sh
# A setuid program does not believe TL_BACKEND_PATH.
echo 1..1
skip() {
    echo "ok 1 - setuid # SKIP $1"
    exit 0
}
[ "$(id -u)" = 0 ] || skip "only root can make a setuid program of another user"
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp "$TL_TEST_BUILD/tests/plugin/.libs/fake.so" "$work/fake.so"
cp "$TL_TEST_BUILD/tests/plugin/registry" "$work/list"
TL_BACKEND_PATH=$work
export TL_BACKEND_PATH
plain=$("$work/list" list | tr '\n' ' ')
chown 1:1 "$work/list"
chmod 4755 "$work/list"
seen=$("$work/list" list | tr '\n' ' ')
case $seen in
    secure*) ;;
    *) skip "this file system honours no setuid bit" ;;
esac
if [ "$plain" = "cpu fake:0 " ] && [ "$seen" = "secure cpu " ]; then
    echo "ok 1 - setuid"
else
    echo "not ok 1 - setuid"
    echo "# plain: $plain"
    echo "# setuid: $seen"
fi
