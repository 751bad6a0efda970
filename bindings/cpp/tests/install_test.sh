#!/bin/sh
# Installs to temporary prefixes and builds and runs examples/cpp/kv.cpp against them: by find_package
# and by pkg-config, shared and static, moved and staged.
#
# usage: install_test.sh LIBRARY_DIR INCLUDE_DIR
set -eu

root=$(cd "$(dirname "$0")/../../.." && pwd)
LIBRARY_DIR=$1
INCLUDE_DIR=$2
export LIBRARY_DIR INCLUDE_DIR
CXX=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0

ok() {
    passed=$((passed + 1))
    echo "ok $*"
}
fail() {
    echo "FAILED $*" >&2
    exit 1
}
# Starts the program as a cluster of one, and again from its own disk.
try() {
    data=$work/data$passed
    printf 'set color dark green\nget color\nstatus\n' | "$2" "$data" 127.0.0.1:0 first >"$work/out" 2>&1 ||
        fail "$1: $(cat "$work/out")"
    sed -n 1p "$work/out" | grep -qx 'ok' && sed -n 2p "$work/out" | grep -qx 'dark green' &&
        sed -n 3p "$work/out" | grep -Eq '^Leader id=([0-9a-z]+) leader=[0-9a-z]+ applied=[0-9]+$' ||
        fail "$1 answered: $(cat "$work/out")"
    printf 'get color\n' | "$2" "$data" 127.0.0.1:0 first | grep -qx 'dark green' || fail "$1: lost after a restart"
    ok "$1"
}
# configure NAME PREFIX ARGUMENTS: builds the example by find_package.
configure() {
    name=$1 prefix=$2
    shift 2
    cmake -S "$root/examples/cpp" -B "$work/$name" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$CXX" \
        "$@" >"$work/log" 2>&1 && cmake --build "$work/$name" >>"$work/log" 2>&1 || fail "$name: $(cat "$work/log")"
}

PREFIX=$work/first "$root/scripts/install.sh" >/dev/null
mv "$work/first" "$work/quorate"  # the CMake package must not remember where it was
prefix=$work/quorate

configure shared "$prefix"
readelf -d "$work/shared/kv" | grep -q 'NEEDED.*libquorate' || fail "the shared program does not need libquorate"
try "find_package, shared" "$work/shared/kv"
configure static "$prefix" -DQUORATE_STATIC=ON
! readelf -d "$work/static/kv" | grep -q 'NEEDED.*libquorate' || fail "the static program needs libquorate"
try "find_package, static" "$work/static/kv"
cmake -S "$root/examples/cpp" -B "$work/none" -DCMAKE_PREFIX_PATH="$work/nowhere" -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF \
    >"$work/log" 2>&1 && fail "find_package found a package that is not there"
ok "find_package, absent"
version() { printf 'set(PACKAGE_FIND_VERSION %s)\ninclude(%s)\nmessage("[${PACKAGE_VERSION_COMPATIBLE}]")\n' "$1" \
    "$prefix/lib/cmake/quorate/quorateConfigVersion.cmake" >"$work/v.cmake" && cmake -P "$work/v.cmake" 2>&1; }
for wanted in 0.1:TRUE 0.1.0:TRUE 0.1.9:FALSE 0.2:FALSE 0.0.9:FALSE 1.0:FALSE; do
    version "${wanted%:*}" | grep -qF "[${wanted#*:}]" || fail "version ${wanted%:*} should be ${wanted#*:}"
done
ok "find_package, versions"

# From the source tree, without an installation.
mkdir "$work/sub" && cat >"$work/sub/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.16)
project(sub CXX)
add_subdirectory("$root/bindings/cpp" quorate)
add_executable(kv "$root/examples/cpp/kv.cpp")
target_compile_features(kv PRIVATE cxx_std_17)
target_link_libraries(kv PRIVATE quorate::quorate)
END
cmake -S "$work/sub" -B "$work/subbuild" -DCMAKE_CXX_COMPILER="$CXX" -DQUORATE_LIBRARY_DIR="$LIBRARY_DIR" \
    -DQUORATE_INCLUDE_DIR="$INCLUDE_DIR" >"$work/log" 2>&1 && cmake --build "$work/subbuild" >>"$work/log" 2>&1 ||
    fail "add_subdirectory: $(cat "$work/log")"
try "add_subdirectory" "$work/subbuild/kv"

# Staged as a package is: the files are under DESTDIR, and speak of PREFIX.
PREFIX=/usr LIBDIR=lib/some-linux-gnu DESTDIR=$work/stage "$root/scripts/install.sh" >/dev/null
configure staged "$work/stage/usr" -Dquorate_DIR="$work/stage/usr/lib/some-linux-gnu/cmake/quorate"
try "find_package, staged in another LIBDIR" "$work/staged/kv"
grep -q '^prefix=/usr$' "$work/stage/usr/lib/some-linux-gnu/pkgconfig/quorate.pc" || fail "quorate.pc speaks of DESTDIR"

pc() { PKG_CONFIG_PATH=$work/pc/lib/pkgconfig pkg-config "$@" quorate; }
PREFIX=$work/pc "$root/scripts/install.sh" >/dev/null
[ "$(pc --modversion)" = 0.1.0 ] || fail "pkg-config says $(pc --modversion)"
# shellcheck disable=SC2046 # words are what pkg-config gives
"$CXX" -std=c++17 "$root/examples/cpp/kv.cpp" -o "$work/kv_shared" $(pc --cflags --libs) -Wl,-rpath,"$work/pc/lib"
try "pkg-config, shared" "$work/kv_shared"
# shellcheck disable=SC2046
"$CXX" -std=c++17 "$root/examples/cpp/kv.cpp" -o "$work/kv_static" $(pc --cflags) "$work/pc/lib/libquorate.a" \
    $(pc --libs --static | sed 's/-lquorate//')
try "pkg-config, static" "$work/kv_static"

for bad in PREFIX=relative LIBDIR=/lib LIBRARY_DIR=/nowhere INCLUDE_DIR=/nowhere; do
    ! env "PREFIX=$work/bad" "$bad" "$root/scripts/install.sh" >"$work/log" 2>&1 || fail "$bad was accepted"
    grep -q '^install: ' "$work/log" || fail "$bad: $(cat "$work/log")"
done
ok "wrong arguments are refused"
echo "$passed passed, 0 failed"
