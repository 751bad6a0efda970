"""Four languages, one durable cluster.

Starts four nodes, written in C, C++, Python and Go; makes them a cluster; loads the Unicode character
names through all four at the same time; kills the leader with SIGKILL in the middle and starts it again
from its own disk; removes a node and adds it again with its directory kept; and checks at the end that
every acknowledged write is in every node. Ends with status 0 only if it is.

usage: demo.py [--records N] [--keep]
"""

import argparse
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "demo"
MINUTE = 60.0


def build() -> dict[str, list[str]]:
    """Compiles the four nodes against the built library; the command of each."""
    BUILD.mkdir(parents=True, exist_ok=True)
    here, lib = ROOT / "examples" / "demo", ROOT / "target" / "release"
    link = [f"-I{ROOT}/include", f"-I{ROOT}/bindings/cpp/include", f"-L{lib}", f"-Wl,-rpath,{lib}"]
    tail = ["-lquorate", "-lpthread"]
    commands = (
        ["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-o", f"{BUILD}/node-c", f"{here}/node.c", *link, *tail],
        ["c++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-o", f"{BUILD}/node-cpp", f"{here}/node.cpp", *link, *tail],
        ["go", "build", "-C", f"{here}/go", "-o", f"{BUILD}/node-go", "."],
    )
    for command in commands:
        subprocess.run(command, check=True)
    return {
        "C": [f"{BUILD}/node-c"],
        "C++": [f"{BUILD}/node-cpp"],
        "Python": [sys.executable, f"{here}/node.py"],
        "Go": [f"{BUILD}/node-go"],
    }


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Node:
    """A process that is told lines and answers lines; the first word says what the line is about."""

    def __init__(self, language: str, command: list[str], folder: Path) -> None:
        self.language, self.command, self.folder = language, command, folder
        self.address = f"127.0.0.1:{free_port()}"
        self.acked = 0
        self.loaded: dict[str, float] = {}
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [*self.command, str(self.folder), self.address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.answers: queue.Queue[str] = queue.Queue()
        self.done = threading.Event()
        threading.Thread(target=self.listen, args=(self.process, self.answers), daemon=True).start()
        self.wait_for("ready")

    def listen(self, process: subprocess.Popen[str], answers: "queue.Queue[str]") -> None:
        for line in process.stdout or ():
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "progress":
                self.acked = int(rest)
            elif word == "loaded":
                count, seconds, gap = rest.split()
                self.loaded = {"count": int(count), "seconds": float(seconds), "gap": float(gap)}
                self.done.set()
            else:
                answers.put(line.rstrip("\n"))
        answers.put("gone")

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait_for(self, word: str) -> str:
        answer = self.answers.get(timeout=MINUTE)
        first, _, rest = answer.partition(" ")
        if first != word:
            raise SystemExit(f"{self.language}: expected '{word}', got '{answer}'")
        return rest

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.wait_for(line.split()[0])

    def status(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for pair in self.ask("status").split())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def write_records(path: Path, limit: int) -> list[str]:
    """Names of characters, less the ones that are made up from numbers."""
    made_up = ("CJK UNIFIED IDEOGRAPH-", "HANGUL SYLLABLE ", "TANGUT IDEOGRAPH-", "NUSHU CHARACTER-")
    records = []
    for code in range(sys.maxunicode + 1):
        name = unicodedata.name(chr(code), "")
        if name and not name.startswith(made_up):
            records.append(f"U+{code:04X}\t{name}")
    records = records[:limit]
    path.write_text("".join(record + "\n" for record in records))
    return records


def wait_until(what: str, condition, timeout: float = MINUTE) -> None:
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {timeout:.0f} s in vain until {what}")
        pause.wait(0.05)


shown = ""


def show(nodes: list[Node], total: int) -> None:
    """One line that is written over, when there is news."""
    global shown
    acked = sum(node.acked for node in nodes)
    row = "  ".join(f"{node.language} {node.acked:5}" for node in nodes)
    line = f"  {acked:6} of {total} acknowledged   {row}  "
    if line != shown:
        print(f"\r{line}", end="", flush=True)
        shown = line


def leader_of(nodes: list[Node]) -> Node | None:
    return next((node for node in nodes if node.status()["state"] == "Leader"), None)


def load(nodes: list[Node], path: Path, total: int) -> Node:
    """Loads through all nodes at once; kills the leader in the middle and starts it again. The killed one."""
    for part, node in enumerate(nodes):
        node.tell(f"load {path} {part} {len(nodes)}")

    def well_under_way() -> bool:
        show(nodes, total)
        return sum(node.acked for node in nodes) >= total // 3

    wait_until("a third of the records is in", well_under_way)
    leader = leader_of(nodes)
    assert leader is not None, "a loading cluster has a leader"
    print(f"\n  SIGKILL to the leader ({leader.language})")
    leader.kill()
    others = [node for node in nodes if node is not leader]
    before = sum(node.acked for node in others)

    def going_on() -> bool:
        show(nodes, total)
        return sum(node.acked for node in others) > before + 1500 or all(n.done.is_set() for n in others)

    wait_until("the others go on", going_on)
    leader.start()
    leader.tell(f"load {path} {nodes.index(leader)} {len(nodes)}")
    print(f"\n  {leader.language} is back from its own disk and loads the rest of its share")

    def all_done() -> bool:
        show(nodes, total)
        return all(node.done.is_set() for node in nodes)

    wait_until("all records are in", all_done, 2 * MINUTE)
    print()
    return leader


def remove_and_add(nodes: list[Node]) -> Node:
    """Removes a follower, which becomes Standalone, and adds it again with its directory."""
    leader = leader_of(nodes)
    assert leader is not None, "a healthy cluster has a leader"
    node = next(n for n in nodes if n is not leader)
    leader.ask(f"remove {node.status()['id']}")
    wait_until(f"{node.language} knows that it left", lambda: node.status()["state"] == "Standalone")
    print(f"  {node.language} was removed and is Standalone, its data kept")
    leader.ask(f"add {node.address}")
    print(f"  {node.language} is a member again")
    return node


def check(nodes: list[Node], records: list[str], folder: Path) -> list[str]:
    """What is wrong: an acknowledged record that a node lacks, or contents that differ."""
    applied = max(int(node.status()["applied"]) for node in nodes)
    wait_until("all have applied everything", lambda: all(int(n.status()["applied"]) >= applied for n in nodes))
    acked = set()
    for node in nodes:
        acked.update(int(n) for n in (node.folder / "acked").read_text().split())
    faults = []
    for node in nodes:
        dump = folder / f"dump-{node.language}"
        node.ask(f"dump {dump}")
        rows = set(dump.read_text().splitlines())
        missing = sum(records[n] not in rows for n in acked)
        if missing:
            faults.append(f"{node.language} lacks {missing} of {len(acked)} acknowledged records")
        if len(acked) != len(records):
            faults.append(f"{len(acked)} of {len(records)} records were acknowledged")
    if len({node.ask("hash") for node in nodes}) != 1:
        faults.append("the contents of the nodes differ")
    return faults


def table(nodes: list[Node], killed: Node, readded: Node) -> None:
    gap = max(node.loaded["gap"] for node in nodes if node is not killed)
    print(f"\n  {'node':8} {'loaded':>7} {'per second':>10}  {'content hash':18} rows")
    for node in nodes:
        rate = node.loaded["count"] / max(node.loaded["seconds"], 1e-9)
        digest, rows = node.ask("hash").split()
        note = " (killed)" if node is killed else " (removed, added again)" if node is readded else ""
        print(f"  {node.language:8} {node.loaded['count']:7} {rate:10.0f}  {digest:18} {rows}{note}")
    print(f"\n  without a leader: {gap * 1000:.0f} ms (the longest pause between two acknowledgements)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=10**9, help="load only the first N")
    parser.add_argument("--keep", action="store_true", help="keep the data directories")
    arguments = parser.parse_args()
    commands = build()
    folder = Path(tempfile.mkdtemp(prefix="quorate-demo-"))
    nodes: list[Node] = []
    started = time.monotonic()
    try:
        records = write_records(folder / "records", arguments.records)
        print(f"quorate: four nodes in four languages, {len(records)} records")
        for language, command in commands.items():
            nodes.append(Node(language, command, folder / language))
        nodes[0].ask(f"init {nodes[0].address}")
        for node in nodes[1:]:
            nodes[0].ask(f"add {node.address}")
            print(f"  {node.language} joined")
        killed = load(nodes, folder / "records", len(records))
        readded = remove_and_add(nodes)
        faults = check(nodes, records, folder)
        table(nodes, killed, readded)
        for fault in faults:
            print(f"  WRONG: {fault}")
        print(f"  {'every acknowledged write is in every node' if not faults else 'FAILED'}"
              f" ({time.monotonic() - started:.0f} s)")
        return 1 if faults else 0
    finally:
        for node in nodes:
            node.kill()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
