//! `Raft`: one node's protocol. Feed it events, do what `Ready` says.

use super::candidate::Candidate;
use super::command::Entry;
use super::config::Config;
use super::election;
use super::event::{ChangeId, Event, FetchId};
use super::follower::Follower;
use super::invariants;
use super::join;
use super::leader::Leader;
use super::leader::read_index::Reader;
use super::leader::reconfigure;
use super::leader::requester::Requester;
use super::log::{Log, LogStart};
use super::membership::{Membership, Memberships};
use super::message::{
    Accepted, AppendEntriesResponse, AppendVerdict, Body, Change, Message, Superseded,
};
use super::ready::{HardState, Notice, Ready, RoleName};
use super::refusal::{Reason, Refusal};
use super::requests::{self, Requests};
use super::role::Role;
use super::state::{State, Transition};
use super::types::{ClusterId, EntryId, Incarnation, Index, NodeId, Term, Time};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// One node's protocol: deterministic, without I/O, threads, clock or chance. The same events at the
/// same times with the same seed give the same output, byte for byte. A copy goes its own way.
#[derive(Clone, Debug)]
pub struct Raft {
    st: State,
    role: Role,
    requests: Requests,
    shown: (RoleName, Term, NodeId),
}

/// What a node is restored from. All of it is durable.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Term, vote and identity, with the incarnation of this run.
    pub state: HardState,
    /// The lowest index of the log; 0 or 1 for a log from the beginning.
    pub first: Index,
    /// The term of the entry before it.
    pub prev_term: Term,
    /// The highest index.
    pub last: Index,
    /// Where each term begins.
    pub terms: Vec<(Index, Term)>,
    /// Entries up to here were known to be committed.
    pub commit_hint: Index,
    /// The configurations in the log.
    pub memberships: Vec<(Index, Arc<Membership>)>,
    /// No entry of type 0 or more lies behind this.
    pub last_application: Index,
    /// What the state machine has applied.
    pub applied: Index,
    /// Fresh and random: the lineage of this node if it leaves its cluster.
    pub next_lineage: ClusterId,
}

/// Plain values for getters.
#[derive(Clone, Debug)]
pub struct Status {
    /// This node.
    pub id: NodeId,
    /// Its cluster; 0 while Standalone.
    pub cluster: ClusterId,
    /// Its role.
    pub role: RoleName,
    /// In no cluster.
    pub standalone: bool,
    /// The leader; 0 = not known.
    pub leader: NodeId,
    /// The term.
    pub term: Term,
    /// Committed up to here.
    pub commit: Index,
    /// Durable up to here.
    pub durable: Index,
    /// Applied up to here.
    pub applied: Index,
    /// The lowest index.
    pub first: Index,
    /// The end of the log.
    pub last: EntryId,
    /// The configuration in force.
    pub membership: Arc<Membership>,
    /// It is the last one of a change that went through joint consensus, and not committed.
    pub leaving_joint: bool,
    /// The node gives no votes until it is repaired.
    pub abstaining: bool,
    /// On a leader what each member has durably, itself included.
    pub peers: Option<BTreeMap<NodeId, Index>>,
}

impl Raft {
    /// A node as it was stored. It follows, and campaigns if it hears no leader; alone, at once.
    #[must_use]
    pub fn new(config: Config, restored: Restored, seed: u64, now: Time) -> Raft {
        let lineage = restored.state.lineage;
        let base = base_membership(&restored.state);
        let ours = restored.memberships.into_iter().filter(|(_, m)| m.cluster == lineage).collect();
        let members = Memberships::new(base, ours);
        let log = Log::new(LogStart {
            first: restored.first,
            prev_term: restored.prev_term,
            last: restored.last,
            terms: restored.terms,
            commit: restored.commit_hint,
            applied: restored.applied,
        });
        let mut st = State::new(config, restored.state, log, members, restored.next_lineage, seed);
        st.last_application = restored.last_application.min(restored.last);
        (st.now, st.started_at) = (now, now);
        st.reset_election();
        if st.members.current().all_voters().all(|voter| voter.id == st.id()) {
            st.election_at = now; // Nobody else could object, and nobody else can lead.
        }
        let shown = (RoleName::Follower, st.term(), NodeId::ZERO);
        Raft { st, role: Role::Follower(Follower::default()), requests: Requests::default(), shown }
    }

