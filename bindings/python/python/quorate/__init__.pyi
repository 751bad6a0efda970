"""quorate: an embeddable Raft library.

* A Service is a context manager. Calls that wait release the GIL, and Ctrl-C ends a wait.
* `timeout` is in seconds; None waits without end. Durations among the settings are seconds too.
* Every failure is a QuorateError; `outcome` says whether the change is not done or may be done.
* A state machine is a plain object with the methods named here; no base class is needed. It is
  called on an engine's thread, a whole batch at a time. An exception in it fails the service and is
  the __cause__ of the ServiceFailed that follows.
* quorate.aio has the same names for asyncio.

Since: 0.1
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Final, Literal, NamedTuple, Protocol, Self, TypeAlias, TypedDict, Unpack, final

__version__: Final[str]

# ---- Constants and enumerations of the package page ----

CURRENT_TERM_KEY: Final = "currentTerm"
VOTED_FOR_KEY: Final = "votedFor"
LOCAL_ID_KEY: Final = "localID"
CLUSTER_ID_KEY: Final = "clusterID"
LAST_APPLIED_KEY: Final = "lastApplied"
NODE_CONFIG_KEY: Final = "nodeConfig"
WEB_HOOKS_KEY: Final = "webHooks"
MEMBERSHIP_CHANGE: Final = -1
WEB_HOOK_CHANGE: Final = -2
HEARTBEAT_TIMEOUT: Final = 2.0
ELECTION_TIMEOUT: Final = 10.0
NODE_PROPOSAL_TIMEOUT: Final = 20.0

class Outcome(IntEnum):
    """What a failed call did."""

    DONE = 0
    NOT_DONE = 1
    UNKNOWN = 2
    FATAL = 3

class State(IntEnum):
    """The state of a service."""

    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2
    STANDALONE = 3
    STOPPING = 4
    STOPPED = 5
    FAILED = 6
    def __str__(self) -> str:
        """The page's word, such as "Follower"."""

class MembershipChangeMode(IntEnum):
    """Where the current change of membership stands."""

    STABLE = 0
    PROPOSED_JOINT_CONSENSUS = 1
    PROPOSED_FINAL_CONSENSUS = 2
    def __str__(self) -> str: ...

class LoopCommand(IntEnum):
    """What the library tells its own main loop; named for diagnosis."""

    UPDATE_CONFIGURATION = 0
    JOIN_AS_FOLLOWER = 1
    JOIN_AS_CANDIDATE = 2
    def __str__(self) -> str: ...

# ---- Errors ----

class QuorateError(Exception):
    """Base of all. `status` is the number of quorate.h, which no caller should need."""

    @property
    def status(self) -> int: ...
    @property
    def outcome(self) -> Outcome: ...

class InvalidArgument(QuorateError, ValueError):
    """An argument is missing, malformed, out of range or reserved."""

class TooLarge(QuorateError, ValueError):
    """The entry exceeds max_entry_bytes."""

class InCallback(QuorateError, RuntimeError):
    """A call that waits was made from a callback."""

class Closed(QuorateError, RuntimeError):
    """The service was closed before the call."""

class Forked(Closed):
    """Called in a child process after fork, on what the parent made."""

class Unsupported(QuorateError):
    """This build, store or state machine does not have it."""

class NotFound(QuorateError, LookupError):
    """No such setting or node."""

class NotLeader(QuorateError):
    """No leader is known, or forwarding is off."""

    @property
    def leader(self) -> Node | None:
        """The leader as last heard of."""

class Busy(QuorateError):
    """A bounded queue is full: wait for what is under way, then try again."""

class DiskFull(QuorateError):
    """The disk of the leader is full."""

class Lost(QuorateError):
    """The change was handed to a leader that lost its office; it never will be in the log."""

class MembershipError(QuorateError):
    """A change of membership can't be made."""

class NoCluster(MembershipError):
    """This node is in no cluster."""

class AlreadyMember(MembershipError):
    """The node is a member already."""

class OtherCluster(MembershipError):
    """The node belongs to another cluster."""

class HasData(MembershipError):
    """The node has data of its own."""

class ChangeInProgress(MembershipError):
    """Another change of membership is under way."""

class Unreachable(MembershipError):
    """Nobody answers at the address, or another node than meant."""

class StartError(QuorateError, OSError):
    """The service can't start here as it is."""

class AddressInUse(StartError):
    """The listening address is taken."""

class IoError(StartError):
    """A file, directory or descriptor can't be made, read or written."""

class Locked(StartError):
    """Another process has the data directory open."""

class Corrupt(StartError):
    """A stored record is damaged, or something is missing. Nothing was changed."""

class WrongIdentity(StartError):
    """The data directory is a copy, or a file belongs to another one."""

class UnknownVersion(StartError):
    """The format on disk, or the peer's protocol, is not one that this version knows."""

