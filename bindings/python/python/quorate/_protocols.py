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
    """A store of your own for log and metadata: Service.start(..., storage=MyStore()).

    What it must keep: between two syncs a crash keeps a prefix of the calls of append and the
    truncations, in order, at least up to the last sync that returned. metadata_put is atomic,
    durable on return, and outside that order: a newer term or vote without the log is safe, the
    reverse is not. storage_check tries all of that.

    All calls come from one thread, one at a time, and may block. What any of them raises stops the
    service, because what reached the disk is unknown; what open raises refuses the start.
    """

    def open(self) -> tuple[int, int]:
        """Called first: the lowest and the highest index, (0, 0) when the log is empty."""

    def append(self, records: Sequence[Record], /) -> None:
        """Adds records behind the last one, to an empty log at any index; may buffer."""

    def sync(self) -> None:
        """Returns when everything before it would survive a power cut."""

    def read(self, first: int, last: int, max_bytes: int, /) -> Iterable[Bytes]:
        """The data of the records `first` to `last`, synced or not; may stop at max_bytes."""

    def truncate_suffix(self, first: int, /) -> None:
        """Removes `first` and all after it; durable by the next sync."""

    def truncate_prefix(self, last: int, /) -> None:
        """Removes `last`, which may lie beyond the end, and all before it; likewise."""

    def metadata_get(self, key: str, /) -> Bytes | None:
        """The value, which may be empty; None when there is none."""

    def metadata_put(self, key: str, value: bytes, /) -> None:
        """Replaces one value, whole or not at all; durable on return."""

    def close(self) -> None:
        """The last call."""


class Transport(Protocol):
    """A network of your own: Service.start(..., transport=MyNetwork()).

    It carries frames whole and unaltered, or loses them; what arrives goes to Service.deliver,
    which refuses altered frames. Repeated, late and reordered ones do no harm.
    """

    def send(self, node_id: int, address: str, frame: bytes, /) -> None:
        """Sends one frame without waiting for the network; node_id is 0 while it is unknown.

        An exception: not sent, and the node counts as unreachable for now. Runs on quorate-loop.
        """


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
