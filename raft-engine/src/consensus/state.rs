//! What every server has, whatever its role (Figure 2), and how a role changes.

use super::command::{Entry, Payload};
use super::config::Config;
use super::event::{ChangeId, FetchId};
use super::log::Log;
use super::membership::Memberships;
use super::message::{Accepted, Body, Message, Standing};
use super::outbox::{Outbox, extend};
use super::ready::{Fetch, Former, HardState, Notice};
use super::refusal::Refusal;
use super::types::{ClusterId, EntryId, Incarnation, Index, NodeId, Term, Time};
use std::collections::BTreeMap;

/// Nodes whose runs are remembered, at the most; more than any cluster has.
const REMEMBERED: usize = 1024;

/// The state of all roles.
#[derive(Clone, Debug)]
pub struct State {
    /// Switches and limits.
    pub config: Config,
    /// The time of the event in hand.
    pub now: Time,
    /// Term, vote, identity: what must be durable.
    pub hard: HardState,
    /// The log.
    pub log: Log,
    /// The configurations in it.
    pub members: Memberships,
    /// The leader of this term; 0 = not known.
    pub leader: NodeId,
    /// When the leader of this term was last heard.
    pub heard_at: Option<Time>,
    /// When this core began.
    pub started_at: Time,
    /// When to campaign.
    pub election_at: Time,
    /// No entry of type 0 or more lies behind this.
    pub last_application: Index,
    /// The store has no room for new entries.
    pub disk_full: bool,
    /// A safety alarm, a lineage switch or a lost identity ended this core.
    pub over: bool,
    /// What the batch asked for.
    pub out: Outbox,
    /// Changes of membership that callers here asked for: taken by the leader, or not.
    pub change_answers: Vec<(ChangeId, Result<Accepted, Refusal>)>,
    /// Old entries that were asked for, to apply.
    pub apply_fetch: Option<FetchId>,
    next_lineage: ClusterId,
    seen: BTreeMap<NodeId, Incarnation>,
    random: u64,
    last_nonce: u64,
    last_fetch: FetchId,
}

/// What an event does to the role. Only `raft.rs` carries it out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transition {
    /// Nothing.
    Stay,
    /// Follow `State::leader`, or wait for one.
    Follow,
    /// Ask the others, unless `transfer`, then for their votes.
    Campaign {
        /// The leader asked for it.
        transfer: bool,
    },
    /// The others would vote: ask for their votes.
    Elect,
    /// Lead.
    Lead,
}

impl State {
    /// The state at start.
    #[must_use]
    pub fn new(
        config: Config,
        hard: HardState,
        log: Log,
        members: Memberships,
        next_lineage: ClusterId,
        seed: u64,
    ) -> State {
        State {
            config,
            now: Time::default(),
            hard,
            log,
            members,
            leader: NodeId::ZERO,
            heard_at: None,
            started_at: Time::default(),
            election_at: Time::NEVER,
            last_application: Index::ZERO,
            disk_full: false,
            over: false,
            out: Outbox::default(),
            change_answers: Vec::new(),
            apply_fetch: None,
            next_lineage,
            seen: BTreeMap::new(),
            random: seed,
            last_nonce: 0,
            last_fetch: 0,
        }
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.hard.node
    }

    /// Figure 2: currentTerm.
    pub fn term(&self) -> Term {
        self.hard.term
    }

    /// In no cluster: a lineage of its own, and no configuration in it. One that abstains may have had
    /// some, and lost it.
    pub fn is_standalone(&self) -> bool {
        self.members.current().number == 0 && !self.hard.joining && !self.hard.abstaining
    }

    /// Whether this node votes by the configuration in force, or by the one before while that may still
    /// be needed: who is being removed campaigns, without counting itself (thesis §4.2.2), because it
    /// may be the only one that has the entry which removes it. Not while its disk stands still: it
    /// could not lead.
    pub fn may_campaign(&self) -> bool {
        let committed = self.members.at(self.log.commit());
        let leaving = committed.is_voter(self.id()) && !mutant!("d7_removed_voter_never_campaigns");
        let voter = self.members.current().is_voter(self.id()) || leaving;
        let able = !self.hard.abstaining && !self.disk_stands_still();
        (voter || mutant!("c9_learner_campaigns")) && able
    }

    /// The disk has not finished a write for T.
    pub fn disk_stands_still(&self) -> bool {
        let long = |since| self.now.since(since) >= self.config.election_timeout;
        self.out.waits_since().is_some_and(long)
    }