class StateMachineMismatch(StartError):
    """The state machine is ahead of the log, behind it, or of another history."""

class OutcomeUnknown(QuorateError):
    """The change may be in the log: look before you repeat it."""

class TimedOut(OutcomeUnknown, TimeoutError):
    """The time is over."""

class LeadershipLost(OutcomeUnknown):
    """The leader lost its office while the call was under way. Membership calls and reads only."""

class Interrupted(OutcomeUnknown):
    """The service was closed, or failed, while the call was under way."""

class Skipped(OutcomeUnknown):
    """A snapshot jumped over the change."""

class LeftCluster(OutcomeUnknown):
    """The node left its cluster while the call was under way."""

class ServiceFailed(QuorateError):
    """The store or the state machine failed before; this service is over."""

class StorageFailed(ServiceFailed):
    """A write or sync of the store failed."""

class StateMachineFailed(ServiceFailed):
    """A callback of the state machine failed; what it raised is the __cause__."""

class InternalError(ServiceFailed):
    """A bug in the library."""

class IdentityTaken(ServiceFailed):
    """A newer run, or a copy, of this node is alive."""

# ---- Nodes and entries ----

def format_node_id(node_id: int) -> str:
    """The text of a node or cluster id, in base 36."""

def parse_node_id(text: str) -> int:
    """The id of that text; 0 for anything that is not an id."""

class Node(NamedTuple):
    """A member: its id, and where the others reach it."""

    node_id: int
    address: str
    def __str__(self) -> str: ...

@final
class NodeList:
    """A configuration in force; `next` is empty except during joint consensus."""

    def __init__(
        self,
        current: tuple[Node, ...] = (),
        next: tuple[Node, ...] = (),
        learners: tuple[Node, ...] = (),
    ) -> None: ...
    @property
    def current(self) -> tuple[Node, ...]:
        """The voters; during joint consensus the old ones."""
    @property
    def next(self) -> tuple[Node, ...]:
        """During joint consensus the new voters."""
    @property
    def learners(self) -> tuple[Node, ...]:
        """Nodes that listen and do not vote, such as one that catches up."""
    def get_node(self, node_id: int) -> Node | None:
        """The voter of that id, the current ones first."""
    def get_unique_nodes(self) -> tuple[Node, ...]:
        """The voters, each once: the current ones, then what is only in `next`."""
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...
    def __str__(self) -> str: ...

class ProtocolStatus(NamedTuple):
    """Diagnosis: on a leader the last durable index of each member, itself included; empty on a
    Standalone service, else None."""

    peer_indices: Mapping[int, int] | None

Bytes: TypeAlias = bytes | bytearray | memoryview

@final
class Entry:
    """A change. Make one to propose tags, a type or a timestamp; for data alone bytes will do."""

    def __new__(
        cls, data: Bytes, *, tags: Iterable[str] | None = None, type: int = 0, timestamp_ns: int = 0
    ) -> Self:
        """`timestamp_ns` as from time.time_ns(); 0 = not set. Types below 0 are the library's."""
    @property
    def index(self) -> int:
        """Its place in the log; 0 until it is committed."""
    @property
    def term(self) -> int:
        """The term of the leader that made it; 0 until it is committed."""
    @property
    def type(self) -> int: ...
    @property
    def timestamp_ns(self) -> int: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def data(self) -> bytes:
        """A copy, made when first asked for. Who keeps an entry keeps the engine's buffer too."""

Change: TypeAlias = Entry | Bytes

