#!/usr/bin/env bash
# Instructions of the hot paths, a message, by callgrind, beside the table of this compiler and processor in
# bench/icount/tables: fails where a path has grown by more than 3 %. `keep` writes the table. Without a table, or without valgrind,
# it says so and goes on.
set -euo pipefail
cd "$(dirname "$0")/.."
"${CARGO:-cargo}" build --quiet --release -p slipring-bench --features icount --bin slipring-icount
"${CARGO_TARGET_DIR:-target}/release/slipring-icount" "${1:-check}"
