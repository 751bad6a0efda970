"""The cluster benchmark: three processes on loopback, durable, against other libraries.

Each run starts three nodes with empty directories under target/bench, lets the leader load itself with
CLIENTS changes under way (a warm-up that is thrown away, then SECONDS), and ends them. A round runs every
case with every system, one after the other, in an order that begins elsewhere each time; what is printed are
medians over the rounds. The limit of the machine (a durable write, a round trip) is measured in each round.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from process import Cluster, NodeError, machine_busy_seconds  # noqa: E402
from syncs import syncs_per_op  # noqa: E402
from systems import BIN, LANGUAGES, PEER_SYSTEMS, BuildError, System, build, versions  # noqa: E402

from cluster_tables import cluster  # noqa: E402
from common import RESULTS, rotated, write_json  # noqa: E402
from tables import Row, find  # noqa: E402

METHOD = (
    "three processes on loopback with real files and synced writes; the load runs in the leader's process, "
    "closed loop, each change timed from its submission to its reply; medians of all rounds"
)
LANGUAGE_CASE = {"clients": 256, "payload": 128}
SYNC_CASES = ({"clients": 1, "payload": 128}, {"clients": 256, "payload": 128})
TRIES = 2

Case = dict[str, int]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words = numbers(str)
    parser.add_argument("--clients", type=numbers(), default=[1, 16, 256], help="changes under way: 1,16,256")
    parser.add_argument("--payload", type=numbers(), default=[128, 1024], help="bytes of a change: 128,1024")
    parser.add_argument(
        "--systems", type=words, default=[*PEER_SYSTEMS], help=",".join(PEER_SYSTEMS) + ", or none"
    )
    parser.add_argument(
        "--language", type=words, default=["c", "go"], help="of quorate: " + ",".join(LANGUAGES)
    )
    parser.add_argument(
        "--others", type=words, default=["cpp", "python", "asyncio"], help="languages for 256 x 128 B only"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measured run")
    parser.add_argument("--warm-up", type=float, default=0.5, help="seconds before it")
    parser.add_argument("--no-syncs", action="store_true", help="do not count syncs (needs strace)")
    parser.add_argument("--no-write", action="store_true", help="print, and leave target/bench/cluster.json")
    return parser.parse_args()


def numbers(kind: Callable[[str], Any] = int) -> Callable[[str], list[Any]]:
    """An option's value such as 1,16,256."""

    def parse(text: str) -> list[Any]:
        try:
            return [kind(part) for part in text.split(",")]
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} is no list such as 1,16,256") from error

    return parse


def chosen(names: list[str], known: dict[str, System]) -> list[System]:
    names = [name for name in names if name != "none"]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"{', '.join(unknown)}: unknown; there are {', '.join(known)}, none")
    return [known[name] for name in names]


def add_metrics(rows: list[Row], system: str, case: Case, metrics: dict[str, float]) -> None:
    """Appends what one run measured to the row of that system and case."""
    row = find(rows, system, case)
    if row is None:
        row = {"system": system, "case": case, "metrics": {}}
        rows.append(row)
    for name, value in metrics.items():
        row["metrics"].setdefault(name, []).append(value)


class Bench:
    """What was asked for, and what came of it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.systems = chosen(options.language, LANGUAGES) + chosen(options.systems, PEER_SYSTEMS)
        self.others = [s for s in chosen(options.others, LANGUAGES) if s not in self.systems]
        self.cases = [{"clients": c, "payload": p} for c in options.clients for p in options.payload]
        self.place = RESULTS / f"cluster-{os.getpid()}"
        self.rows: list[Row] = []
        self.errors: list[dict[str, Any]] = []

    def measure(self, system: System, case: Case) -> dict[str, float]:
        options = self.options
        with Cluster(system.command, self.place) as cluster:
            cluster.load(options.warm_up, **case)
            cpu, busy = cluster.cpu_seconds(), machine_busy_seconds()
            done = cluster.load(options.seconds, **case)
            busy = machine_busy_seconds() - busy
            cpu = cluster.cpu_seconds() - cpu
            return {
                "ops_per_s": done["ops"] / done["seconds"],
                "p50_us": done["p50_us"],
                "p99_us": done["p99_us"],
                "cpu_s_per_100k": cpu / done["ops"] * 1e5,
                "leader_peak_mib": cluster.nodes[0].peak_mib(),
                "others_cores": max(0.0, busy - cpu) / done["seconds"],
            }

    def run(self, system: System, case: Case, number: int) -> None:
        """One run, and another if a node failed; then the row has a round less, and the error is told."""
        for _ in range(TRIES):
            try:
                metrics = self.measure(system, case)
            except NodeError as error:
                self.note(system, case, number, error)
                continue
            add_metrics(self.rows, system.title, case, metrics)
            print(
                f"round {number + 1}  {system.title:26} {case['clients']:4} x {case['payload']:5} B "
                f"{metrics['ops_per_s']:9.0f}/s  p50 {metrics['p50_us']:7.0f}  p99 {metrics['p99_us']:7.0f}  "
                f"CPU {metrics['cpu_s_per_100k'] * 10:6.1f} us",
                flush=True,
            )
            return

    def note(self, system: System, case: Case, number: int, error: NodeError) -> None:
        self.errors.append({"system": system.title, "case": case, "round": number + 1, "error": str(error)})
        print(f"round {number + 1}  {system.title}: {error}", file=sys.stderr, flush=True)

    def limit(self) -> None:
        """What the machine can do, on the same disk, in the same round."""
        seconds = str(min(3.0, 2 * self.options.seconds))
        done = subprocess.run([f"{BIN}/limit", RESULTS, seconds], check=True, capture_output=True, text=True)
        add_metrics(self.rows, "limit", {}, json.loads(done.stdout))

    def rounds(self) -> None:
        for number in range(self.options.rounds):
            self.limit()
            for case in self.cases:
                more = self.others if case == LANGUAGE_CASE else []
                for system in rotated([*self.systems, *more], number):
                    self.run(system, case, number)

    def syncs(self) -> None:
        for case in (case for case in SYNC_CASES if case in self.cases):
            for system in self.systems:
                try:
                    value = syncs_per_op(system.command, self.place, self.options.seconds / 2, **case)
                except NodeError as error:
                    self.note(system, case, 0, error)
                    continue
                add_metrics(self.rows, system.title, case, {"syncs_per_op": value})

    def result(self) -> dict[str, Any]:
        options = vars(self.options)
        return {"versions": versions(), "options": options, "rows": self.rows, "errors": self.errors}


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that clusters are ended
    bench = Bench(arguments())
    try:
        build([*bench.systems, *bench.others])
    except BuildError as error:
        sys.exit(f"bench: {error}")
    bench.rounds()
    if not bench.options.no_syncs:
        bench.syncs()
    result = bench.result()
    print("\n" + cluster(result))
    if not bench.options.no_write:
        print("\nwritten:", write_json("cluster", METHOD, **result))
    failed = {e["system"] for e in bench.errors} - {r["system"] for r in bench.rows}
    return 1 if failed or not bench.rows else 0


if __name__ == "__main__":
    sys.exit(main())
