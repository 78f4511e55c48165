#!/bin/sh
# Prepares a Python environment with the packages of requirements.txt; prints the environment's interpreter.
#
#   tests/interop/setup.sh TARGET        makes or brings up to date TARGET/bin/python
#
# Exit code 3: python3 or its venv is missing.

set -eu

target=${1:?usage: setup.sh TARGET}
interop=$(cd "$(dirname "$0")" && pwd)

# Set up already, and with these packages: nothing to do.
is_ready() { cmp -s "$interop/requirements.txt" "$target/requirements.txt"; }
if is_ready; then
    echo "$target/bin/python"
    exit
fi
python3 -c 'import ensurepip, venv' 2>/dev/null || {
    echo "setup.sh: python3 with venv is missing" >&2
    exit 3
}
# Two tests of one binary may come here at once: the second waits.
mkdir -p "$target"
exec 9>"$target/lock"
flock 9
if ! is_ready; then
    python3 -m venv "$target" >&2
    "$target/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$interop/requirements.txt" >&2
    cp "$interop/requirements.txt" "$target/requirements.txt"
fi
echo "$target/bin/python"
