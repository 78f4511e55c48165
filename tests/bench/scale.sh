#!/usr/bin/env bash
# Measures Vault where size could hurt: ten million chunks in a million files, and one file of fifty gigabytes.
# The one rule: every figure is the peak resident size and the time that GNU time gives of the program itself, nothing else.
#
#   tests/bench/scale.sh chunks      a million small files and 40 large ones, cut into 10.5 million chunks: 30 GB of disk
#   tests/bench/scale.sh giant       one file of 50 GB, read through FUSE: 6 GB of disk
#   tests/bench/scale.sh mount       random readers over a mounted vault of as many files, by size of the cache
#
# VAULT    the binary                                  [target/release/vault]
# SOURCE   the program that makes what is backed up    [target/release/examples/scale-source]
# WORK     a directory with room                       [a new temporary directory]; what is made there is removed
# FILES, LARGE, BYTES, GIANT   how many small files, large files, bytes of each of these and of the giant, for a smaller run
# LIMIT    MiB above which a step fails the run        [200 for chunks, 256 for giant]
#
# Needs FUSE and GNU time. The passphrase is made cheap, so that the 128 MiB which scrypt takes for a moment at unlocking do not
# hide the rest.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
what=${1:-}
case $what in (chunks|giant|mount) ;; (*) sed -n '2,16p' "$0"; exit 2 ;; esac

target=${CARGO_TARGET_DIR:-$here/../../target}/release
VAULT=${VAULT:-$target/vault} SOURCE=${SOURCE:-$target/examples/scale-source}
for program in "$VAULT" "$SOURCE"; do
    [ -x "$program" ] || { echo "scale.sh: no $program: cargo build --release -p vault-cli; cargo build --release -p vault-tests --example scale-source" >&2; exit 1; }
done
VAULT=$(realpath "$VAULT") SOURCE=$(realpath "$SOURCE")
FILES=${FILES:-1000000} LARGE=${LARGE:-40} BYTES=${BYTES:-268435456} GIANT=${GIANT:-50000000000}
LIMIT=${LIMIT:-$([ "$what" = giant ] && echo 256 || echo 200)}
made=
if [ -z "${WORK:-}" ]; then WORK=$(mktemp -d) made=yes; fi
mkdir -p "$WORK"
WORK=$(cd "$WORK" && pwd)
run=$WORK/scale failed= served=
[ ! -e "$run" ] || { echo "scale.sh: $run is in the way" >&2; exit 1; }
mkdir -p "$run/tree/large" "$run/mnt"
export HOME=$run/home VAULT_LOCATION=$run/vault VAULT_PASSPHRASE=scale
unset XDG_CONFIG_HOME XDG_STATE_HOME XDG_CACHE_HOME

clean() {
    [ -z "$served" ] || fusermount3 -u "$run/tree/large" || fusermount3 -uz "$run/tree/large"
    ! mountpoint -q "$run/mnt" || fusermount3 -uz "$run/mnt"
    rm -rf "${run:?}"
    [ -z "$made" ] || rm -rf "$WORK"
}
trap clean EXIT
trap 'exit 130' INT TERM

# Shows large files of an edition: serve FILES BYTES [EDITION]
serve() {
    [ -z "$served" ] || { fusermount3 -u "$run/tree/large"; wait "$served" || true; }
    "$SOURCE" serve "$run/tree/large" "$@" &
    served=$!
    until mountpoint -q "$run/tree/large"; do sleep 0.1; done
}

# Prints the row of a step that has ended: report NAME EXIT
report() {
    local mib seconds
    read -r mib seconds < <(tail -n 1 "$run/time")
    mib=$(((mib + 1023) / 1024))
    printf '| %s | %s | %s |\n' "$1" "$mib" "$seconds"
    if [ "$2" != 0 ]; then cat "$run/err" >&2; failed="$failed; $1: exit $2"; fi
    if [ "$mib" -gt "$LIMIT" ]; then failed="$failed; $1: above $LIMIT MiB"; fi
}

