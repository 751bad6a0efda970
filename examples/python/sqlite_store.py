"""A store on SQLite, for quorate.Service.start(..., storage=SqliteStore("node.db")).

The contract asks that a crash keeps a prefix of the calls, at least up to the last sync. So what
comes between two syncs is one transaction: SQLite keeps it whole or not at all. In WAL mode with
synchronous=FULL a COMMIT returns once it is on the disk. metadata_put must be durable on return; it
commits what is open together with its own row, which only makes the prefix longer.

The connection is opened and used on the thread quorate-log, but may be closed on another one, after
all other calls: hence check_same_thread=False.
"""

import os
import sqlite3
from collections.abc import Iterable, Sequence

import quorate

SCHEMA = """
PRAGMA locking_mode = EXCLUSIVE; -- one process at a time; and no file for shared memory
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS metadata (key TEXT PRIMARY KEY, value BLOB NOT NULL);
"""


class SqliteStore:
    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def open(self) -> tuple[int, int]:
        self.db = sqlite3.connect(
            self.path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            self.db.executescript(SCHEMA)
            first, last = self.db.execute("SELECT min(number), max(number) FROM log").fetchone()
        except sqlite3.DatabaseError as error:
            self.db.close()
            raise refusal(error, self.path) from error
        return first or 0, last or 0

    def append(self, records: Sequence[quorate.Record]) -> None:
        self.begin()
        rows = [(record.index, record.data) for record in records]
        self.db.executemany("INSERT INTO log VALUES (?, ?)", rows)

    def sync(self) -> None:
        if self.db.in_transaction:
            self.db.execute("COMMIT")

    def read(self, first: int, last: int, max_bytes: int) -> Iterable[bytes]:
        # The library takes from a generator only what fits into max_bytes.
        query = "SELECT data FROM log WHERE number BETWEEN ? AND ? ORDER BY number"
        return (data for (data,) in self.db.execute(query, (first, last)))

    def truncate_suffix(self, first: int) -> None:
        self.begin()
        self.db.execute("DELETE FROM log WHERE number >= ?", (first,))

    def truncate_prefix(self, last: int) -> None:
        self.begin()
        self.db.execute("DELETE FROM log WHERE number <= ?", (last,))

    def metadata_get(self, key: str) -> bytes | None:
        row = self.db.execute("SELECT value FROM metadata WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def metadata_put(self, key: str, value: bytes) -> None:
        self.begin()
        self.db.execute("INSERT OR REPLACE INTO metadata VALUES (?, ?)", (key, value))
        self.sync()

    def close(self) -> None:
        self.db.close()  # drops what was never synced

    def begin(self) -> None:
        if not self.db.in_transaction:
            self.db.execute("BEGIN")


def refusal(error: sqlite3.DatabaseError, path: str) -> quorate.QuorateError:
    """What is wrong, in the library's terms: the start raises that."""
    match getattr(error, "sqlite_errorname", ""):
        case "SQLITE_BUSY":
            return quorate.Locked(f"{path}: another process or service has it open")
        case "SQLITE_CORRUPT" | "SQLITE_NOTADB":
            return quorate.Corrupt(f"{path}: {error}")
    return quorate.IoError(f"{path}: {error}")
