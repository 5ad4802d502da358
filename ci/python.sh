#!/usr/bin/env bash
# The Python package: builds it into .venv, then its lints, its types, the stubs against the binary, and its tests.
#   ci/python.sh          all of that, with python3, and the tests with every other CPython >= 3.11 that is found
#   ci/python.sh build    only builds
#   ci/python.sh run FILE the tour: an echo table, and a file that is handed over in place
#   ci/python.sh wheel    wheel and source distribution into dist/, tried out in a fresh environment without Rust
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
say() { printf '\n== %s\n' "$*"; }

if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "skipped: Python (python3 is missing, or older than 3.11)"
    exit 0
fi
[ -x .venv/bin/python ] || python3 -m venv .venv
bin=$root/.venv/bin
"$bin/python" -c 'import hypothesis, maturin, mypy, numpy, pytest, typing_extensions' 2>/dev/null ||
    "$bin/pip" install --quiet 'maturin>=1.16,<2' pytest hypothesis numpy mypy ruff typing_extensions
# Tests of what not everybody has run where it can be had, and say so where not.
"$bin/python" -c 'import uvloop' 2>/dev/null || "$bin/pip" install --quiet uvloop || true
export VIRTUAL_ENV=$root/.venv PATH=$bin:$PATH

wheel() {
    say "wheel and source distribution"
    rm -rf dist
    (cd bindings/python && maturin build --release --sdist --out "$root/dist")
    # In a place of its own, with no Rust on the path, from the wheel alone.
    local fresh
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' RETURN
    python3 -m venv "$fresh/venv"
    "$fresh/venv/bin/pip" install --quiet pytest hypothesis numpy dist/*.whl
    cp -r bindings/python/tests bindings/python/pyproject.toml "$fresh"
    (cd "$fresh" && env -i HOME="$fresh" PATH="$fresh/venv/bin:/usr/bin:/bin" "$fresh/venv/bin/python" -m pytest tests/test_seed_page.py)
    ls -l dist
}

tests_with_others() {
    local ours python version fresh built
    ours=$("$bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    built=$(mktemp -d)
    fresh=$(mktemp -d)
    trap 'rm -rf "$built" "$fresh"' RETURN
    for version in 3.11 3.12 3.13 3.14 3.15; do
        [ "$version" != "$ours" ] || continue
        python=$(found "$version")
        [ -n "$python" ] || continue
        [ -n "$(ls "$built")" ] || (cd bindings/python && maturin build --quiet --release --out "$built")
        say "tests with $python"
        "$python" -m venv --clear "$fresh"
        "$fresh/bin/pip" install --quiet pytest hypothesis numpy "$built"/*.whl
        cp -r bindings/python/tests bindings/python/pyproject.toml "$fresh"
        (cd "$fresh" && bin/python -m pytest)
    done
}

# A CPython of this version that starts, if there is one.
found() {
    local python
    for python in "$HOME"/.pyenv/versions/"$1".*/bin/python"$1" /usr/bin/python"$1" /usr/local/bin/python"$1"; do
        if [ -x "$python" ] && "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

if [ "${1:-}" = wheel ]; then
    wheel
    exit
fi
say "build"
(cd bindings/python && maturin develop --quiet --release)
if [ "${1:-}" = build ]; then exit; fi
if [ "${1:-}" = run ]; then
    say "Python: two processes"
    python examples/python/tour.py "${@:2}"
    exit
fi
cd bindings/python
if command -v ruff >/dev/null; then
    say "lints"
    ruff format --check --config pyproject.toml . "$root/examples/python" "$root/ci"
    ruff check --config pyproject.toml . "$root/examples/python" "$root/ci"
    ruff format --check "$root/bench/python"
    ruff check "$root/bench/python"
fi
say "types"
mypy python/slipring "$root/examples/python"
python -m mypy.stubtest slipring --allowlist stubtest.allow --ignore-unused-allowlist
say "tests"
python -m pytest
cd "$root"
tests_with_others
