"""A client for each node of a cluster, and the history of all that they asked and heard.

Every value is written once, so a read tells which write it saw. What became of a write is unknown when the node
says so, or when it died before it answered; what was certainly not done is not in the history.
"""

import queue
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

from conftest import PATIENCE, ROOT, Node

KEYS = 4


class Member(Node):
    """A node that can be paused, in one language."""

    def __init__(self, language: str, command: list[str], folder: Path, first: bool = False) -> None:
        self.is_in_c, self.is_down = language == "c", False
        super().__init__(command, folder, first)

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and not self.has_ended():
            self.process.send_signal(number)


class Client(threading.Thread):
    """Writes and reads through one node, an operation at a time, until it is told to stop."""

    def __init__(self, number: int, node: Member, load: "Load") -> None:
        super().__init__(daemon=True)
        self.number, self.node, self.load = number, node, load
        self.up = threading.Event()
        self.lock = threading.Lock()  # one line at a time
        self.over = False
        self.state = ""
        self.asked: queue.Queue[tuple[str, queue.Queue[str]]] = queue.Queue()
        self.random = random.Random(number)
        self.up.set()
        self.start()

    def run(self) -> None:
        count = 0
        while not self.over:
            self.up.wait()
            count += 1
            self.answer_others()
            if count % 8 == 0:
                self.state = self.tell("status").split(" ")[0]
            key = f"k{self.random.randrange(KEYS)}"
            if self.random.random() < 0.5:
                self.put(key, f"{self.number}-{count}")
            else:
                self.get(key)

    def tell(self, line: str) -> str:
        with self.lock:
            try:
                answer = self.node.tell(line)
            except BrokenPipeError:
                answer = "(the process is gone)"
            except queue.Empty:
                answer = f"(the process does not answer to {line})"
            if answer.startswith("(the process") and not self.node.is_down:
                self.load.crashes.append(f"member {self.number}: {answer}")
                self.over = True
            return answer

    def kill(self) -> None:
        self.up.clear()
        self.state = ""
        self.node.is_down = True
        self.node.kill()

    def restart(self) -> None:
        with self.lock:
            said = self.node.start()
            self.node.is_down = False
        if self.node.has_ended():
            self.load.crashes.append(f"member {self.number} does not start: {said}")
        self.up.set()

    def leads(self) -> bool:
        """As far as it has told."""
        return self.up.is_set() and not self.over and self.state.lower() == "leader"

    def answer_others(self) -> None:
        while not self.asked.empty():
            line, reply = self.asked.get()
            reply.put(self.tell(line))

    def put(self, key: str, value: str) -> None:
        called = time.monotonic_ns()
        answer = self.tell(f"set {key} {value}")
        if answer == "ok":
            self.load.note(self, called, True, "put", key, value)
        elif not self.is_surely_undone(answer):
            self.load.note(self, called, False, "put", key, value)

    def is_surely_undone(self, answer: str) -> bool:
        """The example in C does not tell the classes of errors apart."""
        return answer.startswith("error: ") and not answer.endswith("(it may be done)") and not self.node.is_in_c

    def get(self, key: str) -> None:
        called = time.monotonic_ns()
        answer = self.tell(f"get {key}")
        if not answer.startswith(("error:", "(the process")):
            self.load.note(self, called, True, "get", key, "-" if answer == "(none)" else answer)

    def ask(self, line: str) -> str:
        """An answer of this node, told between two operations."""
        reply: queue.Queue[str] = queue.Queue()
        self.asked.put((line, reply))
        try:
            return reply.get(timeout=2 * PATIENCE)
        except queue.Empty:
            raise AssertionError(f"member {self.number} does not answer; {self.load.crashes}") from None


class Load:
    """All clients, and what they wrote down."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.lines: list[str] = []
        self.acknowledged: list[tuple[int, int]] = []  # writes: called, returned
        self.clients: list[Client] = []
        self.crashes: list[str] = []  # processes that ended by themselves

    def note(self, client: Client, called: int, known: bool, verb: str, key: str, value: str) -> None:
        now = time.monotonic_ns()
        with self.changed:
            returned = str(now) if known else "-"
            self.lines.append(f"{client.number}\t{called}\t{returned}\t{verb}\t{key}\t{value}")
            if known and verb == "put":
                self.acknowledged.append((called, now))
                self.changed.notify_all()

    def add(self, node: Member) -> Client:
        self.clients.append(Client(len(self.clients), node, self))
        return self.clients[-1]

    def wait_for_write(self, since: int, more: int = 1) -> int:
        """When the next write (or a later one) was acknowledged that was called after a time."""
        times: list[int] = []

        def is_there() -> bool:
            times[:] = [end for called, end in self.acknowledged[-4096:] if called > since]
            return len(times) >= more

        with self.changed:
            assert self.changed.wait_for(is_there, PATIENCE), f"nothing is written; {self.crashes}"
        return times[more - 1]

    def leader(self) -> Client:
        """A client whose node says that it leads; waits for one."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for client in self.clients:
                if client.leads() and client.ask("status").lower().startswith("leader"):
                    return client
            with self.changed:
                self.changed.wait(0.05)
        raise AssertionError(f"nobody leads; {self.crashes}")

    def stop(self) -> None:
        for client in self.clients:
            client.over = True
            client.up.set()
        for client in self.clients:
            client.join(2 * PATIENCE)
            assert not client.is_alive(), f"client {client.number} hangs"

    def save(self, path: Path) -> None:
        path.write_text("".join(line + "\n" for line in self.lines))


def judge(history: Path) -> tuple[bool, str]:
    """Whether a history is linearizable, and what is to be said about it."""
    command = ["cargo", "run", "-q", "--release", "--locked", "-p", "quorate-tests", "--example", "judge"]
    said = subprocess.run([*command, "--", str(history)], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode in (0, 1), said.stderr
    return said.returncode == 0, (said.stdout or said.stderr).strip()
