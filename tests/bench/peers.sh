#!/usr/bin/env bash
# Gets the programs that `run.sh` and `server.sh` compare with, into $PEERS_DIR/bin: restic, borg, rustic, bupstash, nginx, rest-server.
# The one rule: nothing outside $PEERS_DIR is changed, and what cannot be had is said and left out.
#
#   PEERS_DIR=DIR tests/bench/peers.sh [restic|borg|rustic|bupstash|nginx|rest-server]...
#
# restic, rest-server   the packages of a newer Debian suite, unpacked beside the system (the system's own mirror and keyring)
# nginx    the package of the system's own suite, unpacked beside the system
# borg     1.4 from the Python package index, in a virtual environment
# rustic, bupstash   cargo install --locked (takes minutes; bupstash wants libsodium-dev and pkg-config)
set -euo pipefail

PEERS_DIR=${PEERS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/vault-bench/peers}
SUITES=${SUITES:-testing unstable}
mkdir -p "$PEERS_DIR/bin"
PEERS_DIR=$(cd "$PEERS_DIR" && pwd)

say() { printf 'peers: %s\n' "$*" >&2; }

# The keys of the Debian archive, from the package debian-archive-keyring.
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Prints the address of the main Debian archive that this system already uses.
debian_mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null |
        sort -u | head -n 1
}

# fetch_newer PACKAGE PROGRAM NAME: the newest package of a suite, with its own apt state, so the system's is not touched.
fetch_newer() {
    command -v apt-get >/dev/null || { say "$3: no apt here"; return 1; }
    local uri suite state
    uri=$(debian_mirror)
    [ -n "$uri" ] || { say "$3: apt knows no Debian mirror (apt-get update first?)"; return 1; }
    for suite in $SUITES; do
        state=$(mktemp -d "$PEERS_DIR/apt.XXXXXX")
        if fetch_package "$1" "$uri" "$suite" "$state"; then
            ln -sf "$PEERS_DIR/$1/usr/bin/$2" "$PEERS_DIR/bin/$3"
            rm -rf "$state"
            return 0
        fi
        rm -rf "$state"
        say "$3: not from the suite $suite"
    done
    return 1
}

# fetch_package NAME URI SUITE STATE: the package's files, in $PEERS_DIR/NAME.
fetch_package() (
    name=$1 uri=$2 suite=$3 state=$4
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    chmod 755 "$state"
    printf 'deb [signed-by=%s] %s %s main\n' "$KEYRING" "$uri" "$suite" >"$state/sources.list"
    apt=(apt-get -qq -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache" -o Acquire::Languages=none
        -o APT::Sandbox::User=root)
    "${apt[@]}" update >&2 || exit 1
    cd "$state"
    "${apt[@]}" download "$name" >&2 || exit 1
    rm -rf "${PEERS_DIR:?}/$name"
    dpkg -x "$state/$name"_*.deb "$PEERS_DIR/$name"
)

# The libraries borg is built against, from the system's own suite, unpacked beside it: Debian has no borg 1.4 for itself.
fetch_borg_libraries() (
    dir=$PEERS_DIR/borg-libraries
    rm -rf "$dir"
    mkdir -p "$dir/debs"
    cd "$dir/debs"
    apt-get -qq -o APT::Sandbox::User=root download liblz4-dev liblz4-1 libzstd-dev libzstd1 libxxhash-dev libxxhash0 \
        libacl1-dev libacl1 libattr1-dev >&2
    for package in *.deb; do dpkg -x "$package" "$dir"; done
)

fetch_nginx() (
    command -v apt-get >/dev/null || { say 'nginx: no apt here'; return 1; }
    dir=$(mktemp -d "$PEERS_DIR/apt.XXXXXX")
    trap 'rm -rf "$dir"' EXIT
    cd "$dir"
    apt-get -qq -o APT::Sandbox::User=root download nginx >&2 || exit 1
    rm -rf "${PEERS_DIR:?}/nginx"
    dpkg -x nginx_*.deb "$PEERS_DIR/nginx"
    ln -sf "$PEERS_DIR/nginx/usr/sbin/nginx" "$PEERS_DIR/bin/nginx"
)

fetch_borg() {
    local venv=$PEERS_DIR/borg-venv usr=$PEERS_DIR/borg-libraries/usr lib
    rm -rf "$venv"
    python3 -m venv "$venv" || { say 'borg: no python3-venv here'; return 1; }
    if command -v apt-get >/dev/null && ! pkg-config --exists liblz4 libzstd libxxhash libacl 2>/dev/null; then
        fetch_borg_libraries || { say 'borg: its libraries could not be had'; return 1; }
        lib=$usr/lib/$(gcc -print-multiarch)
        local CPATH=$usr/include LIBRARY_PATH=$lib PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$PEERS_DIR/borg-libraries
        export CPATH LIBRARY_PATH PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
    fi
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'borgbackup>=1.4,<1.5' ||
        { say 'borg: no build (it wants a C compiler and the headers of libacl, lz4, zstd, xxhash, openssl)'; return 1; }
    ln -sf "$venv/bin/borg" "$PEERS_DIR/bin/borg"
}

fetch_cargo() {
    command -v cargo >/dev/null || { say "$1: no cargo here"; return 1; }
    cargo install --locked --root "$PEERS_DIR" "$1"
}

fetch() {
    case $1 in
        restic) fetch_newer restic restic restic ;;
        rest-server) fetch_newer restic-rest-server restic-rest-server rest-server ;;
        nginx) fetch_nginx ;;
        borg) fetch_borg ;;
        rustic) fetch_cargo rustic-rs ;;
        bupstash) fetch_cargo bupstash ;;
        *) say "no such peer: $1"; return 2 ;;
    esac
}

[ $# -gt 0 ] || set -- restic borg rustic bupstash nginx rest-server
for peer in "$@"; do
    if [ -x "$PEERS_DIR/bin/$peer" ]; then
        say "$peer: already there"
    elif fetch "$peer"; then
        say "$peer: got it"
    elif command -v "$peer" >/dev/null; then
        say "$peer: could not be had; run.sh falls back to $(command -v "$peer")"
    else
        say "$peer: could not be had; run.sh leaves it out"
    fi
done
