"""The examples, as a user runs them: processes of their own, over real sockets."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import LONG, until

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "python"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Kv:
    """A running kv.py; leaving it kills what does not end by itself."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        command = [sys.executable, str(EXAMPLES / "kv.py"), str(folder), self.address, *options]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        return self.process.stdout.readline().rstrip("\n")

    def status(self) -> dict[str, str]:
        state, *pairs = self.ask("status").split()
        return {"state": state, **dict(pair.split("=", 1) for pair in pairs)}

    def close(self) -> int:
        self.process.communicate(timeout=LONG)
        return self.process.returncode

    def __enter__(self) -> "Kv":
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()


@pytest.mark.parametrize("options", [[], ["--storage", "sqlite"]], ids=["wal", "sqlite"])
def test_kv_forms_a_cluster_and_keeps_what_it_was_told(tmp_path: Path, options: list[str]) -> None:
    with (
        Kv(tmp_path / "0", "first", *options) as first,
        Kv(tmp_path / "1", *options) as second,
        Kv(tmp_path / "2", *options) as third,
    ):
        play(first, second, third)


def play(first: Kv, second: Kv, third: Kv) -> None:
    nodes = [first, second, third]
    assert first.status()["state"] == "Leader"
    for node in (second, third):
        assert node.status()["state"] == "Standalone"
        assert first.ask(f"add {node.address}") == "ok"
    assert second.ask("set color dark green") == "ok"
    assert [node.ask("get color") for node in nodes] == ["dark green"] * 3
    assert third.ask("get shape") == "(none)"
    assert first.ask(f"remove {third.status()['id']}") == "ok"
    until(lambda: third.status()["state"] == "Standalone")
    assert first.ask(f"add {third.address}") == "ok"
    assert third.ask("get color") == "dark green"
    assert first.ask("remove nobody").startswith("error: ")
    assert first.ask("nonsense").startswith("add HOST:PORT | ")
    assert [node.close() for node in reversed(nodes)] == [0, 0, 0]


def test_kv_says_what_is_wrong_and_ends(tmp_path: Path) -> None:
    kv = [sys.executable, str(EXAMPLES / "kv.py")]
    usage = subprocess.run(kv, capture_output=True, text=True, timeout=LONG)
    assert usage.returncode == 1 and "kv.py DIR HOST:PORT" in usage.stderr
    usage = subprocess.run(
        [*kv, str(tmp_path), "127.0.0.1:0", "--storage", "tape"], capture_output=True, text=True
    )
    assert usage.returncode == 1 and "--storage sqlite" in usage.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = [*kv, str(tmp_path), address]
        refused = subprocess.run(arguments, capture_output=True, text=True, timeout=LONG)
    assert refused.returncode == 1 and address in refused.stderr


@pytest.mark.parametrize("clients", [1, 20])
def test_kv_async_serves_clients(tmp_path: Path, clients: int) -> None:
    port = free_port()
    command = [sys.executable, str(EXAMPLES / "kv_async.py"), str(tmp_path)]
    command += [f"127.0.0.1:{free_port()}", str(port), "first"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        sockets = [socket.create_connection(("127.0.0.1", port), LONG) for _ in range(clients)]
        files = [s.makefile("rw", newline="\n") for s in sockets]
        for n, file in enumerate(files):
            file.write(f"set key{n} value {n}\nget key{n}\n")
            file.flush()
        for n, file in enumerate(files):
            assert [file.readline(), file.readline()] == ["ok\n", f"value {n}\n"]
        for file, s in zip(files, sockets, strict=True):
            file.close()
            s.close()
    finally:
        process.terminate()
        process.communicate(timeout=LONG)
