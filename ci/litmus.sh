#!/usr/bin/env bash
# Races of publish and park between two processes: ROUNDS of them, by default a million (about half a minute).
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p slipring-tests --bin litmus
"${CARGO_TARGET_DIR:-target}/release/litmus" "${1:-1000000}" auto
