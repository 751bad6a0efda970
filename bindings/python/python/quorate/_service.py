"""`Service`, and what it has in common with that of `quorate.aio`."""

import atexit
import contextlib
import logging
import os
import warnings
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, NamedTuple, Self, final

from . import _futures, _quorate
from ._errors import QuorateError, ServiceFailed
from ._logging import Lines, lines_for
from ._quorate import Position, Reply, format_node_id
from ._types import Event

# How long the end of the interpreter waits for daemon threads to leave their calls, in seconds.
LEAVE = 1.0


class Parts(NamedTuple):
    """What a service is started with instead of what the library has."""

    storage: object
    transport: object
    logger: Lines | None


class Running(_quorate.Service):
    """A service that is closed at the latest when the interpreter ends, and says when it was not
    closed before it was lost."""

    def __init__(self, state_machine: object, settings: dict[str, object], parts: Parts) -> None:
        _running.add(self)

    def __del__(self) -> None:
        if self._is_closed:
            return
        warnings.warn(f"unclosed service {self!r}", ResourceWarning, stacklevel=2, source=self)
        self._close_quietly()

    def _close_quietly(self) -> None:
        """For when nobody is there any more to be told that it had failed."""
        with contextlib.suppress(QuorateError):
            self._close()

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{name} {format_node_id(self.my_id)} {self.state}>"


@final
class Service(Running):
    __doc__ = "A running instance: one member of a cluster, or one that may become one."
    __module__ = "quorate"

    @classmethod
    def start(
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
        return cls(state_machine, together, Parts(own, transport, lines_for(logger)))

    def close(self) -> None:
        """Stops the service and its threads."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with quiet_after(error):
            self._close()

    def initialize_cluster(self, address: str, *, timeout: float | None = None) -> None:
        """Makes this Standalone service a cluster of one."""
        self._wait("initialize_cluster", address, timeout)

    def add_node(self, address: str, *, timeout: float | None = None) -> None:
        """Adds the node at the address."""
        self._wait("add_node", address, timeout)

    def remove_node(self, node_id: int, *, timeout: float | None = None) -> None:
        """Removes a member."""
        self._wait("remove_node", node_id, timeout)

    def propose(self, change: Any, *, timeout: float | None = None) -> Position:
        """Returns as soon as the change is in the leader's log."""
        position: Position = self._wait("propose", change, timeout)
        return position

    def propose_wait(self, change: Any, *, timeout: float | None = None) -> Reply:
        """Returns when this node has applied the change."""
        reply: Reply = self._wait("propose_wait", change, timeout)
        return reply

    def submit(self, change: Any, *, timeout: float | None = None) -> "Future[Reply]":
        """propose_wait without waiting."""
        return self._submit_future(_futures.futures(), change, timeout)

    def submit_many(
        self, changes: Iterable[Any], *, timeout: float | None = None
    ) -> "list[Future[Reply]]":
        """submit for each, in one call of the engine."""
        return self._submit_futures(_futures.futures(), changes, timeout)

    def read_barrier(self, *, timeout: float | None = None) -> None:
        """Returns when this node has applied what was acknowledged anywhere before the call."""
        self._wait("read_barrier", None, timeout)

    def events(self) -> Iterator[Event]:
        """What happens from now on, the present state and leader first."""
        return self._events()


def quiet_after(error: BaseException | None) -> contextlib.suppress:
    """What the body of a `with` raised says more than that the service had failed."""
    return contextlib.suppress(*([] if error is None else [ServiceFailed]))


def start_settings(
    data_dir: str | os.PathLike[str] | None,
    listen: str,
    storage: object,
    settings: dict[str, object],
) -> tuple[dict[str, object], object]:
    """All settings in one, what is None left at its default; and a store of the host's own."""
    place = None if data_dir is None else os.fspath(data_dir)
    together = {"data_dir": place, "listen": listen or None, **settings}
    if storage is None or isinstance(storage, str):
        return {**together, "storage": storage}, None
    return together, storage


_running: "weakref.WeakSet[Running]" = weakref.WeakSet()


def _at_exit() -> None:
    """Ends all threads that could call into Python, while it is whole."""
    for service in list(_running):
        service._close_quietly()
    _futures.stop(LEAVE)
    _quorate.settle(LEAVE)


def _after_fork_in_child() -> None:
    """The threads stayed with the parent: services refuse, futures start anew."""
    _running.clear()
    _futures.after_fork_in_child()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork_in_child)
