"""Events: the present first, then every change, numbered, in order; the last one is closed."""

import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest
import quorate
import quorate.aio
from conftest import LOCAL, LONG, Cluster, Failing, Log, Start
from quorate import Event, EventKind, State


def follow(service: quorate.Service) -> tuple[list[Event], threading.Thread]:
    """What happens from now on, and the thread that listens until the service is closed."""
    heard: list[Event] = []
    events = service.events()
    thread = threading.Thread(target=lambda: heard.extend(events))
    thread.start()
    return heard, thread


def test_the_present_comes_first(service: quorate.Service) -> None:
    service.read_barrier(timeout=LONG)
    events = service.events()
    first, second = next(events), next(events)
    assert (first.kind, State(first.index)) == (EventKind.STATE, State.STANDALONE)
    assert (second.kind, second.node_id) == (EventKind.LEADER, service.leader_id)
    assert first.term == second.term == service.current_term
    assert (first.text, first.error, first.node_id) == ("", None, 0)


def test_a_life_from_the_first_event_to_the_last(start: Start) -> None:
    service = start(listen=LOCAL)
    heard, thread = follow(service)
    service.initialize_cluster(service.address, timeout=LONG)
    service.close()
    thread.join(LONG)
    assert not thread.is_alive()
    kinds = [event.kind for event in heard]
    assert kinds[-1] is EventKind.CLOSED and kinds.count(EventKind.CLOSED) == 1
    states = [State(event.index) for event in heard if event.kind is EventKind.STATE]
    assert states[0] is State.STANDALONE and State.LEADER in states
    texts = [event.text for event in heard if event.kind is EventKind.MEMBERSHIP]
    assert "in force" in texts
    numbers = [event.number for event in heard if event.number > heard[0].number]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "none is lost"


def test_an_iterator_has_an_end(service: quorate.Service) -> None:
    events = service.events()
    service.close()
    assert list(events)[-1].kind is EventKind.CLOSED
    assert next(events, None) is None
    with pytest.raises(quorate.Closed, match="no events any more"):
        service.events()


def test_a_failure_has_its_error_and_its_cause(start: Start) -> None:
    service = start(Failing())
    heard, thread = follow(service)
    service.submit(b"bad")
    while service.state is not State.FAILED:
        thread.join(0.01)
    with pytest.raises(quorate.StateMachineFailed):
        service.close()
    thread.join(LONG)
    failed = next(event for event in heard if event.kind is EventKind.FAILED)
    assert isinstance(failed.error, quorate.StateMachineFailed)
    assert isinstance(failed.error.__cause__, ZeroDivisionError)
    assert failed.text == str(failed.error) and "no such number" in failed.text
    assert [event.kind for event in heard][-1] is EventKind.CLOSED


def test_members_and_leaders_are_told_everywhere(cluster: Cluster) -> None:
    leader, follower = cluster.leader, cluster.follower
    events = follower.events()
    gone = leader.my_id
    leader.close()
    for event in events:
        if event.kind is EventKind.LEADER and event.node_id not in (0, gone):
            break
    assert event.term > 0 and follower.leader_id != gone


def test_each_listener_hears_everything(start: Start) -> None:
    service = start(listen=LOCAL)
    listeners = [follow(service) for _ in range(3)]
    service.initialize_cluster(service.address, timeout=LONG)
    service.close()
    for _, thread in listeners:
        thread.join(LONG)
    first, second, third = (heard for heard, _ in listeners)
    assert first == second == third and len(first) > 4


def test_one_iterator_may_be_shared(start: Start) -> None:
    service = start(listen=LOCAL)
    heard: list[Event] = []
    events = service.events()
    threads = [threading.Thread(target=lambda: heard.extend(events)) for _ in range(4)]
    for thread in threads:
        thread.start()
    service.initialize_cluster(service.address, timeout=LONG)
    service.close()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()
    assert [event.kind for event in heard].count(EventKind.CLOSED) == 1
    assert len({event.number for event in heard}) >= len(heard) - 1, "each went to one of them"


