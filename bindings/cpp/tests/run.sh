#!/bin/sh
# The tests of the C++ binding, twice: plain, and under AddressSanitizer and UndefinedBehaviorSanitizer.
# Wants the library: cargo build --release -p quorate-ffi.
#
# usage: run.sh [plain|sanitized]
set -eu

cd "$(dirname "$0")/../../.."
jobs=$(getconf _NPROCESSORS_ONLN)
[ -f target/release/libquorate.so ] || {
    echo "run.sh: no target/release/libquorate.so: cargo build --release -p quorate-ffi" >&2
    exit 1
}
failed=0
for kind in ${1:-plain sanitized}; do
    sanitize=OFF
    [ "$kind" = plain ] || sanitize=ON
    cmake -S bindings/cpp -B "build/cpp-$kind" -DQUORATE_SANITIZE=$sanitize >/dev/null
    cmake --build "build/cpp-$kind" -j "$jobs" >/dev/null
    # What ctest counts are programs; each of them prints how many tests it ran.
    (cd "build/cpp-$kind" && ctest -V) >"build/cpp-$kind/log" 2>&1 || failed=1
    sed -e '/tests passed,/d' -e '/^[0-9]*: [^ ]*_test.cpp .* ok [0-9]* ms$/d' "build/cpp-$kind/log"
done
exit $failed
