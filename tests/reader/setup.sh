#!/bin/sh
# Prepares a Python environment for the reader and the packages of the age script; prints the environment's interpreter.
#
#   tests/reader/setup.sh TARGET        makes or brings up to date TARGET/bin/python
#
# Exit code 3: python3, its venv, node or npm is missing. As root on Debian and its kin, a missing venv is installed.

set -eu

target=${1:?usage: setup.sh TARGET}
reader=$(cd "$(dirname "$0")" && pwd)
interop=$reader/../interop

missing() {
    echo "setup.sh: $1 is missing" >&2
    exit 3
}

install_python() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    apt-get update -qq >&2 && apt-get install -qq -y python3-venv >&2
}

can_make_environment() {
    python3 -c 'import ensurepip, venv' 2>/dev/null
}

can_make_environment || install_python || missing "python3 with venv"
command -v node >/dev/null || missing node

if ! cmp -s "$reader/requirements.txt" "$target/requirements.txt"; then
    python3 -m venv "$target" >&2
    "$target/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$reader/requirements.txt" >&2
    cp "$reader/requirements.txt" "$target/requirements.txt"
fi
if [ ! -e "$interop/node_modules/age-encryption/package.json" ]; then
    command -v npm >/dev/null || missing npm
    (cd "$interop" && npm ci --ignore-scripts >&2)
fi
echo "$target/bin/python"
