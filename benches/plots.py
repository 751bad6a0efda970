"""Plots of the results, one SVG each. The only file that needs more than Python itself (requirements.txt)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from tables import Result, cases, find, middle

matplotlib.use("svg")
from matplotlib import pyplot

COLOURS = ("#1b6ca8", "#7fb2d9", "#b5b5b5", "#8a8a8a", "#5e5e5e", "#d08c3f", "#9a6fb0", "#6fae75")
# What is drawn of each result: file, metric, title, and whether its scale is logarithmic.
DRAWN = {
    "cluster": (
        (
            "cluster-throughput",
            "ops_per_s",
            "Changes per second, three durable nodes (more is better)",
            True,
        ),
        ("cluster-p50", "p50_us", "Median time of a change, µs (less is better)", True),
        (
            "cluster-cpu",
            "cpu_s_per_100k",
            "CPU seconds per 100,000 changes, three nodes (less is better)",
            True,
        ),
    ),
    "engine": (("engine", "ops_per_s", "Changes per second, engine alone (more is better)", True),),
    "protocol": (("protocol", "entries_per_s", "Entries per second, protocol alone (more is better)", True),),
    "store": (("store", "entries_per_s", "Durable entries per second (more is better)", True),),
    "crossing": (("crossing", "cpu_ns", "CPU of an entry, ns (less is better)", True),),
}


def label(case: dict[str, Any]) -> str:
    return "\n".join(f"{key} {value}" for key, value in case.items())


def bars(result: Result, metric: str, title: str, logarithmic: bool, path: Path) -> None:
    """A group of bars for each case, a bar for each system that was measured in all of them."""
    rows = [row for row in result["rows"] if row["case"] and row["metrics"].get(metric)]
    groups = cases(rows)
    names = dict.fromkeys(row["system"] for row in rows)
    systems = [name for name in names if all(find(rows, name, case) for case in groups)]
    if not systems:
        return
    figure, axes = pyplot.subplots(figsize=(10, 4.2))
    width = 0.85 / len(systems)
    for i, system in enumerate(systems):
        heights = [middle(find(rows, system, case), metric) or 0 for case in groups]
        places = [group + (i - (len(systems) - 1) / 2) * width for group in range(len(groups))]
        axes.bar(places, heights, width, label=system, color=COLOURS[i % len(COLOURS)])
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xticks(range(len(groups)), [label(case) for case in groups], fontsize=8)
    axes.set_yscale("log" if logarithmic else "linear")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def draw_all(results: dict[str, Result], folder: Path) -> None:
    # The same drawing is the same file, and its words are text.
    matplotlib.rcParams.update({"svg.hashsalt": "quorate", "svg.fonttype": "none"})
    folder.mkdir(parents=True, exist_ok=True)
    for name, result in results.items():
        for file, metric, title, logarithmic in DRAWN[name]:
            bars(result, metric, title, logarithmic, folder / f"{file}.svg")


__all__: Sequence[str] = ["draw_all"]
