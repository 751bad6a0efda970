"""A service on a store in Python: it works, comes back, and tells of every failure of the store."""

import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import quorate
from conftest import LOCAL, LONG, Cluster, Log, Start, until
from memory_store import Disk, MemoryStore, change_method
from quorate import Record
from sqlite_store import SqliteStore

# Where the log begins, as the library writes it: base, term, first.
BASE_KEY = "quorate.base"


def filled(start: Start) -> Disk:
    """The disk of a service that ended with some entries."""
    store = MemoryStore()
    service = start(storage=store)
    for n in range(20):
        service.propose_wait(b"%d" % n, timeout=LONG)
    service.close()
    return store.disk


def test_a_service_comes_back_with_what_it_had(start: Start) -> None:
    log = Log()
    service = start(log, storage=MemoryStore(filled(start)))
    service.read_barrier(timeout=LONG)
    assert log.data == [b"%d" % n for n in range(20)]
    assert service.propose_wait(b"more", timeout=LONG).data == b"MORE"


def test_the_store_is_closed_with_the_service(start: Start) -> None:
    store = MemoryStore()
    service = start(storage=store)
    assert store.closed == 0
    service.close()
    service.close()
    assert store.closed == 1


@pytest.mark.parametrize("make", [MemoryStore, SqliteStore], ids=lambda c: c.__name__)
def test_a_cluster_on_stores_of_its_own(start: Start, tmp_path: Path, make: Any) -> None:
    paths = iter(range(3))

    def start_on_store(log: Log, **settings: Any) -> quorate.Service:
        arguments = [tmp_path / f"{next(paths)}.db"] if make is SqliteStore else []
        return start(log, storage=make(*arguments), **settings)

    cluster = Cluster(start_on_store, 3)
    futures = [cluster.follower.submit(b"%d" % n) for n in range(300)]
    assert [f.result(LONG).data for f in futures] == [b"%d" % n for n in range(300)]
    for service in cluster.services:
        service.read_barrier(timeout=LONG)
    assert all(log.data == [b"%d" % n for n in range(300)] for log in cluster.logs)
    joined = start_on_a_fresh_store(start, cluster.leader)
    assert joined.data == [b"%d" % n for n in range(300)], "read from the leader's store"


def start_on_a_fresh_store(start: Start, leader: quorate.Service) -> Log:
    log = Log()
    service = start(log, storage=MemoryStore(), listen=LOCAL)
    leader.add_node(service.address, timeout=LONG)
    service.read_barrier(timeout=LONG)
    return log


class NoSuchNumber(ZeroDivisionError):
    pass


def fail(store: MemoryStore, method: Any, *arguments: Any) -> None:
    raise NoSuchNumber("no such number")


@pytest.mark.parametrize("method", ["append", "sync"])
def test_a_failing_call_stops_the_service(start: Start, method: str) -> None:
    store = MemoryStore()
    service = start(storage=store)
    change_method(store, method, fail)
    with pytest.raises(quorate.QuorateError) as raised:
        service.propose_wait(b"x", timeout=LONG)
    assert raised.value.outcome in (quorate.Outcome.UNKNOWN, quorate.Outcome.FATAL)
    assert isinstance(raised.value.__cause__, NoSuchNumber)
    until(lambda: service.state is quorate.State.FAILED)
    text = rf"{method}\(\) of the host's store failed: .*NoSuchNumber: no such number"
    with pytest.raises(quorate.StorageFailed, match=text) as late:
        service.propose_wait(b"late", timeout=LONG)
    assert isinstance(late.value.__cause__, NoSuchNumber)
    with pytest.raises(quorate.StorageFailed):
        service.close()
    assert store.closed == 1


def test_a_state_that_cannot_be_kept_stops_the_service(start: Start) -> None:
    """One that is added to a cluster changes its own."""
    store, founder = MemoryStore(), start(listen=LOCAL)
    service = start(storage=store, listen=LOCAL)
    founder.initialize_cluster(founder.address, timeout=LONG)
    change_method(store, "metadata_put", fail)
    adding = threading.Thread(target=add, args=(founder, service.address))
    adding.start()
    until(lambda: service.state is quorate.State.FAILED)
    with pytest.raises(quorate.StorageFailed, match=r"metadata_put\(\) .*no such number"):
        service.close()
    founder.close()
    adding.join(LONG)


def test_a_read_that_fails_later_stops_the_service(start: Start) -> None:
    """The log is looked through at the start; a new member is sent what is read again."""
    store, newcomer = MemoryStore(filled(start)), start(listen=LOCAL)
    service = start(storage=store, listen=LOCAL)
    service.initialize_cluster(service.address, timeout=LONG)
    change_method(store, "read", fail)
    add(service, newcomer.address)
    until(lambda: service.state is quorate.State.FAILED)
    with pytest.raises(quorate.StorageFailed, match=r"read\(\) .*no such number") as raised:
        service.close()
    assert isinstance(raised.value.__cause__, NoSuchNumber)


