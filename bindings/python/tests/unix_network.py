"""Clusters whose frames travel over Unix sockets, and what may happen to them on the way."""

import contextlib
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import quorate
from conftest import LONG, Log
from quorate import FrameKind

# What becomes of a frame: those that arrive in its place, now.
Fate = Callable[[bytes], list[bytes]]


FATES = ["pass", "lose", "repeat", "hold", "alter"]
WEIGHTS = [84, 4, 4, 4, 4]


def unharmed(frame: bytes) -> list[bytes]:
    return [frame]


def lost(frame: bytes) -> list[bytes]:
    return []


class UnixNetwork:
    """A transport. Addresses are paths of sockets; a thread delivers what arrives there."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        self.outgoing: Fate = unharmed
        self.incoming: Fate = unharmed
        self.delivered: Counter[FrameKind] = Counter()
        self.refused: list[quorate.QuorateError] = []
        self.wrong: list[BaseException] = []

    def send(self, node_id: int, address: str, frame: bytes) -> None:
        for arriving in self.outgoing(frame):
            self.socket.sendto(arriving, socket.MSG_DONTWAIT, address)

    def serve(self, service: quorate.Service) -> None:
        self.thread = threading.Thread(target=self._receive, args=(service,))
        self.thread.start()

    def _receive(self, service: quorate.Service) -> None:
        with contextlib.suppress(quorate.Closed):
            while frame := self.socket.recv(8 << 20):
                for arriving in self.incoming(frame):
                    self._deliver(service, arriving)

    def _deliver(self, service: quorate.Service, frame: bytes) -> None:
        """By the call of the page that frames of this kind have."""
        try:
            kind = quorate.frame_kind(frame)
            {
                FrameKind.OTHER: service.deliver,
                FrameKind.APPEND: service.append,
                FrameKind.REQUEST_VOTE: service.request_vote,
                FrameKind.JOIN: service.join,
            }[kind](frame)
            self.delivered[kind] += 1
        except quorate.Closed:
            raise
        except quorate.QuorateError as error:
            self.refused.append(error)
        except BaseException as error:
            self.wrong.append(error)

    def close(self) -> None:
        """An empty frame ends the thread."""
        self.incoming = unharmed
        self.socket.sendto(b"", self.address)
        self.thread.join(LONG)
        self.socket.close()


class Trouble:
    """Loses, repeats, reorders, delays and alters frames, the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.held: list[bytes] = []
        self.done: Counter[str] = Counter()

    def __call__(self, frame: bytes) -> list[bytes]:
        what = self.dice.choices(FATES, WEIGHTS)[0]
        self.done[what] += 1
        late, self.held = self.held, []
        match what:
            case "lose":
                return late
            case "repeat":
                return [frame, *late, frame]
            case "hold":
                self.held = [*late, frame][-20:]
                return []
            case "alter":
                return [*late, self.altered(frame)]
        return [frame, *late]

    def altered(self, frame: bytes) -> bytes:
        """One byte is another one."""
        at = self.dice.randrange(len(frame))
        return frame[:at] + bytes([frame[at] ^ self.dice.randrange(1, 256)]) + frame[at + 1 :]


class UnixCluster:
    """Members in this process, on sockets in a folder."""

    def __init__(
        self,
        folder: Path,
        start: Callable[..., quorate.Service],
        size: int,
        store: Callable[[], quorate.Storage | str] = lambda: "memory",
    ) -> None:
        self.networks = [UnixNetwork(folder / f"{n}.sock") for n in range(size)]
        self.logs = [Log() for _ in range(size)]
        self.services = []
        for log, network in zip(self.logs, self.networks, strict=True):
            service = start(log, storage=store(), transport=network)
            network.serve(service)
            self.services.append(service)

    def form(self) -> None:
        first = self.services[0]
        first.initialize_cluster(self.networks[0].address, timeout=LONG)
        for network in self.networks[1:]:
            first.add_node(network.address, timeout=LONG)

    def each(self, name: str, values: list[Any]) -> None:
        for network, value in zip(self.networks, values, strict=True):
            setattr(network, name, value)

    def close(self) -> None:
        for service, network in zip(self.services, self.networks, strict=True):
            service.close()
            network.close()
