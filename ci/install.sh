#!/usr/bin/env bash
# Installs the C library: PREFIX (/usr/local), LIBDIR (PREFIX/lib) and DESTDIR (none, before all of them) say where to. BUILT says
# in which folder the libraries are; without it they are built.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-$prefix/lib}
root=${DESTDIR:-}
case $prefix$libdir in *[\|\&\\]*) echo "PREFIX and LIBDIR cannot have |, & or \\ in them" >&2; exit 2 ;; esac
case $prefix in /*) ;; *) echo "PREFIX must begin with /: $prefix" >&2; exit 2 ;; esac
case $libdir in /*) ;; *) echo "LIBDIR must begin with /: $libdir" >&2; exit 2 ;; esac
built=${BUILT:-}
if [ -z "$built" ]; then
    "${CARGO:-cargo}" build --release --quiet -p slipring-ffi
    built=${CARGO_TARGET_DIR:-target}/release
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
abi=$(sed -n 's/^#define SLIPRING_ABI_VERSION \([0-9]*\)$/\1/p' include/slipring/slipring.h)
IFS=. read -r major minor _ <<<"$version"

fill() {
    sed -e "s|@PREFIX@|$prefix|g" -e "s|@LIBDIR@|$libdir|g" -e "s|@VERSION@|$version|g" -e "s|@ABI@|$abi|g" \
        -e "s|@MAJOR@|$major|g" -e "s|@MINOR@|$minor|g" "ffi/install/$1.in" >"$2/$1"
    chmod 644 "$2/$1"
}

install -d "$root$prefix/include/slipring/hpp" "$root$libdir/pkgconfig" "$root$libdir/cmake/slipring"
install -m 644 include/slipring/slipring.h include/slipring/slipring.hpp "$root$prefix/include/slipring/"
install -m 644 include/slipring/hpp/*.hpp "$root$prefix/include/slipring/hpp/"
install -m 755 "$built/libslipring.so" "$root$libdir/libslipring.so.$version"
ln -sf "libslipring.so.$version" "$root$libdir/libslipring.so.$abi"
ln -sf "libslipring.so.$abi" "$root$libdir/libslipring.so"
install -m 644 "$built/libslipring.a" "$root$libdir/libslipring.a"
fill slipring.pc "$root$libdir/pkgconfig"
fill slipring-config.cmake "$root$libdir/cmake/slipring"
fill slipring-config-version.cmake "$root$libdir/cmake/slipring"
echo "installed libslipring $version to $root$libdir"
