#!/bin/sh
# The tests of the C++ binding, twice: plain as C++17, 20 and 23, and as C++17 under AddressSanitizer and
# UndefinedBehaviorSanitizer.
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
    if [ "$kind" = plain ]; then
        cmake -S bindings/cpp -B build/cpp-plain >/dev/null
    else
        cmake -S bindings/cpp -B build/cpp-sanitized -DQUORATE_SANITIZE=ON -DQUORATE_STANDARDS=17 >/dev/null
    fi
    cmake --build "build/cpp-$kind" -j "$jobs" >/dev/null
    # What ctest counts are programs; each of them prints how many tests it ran.
    (cd "build/cpp-$kind" && ctest -V -j "$jobs") >"build/cpp-$kind/log" 2>&1 || failed=1
    sed -E -e '/tests passed,|^ +Start |^test |^$/d' -e '/^[0-9]+: (Test|Working) /d' \
        -e '/^[0-9]+: [a-z_]+\.cpp .* ok [0-9]+ ms$/d' "build/cpp-$kind/log"
done
exit $failed
