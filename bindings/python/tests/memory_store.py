"""A store in Python that forgets at the end of the process, and may crash before."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import quorate

Log = dict[int, bytes]


@dataclass
class Disk:
    """What is durable, and what was done since, in order."""

    log: Log = field(default_factory=dict)
    metadata: dict[str, bytes] = field(default_factory=dict)
    unsynced: list[Callable[[Log], None]] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.unsynced:
            change(self.log)
        self.unsynced = []

    def crashed(self, keep: int) -> "Disk":
        """What a crash leaves that keeps so many of the calls since the last sync."""
        left = Disk(dict(self.log), dict(self.metadata), self.unsynced[:keep])
        left.sync()
        return left


class MemoryStore:
    def __init__(self, disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.closed = 0

    def open(self) -> tuple[int, int]:
        self.disk.unsynced = []
        self.log = dict(self.disk.log)
        return min(self.log, default=0), max(self.log, default=0)

    def append(self, records: Sequence[quorate.Record]) -> None:
        values = {record.index: record.data for record in records}
        self.do(lambda log: log.update(values))

    def sync(self) -> None:
        self.disk.sync()

    def read(self, first: int, last: int, max_bytes: int) -> Iterator[bytes]:
        return (self.log[index] for index in range(first, last + 1))

    def truncate_suffix(self, first: int) -> None:
        self.do(lambda log: remove(log, range(first, max(log, default=0) + 1)))

    def truncate_prefix(self, last: int) -> None:
        self.do(lambda log: remove(log, range(min(log, default=last + 1), last + 1)))

    def metadata_get(self, key: str) -> bytes | None:
        return self.disk.metadata.get(key)

    def metadata_put(self, key: str, value: bytes) -> None:
        self.disk.metadata[key] = value

    def close(self) -> None:
        self.closed += 1

    def do(self, change: Callable[[Log], None]) -> None:
        change(self.log)
        self.disk.unsynced.append(change)


def remove(log: Log, indexes: range) -> None:
    for index in indexes:
        log.pop(index, None)


class Maker:
    """Makes the stores that the kit checks, with `changed` in each."""

    def __init__(self, **changed: Callable[..., Any]) -> None:
        self.changed = changed
        self.asked: list[quorate.Make] = []
        self.store = MemoryStore()

    def __call__(self, how: quorate.Make) -> MemoryStore:
        self.asked.append(how)
        disk = self.store.disk
        if how is quorate.Make.NEW:
            disk = Disk()
        elif how is quorate.Make.CRASHED:
            disk = disk.crashed(len(disk.unsynced) // 2)
        self.store = MemoryStore(disk)
        for name, change in self.changed.items():
            change_method(self.store, name, change)
        return self.store


def change_method(store: MemoryStore, name: str, change: Callable[..., Any]) -> None:
    """Puts `change(store, method, *arguments)` in the place of a method."""
    method = getattr(store, name)
    setattr(store, name, lambda *arguments: change(store, method, *arguments))
