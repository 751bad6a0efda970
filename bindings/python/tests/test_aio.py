"""The same on asyncio: nothing blocks the loop; cancelling abandons the wait, not the change."""

import asyncio
import contextlib
import gc
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import quorate
import quorate.aio
from conftest import LOCAL, LONG, Failing, Gate, Log
from memory_store import MemoryStore
from quorate.aio import ChangeTracker, Service

AioStart = Callable[..., Awaitable[Service]]


@pytest_asyncio.fixture
async def start(tmp_path: Path) -> AsyncIterator[AioStart]:
    services: list[Service] = []

    async def start(machine: quorate.StateMachine | None = None, **settings: Any) -> Service:
        settings.setdefault("data_dir", tmp_path / str(len(services)))
        services.append(await Service.start(machine or Log(), **settings))
        return services[-1]

    yield start
    for service in services:
        with contextlib.suppress(quorate.ServiceFailed):
            await service.close()


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG):
        while not fact():
            await asyncio.sleep(0.01)


async def test_alone(start: AioStart) -> None:
    log = Log()
    service = await start(log)
    assert service.state is quorate.State.STANDALONE
    assert repr(service).startswith("<quorate.aio.Service ")
    reply = await service.propose_wait(b"one", timeout=LONG)
    assert isinstance(reply, quorate.Reply) and reply.data == b"ONE"
    position = await service.propose(quorate.Entry(b"two", tags=["t"]), timeout=LONG)
    assert isinstance(position, quorate.Position)
    await service.applied_tracker.wait(position.index)
    assert log.data == [b"one", b"two"] and log.entries[1].tags == ("t",)
    assert service.last_applied >= position.index
    assert isinstance(service.report(), str)


async def test_a_context_manager_closes(tmp_path: Path) -> None:
    async with await Service.start(Log(), data_dir=tmp_path) as service:
        await service.propose_wait(b"x", timeout=LONG)
    assert service.state is quorate.State.STOPPED
    with pytest.raises(quorate.Closed):
        await service.propose_wait(b"x")
    await service.close()


async def test_thousands_at_once(start: AioStart) -> None:
    log = Log()
    service = await start(log)
    replies = await asyncio.gather(
        *(service.propose_wait(b"%d" % n, timeout=LONG) for n in range(2000))
    )
    assert [reply.data for reply in replies] == [b"%d" % n for n in range(2000)]
    assert len(log.data) == 2000 and max(log.batches) > 1


async def test_tasks_that_were_woken_together_ask_together(start: AioStart) -> None:
    log = Log()
    service = await start(log, storage="memory", data_dir=None, max_entry_bytes=1024)
    refused: list[type] = []

    async def propose(task: int) -> None:
        for turn in range(20):
            change = bytearray(b"%d.%d" % (turn, task))
            reply = asyncio.ensure_future(service.propose_wait(change, timeout=LONG))
            await asyncio.sleep(0)
            change[:] = b"?" * len(change)
            assert (await reply).data == b"%d.%d" % (turn, task), "it was copied by then"
            if task == 7:
                with pytest.raises(quorate.TooLarge) as raised:
                    await service.propose_wait(b"x" * 2000)
                refused.append(raised.type)
            with pytest.raises(TypeError, match="a change is bytes"):
                await service.propose_wait("text")  # type: ignore[arg-type]

    await asyncio.gather(*(propose(task) for task in range(50)))
    assert len(log.data) == 1000 and len(refused) == 20
    for task in range(50):
        own = [data for data in log.data if data.endswith(b".%d" % task)]
        assert own == [b"%d.%d" % (turn, task) for turn in range(20)]
    assert max(log.batches) > 1


async def test_a_full_queue_is_busy_for_some_of_many(start: AioStart) -> None:
    service = await start(storage="memory", data_dir=None, max_queued_entries=16)
    busy = 0

    async def propose() -> None:
        nonlocal busy
        for _ in range(20):
            try:
                await service.propose_wait(b"x", timeout=LONG)
            except quorate.Busy:
                busy += 1
                await asyncio.sleep(0)

    await asyncio.gather(*(propose() for _ in range(100)))
    assert 0 < busy < 2000