# Runs a step: step NAME ARGUMENT..., the arguments those of vault
step() {
    local name=$1 rc=0
    shift
    /usr/bin/time -o "$run/time" -f '%M %e' "$VAULT" "$@" >"$run/out" 2>"$run/err" || rc=$?
    report "$name" "$rc"
}

# Runs a command while the vault is mounted: mounted NAME CACHE COMMAND...
mounted() {
    local name=$1 cache=$2 rc=0 mount
    shift 2
    /usr/bin/time -o "$run/time" -f '%M %e' "$VAULT" mount --quiet --cache "$cache" "$run/mnt" >"$run/out" 2>"$run/err" &
    mount=$!
    until mountpoint -q "$run/mnt"; do kill -0 "$mount" && sleep 0.1; done
    "$@" >"$run/read"
    fusermount3 -u "$run/mnt"
    wait "$mount" || rc=$?
    report "$name" "$rc"
}

measure_chunks() {
    "$SOURCE" small "$run/tree/small" "$FILES"
    serve "$LARGE" "$BYTES"
    "$VAULT" init --quiet --chunker 768,8,16K --work-factor 2
    step "first backup" backup --quiet "$run/tree"
    step "unchanged backup" backup --quiet "$run/tree"
    serve "$LARGE" "$BYTES" 1
    "$SOURCE" small "$run/tree/small" "$FILES" 1
    step "changed backup" backup --quiet "$run/tree"
    step snapshots snapshots
    step stats stats
    step "ls -R" ls -R latest
    step find find '*77'
    step diff diff latest~1 latest
    step "cat of a large file" cat latest:/large/large-0000
    cmp "$run/out" <("$SOURCE" print 0 "$BYTES" 1)
    step "restore of the small files" restore --quiet latest:/small --target "$run/restored"
    diff -r "$run/tree/small" "$run/restored"
    rm -rf "$run/restored"
    mounted "find in a mount" 64M find "$run/mnt/latest/" -size +100M
    step check check
    step "check --read-data" check --read-data
    rm -rf "$HOME/.cache/vault"
    step "snapshots, without a cache" snapshots
    step forget forget --keep-last 1
    step prune prune
    step compact compact
    step "check again" check
}

measure_giant() {
    serve 1 "$GIANT"
    "$VAULT" init --quiet --work-factor 2
    step "first backup" backup --quiet "$run/tree"
    step "unchanged backup" backup --quiet "$run/tree"
    serve 1 "$GIANT" 1
    step "changed backup" backup --quiet "$run/tree"
    measure_share
    mounted "random reading in a mount" 64M "$here/readers.py" "$run/mnt/latest/large" 60 8
    /usr/bin/time -o "$run/time" -f '%M %e' "$VAULT" cat latest~1:/large/large-0000 2>"$run/err" | sha256sum >"$run/out"
    report "cat" "${PIPESTATUS[0]}"
    "$SOURCE" print 0 "$GIANT" | sha256sum | cmp - "$run/out"
}

# Gives what was backed up to somebody else, who lists it.
measure_share() {
    HOME=$run/guest "$VAULT" init --quiet --work-factor 2 --vault "$run/other"
    HOME=$run/guest "$VAULT" whoami --card "$run/card" >"$run/out"
    "$VAULT" contact add guest --card "$run/card" >"$run/out"
    step share share latest:/large --to guest
    step grants grants
}

measure_mount() {
    "$SOURCE" small "$run/tree/small" "$FILES"
    serve "$LARGE" "$BYTES"
    "$VAULT" init --quiet --work-factor 2
    "$VAULT" backup --quiet "$run/tree"
    for cache in 16M 64M 256M; do
        mounted "random reading, cache $cache" "$cache" "$here/readers.py" "$run/mnt/latest" 60 8
    done
}

printf '| step | peak, MiB | seconds |\n|---|---|---|\n'
"measure_$what"
[ -z "$failed" ] || { echo "scale.sh: ${failed#; }" >&2; exit 1; }
