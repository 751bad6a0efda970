"""Clusters of processes in several languages, under load, with faults; then their history is judged.

Every cycle kills a process with SIGKILL: the leader, or a follower while something else is wrong as well (a paused
process, a cut, slow, splitting or damaging network, a member that joins and leaves, all of them killed at once).
All clients' operations together must be linearizable. CYCLES says how many cycles (20), shared by both sizes; SEED
replays the choices of another run, though not its timing. What was measured is left in target/processes/.
"""

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import quorate
from clients import Client, Load, Member, judge
from conftest import PATIENCE, ROOT, free_port
from proxy import Network

CYCLES = int(os.environ.get("CYCLES", "20"))
SEED = int(os.environ.get("SEED", "1"))
CASTS = {3: ("c", "python", "go"), 5: ("cpp", "go", "c", "python", "cpp")}
RESULTS = ROOT / "target" / "processes"
DISTURBED = 1.5  # seconds that a fault lasts: longer than an election timeout
FAULTS = ["paused", "isolated", "rough", "guest", "mute", "deaf", "apart", "everybody"]


class Cluster:
    """Members behind proxies, a client for each of them, and what is done to them."""

    def __init__(self, size: int, programs: dict[str, list[str]], folder: Path) -> None:
        self.random = random.Random(SEED * 10 + size)
        self.programs, self.folder = programs, folder
        self.network, self.load = Network(SEED), Load()
        self.members: list[Member] = []
        self.everyone: list[Member] = []
        self.faults: Counter[str] = Counter()
        begin = list(CASTS).index(size) * len(FAULTS) // 2  # so that few cycles of both sizes have all of them
        self.next_faults: list[str] = FAULTS[begin:] + FAULTS[:begin]
        self.without_leader: list[float] = []

    def found(self, cast: tuple[str, ...]) -> None:
        """The first node has the address that it listens at, so it goes when the others are there."""
        first = self.member("cpp", "first", True)
        for address in [self.join(language) for language in cast]:
            change(first.tell, f"add {address}")
        change(self.members[0].tell, f"remove {first.status()['id']}")
        first.kill()
        for member in self.members:
            self.load.add(member)

    def member(self, language: str, name: str, first: bool = False) -> Member:
        member = Member(language, self.programs[language], self.folder / name, first)
        self.everyone.append(member)
        return member

    def join(self, language: str) -> str:
        """A process behind its proxy. Returns the address of the proxy."""
        number = len(self.members)
        member = self.member(language, f"member{number}")
        self.members.append(member)
        self.network.ids[quorate.parse_node_id(member.status()["id"])] = number
        return self.network.front(number, member.address, free_port())

    def others(self, number: int) -> list[int]:
        return [n for n in range(len(self.load.clients)) if n != number]

    def kill(self, client: Client) -> None:
        client.kill()
        self.faults["kill"] += 1

    def kill_leader(self) -> None:
        """Alone, so it tells how long a cluster is without a leader."""
        leader = self.load.leader()
        before = time.monotonic_ns()
        self.kill(leader)
        self.without_leader.append((self.load.wait_for_write(before) - before) / 1e9)
        self.load.wait_for_write(before, 20)
        leader.restart()

    def kill_follower(self, but: Client) -> None:
        """While something is wrong with another one."""
        follower = self.random.choice([c for c in self.load.clients if c is not but])
        self.kill(follower)
        time.sleep(0.2)  # it is down for a while, whatever the others do meanwhile
        follower.restart()

    def disturb(self) -> None:
        """Each fault in turn, in another order every time."""
        name = self.next_faults.pop(0)
        if not self.next_faults:
            self.next_faults = self.random.sample(FAULTS, len(FAULTS))
        self.faults[name] += 1
        leader = self.load.leader()
        with getattr(self, name)(leader):
            self.kill_follower(leader)
            time.sleep(DISTURBED)
        self.load.wait_for_write(time.monotonic_ns(), 5)

    @contextlib.contextmanager
    def paused(self, leader: Client) -> Iterator[None]:
        member = self.members[leader.number]
        member.signal(signal.SIGSTOP)
        leader.state = ""
        yield
        member.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def cut(self, pairs: list[tuple[list[int], list[int]]]) -> Iterator[None]:
        for sources, targets in pairs:
            self.network.cut(sources, targets)
        yield
        self.network.mend()

    def isolated(self, leader: Client) -> Any:
        others, me = self.others(leader.number), [leader.number]
        return self.cut([(others, me), (me, others)])

    def mute(self, leader: Client) -> Any:
        return self.cut([([leader.number], self.others(leader.number))])

    def deaf(self, leader: Client) -> Any:
        return self.cut([(self.others(leader.number), [leader.number])])

    def apart(self, leader: Client) -> Any:
        """The leader and one follower don't reach each other; all others reach both."""
        me, other = [leader.number], [self.random.choice(self.others(leader.number))]
        return self.cut([(me, other), (other, me)])

    @contextlib.contextmanager
    def rough(self, leader: Client) -> Iterator[None]:
        """Slow, in pieces, and at times a bit is wrong."""

        def roughen(way: Any) -> None:
            way.delay, way.split, way.flip_every = 0.03, True, 60

        everyone = [*self.others(leader.number), leader.number]
        self.network.change(everyone, everyone, roughen)
        yield
        self.network.mend()

    @contextlib.contextmanager
    def guest(self, leader: Client) -> Iterator[None]:
        """Another one joins, and leaves after it."""
        guest = len(self.members)
        address = self.join(self.random.choice(("c", "cpp", "go")))
        change(lambda line: self.load.leader().ask(line), f"add {address}")
        yield
        change(lambda line: self.load.leader().ask(line), f"remove {self.members[guest].status()['id']}")
        self.members[guest].kill()

    @contextlib.contextmanager
    def everybody(self, leader: Client) -> Iterator[None]:
        """All at once, so that only what is on disk is left."""
        for client in self.load.clients:
            self.kill(client)
        for client in self.load.clients:
            client.restart()
        yield

    def end(self) -> None:
        self.network.mend()
        for member in self.everyone:
            member.signal(signal.SIGCONT)
        try:
            self.load.stop()
        finally:
            for member in self.everyone:
                member.kill()
            self.network.stop()


