"""Futures of changes, and the thread that tells those who observe them.

Most futures are only asked for their result; the native part does that without a lock of Python.
One that has a callback, or that `concurrent.futures` waits for, is observed: then a thread waits
for its end.

What must hold: what `concurrent.futures` looks at of a future changes only under its `_condition`,
which is held for moments, and never while Python code of others runs; the thread has ended before
the interpreter does.
"""

import concurrent.futures
import functools
import threading
from collections.abc import Callable
from concurrent.futures._base import CANCELLED_AND_NOTIFIED, FINISHED, LOGGER, PENDING
from typing import Any

from . import _quorate
from ._quorate import Reply


class Future(_quorate.Future, concurrent.futures.Future[Reply]):
    """What `Service.submit` gives: a `concurrent.futures.Future` that only the engine completes."""

    __module__ = "quorate"

    # Nothing of the other class is needed before somebody observes.
    __init__ = object.__init__

    def add_done_callback(self, fn: Callable[["Future"], object]) -> None:
        """Calls it at the end, on the thread quorate-futures, or at once."""
        with self._condition:
            waits = self._is_observed()
            if waits:
                self._done_callbacks.append(fn)
        if not waits:
            self._call(fn)

    def cancel(self) -> bool:
        """Abandons the wait, not the change."""
        if self._cancel():
            self._tell()
        return self.cancelled()

    def set_running_or_notify_cancel(self) -> bool:
        """For executors, which this future has none of."""
        raise concurrent.futures.InvalidStateError("only the engine completes this future")

    def set_result(self, result: object) -> None:
        """Likewise."""
        self.set_running_or_notify_cancel()

    def set_exception(self, exception: object) -> None:
        """Likewise."""
        self.set_running_or_notify_cancel()

    def __repr__(self) -> str:
        state = "pending"
        if self.done():
            state = "cancelled" if self.cancelled() else "finished"
        return f"<quorate.Future {state}>"

    # What `concurrent.futures.wait` and `as_completed` work on, made when first asked for.

    @functools.cached_property
    def _condition(self) -> threading.RLock:  # type: ignore[override]
        """The lock of a condition, which is all that they use of it."""
        # The first one counts, should two threads ask at the same time.
        lock: threading.RLock = self.__dict__.setdefault("_condition", threading.RLock())
        return lock

    @functools.cached_property
    def _waiters(self) -> list[Any]:  # type: ignore[override]
        return []

    @functools.cached_property
    def _done_callbacks(self) -> list[Callable[["Future"], object]]:
        return []

    @property
    def _state(self) -> str:  # type: ignore[override]
        if self._is_observed():
            return PENDING
        return CANCELLED_AND_NOTIFIED if self.cancelled() else FINISHED

    def _get_snapshot(self) -> tuple[bool, bool, Reply | None, BaseException | None]:
        """What asyncio copies since Python 3.14: done, cancelled, result, exception."""
        if not self.done() or self.cancelled():
            return self.done(), self.cancelled(), None, None
        error = self.exception()
        return True, False, None if error else self.result(), error

    def _is_observed(self) -> bool:
        """Whether its end is still to be told, which it will be."""
        waits = self._observe()
        if waits:
            _teller()
        return waits

    def _tell(self, logged: type[BaseException] = Exception) -> None:
        """Tells all who observe it of its end; what callbacks raise of this kind is logged."""
        with self._condition:
            self._mark_told()
            for waiter in self._waiters:
                if self.cancelled():
                    waiter.add_cancelled(self)
                elif self.exception() is None:
                    waiter.add_result(self)
                else:
                    waiter.add_exception(self)
        for fn in self._done_callbacks:
            self._call(fn, logged)

    def _call(
        self, fn: Callable[["Future"], object], logged: type[BaseException] = Exception
    ) -> None:
        try:
            fn(self)
        except logged:
            LOGGER.exception("exception calling callback for %r", self)


class Teller:
    """The thread quorate-futures."""

    def __init__(self, futures: _quorate.Futures) -> None:
        self._futures = futures
        self._thread = threading.Thread(target=self._run, name="quorate-futures", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while _tell_all(self._futures.untold(True)):
            pass

    def stop(self, timeout: float) -> None:
        """Ends the thread, unless a callback holds it up, and tells of what has ended meanwhile."""
        self._futures.stop()
        self._thread.join(timeout)
        if not self._thread.is_alive():
            _tell_all(self._futures.untold(False))


def _tell_all(ended: list[Future]) -> bool:
    """Tells of the end of some, and keeps none; false when there are none. Whatever a callback
    raises is logged: others are still to be told."""
    for future in ended:
        future._tell(BaseException)
    return bool(ended)


_lock = threading.Lock()
_the_futures: _quorate.Futures | None = None
_the_teller: Teller | None = None


def futures() -> _quorate.Futures:
    """All futures of this process."""
    global _the_futures
    if _the_futures is None:
        with _lock:
            _the_futures = _the_futures or _quorate.Futures(Future)
    return _the_futures


def _teller() -> None:
    """Starts the thread when it is first needed."""
    global _the_teller
    if _the_teller is None:
        with _lock:
            _the_teller = _the_teller or Teller(futures())


def stop(timeout: float) -> None:
    """At the end of the interpreter, when all services are closed."""
    if _the_teller is not None:
        _the_teller.stop(timeout)


def after_fork_in_child() -> None:
    """Threads and futures stayed with the parent."""
    global _lock, _the_futures, _the_teller
    _lock, _the_futures, _the_teller = threading.Lock(), None, None
