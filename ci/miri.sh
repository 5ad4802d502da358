#!/usr/bin/env bash
# The protocols under Miri: every access of ring, returns, parking and sides to heap memory, with its races, and the books of
# arena and calls. What makes system calls is not for Miri and is left out. Arguments go to the tests, for example a filter.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly miri --version >/dev/null 2>&1; then
    echo "skipped: Miri (rustup toolchain install nightly --component miri,rust-src)"
    exit 0
fi
# Time and the environment are read.
flags="${MIRIFLAGS:-} -Zmiri-disable-isolation"
run() {
    MIRIFLAGS="$flags" cargo +nightly miri test --quiet -p slipring --lib -- "$@"
}
if [ $# -gt 0 ]; then
    run "$@"
    exit
fi
# Between threads, with loads that may see old values.
run returns:: side::
# By one thread, where there is nothing old to see; Miri's emulation of weak memory fails (nightly of May 2026, "cannot have
# empty store buffer") where plain bytes cover a part of what was an atomic word, as payloads of every length do.
flags="$flags -Zmiri-disable-weak-memory-emulation"
run layout:: options:: park:: ring:: session::record:: session::wire:: span:: wait::
# Books without a line of unsafe code: what takes minutes here, and shows nothing that it does not show elsewhere, is left out.
run arena:: rpc:: --skip arena::tests::plain --skip ids_stay_unique_and_never_zero_past_their_range