    /// Configurations of this lineage up to this number say nothing about whether this node is a member.
    /// What it left has a number of its own, for coming back.
    pub fn number_floor(&self) -> u64 {
        if self.hard.former.is_some() { 0 } else { self.hard.number_floor }
    }

    /// What this node is to clusters.
    pub fn standing(&self) -> Standing {
        match &self.hard.former {
            _ if self.hard.joining => Standing::Joining,
            _ if !self.is_standalone() => Standing::Member,
            Some(f) if self.last_application > f.left_at.index => Standing::FormerWithData,
            Some(_) => Standing::Former,
            None if self.last_application > Index::ZERO => Standing::HasData,
            None => Standing::Fresh,
        }
    }

    /// Draws from a sequence that the seed fixes (SplitMix64).
    pub fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number that no other use of this run has: `incarnation counter << 40 | n`.
    pub fn nonce(&mut self) -> u64 {
        self.last_nonce += 1;
        self.hard.incarnation.counter() << 40 | self.last_nonce
    }

    /// Puts the election off by a random time in `[T, T + spread)` (§5.2).
    pub fn reset_election(&mut self) {
        let spread = self.config.election_spread().as_nanos().max(1) as u64;
        let jitter = self.draw() % spread;
        self.election_at = Time((self.now + self.config.election_timeout).0.saturating_add(jitter));
    }

    /// Whether the leader of this term was heard within T: then other candidates are ignored
    /// (thesis §4.2.3).
    pub fn hears_leader(&self) -> bool {
        let recent = |at: Time| self.now.since(at) < self.config.election_timeout;
        !self.leader.is_zero() && self.heard_at.is_some_and(recent)
    }

    /// Enters a later term: nobody has our vote in it (§5.1).
    pub fn adopt(&mut self, term: Term) {
        debug_assert!(term > self.hard.term, "terms only grow");
        self.hard.term = term;
        if !mutant!("a1_vote_outlives_its_term") {
            self.hard.voted_for = NodeId::ZERO;
        }
        self.leader = NodeId::ZERO;
        self.heard_at = None;
        if !mutant!("a3_term_never_stored") {
            self.out.write_hard_state();
        }
    }

    /// Sends a message of this term: now if term and vote are durable, else once they are.
    pub fn send(&mut self, to: NodeId, body: Body) {
        let message = self.message(to, self.hard.term, body);
        if self.out.hard_durable() || mutant!("a2_answer_before_its_term") {
            self.out.send_now(message);
        } else {
            self.out.send_after(message);
        }
    }

    /// Sends a message once all that was asked of the disk so far is durable.
    pub fn send_when_durable(&mut self, to: NodeId, body: Body) {
        let message = self.message(to, self.hard.term, body);
        if self.out.all_durable() || mutant!("a2_ack_before_sync") {
            self.out.send_now(message);
        } else {
            self.out.send_after(message);
        }
    }

    /// Sends a message that depends on nothing durable, with a term of its own.
    pub fn send_free(&mut self, to: NodeId, term: Term, body: Body) {
        let message = self.message(to, term, body);
        self.out.send_now(message);
    }

    /// A message in its envelope.
    pub fn message(&self, to: NodeId, term: Term, body: Body) -> Message {
        let address = self.members.current().member(to).map(|m| m.address.clone());
        Message {
            from: self.hard.node,
            from_incarnation: self.hard.incarnation,
            to,
            address: address.filter(|a| !a.is_empty()),
            cluster: self.hard.lineage,
            term,
            body,
        }
    }

    /// Tells people and tools.
    pub fn notice(&mut self, notice: Notice) {
        self.out.ready.notices.push(notice);
    }

    /// A rule that can't be broken was broken: nothing more leaves this node.
    pub fn alarm(&mut self, what: String) {
        self.over = true;
        self.notice(Notice::SafetyAlarm(what));
    }

    /// Appends entries: in memory at once, durable with the write of this batch.
    pub fn append(&mut self, entries: Vec<Entry>) {
        self.log.append(&entries, self.out.next_seq());
        for entry in &entries {
            match &entry.payload {
                Payload::Membership(m) if m.cluster == self.hard.lineage => {
                    self.members.push(entry.index, m.clone());
                    self.notice(Notice::MembershipChanged { number: m.number });
                    self.note_peers();
                }
                Payload::Command(command) if command.kind() >= 0 => {
                    self.last_application = entry.index;
                }
                _ => {}
            }
        }
        self.out.write_entries(entries);
    }

