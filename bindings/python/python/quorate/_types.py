"""Constants, enumerations and plain values: what the package page names and what looking gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple, final

from ._quorate import format_node_id

if TYPE_CHECKING:
    from ._errors import QuorateError

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


class _Word(IntEnum):
    """An enumeration whose text is the page's word, such as "ProposedJointConsensus"."""

    def __str__(self) -> str:
        return self.name.title().replace("_", "")


class State(_Word):
    """The state of a service."""

    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2
    STANDALONE = 3
    STOPPING = 4
    STOPPED = 5
    FAILED = 6


class MembershipChangeMode(_Word):
    """Where the current change of membership stands."""

    STABLE = 0
    PROPOSED_JOINT_CONSENSUS = 1
    PROPOSED_FINAL_CONSENSUS = 2


class LoopCommand(_Word):
    """What the library tells its own main loop; named for diagnosis."""

    UPDATE_CONFIGURATION = 0
    JOIN_AS_FOLLOWER = 1
    JOIN_AS_CANDIDATE = 2


class EventKind(IntEnum):
    """What an event tells."""

    LEADER = 100
    MEMBERSHIP = 101
    FAILED = 104
    STATE = 105
    DISK_FULL = 106
    PEER = 107
    ABSTAINING = 108
    CLOSED = 109


class FrameKind(IntEnum):
    """What a frame is about."""

    OTHER = 0
    APPEND = 1
    REQUEST_VOTE = 2
    JOIN = 3


class Make(IntEnum):
    """What a maker of stores is asked for."""

    NEW = 0
    AGAIN = 1
    CRASHED = 2


class Node(NamedTuple):
    """A member: its id, and where the others reach it."""

    node_id: int
    address: str

    def __str__(self) -> str:
        return f"Node{{{format_node_id(self.node_id)}: {self.address}}}"


@final
class NodeList:
    """A configuration in force; `next` is empty except during joint consensus."""

    __slots__ = ("_current", "_learners", "_next")

    def __init__(
        self,
        current: tuple[Node, ...] = (),
        next: tuple[Node, ...] = (),
        learners: tuple[Node, ...] = (),
    ) -> None:
        self._current = tuple(current)
        self._next = tuple(next)
        self._learners = tuple(learners)

    @property
    def current(self) -> tuple[Node, ...]:
        """The voters; during joint consensus the old ones."""
        return self._current

    @property
    def next(self) -> tuple[Node, ...]:
        """During joint consensus the new voters."""
        return self._next

    @property
    def learners(self) -> tuple[Node, ...]:
        """Nodes that listen and do not vote, such as one that catches up."""
        return self._learners

    def get_node(self, node_id: int) -> Node | None:
        """The node of that id, voter or learner, the current voters first."""
        nodes = self._current + self._next + self._learners
        return next((node for node in nodes if node.node_id == node_id), None)

    def get_unique_nodes(self) -> tuple[Node, ...]:
        """The voters, each once: the current ones, then what is only in `next`."""
        unique: dict[int, Node] = {}
        for node in self._current + self._next:
            unique.setdefault(node.node_id, node)
        return tuple(unique.values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NodeList):
            return NotImplemented
        return self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __str__(self) -> str:
        following = ", Next:" + _addresses(self._next) if self._next else ""
        return f"NodeList{{Current:{_addresses(self._current)}{following}}}"

    def __repr__(self) -> str:
        return f"NodeList(current={self._current}, next={self._next}, learners={self._learners})"

    def _parts(self) -> tuple[tuple[Node, ...], tuple[Node, ...], tuple[Node, ...]]:
        return self._current, self._next, self._learners


def _addresses(nodes: tuple[Node, ...]) -> str:
    return ", ".join(node.address for node in nodes)


class ProtocolStatus(NamedTuple):
    """Diagnosis: on a leader the last durable index of each member, itself included."""

    peer_indices: Mapping[int, int] | None


@final
@dataclass(frozen=True, slots=True)
class Applied:
    """What a state machine holds durably; term and cluster 0 are not checked."""

    index: int = 0
    term: int = 0
    cluster_id: int = 0


class Setting(NamedTuple):
    """A setting that this library knows."""

    key: str
    default_value: str
    unit: str
    meaning: str


class Report(NamedTuple):
    """What the conformance kit found."""

    passed: int
    skipped: tuple[str, ...]
    broken: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return self.text


@final
@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a service."""

    number: int
    kind: EventKind
    node_id: int
    index: int
    term: int
    text: str
    error: "QuorateError | None"
