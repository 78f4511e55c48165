#!/usr/bin/env bash
# Measures Vault against restic, rustic, borg and bupstash and prints Markdown tables of ratios.
# The one rule: everything is written below WORK, on a fresh ext4 image where that is possible, and removed at the end.
#
#   tests/bench/run.sh [small|full] [peers|chunkers|memory]
#
# small     minutes, one round: shows that everything works
# full      hours, medians of three rounds: the figures of docs/performance.md
# peers     (default) Vault beside the other programs; chunkers: Vault's chunk sizes; memory: peak memory of Vault
#
# VAULT      the binary                 [target/release/vault]
# PEERS_DIR  where peers.sh put the others; what is not there is taken from the system or left out
# WORK       a directory with room      [a new temporary directory]: 6 GB for small, 40 GB for full, 45 GB for memory
# ROUNDS, JOBS (one,src,tiny,big,vm), RAW (file for all results as JSON), GIANT_GB (size of the large file of memory)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
scale=${1:-small}
what=${2:-peers}
case $scale:$what in (small:peers|full:peers|small:chunkers|full:chunkers|small:memory|full:memory) ;; (*) sed -n '2,16p' "$0"; exit 2 ;; esac

VAULT=${VAULT:-${CARGO_TARGET_DIR:-$here/../../target}/release/vault}
[ -x "$VAULT" ] || { echo "run.sh: no $VAULT: cargo build --release first, or set VAULT" >&2; exit 1; }
ROUNDS=${ROUNDS:-$([ "$scale" = full ] && echo 3 || echo 1)}
made=
if [ -z "${WORK:-}" ]; then WORK=$(mktemp -d) made=yes; fi
mkdir -p "$WORK"
WORK=$(cd "$WORK" && pwd)

# Gigabytes of the image: the trees, a repository of each program, and one restored tree.
if [ "$what" = memory ]; then size=$((3 * ${GIANT_GB:-$([ "$scale" = full ] && echo 20 || echo 1)} + 4))
elif [ "$scale" = full ]; then size=40; else size=12; fi
image=$WORK/bench.ext4 run=$WORK/run mounted=

clean() {
    [ -z "$mounted" ] || umount "$run" || umount -l "$run"
    rm -rf "$image" "${run:?}"
    [ -z "$made" ] || rm -rf "$WORK"
}
trap clean EXIT
trap 'exit 130' INT TERM

# Files made on a long-used file system can cost many times what they cost on a fresh one, so make one.
mkdir -p "$run"
if [ "$(id -u)" = 0 ] && truncate -s "${size}G" "$image" && mkfs.ext4 -q -F "$image" && mount -o loop,discard "$image" "$run"; then
    mounted=yes
else
    rm -f "$image"
    echo "run.sh: no fresh ext4 image could be mounted; measuring on the file system of $WORK" >&2
fi
# Memory that a virtual machine gave back makes the first large write slow: write and delete some first.
warm=$([ "$scale" = full ] && echo 4096 || echo 512)
head -c "${warm}M" /dev/zero >"$run/warm" && sync && rm "$run/warm"

# The binary may be rebuilt while this runs: measure a copy.
cp "$VAULT" "$run/vault"
mkdir "$run/work"
if [ "$what" = memory ]; then
    python3 "$here/memory.py" "$run/work" --vault "$run/vault" --scale "$scale" ${GIANT_GB:+--giant-gb "$GIANT_GB"}
else
    python3 "$here/measure.py" "$run/work" --vault "$run/vault" --scale "$scale" --rounds "$ROUNDS" \
        --jobs "${JOBS:-$([ "$what" = chunkers ] && echo src,big,vm || echo one,src,tiny,big,vm)}" \
        ${RAW:+--raw "$RAW"} $([ "$what" = chunkers ] && echo --chunkers)
fi
