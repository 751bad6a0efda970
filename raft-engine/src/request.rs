//! What callers can ask for, checked before it is copied.

use crate::change::NewEntry;
use crate::consensus::command::Command;
use crate::consensus::message::Change;
use crate::consensus::types::{Address, NodeId};
use crate::error::{Error, ErrorKind};
use crate::queue::OpKind;
use crate::service::Timeout;
use crate::settings;

/// One piece of asynchronous work.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The caller's own; comes back in the completion.
    pub token: u64,
    /// When to give up.
    pub timeout: Timeout,
    /// What to do.
    pub op: Op<'a>,
}

/// What to do.
#[derive(Clone, Copy, Debug)]
pub enum Op<'a> {
    /// Propose, and complete when this node has applied the change, with the reply.
    ProposeWait(NewEntry<'a>),
    /// Propose, and complete when the change is in the leader's log.
    Propose(NewEntry<'a>),
    /// A read barrier.
    ReadBarrier,
    /// As `Service::initialize_cluster`.
    InitializeCluster(&'a str),
    /// As `Service::add_node`.
    AddNode(&'a str),
    /// As `Service::remove_node`.
    RemoveNode(NodeId),
}

/// A checked request.
pub(crate) enum Checked<'a> {
    /// A proposal; whether its caller waits until it is applied.
    Proposal(NewEntry<'a>, bool),
    /// A read barrier.
    Read,
    /// A change of membership.
    Change(Change),
}

impl<'a> Op<'a> {
    /// What completes it.
    pub(crate) fn kind(&self) -> OpKind {
        match self {
            Op::ProposeWait(_) => OpKind::ProposeWait,
            Op::Propose(_) => OpKind::Propose,
            Op::ReadBarrier => OpKind::ReadBarrier,
            Op::InitializeCluster(_) | Op::AddNode(_) | Op::RemoveNode(_) => OpKind::Membership,
        }
    }

    /// It changes the membership.
    pub(crate) fn is_change(&self) -> bool {
        matches!(self, Op::InitializeCluster(_) | Op::AddNode(_) | Op::RemoveNode(_))
    }

    /// What it counts for, which is the length of its encoded form.
    pub(crate) fn size(&self) -> usize {
        match self {
            Op::ProposeWait(entry) | Op::Propose(entry) => {
                let tags: usize = entry.tags.iter().map(|tag| 2 + tag.len()).sum();
                Command::HEADER + tags + entry.data.len()
            }
            _ => 0,
        }
    }

    /// Checks it, at a node that others reach so.
    pub(crate) fn check(&self, reach: Reach) -> Result<Checked<'a>, Error> {
        Ok(match self {
            Op::ProposeWait(entry) => Checked::Proposal(*entry, true),
            Op::Propose(entry) => Checked::Proposal(*entry, false),
            Op::ReadBarrier => Checked::Read,
            Op::InitializeCluster(_) if reach == Reach::Never => return Err(deaf()),
            Op::InitializeCluster(at) => Checked::Change(Change::Initialize(address(at, reach)?)),
            Op::AddNode(at) => Checked::Change(Change::Add(address(at, reach)?)),
            Op::RemoveNode(node) => Checked::Change(Change::Remove(*node)),
        })
    }
}

/// How others reach a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// Not at all.
    Never,
    /// At host and port.
    Port,
    /// At whatever the host's own network takes for an address.
    Carrier,
}

/// The most bytes of an address.
const MAX_ADDRESS: usize = 1024;

fn address(text: &str, reach: Reach) -> Result<Address, Error> {
    let fits = (1..=MAX_ADDRESS).contains(&text.len()) && !text.contains('\0');
    if fits && (reach == Reach::Carrier || settings::is_address(text)) {
        return Ok(Address::from(text));
    }
    if reach == Reach::Carrier {
        let text = format!("an address has 1 to {MAX_ADDRESS} bytes and no zero byte in it");
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    let text = format!(
        "\"{text}\" is no address: it is written host:port, such as 127.0.0.1:7001 or [::1]:7001"
    );
    Err(Error::new(ErrorKind::Invalid, text))
}

fn deaf() -> Error {
    let text = "this node does not listen, so others could not reach it: start it with the setting \
                listen=host:port";
    Error::new(ErrorKind::Invalid, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::types::Origin;

    #[test]
    fn a_request_counts_for_what_it_becomes() {
        let entry = NewEntry { tags: &[b"a", b"bc"], data: b"data", ..NewEntry::default() };
        let encoded = entry.encode(Origin::default(), 1000).expect("it is small");
        assert_eq!(Op::Propose(entry).size(), encoded.encoded().len());
        assert_eq!(Op::AddNode("a:1").size(), 0);
    }

    #[test]
    fn addresses_are_checked_before_anybody_is_asked() {
        let kind = |op: Op<'_>, reach| op.check(reach).err().map(|error| error.kind);
        for bad in ["", "host", "host:", ":1", "host:port", "host:65536", "a b:1", "::1:1"] {
            assert_eq!(kind(Op::AddNode(bad), Reach::Port), Some(ErrorKind::Invalid), "{bad}");
        }
        for good in ["host:1", "127.0.0.1:7001", "[::1]:0"] {
            assert_eq!(kind(Op::AddNode(good), Reach::Never), None, "{good}");
            assert_eq!(kind(Op::InitializeCluster(good), Reach::Never), Some(ErrorKind::Invalid));
        }
        assert_eq!(kind(Op::AddNode("the red door"), Reach::Carrier), None);
        for bad in ["", "a\0b", &"x".repeat(1025)] {
            assert_eq!(kind(Op::AddNode(bad), Reach::Carrier), Some(ErrorKind::Invalid));
        }
    }
}
