"""The tables of the cluster benchmark."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from tables import Result, Row, cases, figure, find, middle, ratio, spread, table
from targets import Line, listed

OURS, OURS_GO = "quorate (C)", "quorate (Go)"
LIMIT = "limit"
# What is shown of a run, with the factor from the unit of the result.
METRICS = {
    "p50_us": ("p50 µs", 1.0),
    "p99_us": ("p99 µs", 1.0),
    "cpu_s_per_100k": ("CPU µs/change", 10.0),
    "syncs_per_op": ("syncs/1,000 changes", 1000.0),
    "leader_peak_mib": ("leader MiB", 1.0),
}
# Throughput of quorate divided by that of a peer: the case, the peer, what we aim at.
TARGETS = (
    ({"clients": 256, "payload": 128}, "C raft", 3.0),
    ({"clients": 256, "payload": 128}, "C raft, nodelay", 3.0),
    ({"clients": 256, "payload": 128}, "C raft, nodelay, batched", None),
    ({"clients": 256, "payload": 128}, "hashicorp/raft (Go)", 2.0),
    ({"clients": 256, "payload": 1024}, "C raft", 3.0),
    ({"clients": 256, "payload": 1024}, "C raft, nodelay", 3.0),
    ({"clients": 256, "payload": 1024}, "C raft, nodelay, batched", None),
    ({"clients": 256, "payload": 1024}, "hashicorp/raft (Go)", 2.0),
    ({"clients": 16, "payload": 128}, "C raft, nodelay", 1.5),
    ({"clients": 16, "payload": 1024}, "C raft, nodelay", 1.5),
)
ONE = {"clients": 1, "payload": 128}
MANY = {"clients": 256, "payload": 128}


def words(case: dict[str, Any]) -> str:
    return f"{case['clients']} × {case['payload']} B"


def times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def at_least(target: float | None) -> str:
    return "" if target is None else f"≥ {target:g}"


def throughput(rows: list[Row]) -> Iterator[Line]:
    for case, peer, target in TARGETS:
        ours, theirs = (middle(find(rows, system, case), "ops_per_s") for system in (OURS, peer))
        yield f"throughput, {words(case)}: {OURS} / {peer}", ratio(ours, theirs), at_least(target)
    go, native, ours = (
        middle(find(rows, s, MANY), "ops_per_s") for s in (OURS_GO, "hashicorp/raft (Go)", OURS)
    )
    yield f"throughput, {words(MANY)}: {OURS_GO} / {OURS}", ratio(go, ours), "≥ 0.9"
    yield f"throughput, {words(MANY)}: {OURS_GO} / hashicorp/raft (Go)", ratio(go, native), "≥ 2"
    futures, asyncio = (
        middle(find(rows, f"quorate (Python, {kind})", MANY), "ops_per_s") for kind in ("futures", "asyncio")
    )
    yield f"throughput, {words(MANY)}: Python, asyncio / futures", ratio(asyncio, futures), "≥ 0.5"


def one_client(rows: list[Row]) -> Iterator[Line]:
    limit = find(rows, LIMIT, {})
    trip, sync, sync3 = (middle(limit, name) or 0 for name in ("trip_us", "sync_us", "sync3_us"))
    ours = middle(find(rows, OURS, ONE), "p50_us")
    yield f"p50, {words(ONE)} / (sync + round trip)", ratio(ours, sync + trip), "≤ 1.25"
    yield f"p50, {words(ONE)} / (sync with three writers + round trip)", ratio(ours, sync3 + trip), ""
    for peer in ("C raft", "C raft, nodelay"):
        theirs = find(rows, peer, ONE)
        yield f"p50, {words(ONE)}: {OURS} / {peer}", ratio(ours, middle(theirs, "p50_us")), "≤ 1"
        cpu = middle(find(rows, OURS, ONE), "cpu_s_per_100k")
        yield f"CPU, {words(ONE)}: {OURS} / {peer}", ratio(cpu, middle(theirs, "cpu_s_per_100k")), "≤ 0.8"


def absolute(rows: list[Row]) -> Iterator[Line]:
    """What is held to a figure, not to a ratio."""
    for payload in (128, 1024):
        row = find(rows, OURS, {"clients": 256, "payload": payload})
        cpu = middle(row, "cpu_s_per_100k")
        yield f"CPU of an entry, 256 × {payload} B, µs", times(cpu, 10), "≤ 12"
        p99 = middle(row, "p99_us")
        yield f"p99, 256 × {payload} B, ms", times(p99, 0.001), "≤ 12"


def one_case(rows: list[Row], case: dict[str, Any]) -> str:
    here = [row for row in rows if row["case"] == case]
    ours = middle(find(rows, OURS, case), "ops_per_s")
    body = []
    for row in sorted(here, key=lambda row: -(middle(row, "ops_per_s") or 0)):
        rate = middle(row, "ops_per_s")
        cells = [figure(times(middle(row, name), factor)) for name, (_, factor) in METRICS.items()]
        body.append(
            [row["system"], figure(ratio(ours, rate)), figure(rate), spread(row, "ops_per_s"), *cells]
        )
    head = [
        "system",
        f"{OURS} / it",
        "changes/s",
        "lowest – highest",
        *(title for title, _ in METRICS.values()),
    ]
    return f"{words(case)}\n\n{table(head, body)}"


def limits(rows: list[Row]) -> str:
    row = find(rows, LIMIT, {})
    if row is None:
        return ""
    names = {
        "sync_us": "durable write of 4 KiB, one writer",
        "sync3_us": "the same, three writers at once",
        "trip_us": "round trip, TCP on loopback",
    }
    body = [[title, figure(middle(row, name)), spread(row, name)] for name, title in names.items()]
    return "The machine itself\n\n" + table(["what", "p50 µs", "lowest – highest"], body)


def failures(result: Result) -> str:
    lines = [
        f"* {e['system']}, {words(e['case'])}, round {e['round']}: {e['error']}"
        for e in result.get("errors", [])
    ]
    return "\n".join(["Runs that failed and were repeated:", "", *lines]) if lines else ""


def others(rows: list[Row]) -> str:
    busy = [value for row in rows for value in row["metrics"].get("others_cores", [])]
    if not busy:
        return ""
    return (
        f"Beside the three nodes, {figure(sum(busy) / len(busy))} cores were busy in the mean of all runs "
        "with the kernel's own work and other programs."
    )


def cluster(result: Result) -> str:
    rows = result["rows"]
    loads = [case for case in cases(rows) if case]
    parts = [
        listed(chain(throughput(rows), one_client(rows), absolute(rows))),
        *(one_case(rows, case) for case in loads),
        limits(rows),
        others(rows),
        failures(result),
    ]
    return "\n\n".join(part for part in parts if part)
