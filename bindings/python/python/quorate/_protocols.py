"""What callers and state machines give: types for annotations, none needed at run time."""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, TypeAlias, TypedDict

from ._quorate import Entry, Record
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


class Storage(Protocol):
    """A store of the host's own for log and metadata."""

    def open(self) -> tuple[int, int]:
        """The lowest and the highest index, (0, 0) when the log is empty."""

    def append(self, records: Sequence[Record], /) -> None:
        """Adds records behind the last one."""

    def sync(self) -> None:
        """Returns when all that would survive a power cut."""

    def read(self, first: int, last: int, max_bytes: int, /) -> Iterable[Bytes]:
        """The data of the records `first` to `last`."""

    def truncate_suffix(self, first: int, /) -> None:
        """Removes `first` and all after it."""

    def truncate_prefix(self, last: int, /) -> None:
        """Removes `last` and all before it."""

    def metadata_get(self, key: str, /) -> Bytes | None:
        """The value, None when there is none."""

    def metadata_put(self, key: str, value: bytes, /) -> None:
        """Replaces one value, durably."""

    def close(self) -> None:
        """The last call."""


class Transport(Protocol):
    """A network of the host's own."""

    def send(self, node_id: int, address: str, frame: bytes, /) -> None:
        """Sends one frame without waiting."""


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
