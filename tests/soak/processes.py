#!/usr/bin/env python3
"""Real processes for a long time: rounds of tests/mixed/test_processes.py, each with clusters and a seed of its own.

usage: processes.py MINUTES KILL_CYCLES

Goes on until the minutes are over and so many cycles of SIGKILL were made; then tells how long the clusters were
without a leader, and enters a row in the ledger. A round that fails leaves its history in target/soak/.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import ledger

CYCLES = 40  # of a round, for both sizes of clusters together
RESULTS, KEPT = ledger.ROOT / "target" / "processes", ledger.ROOT / "target" / "soak"


def play(seed: int) -> bool:
    """One round. What it measured and its histories are in RESULTS."""
    shutil.rmtree(RESULTS, ignore_errors=True)
    python = str(ledger.ROOT / ".venv" / "bin" / "python")
    command = [python, "-m", "pytest", "-q", "--no-header", "tests/mixed/test_processes.py"]
    told = {**os.environ, "CYCLES": str(CYCLES), "SEED": str(seed)}
    passed = subprocess.run(command, cwd=ledger.ROOT, env=told).returncode == 0
    if not passed:
        shutil.copytree(RESULTS, KEPT / f"failed-{seed}", dirs_exist_ok=True)
    return passed


def measured() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("figures-*.json"))]


def share(times: list[float], part: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def tell(rounds: list[dict[str, Any]], failures: int, seeds: str) -> None:
    faults: Counter[str] = Counter()
    for figures in rounds:
        faults.update(figures["faults"])
    kills = faults.pop("kill", 0)
    operations = sum(figures["operations"] for figures in rounds)
    print(f"{kills} processes killed, {operations} operations, faults: {dict(faults)}")
    for size in sorted({figures["nodes"] for figures in rounds}):
        times = [t for figures in rounds if figures["nodes"] == size for t in figures["without_leader_s"]]
        parts = ", ".join(f"p{part * 100:.0f} {share(times, part):.3f} s" for part in (0.5, 0.9, 0.99))
        print(f"{size} nodes without a leader: {parts}, at most {max(times):.3f} s, {len(times)} times")
    given = {"stage": "processes", "seeds": seeds, "faults": str(faults.total()), "kills": str(kills)}
    print(ledger.add(ledger.row(given | {"failures": str(failures)})))


def main(minutes: str, cycles: str) -> int:
    end = time.monotonic() + 60 * float(minutes)
    first = seed = int(time.time())
    rounds: list[dict[str, Any]] = []
    failures = 0
    while time.monotonic() < end or (seed - first) * CYCLES < int(cycles):
        failures += not play(seed)
        rounds += measured()
        seed += 1
    tell(rounds, failures, f"{first}..{seed}")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
