#!/usr/bin/env bash
# Builds every system to compare with that can be built here into ${CARGO_TARGET_DIR:-target}/rivals, and says what it skipped
# and why. Never fails for one that is missing. With names, only those.
set -uo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$root/$target ;; esac
out=$target/rivals
mkdir -p "$out"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

skip() { echo "  $1: skipped: $2"; rm -f "$out/$1"; }

build() {
    local name=$1 why
    if [ ! -f "$name/Cargo.toml" ]; then skip "$name" "there is no bench/rivals/$name"; return; fi
    if [ -f "$name/needs" ] && ! why=$(cd "$name" && bash ./needs 2>&1); then skip "$name" "needs ${why:-more than is here}"; return; fi
    if (
        cd "$name"
        # Variables for the compiler, where it needs some.
        if [ -f env ]; then set -a; . ./env; set +a; fi
        CARGO_TARGET_DIR=$target/rivals-build cargo build --release --quiet
    ) >"$log" 2>&1; then
        # In its place at once, so that a run that has it open goes on with the old one.
        cp "$target/rivals-build/release/rival-$name" "$out/.$name" && mv "$out/.$name" "$out/$name" && echo "  $name: built"
    else
        skip "$name" "$(grep -m 1 '^error' "$log" || tail -n 1 "$log")"
    fi
}

if [ $# -gt 0 ]; then
    for name in "$@"; do build "$name"; done
else
    for folder in */; do build "${folder%/}"; done
fi
exit 0
