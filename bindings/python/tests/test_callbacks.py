"""The state machine's side: what it raises, what it may call, on which thread it runs."""

import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import quorate
from conftest import LONG, Failing, Gate, Log, Start, until


def test_what_commit_raises_is_the_cause(start: Start) -> None:
    service = start(Failing())
    assert service.propose_wait(b"good", timeout=LONG).data == b"GOOD"
    with pytest.raises(quorate.QuorateError) as raised:
        service.propose_wait(b"bad", timeout=LONG)
    assert isinstance(raised.value, quorate.Interrupted | quorate.ServiceFailed)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    until(lambda: service.state is quorate.State.FAILED)
    with pytest.raises(quorate.StateMachineFailed, match="no such number") as failed:
        service.propose_wait(b"late", timeout=LONG)
    assert isinstance(failed.value.__cause__, ZeroDivisionError)
    with pytest.raises(quorate.StateMachineFailed) as closing:
        service.close()
    assert isinstance(closing.value.__cause__, ZeroDivisionError)


def test_futures_have_the_cause_too(start: Start) -> None:
    service = start(Failing())
    error = service.submit(b"bad").exception(LONG)
    assert isinstance(error, quorate.Interrupted | quorate.ServiceFailed)
    assert isinstance(error.__cause__, ZeroDivisionError)


def test_with_raises_that_the_service_failed(tmp_path: Path) -> None:
    with (
        pytest.raises(quorate.StateMachineFailed),
        quorate.Service.start(Failing(), data_dir=tmp_path) as service,
    ):
        service.submit(b"bad")
        until(lambda: service.state is quorate.State.FAILED)


def test_with_lets_the_body_speak_first(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyError, match="mine"),
        quorate.Service.start(Failing(), data_dir=tmp_path) as service,
    ):
        service.submit(b"bad")
        until(lambda: service.state is quorate.State.FAILED)
        raise KeyError("mine")


@pytest.mark.parametrize(
    ("answer", "cause", "text"),
    [
        ([b"one too", b"many"], ValueError, "2 replies for 1 entries"),
        ([], ValueError, "0 replies"),
        (["text"], TypeError, "bytes or None"),
        (b"x", TypeError, "returned bytes"),
        (7, TypeError, "type int"),
    ],
)
def test_replies_that_do_not_fit_fail_the_service(
    start: Start, answer: object, cause: type[Exception], text: str
) -> None:
    class Odd:
        def commit(self, entries: object) -> object:
            return answer

    service = start(Odd())
    with pytest.raises(quorate.QuorateError) as raised:
        service.propose_wait(b"x", timeout=LONG)
    assert type(raised.value.__cause__) is cause
    assert text in str(raised.value.__cause__)


def test_what_open_raises_refuses_the_start(tmp_path: Path) -> None:
    class Closed(Log):
        def open(self) -> quorate.Applied:
            raise PermissionError("not yours")

    with pytest.raises(quorate.QuorateError, match="not yours") as raised:
        quorate.Service.start(Closed(), data_dir=tmp_path)
    assert isinstance(raised.value.__cause__, PermissionError)


def test_open_must_say_what_is_applied(tmp_path: Path) -> None:
    class Odd(Log):
        def open(self) -> int:
            return 5

    with pytest.raises(quorate.QuorateError, match=r"quorate\.Applied") as raised:
        quorate.Service.start(Odd(), data_dir=tmp_path)
    assert isinstance(raised.value.__cause__, TypeError)


def test_a_state_machine_needs_commit(tmp_path: Path) -> None:
    machines: list[Any] = [object(), type("Kv", (), {"commit": 7})()]
    for machine in machines:
        with pytest.raises(TypeError, match="commit"):
            quorate.Service.start(machine, data_dir=tmp_path)


class Calling(Log):
    """One that makes a call from inside commit and keeps what came of it."""

    def __init__(self, call: Callable[[quorate.Service], object]) -> None:
        super().__init__()
        self.call = call
        self.service: quorate.Service | None = None
        self.outcome: object = None

    def commit(self, entries: Sequence[quorate.Entry]) -> list[bytes]:
        if entries[0].data == b"call" and self.service is not None:
            try:
                self.outcome = self.call(self.service)
            except Exception as error:
                self.outcome = error
        return super().commit(entries)


@pytest.mark.parametrize(
    "call",
    [
        lambda service: service.propose_wait(b"x"),
        lambda service: service.propose(b"x"),
        lambda service: service.read_barrier(),
        lambda service: service.initialize_cluster("127.0.0.1:1"),
        lambda service: service.add_node("127.0.0.1:1"),
        lambda service: service.remove_node(1),
        lambda service: service.close(),
        lambda service: service.applied_tracker.wait(10**9),
        lambda service: quorate.ChangeTracker().timed_wait(1, 5),
        lambda service: quorate.Service.start(Log(), storage="memory"),
    ],
)
def test_a_call_that_waits_is_refused_in_a_callback(
    start: Start, call: Callable[[quorate.Service], object]
) -> None:
    machine = Calling(call)
    service = machine.service = start(machine)
    service.propose_wait(b"call", timeout=LONG)
    assert isinstance(machine.outcome, quorate.InCallback)
    assert service.propose_wait(b"on", timeout=LONG).data == b"ON", "nothing is stuck"
    machine.service = None