    /// Something happened at `now`, which never goes back.
    pub fn step(&mut self, now: Time, event: Event) {
        if self.st.over {
            return;
        }
        self.st.now = self.st.now.max(now);
        let transition = self.react(event);
        self.change_role(transition);
        self.pass_change_answers();
        self.show_role();
        debug_assert_eq!(self.check(), Ok(()), "{self}");
    }

    fn react(&mut self, event: Event) -> Transition {
        let Raft { st, role, requests, .. } = self;
        match event {
            Event::Received(message) => return self.on_message(message),
            Event::Proposed(commands) => match role {
                Role::Leader(leader) => leader.on_propose(st, commands),
                Role::Follower(_) | Role::Candidate(_) => requests.on_propose(st, commands),
            },
            Event::ReadRequested(id) => match role {
                Role::Leader(leader) => leader.reads.add(Reader::Local(id)),
                Role::Follower(_) | Role::Candidate(_) => requests.on_read(st, id),
            },
            Event::ChangeRequested(id, change) => self.on_change(id, change),
            Event::Persisted(seq) => return self.on_persisted(seq),
            Event::Applied(index) => {
                st.log.applied_to(index);
                requests.settle_changes(st);
            }
            Event::Fetched(id, entries) => self.on_fetched(id, entries),
            Event::DiskFull(full) => self.on_disk_full(full),
            Event::DeadlinePassed => return role.on_deadline(st),
        }
        Transition::Stay
    }

    /// Everything that is to be done since the last call. Call it after each batch of steps.
    #[must_use]
    pub fn ready(&mut self) -> Ready {
        if !self.st.over {
            self.role.flush(&mut self.st);
            self.pass_change_answers();
            self.requests.flush(&mut self.st);
            self.st.hand_over();
            if !self.role.leads() {
                join::leave_if_removed(&mut self.st);
            }
            let window = self.st.config.window_bytes;
            self.st.log.shrink(window);
        }
        if self.st.out.ready.switch.is_some() {
            self.leave_nobody_waiting();
        }
        debug_assert_eq!(self.check(), Ok(()), "{self}");
        let st = &mut self.st;
        let mut ready = st.out.take(st.now, &st.hard, st.log.settled());
        ready.deadline = self.deadline();
        ready
    }

    /// The present values.
    #[must_use]
    pub fn status(&self) -> Status {
        let st = &self.st;
        let previous = st.members.previous();
        let uncommitted = st.members.current_index() > st.log.commit();
        Status {
            id: st.id(),
            cluster: if st.is_standalone() { ClusterId::ZERO } else { st.hard.lineage },
            role: self.role.name(),
            standalone: st.is_standalone(),
            leader: st.leader,
            term: st.term(),
            commit: st.log.commit(),
            durable: st.log.durable(),
            applied: st.log.applied(),
            first: st.log.first(),
            last: st.log.last(),
            membership: st.members.current().clone(),
            leaving_joint: uncommitted && previous.is_some_and(|m| m.is_joint()),
            abstaining: st.hard.abstaining,
            peers: self.peer_indices(),
        }
    }

    /// The first invariant that does not hold.
    ///
    /// # Errors
    /// The rule, in a sentence.
    pub fn check(&self) -> Result<(), String> {
        invariants::check(&self.st, &self.role, &self.requests)
    }

    /// What is durable, or will be once all writes are.
    #[must_use]
    pub fn hard_state(&self) -> &HardState {
        &self.st.hard
    }

    /// This core ends: callers that wait for its cluster are told so.
    fn leave_nobody_waiting(&mut self) {
        let why = requests::left();
        if let Role::Leader(leader) = &mut self.role {
            std::mem::take(&mut leader.reads).give_up(&mut self.st, &why);
        }
        self.requests.leave(&mut self.st, &why);
    }

