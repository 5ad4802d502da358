#!/usr/bin/env bash
# The models (core/src/models): every order of the protocols' steps that the memory model allows, over the shipped files.
# LOOM_MAX_PREEMPTIONS=n bounds them all alike; without it each has its own bound, or none. Arguments go to the tests, for
# example a filter.
set -euo pipefail
cd "$(dirname "$0")/.."
# Half of the crate needs an operating system and is not there in a model; what only that half uses is dead here.
export RUSTFLAGS="${RUSTFLAGS:-} --cfg loom -A dead_code"
# A model runs a hundred thousand executions: optimised, with the debug assertions in.
export CARGO_PROFILE_DEV_OPT_LEVEL=3
# A build folder of its own, so that other builds stay valid.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/loom
cargo test --quiet -p slipring --lib -- --nocapture "$@"
