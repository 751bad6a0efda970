"""Futures: what `concurrent.futures` promises of one, and what many of them share."""

import asyncio
import concurrent.futures
import functools
import gc
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
import quorate
from conftest import LONG, Gate, Log, Start

Futures = list[Future[quorate.Reply]]


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def held(start: Start, gate: Gate) -> Iterator[quorate.Service]:
    """A service whose commits wait for the gate; one change is in it."""
    service = start(gate, storage="memory", max_entry_bytes=1024, max_queued_entries=64)
    service.submit(b"first")
    assert gate.entered.wait(LONG)
    yield service
    gate.open.set()


@pytest.fixture
def service(start: Start) -> quorate.Service:
    return start(storage="memory")


def in_thread(call: Callable[[], Any]) -> Future[Any]:
    """Runs something in a thread of its own."""
    result: Future[Any] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run).start()
    return result


def test_a_future_is_one_of_concurrent_futures(held: quorate.Service, gate: Gate) -> None:
    future = held.submit(b"x")
    assert isinstance(future, Future)
    assert not future.done() and not future.running() and not future.cancelled()
    assert "pending" in repr(future)
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(0.01)
    with pytest.raises(concurrent.futures.InvalidStateError):
        future.set_result(quorate.Reply(1, 1, b""))
    gate.open.set()
    assert future.result(LONG).data == b"X"
    assert future.result() is future.result(), "the same object each time"
    assert future.exception() is None and future.done() and "finished" in repr(future)


def test_callbacks_are_called_once_before_and_after_the_end(
    held: quorate.Service, gate: Gate
) -> None:
    future, seen, called = held.submit(b"x"), [], threading.Event()
    future.add_done_callback(lambda f: seen.append((f, threading.current_thread().name)))
    future.add_done_callback(lambda f: called.set())
    assert not seen
    gate.open.set()
    assert called.wait(LONG)
    assert seen == [(future, "quorate-futures")]
    future.add_done_callback(lambda f: seen.append((f, "here")))
    assert seen[1:] == [(future, "here")]