    fn peer_indices(&self) -> Option<BTreeMap<NodeId, Index>> {
        let Role::Leader(leader) = &self.role else { return None };
        let everyone = self.st.members.current().everyone();
        Some(everyone.map(|m| (m.id, leader.matched(&self.st, m.id))).collect())
    }

    fn deadline(&self) -> Time {
        if self.st.over {
            return Time::NEVER;
        }
        self.role.deadline(&self.st).min(self.requests.deadline(&self.st))
    }

    fn on_message(&mut self, m: Message) -> Transition {
        if !self.know_sender(&m) {
            return Transition::Stay;
        }
        match &m.body {
            Body::Identify(req) => join::on_identify(&mut self.st, m.from, req),
            Body::Join(req) => join::on_join(&mut self.st, &m, req),
            Body::Superseded(s) => self.on_superseded(s.by),
            Body::Identity(_) | Body::NotJoined(_) | Body::JoinRefused(_) => {
                return self.role.on_message(&mut self.st, &m);
            }
            _ if m.cluster == self.st.hard.lineage || mutant!("d13_any_cluster_is_heard") => {
                return self.on_member_message(m);
            }
            Body::AppendEntries(_) => join::on_foreign_append(&mut self.st, m.from),
            _ => {}
        }
        Transition::Stay
    }

    /// Drops what is for another node, and what comes from an older run of a node or a twin of one, and tells
    /// that so.
    fn know_sender(&mut self, m: &Message) -> bool {
        let st = &mut self.st;
        if !m.to.is_zero() && m.to != st.id() {
            return false; // for whoever was at this address before
        }
        let own = m.from == st.id();
        if own && m.from_incarnation.counter() > st.hard.incarnation.counter() {
            self.on_superseded(m.from_incarnation);
            return false;
        }
        let newest = if own {
            st.hard.incarnation
        } else if st.note_incarnation(m.from, m.from_incarnation) {
            return true;
        } else {
            st.newest_incarnation(m.from)
        };
        if m.from_incarnation != newest {
            let term = st.term();
            st.send_free(m.from, term, Body::Superseded(Superseded { by: newest }));
        }
        m.from_incarnation == newest
    }

    fn on_superseded(&mut self, by: Incarnation) {
        let st = &mut self.st;
        let own = st.hard.incarnation;
        if by.counter() < own.counter() || by == own {
            return;
        }
        let text = if by.counter() == own.counter() {
            "another service runs with the identity of this one: its data directory was copied; stop \
             both, keep one directory and delete the other"
        } else {
            "a newer run with the identity of this one is alive: this data directory is an old copy; \
             delete it"
        };
        st.over = true;
        st.notice(Notice::IdentityTaken(text.to_owned()));
    }

    /// A message of our lineage. Terms first (§5.1), then the role.
    fn on_member_message(&mut self, m: Message) -> Transition {
        let newer = m.term > self.st.term();
        let st = &mut self.st;
        match m.body {
            Body::RequestVote(ref req) => {
                let leads = self.role.leads() && st.config.check_quorum;
                return election::on_request_vote(st, leads, &m, req);
            }
            Body::AppendEntries(_) if m.term < st.term() => {
                answer_stale(st, m.from);
                return Transition::Stay;
            }
            Body::RequestVoteResponse(ref r)
                if newer && !(r.pre && (r.granted || mutant!("c2_pre_vote_hides_terms"))) =>
            {
                st.adopt(m.term);
                return Transition::Follow;
            }
            Body::RequestVoteResponse(ref r) if r.pre => {}
            Body::AppendEntries(_) | Body::AppendEntriesResponse(_) | Body::TimeoutNow if newer => {
                st.adopt(m.term);
                if !mutant!("a11_leader_outlives_its_term") {
                    self.change_role(Transition::Follow);
                }
            }
            Body::AppendEntriesResponse(_) | Body::RequestVoteResponse(_) | Body::TimeoutNow
                if m.term < st.term() =>
            {
                return Transition::Stay;
            }
            // Who sends entries leads: a candidate of its term has lost (§5.2).
            Body::AppendEntries(_) if matches!(self.role, Role::Candidate(_)) => {
                self.change_role(Transition::Follow);
            }
            _ => {}
        }
        self.dispatch(m)
    }

