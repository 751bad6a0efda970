"""The node program of quorate in Python; node.h tells what it is told.

usage: node.py DIR HOST:PORT NUMBER [asyncio]

The load is futures, each of whose ends proposes the next change; with `asyncio` it is as many coroutines.
"""

import asyncio
import json
import struct
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

import quorate
import quorate.aio

FORM_SECONDS = 30.0


class Counter:
    """The state: how many changes were applied, which is the reply as well."""

    def __init__(self) -> None:
        self.applied = 0

    def commit(self, entries: Sequence[quorate.Entry]) -> list[bytes]:
        first = self.applied + 1
        self.applied += len(entries)
        return [struct.pack("=Q", n) for n in range(first, self.applied + 1)]


def answer(latencies: list[float], seconds: float) -> str:
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * share)] * 1e6 for share in (0.5, 0.99))
    return json.dumps({"ops": len(latencies), "seconds": seconds, "p50_us": p50, "p99_us": p99})


class Futures:
    """Clients that propose in the callback of their last future."""

    def __init__(self, service: quorate.Service, clients: int, payload: int) -> None:
        self.service, self.clients, self.change = service, clients, b"x" * payload
        self.latencies: list[float] = []
        self.left, self.ended = clients, threading.Event()
        self.failure: BaseException | None = None

    def propose(self, end: float) -> None:
        start = time.perf_counter()

        def done(reply: "Future[quorate.Reply]") -> None:
            now = time.perf_counter()
            self.failure = self.failure or reply.exception()
            self.latencies.append(now - start)
            if now < end and self.failure is None:
                self.propose(end)
            else:
                self.leave()

        try:
            self.service.submit(self.change).add_done_callback(done)
        except quorate.QuorateError as error:
            self.failure = error
            self.leave()

    def leave(self) -> None:
        self.left -= 1  # futures end on one thread
        if self.left == 0:
            self.ended.set()

    def run(self, seconds: float) -> str:
        begin = time.perf_counter()
        for _ in range(self.clients):
            self.propose(begin + seconds)
        self.ended.wait()
        if self.failure is not None:
            raise self.failure
        return answer(self.latencies, time.perf_counter() - begin)


def serve(folder: str, address: str) -> None:
    with quorate.Service.start(Counter(), data_dir=folder, listen=address) as service:
        print("ready", flush=True)
        for line in sys.stdin:
            verb, *rest = line.split()
            if verb == "quit":
                return
            if verb == "cluster":
                service.initialize_cluster(rest[0], timeout=FORM_SECONDS)
                for other in rest[1:]:
                    service.add_node(other, timeout=FORM_SECONDS)
                print("cluster", flush=True)
            else:
                print(Futures(service, int(rest[1]), int(rest[2])).run(float(rest[0])), flush=True)


async def client(service: quorate.aio.Service, change: bytes, end: float, latencies: list[float]) -> None:
    start = time.perf_counter()
    while start < end:
        await service.propose_wait(change)
        now = time.perf_counter()
        latencies.append(now - start)
        start = now


async def load(service: quorate.aio.Service, seconds: float, clients: int, payload: int) -> str:
    latencies: list[float] = []
    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client(service, b"x" * payload, begin + seconds, latencies))
    return answer(latencies, time.perf_counter() - begin)


async def serve_asyncio(folder: str, address: str) -> None:
    async with await quorate.aio.Service.start(Counter(), data_dir=folder, listen=address) as service:
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            verb, *rest = line.split()
            if verb == "quit":
                return
            if verb == "cluster":
                await service.initialize_cluster(rest[0], timeout=FORM_SECONDS)
                for other in rest[1:]:
                    await service.add_node(other, timeout=FORM_SECONDS)
                print("cluster", flush=True)
            else:
                print(await load(service, float(rest[0]), int(rest[1]), int(rest[2])), flush=True)


def main(folder: str, address: str, _number: str = "1", *variant: str) -> None:
    try:
        if variant == ("asyncio",):
            asyncio.run(serve_asyncio(folder, address))
        else:
            serve(folder, address)
    except quorate.QuorateError as error:
        print("error", error, flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
