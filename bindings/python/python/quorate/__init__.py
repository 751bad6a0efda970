"""quorate: an embeddable Raft library."""

from ._errors import (
    AddressInUse,
    AlreadyMember,
    Busy,
    ChangeInProgress,
    Closed,
    Corrupt,
    DiskFull,
    Forked,
    HasData,
    IdentityTaken,
    InCallback,
    InternalError,
    Interrupted,
    InvalidArgument,
    IoError,
    LeadershipLost,
    LeftCluster,
    Locked,
    Lost,
    MembershipError,
    NoCluster,
    NotFound,
    NotLeader,
    OtherCluster,
    OutcomeUnknown,
    QuorateError,
    ServiceFailed,
    Skipped,
    StartError,
    StateMachineFailed,
    StateMachineMismatch,
    StorageFailed,
    TimedOut,
    TooLarge,
    UnknownVersion,
    Unreachable,
    Unsupported,
    WrongIdentity,
)
from ._protocols import Bytes, Change, DurableStateMachine, Settings, StateMachine
from ._quorate import (
    ChangeTracker,
    Entry,
    Position,
    Reply,
    __version__,
    format_node_id,
    parse_node_id,
    settings,
)
from ._service import Service
from ._types import (
    CLUSTER_ID_KEY,
    CURRENT_TERM_KEY,
    ELECTION_TIMEOUT,
    HEARTBEAT_TIMEOUT,
    LAST_APPLIED_KEY,
    LOCAL_ID_KEY,
    MEMBERSHIP_CHANGE,
    NODE_CONFIG_KEY,
    NODE_PROPOSAL_TIMEOUT,
    VOTED_FOR_KEY,
    WEB_HOOK_CHANGE,
    WEB_HOOKS_KEY,
    Applied,
    LoopCommand,
    MembershipChangeMode,
    Node,
    NodeList,
    Outcome,
    ProtocolStatus,
    Setting,
    State,
)

# Tracebacks name the package, not the file in it.
for _value in list(globals().values()):
    if getattr(_value, "__module__", "").startswith("quorate._"):
        _value.__module__ = "quorate"
del _value
