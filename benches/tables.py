"""Results as tables: Markdown that is also fit to be read in a terminal."""

from collections.abc import Sequence
from typing import Any

from common import median

Row = dict[str, Any]
Result = dict[str, Any]


def figure(value: float | None, unit: str = "") -> str:
    """Three digits that mean something: 246,000, 12.3, 0.45."""
    if value is None:
        return "-"
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value / 10**digits) * 10**digits:,}{unit}"
    return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f}{unit}"


def values(row: Row, metric: str) -> list[float]:
    found: list[float] = row["metrics"].get(metric, [])
    return found


def middle(row: Row | None, metric: str) -> float | None:
    """The median of a metric over the rounds."""
    numbers = values(row, metric) if row else []
    return median(numbers) if numbers else None


def spread(row: Row, metric: str) -> str:
    numbers = values(row, metric)
    return f"{figure(min(numbers))} – {figure(max(numbers))}" if numbers else "-"


def ratio(over: float | None, under: float | None) -> float | None:
    return over / under if over and under else None


def find(rows: Sequence[Row], system: str, case: dict[str, Any]) -> Row | None:
    return next((row for row in rows if row["system"] == system and row["case"] == case), None)


def cases(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The cases, each once, in the order in which they come."""
    return [dict(items) for items in dict.fromkeys(tuple(row["case"].items()) for row in rows)]


def is_number(cell: str) -> bool:
    return cell in ("", "-") or cell[0].isdigit()


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Columns of one width; those of numbers stand right."""
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    right = [all(is_number(row[i]) for row in body) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        columns = zip(cells, widths, right, strict=True)
        return "| " + " | ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in columns) + " |"

    marks = [
        "-" * (width - 1) + (":" if number else "-") for width, number in zip(widths, right, strict=True)
    ]
    return "\n".join([line(head), line(marks), *(line(row) for row in body)])


def origin(result: Result) -> str:
    """Where and when, in one paragraph."""
    machine = result["machine"]
    used = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    rounds = result["options"].get("rounds", "?")
    return (
        f"{result['date'][:10]}; {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, "
        f"Linux {machine['kernel']}, {machine['filesystem']}; {rounds} rounds, medians. {used}."
    )


def plain(result: Result, reference: str, metric: str, head: str, ours_first: bool) -> str:
    """One table for any result: a row for each case and system, with the ratio to the reference first.

    `ours_first`: the reference divided by the row; else the row divided by the reference.
    """
    rows = result["rows"]
    keys = list(dict.fromkeys(key for row in rows for key in row["case"]))
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    body = []
    for case in cases(rows):
        base = middle(find(rows, reference, case), metric)
        for row in (row for row in rows if row["case"] == case):
            mine = middle(row, metric)
            share = ratio(base, mine) if ours_first else ratio(mine, base)
            cells = [figure(middle(row, name)) for name in metrics]
            body.append([*(str(case.get(key, "")) for key in keys), row["system"], figure(share), *cells])
    return table([*keys, "system", head, *(name.replace("_", " ") for name in metrics)], body)
