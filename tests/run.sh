#!/bin/bash
# Runs every test of the project, as CI does. Stops at the first failure.
#
#   tests/run.sh             everything
#   FUZZ_SECONDS=60 …        longer runs of each fuzz target (0 leaves them out)
#   PROPTEST_CASES=1000 …    more histories of the round trip
#   VAULT_TEST_SERVER_KILLS=200 …    more kills of a server at work

set -euo pipefail
cd "$(dirname "$0")/.."

fuzz_seconds=${FUZZ_SECONDS:-5}
target_dir=${CARGO_TARGET_DIR:-$PWD/target}
host=$(rustc -vV | sed -n 's/^host: //p')

section() {
    printf '\n== %s\n' "$1"
}

# What the tests use besides the toolchain. As root on Debian and its kin, what is missing is installed; elsewhere tests that
# need it say that they were skipped.
section "tools"
packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }
need setfacl acl
need setfattr attr
need fusermount3 fuse3
need cc build-essential
need c++ build-essential
need python3 python3
need node nodejs
need npm npm
[ -n "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || need initdb postgresql
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
if [ ${#packages[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "${packages[@]}" >/dev/null
elif [ ${#packages[@]} -gt 0 ]; then
    echo "not there: ${packages[*]}"
fi
if command -v npm >/dev/null && [ -f tests/interop/package-lock.json ]; then
    npm ci --silent --no-audit --no-fund --prefix tests/interop
fi
echo "$(rustc --version), $(nproc) processors"

section "format"
cargo fmt --all --check

section "lints"
cargo clippy --workspace --all-targets --quiet -- -D warnings

# Each alone, as it is installed: the server without what only clients link.
section "the binaries alone"
cargo check --package vault-server --quiet
cargo check --package vault-cli --quiet

# With the features of the workspace, so that the tests compile nothing a second time.
section "build"
cargo build --workspace

section "tests"
cargo test --workspace

section "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

# libFuzzer with the coverage that the stable compiler can give, so that neither cargo-fuzz nor nightly is needed.
fuzz() {
    local flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
    flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
    flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
    # With a target named, the flags do not reach build scripts, which could not be linked with them.
    RUSTFLAGS="$flags" cargo build --quiet --release --manifest-path fuzz/Cargo.toml \
        --target "$host" --target-dir "$target_dir/fuzz"
    local name
    for name in $(sed -n '/^\[\[bin\]\]/,/^$/s/^name = "\(.*\)"/\1/p' fuzz/Cargo.toml); do
        echo "$name: $fuzz_seconds s"
        mkdir -p "$target_dir/fuzz/corpus/$name" "$target_dir/fuzz/artifacts/$name"
        local seeds=()
        [ -d "fuzz/seeds/$name" ] && seeds=("fuzz/seeds/$name")
        "$target_dir/fuzz/$host/release/$name" "$target_dir/fuzz/corpus/$name" "${seeds[@]}" \
            -max_total_time="$fuzz_seconds" -rss_limit_mb=1024 -timeout=10 -verbosity=0 -print_final_stats=0 \
            -artifact_prefix="$target_dir/fuzz/artifacts/$name/"
    done
}
if [ "$fuzz_seconds" -gt 0 ] && [ -f fuzz/Cargo.toml ]; then
    section "fuzz"
    fuzz
fi

section "all passed"
