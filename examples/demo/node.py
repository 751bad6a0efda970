"""A node of the demo, in Python. usage: node.py DIR HOST:PORT

Lines in: init ADDRESS | add ADDRESS | remove ID | status | load FILE PART OF | hash | dump FILE.
Each is answered by a line that begins with the same word; `load` goes on beside the others and prints
`progress N` and at its end `loaded N SECONDS LONGEST-PAUSE`.
"""

import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import quorate

WINDOW = 256


def fnv1a(text: bytes) -> int:
    h = 0xCBF29CE484222325
    for byte in text:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


class Kv:
    """The state machine: the command is KEY, a tab, VALUE."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def commit(self, entries: Sequence[quorate.Entry]) -> None:
        for entry in entries:
            key, _, value = entry.data.partition(b"\t")
            self.rows[key] = value

    def hash(self) -> str:
        """The sum of the hashes of the rows: the same in every order."""
        rows = dict(self.rows)
        total = sum(fnv1a(key + b"\t" + value + b"\n") for key, value in rows.items())
        return f"{total & 0xFFFFFFFFFFFFFFFF:016x} {len(rows)}"


class Loader:
    """Proposes every OF-th record from PART on, WINDOW at a time; what was acknowledged before a crash
    is known from the file `acked` and not proposed again."""

    def __init__(self, service: quorate.Service, folder: Path, file: str, part: int, of: int) -> None:
        self.service = service
        self.path = folder / "acked"
        known = set(self.path.read_text().split()) if self.path.exists() else set()
        records = Path(file).read_bytes().splitlines()
        self.todo = [(n, records[n]) for n in range(part, len(records), of) if str(n) not in known]
        self.before, self.acked = len(known), 0
        self.room = threading.Semaphore(WINDOW)
        self.lock = threading.Condition()
        self.failed: list[tuple[int, bytes]] = []
        self.longest, self.last = 0.0, time.monotonic()

    def done(self, n: int, record: bytes, reply: "Future[quorate.Reply]") -> None:
        with self.lock:
            if reply.exception() is None:
                self.file.write(f"{n}\n")
                now = time.monotonic()
                self.longest, self.last = max(self.longest, now - self.last), now
                self.acked += 1
                if self.acked % 500 == 0:
                    print(f"progress {self.before + self.acked}", flush=True)
            else:
                self.failed.append((n, record))
            self.lock.notify()
        self.room.release()

    def propose(self, n: int, record: bytes) -> None:
        self.room.acquire()
        try:
            future = self.service.submit(record, timeout=10)
        except quorate.QuorateError as error:
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda reply: self.done(n, record, reply))

    def run(self) -> None:
        started, total = time.monotonic(), len(self.todo)
        with self.path.open("a", buffering=1) as self.file:
            while self.acked < total:
                todo, self.todo = self.todo, []
                for n, record in todo:
                    self.propose(n, record)
                with self.lock:
                    self.lock.wait_for(lambda: self.failed or self.acked == total)
                    self.todo, self.failed = self.failed, []
        print(f"progress {self.before + total}", flush=True)
        print(f"loaded {total} {time.monotonic() - started} {self.longest}", flush=True)


def run(service: quorate.Service, kv: Kv, folder: Path, verb: str, rest: str) -> str:
    match verb:
        case "init":
            service.initialize_cluster(rest, timeout=30)
        case "add":
            service.add_node(rest, timeout=30)
        case "remove":
            service.remove_node(quorate.parse_node_id(rest), timeout=30)
        case "status":
            me = quorate.format_node_id(service.my_id)
            return f"state={service.state} id={me} applied={service.last_applied}"
        case "load":
            file, part, of = rest.split()
            loader = Loader(service, folder, file, int(part), int(of))
            threading.Thread(target=loader.run, daemon=True).start()
        case "hash":
            return kv.hash()
        case "dump":
            Path(rest).write_bytes(b"".join(k + b"\t" + v + b"\n" for k, v in kv.rows.items()))
    return ""


def main(folder: str, address: str) -> None:
    kv = Kv()
    with quorate.Service.start(kv, data_dir=folder, listen=address) as service:
        print("ready", flush=True)
        for line in sys.stdin:
            verb, _, rest = line.rstrip("\n").partition(" ")
            try:
                answer = run(service, kv, Path(folder), verb, rest)
            except quorate.QuorateError as error:
                verb, answer = "error", f"{verb}: {error}"
            if verb != "load":
                print(verb, answer, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
