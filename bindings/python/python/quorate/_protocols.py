"""What callers and state machines give: types for annotations, none needed at run time."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias, TypedDict

from ._quorate import Entry
from ._types import Applied

Bytes: TypeAlias = bytes | bytearray | memoryview
Change: TypeAlias = Entry | Bytes


class StateMachine(Protocol):
    """Any object with this method."""

    def commit(self, entries: Sequence[Entry], /) -> Sequence[bytes | None] | None:
        """Applies a batch, in order."""


class DurableStateMachine(StateMachine, Protocol):
    """One that keeps its state on disk."""

    def open(self) -> Applied:
        """What the state holds durably."""


class Settings(TypedDict, total=False):
    """The settings that Service.start takes by keyword."""

    profile: Literal["lan", "classic"]
    heartbeat_timeout: float
    election_timeout: float
    node_proposal_timeout: float
    pre_vote: bool
    check_quorum: bool
    forward_proposals: bool
    max_entry_bytes: int
    max_batch_bytes: int
    max_queued_entries: int
    max_queued_bytes: int
    max_inflight_bytes: int
    segment_bytes: int
    insecure: bool
    adopt_copied_directory: bool
