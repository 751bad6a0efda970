"""What a committed entry costs in each language above the engine itself.

One Standalone service whose log is in memory, so that no disk and no network hides the crossing; a state
machine with a reply of 8 bytes; so many entries in flight. Each program runs alone, in turns, and prints
entries, wall time and processor time of what it measured; a fifth of that time before it is to warm up.
The figures are medians of the rounds; what is "above Rust" is the median of the differences within a round.

On one core the cost is what it is. On all of them a small batch is a matter of where the scheduler puts five
threads that wake each other, which differs from run to run by more than any crossing costs; that is shown
because programs run so, and no difference of it is a cost.

usage: run.py [--rounds 5] [--seconds 1] [--batches 1,8,64,512] [--cores 1,all] [--systems rust,c,...]
"""

import argparse
import collections
import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from common import ROOT, median, output, print_table, rotated, write_json

HERE = ROOT / "benches" / "crossing"
RELEASE = ROOT / "target" / "release"
BUILT = ROOT / "target" / "bench" / "crossing"
PYTHON = ROOT / ".venv" / "bin" / "python"

# The programs; each takes BATCH SECONDS PAYLOAD behind this.
PROGRAMS: dict[str, list[str]] = {
    "rust": [str(RELEASE / "crossing")],
    "c": [str(BUILT / "c")],
    "c++": [str(BUILT / "c++")],
    "go": [str(BUILT / "go")],
    "python": [str(PYTHON), str(HERE / "crossing.py"), "futures"],
    "python singly": [str(PYTHON), str(HERE / "crossing.py"), "singly"],
    "python asyncio": [str(PYTHON), str(HERE / "crossing.py"), "asyncio"],
}

# What the design allows above the engine, in ns at a batch of 64.
TARGETS = {"c": 50, "c++": 50, "go": 100, "python": 300}

METHOD = (
    "Standalone service with storage=memory, a reply of 8 bytes, so many entries in flight; one process per "
    "figure, in turns, rotated each round, pinned to one core or not; cpu is user and system time of the whole "
    "process."
)


def build(systems: list[str]) -> None:
    """The programs. The libraries, Python's and Go's included, are made before (`make bench-crossing`)."""
    BUILT.mkdir(parents=True, exist_ok=True)
    link = [f"-I{ROOT}/include", f"-L{RELEASE}", f"-Wl,-rpath,{RELEASE}", "-lquorate", "-lpthread"]
    hpp = f"-I{ROOT}/bindings/cpp/include"
    c, cpp = str(HERE / "crossing.c"), str(HERE / "crossing.cpp")
    commands = {
        "rust": "cargo build --release --locked -q -p quorate-benches --bin crossing".split(),
        "c": ["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", c, "-o", f"{BUILT}/c", *link],
        "c++": ["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", cpp, "-o", f"{BUILT}/c++", hpp, *link],
        "go": ["go", "build", "-C", str(HERE / "go"), "-o", f"{BUILT}/go", "."],
    }
    environment = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target")}
    for system in systems:
        if system in commands:
            subprocess.run(commands[system], cwd=ROOT, env=environment, check=True)


Key = tuple[str, str, int]  # cores, system, batch


def measure(key: Key, options: argparse.Namespace) -> dict[str, float]:
    """One run of one program, as figures of one entry."""
    cores, system, batch = key
    arguments = [str(batch), str(options.seconds), str(options.payload)]
    with placed(cores):
        done = subprocess.run([*PROGRAMS[system], *arguments], stdout=subprocess.PIPE, check=True)
    seen = json.loads(done.stdout)
    entries = seen["entries"]
    return {
        "entries_per_s": entries * 1e9 / seen["wall_ns"],
        "wall_ns": seen["wall_ns"] / entries,
        "cpu_ns": seen["cpu_ns"] / entries,
    }


