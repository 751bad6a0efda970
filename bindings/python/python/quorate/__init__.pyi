"""quorate: an embeddable Raft library.

* A Service is a context manager. Calls that wait release the GIL, and Ctrl-C ends a wait, but not a
  start.
* `timeout` is in seconds; None waits without end. Durations among the settings are seconds too.
* Every failure of the engine is a QuorateError; `outcome` says whether the change is not done or
  may be done. Arguments of a wrong kind or range may raise TypeError, ValueError, OverflowError.
* A state machine is a plain object with the methods named here; no base class is needed. It is
  called on an engine's thread, a whole batch at a time. An exception in it fails the service and is
  the __cause__ of the ServiceFailed that follows. So with a store or a network of your own.
* Log lines go to logging.getLogger("quorate").
* quorate.aio has the same names for asyncio.

Since: 0.1
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

class EventKind(IntEnum):
    """What an event tells; skip what you do not know."""

    LEADER = 100
    """node_id leads in `term`; 0: no leader is known."""
    MEMBERSHIP = 101
    """The configuration with the number `index` is in force, or committed: `text` says which."""
    FAILED = 104
    """The service failed: `error` and `text` say why."""
    STATE = 105
    """The service has the state State(index)."""
    DISK_FULL = 106
    """The store has no room for new entries (index 1), or has room again (0)."""
    PEER = 107
    """Something is wrong with the connection to node_id (0: not known which): `text` says what."""
    ABSTAINING = 108
    """This node gives no votes until it is repaired (index 1), or does so again (0)."""
    CLOSED = 109
    """The service is closed; the last event."""

class FrameKind(IntEnum):
    """What a frame is about."""

    OTHER = 0
    """Several things, or something else."""
    APPEND = 1
    """Entries or heartbeats, or answers to them."""
    REQUEST_VOTE = 2
    """Votes asked for or given, or the request to campaign at once."""
    JOIN = 3
    """A node is asked who it is or to become a member, or answers."""

# ---- Errors ----

class QuorateError(Exception):
    """Base of all. `status` is the number of quorate.h, which no caller should need."""

    @property
    def status(self) -> int: ...
    @property
    def outcome(self) -> Outcome: ...

class InvalidArgument(QuorateError, ValueError):
    """An argument is missing, malformed, out of range or reserved."""

class StorageRuleBroken(InvalidArgument):
    """A store does not keep the rules of Storage. What it raised first, if anything, is the
    __cause__."""

    def __init__(self, report: Report) -> None: ...
    @property
    def report(self) -> Report: ...

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
    """A write or sync of the store failed; what a store of your own raised is the __cause__."""

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
        """The node of that id, voter or learner, the current voters first."""
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

# ---- Storage ----

@final
class Record:
    """One record of the log. The bytes are the library's, with their own checksums; a store keeps
    them as they are."""

    __match_args__ = ("index", "data")
    def __new__(cls, index: int, data: bytes) -> Self: ...
    @property
    def index(self) -> int: ...
    @property
    def data(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

class Storage(Protocol):
    """A store of your own for log and metadata: Service.start(..., storage=MyStore()).

    What it must keep: between two syncs a crash keeps a prefix of the calls of append and the
    truncations, in order, at least up to the last sync that returned. metadata_put is atomic,
    durable on return, and outside that order: a newer term or vote without the log is safe, the
    reverse is not. storage_check tries all of that.

    All calls come from one thread, quorate-log, one at a time, and may block: that delays entries
    and nothing else. (Only close may come from another thread, after all others.) Calls that wait
    for a service raise InCallback in there. What any of them raises is terminal: the service stops
    with StorageFailed, because what reached the disk is unknown. From open it refuses the start: as
    what it is if that is Locked, Corrupt, WrongIdentity, UnknownVersion or Unsupported, else as
    IoError. Records that come back other than they were given are noticed and stop the service
    likewise."""

    def open(self) -> tuple[int, int]:
        """Called first. The lowest and the highest index; (0, 0) when the log is empty."""
    def append(self, records: Sequence[Record], /) -> None:
        """Adds at least one record, without a gap after the last one; to an empty log at any index.
        May buffer."""
    def sync(self) -> None:
        """Returns when everything before it would survive a power cut."""
    def read(self, first: int, last: int, max_bytes: int, /) -> Iterable[Bytes]:
        """The data of the records from `first` to `last`, both included, in order; they exist,
        synced or not. May stop once `max_bytes` are given, but not before the first; of a generator
        no more is taken then."""
    def truncate_suffix(self, first: int, /) -> None:
        """Removes `first` and everything after it; durable by the next sync."""
    def truncate_prefix(self, last: int, /) -> None:
        """Removes `last`, which may lie beyond the end, and everything before it; likewise."""
    def metadata_get(self, key: str, /) -> Bytes | None:
        """The value, which may be empty; None when there is none."""
    def metadata_put(self, key: str, value: bytes, /) -> None:
        """Replaces one value, whole or not at all; durable on return. Term, vote and identity are
        one such value, "quorate.state"."""
    def close(self) -> None:
        """The last call, if open returned."""

class Make(IntEnum):
    """What a maker of stores is asked for; no store that it gives is open yet."""

    NEW = 0
    """An empty store."""
    AGAIN = 1
    """The store made last, which was closed."""
    CRASHED = 2
    """What a crash would leave now of the store made last, which is still open and in the middle of
    its work: for instance a store on a copy of its files, made now. (It is closed after that.)
    Raise Unsupported when there is no way to do that."""

class Report(NamedTuple):
    """What the conformance kit found; str() is a text with a line for each rule."""

    passed: int
    """How many rules held."""
    skipped: tuple[str, ...]
    """Those that could not be tried, and why."""
    broken: tuple[str, ...]
    """Those that are broken, and what was seen."""
    text: str
    def __str__(self) -> str: ...

def storage_check(make: Callable[[Make], Storage]) -> Report:
    """Runs the conformance kit that every built-in store passes on the stores that `make` gives, on
    the calling thread; crashes between any two calls are part of it. Raises StorageRuleBroken, with
    the report, when a rule is broken."""

# ---- Transport ----

class Transport(Protocol):
    """A network of your own instead of TCP: Service.start(..., transport=MyNetwork()). It carries
    frames whole and unaltered, or loses them; frames that were altered on their way are noticed and
    dropped, and repeated, late and reordered ones do no harm. Who may send them is its to check:
    the library believes the sender that a frame names. Addresses are any text that both sides
    understand."""

    def send(self, node_id: int, address: str, frame: bytes, /) -> None:
        """Sends one frame to the node at `address`, where it goes to Service.deliver, without
        waiting for the network. node_id is 0 while only the address is known. An exception: not
        sent, and the node counts as unreachable for now. Called on the thread quorate-loop; a slow
        one delays the protocol."""

def frame_kind(frame: Bytes) -> FrameKind:
    """What a frame is about. InvalidArgument for what is no frame, or was altered."""

# ---- Events ----

@final
@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a service. What the fields mean is said at EventKind; those that
    mean nothing are 0, "" or None."""

    number: int
    """Counts the events of a service; a gap shows that some were lost."""
    kind: EventKind
    node_id: int
    index: int
    term: int
    text: str
    error: QuorateError | None

