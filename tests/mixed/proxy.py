"""A network of our own between processes: proxies that delay, cut, split and damage what passes.

Each node has one proxy, whose address is the one that the other nodes know. Who dials is told by the first message
of a connection (docs/formats-wire.md: the sender's id stands at byte 32 of Hello), so each ordered pair of nodes
is a way of its own, whichever side opened the connection. A cut way holds what is sent, as a network does that TCP
repeats into: it arrives when the way is mended, if somebody still waits for it.
"""

import asyncio
import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

HELLO = 144  # bytes of Hello before its TLVs
CHUNK = 64 * 1024


@dataclass
class Way:
    """What happens to bytes from one node to another."""

    delay: float = 0.0  # at most; each piece waits by chance
    split: bool = False
    flip_every: int = 0  # of so many pieces of all such ways one has a bit flipped; 0 = none
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()


class Network:
    """The proxies of a cluster, on a thread of their own."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ids: dict[int, int] = {}  # the number of a node, by its id
        self.ways: dict[tuple[int, int], Way] = {}
        self.counts: Counter[str] = Counter()
        self.exposed = 0  # pieces that passed where bits are flipped
        self.connections: set[asyncio.Task[None]] = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def front(self, node: int, address: str, port: int) -> str:
        """A proxy before a node. Returns the address to tell others."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._connection(node, address, reader, writer)

        async def listen() -> None:
            await asyncio.start_server(serve, "127.0.0.1", port)

        asyncio.run_coroutine_threadsafe(listen(), self.loop).result()
        return f"127.0.0.1:{port}"

    def change(self, sources: list[int], targets: list[int], what: Callable[[Way], None]) -> None:
        """Does something to all ways from some nodes to others, and returns when it is done."""

        async def do() -> None:
            for pair in ((s, t) for s in sources for t in targets if s != t):
                what(self._way(*pair))

        asyncio.run_coroutine_threadsafe(do(), self.loop).result()

    def cut(self, sources: list[int], targets: list[int]) -> None:
        self.change(sources, targets, lambda way: way.open.clear())

    def mend(self) -> None:
        """All ways are as new."""

        async def do() -> None:
            for way in self.ways.values():
                way.delay, way.split, way.flip_every = 0.0, False, 0
                way.open.set()

        asyncio.run_coroutine_threadsafe(do(), self.loop).result()

    def stop(self) -> None:
        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def _way(self, source: int, target: int) -> Way:
        return self.ways.setdefault((source, target), Way())

    async def _connection(
        self, target: int, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        other: asyncio.StreamWriter | None = None
        try:
            hello = await reader.readexactly(HELLO)
            source = self.ids.get(int.from_bytes(hello[32:40], "little"), -1)
            host, port = address.rsplit(":", 1)
            back, other = await asyncio.open_connection(host, int(port))
            there = self._pump(source, target, reader, other, hello)
            await self._first(there, self._pump(target, source, back, writer, b""))
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side is gone: the other one is told by the close below
        finally:
            writer.close()
            if other is not None:
                other.close()

    @staticmethod
    async def _first(*ways: "asyncio.Future[None] | object") -> None:
        """Runs both ways until one of them ends."""
        tasks = [asyncio.ensure_future(way) for way in ways]  # type: ignore[arg-type]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(
        self, source: int, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes
    ) -> None:
        while data := data or await reader.read(CHUNK):
            way = self._way(source, target)
            if way.delay:
                self.counts["delayed"] += 1
                await asyncio.sleep(self.random.random() * way.delay)
            if not way.open.is_set():
                self.counts["held"] += 1
                await way.open.wait()
            for piece in self._pieces(way, self._damaged(way, data)):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            data = b""

    def _damaged(self, way: Way, data: bytes) -> bytes:
        if not way.flip_every:
            return data
        self.exposed += 1
        if self.exposed % way.flip_every:
            return data
        self.counts["flipped"] += 1
        bit = self.random.randrange(len(data) * 8)
        return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]

    def _pieces(self, way: Way, data: bytes) -> list[bytes]:
        if not way.split:
            return [data]
        self.counts["split"] += 1
        cuts = sorted(self.random.randrange(len(data) + 1) for _ in range(6))
        ends = [0, *cuts, len(data)]
        return [data[a:b] for a, b in zip(ends, ends[1:], strict=False) if a < b]