def test_a_listener_that_is_late_loses_the_oldest(start: Start, tmp_path: Path) -> None:
    class Unwanted:
        """Each refusal of a frame's way is an event."""

        def send(self, node_id: int, address: str, frame: bytes) -> None:
            raise ConnectionError

    service = start(storage="memory", transport=Unwanted())
    events = service.events()
    with contextlib.suppress(quorate.QuorateError):
        service.initialize_cluster("nowhere", timeout=0.01)
    service.close()
    heard = list(events)
    assert len(heard) <= 1024 and heard[-1].kind is EventKind.CLOSED
    assert any(event.kind is EventKind.PEER and "nowhere" in event.text for event in heard)


def test_waiting_for_events_is_refused_in_a_callback(start: Start) -> None:
    outcomes: list[object] = []

    class Listening(Log):
        service: quorate.Service | None = None

        def commit(self, entries: Sequence[quorate.Entry]) -> list[bytes]:
            if self.service is not None:
                events = self.service.events()
                try:
                    outcomes.extend(events)
                except quorate.InCallback as error:
                    outcomes.append(error)
            return super().commit(entries)

    machine = Listening()
    service = start(machine)
    service.read_barrier(timeout=LONG)
    machine.service = service
    service.propose_wait(b"x", timeout=LONG)
    machine.service = None
    *present, refusal = outcomes
    assert len(present) >= 2 and all(isinstance(event, Event) for event in present)
    assert isinstance(refusal, quorate.InCallback)


def test_an_iterator_keeps_no_service_alive(tmp_path: Path) -> None:
    service = quorate.Service.start(Log(), data_dir=tmp_path)
    events, running = service.events(), weakref.ref(service)
    with pytest.warns(ResourceWarning, match="unclosed service"):
        del service
        gc.collect()
    assert running() is None
    assert list(events)[-1].kind is EventKind.CLOSED, "it was closed all the same"


def test_lost_iterators_leave_no_descriptor(service: quorate.Service) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for _ in range(50):
        next(service.events())
    assert count() <= before


async def test_events_of_asyncio(tmp_path: Path) -> None:
    service = await quorate.aio.Service.start(Log(), data_dir=tmp_path, listen=LOCAL)
    heard: list[Event] = []

    async def listen() -> None:
        async for event in service.events():
            heard.append(event)

    async with asyncio.timeout(LONG):
        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(0)
        await service.initialize_cluster(service.address, timeout=LONG)
        await service.close()
        await listening
    assert heard[0].kind is EventKind.STATE and heard[-1].kind is EventKind.CLOSED
    assert State.LEADER in {State(e.index) for e in heard if e.kind is EventKind.STATE}
    with pytest.raises(quorate.Closed):
        service.events()


async def test_leaving_an_async_iterator_and_cancelling_a_wait(tmp_path: Path) -> None:
    async with (
        asyncio.timeout(LONG),
        await quorate.aio.Service.start(Log(), data_dir=tmp_path) as service,
    ):
        async for event in service.events():
            if event.kind is EventKind.LEADER:
                break
        await service.read_barrier(timeout=LONG)
        events = service.events()
        seen = [await anext(events), await anext(events)]
        assert [event.kind for event in seen] == [EventKind.STATE, EventKind.LEADER]
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await service.close()
        kinds = [event.kind async for event in events]
        assert kinds[-1:] == [EventKind.CLOSED], "it went on where it was"
        assert await anext(events, None) is None


async def test_tasks_may_share_an_async_iterator(tmp_path: Path) -> None:
    service = await quorate.aio.Service.start(Log(), data_dir=tmp_path)
    events = service.events()

    async def listen() -> list[EventKind]:
        return [event.kind async for event in events]

    async with asyncio.timeout(LONG):
        listening = [asyncio.ensure_future(listen()) for _ in range(3)]
        await service.read_barrier(timeout=LONG)
        await service.close()
        heard = [kind for kinds in await asyncio.gather(*listening) for kind in kinds]
    assert heard.count(EventKind.CLOSED) == 1 and EventKind.STATE in heard
