"""Futures by token, and the queue that their completions arrive in.

What must hold: a token is given out once; a future that was cancelled is left alone when its
completion comes.
"""

import itertools
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from ._quorate import Queue

# Completions that are taken at a time.
BATCH = 1024


class _Future(Protocol):
    """What futures of threads and of asyncio have in common."""

    def set_result(self, result: Any, /) -> None: ...
    def set_exception(self, exception: Any, /) -> None: ...


F = TypeVar("F", bound=_Future)


class _Source(Protocol):
    """A service or a tracker."""

    def _submit(
        self, queue: Queue, token: int, op: str, argument: Any, timeout: float | None, /
    ) -> None: ...


class Completions(Generic[F]):
    """A queue, and who waits for what comes out of it."""

    def __init__(self, accepts: Callable[[F], bool]) -> None:
        self.queue = Queue()
        self._accepts = accepts
        self._waiting: dict[int, F] = {}
        self._tokens = itertools.count(1)

    def submit(
        self, source: _Source, op: str, argument: object, timeout: float | None, future: F
    ) -> F:
        """Starts something whose completion is to end up in the future."""
        token = next(self._tokens)
        self._waiting[token] = future
        try:
            source._submit(self.queue, token, op, argument, timeout)
        except BaseException:
            del self._waiting[token]
            raise
        return future

    def take(self, timeout: float | None) -> None:
        """Completes the futures of what is in the queue, a batch at a time."""
        for token, value, error in self.queue.poll(BATCH, timeout):
            future = self._waiting.pop(token)
            if not self._accepts(future):
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
