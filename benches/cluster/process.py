"""Three node programs as processes: told lines, looked at from outside, and gone afterwards.

What must hold: a node that dies or hangs is an error with its last words, never a wait without end; no
process and no directory outlives its `Cluster`, because a node also ends when its input does.
"""

import json
import os
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

NODES = 3
START_SECONDS = 30.0
TICK = os.sysconf("SC_CLK_TCK")


class NodeError(Exception):
    """A node ended, failed, or did not answer in time."""


def free_ports(n: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Node:
    """One process. Every line that it is told is answered by one line."""

    def __init__(self, command: Sequence[str], folder: Path, address: str, number: int) -> None:
        self.address, self.name = address, f"node {number}"
        data = folder / f"data{number}"
        data.mkdir()
        self.log = folder / f"stderr{number}"
        self.answers: queue.Queue[str | None] = queue.Queue()
        arguments = [part.format(dir=data, address=address, number=number) for part in command]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1
            )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stdout or ():
            self.answers.put(line.rstrip("\n"))
        self.answers.put(None)

    def tell(self, line: str) -> None:
        if self.process.stdin is None:
            raise NodeError(f"{self.name} has no input")
        try:
            self.process.stdin.write(line + "\n")
        except OSError as error:
            raise NodeError(self.last_words()) from error

    def hear(self, seconds: float, watched: "Sequence[Node]" = ()) -> str:
        """The next answer. Fails early when one of the watched ends."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                answer = self.answers.get(timeout=0.2)
            except queue.Empty:
                for node in watched:
                    if node.process.poll() is not None:
                        raise NodeError(node.last_words()) from None
                continue
            if answer is None:
                raise NodeError(self.last_words())
            if answer.startswith("error"):
                raise NodeError(f"{self.name}: {answer}")
            return answer
        raise NodeError(f"{self.name} did not answer within {seconds:.0f} s")

    def last_words(self) -> str:
        status = self.process.wait(timeout=5)
        lines = self.log.read_text(errors="replace").strip().splitlines()[-5:]
        return f"{self.name} ended with status {status}: {' / '.join(lines) or '(it said nothing)'}"

    def cpu_seconds(self) -> float:
        """User and system time of all its threads, the ended ones included."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def peak_mib(self) -> float:
        """The most memory that it had resident."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmHWM:")[2].split()[0]) / 1024

    def end(self) -> None:
        try:
            if self.process.stdin is not None:
                self.process.stdin.close()
            self.process.wait(timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()


class Cluster:
    """Three nodes that have formed a cluster, led by the first."""

    def __init__(
        self, command: Sequence[str], folder: Path, wrap: Callable[[int], list[str]] = lambda n: []
    ) -> None:
        self.folder = folder
        self.nodes: list[Node] = []
        try:
            folder.mkdir(parents=True)
            for number, port in enumerate(free_ports(NODES), 1):
                self.nodes.append(Node([*wrap(number), *command], folder, f"127.0.0.1:{port}", number))
            for node in self.nodes:
                self._expect(node, "ready")
            self.nodes[0].tell("cluster " + " ".join(node.address for node in self.nodes))
            self._expect(self.nodes[0], "cluster")
        except BaseException:
            self.end()
            raise

    def _expect(self, node: Node, wanted: str) -> None:
        answer = node.hear(START_SECONDS, self.nodes)
        if answer != wanted:
            raise NodeError(f"{node.name}: {wanted!r} was expected, not {answer!r}")

    def load(self, seconds: float, clients: int, payload: int) -> dict[str, Any]:
        """Lets the leader load itself."""
        self.nodes[0].tell(f"load {seconds} {clients} {payload}")
        answer: dict[str, Any] = json.loads(self.nodes[0].hear(seconds + START_SECONDS, self.nodes))
        return answer

    def cpu_seconds(self) -> float:
        return sum(node.cpu_seconds() for node in self.nodes)

    def end(self) -> None:
        """Ends the processes, and sees to it that removing their files disturbs nobody later."""
        for node in reversed(self.nodes):
            node.end()
        shutil.rmtree(self.folder, ignore_errors=True)
        os.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def machine_busy_seconds() -> float:
    """Time in which any processor did anything, for anyone."""
    fields = [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _waiting, *rest = fields
    return (user + nice + system + sum(rest)) / TICK
