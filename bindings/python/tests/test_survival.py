"""A cluster of processes on SQLite, killed under load: nothing that was acknowledged is lost."""

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import LONG
from test_examples import EXAMPLES, free_port

NODE = Path(__file__).with_name("sqlite_node.py")

# Changes that are acknowledged between two kills.
ROUND = 300


class Acked:
    """Keys that were acknowledged, by any node."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.changed = threading.Condition()

    def add(self, key: str) -> None:
        with self.changed:
            self.keys.add(key)
            self.changed.notify_all()

    def more(self, count: int) -> None:
        """Waits for so many more."""
        with self.changed:
            goal = len(self.keys) + count
            assert self.changed.wait_for(lambda: len(self.keys) >= goal, 2 * LONG), (
                "it stands still"
            )


class Node:
    def __init__(self, folder: Path, acked: Acked) -> None:
        self.folder, self.acked = folder, acked
        self.address = f"127.0.0.1:{free_port()}"
        self.runs = 0

    def start(self, *first: str) -> None:
        self.runs += 1
        self.process = subprocess.Popen(
            [sys.executable, str(NODE), str(self.folder), self.address, *first],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": str(EXAMPLES)},
        )
        self.answers: queue.Queue[str] = queue.Queue()
        self.listener = threading.Thread(target=self._listen)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "acked":
                self.acked.add(rest)
            else:
                self.answers.put(line.rstrip("\n"))

    def tell(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        return self.answers.get(timeout=2 * LONG)

    def load(self) -> None:
        assert self.tell(f"load {self.folder.name}-{self.runs}") == "ok"

    @property
    def state(self) -> str:
        return self.tell("status").split()[0]

    def kill(self) -> None:
        """SIGKILL. What it had printed is read to the end."""
        with self.process:
            self.process.kill()
            self.listener.join(LONG)


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[Node]]:
    acked = Acked()
    nodes = [Node(tmp_path / f"node{n}", acked) for n in range(3)]
    nodes[0].start("first")
    for node in nodes[1:]:
        node.start()
    for node in nodes[1:]:
        assert nodes[0].tell(f"add {node.address}") == "ok"
    yield nodes
    for node in nodes:
        node.kill()


def victim(nodes: list[Node], leads: bool) -> Node:
    """The leader, or a follower of one."""
    tries = threading.Event()
    for _ in range(int(LONG / 0.05)):
        states = [node.state for node in nodes]
        if "Leader" in states and "Follower" in states:
            return nodes[states.index("Leader" if leads else "Follower")]
        tries.wait(0.05)
    raise AssertionError("nobody leads")


def test_nothing_acknowledged_is_lost_when_nodes_are_killed(nodes: list[Node]) -> None:
    acked = nodes[0].acked
    for node in nodes:
        node.load()
    for leads in (True, False, True, False):
        acked.more(ROUND)
        node = victim(nodes, leads)
        node.kill()
        acked.more(ROUND)
        node.start()
        node.load()
    acked.more(ROUND)
    assert [node.tell("stop") for node in nodes] == ["ok"] * 3
    states = [json.loads(node.tell("keys")) for node in nodes]
    hashes = {state[0] for state in states}
    assert len(hashes) == 1
    assert acked.keys <= set(states[0][1:]), "what was acknowledged is there"
    assert len(acked.keys) >= 9 * ROUND