def add(service: quorate.Service, address: str) -> None:
    """Tries to; one of the two will fail meanwhile."""
    with pytest.raises(quorate.QuorateError):
        service.add_node(address, timeout=LONG)


@pytest.mark.parametrize(
    "method", ["open", "read", "metadata_get", "metadata_put", "truncate_prefix", "sync"]
)
def test_a_failing_call_refuses_the_start(start: Start, method: str) -> None:
    disk = filled(start)
    # The log was to begin later: a removal of its front that a crash interrupted.
    disk.metadata[BASE_KEY] = struct.pack("<QQQ", 4, 1, 5)
    store = MemoryStore(disk)
    change_method(store, method, fail)
    with pytest.raises(quorate.IoError, match=f"{method}.* failed: .*no such number") as raised:
        start(storage=store)
    assert isinstance(raised.value.__cause__, NoSuchNumber)
    assert store.closed == (method != "open")


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        (quorate.Locked, quorate.Locked),
        (quorate.Corrupt, quorate.Corrupt),
        (quorate.WrongIdentity, quorate.WrongIdentity),
        (quorate.UnknownVersion, quorate.UnknownVersion),
        (quorate.Unsupported, quorate.Unsupported),
        (quorate.TimedOut, quorate.IoError),
        (OSError, quorate.IoError),
    ],
)
def test_open_says_why_it_refuses(
    start: Start, kind: type[Exception], seen: type[Exception]
) -> None:
    def refuse(store: MemoryStore, open: Any) -> None:
        raise kind("not today")

    store = MemoryStore()
    change_method(store, "open", refuse)
    with pytest.raises(quorate.QuorateError, match="not today") as raised:
        start(storage=store)
    assert type(raised.value) is seen
    assert type(raised.value.__cause__) is kind


@pytest.mark.parametrize(
    ("ends", "kind"),
    [
        ((3, 2), quorate.Corrupt),
        ((0, 5), quorate.Corrupt),
        ((2, 21), quorate.Corrupt),
        ((1, 2**64 - 1), quorate.Corrupt),
        ((1, 10**6), quorate.IoError),
        ((-1, 5), quorate.IoError),
        (5, quorate.IoError),
        ((1, 2, 3), quorate.IoError),
        ("12", quorate.IoError),
        (None, quorate.IoError),
    ],
)
def test_lies_about_its_ends_are_noticed(
    start: Start, ends: object, kind: type[quorate.QuorateError]
) -> None:
    def lie(store: MemoryStore, open: Any) -> object:
        open()
        return ends

    store = MemoryStore(filled(start))
    change_method(store, "open", lie)
    with pytest.raises(kind):
        start(storage=store)
    assert store.closed == 1


@pytest.mark.parametrize("last", [2**40, 2**63 - 1, 2**64 - 2])
def test_a_store_is_not_asked_for_ever_for_what_it_does_not_have(start: Start, last: int) -> None:
    store = MemoryStore(filled(start))
    change_method(store, "open", lambda *_: (store.__class__.open(store)[0], last))
    change_method(store, "read", lambda *_: [])
    with pytest.raises(quorate.Corrupt):
        start(storage=store)


def test_an_end_that_is_missing_shows_as_an_older_log(start: Start) -> None:
    """No store can be caught at that; it is what a crash before the last sync looks like."""
    disk = filled(start)
    last = max(disk.log)
    del disk.log[last]
    assert start(storage=MemoryStore(disk)).last_index.index >= last - 1


def swapped(values: list[bytes]) -> list[bytes]:
    return [values[1], values[0], *values[2:]]


def flipped(values: list[bytes]) -> list[bytes]:
    return [bytes([values[0][0] ^ 1]) + values[0][1:], *values[1:]]


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (swapped, quorate.Corrupt, "it is the record of entry 2"),
        (flipped, quorate.Corrupt, "is damaged"),
        (lambda values: [], quorate.Corrupt, "it gave 0 records"),
        (lambda values: [b"", *values[1:]], quorate.Corrupt, "fewer than any record"),
        (lambda values: [*values, b"more"], quorate.IoError, "gave more than the"),
        (lambda values: ["text"], quorate.IoError, "a value of type str, not bytes"),
        (lambda values: b"bytes", quorate.IoError, "a value of type int, not bytes"),
        (lambda values: None, quorate.IoError, "NoneType"),
    ],
)
def test_records_that_are_not_what_was_given_are_noticed(
    start: Start, change: Callable[[list[bytes]], object], kind: type[Exception], text: str
) -> None:
    def alter(store: MemoryStore, read: Any, *arguments: Any) -> object:
        return change(list(read(*arguments)))

    store = MemoryStore(filled(start))
    change_method(store, "read", alter)
    with pytest.raises(kind, match=text):
        start(storage=store)


