# shellcheck shell=sh disable=SC2034
# What has to be installed, in one place. Sourced by check and quickstart; POSIX sh.
# Debian 12 and Ubuntu 24.04 use the same package names, except where said.

DEPENDENCIES_BUILD='gcc libc6-dev make meson ninja-build pkg-config protobuf-c-compiler libprotobuf-c-dev
    libevent-dev libsystemd-dev libseccomp-dev libjansson-dev libcmocka-dev python3'
# python3-jsonschema: a validator that is not ours; systemd: systemd-analyze verify; git gcc make: work that sessions do in the tests; tmux: terminals; procps: ps inside a session
DEPENDENCIES_TEST='git tmux procps passwd util-linux bash python3-docutils python3-jsonschema systemd'
DEPENDENCIES_AGENTS='nodejs npm'

# Runs a command as root; SUDO is empty for root.
dependencies_root() {
    if [ "$(id -u)" -eq 0 ]; then
        SUDO=
    elif command -v sudo >/dev/null 2>&1; then
        SUDO=sudo
    else
        echo "$0: run it as root, or install sudo: building needs nothing, but nonod itself is started by root" >&2
        exit 1
    fi
}

# libc6-dev and such can be provided by another package, so ask dpkg for the state of each name.
dependencies_missing() {
    for package in "$@"; do
        # pkg-config is a virtual name where pkgconf took over
        case $package in
        pkg-config) command -v pkg-config >/dev/null 2>&1 && continue ;;
        nodejs) command -v node >/dev/null 2>&1 && continue ;;
        npm) command -v npm >/dev/null 2>&1 && continue ;;
        esac
        status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=
        [ "$status" = installed ] || printf '%s ' "$package"
    done
}

dependencies_install() {
    missing=$(dependencies_missing "$@")
    [ -n "$missing" ] || return 0
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "$0: missing: $missing" >&2
        echo "$0: this machine has no apt-get; install the packages of these names with its own tool" >&2
        exit 1
    fi
    echo "installing: $missing"
    # word splitting is meant here: a list of package names
    # shellcheck disable=SC2086
    $SUDO env DEBIAN_FRONTEND=noninteractive sh -c '
        apt-get -qq -y install --no-install-recommends "$@" >/dev/null 2>&1 && exit 0
        apt-get -qq update && apt-get -qq -y install --no-install-recommends "$@" >/dev/null
    ' install $missing || {
        echo "$0: apt-get could not install: $missing" >&2
        exit 1
    }
}