def test_submit_and_looking_are_allowed_in_a_callback(start: Start) -> None:
    machine = Calling(lambda service: (service.state, service.submit(b"more", timeout=LONG)))
    service = machine.service = start(machine)
    service.propose_wait(b"call", timeout=LONG)
    assert isinstance(machine.outcome, tuple)
    state, future = machine.outcome
    assert state is quorate.State.STANDALONE
    assert future.result(LONG).data == b"MORE"
    machine.service = None


def test_commit_runs_on_one_thread(start: Start) -> None:
    names = set()

    class Named(Log):
        def commit(self, entries: Sequence[quorate.Entry]) -> list[bytes]:
            names.add(threading.get_native_id())
            return super().commit(entries)

    service = start(Named())
    for _ in range(5):
        service.propose_wait(b"x", timeout=LONG)
    assert len(names) == 1 and threading.get_native_id() not in names


def test_thread_locals_of_a_state_machine_last(start: Start) -> None:
    local = threading.local()

    class Counting:
        def commit(self, entries: Sequence[quorate.Entry]) -> list[bytes]:
            local.count = getattr(local, "count", 0) + len(entries)
            return [b"%d" % local.count for _ in entries]

    service = start(Counting())
    assert [service.propose_wait(b"x", timeout=LONG).data for _ in range(3)] == [b"1", b"2", b"3"]


def test_closing_leaves_no_caller_hanging(start: Start) -> None:
    gate = Gate()
    service = start(gate)
    outcomes: list[object] = []

    def propose() -> None:
        try:
            outcomes.append(service.propose_wait(b"x"))
        except quorate.QuorateError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=propose) for _ in range(4)]
    for thread in threads:
        thread.start()
    futures = [service.submit(b"y") for _ in range(100)]
    assert gate.entered.wait(LONG)
    closing = threading.Thread(target=service.close)
    closing.start()
    until(lambda: service.state in (quorate.State.STOPPING, quorate.State.STOPPED))
    gate.open.set()
    closing.join(LONG)
    assert not closing.is_alive()
    for thread in threads:
        thread.join(LONG)
    assert len(outcomes) == 4
    allowed = quorate.Reply | quorate.Interrupted | quorate.Closed
    assert all(isinstance(outcome, allowed) for outcome in outcomes)
    for future in futures:
        error = future.exception(LONG)
        assert error is None or isinstance(error, quorate.Interrupted)


def test_a_closed_service_lets_go_of_its_state_machine(tmp_path: Path) -> None:
    log = Log()
    service = quorate.Service.start(log, data_dir=tmp_path)
    service.propose_wait(b"x", timeout=LONG)
    machine, running = weakref.ref(log), weakref.ref(service)
    service.close()
    del log
    gc.collect()
    assert machine() is None, "the engine dropped it"
    del service
    gc.collect()
    assert running() is None


def test_a_failed_service_in_a_cycle_is_collected(tmp_path: Path) -> None:
    class Cyclic(Failing):
        service: quorate.Service | None = None

    machine = Cyclic()
    machine.service = quorate.Service.start(machine, data_dir=tmp_path)
    machine.service.submit(b"bad").exception(LONG)
    running, cyclic = weakref.ref(machine.service), weakref.ref(machine)
    with pytest.raises(quorate.StateMachineFailed):
        machine.service.close()
    del machine
    gc.collect()
    assert running() is None and cyclic() is None


def test_a_service_that_is_lost_unclosed_says_so(tmp_path: Path) -> None:
    service = quorate.Service.start(Log(), data_dir=tmp_path)
    service.propose_wait(b"x", timeout=LONG)
    with pytest.warns(ResourceWarning, match="unclosed service"):
        del service
        gc.collect()
    with quorate.Service.start(Log(), data_dir=tmp_path) as again:
        assert again.last_index.index > 0, "it was closed all the same"


def test_a_close_that_was_refused_does_not_count(tmp_path: Path) -> None:
    machine = Calling(lambda service: service.close())
    service = machine.service = quorate.Service.start(machine, data_dir=tmp_path)
    service.propose_wait(b"call", timeout=LONG)
    assert isinstance(machine.outcome, quorate.InCallback)
    machine.outcome = machine.service = None
    with pytest.warns(ResourceWarning, match="unclosed service"):
        del service
        gc.collect()


def test_many_services_leave_no_thread_and_no_descriptor(tmp_path: Path) -> None:
    def count() -> tuple[int, int]:
        return len(list(Path("/proc/self/task").iterdir())), len(
            list(Path("/proc/self/fd").iterdir())
        )

    def once() -> None:
        with quorate.Service.start(Log(), data_dir=tmp_path, listen="127.0.0.1:0") as service:
            service.propose_wait(b"x", timeout=LONG)
            service.submit(b"y").result(LONG)

    once()
    before = count()
    for _ in range(5):
        once()

    def as_before() -> bool:  # a thread that has ended may be listed for a moment
        threads, descriptors = count()
        return threads <= before[0] and descriptors <= before[1]

    until(as_before)


def test_callers_from_many_threads_do_not_mix(start: Start) -> None:
    service = start()
    wrong: list[tuple[bytes, bytes]] = []

    def call(thread: int) -> None:
        for n in range(50):
            data = b"%d/%d" % (thread, n)
            reply = service.propose_wait(data, timeout=LONG).data
            if reply != data:
                wrong.append((data, reply))

    threads = [threading.Thread(target=call, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not wrong