    fn dispatch(&mut self, mut m: Message) -> Transition {
        let Raft { st, role, requests, .. } = self;
        match &mut m.body {
            Body::AppendEntries(req) => {
                let head = req.clone_head();
                let req = std::mem::replace(req, head);
                return role.on_append(st, &m, req);
            }
            Body::NotMember(says) => join::on_not_member(st, m.from, m.term, says),
            Body::ForwardResponse(r) => {
                let r = r.clone();
                requests.on_forward_response(st, &m, &r);
            }
            Body::ChangeResponse(r) => requests.on_change_response(st, m.term, r),
            Body::ReadIndexResponse(r) => requests.on_read_index(st, m.from, r),
            _ => return role.on_message(st, &m),
        }
        Transition::Stay
    }

    fn on_change(&mut self, id: ChangeId, change: Change) {
        let leads = self.role.leads();
        let here = self.requests.on_change(&mut self.st, id, change.clone(), leads);
        if let (true, Role::Leader(leader)) = (here, &mut self.role) {
            reconfigure::on_change(leader, &mut self.st, Requester::Local(id), change);
        }
    }

    fn on_persisted(&mut self, seq: u64) -> Transition {
        if !self.st.out.persisted(seq) {
            self.st.alarm(format!("write {seq} was reported durable out of turn"));
            return Transition::Stay;
        }
        self.st.log.persisted(seq);
        self.role.on_persisted(&mut self.st, seq)
    }

    fn on_fetched(&mut self, id: FetchId, entries: Vec<Entry>) {
        if self.st.apply_fetch == Some(id) {
            self.st.apply_fetch = None;
            self.st.hand_over_entries(entries);
        } else {
            self.role.on_fetched(&mut self.st, id, &entries);
        }
    }

    /// A leader whose disk is full hands leadership over; everybody goes on voting.
    fn on_disk_full(&mut self, full: bool) {
        self.st.disk_full = full;
        if let (true, Role::Leader(leader)) = (full, &self.role)
            && let Some(best) = leader.best_voter(&self.st)
        {
            self.st.send(best, Body::TimeoutNow);
        }
    }

    /// The only place where the role changes.
    fn change_role(&mut self, transition: Transition) {
        let mut next = transition;
        while next != Transition::Stay && !self.st.over {
            next = self.enter(next);
        }
    }

    fn enter(&mut self, transition: Transition) -> Transition {
        let st = &mut self.st;
        let (role, next) = match transition {
            Transition::Stay => return Transition::Stay,
            Transition::Follow => {
                if mutant!("a5_step_down_clears_vote") {
                    st.hard.voted_for = NodeId::ZERO;
                    st.out.write_hard_state();
                }
                if mutant!("b9_step_down_cuts_the_log") && self.role.leads() {
                    st.truncate(st.log.commit());
                }
                if self.role.leads() {
                    st.reset_election(); // The others' timers run: only votes and leaders stop them.
                }
                (Role::Follower(Follower::default()), Transition::Stay)
            }
            Transition::Campaign { .. } | Transition::Elect if !st.may_campaign() => {
                st.reset_election();
                join::ask_whether_member(st);
                let asks = matches!(&self.role, Role::Candidate(candidate) if candidate.pre);
                return if asks { Transition::Follow } else { Transition::Stay };
            }
            Transition::Campaign { transfer } => {
                st.leader = NodeId::ZERO;
                let ask = st.config.pre_vote && !transfer && !self.alone();
                let st = &mut self.st;
                let candidate =
                    if ask { Candidate::ask(st) } else { Candidate::elect(st, transfer) };
                let outcome = candidate.outcome(st);
                (Role::Candidate(candidate), outcome)
            }
            Transition::Elect => (Role::Candidate(Candidate::elect(st, false)), Transition::Stay),
            Transition::Lead => (Role::Leader(Box::new(Leader::take_office(st))), Transition::Stay),
        };
        if let Role::Leader(leader) = std::mem::replace(&mut self.role, role) {
            let why = Refusal::new(Reason::NoLeader, "this node does not lead any more");
            leader.reads.give_up(&mut self.st, &why);
            leader.reconfigure.give_up(&mut self.st);
        }
        next
    }

