# Sourced by quickstart and run-tests.
# install_packages FILE...: installs the Debian packages that these files list, one a line, unless all are there.
install_packages() {
    wanted=$(cat "$@" | sed 's/#.*//' | tr -s ' \t\n' ' ')
    missing=
    for package in $wanted; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || { echo "all there"; return 0; }
    command -v apt-get >/dev/null || { echo "these are missing, and there is no apt-get:$missing" >&2; return 1; }
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    echo "installing$missing"
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
