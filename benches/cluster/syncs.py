"""How often a cluster syncs, counted from outside by strace, whatever the programs say of themselves.

Counted are fsync, fdatasync, syncfs, sync_file_range, msync, writes with RWF_SYNC or RWF_DSYNC, and each
request of io_submit: the one system that uses it (C raft) opens its log with O_DSYNC, so there a write is a
sync. Only those calls stop under strace (--seccomp-bpf); all others run at full speed.
"""

import re
import time
from pathlib import Path

from process import Cluster, NodeError

CALLS = "fsync,fdatasync,syncfs,sync_file_range,msync,pwritev2,io_submit,io_uring_setup,openat"
LINE = re.compile(r"\d+ +(\d+\.\d+) (\w+)\((.*)")


def wrap(folder: Path, number: int) -> list[str]:
    """What comes before a node's command."""
    output = str(folder / f"strace{number}")
    return ["strace", "-f", "--seccomp-bpf", "-qq", "-ttt", "-s", "8", "-e", f"trace={CALLS}", "-o", output]


def syncs_of(call: str, arguments: str) -> int:
    """How many syncs one call is."""
    match call:
        case "openat":
            return 0
        case "pwritev2":
            return int("RWF_DSYNC" in arguments or "RWF_SYNC" in arguments)
        case "io_submit":
            return arguments.count("IOCB_CMD_PWRITE") + arguments.count("IOCB_CMD_FSYNC")
    return 1


def count(text: str, begin: float, end: float) -> int:
    """The syncs of one node between two moments."""
    total, synced_writes, submits = 0, False, False
    for line in text.splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        moment, call, arguments = float(match[1]), match[2], match[3]
        if call == "io_uring_setup" and "ENOSYS" not in arguments:
            raise NodeError("it uses io_uring, whose syncs strace does not see")
        synced_writes |= call == "openat" and "SYNC" in arguments
        submits |= call == "io_submit"
        if begin <= moment <= end:
            total += syncs_of(call, arguments)
    if synced_writes and not submits:
        raise NodeError("it opens files with O_SYNC or O_DSYNC, whose plain writes are not counted")
    return total


def syncs_per_op(command: list[str], folder: Path, seconds: float, clients: int, payload: int) -> float:
    """The syncs of all three nodes for one operation, in a run of its own."""
    traces = folder.with_name(folder.name + "-strace")
    traces.mkdir()
    try:
        with Cluster(command, folder, lambda number: wrap(traces, number)) as cluster:
            cluster.load(seconds / 3, clients, payload)
            begin = time.time()
            done = cluster.load(seconds, clients, payload)
            end = time.time()
        texts = [path.read_text(errors="replace") for path in sorted(traces.iterdir())]
        return sum(count(text, begin, end) for text in texts) / int(done["ops"])
    finally:
        for path in traces.iterdir():
            path.unlink()
        traces.rmdir()