@contextlib.contextmanager
def placed(cores: str) -> Iterator[None]:
    """Gives what is started meanwhile so many cores, the last ones."""
    every = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, every if cores == "all" else every[-int(cores) :])
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All rounds; the systems in turns, in another order each round."""
    rounds: dict[Key, list[dict[str, float]]] = collections.defaultdict(list)
    for turn in range(options.rounds):
        for cores, batch in itertools.product(options.cores, options.batches):
            for system in rotated(options.systems, turn):
                key = (cores, system, batch)
                rounds[key].append(measure(key, options))
        print(f"round {turn + 1} of {options.rounds}", file=sys.stderr)
    return [row(key, rounds, options.payload) for key in rounds]


def row(key: Key, rounds: dict[Key, list[dict[str, float]]], payload: int) -> dict[str, Any]:
    """What was measured of a program, round by round, also above Rust in the same round."""
    cores, system, batch = key
    metrics = {name: [seen[name] for seen in rounds[key]] for name in rounds[key][0]}
    base = rounds.get((cores, "rust", batch), [])
    for name in ("wall_ns", "cpu_ns"):
        above = [seen[name] - rust[name] for seen, rust in zip(rounds[key], base)]  # noqa: B905
        metrics |= {f"{name}_above": above} if above else {}
    case = {"cores": cores, "batch": batch, "payload": payload}
    return {"system": system, "case": case, "metrics": metrics}


def show(rows: list[dict[str, Any]]) -> None:
    """A table for each case, and how far the targets are."""
    cases = [(row["case"]["cores"], row["case"]["batch"]) for row in rows]
    for cores, batch in dict.fromkeys(cases):
        print(f"\n{cores} core(s), {batch} in flight")
        here = [row for row, case in zip(rows, cases, strict=True) if case == (cores, batch)]
        least = min(here[0]["metrics"]["cpu_ns"])
        print_table(HEAD, [cells(row, least) for row in here])
    print()
    for row, case in zip(rows, cases, strict=True):
        target = TARGETS.get(row["system"])
        if case == ("1", 64) and target and "cpu_ns_above" in row["metrics"]:
            above = median(row["metrics"]["cpu_ns_above"])
            print(f"{row['system']}: {above / target:.2f} of the {target} ns allowed above the engine")


HEAD = ["", "entries/s", "cpu ns", "above Rust", "(min..max)", "least", "wall ns", "above Rust", "(min..max)"]


def cells(row: dict[str, Any], least: float) -> list[str]:
    """Medians; and `least`, the best round above the best one of the first system, as what a busy machine
    disturbs least."""
    metrics = row["metrics"]
    line = [row["system"], f"{median(metrics['entries_per_s']):,.0f}"]
    for name in ("cpu_ns", "wall_ns"):
        line.append(f"{median(metrics[name]):,.0f}")
        over = metrics.get(f"{name}_above")
        line += [f"{median(over):+,.0f}", f"({min(over):+,.0f}..{max(over):+,.0f})"] if over else ["", ""]
        line += [f"{min(metrics[name]) - least:+,.0f}"] if name == "cpu_ns" else []
    return line


def versions() -> dict[str, str]:
    return {
        "quorate": output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "rust": output("rustc", "--version"),
        "gcc": output("gcc", "--version"),
        "go": output("go", "version"),
        "python": output(str(PYTHON), "--version"),
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a committed entry costs in each language.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="of each run")
    parser.add_argument("--payload", type=int, default=128, help="bytes")
    parser.add_argument("--batches", default="1,8,64,512", type=lambda t: [int(n) for n in t.split(",")])
    parser.add_argument("--cores", default="1,all", type=lambda t: t.split(","), help="1, 2, ..., all")
    parser.add_argument("--systems", default=",".join(PROGRAMS), type=lambda t: t.split(","))
    parser.add_argument("--no-build", action="store_true", help="the programs are there")
    options = parser.parse_args()
    if unknown := set(options.systems) - set(PROGRAMS):
        parser.error(f"no such system: {', '.join(unknown)}; there are {', '.join(PROGRAMS)}")
    return options


def main() -> None:
    options = parse()
    if not options.no_build:
        build(options.systems)
    rows = run(options)
    show(rows)
    kept = {"rounds": options.rounds, "seconds": options.seconds, "payload": options.payload}
    print(f"\n{write_json('crossing', METHOD, kept, versions(), rows)}")


if __name__ == "__main__":
    main()
