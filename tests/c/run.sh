#!/usr/bin/env bash
# Compiles the header and the C tests, and runs each program plain, under AddressSanitizer with the leak
# checker, and under valgrind. Any error or leak fails.
#
# usage: tests/c/run.sh [PROGRAM ...]       all programs when none is named, such as: tests/c/run.sh abi
#   QUORATE_LIB_DIR   where libquorate.so is (target/release)
#   MODES             which of "plain asan valgrind" (all)
#   STRICT=1          a tool that is missing is a failure, and not skipped
set -uo pipefail
cd "$(dirname "$0")/../.."

lib=$(realpath -m "${QUORATE_LIB_DIR:-target/release}")
modes=${MODES:-plain asan valgrind}
programs=${*:-abi misuse life callback input kit storage lies starved blocked network frames watch sqlite cluster process}
out=build/c
passed=0 failed=0
rm -rf $out && mkdir -p $out/data
QUORATE_TEST_DIR=$(realpath $out/data)
export QUORATE_TEST_DIR
trap 'rm -rf "$QUORATE_TEST_DIR"' EXIT

warnings="-Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wno-format-truncation -Werror"
flags="-std=c11 -D_GNU_SOURCE -g -O1 $warnings -Iinclude -Iexamples/c"
link="-L$lib -Wl,-rpath,$lib -lquorate -lpthread"

# check NAME COMMAND...: one thing that must succeed.
check() {
    local name=$1 log
    shift
    if log=$("$@" 2>&1); then
        echo "ok   $name"
        passed=$((passed + 1))
    else
        echo "FAIL $name"
        printf '%s\n' "$log" | tail -n 60 | sed 's/^/     /'
        failed=$((failed + 1))
    fi
}

# have TOOL: whether it is there; STRICT makes its absence a failure.
have() {
    command -v "$1" >/dev/null 2>&1 && return 0
    echo "SKIPPED: no $1"
    [ -z "${STRICT:-}" ] || failed=$((failed + 1))
    return 1
}

# in_mode MODE PROGRAM: runs it. What runs many times slower gets more time before it is taken for dead.
in_mode() {
    case $1 in
    plain) timeout 600 $out/$2 ;;
    asan) ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 timeout 600 $out/$2-asan ;;
    valgrind)
        QUORATE_TEST_SLOW=1 timeout 1200 valgrind --quiet --error-exitcode=99 --leak-check=full \
            --show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect \
            --suppressions=tests/c/valgrind.supp --child-silent-after-fork=yes --fair-sched=yes $out/$2
        ;;
    esac
}

# run MODE PROGRAM: tells how many tests the program reports; in $log.counts those that passed, and failures.
run() {
    local mode=$1 program=$2 log=$out/$1-$2.log started=$SECONDS tests
    echo "0 1" >"$log.counts" # until it has ended
    if in_mode $mode $program >"$log" 2>&1 &&
        tests=$(sed -nE "s/^$program: ([0-9]+) passed, 0 failed$/\1/p" "$log") && [ -n "$tests" ]; then
        echo "ok   $mode $program ($tests tests, $((SECONDS - started)) s)"
        echo "$tests 0" >"$log.counts"
    else
        printf 'FAIL %s\n%s\n' "$mode $program" "$(tail -n 60 "$log" | sed 's/^/     /')"
        echo "$(grep -c '^  ok ' "$log") 1" >"$log.counts"
    fi
}

# begin COMMAND...: in the background, as many at once as there are processors.
begin() {
    [ "$(jobs -pr | wc -l)" -lt "$(nproc)" ] || wait -n
    "$@" &
}

if [ ! -e "$lib/libquorate.so.0" ]; then
    echo "FAIL no $lib/libquorate.so.0: cargo build --release -p quorate-ffi makes it"
    echo "0 passed, 1 failed"
    exit 1
fi

# The header alone, in every language that includes it, twice.
printf '#include "quorate.h"\n#include "quorate.h"\nint main(void) { return 0; }\n' >$out/header.c
cp $out/header.c $out/header.cpp
for standard in c99 c11; do
    check "header $standard" gcc -std=$standard $warnings -Iinclude -fsyntax-only $out/header.c
done
have g++ && check "header c++17" g++ -std=c++17 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only $out/header.cpp

# The program abi calls all that there is.
check "compile abi" gcc $flags -c tests/c/abi.c -o $out/abi.o
called() { nm -u $out/abi.o | awk '{print $2}' | grep ^quorate_ | sort; }
exported() { nm -D --defined-only "$lib/libquorate.so" | awk '{print $3}' | sort; }
everything_is_called() { diff <(exported) <(called); }
check "abi calls every function" everything_is_called

# The package file leads to header and library, and the example needs no more.
package() {
    mkdir -p $out/prefix/lib/pkgconfig $out/prefix/include
    cp include/quorate.h $out/prefix/include && cp "$lib/libquorate.so" $out/prefix/lib/ || return 1
    ln -s libquorate.so $out/prefix/lib/libquorate.so.0
    sed "s|@PREFIX@|$(realpath $out/prefix)|; s|@LIBDIR@|\${prefix}/lib|; s|@VERSION@|0.1.0|" \
        bindings/cpp/cmake/quorate.pc >$out/prefix/lib/pkgconfig/quorate.pc
    export PKG_CONFIG_PATH=$out/prefix/lib/pkgconfig
    gcc -std=c11 -D_GNU_SOURCE $warnings examples/c/kv.c $(pkg-config --cflags --libs quorate) -lpthread -o $out/kv &&
        gcc -std=c11 -D_GNU_SOURCE $warnings -DKV_SQLITE examples/c/kv.c examples/c/sqlite_store.c \
            $(pkg-config --cflags --libs quorate sqlite3) -lpthread -o $out/kv-sqlite
}
have pkg-config && check "example by pkg-config" package
example() { # PROGRAM STORAGE: alone, and again after a restart
    local kv="env LD_LIBRARY_PATH=$lib $out/$1 $QUORATE_TEST_DIR/$1 127.0.0.1:0 --storage $2"
    printf 'set color green and blue\nget color\nget none\nadd nowhere\n' | $kv | tee $out/kv.log
    diff <(head -n 3 $out/kv.log) <(printf 'ok\ngreen and blue\n(none)\n') && grep -q '^error: ' $out/kv.log &&
        diff <(printf 'get color\n' | $kv) <(echo 'green and blue')
}
[ -e $out/kv ] && check "example runs" example kv wal
[ -e $out/kv-sqlite ] && check "example with SQLite runs" example kv-sqlite sqlite

sanitize="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
for program in leak $programs; do
    with=tests/c/$program.c
    [ $program != sqlite ] || with="$with examples/c/sqlite_store.c -lsqlite3"
    check "compile $program" gcc $flags $with -o $out/$program $link
    check "compile $program for asan" gcc $flags $sanitize $with -o $out/$program-asan $link
done
sees_the_leak() { # it ends well by itself, and badly when it is watched
    in_mode plain leak && ! in_mode "$1" leak
}
for mode in $modes; do
    [ "$mode" != valgrind ] || have valgrind || continue
    [ "$mode" = plain ] || check "$mode sees a leak" sees_the_leak "$mode"
    for program in $programs; do
        [ $program != blocked ] || [ "$mode" = plain ] || continue # ten seconds are the same in all
        begin run "$mode" "$program"
    done
done
wait
while read -r well badly; do
    passed=$((passed + well)) failed=$((failed + badly))
done < <(cat $out/*.log.counts)
echo "$passed passed, $failed failed"
[ $failed = 0 ]
