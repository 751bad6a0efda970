//! What a caller is told when a call fails: a code, a sentence, and with `NotLeader` the leader.

use crate::consensus::membership::Member;
use crate::consensus::refusal::{Reason, Refusal};
use crate::storage::{StorageError, StorageErrorKind};
use std::fmt;

/// What a failed call did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(i32)]
pub enum Outcome {
    /// It is done.
    Done = 0,
    /// It is not done, now or later. Trying again is safe.
    NotDone = 1,
    /// It may be done. Look before you repeat it.
    Unknown = 2,
    /// The service had failed before.
    Fatal = 3,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $word:literal;)*) => {
        /// Why a call failed. The number is the status of the C interface; its thousands give the
        /// `Outcome`, also of numbers that are newer than the program.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(i32)]
        pub enum ErrorKind {
            $($(#[$doc])* $name = $code,)*
        }

        impl ErrorKind {
            /// Every kind.
            pub const ALL: &[ErrorKind] = &[$(ErrorKind::$name,)*];

            /// A short name, such as "not leader".
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(ErrorKind::$name => $word,)*
                }
            }
        }
    };
}

kinds! {
    /// An argument is missing, malformed, out of range or reserved.
    Invalid = -1, "invalid argument";
    /// The entry exceeds max_entry_bytes.
    TooLarge = -2, "too large";
    /// A blocking call was made from a callback.
    InCallback = -3, "called from a callback";
    /// Called in a child process after fork.
    Forked = -4, "called after fork";
    /// The service, queue or tracker was closed before the call.
    Closed = -5, "closed";
    /// This build, store or state machine does not have it.
    Unsupported = -6, "unsupported";
    /// No such setting or node.
    NotFound = -7, "not found";
    /// No leader is known, or forwarding is off.
    NotLeader = -10, "not leader";
    /// A bounded queue is full.
    Busy = -11, "busy";
    /// The disk of the leader is full.
    DiskFull = -15, "disk full";
    /// The change was handed to a leader that lost its office; it is not in the log and never will be.
    Lost = -16, "lost";
    /// This node is in no cluster.
    NoCluster = -20, "no cluster";
    /// The node is a member already.
    AlreadyMember = -21, "already a member";
    /// The node belongs to another cluster.
    OtherCluster = -22, "of another cluster";
    /// The node has data of its own.
    HasData = -23, "has data of its own";
    /// Another change of membership is under way.
    ChangeInProgress = -24, "change in progress";
    /// Nobody answers at the address, or another node than meant.
    Unreachable = -25, "unreachable";
    /// The listening address is taken.
    AddressInUse = -30, "address in use";
    /// A file or directory can't be made, read or written.
    Io = -31, "input or output error";
    /// Another process has the data directory open.
    Locked = -32, "locked";
    /// A stored record is damaged, or something is missing. Nothing was changed.
    Corrupt = -33, "corrupt";
    /// The data directory is a copy, or a file belongs to another one.
    Identity = -34, "wrong identity";
    /// The format on disk, or the peer's protocol, is not one that this version knows.
    Version = -35, "unknown version";
    /// The state machine is ahead of the log, behind it, or of another history.
    StateMachine = -37, "state machine does not fit";
    /// The time is over.
    Timeout = -1000, "timed out";
    /// The leader lost its office while the call was under way. Membership calls and reads only.
    LeadershipLost = -1001, "leadership lost";
    /// The service was closed, or failed, while the call was under way.
    Interrupted = -1003, "interrupted";
    /// A snapshot jumped over the change.
    Skipped = -1004, "skipped";
    /// The node left its cluster while the call was under way.
    LeftCluster = -1005, "left the cluster";
    /// A write or sync of the store failed.
    StorageFailed = -2000, "storage failed";
    /// A callback of the state machine failed.
    StateMachineFailed = -2001, "state machine failed";
    /// A bug in the library.
    Internal = -2002, "internal error";
    /// A newer run, or a copy, of this node is alive.
    IdentityTaken = -2004, "identity taken";
}

impl ErrorKind {
    /// The status of the C interface.
    #[must_use]
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The kind with that status.
    #[must_use]
    pub fn from_code(code: i32) -> Option<ErrorKind> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }

    /// What a call that fails so did.
    #[must_use]
    pub fn outcome(self) -> Outcome {
        outcome_of(self.code())
    }
}

/// The class of any status, known or not.
#[must_use]
pub fn outcome_of(code: i32) -> Outcome {
    match code {
        0.. => Outcome::Done,
        -999..0 => Outcome::NotDone,
        -1999..-999 => Outcome::Unknown,
        _ => Outcome::Fatal,
    }
}

/// Why a call failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Error {
    /// What it is.
    pub kind: ErrorKind,
    /// One or more sentences: what is wrong and what to do.
    pub message: String,
    /// With `NotLeader` the leader as last heard of.
    pub leader: Option<Member>,
}

impl Error {
    /// An error with its sentence.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), leader: None }
    }

    /// What every call in a forked child gets.
    #[must_use]
    pub fn forked() -> Error {
        let text = "this process was forked from one that used the library, and has none of its \
                    threads: use it in the parent, or start a new program (fork and exec)";
        Error::new(ErrorKind::Forked, text)
    }

    /// What a blocking call in a callback gets.
    #[must_use]
    pub fn in_callback() -> Error {
        let text = "a blocking call from inside a callback would wait for its own thread: submit \
                    it to a queue, or call from another thread";
        Error::new(ErrorKind::InCallback, text)
    }

    /// What callers under way get when the service is closed or fails.
    #[must_use]
    pub fn interrupted(why: &str) -> Error {
        let text = format!("{why} while the call was under way: it may have been done or not");
        Error::new(ErrorKind::Interrupted, text)
    }

    /// Why a store can't be opened.
    #[must_use]
    pub fn opening(error: StorageError) -> Error {
        let kind = match error.kind {
            StorageErrorKind::Io | StorageErrorKind::Full => ErrorKind::Io,
            StorageErrorKind::Locked => ErrorKind::Locked,
            StorageErrorKind::Corrupt
            | StorageErrorKind::MissingSegment
            | StorageErrorKind::StateLost => ErrorKind::Corrupt,
            StorageErrorKind::CopiedDirectory | StorageErrorKind::ForeignFile => {
                ErrorKind::Identity
            }
            StorageErrorKind::OtherStore => ErrorKind::Invalid,
            StorageErrorKind::Version => ErrorKind::Version,
            StorageErrorKind::Misuse => ErrorKind::Internal,
            StorageErrorKind::Unsupported => ErrorKind::Unsupported,
        };
        Error::new(kind, error.message)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let kind = match refusal.reason {
            Reason::NoLeader => ErrorKind::NotLeader,
            Reason::Busy => ErrorKind::Busy,
            Reason::DiskFull => ErrorKind::DiskFull,
            Reason::TooLarge => ErrorKind::TooLarge,
            Reason::Invalid => ErrorKind::Invalid,
            Reason::NoCluster => ErrorKind::NoCluster,
            Reason::AlreadyMember => ErrorKind::AlreadyMember,
            Reason::OtherCluster => ErrorKind::OtherCluster,
            Reason::HasData => ErrorKind::HasData,
            Reason::Unreachable => ErrorKind::Unreachable,
            Reason::ChangeInProgress => ErrorKind::ChangeInProgress,
            Reason::NotFound => ErrorKind::NotFound,
            Reason::LeadershipLost => ErrorKind::LeadershipLost,
            Reason::LeftCluster => ErrorKind::LeftCluster,
        };
        Error::new(kind, refusal.text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
