#!/usr/bin/env bash
# Tries every system to compare with that build.sh could build: in two processes, with every work and wait that it supports,
# from 8 bytes to 64 KiB, each message written, read and checked. Fails if one of them fails. With names, only those, as
# they were built. RIVAL_PAYLOADS=1048576,16777216 tries other lengths, RIVAL_CLIENTS=64 more clients.
set -uo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$root/$target ;; esac
out=$target/rivals
log=$(mktemp)
trap 'rm -f "$log"' EXIT

[ $# -gt 0 ] || bash ./build.sh
names=("$@")
[ $# -gt 0 ] || names=($(ls "$out" 2>/dev/null))
failed=0
if [ $# -eq 0 ]; then
    # What the rivals of the kernel share has tests of its own.
    CARGO_TARGET_DIR=$target/rivals-build cargo test --release --locked --quiet --lib --manifest-path os/Cargo.toml || failed=1
fi
for name in "${names[@]}"; do
    if timeout 300 "$out/$name" self-test >"$log" 2>&1; then
        echo "  $name: $(grep -c 'verified$' "$log") kinds of traffic verified"
    else
        echo "  $name: FAILED"
        tail -n 5 "$log"
        failed=1
    fi
done
exit $failed
