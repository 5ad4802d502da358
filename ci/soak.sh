#!/usr/bin/env bash
# Storms, races and streams by turns, for so many hours. Stops at the first thing that goes wrong.
set -euo pipefail
cd "$(dirname "$0")/.."
hours=${1:-1}
end=$(($(date +%s) + hours * 3600))
cargo build --release --workspace --quiet
round=0
while [ "$(date +%s)" -lt "$end" ]; do
    round=$((round + 1))
    echo "round $round, $(((end - $(date +%s)) / 60)) minutes left"
    SLIPRING_STORM_N=2000 cargo test --quiet --release -p slipring-tests --test storm
    SLIPRING_SCRIBBLE_SECONDS=60 cargo test --quiet --release -p slipring-tests --test scribble
    SLIPRING_CROWD_SECONDS=60 cargo test --quiet --release -p slipring-tests --test crowd
    ci/litmus.sh 5000000
    cargo run --quiet --release -p slipring-bench -- stream --payload 64 --seconds 20
    cargo run --quiet --release -p slipring-bench -- death
done
