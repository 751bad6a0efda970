"""Runs measuring programs in turns, and keeps what they print: one line of JSON for each run."""

import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from common import RESULTS, ROOT, median, output, print_table, rotated

PEERS = ROOT / "benches" / "peers"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))


@dataclass(frozen=True)
class System:
    """One of the things compared."""

    name: str
    program: pathlib.Path
    options: tuple[str, ...] = ()

    def run(self, case: dict[str, Any], options: dict[str, Any]) -> dict[str, float]:
        """One run; its metrics."""
        command = [str(self.program), *self.options]
        for name, value in (case | options).items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}")
        metrics: dict[str, float] = json.loads(done.stdout)
        return metrics


def own(program: str, name: str = "quorate", *options: str) -> System:
    """A program of the package `benches`, built by now."""
    return System(name, TARGET / "release" / program, options)


def build_own(program: str) -> None:
    """Builds it; cargo has nothing to do when make has done so."""
    cargo("build", "--release", "--locked", "-q", "-p", "quorate-benches", "--bin", program)


def build_peer(name: str, program: str, *options: str) -> System:
    """The program of a project under `peers`, which has a target folder of its own."""
    target = RESULTS / "peers" / name
    manifest = str(PEERS / name / "Cargo.toml")
    cargo(
        "build",
        "--release",
        "--locked",
        "-q",
        "--manifest-path",
        manifest,
        "--target-dir",
        str(target),
    )
    return System(name, target / "release" / program, options)


def cargo(*arguments: str) -> None:
    subprocess.run(["cargo", *arguments], cwd=ROOT, check=True)


def versions(*peers: str) -> dict[str, str]:
    """Of the compiler, of quorate, and of the packages that the peers' projects pin."""
    found = {
        "rustc": output("rustc", "--version"),
        "quorate": output("git", "-C", str(ROOT), "rev-parse", "HEAD"),
    }
    for peer in peers:
        project, _, package = peer.partition("/")
        lock = (PEERS / project / "Cargo.lock").read_text()
        match = re.search(rf'name = "{package or project}"\nversion = "(.*)"', lock)
        found[project] = match[1] if match else "?"
    return found


def measure(
    systems: Sequence[System], cases: Sequence[dict[str, Any]], rounds: int, options: dict[str, Any]
) -> list[dict[str, Any]]:
    """In each case of each round all systems in turn, beginning with another one each time."""
    rows: dict[tuple[int, str], dict[str, list[float]]] = {}
    for turn in range(rounds):
        for at, case in enumerate(cases):
            if sys.stderr.isatty():
                print(
                    f"\r\033[Kround {turn + 1} of {rounds}, {case}",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
            for system in rotated(systems, turn + at):
                metrics = rows.setdefault((at, system.name), {})
                for name, value in system.run(case, options).items():
                    metrics.setdefault(name, []).append(value)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    return [
        {"system": system.name, "case": case, "metrics": rows[at, system.name]}
        for at, case in enumerate(cases)
        for system in systems
    ]


def middle(row: dict[str, Any] | None, metric: str) -> float | None:
    """The median of a metric, if it was measured."""
    values = row["metrics"].get(metric) if row else None
    return median(values) if values else None


def ratio(over: float | None, under: float | None) -> str:
    return f"{over / under:.2f}" if over is not None and under else ""


def show(value: float | None) -> str:
    """A number in three figures or more."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(row: dict[str, Any], metric: str) -> str:
    """Median, and from where to where."""
    values = row["metrics"].get(metric)
    return f"{show(median(values))} [{show(min(values))}-{show(max(values))}]" if values else ""


Ratios = Callable[[dict[str, Any], dict[str, Any]], list[str]]


def report(
    rows: list[dict[str, Any]],
    base: str,
    heads: Sequence[str],
    ratios: Ratios,
    metrics: Sequence[str],
) -> None:
    """A line for each system in each case: its ratios to `base`, then the figures."""
    by_case = {str(row["case"]): row for row in rows if row["system"] == base}
    lines = []
    for row in rows:
        case = " ".join(str(value) for value in row["case"].values())
        compared = (
            ratios(row, by_case[str(row["case"])])
            if row["system"] != base
            else ["1", *[""] * (len(heads) - 1)]
        )
        lines.append([row["system"], case, *compared, *(spread(row, metric) for metric in metrics)])
    print_table(["system", " ".join(rows[0]["case"]), *heads, *metrics], lines)
