"""What the tests share: state machines, services that are closed, waiting for a fact."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import quorate

LOCAL = "127.0.0.1:0"

# Long enough for a busy machine; nothing waits that long when it works.
LONG = 30.0


class Log:
    """A state machine that keeps what it was given, and replies with the data in upper case."""

    def __init__(self) -> None:
        self.entries: list[quorate.Entry] = []
        self.batches: list[int] = []

    @property
    def data(self) -> list[bytes]:
        return [entry.data for entry in self.entries]

    def commit(self, entries: Sequence[quorate.Entry]) -> list[bytes]:
        self.entries += entries
        self.batches.append(len(entries))
        return [entry.data.upper() for entry in entries]


class Gate(Log):
    """One whose commits wait until the test lets them go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.open = threading.Event()

    def commit(self, entries: Sequence[quorate.Entry]) -> list[bytes]:
        self.entered.set()
        assert self.open.wait(LONG), "the test never opened the gate"
        return super().commit(entries)


class Failing(Log):
    """One that can't take the word "bad"."""

    def commit(self, entries: Sequence[quorate.Entry]) -> list[bytes]:
        if any(entry.data == b"bad" for entry in entries):
            raise ZeroDivisionError("no such number")
        return super().commit(entries)


def until(fact: Callable[[], bool]) -> None:
    """Waits for what has no event to wait for."""
    deadline, pause = time.monotonic() + LONG, threading.Event()
    while not fact():
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.01)


def insist(service: quorate.Service, data: bytes) -> quorate.Reply:
    """Proposes again what is surely not done, as while the leader changes."""
    deadline = time.monotonic() + LONG
    while True:
        try:
            return service.propose_wait(data, timeout=LONG)
        except quorate.QuorateError as error:
            if error.outcome is not quorate.Outcome.NOT_DONE or time.monotonic() > deadline:
                raise


Start = Callable[..., quorate.Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts services that are closed at the end; each in a directory of its own."""
    services: list[quorate.Service] = []

    def start(machine: quorate.StateMachine | None = None, **settings: Any) -> quorate.Service:
        if settings.get("storage") != "memory":
            settings.setdefault("data_dir", tmp_path / str(len(services)))
        services.append(quorate.Service.start(machine or Log(), **settings))
        return services[-1]

    yield start
    for service in services:
        with contextlib.suppress(quorate.ServiceFailed):
            service.close()


@pytest.fixture
def service(start: Start) -> quorate.Service:
    return start()


class Cluster:
    """Members in this process, the first one initialized, the others added."""

    def __init__(self, start: Start, size: int) -> None:
        self.logs = [Log() for _ in range(size)]
        self.services = [start(log, listen=LOCAL) for log in self.logs]
        first = self.services[0]
        first.initialize_cluster(first.address, timeout=LONG)
        for service in self.services[1:]:
            first.add_node(service.address, timeout=LONG)

    @property
    def leader(self) -> quorate.Service:
        return next(s for s in self.services if s.state is quorate.State.LEADER)

    @property
    def follower(self) -> quorate.Service:
        return next(s for s in self.services if s.state is quorate.State.FOLLOWER)

    def log_of(self, service: quorate.Service) -> Log:
        return self.logs[self.services.index(service)]


@pytest.fixture
def cluster(start: Start) -> Cluster:
    return Cluster(start, 3)
