#!/usr/bin/env bash
# Races of publish and park between two processes: ci/litmus.sh [ROUNDS] [auto|always], by default a million with the
# barrier, which takes a minute or two.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p slipring-tests --bin litmus
"${CARGO_TARGET_DIR:-target}/release/litmus" "${1:-1000000}" "${2:-auto}"
