"""The exceptions, and the table that joins them to the statuses of quorate.h.

What must hold: every status that the engine knows has a class of its own, and `outcome` follows
from the status, also of one that is newer than this table.
"""

from ._types import Node, Outcome, Report


def outcome_of(status: int) -> Outcome:
    """The class of any status, known or not: its thousands."""
    if status >= 0:
        return Outcome.DONE
    if status > -1000:
        return Outcome.NOT_DONE
    return Outcome.UNKNOWN if status > -2000 else Outcome.FATAL


class QuorateError(Exception):
    """Base of all."""

    _status = -999

    @property
    def status(self) -> int:
        """The number of quorate.h, which no caller should need."""
        return self._status

    @property
    def outcome(self) -> Outcome:
        """Whether the change is not done, or may be done."""
        return outcome_of(self._status)


class InvalidArgument(QuorateError, ValueError):
    """An argument is missing, malformed, out of range or reserved."""

    _status = -1


class StorageRuleBroken(InvalidArgument):
    """A store does not keep the rules of `Storage`."""

    def __init__(self, report: Report) -> None:
        count = len(report.broken)
        rules = "a rule of stores is" if count == 1 else f"{count} rules of stores are"
        super().__init__("\n".join([f"{rules} broken:", *report.broken]))
        self._report = report

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled and copied by what it is made of, which is not its text."""
        return type(self), (self._report,), self.__dict__

    @property
    def report(self) -> Report:
        """What was found, of all rules."""
        return self._report


class TooLarge(QuorateError, ValueError):
    """The entry exceeds max_entry_bytes."""

    _status = -2


class InCallback(QuorateError, RuntimeError):
    """A call that waits was made from a callback."""

    _status = -3


class Closed(QuorateError, RuntimeError):
    """The service was closed before the call."""

    _status = -5


class Forked(Closed):
    """Called in a child process after fork."""

    _status = -4


class Unsupported(QuorateError):
    """This build, store or state machine does not have it."""

    _status = -6


class NotFound(QuorateError, LookupError):
    """No such setting or node."""

    _status = -7


class NotLeader(QuorateError):
    """No leader is known, or forwarding is off."""

    _status = -10
    _leader: Node | None = None

    @property
    def leader(self) -> Node | None:
        """The leader as last heard of."""
        return self._leader


class Busy(QuorateError):
    """A bounded queue is full: wait for what is under way, then try again."""

    _status = -11


class DiskFull(QuorateError):
    """The disk of the leader is full."""

    _status = -15


class Lost(QuorateError):
    """The change was handed to a leader that lost its office; it never will be in the log."""

    _status = -16


class MembershipError(QuorateError):
    """A change of membership can't be made."""


class NoCluster(MembershipError):
    """This node is in no cluster."""

    _status = -20


class AlreadyMember(MembershipError):
    """The node is a member already."""

    _status = -21


class OtherCluster(MembershipError):
    """The node belongs to another cluster."""

    _status = -22


class HasData(MembershipError):
    """The node has data of its own."""

    _status = -23


class ChangeInProgress(MembershipError):
    """Another change of membership is under way."""

    _status = -24


class Unreachable(MembershipError):
    """Nobody answers at the address, or another node than meant."""

    _status = -25


class StartError(QuorateError, OSError):
    """The service can't start here as it is."""


class AddressInUse(StartError):
    """The listening address is taken."""

    _status = -30


class IoError(StartError):
    """A file, directory or descriptor can't be made, read or written."""

    _status = -31


class Locked(StartError):
    """Another process has the data directory open."""

    _status = -32


class Corrupt(StartError):
    """A stored record is damaged, or something is missing. Nothing was changed."""

    _status = -33


class WrongIdentity(StartError):
    """The data directory is a copy, or a file belongs to another one."""

    _status = -34


class UnknownVersion(StartError):
    """The format on disk, or the peer's protocol, is not one that this version knows."""

    _status = -35


class StateMachineMismatch(StartError):
    """The state machine is ahead of the log, behind it, or of another history."""

    _status = -37


class OutcomeUnknown(QuorateError):
    """The change may be in the log: look before you repeat it."""

    _status = -1999


class TimedOut(OutcomeUnknown, TimeoutError):
    """The time is over."""

    _status = -1000


class LeadershipLost(OutcomeUnknown):
    """The leader lost its office while the call was under way."""

    _status = -1001


class Interrupted(OutcomeUnknown):
    """The service was closed, or failed, while the call was under way."""

    _status = -1003


class Skipped(OutcomeUnknown):
    """A snapshot jumped over the change."""

    _status = -1004


class LeftCluster(OutcomeUnknown):
    """The node left its cluster while the call was under way."""

    _status = -1005


class ServiceFailed(QuorateError):
    """The store or the state machine failed before; this service is over."""

    _status = -2999


class StorageFailed(ServiceFailed):
    """A write or sync of the store failed."""

    _status = -2000


class StateMachineFailed(ServiceFailed):
    """A callback of the state machine failed; what it raised is the cause."""

    _status = -2001


class InternalError(ServiceFailed):
    """A bug in the library."""

    _status = -2002


class IdentityTaken(ServiceFailed):
    """A newer run, or a copy, of this node is alive."""

    _status = -2004


BY_STATUS: dict[int, type[QuorateError]] = {
    error._status: error
    for error in (
        InvalidArgument,
        TooLarge,
        InCallback,
        Forked,
        Closed,
        Unsupported,
        NotFound,
        NotLeader,
        Busy,
        DiskFull,
        Lost,
        NoCluster,
        AlreadyMember,
        OtherCluster,
        HasData,
        ChangeInProgress,
        Unreachable,
        AddressInUse,
        IoError,
        Locked,
        Corrupt,
        WrongIdentity,
        UnknownVersion,
        StateMachineMismatch,
        TimedOut,
        LeadershipLost,
        Interrupted,
        Skipped,
        LeftCluster,
        StorageFailed,
        StateMachineFailed,
        InternalError,
        IdentityTaken,
    )
}

# For a status that is newer than the table.
BY_OUTCOME = {
    Outcome.DONE: QuorateError,
    Outcome.NOT_DONE: QuorateError,
    Outcome.UNKNOWN: OutcomeUnknown,
    Outcome.FATAL: ServiceFailed,
}


def from_engine(status: int, message: str, leader: tuple[int, str] | None) -> QuorateError:
    """The exception for an error of the engine."""
    error = BY_STATUS.get(status, BY_OUTCOME[outcome_of(status)])(message)
    error._status = status
    if isinstance(error, NotLeader) and leader is not None:
        error._leader = Node(*leader)
    return error
