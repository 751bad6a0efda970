"""The crossing from Python: futures that a thread waits for, and asyncio.

usage: crossing.py futures|singly|asyncio BATCH SECONDS PAYLOAD      prints one line of JSON, see run.py
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future

import quorate
import quorate.aio


class Count:
    """The reply to a change is how many there have been, in 8 bytes."""

    def __init__(self) -> None:
        self.count = 0

    def commit(self, entries: Sequence[quorate.Entry]) -> list[bytes]:
        first = self.count + 1
        self.count += len(entries)
        return [count.to_bytes(8, "little") for count in range(first, self.count + 1)]


class Futures:
    """One thread that submits a batch and then takes the results."""

    def __init__(self, batch: int, payload: bytes) -> None:
        self.batch, self.payload, self.entries = batch, payload, 0
        self.service = quorate.Service.start(Count(), storage="memory")

    def round_trip(self) -> None:
        for future in self.submit():
            reply = future.result()
            assert len(reply.data) == 8
        self.entries += self.batch

    def submit(self) -> list[Future[quorate.Reply]]:
        return self.service.submit_many([self.payload] * self.batch)

    def run_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.round_trip()

    def close(self) -> None:
        self.service.close()


class Singly(Futures):
    """Likewise, with a call for each."""

    def submit(self) -> list[Future[quorate.Reply]]:
        return [self.service.submit(self.payload) for _ in range(self.batch)]


class Tasks:
    """As many tasks as there are entries in flight, each of which proposes and waits in turn."""

    def __init__(self, batch: int, payload: bytes) -> None:
        self.batch, self.payload, self.entries = batch, payload, 0
        self.runner = asyncio.Runner()
        self.service = self.runner.run(quorate.aio.Service.start(Count(), storage="memory"))

    async def propose_until(self, end: float) -> None:
        while time.monotonic() < end:
            reply = await self.service.propose_wait(self.payload)
            assert len(reply.data) == 8
            self.entries += 1

    async def propose_all_until(self, end: float) -> None:
        await asyncio.gather(*(self.propose_until(end) for _ in range(self.batch)))

    def run_for(self, seconds: float) -> None:
        self.runner.run(self.propose_all_until(time.monotonic() + seconds))

    def close(self) -> None:
        self.runner.run(self.service.close())
        self.runner.close()


def main(kind: str, batch: str, seconds: str, payload: str) -> None:
    shape = {"futures": Futures, "singly": Singly, "asyncio": Tasks}[kind]
    caller = shape(int(batch), bytes(int(payload)))
    caller.run_for(float(seconds) / 5)
    entries, wall, cpu = caller.entries, time.monotonic_ns(), time.process_time_ns()
    caller.run_for(float(seconds))
    wall, cpu = time.monotonic_ns() - wall, time.process_time_ns() - cpu
    print(json.dumps({"entries": caller.entries - entries, "wall_ns": wall, "cpu_ns": cpu}))
    caller.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
