#!/usr/bin/env bash
# CMake for the test that installs slipring and builds against it: where there is none, into .venv, where that test finds it. Without
# Python, or without a network, the test says that it is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v cmake >/dev/null || [ -x .venv/bin/cmake ]; then exit 0; fi
if ! command -v python3 >/dev/null; then
    echo "skipped: CMake (neither cmake nor python3 is here)"
    exit 0
fi
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/pip install --quiet cmake || echo "skipped: CMake (pip could not install it)"
