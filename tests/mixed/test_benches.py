"""The benchmarks work: a short run of a cluster, a node that dies, the tables. Nothing is timed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHES = Path(__file__).resolve().parents[2] / "benches"
sys.path[:0] = [str(BENCHES), str(BENCHES / "cluster")]

import report  # noqa: E402
from process import Cluster, NodeError  # noqa: E402

SHORT = "--rounds 1 --seconds 0.3 --warm-up 0.1 --clients 16 --payload 128 --language c --systems none"
PART = "--others none --no-syncs --no-write"


def test_the_cluster_benchmark_measures_three_nodes() -> None:
    command = [sys.executable, str(BENCHES / "cluster" / "bench.py"), *SHORT.split(), *PART.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "| quorate (C) |" in done.stdout
    assert "round trip, TCP on loopback" in done.stdout


def test_a_node_that_dies_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    dies = [sys.executable, "-c", "print('ready', flush=True); input(); raise SystemExit('no disk')"]
    with pytest.raises(NodeError, match="node 1 ended with status 1: no disk"):
        Cluster(dies, tmp_path / "cluster")
    assert not (tmp_path / "cluster").exists()


def row(system: str, case: dict[str, Any], **metrics: float) -> dict[str, Any]:
    return {"system": system, "case": case, "metrics": {name: [n, n, n] for name, n in metrics.items()}}


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        (
            "cluster",
            [
                row("quorate (C)", {"clients": 256, "payload": 128}, ops_per_s=90000),
                row("C raft", {"clients": 256, "payload": 128}, ops_per_s=30000),
            ],
            "quorate (C) / C raft | 3.00 | ≥ 3",
        ),
        (
            "engine",
            [row("quorate", {"clients": 1}, ops_per_s=3), row("peer", {"clients": 1}, ops_per_s=2)],
            "1.50",
        ),
        ("protocol", [row("quorate", {"batch": 1}, entries_per_s=123456)], "123,000"),
        (
            "store",
            [row("raw", {"batch": 1}, entries_per_s=10), row("wal", {"batch": 1}, entries_per_s=9)],
            "0.90",
        ),
        (
            "crossing",
            [
                row("rust", {"cores": "1", "batch": 64}, cpu_ns=100),
                row("c", {"cores": "1", "batch": 64}, cpu_ns=150, cpu_ns_above=47),
            ],
            "c, 64 in flight, one core: ns above Rust | 47.0 | ≤ 50",
        ),
    ],
)
def test_each_result_has_its_table(name: str, rows: list[dict[str, Any]], expected: str) -> None:
    text = report.render(name, json.loads(json.dumps({"name": name, "rows": rows})))
    assert expected in " ".join(text.split()), text


def test_the_page_has_a_place_for_each_result() -> None:
    page = report.PAGE.read_text()
    for name in report.SECTIONS:
        assert "a new table" in report.replace(page, name, "a new table")
