"""quorate for asyncio: the names of `quorate`, as coroutines where those wait.

What must hold: nothing here blocks the event loop; a completion reaches its loop through one
descriptor, a batch at a time; a cancelled call leaves its change alone.
"""

import asyncio
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Self, final

from . import _quorate
from ._completions import Completions
from ._logging import lines_for
from ._quorate import Position, Reply
from ._service import Parts, Running, quiet_after, start_settings
from ._types import Event, EventKind

__all__ = ["ChangeTracker", "Service"]


@final
class ChangeTracker:
    """A counter to wait on."""

    __slots__ = ("_tracker",)

    def __init__(self) -> None:
        self._tracker = _quorate.ChangeTracker()

    @classmethod
    def named(cls, name: str) -> Self:
        """The tracker of that name in this process, also that of `quorate.ChangeTracker`."""
        return cls._of(_quorate.ChangeTracker.named(name))

    @classmethod
    def _of(cls, tracker: _quorate.ChangeTracker) -> Self:
        self = cls.__new__(cls)
        self._tracker = tracker
        return self

    def update(self, change: int) -> None:
        """Sets the value."""
        self._tracker.update(change)

    async def wait(self, change: int) -> int:
        """Waits until the value is at least `change` and returns it."""
        return await self._wait(change, None)

    async def timed_wait(self, change: int, timeout: float) -> int:
        """Likewise for at most `timeout` seconds."""
        return await self._wait(change, timeout)

    def close(self) -> None:
        """Releases all waiters."""
        self._tracker.close()

    async def _wait(self, change: int, timeout: float | None) -> int:
        value: int = await _completions().submit(self._tracker, "wait", change, timeout)
        return value


@final
class Service(Running):
    __doc__ = "A running instance: one member of a cluster, or one that may become one."

    @classmethod
    async def start(
        cls,
        state_machine: object,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        listen: str = "",
        storage: object = "wal",
        transport: object = None,
        logger: logging.Logger | None = None,
        **settings: object,
    ) -> Self:
        """Opens the store, the state machine and the listener, and starts the threads."""
        together, own = start_settings(data_dir, listen, storage, settings)
        parts = Parts(own, transport, lines_for(logger))
        starting = _Starting(lambda: cls(state_machine, together, parts))
        try:
            service: Self = await asyncio.to_thread(starting.run)
        except asyncio.CancelledError:
            starting.abandon()
            raise
        return service

    async def close(self) -> None:
        """Stops the service and its threads."""
        await asyncio.to_thread(self._close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with quiet_after(error):
            await self.close()

    async def initialize_cluster(self, address: str, *, timeout: float | None = None) -> None:
        """Makes this Standalone service a cluster of one."""
        await self._do("initialize_cluster", address, timeout)

    async def add_node(self, address: str, *, timeout: float | None = None) -> None:
        """Adds the node at the address."""
        await self._do("add_node", address, timeout)

    async def remove_node(self, node_id: int, *, timeout: float | None = None) -> None:
        """Removes a member."""
        await self._do("remove_node", node_id, timeout)

    async def propose(self, change: Any, *, timeout: float | None = None) -> Position:
        """Returns as soon as the change is in the leader's log."""
        position: Position = await self._do("propose", change, timeout)
        return position

    async def propose_wait(self, change: Any, *, timeout: float | None = None) -> Reply:
        """Returns when this node has applied the change."""
        reply: Reply = await _completions().ask(self, "propose_wait", change, timeout)
        return reply

    async def read_barrier(self, *, timeout: float | None = None) -> None:
        """Returns when this node has applied what was acknowledged anywhere before the call."""
        await self._do("read_barrier", None, timeout)

    def events(self) -> AsyncIterator[Event]:
        """What happens from now on, the present state and leader first."""
        return _Events(self._events())

    @property
    def applied_tracker(self) -> ChangeTracker:  # type: ignore[override]
        """Follows `last_applied`; only this service moves and closes it."""
        return ChangeTracker._of(super().applied_tracker)

    def _do(self, op: str, argument: object, timeout: float | None) -> "asyncio.Future[Any]":
        return _completions().ask(self, op, argument, timeout)


class _Starting:
    """A start in a thread. When it is abandoned, the service is closed by whoever comes second:
    nobody else can, and the loop may be at its end."""

    def __init__(self, start: Callable[[], Running]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._service: Running | None = None
        self._abandoned = False

    def run(self) -> Any:
        service = self._start()
        with self._lock:
            self._service, abandoned = service, self._abandoned
        if abandoned:
            service._close_quietly()
        return service

    def abandon(self) -> None:
        with self._lock:
            self._abandoned, service = True, self._service
        if service is not None:
            asyncio.get_running_loop().run_in_executor(None, service._close_quietly)


class _Events:
    """Each event as it comes, to one task at a time; the last one is `closed`. What was taken is
    kept until it is asked for, so a wait may be cancelled and another one begun."""

    def __init__(self, events: _quorate.Events) -> None:
        self._events = events
        self._taken: deque[Event] = deque()
        self._over = False
        self._turn = asyncio.Lock()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        async with self._turn:
            if self._over:
                raise StopAsyncIteration
            while not self._taken:
                await self._take()
            event = self._taken.popleft()
            self._over = event.kind is EventKind.CLOSED
            return event

    async def _take(self) -> None:
        """Takes what is there, or waits until there is something to take."""
        self._taken.extend(self._events.take())
        if not self._taken:
            await _readable(self._events.fileno())


async def _readable(descriptor: int) -> None:
    """Waits until there is something to take."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)


_loops: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Completions]"
_loops = weakref.WeakKeyDictionary()


class _Last(threading.local):
    """The completions of the loop that ran last in this thread."""

    completions: "weakref.ref[Completions] | None" = None


_last = _Last()


def _completions() -> Completions:
    """The completions of the running loop."""
    loop, last = asyncio.get_running_loop(), _last.completions
    completions = None if last is None else last()
    if completions is None or completions.loop() is not loop:
        completions = _loops.get(loop) or _new_completions(loop)
        _last.completions = weakref.ref(completions)
    return completions


def _new_completions(loop: asyncio.AbstractEventLoop) -> Completions:
    """The loop holds them by the reader on their descriptor; those of closed loops go when a new
    one comes. Loops of other threads come and go meanwhile."""
    for known in _loops.keyrefs():
        other = known()
        if other is not None and other.is_closed():
            _loops.pop(other, None)
    completions = _loops[loop] = Completions(loop)
    loop.add_reader(completions.queue.fileno(), completions.take)
    return completions
