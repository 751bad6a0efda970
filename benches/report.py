"""Turns target/bench/*.json into the tables of docs/benchmarks.md and the plots in docs/benchmarks/.

    python3 benches/report.py [--plots]

Each table stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`. What was not measured keeps the table
that it has. Plots need matplotlib: `make bench-report` sees to that.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable

import targets
from cluster_tables import cluster
from common import RESULTS, ROOT
from tables import Result, origin

PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "benchmarks"


SECTIONS: dict[str, Callable[[Result], str]] = {
    "cluster": cluster,
    "engine": targets.engine,
    "protocol": targets.protocol,
    "store": targets.store,
    "crossing": targets.crossing,
}


def render(name: str, result: Result) -> str:
    return SECTIONS[name](result)


def replace(page: str, name: str, text: str) -> str:
    """The page with the part of that name changed; an error if it has none."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.S)
    if not pattern.search(page):
        raise SystemExit(f"{PAGE}: `{begin}` and `{end}` are missing")
    return pattern.sub(lambda _: f"{begin}\n{text}\n{end}", page)


def load() -> dict[str, Result]:
    """The results that are there."""
    paths = {name: RESULTS / f"{name}.json" for name in SECTIONS}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plots", action="store_true", help="draw docs/benchmarks/*.svg as well")
    options = parser.parse_args()
    results = load()
    page = PAGE.read_text()
    for name, result in results.items():
        page = replace(page, name, f"\n{origin(result)}\n\n{render(name, result)}\n")
        print(f"{name}: {len(result['rows'])} rows of {result['date'][:10]}")
    for name in SECTIONS.keys() - results.keys():
        print(f"{name}: not measured, left as it is")
    PAGE.write_text(page)
    if options.plots:
        import plots

        plots.draw_all(results, PLOTS)
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main())