def test_a_callback_that_raises_is_logged_and_the_next_is_called(
    held: quorate.Service, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    future, called = held.submit(b"x"), threading.Event()
    future.add_done_callback(lambda f: 1 // 0)
    future.add_done_callback(lambda f: called.set())
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        gate.open.set()
        assert called.wait(LONG)
        future.add_done_callback(lambda f: 1 // 0)
    assert [r.exc_info is not None for r in caplog.records] == [True, True]


@pytest.mark.parametrize("raised", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
def test_nothing_that_a_callback_raises_ends_the_thread(
    held: quorate.Service,
    gate: Gate,
    caplog: pytest.LogCaptureFixture,
    raised: type[BaseException],
) -> None:
    def fail(_: object) -> None:
        raise raised

    bad, good, called = held.submit(b"bad"), held.submit(b"good"), threading.Event()
    bad.add_done_callback(fail)
    good.add_done_callback(lambda f: called.set())
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        gate.open.set()
        assert called.wait(LONG)
    [record] = [r for r in caplog.records if r.name == "concurrent.futures"]
    assert record.exc_info and record.exc_info[0] is raised
    with pytest.raises(raised):
        good.add_done_callback(fail)  # called here and now: it is the caller's


def test_a_cancelled_future_says_so_to_all_who_wait(held: quorate.Service, gate: Gate) -> None:
    future, called = held.submit(b"x"), threading.Event()
    future.add_done_callback(lambda f: called.set())
    waiting = [in_thread(future.result), in_thread(future.result)]
    both = in_thread(lambda: concurrent.futures.wait([future], LONG))
    assert future.cancel() and future.cancel() and future.cancelled() and future.done()
    assert called.is_set()
    assert both.result(LONG).done == {future}
    for waiter in waiting:
        assert isinstance(waiter.exception(LONG), concurrent.futures.CancelledError)
    with pytest.raises(concurrent.futures.CancelledError):
        future.exception()
    gate.open.set()
    other = held.submit(b"y")
    assert other.result(LONG).data == b"Y"
    assert not other.cancel() and not other.cancelled(), "it has ended"


def test_wait_and_as_completed(start: Start, held: quorate.Service, gate: Gate) -> None:
    slow, free = held.submit(b"slow"), start(storage="memory")
    fast = free.submit(b"fast")
    first = concurrent.futures.wait([slow, fast], LONG, concurrent.futures.FIRST_COMPLETED)
    assert (first.done, first.not_done) == ({fast}, {slow})
    order = concurrent.futures.as_completed([slow, fast, free.submit(b"too")], LONG)
    assert {next(order).result().data, next(order).result().data} == {b"FAST", b"TOO"}
    gate.open.set()
    assert next(order) is slow


def test_who_has_one_future_locked_holds_up_no_other(held: quorate.Service, gate: Gate) -> None:
    """`concurrent.futures.wait` locks in the order of ids: two that shared a lock, and one of an
    executor between them, made two such waits lock each other out."""
    one, other, executors = held.submit(b"one"), held.submit(b"other"), Future[quorate.Reply]()
    with one._condition:
        waiting = in_thread(lambda: concurrent.futures.wait([other, executors], 0))
        assert waiting.result(LONG).not_done == {other, executors}
        gate.open.set()
        assert other.result(LONG).data == b"OTHER"


def test_wait_for_the_first_exception(start: Start, held: quorate.Service) -> None:
    class Failing:
        def commit(self, entries: object) -> None:
            raise RuntimeError("no")

    waits, fails = held.submit(b"x"), start(Failing(), storage="memory").submit(b"bad")
    done = concurrent.futures.wait([waits, fails], LONG, concurrent.futures.FIRST_EXCEPTION).done
    assert done == {fails}
    error = fails.exception()
    assert isinstance(error, quorate.Interrupted) and isinstance(error.__cause__, RuntimeError)
    with pytest.raises(quorate.Interrupted) as raised:
        fails.result()
    assert raised.value is error


def test_asyncio_can_wrap_a_future(held: quorate.Service, gate: Gate) -> None:
    async def wrap() -> bytes:
        wrapped, dropped = (asyncio.wrap_future(held.submit(data)) for data in (b"a", b"b"))
        dropped.cancel()
        gate.open.set()
        return (await wrapped).data

    assert asyncio.run(wrap()) == b"A"


def test_asyncio_since_python_3_14_can_copy_a_future(held: quorate.Service, gate: Gate) -> None:
    good, large, dropped = held.submit_many([b"a", b"x" * 2000, b"b"])
    dropped.cancel()
    assert copied(good) == (False, False, None, None)
    gate.open.set()
    assert good.result(LONG) and copied(good) == (True, False, good.result(), None)
    assert copied(large) == (True, False, None, large.exception())
    assert copied(dropped) == (True, True, None, None)


def copied(future: Any) -> object:
    return future._get_snapshot()


def test_many_threads_wait_for_their_own(service: quorate.Service) -> None:
    def propose(thread: int) -> list[bytes]:
        futures = [service.submit(b"%d.%d" % (thread, n)) for n in range(50)]
        return [future.result(LONG).data for future in reversed(futures)]

    threads = [in_thread(functools.partial(propose, thread)) for thread in range(16)]
    for number, thread in enumerate(threads):
        assert thread.result(LONG) == [b"%d.%d" % (number, n) for n in reversed(range(50))]


def test_who_waits_longest_does_not_keep_the_results_of_others(
    start: Start, held: quorate.Service, gate: Gate
) -> None:
    late = in_thread(held.submit(b"late").result)
    free = start(storage="memory")
    for n in range(100):
        assert free.submit(b"%d" % n).result(LONG).data == b"%d" % n
    assert not late.done()
    gate.open.set()
    assert late.result(LONG).data == b"LATE"


def test_done_needs_nobody_who_waits(service: quorate.Service) -> None:
    future = service.submit(b"x")
    while not future.done():
        service.propose_wait(b"y", timeout=LONG)
    assert future.result(0).data == b"X"


def test_futures_that_nobody_keeps_leave_nothing_behind(service: quorate.Service) -> None:
    future = service.submit(b"x")
    future.add_done_callback(lambda f: None)
    future.result(LONG)
    gone = weakref.ref(future)
    del future
    for n in range(5000):
        service.submit(b"%d" % n)
    assert service.submit(b"last").result(LONG).data == b"LAST"
    gc.collect()
    assert gone() is None


def test_waiting_in_a_callback_is_refused(start: Start) -> None:
    class Waiting(Log):
        service: quorate.Service
        refused = 0

        def commit(self, entries: Any) -> list[bytes]:
            if entries[0].data == b"outer":
                with pytest.raises(quorate.InCallback):
                    self.service.submit(b"inner").result()
                self.refused += 1
            return super().commit(entries)

    machine = Waiting()
    machine.service = start(machine, storage="memory")
    machine.service.submit(b"outer").result(LONG)
    assert machine.refused == 1


def test_submit_many_keeps_the_order(service: quorate.Service) -> None:
    changes = [b"%d" % n for n in range(3000)]
    futures = service.submit_many(changes, timeout=LONG)
    replies = [future.result(LONG) for future in futures]
    assert [reply.data for reply in replies] == changes
    assert [reply.index for reply in replies] == sorted({reply.index for reply in replies})
    assert service.submit_many([]) == []


def test_submit_many_takes_whatever_submit_takes(service: quorate.Service) -> None:
    entry = quorate.Entry(b"entry", tags=["a", "bc"], type=3)
    changes: list[Any] = [b"bytes", bytearray(b"array"), memoryview(b"view"), entry]
    futures = service.submit_many(iter(changes), timeout=LONG)
    assert [f.result(LONG).data for f in futures] == [b"BYTES", b"ARRAY", b"VIEW", b"ENTRY"]
    with pytest.raises(TypeError, match="a change is bytes"):
        service.submit_many([b"good", "bad"])  # type: ignore[list-item]


def test_one_that_is_refused_does_not_hold_up_the_others(held: quorate.Service, gate: Gate) -> None:
    gate.open.set()
    futures = held.submit_many([b"a", b"x" * 2000, b"b", quorate.Entry(b"", type=-1), b"c"])
    good, large, invalid = futures[0::2], futures[1], futures[3]
    assert isinstance(large.exception(LONG), quorate.TooLarge)
    assert isinstance(invalid.exception(LONG), quorate.InvalidArgument)
    assert [future.result(LONG).data for future in good] == [b"A", b"B", b"C"]
    assert gate.data == [b"first", b"a", b"b", b"c"]


def test_what_does_not_fit_is_busy(held: quorate.Service, gate: Gate) -> None:
    futures = held.submit_many([b"%d" % n for n in range(100)])
    busy = [f for f in futures if f.done() and isinstance(f.exception(), quorate.Busy)]
    assert busy == futures[-len(busy) :] and 30 < len(busy) < 100
    gate.open.set()
    taken = futures[: -len(busy)]
    assert [f.result(LONG).data for f in taken] == [b"%d" % n for n in range(len(taken))]