async def test_a_call_before_the_close_and_one_after_it(start: AioStart) -> None:
    service = await start(storage="memory", data_dir=None)
    await asyncio.gather(*(service.propose_wait(b"x", timeout=LONG) for _ in range(10)))
    late = [asyncio.ensure_future(service.propose_wait(b"y", timeout=LONG)) for _ in range(10)]
    await service.close()
    for future in late:
        with contextlib.suppress(quorate.Interrupted, quorate.Closed):
            assert (await future).data == b"Y"
    with pytest.raises(quorate.Closed):
        await service.propose_wait(b"z")


async def test_a_cluster(start: AioStart) -> None:
    logs = [Log() for _ in range(3)]
    services = [await start(log, listen=LOCAL) for log in logs]
    first, second, third = services
    await first.initialize_cluster(first.address, timeout=LONG)
    for service in (second, third):
        await first.add_node(service.address, timeout=LONG)
    assert (await second.propose_wait(b"forwarded", timeout=LONG)).data == b"FORWARDED"
    await third.read_barrier(timeout=LONG)
    assert logs[2].data == [b"forwarded"]
    await first.remove_node(third.my_id, timeout=LONG)
    await until(lambda: third.state is quorate.State.STANDALONE)
    await first.add_node(third.address, timeout=LONG)
    await third.read_barrier(timeout=LONG)
    assert logs[2].data == [b"forwarded"]
    assert len(first.node_config.current) == 3
    with pytest.raises(quorate.AlreadyMember):
        await first.add_node(third.address, timeout=LONG)


async def test_the_loop_runs_while_calls_wait(start: AioStart) -> None:
    gate = Gate()
    service = await start(gate)
    waiting = asyncio.ensure_future(service.propose_wait(b"x", timeout=LONG))
    ticks = 0
    while not gate.entered.is_set():
        await asyncio.sleep(0)
        ticks += 1
    assert ticks > 0 and not waiting.done()
    gate.open.set()
    assert (await waiting).data == b"X"


async def test_cancelling_abandons_the_wait_not_the_change(start: AioStart) -> None:
    gate = Gate()
    service = await start(gate)
    waiting = asyncio.ensure_future(service.propose_wait(b"one"))
    await asyncio.to_thread(gate.entered.wait, LONG)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await service.propose_wait(b"two")
    gate.open.set()
    await service.propose_wait(b"three", timeout=LONG)
    assert gate.data == [b"one", b"two", b"three"]


async def test_time_outs(start: AioStart) -> None:
    gate = Gate()
    service = await start(gate)
    await service.read_barrier(timeout=LONG)  # it leads itself now
    with pytest.raises(quorate.TimedOut):
        await service.propose_wait(b"x", timeout=0.02)
    gate.open.set()


async def test_a_failure_has_its_cause(start: AioStart) -> None:
    service = await start(Failing())
    with pytest.raises(quorate.QuorateError) as raised:
        await service.propose_wait(b"bad", timeout=LONG)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    await until(lambda: service.state is quorate.State.FAILED)
    with pytest.raises(quorate.StateMachineFailed) as failed:
        await service.propose_wait(b"late", timeout=LONG)
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    with pytest.raises(quorate.StateMachineFailed):
        await service.close()


async def test_the_body_speaks_first(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with await Service.start(Failing(), data_dir=tmp_path) as service:
            await asyncio.wait([asyncio.ensure_future(service.propose_wait(b"bad"))])
            await until(lambda: service.state is quorate.State.FAILED)
            raise KeyError("mine")


async def test_closing_ends_what_waits(start: AioStart) -> None:
    gate = Gate()
    service = await start(gate)
    waiting = [asyncio.ensure_future(service.propose_wait(b"%d" % n)) for n in range(50)]
    await asyncio.to_thread(gate.entered.wait, LONG)
    closing = asyncio.ensure_future(service.close())
    await until(lambda: service.state in (quorate.State.STOPPING, quorate.State.STOPPED))
    gate.open.set()
    await closing
    async with asyncio.timeout(LONG):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, quorate.Reply | quorate.Interrupted) for outcome in outcomes)


