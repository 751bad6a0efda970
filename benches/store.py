"""The stores beside the raw device: durable appends, and a restart on a full log."""

import argparse
from typing import Any

import rounds
from common import RESULTS, write_json

METHOD = (
    "one thread appends batches and makes each durable; raw is pwritev and fdatasync on a file "
    "written with zeros; memory is never durable; written_per_byte is what reached the device, "
    "from other programs too; systems in turns, each run a process of its own"
)
STORES = ["wal", "sled", "memory"]


def compare(row: dict[str, Any], raw: dict[str, Any]) -> list[str]:
    """How near a store comes to the raw device, in the median of a sync and in entries."""
    p50 = rounds.ratio(rounds.middle(raw, "p50_us"), rounds.middle(row, "p50_us"))
    return [
        p50,
        rounds.ratio(rounds.middle(row, "entries_per_s"), rounds.middle(raw, "entries_per_s")),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--warm-up", type=float, default=0.1)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--payload", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--entries", type=int, default=1_000_000, help="of the restart; 0 = none")
    parser.add_argument("--dir", default=str(RESULTS), help="on the device to measure")
    given = parser.parse_args()
    rounds.build_own("store")
    RESULTS.mkdir(parents=True, exist_ok=True)
    raw = rounds.own("store", "raw", "--store", "raw")
    stores = [rounds.own("store", name, "--store", name) for name in STORES]
    cases = [
        {"payload": payload, "batch": batch} for payload in given.payload for batch in given.batch
    ]
    timing = {"seconds": given.seconds, "warm_up": given.warm_up, "dir": given.dir}
    rows = rounds.measure([raw, *stores], cases, given.rounds, timing)
    heads = ["raw/it p50", "it/raw entries"]
    metrics = ["entries_per_s", "p50_us", "p99_us", "cpu_us_per_entry", "written_per_byte"]
    rounds.report(rows, "raw", heads, compare, metrics)
    if given.entries:
        rows += restart([store for store in stores if store.name != "memory"], given)
    write_json("store", METHOD, vars(given), rounds.versions(), rows)


def restart(stores: list[rounds.System], given: argparse.Namespace) -> list[dict[str, Any]]:
    """The stores that outlive a process, opened on a full log."""
    case = {"run": "restart", "payload": 128, "entries": given.entries}
    rows = rounds.measure(stores, [case], given.rounds, {"dir": given.dir})
    metrics = ["open_ms", "more_memory_mib", "resident_mib", "read_all_ms", "fill_s"]
    rounds.report(rows, stores[0].name, ["open, it/wal"], slower, metrics)
    return rows


def slower(row: dict[str, Any], wal: dict[str, Any]) -> list[str]:
    return [rounds.ratio(rounds.middle(row, "open_ms"), rounds.middle(wal, "open_ms"))]


main()
