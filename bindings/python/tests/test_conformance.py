"""The conformance kit on stores in Python: what it finds, and how it tells."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import quorate
from conftest import LONG, Log, Start
from memory_store import Disk, Maker, MemoryStore
from quorate import Make, Record
from sqlite_store import SqliteStore

# Rules that there were when this was written; later versions have more.
RULES = 60


def test_a_good_store_passes() -> None:
    make = Maker()
    report = quorate.storage_check(make)
    assert report.passed >= RULES and report.broken == ()
    assert report.passed + len(report.skipped) == len(str(report).splitlines())
    assert all(line.startswith(("ok", "skipped")) for line in report.text.splitlines())
    assert set(make.asked) == set(Make)


# Thousands of syncs take their time on a disk, and prove nothing there that they don't in memory.
IN_MEMORY = Path("/dev/shm")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    parent = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)


def test_the_sqlite_store_passes(folder: Path) -> None:
    """Crashes included: the database and its log of writes are copied while the store is open."""
    made: list[Path] = []

    def make(how: Make) -> SqliteStore:
        if how is not Make.AGAIN:
            made.append(folder / f"{len(made)}.db")
        if how is Make.CRASHED:
            before, now = made[-2:]
            for end in ("", "-wal"):
                if Path(f"{before}{end}").exists():
                    shutil.copyfile(f"{before}{end}", f"{now}{end}")
        return SqliteStore(made[-1])

    report = quorate.storage_check(make)
    assert report.passed >= RULES and report.broken == (), str(report)
    assert all("readers for other threads" in line for line in report.skipped)


def lazy(store: MemoryStore, sync: Any) -> None:
    """Nothing becomes durable."""


def forgetful(store: MemoryStore, put: Any, key: str, value: bytes) -> None:
    if key not in store.disk.metadata:
        put(key, value)


def backwards(store: MemoryStore, read: Any, first: int, last: int, most: int) -> list[bytes]:
    return list(reversed(list(read(first, last, most))))


def damaged(store: MemoryStore, append: Any, records: Sequence[Record]) -> None:
    append([Record(record.index, record.data[:-1] + b"?") for record in records])


def keeps_the_end(store: MemoryStore, truncate: Any, first: int) -> None:
    """Nothing is removed."""


@pytest.mark.parametrize(
    ("method", "change", "rule"),
    [
        ("sync", lazy, "what was synced is there after a restart"),
        ("metadata_put", forgetful, "the state is kept whole, the newest one"),
        ("read", backwards, "a read gives what was appended, synced or not"),
        ("append", damaged, "a read gives what was appended, synced or not"),
        ("truncate_suffix", keeps_the_end, "a truncated suffix is gone, and may be written anew"),
    ],
)
def test_a_broken_rule_is_named(method: str, change: Any, rule: str) -> None:
    with pytest.raises(quorate.StorageRuleBroken, match=rule) as raised:
        quorate.storage_check(Maker(**{method: change}))
    report = raised.value.report
    assert any(line.startswith(f"BROKEN  {rule}: ") for line in report.broken)
    assert all(line in str(report) for line in report.broken)
    assert raised.value.outcome is quorate.Outcome.NOT_DONE
    assert isinstance(raised.value, quorate.InvalidArgument)


def unsynced(disk: Disk) -> Disk:
    """The last record is gone, which was synced."""
    disk.log.pop(max(disk.log, default=0), None)
    return disk


def late_value(disk: Disk) -> Disk:
    """No value has become durable yet."""
    disk.metadata.clear()
    return disk


@pytest.mark.parametrize(
    ("loses", "rule"),
    [
        (unsynced, "an entry that was synced survives a crash"),
        (late_value, "metadata are durable on return"),
    ],
)
def test_a_rule_that_only_a_crash_breaks_is_named(loses: Any, rule: str) -> None:
    maker = Maker()

    def make(how: Make) -> MemoryStore:
        store = maker(how)
        if how is Make.CRASHED:
            loses(store.disk)
        return store

    with pytest.raises(quorate.StorageRuleBroken) as raised:
        quorate.storage_check(make)
    broken = [line for line in raised.value.report.broken if line.startswith(f"BROKEN  {rule}: ")]
    assert len(broken) == 1 and "the calls were: open, " in broken[0]
    assert "ok      what was synced is there after a restart" in str(raised.value.report)


def test_what_the_store_raised_first_is_the_cause() -> None:
    def fail(store: MemoryStore, sync: Any) -> None:
        raise ZeroDivisionError("no such number")

    with pytest.raises(quorate.StorageRuleBroken, match="no such number") as raised:
        quorate.storage_check(Maker(sync=fail))
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert "sync() of the host's store failed: ZeroDivisionError" in str(raised.value)


def test_a_maker_that_fails_breaks_every_rule() -> None:
    def make(how: Make) -> MemoryStore:
        raise PermissionError("not yours")

    with pytest.raises(quorate.StorageRuleBroken, match="maker of stores") as raised:
        quorate.storage_check(make)
    assert raised.value.report.passed == 0 and len(raised.value.report.broken) >= RULES
    assert isinstance(raised.value.__cause__, PermissionError)


def test_a_maker_that_makes_something_else() -> None:
    with pytest.raises(quorate.StorageRuleBroken, match=r"no method open\(\)"):
        quorate.storage_check(lambda how: object())  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="not callable"):
        quorate.storage_check(MemoryStore())  # type: ignore[arg-type]


def test_crashes_may_be_unsupported() -> None:
    maker = Maker()

    def make(how: Make) -> MemoryStore:
        if how is Make.CRASHED:
            raise quorate.Unsupported("it can't crash")
        return maker(how)

    report = quorate.storage_check(make)
    assert report.broken == () and report.passed >= 19
    assert all("it can't crash" in line or "no readers" in line for line in report.skipped)


def test_ctrl_c_is_no_broken_rule() -> None:
    def interrupt(store: MemoryStore, sync: Any) -> None:
        raise KeyboardInterrupt

    make = Maker(sync=interrupt)
    with pytest.raises(KeyboardInterrupt):
        quorate.storage_check(make)
    assert make.asked.count(Make.NEW) < 10, "it goes on after that"


def test_every_store_is_closed_once() -> None:
    maker, stores = Maker(), []

    def make(how: Make) -> MemoryStore:
        stores.append(maker(how))
        return stores[-1]

    quorate.storage_check(make)
    assert {store.closed for store in stores} == {1}


def test_the_kit_waits_so_it_is_refused_in_a_callback(start: Start) -> None:
    outcome: list[BaseException] = []

    class Checking(Log):
        def commit(self, entries: Sequence[quorate.Entry]) -> list[bytes]:
            try:
                quorate.storage_check(Maker())
            except quorate.InCallback as error:
                outcome.append(error)
            return super().commit(entries)

    start(Checking()).propose_wait(b"x", timeout=LONG)
    assert len(outcome) == 1
