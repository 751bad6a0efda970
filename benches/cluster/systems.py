"""The systems that are compared: how each is built, started and called.

A node program is benches/cluster/node.* for quorate, and one in benches/peers for each other library; all
speak the lines that node.h describes. In a command {dir}, {address} and {number} are filled in.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common import ROOT, output

HERE = ROOT / "benches" / "cluster"
PEERS = ROOT / "benches" / "peers"
BIN = ROOT / "target" / "bench" / "bin"
LIB = ROOT / "target" / "release"
NODE = ("{dir}", "{address}", "{number}")
LINK = [f"-L{LIB}", f"-Wl,-rpath,{LIB}", "-lquorate", "-lpthread"]
WARN = ["-O2", "-Wall", "-Wextra", f"-I{HERE}", f"-I{ROOT}/include"]


class BuildError(Exception):
    """A node program can't be built; the message says what to do."""


@dataclass(frozen=True)
class System:
    title: str
    command: list[str]
    build: Callable[[], None]


def run(*command: str, folder: Path = ROOT) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"{error}: run `make lib golib python` and benches/setup first") from error


def build_c() -> None:
    run("cc", "-std=c11", "-D_GNU_SOURCE", *WARN, "-o", f"{BIN}/node-c", f"{HERE}/node.c", *LINK)


def build_cpp() -> None:
    include = f"-I{ROOT}/bindings/cpp/include"
    run("c++", "-std=c++17", *WARN, include, "-o", f"{BIN}/node-cpp", f"{HERE}/node.cpp", *LINK)


def build_go() -> None:
    run("go", "build", "-trimpath", "-o", f"{BIN}/node-go", ".", folder=HERE / "go")


def build_python() -> None:
    run(f"{ROOT}/.venv/bin/python", "-c", "import quorate")


def build_canonical() -> None:
    run("make", "-s", "-C", f"{PEERS}/canonical", f"OUT={BIN}")


def build_hashicorp() -> None:
    run("go", "build", "-trimpath", "-o", f"{BIN}/node-hashicorp", ".", folder=PEERS / "hashicorp")


def build_limit() -> None:
    run("cc", "-std=c11", "-D_GNU_SOURCE", *WARN, "-o", f"{BIN}/limit", f"{HERE}/limit.c")


def program(name: str, *variant: str) -> list[str]:
    return [f"{BIN}/{name}", *NODE, *variant]


def python(*variant: str) -> list[str]:
    return [f"{ROOT}/.venv/bin/python", f"{HERE}/node.py", *NODE, *variant]


LANGUAGES = {
    "c": System("quorate (C)", program("node-c"), build_c),
    "cpp": System("quorate (C++)", program("node-cpp"), build_cpp),
    "python": System("quorate (Python, futures)", python(), build_python),
    "asyncio": System("quorate (Python, asyncio)", python("asyncio"), build_python),
    "go": System("quorate (Go)", program("node-go"), build_go),
}
PEER_SYSTEMS = {
    "raft": System("C raft", program("node-canonical"), build_canonical),
    "raft-nodelay": System("C raft, nodelay", program("node-canonical", "nodelay"), build_canonical),
    "raft-batch": System(
        "C raft, nodelay, batched", program("node-canonical", "nodelay", "batch"), build_canonical
    ),
    "hashicorp": System("hashicorp/raft (Go)", program("node-hashicorp"), build_hashicorp),
}


def build(systems: list[System]) -> None:
    BIN.mkdir(parents=True, exist_ok=True)
    for step in dict.fromkeys([build_limit, *(system.build for system in systems)]):
        step()


def go_module(module: str) -> str:
    """The version of a module that hashicorp's node program uses."""
    for line in (PEERS / "hashicorp" / "go.mod").read_text().splitlines():
        if line.strip().startswith(module + " "):
            return line.split()[1]
    return "unknown"


def versions() -> dict[str, str]:
    return {
        "quorate": output("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "C raft (libraft)": output("pkg-config", "--modversion", "raft"),
        "libuv": output("pkg-config", "--modversion", "libuv"),
        "hashicorp/raft": go_module("github.com/hashicorp/raft"),
        "hashicorp/raft-wal": go_module("github.com/hashicorp/raft-wal"),
        "gcc": output("gcc", "-dumpfullversion"),
        "rustc": output("rustc", "--version"),
        "go": output("go", "version"),
        "python": output(f"{ROOT}/.venv/bin/python", "--version"),
    }
