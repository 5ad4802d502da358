#!/usr/bin/env bash
# The tests of two threads under ThreadSanitizer, which watches the real machine code for accesses that nothing orders. It
# does not understand fences; nothing that is read or written here is ordered by one alone (fences only keep wake-ups from
# being lost, which the models prove), so no test has to be left out. Arguments go to the tests, for example a filter.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc +nightly -vV 2>/dev/null | sed -n 's/^host: //p')
if [ -z "$host" ] || ! [ -d "$(rustc +nightly --print sysroot)/lib/rustlib/src/rust/library" ]; then
    echo "skipped: ThreadSanitizer (rustup toolchain install nightly --component rust-src)"
    exit 0
fi
filters=(side:: returns:: a_ring_that_changes_while_it_is_read)
[ $# -eq 0 ] || filters=("$@")
export RUSTFLAGS="${RUSTFLAGS:-} -Zsanitizer=thread"
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"
cargo +nightly test --quiet -Zbuild-std --target "$host" -p slipring --lib -- "${filters[@]}"
