#!/bin/sh
# Installs quorate for C and C++: headers, libraries, quorate.pc and the CMake package.
#
#     cargo build --release -p quorate-ffi
#     scripts/install.sh                             to /usr/local
#     PREFIX=/opt/quorate scripts/install.sh
#     PREFIX=/usr LIBDIR=lib/x86_64-linux-gnu DESTDIR=./package scripts/install.sh
#
# LIBRARY_DIR is where the built libraries are, INCLUDE_DIR where quorate.h is.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
prefix=${PREFIX:-/usr/local}
libdir=${LIBDIR:-lib}
destdir=${DESTDIR:-}
libraries=${LIBRARY_DIR:-$root/target/release}
headers=${INCLUDE_DIR:-$root/include}
cpp=$root/bindings/cpp

fail() {
    echo "install: $*" >&2
    exit 1
}
case $prefix in /*) ;; *) fail "PREFIX must be an absolute path, not '$prefix'" ;; esac
case $libdir in /* | *..*) fail "LIBDIR is relative to PREFIX, not '$libdir'" ;; esac
[ -f "$headers/quorate.h" ] || fail "no quorate.h in $headers: build the library first"
[ -f "$libraries/libquorate.so" ] && [ -f "$libraries/libquorate.a" ] ||
    fail "no libquorate.so and libquorate.a in $libraries: cargo build --release -p quorate-ffi"

number() { sed -n "s/^#define QUORATE_VERSION_$1 \([0-9]*\).*/\1/p" "$headers/quorate.h"; }
version=$(number MAJOR).$(number MINOR).$(number PATCH)
# The name that programs look for at run time is in the library; the version alone does not tell it.
soname=$(readelf -d "$libraries/libquorate.so" | sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p')
[ -n "$soname" ] || fail "$libraries/libquorate.so has no soname"

lib=$destdir$prefix/$libdir
include=$destdir$prefix/include
package=$lib/cmake/quorate
# From the CMake package back to the prefix: two steps, and one for each part of LIBDIR.
to_prefix=../..$(echo "$libdir" | sed 's|[^/][^/]*|..|g; s|^|/|')

fill() {
    sed -e "s|@PREFIX@|$prefix|; s|@LIBDIR@|\${prefix}/$libdir|; s|@VERSION@|$version|" \
        -e "s|@TO_PREFIX@|$to_prefix|" "$1" >"$2"
    chmod 644 "$2"
}

install -d "$include/quorate" "$lib/pkgconfig" "$package"
install -d "$destdir$prefix/share/doc/quorate"
install -m 644 "$root/LICENSE" "$root/LICENSE-MIT" "$root/LICENSE-APACHE" "$destdir$prefix/share/doc/quorate"
install -m 644 "$headers/quorate.h" "$cpp/include/quorate.hpp" "$include"
install -m 644 "$cpp"/include/quorate/*.hpp "$include/quorate"
install -m 644 "$libraries/libquorate.a" "$lib"
install -m 755 "$libraries/libquorate.so" "$lib/libquorate.so.$version"
ln -sf "libquorate.so.$version" "$lib/$soname"
ln -sf "$soname" "$lib/libquorate.so"
fill "$cpp/cmake/quorate.pc" "$lib/pkgconfig/quorate.pc"
fill "$cpp/cmake/quorateConfig.cmake" "$package/quorateConfig.cmake"
fill "$cpp/cmake/quorateConfigVersion.cmake" "$package/quorateConfigVersion.cmake"
install -m 644 "$cpp/cmake/quorateTargets.cmake" "$package"
echo "installed quorate $version to $destdir$prefix"