def test_metadata_must_be_bytes(start: Start) -> None:
    store = MemoryStore()
    change_method(store, "metadata_get", lambda *_: "text")
    with pytest.raises(quorate.IoError, match=r"metadata_get\(\) gave a value of type str"):
        start(storage=store)


def test_a_store_that_blocks_delays_nobody_else(start: Start) -> None:
    store, other = MemoryStore(), start()
    service = start(storage=store)
    service.propose_wait(b"x", timeout=LONG)
    entered, go_on = threading.Event(), threading.Event()

    def block(store: MemoryStore, sync: Callable[[], None]) -> None:
        entered.set()
        assert go_on.wait(LONG)
        sync()

    change_method(store, "sync", block)
    service.submit(b"y")
    assert entered.wait(LONG)
    with pytest.raises(quorate.TimedOut):
        service.propose_wait(b"z", timeout=0.02)
    assert service.state is quorate.State.STANDALONE and service.last_applied > 0
    assert other.propose_wait(b"z", timeout=LONG).data == b"Z"
    closing = threading.Thread(target=service.close)
    closing.start()
    until(lambda: service.state is quorate.State.STOPPING)
    assert closing.is_alive() and store.closed == 0, "it waits for the store"
    go_on.set()
    closing.join(LONG)
    assert not closing.is_alive() and store.closed == 1


def test_a_store_may_look_and_submit_but_not_wait(start: Start) -> None:
    store, outcomes = MemoryStore(), dict[str, object]()
    service = start(storage=store)

    def call(store: MemoryStore, append: Any, records: Sequence[Record]) -> None:
        append(records)
        if not outcomes:
            outcomes["submitted"] = service.submit(b"more")
            outcomes["state"] = service.state
            for name in ("read_barrier", "close"):
                try:
                    getattr(service, name)()
                except quorate.QuorateError as error:
                    outcomes[name] = error

    change_method(store, "append", call)
    service.propose_wait(b"x", timeout=LONG)
    submitted: Any = outcomes["submitted"]
    assert submitted.result(LONG).data == b"MORE"
    assert outcomes["state"] is quorate.State.STANDALONE
    assert isinstance(outcomes["read_barrier"], quorate.InCallback)
    assert isinstance(outcomes["close"], quorate.InCallback)


def test_all_calls_come_from_one_thread(start: Start) -> None:
    threads = set()

    class Watched(MemoryStore):
        def metadata_put(self, key: str, value: bytes) -> None:
            threads.add(threading.get_ident())
            super().metadata_put(key, value)

        def sync(self) -> None:
            threads.add(threading.get_ident())
            super().sync()

    service = start(storage=Watched())
    for _ in range(5):
        service.propose_wait(b"x", timeout=LONG)
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_what_close_raises_is_shown_and_closes_all_the_same(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda raised: shown.append(raised.exc_value))
    store = MemoryStore()
    change_method(store, "close", fail)
    service = start(storage=store)
    service.close()
    assert service.state is quorate.State.STOPPED
    assert [type(error) for error in shown] == [NoSuchNumber]


@pytest.mark.parametrize("method", ["open", "append", "sync", "read", "metadata_get", "close"])
def test_a_store_needs_all_methods(start: Start, method: str) -> None:
    store = MemoryStore()
    setattr(store, method, None)
    with pytest.raises(TypeError, match=rf"MemoryStore, which has no method {method}\(\)"):
        start(storage=store)


def test_a_coroutine_is_no_method(start: Start) -> None:
    async def append(store: MemoryStore, method: Any, records: Sequence[Record]) -> None: ...

    store = MemoryStore()
    service = start(storage=store)
    change_method(store, "append", append)
    with pytest.raises(quorate.QuorateError) as raised:
        service.propose_wait(b"x", timeout=LONG)
    assert "make it a plain method" in str(raised.value.__cause__)


def test_names_of_stores_are_checked(start: Start) -> None:
    with pytest.raises(quorate.InvalidArgument, match="one of wal, sled, memory"):
        start(storage="sqlite")
    with pytest.raises(TypeError, match=r"no method append\(\)"):
        start(storage=Path("somewhere"))


def test_sqlite_refuses_what_it_cannot_trust(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    service = start(storage=SqliteStore(path))
    with pytest.raises(quorate.Locked, match=r"log\.db"):
        start(storage=SqliteStore(path))
    service.close()
    path.write_bytes(b"this is no database, nor was it ever one" * 100)
    with pytest.raises(quorate.Corrupt, match=r"log\.db"):
        start(storage=SqliteStore(path))
    with pytest.raises(quorate.IoError, match="unable to open"):
        start(storage=SqliteStore(tmp_path / "nowhere" / "log.db"))