    /// Notes with the hard state whether others vote. Who abstains may have lost newer configurations than
    /// it has, and keeps what it noted.
    pub fn note_peers(&mut self) {
        let others = self.members.current().has_other_voter(self.hard.node);
        let has_peers = others || (self.hard.abstaining && self.hard.has_peers);
        if has_peers != self.hard.has_peers && !mutant!("g3_peers_are_not_noted") {
            self.hard.has_peers = has_peers;
            self.out.write_hard_state();
        }
    }

    /// Cuts the log after `keep`, configurations included (§6). What is committed is never cut.
    pub fn truncate(&mut self, keep: Index) -> bool {
        if keep < self.log.commit() {
            let commit = self.log.commit();
            self.alarm(format!("told to cut the log after {keep}, but {commit} is committed"));
            return false;
        }
        self.log.truncate(keep);
        self.out.cut(keep);
        self.last_application = self.last_application.min(keep);
        if !mutant!("d6_configuration_outlives_its_entry") && self.members.truncate(keep) {
            let number = self.members.current().number;
            self.notice(Notice::MembershipChanged { number });
            self.note_peers();
        }
        true
    }

    /// Asks for old entries.
    pub fn fetch(&mut self, from: Index, to: Index) -> FetchId {
        self.last_fetch += 1;
        let max_bytes = self.config.max_message_bytes;
        self.out.ready.fetch.push(Fetch { id: self.last_fetch, from, to, max_bytes });
        self.last_fetch
    }

    /// Remembers the newest run of a node. `false` for a message of an older one, or of a twin.
    pub fn note_incarnation(&mut self, node: NodeId, incarnation: Incarnation) -> bool {
        let full = self.seen.len() >= REMEMBERED && !self.members.current().contains(node);
        match self.seen.get_mut(&node) {
            None if full => true,
            None => self.seen.insert(node, incarnation).is_none(),
            Some(newest) if *newest == incarnation => true,
            Some(newest) if newest.counter() < incarnation.counter() => {
                *newest = incarnation;
                true
            }
            Some(_) => false,
        }
    }

    /// The newest run that was seen of a node.
    pub fn newest_incarnation(&self, node: NodeId) -> Incarnation {
        self.seen.get(&node).copied().unwrap_or_default()
    }

    /// Hands what is committed and durable to the state machine, as far as it keeps up.
    pub fn hand_over(&mut self) {
        while self.apply_fetch.is_none() {
            let Some((from, to)) = self.log.to_apply(self.config.max_unapplied_bytes) else {
                return;
            };
            match self.log.in_memory(from, to, self.config.max_message_bytes) {
                Some(entries) => self.hand_over_entries(entries),
                None => self.apply_fetch = Some(self.fetch(from, to)),
            }
        }
    }

    /// Hands these entries to the state machine, as far as they are still what comes next.
    pub fn hand_over_entries(&mut self, mut entries: Vec<Entry>) {
        let settled = self.log.settled();
        entries.retain(|entry| entry.index <= settled);
        if entries.first().is_some_and(|entry| entry.index == self.log.handed().next()) {
            self.log.hand_over(&entries);
            extend(&mut self.out.ready.apply, entries);
        }
    }

    /// Leaves the cluster: a private lineage begins, what is committed stays, and the cluster's term
    /// and vote are kept in case the node comes back, in a configuration after that number.
    pub fn leave(&mut self, number: u64) {
        let left_at = self.log.id(self.log.settled()).unwrap_or(EntryId::ZERO);
        let old = &self.hard;
        let former =
            Former { lineage: old.lineage, term: old.term, voted_for: old.voted_for, left_at };
        self.switch(HardState {
            lineage: self.next_lineage,
            voted_for: NodeId::ZERO,
            abstaining: false,
            cut_pending: true,
            joining: false,
            has_peers: false,
            cut_to: left_at.index,
            number_floor: number,
            former: Some(former),
            ..old.clone()
        });
    }

    /// This core is over; the next one begins with that state, as another run of the node: what is still
    /// under way to or from this one (acknowledgements, repairs, proposals, reads) is not meant for it.
    pub fn switch(&mut self, hard: HardState) {
        self.over = true;
        let incarnation = hard.incarnation.next_run();
        self.out.ready.switch = Some(HardState { incarnation, ..hard });
    }
}
