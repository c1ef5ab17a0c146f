#!/bin/sh
# Make this Debian or Ubuntu machine ready for Quaderno: system packages that are missing, and a
# Python environment from the lock file with this project in it. Asks nothing; run again, it does
# only what changed. Settings, all optional:
#   VENV      where the environment goes; unprivileged users must be able to read it
#   LOCK      lock file to install
#   PACKAGES  more Debian packages
#   PYTHON    interpreter to use, 3.11 or newer
set -eu
umask 022
cd "$(dirname "$0")"

VENV=${VENV:-/opt/quaderno/venv}
LOCK=${LOCK:-requirements/runtime.lock}
PACKAGES="ca-certificates debian-archive-keyring e2fsprogs fuse3 iproute2 iptables mmdebstrap
          python3-venv ${PACKAGES:-}"
PYTHON=${PYTHON:-/usr/bin/python3}
export DEBIAN_FRONTEND=noninteractive PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

say() { printf '· %s\n' "$1"; }

fail() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

# quietly WHAT COMMAND...: one line for what takes long; its output only when it fails.
quietly() {
    say "$1"
    what=$1
    shift
    "$@" >"$LOG" 2>&1 && return
    tail -n 20 "$LOG" >&2
    fail "$what: failed" "The lines above are the end of what it said; then run this again"
}

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

engine_is_there() {
    command -v dockerd >/dev/null || { command -v docker >/dev/null && docker version >/dev/null 2>&1; }
}

install_packages() {
    missing=
    for package in $PACKAGES; do
        installed "$package" || missing="$missing $package"
    done
    engine_is_there || missing="$missing docker.io"
    [ -n "$missing" ] || return 0
    quietly "Reading Debian's package lists" apt-get update
    case $missing in *docker.io*) # newer releases package the client and its builder apart
        for package in docker-cli docker-buildx; do
            ! apt-cache show "$package" >/dev/null 2>&1 || missing="$missing $package"
        done ;;
    esac
    # shellcheck disable=SC2086 # a list of words
    quietly "Installing$missing" apt-get install --yes --no-install-recommends \
        -o DPkg::Lock::Timeout=300 $missing
}

digest() {
    {
        "$PYTHON" --version
        find "$LOCK" pyproject.toml requirements server src -type f ! -name '*.pyc' -print0 |
            LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum
}

install_environment() {
    stamp=$VENV/quaderno.stamp
    current=$(digest)
    if [ -f "$stamp" ] && [ "$current" = "$(cat "$stamp")" ]; then
        return
    fi
    rm -f "$stamp"
    "$VENV/bin/python" -m pip --version >/dev/null 2>&1 ||
        quietly "Making $VENV" "$PYTHON" -m venv --clear "$VENV"
    quietly "Installing Python packages" "$VENV/bin/python" -m pip install \
        --require-hashes --requirement "$LOCK"
    quietly "Installing Quaderno" "$VENV/bin/python" -m pip install \
        --force-reinstall --no-deps --no-build-isolation .
    printf '%s\n' "$current" >"$stamp"
}

# The command on everybody's PATH; a file of somebody else's is left alone.
install_command() {
    command=/usr/local/bin/quaderno
    if [ ! -e "$command" ] || [ -L "$command" ]; then
        ln -sfn "$VENV/bin/quaderno" "$command"
    fi
}

[ "$(id -u)" = 0 ] || fail "this installs packages and needs root" "sudo make up"
command -v apt-get >/dev/null || fail "this is not Debian or Ubuntu" "See the operator's guide"
install_packages
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$PYTHON is missing or older than 3.11" "Name a newer one: PYTHON=... make up"
install_environment
[ "$LOCK" != requirements/runtime.lock ] || install_command
