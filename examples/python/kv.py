"""A replicated key-value node.

    kv.py DIR HOST:PORT first      starts a cluster of one
    kv.py DIR HOST:PORT            starts a node that waits until another one adds it

With --storage sqlite at the end the log is kept in DIR/log.db instead of the built-in store.

Then, line by line on standard input, each answered by one line:
add HOST:PORT | remove ID | set KEY VALUE | get KEY | status
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import quorate
from sqlite_store import SqliteStore

USAGE = "add HOST:PORT | remove ID | set KEY VALUE | get KEY | status"


class Kv:
    """The state machine. commit runs on the thread quorate-apply, a batch at a time."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}

    def commit(self, entries: Sequence[quorate.Entry]) -> list[bytes]:
        for entry in entries:  # the command is the text "KEY VALUE"
            key, _, value = entry.data.decode().partition(" ")
            self.rows[key] = value
        return [b"ok"] * len(entries)


def status(service: quorate.Service) -> str:
    me, leader = map(quorate.format_node_id, (service.my_id, service.leader_id))
    return f"{service.state} id={me} leader={leader} applied={service.last_applied}"


def run(service: quorate.Service, kv: Kv, line: str) -> str:
    verb, _, rest = line.rstrip("\n").partition(" ")
    match verb:
        case "add":
            service.add_node(rest, timeout=60)
            return "ok"
        case "remove":
            service.remove_node(quorate.parse_node_id(rest), timeout=60)
            return "ok"
        case "set":
            return service.propose_wait(rest.encode(), timeout=5).data.decode()
        case "get":
            service.read_barrier(timeout=5)
            return kv.rows.get(rest, "(none)")
        case "status":
            return status(service)
    return USAGE


def storage_of(data_dir: str, options: Sequence[str]) -> Literal["wal"] | SqliteStore:
    match options:
        case []:
            return "wal"
        case ["--storage", "sqlite"]:
            Path(data_dir).mkdir(parents=True, exist_ok=True)
            return SqliteStore(Path(data_dir) / "log.db")
    sys.exit(__doc__)


def main(data_dir: str, listen: str, *options: str) -> None:
    first = options[:1] == ("first",)
    storage = storage_of(data_dir, options[first:])
    kv = Kv()
    with quorate.Service.start(kv, data_dir=data_dir, listen=listen, storage=storage) as service:
        if first and service.state is quorate.State.STANDALONE:
            service.initialize_cluster(listen, timeout=5)
        for line in sys.stdin:
            try:
                answer = run(service, kv, line)
            except quorate.OutcomeUnknown as error:
                answer = f"error: {error} (it may be done)"
            except quorate.QuorateError as error:
                answer = f"error: {error}"
            print(answer, flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except quorate.QuorateError as error:
        sys.exit(f"kv.py: {error}")
