#!/usr/bin/env bash
# Measures a server of Vault over TLS on loopback: small requests, appends, packs beside nginx and rest-server, memory, backups.
# The one rule: everything is written below WORK and removed at the end, and no server outlives this script.
#
#   tests/bench/server.sh [JOB,...]        jobs: gets appends packs uploads backup   [all]
#
# ROUNDS     rounds, in which the jobs and servers take turns   [3]
# WORK       a directory with 8 GB of room, on the disk to be measured   [a new temporary directory]
# PEERS_DIR  where peers.sh put nginx and rest-server; what is not there is taken from the system or left out
# TREE       small or full: the tree of the backups   [full]
# RAW        file for all results as JSON
# NO_BUILD   set: measure the release binaries that are there
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
release=${CARGO_TARGET_DIR:-$here/../../target}/release
if [ -z "${NO_BUILD:-}" ]; then
    cargo build --release --quiet --manifest-path "$here/../../Cargo.toml" --workspace --bin vault --bin vault-server --example load
fi
for program in vault vault-server examples/load; do
    [ -x "$release/$program" ] || { echo "server.sh: no $release/$program" >&2; exit 1; }
done
made=
if [ -z "${WORK:-}" ]; then WORK=$(mktemp -d) made=yes; fi
mkdir -p "$WORK/server"
trap 'rm -rf "$WORK/server"; [ -z "$made" ] || rm -rf "$WORK"' EXIT
trap 'exit 130' INT TERM

# The binaries may be rebuilt while this runs: measure copies.
cp "$release/vault" "$release/vault-server" "$release/examples/load" "$WORK/server/"
python3 "$here/server.py" "$WORK/server" --rounds "${ROUNDS:-3}" --tree "${TREE:-full}" \
    ${PEERS_DIR:+--peers "$PEERS_DIR/bin"} ${RAW:+--raw "$RAW"} ${1:+--jobs "$1"}
