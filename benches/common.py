"""What the benchmarks share: facts about the machine, turns, medians, results, tables."""

import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "target" / "bench"


def output(*command: str) -> str:
    """The first line that a command prints; empty when there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return (done.stdout or done.stderr).partition("\n")[0].strip()


def machine() -> dict[str, Any]:
    """What the figures depend on besides the programs."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text().partition("model name")[2]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu.partition("\n")[0].lstrip("\t :") or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(pages / 2**30, 1),
        "kernel": platform.release(),
        "filesystem": output("findmnt", "-no", "FSTYPE", "-T", str(ROOT)),
    }


def rotated(items: Sequence[Any], by: int) -> list[Any]:
    """The items, beginning with another one each round."""
    by %= len(items)
    return [*items[by:], *items[:by]]


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def write_json(
    name: str,
    method: str,
    options: dict[str, Any],
    versions: dict[str, str],
    rows: list[dict[str, Any]],
    **more: Any,
) -> pathlib.Path:
    """Writes target/bench/NAME.json; `more` are members of its own."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    result: dict[str, Any] = {"name": name, "date": now, "machine": machine(), "versions": versions}
    result |= {"method": method, "options": options, "rows": rows, **more}
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as what stands in them, the first one to the left."""
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        cells = [text.rjust(width) for text, width in zip(line, widths, strict=True)]
        cells[0] = line[0].ljust(widths[0])
        print("  ".join(cells))
