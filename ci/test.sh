#!/usr/bin/env bash
# Everything that has to pass, and the short version of each campaign.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }

ci/check.sh
say "tests"
ci/cmake.sh
# The Python module is nothing that runs without a Python; its tests are below. What needs a C++ compiler is built by the test of it.
cargo test --workspace --exclude slipring-python --exclude slipring-cxx --exclude slipring-examples-cxx
say "benchmarks of the parts, each once"
cargo test --quiet -p slipring --bench parts
say "tests of sessions, over POSIX shared memory"
SLIPRING_BACKEND=posix SLIPRING_CROWD_SECONDS=5 cargo test -p slipring-tests \
    --test bad_input --test blocks --test blocks_limits --test counters --test crowd --test death --test event_loop --test goodbye \
    --test leaks --test limits --test long_payloads --test observer --test owned_claims --test poller --test poller_crowd --test rpc \
    --test rpc_bounds --test rpc_late --test server --test shared --test shared_death --test shared_limits \
    --test signals --test storm
say "models (loom)"
ci/loom.sh
say "races of publish and park (short)"
ci/litmus.sh 200000
say "Miri (short)"
ci/miri.sh
say "ThreadSanitizer (short)"
ci/tsan.sh
say "Python"
ci/python.sh
say "instructions of the hot paths"
ci/icount.sh
say "the harness (short)"
ci/bench.sh quick
