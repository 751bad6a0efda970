"""The engine alone: three nodes in one process, no disk, no sockets, beside openraft."""

import argparse

import rounds
from common import write_json

METHOD = (
    "three nodes in one process, store in memory, network of function calls; every client has one "
    "change under way and waits until the leader has applied it; systems in turns, each run a "
    "process of its own"
)


def compare(row: dict[str, object], quorate: dict[str, object]) -> list[str]:
    """How much faster quorate is, and how much of the peer's processor time it takes."""
    ratios = []
    for metric in ("ops_per_s", "cpu_s_per_100k"):
        ratios.append(rounds.ratio(rounds.middle(quorate, metric), rounds.middle(row, metric)))
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--warm-up", type=float, default=0.3)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 64, 256, 1024, 4096])
    parser.add_argument("--payload", type=int, nargs="+", default=[128])
    parser.add_argument("--servers", type=int, default=16, help="threads of openraft's runtime")
    given = parser.parse_args()
    rounds.build_own("engine")
    peer = rounds.build_peer("openraft", "openraft-engine", "--servers", str(given.servers))
    cases = [
        {"clients": clients, "payload": payload}
        for payload in given.payload
        for clients in given.clients
    ]
    timing = {"seconds": given.seconds, "warm_up": given.warm_up}
    rows = rounds.measure([rounds.own("engine"), peer], cases, given.rounds, timing)
    write_json("engine", METHOD, vars(given), rounds.versions("openraft"), rows)
    metrics = ["ops_per_s", "cpu_s_per_100k", "p50_us", "p99_us"]
    rounds.report(rows, "quorate", ["quorate/it", "cpu quorate/it"], compare, metrics)


main()
