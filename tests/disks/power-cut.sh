#!/usr/bin/env bash
# Cuts the power of a real file system (ext4, in a file on a loop device) while a log is written there, and
# checks what is left. Needs root, loop devices and mkfs.ext4; without them it says so and does nothing.
# usage: tests/disks/power-cut.sh [ROUNDS]      30 rounds for each store if none is given
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-30}

skip() { echo "SKIPPED: power-cut: $1"; exit 0; }
[ "$(id -u)" = 0 ] || skip "only root may mount a file system"
for tool in mkfs.ext4 losetup mount umount; do
    command -v $tool >/dev/null || skip "$tool is missing: install e2fsprogs and mount"
done

cargo build -q --release --locked -p quorate-tests --bin power_cut
program=${CARGO_TARGET_DIR:-target}/release/power_cut
work=$(mktemp -d)
disk=$work/disk mount=$work/mount
trap 'umount -q "$mount" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$mount"

fresh() { # an empty file system of 512 MiB
    rm -f "$disk" && truncate -s 512M "$disk" && mkfs.ext4 -q -F "$disk"
}
on() { mount -o loop "$disk" "$mount"; }

fresh
on 2>"$work/why" || skip "can't mount: $(cat "$work/why")"
"$program" cut "$mount" 2>"$work/why" || skip "the file system can't be shut down: $(cat "$work/why")"
umount "$mount"

for store in wal sled; do
    fresh
    journal=$work/$store.journal
    : >"$journal"
    beyond=0
    for round in $(seq "$rounds"); do
        on
        "$program" write $store "$mount/data" "$journal" "$round" 2>"$work/end" &
        writer=$!
        sleep "0.$((RANDOM % 8))$((RANDOM % 10))" # when the power goes is chance
        "$program" cut "$mount"
        wait $writer && { echo "$store, round $round: the writer did not fail"; exit 1; }
        umount "$mount"
        on
        found=$("$program" check $store "$mount/data" "$journal") || {
            echo "$store, round $round: $found; the journal ends:"; tail -5 "$journal"; exit 1
        }
        case $found in *" 0 steps beyond") ;; *) beyond=$((beyond + 1)) ;; esac
        umount "$mount"
    done
    echo "$store: $rounds power cuts, nothing acknowledged was lost; $found; $beyond found more than that"
done