@final
class Position:
    """Where a change stands in the log."""

    __match_args__ = ("index", "term")
    def __new__(cls, index: int, term: int) -> Self: ...
    @property
    def index(self) -> int: ...
    @property
    def term(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Reply:
    """What a proposal gave: where it stands, and the state machine's reply on this node."""

    __match_args__ = ("index", "term", "data")
    def __new__(cls, index: int, term: int, data: bytes) -> Self: ...
    @property
    def index(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def data(self) -> bytes:
        """Empty when the state machine gave none."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

# ---- State machine ----

class StateMachine(Protocol):
    """What committed changes are applied to. All calls come from one thread, quorate-apply."""

    def commit(self, entries: Sequence[Entry], /) -> Sequence[bytes | None] | None:
        """Apply them in order; return one reply for each, or None for no replies. Each comes
        exactly once per run. Calls that wait raise InCallback in here; `submit` may be called."""

class DurableStateMachine(StateMachine, Protocol):
    """Optional, looked up by name."""

    def open(self) -> Applied:
        """What the state holds durably: entries after it are committed again. Called first."""

@final
@dataclass(frozen=True, slots=True)
class Applied:
    """Term and cluster 0 are not checked."""

    index: int = 0
    term: int = 0
    cluster_id: int = 0

# ---- Settings ----

class Settings(TypedDict, total=False):
    """Seconds, bytes, counts, switches; a text such as "150ms" or "1MiB" is taken as well."""

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

class Setting(NamedTuple):
    """A setting that this library knows."""

    key: str
    default_value: str
    unit: str
    meaning: str

def settings() -> tuple[Setting, ...]:
    """Every setting that this library knows."""

# ---- Change trackers ----

@final
class ChangeTracker:
    """A counter to wait on. All calls from any thread."""

    def __new__(cls) -> Self:
        """A tracker at 0."""
    @staticmethod
    def named(name: str) -> ChangeTracker:
        """The tracker of that name in this process, made on demand, never removed."""
    def update(self, change: int) -> None:
        """Sets the value, also to a lower one, and wakes whoever waits for it or less. After close
        it does nothing. InvalidArgument for an applied tracker, which only its service moves."""
    def wait(self, change: int) -> int:
        """Waits until the value is at least `change` and returns it; once closed, the value as it
        is."""
    def timed_wait(self, change: int, timeout: float) -> int:
        """Likewise for at most `timeout` seconds; then the value as it is, below `change`."""
    def close(self) -> None:
        """Releases all waiters with the value as it is. Nothing happens to an applied tracker: its
        service closes it."""

# ---- Service ----

@final
class Service:
    """A running instance: one member of a cluster, or one that may become one. All calls from any
    thread. Close it, or use it as a context manager."""

    @classmethod
    def start(
        cls,
        state_machine: StateMachine,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        listen: str = "",
        storage: Literal["wal", "memory"] = "wal",
        **settings: Unpack[Settings],
    ) -> Self:
        """StartRaft: opens the store, the state machine and the listener, and starts the threads. A
        new data directory gives a Standalone service, another one what it was."""
    def close(self) -> None:
        """Stops the service and its threads. Whoever waits gets Interrupted. Looking goes on to
        work, everything else raises Closed; a second close is fine. Raises ServiceFailed when the
        service had failed; it is closed all the same."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    # the cluster
    def initialize_cluster(self, address: str, *, timeout: float | None = None) -> None:
        """Makes this Standalone service a cluster of one that others can be added to, its data
        kept. `address` is where the others reach this node."""
    def add_node(self, address: str, *, timeout: float | None = None) -> None:
        """Asks who is at `address`, lets that node catch up, and adds it. On any member. Returns
        when that is applied here. Without a timeout, here as in the other two, the setting
        node_proposal_timeout says how long to wait; the change goes on after that."""
    def remove_node(self, node_id: int, *, timeout: float | None = None) -> None:
        """Removes a member, this node and the leader included. It becomes Standalone with its data,
        and can be added again."""

    # writing
    def propose(self, change: Change, *, timeout: float | None = None) -> Position:
        """Returns as soon as the change is in the leader's log; it is not committed then. Raises
        NotLeader at once when no leader is known."""
    def propose_wait(self, change: Change, *, timeout: float | None = None) -> Reply:
        """Returns when this node has applied the change, with the state machine's reply. Waits for
        a leader when none is known."""
    def submit(self, change: Change, *, timeout: float | None = None) -> Future[Reply]:
        """propose_wait without waiting: the way to have many changes under way from one thread.
        Raises at once when the change is not even taken, such as Busy. Cancelling the future
        abandons the wait, not the change."""
    def submit_many(
        self, changes: Iterable[Change], *, timeout: float | None = None
    ) -> list[Future[Reply]]:
        """submit for each, in one call of the engine, which costs less. One that is not taken gives
        a future that has ended with the reason, and the others go on."""

    # reading
    def read_barrier(self, *, timeout: float | None = None) -> None:
        """Returns when this node has applied everything that was acknowledged anywhere before the
        call: read your own state after it and the read is linearizable."""

    # looking
    @property
    def my_id(self) -> int:
        """This node."""
    @property
    def cluster_id(self) -> int:
        """0 in no cluster."""
    @property
    def leader_id(self) -> int:
        """0 unknown; on the leader its own."""
    @property
    def state(self) -> State: ...
    @property
    def membership_change_mode(self) -> MembershipChangeMode: ...
    @property
    def current_term(self) -> int: ...
    @property
    def commit_index(self) -> int:
        """The last entry known to be committed."""
    @property
    def last_applied(self) -> int:
        """The last entry applied here."""
    @property
    def first_index(self) -> int:
        """The lowest index of the log; 0 when it is empty."""
    @property
    def last_index(self) -> Position:
        """The end of the log."""
    @property
    def address(self) -> str:
        """Where the listener really is; empty without one."""
    @property
    def node_config(self) -> NodeList:
        """The configuration in force; empty when Standalone."""
    @property
    def raft_status(self) -> ProtocolStatus: ...
    @property
    def applied_tracker(self) -> ChangeTracker:
        """Follows `last_applied`; only this service moves and closes it."""
    def report(self, kind: Literal["json", "prometheus"] = "json") -> str:
        """A text for people and tools."""
