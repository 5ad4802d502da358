#!/usr/bin/env bash
# Installs into .venv what slipring's Python package is compared with, and says what cannot be had here. Never fails for it.
set -uo pipefail
cd "$(dirname "$0")/../.."
pip=$PWD/.venv/bin/pip
[ -x "$pip" ] || { echo "  skipped: there is no .venv (ci/python.sh makes it)"; exit 0; }
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Package $1, with the variables $2... for whatever is compiled.
install() {
    local package=$1
    shift
    if env "$@" "$pip" install --quiet "$package" >"$log" 2>&1; then
        echo "  there: $package"
    else
        echo "  skipped: $package ($(grep -m 1 -iE 'required|error|no matching' "$log" || tail -n 1 "$log"))"
    fi
}

install pyzmq
install shm-rpc-bridge
# Compiled here, with link-time optimisation as its own build asks for: by GCC 14, or else by Clang and the libc++ of its version.
clang=$(bash bench/rivals/tachyon/clang)
if [ -n "$clang" ] && ! { command -v g++ >/dev/null && [ "$(g++ -dumpversion | cut -d. -f1)" -ge 14 ]; }; then
    llvm=/usr/lib/llvm-$clang/bin
    install tachyon-ipc "CC=$llvm/clang" "CXX=$llvm/clang++" CXXFLAGS=-stdlib=libc++ CXXSTDLIB=c++ "LDFLAGS=-stdlib=libc++ -flto"
else
    install tachyon-ipc
fi