# ---- Settings ----

class Settings(TypedDict, total=False):
    """Seconds (of whole milliseconds), bytes, counts, switches; a text such as "150ms" or "1MiB" is
    taken as well."""

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
        storage: Literal["wal", "sled", "memory"] | Storage = "wal",
        transport: Transport | None = None,
        logger: logging.Logger | None = None,
        **settings: Unpack[Settings],
    ) -> Self:
        """StartRaft: opens the store, the state machine and the listener, and starts the threads. A
        new data directory gives a Standalone service, another one what it was. With a storage of
        your own data_dir is not needed, with a transport listen. Log lines go to `logger`, else to
        logging.getLogger("quorate"): those of the levels that it is enabled for now; each record
        has node_id (0 before it is known) and target, the part of the library."""
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

    # a network of your own
    def deliver(self, frame: Bytes) -> None:
        """Hands over one frame that `send` of another node's transport was given; answers leave
        through `send`. Does not wait; from any thread, callbacks included. Raises Busy (it was
        dropped), InvalidArgument (no frame, altered, or for another node), TooLarge, Unsupported
        (the service has the built-in network), Closed."""
    def append(self, frame: Bytes) -> None:
        """The page's Append: deliver for frames of FrameKind.APPEND, others are InvalidArgument."""
    def request_vote(self, frame: Bytes) -> None:
        """The page's RequestVote: likewise for FrameKind.REQUEST_VOTE."""
    def join(self, frame: Bytes) -> None:
        """The page's Join: likewise for FrameKind.JOIN."""

    # looking
    def events(self) -> Iterator[Event]:
        """What happens from now on: the present state and leader first, then every change; ends
        after EventKind.CLOSED. One that is not asked for keeps the newest 1,024."""
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
