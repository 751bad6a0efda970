"""What the engine, the protocol, the log and the crossings are held to, beside what was measured.

The lines of the cluster are in cluster_tables.py. Each is a ratio where a peer was measured in the same run.
"""

from collections.abc import Iterator

from tables import Result, Row, cases, figure, find, middle, plain, ratio, table

Line = tuple[str, float | None, str]


def listed(lines: Iterator[Line]) -> str:
    """A table of what was measured."""
    body = [[name, figure(value), target] for name, value, target in lines if value is not None]
    return table(["line", "measured", "target"], body) if body else ""


def against(rows: list[Row], peer: str, metric: str) -> Iterator[tuple[dict[str, object], float | None]]:
    """quorate divided by the peer, case by case."""
    for case in cases(rows):
        ours, theirs = (middle(find(rows, system, case), metric) for system in ("quorate", peer))
        yield case, ratio(ours, theirs)


def engine_lines(rows: list[Row]) -> Iterator[Line]:
    for case, share in against(rows, "openraft", "ops_per_s"):
        yield f"changes/s, {case['clients']} clients: quorate / openraft", share, "≥ 1.5"
    for case, share in against(rows, "openraft", "cpu_s_per_100k"):
        yield f"CPU of a change, {case['clients']} clients: quorate / openraft", share, "≤ 0.5"


def protocol_lines(rows: list[Row]) -> Iterator[Line]:
    for case, share in against(rows, "tikv", "entries_per_s"):
        yield f"entries/s, batches of {case['batch']}: quorate / tikv", share, "≥ 2"


def restart_lines(rows: list[Row]) -> Iterator[Line]:
    for row in rows:
        if row["system"] == "wal":
            entries = f"{row['case']['entries']:,} entries of {row['case']['payload']} B"
            yield f"restart with {entries}, ms", middle(row, "open_ms"), "≤ 200"
            yield "memory of that process, MiB", middle(row, "resident_mib"), "≤ 64"


# What a committed entry may cost above the engine itself, in ns of processor time at a batch of 64.
CROSSINGS = {"c": 50, "c++": 50, "go": 100, "python": 300}


def crossing_lines(rows: list[Row]) -> Iterator[Line]:
    here = [row for row in rows if (row["case"]["cores"], row["case"]["batch"]) == ("1", 64)]
    for row in here:
        target = CROSSINGS.get(row["system"])
        if target:
            above = middle(row, "cpu_ns_above")
            yield f"{row['system']}, 64 in flight, one core: ns above Rust", above, f"≤ {target}"


def engine(result: Result) -> str:
    whole = plain(result, "quorate", "ops_per_s", "quorate / it", ours_first=True)
    return f"{listed(engine_lines(result['rows']))}\n\n{whole}"


def protocol(result: Result) -> str:
    whole = plain(result, "quorate", "entries_per_s", "quorate / it", ours_first=True)
    return f"{listed(protocol_lines(result['rows']))}\n\n{whole}"


def crossing(result: Result) -> str:
    whole = plain(result, "rust", "cpu_ns", "CPU: it / Rust", ours_first=False)
    return f"{listed(crossing_lines(result['rows']))}\n\n{whole}"


def store(result: Result) -> str:
    """Appends and restarts have nothing in common: a table for each."""
    appends = [row for row in result["rows"] if "run" not in row["case"]]
    restarts = [row for row in result["rows"] if "run" in row["case"]]
    parts = [
        listed(restart_lines(restarts)),
        plain({**result, "rows": appends}, "raw", "entries_per_s", "it / raw device", ours_first=False),
    ]
    if restarts:
        parts.append(plain({**result, "rows": restarts}, "wal", "open_ms", "open: it / wal", ours_first=False))
    return "\n\n".join(part for part in parts if part)
