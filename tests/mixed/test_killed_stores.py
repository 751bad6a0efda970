"""Three nodes whose log is in SQLite, killed with SIGKILL in turn while clients write.

What was acknowledged must be there at the end, on every node, and all nodes must hold the same.
"""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import PATIENCE, SQLITE, Node

KILLS = ("Leader", "Follower", "Leader", "Follower")
BETWEEN = 25  # acknowledged writes


class Writers:
    """A thread for each node, which writes through it whenever it is there; each key once."""

    def __init__(self, nodes: list[Node]) -> None:
        self.changed = threading.Condition()
        self.tried: dict[str, str] = {}
        self.acknowledged: set[str] = set()
        self.down: set[int] = set()
        self.over = False
        self.locks = [threading.Lock() for _ in nodes]
        self.nodes = nodes
        self.threads = [threading.Thread(target=self.write, args=(n,)) for n in range(len(nodes))]
        for thread in self.threads:
            thread.start()

    def write(self, n: int) -> None:
        count = 0
        while self.wait_until_up(n):
            count += 1
            key, value = f"key-{n}-{count}", f"value {n} {count}"
            with self.changed:
                self.tried[key] = value
            if self.tell(n, f"set {key} {value}") == "ok":
                with self.changed:
                    self.acknowledged.add(key)
                    self.changed.notify_all()

    def wait_until_up(self, n: int) -> bool:
        with self.changed:
            self.changed.wait_for(lambda: self.over or n not in self.down)
            return not self.over

    def tell(self, n: int, line: str) -> str:
        with self.locks[n]:
            try:
                return self.nodes[n].tell(line)
            except BrokenPipeError:
                return "(the process is gone)"

    def wait_for_more(self, more: int = BETWEEN) -> None:
        with self.changed:
            wanted = len(self.acknowledged) + more
            assert self.changed.wait_for(lambda: len(self.acknowledged) >= wanted, PATIENCE), "nothing is written"

    def kill(self, n: int) -> None:
        with self.changed:
            self.down.add(n)
        self.nodes[n].kill()

    def start(self, n: int) -> None:
        with self.locks[n]:
            self.nodes[n].start()
        with self.changed:
            self.down.discard(n)
            self.changed.notify_all()

    def stop(self) -> None:
        with self.changed:
            self.over = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()


def find(writers: Writers, state: str) -> int:
    """A node that is in that state."""
    pause = threading.Event()
    while True:
        for n in range(len(writers.nodes)):
            if writers.tell(n, "status").startswith(state + " "):
                return n
        pause.wait(0.02)


def contents(node: Node, keys: list[str]) -> list[str]:
    return [node.tell(f"get {key}") for key in keys]


@pytest.mark.parametrize("language", SQLITE)
def test_nothing_acknowledged_is_lost(language: str, start: Callable[..., Any]) -> None:
    nodes = [start(language, n == 0, "--storage", "sqlite") for n in range(3)]
    for n in (1, 2):
        assert nodes[0].tell(f"add {nodes[n].address}") == "ok"
    writers = Writers(nodes)
    try:
        for state in KILLS:
            writers.wait_for_more()
            killed = find(writers, state)
            writers.kill(killed)
            writers.wait_for_more()
            writers.start(killed)
        writers.wait_for_more()
    finally:
        writers.stop()
    keys = sorted(writers.tried)
    held = [contents(node, keys) for node in nodes]
    assert held[0] == held[1] == held[2]
    for key, value in zip(keys, held[0], strict=True):
        wanted = {writers.tried[key]} if key in writers.acknowledged else {writers.tried[key], "(none)"}
        assert value in wanted, key
