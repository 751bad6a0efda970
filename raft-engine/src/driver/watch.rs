//! What a service tells of itself while it runs: log lines for people, events for programs.

use crate::consensus::raft::Status;
use crate::consensus::ready::{Notice, RoleName};
use crate::consensus::types::NodeId;
use crate::error::Error;
use crate::event::{Event, Feed};
use crate::logger::{Level, Log};
use crate::status::State;
use std::sync::Arc;

const TARGET: &str = "quorate::raft";

/// Tells of one service.
pub(crate) struct Watch {
    /// The lines.
    pub log: Log,
    feed: Arc<Feed>,
    state: Option<State>,
    leader: NodeId,
}

impl Watch {
    /// Nothing is told yet.
    pub(crate) fn new(log: Log, feed: Arc<Feed>) -> Watch {
        Watch { log, feed, state: None, leader: NodeId::ZERO }
    }

    /// The getters have changed.
    pub(crate) fn published(&mut self, state: State, status: &Status) {
        if self.state != Some(state) {
            self.state = Some(state);
            self.feed.tell(&Event::State(state, status.term));
        }
        if self.leader != status.leader {
            self.leader = status.leader;
            self.feed.tell(&Event::Leader(status.leader, status.term));
        }
    }

    /// Something happened in the protocol.
    pub(crate) fn notice(&self, notice: &Notice, status: &Status) {
        let (level, text) = self.line(notice, status);
        self.log.line(level, TARGET, format_args!("{text}"));
        match notice {
            Notice::MembershipChanged { number } => {
                self.feed.tell(&Event::Membership(*number, status.term, "in force"));
            }
            Notice::MembershipCommitted { number } => {
                self.feed.tell(&Event::Membership(*number, status.term, "committed"));
            }
            Notice::WrongNode { member, .. } => self.feed.tell(&Event::Peer(member.id, text)),
            Notice::Abstaining(abstains) => self.feed.tell(&Event::Abstaining(*abstains)),
            Notice::Role { .. } | Notice::SafetyAlarm(_) | Notice::IdentityTaken(_) => {}
        }
    }

    fn line(&self, notice: &Notice, status: &Status) -> (Level, String) {
        match notice {
            Notice::Role { role: RoleName::Leader, term, .. } => {
                (Level::Info, format!("leads in term {term}"))
            }
            Notice::Role { role: RoleName::Candidate, term, .. } => {
                (Level::Info, format!("hears no leader and campaigns; term {term}"))
            }
            Notice::Role { term, leader, .. } if leader.is_zero() => {
                (Level::Info, format!("knows no leader in term {term}"))
            }
            Notice::Role { term, leader, .. } => {
                (Level::Info, format!("follows node {leader} in term {term}"))
            }
            Notice::MembershipChanged { number } => {
                (Level::Info, format!("configuration {number} is in force: {}", members(status)))
            }
            Notice::MembershipCommitted { number } => {
                (Level::Info, format!("configuration {number} is committed"))
            }
            Notice::WrongNode { member, found } => (
                Level::Warn,
                format!(
                    "node {found} answers at {}, the address of node {}: was its directory wiped? \
                     Remove the old node, then add the address again",
                    member.address, member.id
                ),
            ),
            Notice::SafetyAlarm(what) | Notice::IdentityTaken(what) => (Level::Error, what.clone()),
            Notice::Abstaining(true) => {
                (Level::Warn, "gives no votes until its log is repaired by the leader".to_owned())
            }
            Notice::Abstaining(false) => (Level::Info, "votes again".to_owned()),
        }
    }

    /// Something is wrong with the node at an address.
    pub(crate) fn trouble(&self, address: &str, node: NodeId, why: &str) {
        self.log.line(Level::Warn, "quorate::transport", format_args!("{address}: {why}"));
        self.feed.tell(&Event::Peer(node, format!("{address}: {why}")));
    }

    /// The store has no room, or has room again.
    pub(crate) fn disk_full(&self, full: bool) {
        let (level, text) = match full {
            true => (Level::Warn, "the disk is full: new entries are refused until there is room"),
            false => (Level::Info, "the disk has room again"),
        };
        self.log.line(level, "quorate::store", format_args!("{text}"));
        self.feed.tell(&Event::DiskFull(full));
    }

    /// The service failed and stops.
    pub(crate) fn failed(&self, error: &Error) {
        self.log.line(Level::Error, TARGET, format_args!("failed and stopped: {error}"));
        self.feed.tell(&Event::State(State::Failed, Default::default()));
        self.feed.tell(&Event::Failed(error.clone()));
    }

    /// All its threads but this one are gone.
    pub(crate) fn closed(&self) {
        self.log.line(Level::Info, TARGET, format_args!("closed"));
        self.feed.tell(&Event::Closed);
    }
}

fn members(status: &Status) -> String {
    let members = status.membership.all_voters();
    let texts: Vec<_> = members.map(|m| format!("{} at {}", m.id, m.address)).collect();
    let kind = if status.membership.is_joint() { " (joint)" } else { "" };
    format!("{}{kind}", texts.join(", "))
}
