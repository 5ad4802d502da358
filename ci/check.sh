#!/usr/bin/env bash
# Format and lints. Where a component of the toolchain is missing, says so and goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }

if cargo fmt --version >/dev/null 2>&1; then
    say "format"
    cargo fmt --all --check
    # Outside the workspace, each with a manifest of its own.
    for manifest in bench/rivals/*/Cargo.toml; do cargo fmt --manifest-path "$manifest" --check; done
else
    say "skipped: format (no rustfmt in this toolchain)"
fi
if cargo clippy --version >/dev/null 2>&1; then
    say "lints"
    cargo clippy --workspace --exclude slipring-python --all-targets --quiet -- -D warnings
    # The binding asks a Python how to call it.
    if command -v python3 >/dev/null; then cargo clippy -p slipring-python --quiet -- -D warnings; fi
    cargo clippy -p slipring --features internals --benches --quiet -- -D warnings
else
    say "skipped: lints (no clippy in this toolchain)"
fi
say "API pages"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet -p slipring
if command -v python3 >/dev/null 2>&1; then
    say "results in the README and docs/COMPARE.md are those of the newest record"
    python3 bench/results.py --check
else
    say "skipped: results in the README and docs/COMPARE.md (no python3)"
fi