    fn alone(&self) -> bool {
        self.st.members.current().all_voters().all(|voter| voter.id == self.st.id())
    }

    fn pass_change_answers(&mut self) {
        for (id, result) in std::mem::take(&mut self.st.change_answers) {
            let result: Result<Accepted, _> = result;
            let term = self.st.term();
            self.requests.answered(&mut self.st, id, term, result);
        }
    }

    /// Tells of a new role, term or leader, and asks the new leader what the old one did not answer.
    fn show_role(&mut self) {
        let shown = (self.role.name(), self.st.term(), self.st.leader);
        if shown != self.shown {
            self.shown = shown;
            let (role, term, leader) = shown;
            self.st.notice(Notice::Role { role, term, leader });
            self.requests.leader_changed(&mut self.st);
        }
    }
}

/// The configuration before the first of the log. A node is alone in a lineage of its own; who joined one
/// was never alone in it, and may not take itself for a voter before it knows a configuration.
fn base_membership(state: &HardState) -> Membership {
    if state.joining || state.abstaining || state.has_joined() {
        Membership { cluster: state.lineage, ..Membership::default() }
    } else {
        Membership::standalone(state.lineage, state.node)
    }
}

/// An append of an older term is always answered with the newer one: its sender steps down.
fn answer_stale(st: &mut State, to: NodeId) {
    let body = Body::AppendEntriesResponse(AppendEntriesResponse {
        verdict: AppendVerdict::StaleTerm,
        matched: Index::ZERO,
        last_index: st.log.last().index,
        hint: EntryId::ZERO,
        round: 0,
        abstaining: st.hard.abstaining,
    });
    st.send(to, body);
}

/// The whole state on one line, for scripts, logs and the simulator:
/// `n1#1 leader t3 vote=1 last=2@1 commit=1 applied=1 durable=2 c1 voters=1,2 progress={2:1→3}`.
impl fmt::Display for Raft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (st, log) = (&self.st, &self.st.log);
        let role = match &self.role {
            Role::Follower(_) if st.is_standalone() => "standalone".to_owned(),
            Role::Follower(_) if st.leader.is_zero() => "follower".to_owned(),
            Role::Follower(_) => format!("follower({})", st.leader),
            Role::Candidate(c) if c.pre => "pre-candidate".to_owned(),
            Role::Candidate(_) => "candidate".to_owned(),
            Role::Leader(_) if st.is_standalone() => "standalone-leader".to_owned(),
            Role::Leader(_) => "leader".to_owned(),
        };
        write!(f, "n{}{} {role} t{}", st.id(), st.hard.incarnation, st.term())?;
        if !st.hard.voted_for.is_zero() {
            write!(f, " vote={}", st.hard.voted_for)?;
        }
        write!(f, " last={} commit={} applied={}", log.last(), log.commit(), log.applied())?;
        if log.durable() < log.last().index {
            write!(f, " durable={}", log.durable())?;
        }
        write!(f, " {}", st.members.current())?;
        for (set, word) in [(st.hard.abstaining, " abstaining"), (st.over, " over")] {
            f.write_str(if set { word } else { "" })?;
        }
        if let Role::Leader(leader) = &self.role {
            let progress = leader.peers.values().map(|p| {
                let mode = if p.mode == super::progress::Mode::Replicate { "" } else { "?" };
                format!("{}:{}→{}{mode}", p.member.id, p.matched, p.next)
            });
            let progress = progress.collect::<Vec<_>>().join(" ");
            if !progress.is_empty() {
                write!(f, " progress={{{progress}}}")?;
            }
        }
        Ok(())
    }
}
