"""The protocol alone: three nodes in one thread, beside TiKV's raft crate in the same shape."""

import argparse
from typing import Any

import rounds
from common import write_json

METHOD = (
    "three nodes in one thread, messages by function call, a disk that is done at once; changes of "
    "128 bytes are proposed in batches, the next one when the leader has applied all; systems in "
    "turns, each run a process of its own"
)


def compare(row: dict[str, Any], quorate: dict[str, Any]) -> list[str]:
    """How much faster quorate is."""
    metric = "entries_per_s"
    return [rounds.ratio(rounds.middle(quorate, metric), rounds.middle(row, metric))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 64, 1024])
    given = parser.parse_args()
    rounds.build_own("consensus")
    peer = rounds.build_peer("tikv", "tikv-protocol")
    cases = [{"batch": batch} for batch in given.batch]
    systems = [rounds.own("consensus"), peer]
    rows = rounds.measure(systems, cases, given.rounds, {"seconds": given.seconds})
    write_json("protocol", METHOD, vars(given), rounds.versions("tikv/raft"), rows)
    rounds.report(rows, "quorate", ["quorate/it"], compare, ["entries_per_s", "cpu_us_per_entry"])


main()
