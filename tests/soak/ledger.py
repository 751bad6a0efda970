#!/usr/bin/env python3
"""The ledger of long runs, docs/soak-ledger.md: a row for each run, and what they come to for the present core.

usage: ledger.py add stage=simulator seeds=1..9000 steps=120000000 hours=310 faults=52000 failures=0
       ledger.py sum        steps, kills and failures of each stage on the present core
       ledger.py core       the name of the present core

A core is the protocol and what keeps it: the git trees of consensus, stored and storage. Its name ends with + where
they have changes that are not committed, and such a row proves nothing about a commit.
"""

import fcntl
import hashlib
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ROOT / "docs" / "soak-ledger.md"
COLUMNS = ["date", "commit", "core", "stage", "seeds", "steps", "virtual hours", "faults", "kills", "failures"]
STAGES = ("simulator", "processes", "attack", "fuzz")
GIVEN = {"stage": "stage", "seeds": "seeds", "steps": "steps", "hours": "virtual hours"}
GIVEN |= {name: name for name in ("faults", "kills", "failures")}
CORE = [f"raft-engine/src/{part}" for part in ("consensus", "stored", "storage")]
SUMMED = ("steps", "kills", "failures")


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def core() -> str:
    trees = git("rev-parse", *(f"HEAD:{part}" for part in CORE))
    changed = "+" if git("status", "--porcelain", "--", *CORE) else ""
    return hashlib.sha256(trees.encode()).hexdigest()[:10] + changed


def row(given: dict[str, str]) -> dict[str, str]:
    for name in given:
        if name not in GIVEN:
            raise SystemExit(f"ledger: {name}: there are {', '.join(GIVEN)}")
    if given.get("stage") not in STAGES or "failures" not in given:
        raise SystemExit(f"ledger: a row has a stage, one of {', '.join(STAGES)}, and its failures")
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    known = {"date": now, "commit": git("rev-parse", "--short=9", "HEAD"), "core": core()}
    return known | {GIVEN[name]: figure for name, figure in given.items()}


def add(row: dict[str, str]) -> str:
    """Appends a row, whole, whoever else appends."""
    line = "| " + " | ".join(row.get(column, "-") for column in COLUMNS) + " |"
    with LEDGER.open("a") as ledger:
        fcntl.flock(ledger, fcntl.LOCK_EX)
        ledger.write(line + "\n")
    return line


def rows(text: str) -> list[dict[str, str]]:
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [dict(zip(COLUMNS, row, strict=True)) for row in cells[2:]]


def total(text: str, of: str) -> dict[str, Counter[str]]:
    """What the runs on one core come to, by stage."""
    sums: dict[str, Counter[str]] = {}
    for row in rows(text):
        if row["core"] == of:
            figures = {name: int(row[name].replace(",", "")) for name in SUMMED if row[name] != "-"}
            sums.setdefault(row["stage"], Counter()).update({"runs": 1} | figures)
    return sums


def main(verb: str = "", *arguments: str) -> None:
    if verb == "add":
        print(add(row(dict(argument.split("=", 1) for argument in arguments))))
    elif verb == "core":
        print(core())
    elif verb == "sum":
        present = core()
        print(f"core {present}")
        for stage, figures in total(LEDGER.read_text(), present).items():
            print(f"{stage}: " + ", ".join(f"{figure:,} {name}" for name, figure in figures.items()))
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
