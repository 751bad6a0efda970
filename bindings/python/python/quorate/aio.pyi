"""quorate for asyncio.

The names of quorate, as coroutines where those wait; what only looks stays a property.
Completions reach the event loop through one descriptor, a batch at a time. Cancelling a call
abandons the wait, not the change: as after a timeout, it may be done. State machines stay plain
objects that are called on an engine's thread.

Since: 0.1
"""

import logging
import os
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Literal, Self, Unpack, final

from quorate import (
    Bytes,
    Change,
    Event,
    MembershipChangeMode,
    NodeList,
    Position,
    ProtocolStatus,
    Reply,
    Settings,
    State,
    StateMachine,
    Storage,
    Transport,
)

__all__ = ["ChangeTracker", "Service"]

@final
class ChangeTracker:
    """A counter to wait on; one of a name is also that of quorate.ChangeTracker."""

    def __init__(self) -> None:
        """A tracker at 0."""
    @classmethod
    def named(cls, name: str) -> Self: ...
    def update(self, change: int) -> None: ...
    async def wait(self, change: int) -> int: ...
    async def timed_wait(self, change: int, timeout: float) -> int: ...
    def close(self) -> None: ...

@final
class Service:
    """A running instance: one member of a cluster, or one that may become one."""

    @classmethod
    async def start(
        cls,
        state_machine: StateMachine,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        listen: str = "",
        storage: Literal["wal", "sled", "memory"] | Storage = "wal",
        transport: Transport | None = None,
        logger: logging.Logger | None = None,
        **settings: Unpack[Settings],
    ) -> Self:
        """async with await Service.start(...) as service: ..."""
    async def close(self) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    async def initialize_cluster(self, address: str, *, timeout: float | None = None) -> None: ...
    async def add_node(self, address: str, *, timeout: float | None = None) -> None: ...
    async def remove_node(self, node_id: int, *, timeout: float | None = None) -> None: ...
    async def propose(self, change: Change, *, timeout: float | None = None) -> Position: ...
    async def propose_wait(self, change: Change, *, timeout: float | None = None) -> Reply: ...
    async def read_barrier(self, *, timeout: float | None = None) -> None: ...
    def deliver(self, frame: Bytes) -> None: ...
    def append(self, frame: Bytes) -> None: ...
    def request_vote(self, frame: Bytes) -> None: ...
    def join(self, frame: Bytes) -> None: ...
    def events(self) -> AsyncIterator[Event]:
        """async for event in service.events(): ... begins with what is so when it is called.

        A wait for the next one may be cancelled: the iterator goes on where it was.
        """
    @property
    def my_id(self) -> int: ...
    @property
    def cluster_id(self) -> int: ...
    @property
    def leader_id(self) -> int: ...
    @property
    def state(self) -> State: ...
    @property
    def membership_change_mode(self) -> MembershipChangeMode: ...
    @property
    def current_term(self) -> int: ...
    @property
    def commit_index(self) -> int: ...
    @property
    def last_applied(self) -> int: ...
    @property
    def first_index(self) -> int: ...
    @property
    def last_index(self) -> Position: ...
    @property
    def address(self) -> str: ...
    @property
    def node_config(self) -> NodeList: ...
    @property
    def raft_status(self) -> ProtocolStatus: ...
    @property
    def applied_tracker(self) -> ChangeTracker: ...
    def report(self, kind: Literal["json", "prometheus"] = "json") -> str: ...
