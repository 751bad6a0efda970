"""The scenarios of tests/conformance, in every language and in a cluster of all four.

A scenario has nodes, numbered from 0; "first" names those that begin a cluster of their own. Its steps, in
order, are
  {"tell": 0, "line": "set a 1", "answer": "ok"}   a line, and what is answered: the whole text, or with
                                                   "like" a regular expression that is found in it
  {"kill": 0}, {"start": 0}                        SIGKILL; a start with the same directory and address
  {"until": 0, "line": ..., "answer" or "like"}    told again until it is answered so
In a line, @0 stands for the address of node 0, and #0 for its id.
"""

import json
import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import LANGUAGES, PATIENCE, Node

SCENARIOS = sorted((Path(__file__).parents[1] / "conformance").glob("*.json"))
CASTS = {**{language: [language] for language in LANGUAGES}, "mixed": ["go", "python", "cpp", "c"]}


def fill(line: str, nodes: list[Node]) -> str:
    line = re.sub(r"@(\d)", lambda m: nodes[int(m[1])].address, line)
    return re.sub(r"#(\d)", lambda m: nodes[int(m[1])].status()["id"], line)


def fits(step: dict[str, Any], answer: str) -> bool:
    if "like" in step:
        return re.search(step["like"], answer) is not None
    return bool(answer == step["answer"])


def until(step: dict[str, Any], node: Node, line: str) -> str:
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while True:
        answer = node.tell(line)
        if fits(step, answer) or time.monotonic() > deadline:
            return answer
        pause.wait(0.05)


def play(step: dict[str, Any], nodes: list[Node]) -> None:
    if "kill" in step:
        nodes[step["kill"]].kill()
    elif "start" in step:
        nodes[step["start"]].start()
    else:
        line = fill(step["line"], nodes)
        answer = until(step, nodes[step["until"]], line) if "until" in step else nodes[step["tell"]].tell(line)
        assert fits(step, answer), f"{step}: {line!r} was answered {answer!r}"


@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize("path", SCENARIOS, ids=lambda p: p.stem)
def test_scenario(path: Path, cast: str, start: Any) -> None:
    scenario = json.loads(path.read_text())
    languages = CASTS[cast]
    nodes = [start(languages[n % len(languages)], n in scenario["first"]) for n in range(scenario["nodes"])]
    for step in scenario["steps"]:
        play(step, nodes)
