"""The futures of an event loop by token, and the queue that their completions arrive in.

What must hold: a token is given out once; a future that was cancelled is left alone when its
completion comes; what tasks ask for in one turn of the loop goes to the engine in the order in
which they asked.
"""

import asyncio
import itertools
import weakref
from typing import Any, Protocol

from ._quorate import Queue, Service, Turn

# Completions that are taken at a time.
BATCH = 1024

Future = asyncio.Future[Any]


class _Source(Protocol):
    """A service or a tracker."""

    def _submit(
        self, queue: Queue, token: int, op: str, argument: Any, timeout: float | None, /
    ) -> None: ...


class Completions:
    """A queue, and who waits for what comes out of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.queue = Queue()
        # Not more: who holds completions shall not hold their loop.
        self.loop = weakref.ref(loop)
        self._waiting: dict[int, Future] = {}
        self._tokens = itertools.count(1)
        self._turns: dict[Service, Turn] = {}
        self._burst = 0

    def submit(self, source: _Source, op: str, argument: object, timeout: float | None) -> Future:
        """Starts something whose completion is to end up in the future."""
        token, future = next(self._tokens), self._new_future()
        self._waiting[token] = future
        try:
            source._submit(self.queue, token, op, argument, timeout)
        except BaseException:
            del self._waiting[token]
            raise
        return future

    def ask(self, service: Service, op: str, argument: object, timeout: float | None) -> Future:
        """Likewise of a service. Tasks that were woken together are likely to ask together: then
        one call of the engine is for all of them, when all have had their turn."""
        turn = self._turns.get(service)
        if turn is None:
            if self._burst < 2:
                return self.submit(service, op, argument, timeout)
            if not self._turns:
                asyncio.get_running_loop().call_soon(self._flush)
            turn = self._turns[service] = Turn()
        token = next(self._tokens)
        turn.ask(token, op, argument, timeout)
        future = self._waiting[token] = self._new_future()
        return future

    def _new_future(self) -> Future:
        loop = self.loop()
        if loop is None:
            raise RuntimeError("the event loop is gone")
        return loop.create_future()

    def _flush(self) -> None:
        turns, self._turns = self._turns, {}
        for service, turn in turns.items():
            for token, error in service._submit_turn(self.queue, turn):
                future = self._waiting.pop(token)
                if not future.done():
                    future.set_exception(error)

    def take(self) -> None:
        """Completes the futures of what is in the queue, a batch at a time."""
        waiting = self._waiting
        done = self.queue.poll(BATCH, 0)
        self._burst = len(done)
        for token, value, error in done:
            future = waiting.pop(token)
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
