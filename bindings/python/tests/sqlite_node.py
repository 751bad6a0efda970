"""A node on SQLite that may be killed at any time. usage: sqlite_node.py DIR HOST:PORT [first]

Lines in are those of kv.py and `load PREFIX`, `stop`, `keys`; each is answered by one line. A load
goes on until `stop` and prints `acked KEY` for each change that was acknowledged.
"""

import hashlib
import json
import sys
import threading
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import kv
import quorate
from sqlite_store import SqliteStore

WINDOW = 64


PRINTING = threading.Lock()


def say(line: str) -> None:
    """Whole lines, whichever thread says them."""
    with PRINTING:
        print(line, flush=True)


class Loader:
    """Keeps so many changes under way."""

    def __init__(self, service: quorate.Service, prefix: str) -> None:
        self.service, self.prefix = service, prefix
        self.room = threading.Semaphore(WINDOW)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set():
            self.room.acquire()
            self.propose(f"{self.prefix}-{number}")
            number += 1

    def propose(self, key: str) -> None:
        try:
            future = self.service.submit(f"{key} {'v' * 100}".encode(), timeout=5)
        except quorate.QuorateError as error:
            future = Future()
            future.set_exception(error)
        future.add_done_callback(partial(self.done, key))

    def done(self, key: str, future: "Future[quorate.Reply]") -> None:
        if future.exception() is None:
            say(f"acked {key}")
        self.room.release()

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join()
        for _ in range(WINDOW):
            self.room.acquire()


def state_hash(rows: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def run(service: quorate.Service, machine: kv.Kv, loaders: list[Loader], line: str) -> str:
    match line.split():
        case ["load", prefix]:
            loaders.append(Loader(service, prefix))
            return "ok"
        case ["stop"]:
            while loaders:
                loaders.pop().stop()
            return "ok"
        case ["keys"]:
            service.read_barrier(timeout=30)
            return json.dumps([state_hash(machine.rows), *machine.rows])
    return kv.run(service, machine, line)


def main(folder: str, address: str, *first: str) -> None:
    machine, loaders = kv.Kv(), list[Loader]()
    Path(folder).mkdir(exist_ok=True)
    store = SqliteStore(Path(folder) / "log.db")
    with quorate.Service.start(machine, listen=address, storage=store) as service:
        if first:
            service.initialize_cluster(address, timeout=30)
        for line in sys.stdin:
            try:
                answer = run(service, machine, loaders, line)
            except quorate.QuorateError as error:
                answer = f"error: {error}"
            say(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