def change(tell: Callable[[str], str], line: str) -> None:
    """Changes the members. Where the leader changes meanwhile the outcome is unknown, and it is asked for again."""
    done = ("ok", "is a member already" if line.startswith("add") else "no member has the id")
    deadline = time.monotonic() + PATIENCE
    while not any(word in (said := tell(line)) for word in done):
        assert said.startswith("error: ") and time.monotonic() < deadline, f"{line}: {said}"
        time.sleep(0.1)


def share(times: list[float], part: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def report(cluster: Cluster, size: int, seconds: float) -> dict[str, Any]:
    times = cluster.without_leader
    return {
        "nodes": size,
        "seed": SEED,
        "seconds": round(seconds, 1),
        "operations": len(cluster.load.lines),
        "writes_acknowledged": len(cluster.load.acknowledged),
        "faults": dict(cluster.faults),
        "network": dict(cluster.network.counts),
        "leaders_killed": len(times),
        "without_leader_p50_s": round(share(times, 0.5), 3),
        "without_leader_p99_s": round(share(times, 0.99), 3),
        "without_leader_s": [round(t, 3) for t in times],
    }


@pytest.mark.parametrize("size", CASTS)
def test_history_of_killed_processes_is_linearizable(
    size: int, programs: dict[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    history = RESULTS / f"history-{size}.txt"
    started = time.monotonic()
    cluster = Cluster(size, programs, tmp_path)
    try:
        cluster.found(CASTS[size])
        for n in range(CYCLES // 2):
            if n % 2 == 0:
                cluster.kill_leader()
            else:
                cluster.disturb()
    finally:
        cluster.end()
        cluster.load.save(history)
    figures = report(cluster, size, time.monotonic() - started)
    (RESULTS / f"figures-{size}.json").write_text(json.dumps(figures, indent=1) + "\n")
    is_linearizable, said = judge(history)
    assert is_linearizable, f"{history}\n{said}"
    with capsys.disabled():
        shown = {name: figure for name, figure in figures.items() if name != "without_leader_s"}
        print(f"\n{size} processes: {said}\n{json.dumps(shown)}")
    assert cluster.load.crashes == []
    assert figures["faults"]["kill"] >= CYCLES // 2
    assert figures["writes_acknowledged"] > 20 * CYCLES, "hardly anything was written"
    faults, network = cluster.faults, cluster.network.counts
    assert network["held"] or not any(faults[cut] for cut in ("isolated", "mute", "deaf", "apart"))
    assert not faults["rough"] or (network["delayed"] and network["split"] and network["flipped"])