async def test_what_start_refuses(tmp_path: Path) -> None:
    with pytest.raises(quorate.NotFound, match="election_timeout"):
        await Service.start(Log(), storage="memory", electoin_timeout=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="commit"):
        await Service.start(object(), data_dir=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a change is bytes"):
        async with await Service.start(Log(), data_dir=tmp_path) as service:
            await service.propose_wait("text")  # type: ignore[arg-type]


async def test_trackers() -> None:
    tracker = ChangeTracker()
    waiting = [asyncio.ensure_future(tracker.wait(n)) for n in (1, 2, 3)]
    await asyncio.sleep(0)
    tracker.update(2)
    assert await waiting[0] == await waiting[1] == 2
    assert not waiting[2].done()
    assert await tracker.timed_wait(3, 0.01) == 2
    assert await tracker.timed_wait(2, 0) == 2
    tracker.close()
    assert await waiting[2] == 2
    assert await tracker.wait(9) == 2


async def test_named_trackers_are_those_of_threads() -> None:
    waiting = asyncio.ensure_future(ChangeTracker.named("aio_and_threads").wait(5))
    await asyncio.sleep(0)
    quorate.ChangeTracker.named("aio_and_threads").update(6)
    assert await waiting == 6


async def test_applied_trackers(start: AioStart) -> None:
    service = await start()
    await service.read_barrier(timeout=LONG)
    position = await service.propose(b"x", timeout=LONG)
    tracker = service.applied_tracker
    assert isinstance(tracker, ChangeTracker)
    assert await tracker.wait(position.index) >= position.index
    with pytest.raises(quorate.InvalidArgument):
        tracker.update(1)


def test_one_service_serves_loops_one_after_the_other(tmp_path: Path) -> None:
    """A pool of loops, as test runners have them; what a loop leaves behind goes with it."""
    service = asyncio.run(Service.start(Log(), data_dir=tmp_path))
    for n in range(3):
        reply = asyncio.run(asyncio.wait_for(service.propose_wait(b"%d" % n), LONG))
        assert reply.data == b"%d" % n
    asyncio.run(service.close())
    before = len(quorate.aio._loops)  # type: ignore[attr-defined]
    asyncio.run(ChangeTracker().timed_wait(1, 0))
    gc.collect()
    assert len(quorate.aio._loops) <= max(before, 1)  # type: ignore[attr-defined]


async def wait() -> None:
    tracker = ChangeTracker()
    tracker.update(1)
    await tracker.wait(1)


def test_loops_come_and_go_in_other_threads_meanwhile() -> None:
    class Loop(asyncio.SelectorEventLoop):
        thread: threading.Thread | None = None

        def is_closed(self) -> bool:
            thread, self.thread = self.thread, None
            if thread is not None:
                thread.start()
                thread.join()
            return super().is_closed()

    loop = Loop()
    loop.run_until_complete(wait())
    loop.close()
    loop.thread = threading.Thread(target=lambda: asyncio.run(wait()))
    asyncio.run(wait())
    assert loop.thread is None, "somebody looked"


def test_loops_leave_no_descriptor_behind() -> None:
    def descriptors() -> int:
        asyncio.run(wait())
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    assert descriptors() == descriptors() == descriptors()


def test_a_service_that_is_lost_unclosed_says_so(tmp_path: Path) -> None:
    service = asyncio.run(Service.start(Log(), data_dir=tmp_path))
    with pytest.warns(ResourceWarning, match="unclosed service"):
        del service
        gc.collect()


class Post:
    """A network between the services of one loop; frames are delivered by the loop itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop, services: dict[str, Service]) -> None:
        self.loop, self.services = loop, services

    def send(self, node_id: int, address: str, frame: bytes) -> None:
        self.loop.call_soon_threadsafe(self.services[address].deliver, frame)


async def test_stores_and_networks_of_the_hosts_own(start: AioStart) -> None:
    services: dict[str, Service] = {}
    post, stores, logs = Post(asyncio.get_running_loop(), services), [], []
    for name in ("a", "b", "c"):
        stores.append(MemoryStore())
        logs.append(Log())
        services[name] = await start(logs[-1], storage=stores[-1], transport=post, data_dir=None)
    await services["a"].initialize_cluster("a", timeout=LONG)
    for name in ("b", "c"):
        await services["a"].add_node(name, timeout=LONG)
    replies = await asyncio.gather(
        *(services["b"].propose_wait(b"%d" % n, timeout=LONG) for n in range(50))
    )
    assert len(replies) == 50
    for service in services.values():
        await service.read_barrier(timeout=LONG)
    assert logs[0].data == logs[1].data == logs[2].data and len(logs[0].data) == 50
    for service in services.values():
        await service.close()
    assert [store.closed for store in stores] == [1, 1, 1]
    assert min(len(store.disk.log) for store in stores) > 50
