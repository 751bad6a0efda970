"""The key-value example in every language, as processes that are told lines and answer lines."""

import contextlib
import os
import queue
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "mixed"
LANGUAGES = ("c", "cpp", "python", "go")
SQLITE = ("c", "cpp")  # where the example takes "--storage sqlite"
PATIENCE = 120.0  # seconds: twice what the examples give a change of membership, the longest that they wait


@pytest.fixture(scope="session")
def programs() -> dict[str, list[str]]:
    """The command of the example in each language, compiled against the built library."""
    BUILD.mkdir(parents=True, exist_ok=True)
    examples, lib = ROOT / "examples", ROOT / "target" / "release"
    link = [f"-L{lib}", f"-Wl,-rpath,{lib}", "-lquorate", "-lpthread"]
    header, cpp_header = f"-I{ROOT}/include", f"-I{ROOT}/bindings/cpp/include"
    c = [f"{examples}/c/kv.c", f"{examples}/c/sqlite_store.c", "-DKV_SQLITE", "-lsqlite3"]
    cpp = [f"{examples}/cpp/kv.cpp", "-DKV_SQLITE", "-lsqlite3"]
    for command in (
        ["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", header, "-o", f"{BUILD}/kv-c", *c, *link],
        ["c++", "-std=c++17", "-O1", header, cpp_header, "-o", f"{BUILD}/kv-cpp", *cpp, *link],
        ["go", "build", "-C", f"{examples}/go", "-o", f"{BUILD}/kv-go", "."],
    ):
        subprocess.run(command, check=True)
    return {
        "c": [f"{BUILD}/kv-c"],
        "cpp": [f"{BUILD}/kv-cpp"],
        "python": [sys.executable, f"{examples}/python/kv.py"],
        "go": [f"{BUILD}/kv-go"],
    }


def free_port() -> int:
    """A port that nobody gets by chance while the node that it is for is down: not one of those given out for 0."""
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port


class Node:
    """One process. Every line that it is told is answered by one line."""

    def __init__(self, command: list[str], folder: Path, first: bool, *options: str) -> None:
        self.command, self.folder, self.first, self.options = command, folder, first, options
        self.address = f"127.0.0.1:{free_port()}"
        self.process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> str:
        """Returns the first line that it says: its status, or why there is none."""
        arguments = [str(self.folder), self.address, *(["first"] if self.first else []), *self.options]
        self.process = subprocess.Popen(
            [*self.command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, args=(self.process, self.answers), daemon=True).start()
        return self.tell("status")  # it listens, and leads its cluster if it is to begin one

    @staticmethod
    def _listen(process: "subprocess.Popen[str]", answers: "queue.Queue[str]") -> None:
        for line in process.stdout or ():
            answers.put(line.rstrip("\n"))
        answers.put(f"(the process ended with {process.wait()})")

    def tell(self, line: str) -> str:
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answers.get(timeout=PATIENCE)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def status(self) -> dict[str, str]:
        state, *pairs = self.tell("status").split()
        return {"state": state, **dict(pair.split("=", 1) for pair in pairs)}


@pytest.fixture
def start(programs: dict[str, list[str]], tmp_path: Path) -> Iterator[object]:
    """start(language, first, option ...): a new node."""
    nodes: list[Node] = []

    def new(language: str, first: bool = False, *options: str) -> Node:
        nodes.append(Node(programs[language], tmp_path / f"node{len(nodes)}", first, *options))
        return nodes[-1]

    yield new
    for node in nodes:
        node.kill()
