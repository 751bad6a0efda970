"""A store that blocks for ten seconds: a slow disk is no dead node, and the cluster goes on.

That is ten times as long as it takes to elect a leader: a leader hands over, a follower is
waited for. Two clusters at once share the wait.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import quorate
from conftest import LOCAL, LONG, Log, Start
from memory_store import MemoryStore, change_method

BLOCKED = 10.0


class Members:
    """Three on stores in memory; the first one leads."""

    def __init__(self, start: Start) -> None:
        self.logs = [Log() for _ in range(3)]
        self.stores = [MemoryStore() for _ in range(3)]
        self.services = [
            start(log, storage=store, listen=LOCAL)
            for log, store in zip(self.logs, self.stores, strict=True)
        ]
        first = self.services[0]
        first.initialize_cluster(first.address, timeout=LONG)
        for other in self.services[1:]:
            first.add_node(other.address, timeout=LONG)


def others_go_on(members: Members, blocked: int, writer: int) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def block(store: MemoryStore, sync: Callable[[], None]) -> None:
        entered.set()
        assert go_on.wait(2 * LONG)
        sync()

    term, written = members.services[0].current_term, 0
    change_method(members.stores[blocked], "sync", block)
    end = time.monotonic() + BLOCKED
    while time.monotonic() < end:
        with contextlib.suppress(quorate.Lost):  # while it hands over
            members.services[writer].propose_wait(b"a majority has it", timeout=LONG)
            written += 1
        assert entered.wait(LONG)
        time.sleep(0.05)  # ten seconds are what is tried
    with pytest.raises(quorate.TimedOut):
        members.services[blocked].propose_wait(b"late", timeout=0.05)
    assert len(members.logs[blocked].data) < written, "nothing is applied that is not durable"
    elected = members.services[writer].current_term > term
    assert elected == (blocked == 0), "a blocked leader hands over, and nobody else is replaced"
    assert members.services[writer].leader_id != members.services[blocked].my_id
    go_on.set()
    for log, service in zip(members.logs, members.services, strict=True):
        service.read_barrier(timeout=LONG)
        assert len(log.data) == written + 1, "the late one was under way"


def test_a_store_that_blocks_for_ten_seconds_stops_nobody(start: Start) -> None:
    cases: list[Any] = [(Members(start), 0, 1), (Members(start), 2, 0)]  # a leader's, a follower's
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(others_go_on, *case) for case in cases]:
            done.result()
