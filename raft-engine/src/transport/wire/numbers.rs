//! The numbers of the protocol. They are for ever: what is dropped leaves a gap.

use crate::consensus::message::{AppendVerdict, Body, Standing};

/// What a TLV holds. Runs and payloads own bytes of the data part, also in messages that the reader
/// does not know; so every later kind of TLV that does needs a new protocol.
pub(super) mod tag {
    /// `{first_index u64, term u64, count u32, 0 u32, (len u32, crc u32) × count}`, as on disk.
    pub(crate) const RUN: u16 = 1;
    /// `{count u32, 0 u32, (len u32, crc u32) × count}`
    pub(crate) const PAYLOADS: u16 = 2;
    /// `host:port`
    pub(crate) const ADDRESS: u16 = 3;
    /// For people.
    pub(crate) const TEXT: u16 = 4;
    /// Who does not know such a tag must not act on the message.
    pub(crate) const MUST_KNOW: u16 = 0x8000;
}

/// Flags of an answer to an append.
pub(super) const ABSTAINING: u16 = 1;
/// Flags of a vote request and its answer.
pub(super) const PRE: u32 = 1;
pub(super) const TRANSFER: u32 = 2;

/// Verdicts on a vote request.
pub(super) const GRANTED: u16 = 1;
pub(super) const NOT_GRANTED: u16 = 2;

/// Kinds of answers to a forward.
pub(super) const APPENDED: u16 = 1;
pub(super) const REFUSED: u16 = 2;
pub(super) const EXPECTED: u16 = 3;

/// Kinds of changes. 1 is no request to another node.
pub(super) const INITIALIZE: u16 = 1;
pub(super) const ADD: u16 = 2;
pub(super) const REMOVE: u16 = 3;

macro_rules! messages {
    ($($name:ident $constant:ident = $number:literal,)*) => {
        /// Types of messages.
        pub(super) mod message {
            $(pub(crate) const $constant: u16 = $number;)*
        }

        /// The type of a message.
        pub(super) fn of(body: &Body) -> u16 {
            match body {
                $(Body::$name { .. } => message::$constant,)*
            }
        }
    };
}

messages! {
    Identify IDENTIFY = 1,
    Identity IDENTITY = 2,
    NotJoined NOT_JOINED = 3,
    Join JOIN = 4,
    JoinRefused JOIN_REFUSED = 5,
    NotMember NOT_MEMBER = 6,
    Superseded SUPERSEDED = 7,
    AppendEntries APPEND_ENTRIES = 10,
    AppendEntriesResponse APPEND_ENTRIES_RESPONSE = 11,
    RequestVote REQUEST_VOTE = 12,
    RequestVoteResponse REQUEST_VOTE_RESPONSE = 13,
    TimeoutNow TIMEOUT_NOW = 14,
    Forward FORWARD = 20,
    ForwardResponse FORWARD_RESPONSE = 21,
    ChangeRequest CHANGE_REQUEST = 22,
    ChangeResponse CHANGE_RESPONSE = 23,
    ReadIndex READ_INDEX = 40,
    ReadIndexResponse READ_INDEX_RESPONSE = 41,
}

macro_rules! numbers {
    ($name:ident, $to:ident, $from:ident: $($variant:ident = $number:literal,)*) => {
        pub(super) fn $to(value: $name) -> u16 {
            match value {
                $($name::$variant => $number,)*
            }
        }

        /// `None` for a number of a later version.
        pub(super) fn $from(number: u16) -> Option<$name> {
            match number {
                $($number => Some($name::$variant),)*
                _ => None,
            }
        }
    };
}

numbers! { Standing, of_standing, standing:
    Fresh = 1,
    HasData = 2,
    Member = 3,
    Joining = 4,
    Former = 5,
    FormerWithData = 6,
}

numbers! { AppendVerdict, of_verdict, verdict:
    Matched = 1,
    Mismatch = 2,
    StaleTerm = 3,
    Busy = 4,
    DiskFull = 5,
}
