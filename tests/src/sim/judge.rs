//! What a node does with an event, and what is judged of it: the rules of `safety`, `callers` and the core
//! itself, and the model of the specification, after every step.

use super::host::{Fit, Host};
use super::machine::mix;
use super::queue::Happening;
use super::world::World;
use crate::disk;
use crate::safety::Check;
use crate::show;
use quorate_engine::consensus::command::Entry;
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::membership::Membership;
use quorate_engine::consensus::raft::{Raft, Status};
use quorate_engine::consensus::ready::{Notice, ProposalOutcome, Ready, RoleName};
use quorate_engine::consensus::types::{ClusterId, Index, Origin, Term};
use std::sync::Arc;
use std::time::Duration;

impl World {
    /// One step of a core.
    pub fn feed(&mut self, place: u64, event: Event) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&place) else { return };
        let local = host.clock.local(now);
        let Some(core) = host.running() else { return };
        self.model.heard(place, local, &event);
        core.step(local, event);
        let checked = core.check();
        self.steps += 1;
        self.note(place, checked);
    }

    /// The batch is over: everything that the core asks for.
    pub fn carry_out(&mut self, place: u64) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&place) else { return };
        let local = host.clock.local(now);
        let Some(core) = host.running() else { return };
        let mut ready = core.ready();
        let (status, checked) = (core.status(), core.check());
        let judged = self.model.did(place, local, core, &ready);
        host.deadline = ready.deadline;
        self.note(place, checked);
        self.note(place, judged.map(|_| ()));
        if self.outputs_end(place) {
            return;
        }
        let obeyed = self.obey(place, &mut ready, &status);
        self.note(place, obeyed);
        self.hear_notices(place, &ready.notices);
        if self.outputs_end(place) || !self.send_all(place, std::mem::take(&mut ready.messages)) {
            return;
        }
        self.answer(place, &ready);
        self.hand_on(place, ready, &status);
    }

    /// Judges what the core decided, and takes its writes.
    fn obey(&mut self, place: u64, ready: &mut Ready, status: &Status) -> Check {
        let Some(host) = self.hosts.get_mut(&place) else { return Ok(()) };
        let lineage = host.lineage();
        let old = host.in_force();
        if let Some(write) = ready.write.take() {
            self.safety.asks(place, lineage, &host.log, &write)?;
            if write.keep_to.is_some() {
                self.tally.count("log cut");
                if host.round.is_some() || !host.writes.is_empty() {
                    self.tally.count("log cut while a write is open");
                }
            }
            host.ask(write)?;
        }
        for fetch in &ready.fetch {
            let on_disk = disk::entry(&host.durable, fetch.to) == disk::entry(&host.log, fetch.to);
            if !on_disk {
                return Err(format!("entries up to {} are asked for and not on disk", fetch.to));
            }
        }
        let leads = (status.role == RoleName::Leader).then_some(status.term);
        if let Some(term) = leads {
            self.safety.leads(place, lineage, term, &host.log)?;
        }
        let known = self.safety.committed_to(lineage);
        let news = (std::mem::replace(&mut host.commit, status.commit), status.commit);
        let new = host.in_force();
        self.safety.commits(place, host.facts(), news, leads, [&old, &new])?;
        for index in known.0 + 1..=self.safety.committed_to(lineage).0 {
            let entry = disk::entry(&host.log, Index(index)).ok_or("an entry is missing")?;
            self.callers.committed(entry)?;
            self.tally.count("entry committed");
            if new.is_joint() {
                self.tally.count("committed by two halves");
            }
        }
        self.note_members(place, &old, &new, status);
        self.safety.knows(place, lineage, &ready.apply)
    }

    fn note_members(
        &mut self,
        place: u64,
        old: &Arc<Membership>,
        new: &Arc<Membership>,
        status: &Status,
    ) {
        if new.number < old.number {
            self.tally.count("configuration rolled back");
        }
        if new.is_joint() && !old.is_joint() {
            self.tally.count("joint configuration entered");
        }
        if new.is_joint() && status.role == RoleName::Candidate {
            self.tally.count("candidate in a joint configuration");
        }
        self.print = mix(self.print, mix(place, status.commit.0 << 20 | status.term.0));
    }

    fn hear_notices(&mut self, place: u64, notices: &[Notice]) {
        for notice in notices {
            self.tell(|| format!("{place} {}", show::notice(notice)));
            match notice {
                Notice::SafetyAlarm(_) | Notice::IdentityTaken(_) => {
                    self.note(place, Err(show::notice(notice)));
                }
                Notice::Role { role, term, .. } => self.note_role(place, *role, *term),
                Notice::Abstaining(false) => {
                    self.host(place).is_damaged = false;
                    self.tally.count("abstainer repaired");
                }
                _ => {}
            }
        }
    }

    fn note_role(&mut self, place: u64, role: RoleName, term: Term) {
        let host = self.host(place);
        let led = std::mem::replace(&mut host.led, (role == RoleName::Leader).then_some(term));
        if role == RoleName::Leader {
            self.tally.count("leader elected");
            if term > Term(3) {
                self.tally.count("leader elected after a leader");
            }
        } else if led.is_some() {
            self.tally.count("leader stepped down");
        }
    }

    /// What callers are told.
    fn answer(&mut self, place: u64, ready: &Ready) {
        let (node, lineage) = (self.hosts[&place].id(), self.hosts[&place].lineage());
        for (seq, outcome) in &ready.proposals {
            if let ProposalOutcome::Appended(id) = outcome {
                let entry = self.safety.appended(lineage, *id);
                let same = entry.map(|e| e.payload.origin()) == Some(Origin { node, seq: *seq });
                if !same {
                    self.note(place, Err(format!("{id} is not what its proposer was told")));
                }
            }
            let told = self.callers.proposal(node, *seq, outcome);
            self.note(place, told.map(|_| ()));
            if let ProposalOutcome::Refused(_) = outcome {
                self.proposal_refused(place, *seq);
            }
        }
        for (id, result) in &ready.reads {
            let allowed = result.as_ref().ok().copied();
            let answered = self.callers.read_answered(place, *id, allowed);
            self.note(place, answered);
            self.read_answered(place, *id, allowed);
        }
        for (id, result) in &ready.changes {
            let answered = self.callers.change_answered(place, *id);
            self.note(place, answered.map(|_| ()));
            self.tell(|| format!("{place} change {id}: {}", show::result(result)));
            if result.is_ok() {
                self.tally.count("change of membership done");
            }
        }
    }

    /// The rest goes to the disk, the state machine, and whoever changes the lineage.
    fn hand_on(&mut self, place: u64, ready: Ready, status: &Status) {
        let waits: [u64; 2] = std::array::from_fn(|_| 1_000 + self.dice.below(200_000));
        let host = self.host(place);
        let life = host.life;
        for fetch in ready.fetch {
            self.host(place).fetches.push_back(fetch);
            self.after(Duration::from_nanos(waits[0]), Happening::Read(place, life));
        }
        if !ready.apply.is_empty() {
            self.host(place).to_apply.push_back(ready.apply);
            self.after(Duration::from_nanos(waits[1]), Happening::Applies(place, life));
        }
        if let Some(state) = ready.switch {
            let waiting = self.callers.nobody_waits(place);
            self.note(place, waiting);
            self.tell(|| format!("{place} switches: {}", show::state(&state)));
            self.tally.count(if state.joining { "joined a cluster" } else { "left a cluster" });
            self.callers_leave(place);
            let host = self.host(place);
            host.switching = Some(state);
            host.deadline = quorate_engine::consensus::types::Time::NEVER;
            host.fetches.clear();
            host.to_apply.clear();
        }
        self.print = mix(self.print, status.applied.0);
        self.begin_round(place);
        self.begin_switch(place);
        self.wait_for_deadline(place);
    }

    /// A change of lineage begins when everything that was asked for before is durable.
    pub fn begin_switch(&mut self, place: u64) {
        let wait = Duration::from_nanos(1_000 + self.dice.below(1_000_000));
        let host = self.host(place);
        let quiet = host.writes.is_empty() && host.round.is_none();
        if host.switching.is_some() && quiet {
            let life = host.life;
            self.after(wait, Happening::Switches(place, life));
        }
    }

    pub fn switches(&mut self, place: u64) {
        let host = self.host(place);
        if !host.writes.is_empty() || host.round.is_some() {
            return;
        }
        let Some(state) = host.switching.clone() else { return };
        let applied = host.machine.applied.min(state.cut_to);
        let beyond = host.machine.held().index > state.cut_to;
        if beyond && !host.state.abstaining {
            return self
                .note(place, Err(format!("what was applied is cut after {}", state.cut_to)));
        }
        if let Err(error) = host.switch(state) {
            return self.store_fails(place, &error);
        }
        self.inherit(place);
        if beyond {
            return self.is_useless(place);
        }
        self.build(place, applied);
    }

    /// A node left its cluster before its damaged log was repaired: its state machine has more than the log.
    /// The service stops and says that both are to be deleted, which is what is done.
    pub fn is_useless(&mut self, place: u64) {
        self.tally.count("left before it was repaired");
        self.lose_data(place, Duration::from_millis(500));
    }

    fn inherit(&mut self, place: u64) {
        let host = &self.hosts[&place];
        let inherited = self.safety.assume(host.lineage(), &host.durable);
        self.note(place, inherited);
    }

    /// The state machine takes what it was handed next.
    pub fn applies(&mut self, place: u64) {
        let host = self.host(place);
        let Some(entries) = host.to_apply.pop_front() else { return };
        let cluster = host.core.as_ref().map_or(ClusterId::ZERO, |core| core.status().cluster);
        for entry in &entries {
            let host = self.host(place);
            let done = host.machine.commit(entry, cluster);
            match done {
                Ok(output) => {
                    let same = self.compare(place, entry);
                    self.note(place, same);
                    self.applied(place, entry.payload.origin(), output);
                }
                Err(fault) => return self.note(place, Err(fault)),
            }
        }
        let index = self.host(place).machine.applied;
        self.push(place, Event::Applied(index));
        self.answer_reads(place);
    }

    /// State machine safety: an entry did the same everywhere.
    fn compare(&mut self, place: u64, entry: &Entry) -> Check {
        let host = &self.hosts[&place];
        let Some((index, print)) = host.machine.given().last().copied() else { return Ok(()) };
        if index != entry.index {
            return Ok(());
        }
        let known = *self.effects.entry((host.lineage(), index)).or_insert(print);
        let differ = || format!("{} did something else at {place} than before", entry.id());
        if known == print { Ok(()) } else { Err(differ()) }
    }

    /// What a start found is what may be there. A change of lineage that a crash interrupted is done by now:
    /// what the new one begins with is committed in it.
    pub fn judge_found(&mut self, place: u64, fit: Fit, before: ClusterId) {
        if before != ClusterId::ZERO && before != self.hosts[&place].lineage() {
            self.inherit(place);
        }
        match fit {
            Fit::Foreign => self.note(place, Err("it finds a log that was not written".to_owned())),
            Fit::Partly => self.tally.count("write lost with a crash"),
            Fit::Damaged => {
                let ours = self.is_of_its_lineage(place);
                self.note(place, ours);
            }
            Fit::Whole => {}
        }
        let host = &self.hosts[&place];
        if host.state.abstaining {
            self.tally.count("abstaining at start");
        }
    }

    /// What is left of a damaged log was appended in its lineage: perhaps a tail that was cut since, but
    /// nothing of a lineage before.
    fn is_of_its_lineage(&self, place: u64) -> Check {
        let host = &self.hosts[&place];
        let known =
            |entry: &&Entry| self.safety.appended(host.lineage(), entry.id()) == Some(*entry);
        let foreign = host.durable.iter().find(|entry| !known(entry));
        self.holds(foreign.is_none(), || {
            format!("it finds {foreign:?}, which is not of its lineage")
        })
    }

    /// A core begins with what is durable and nothing else.
    pub fn judge_beginning(&mut self, place: u64) {
        let host: &Host = &self.hosts[&place];
        let (state, known) = (host.state.clone(), host.commit.0 as usize);
        let checked = self
            .safety
            .durable(place, &state)
            .and_then(|()| self.safety.knows(place, state.lineage, &host.log[..known]));
        let begun =
            self.model.started(place, &self.config, &host.state, &host.durable, host.commit);
        self.note(place, checked);
        self.note(place, begun);
    }

    /// The node at a place, as it says of itself.
    pub fn status(&self, place: u64) -> Option<Status> {
        self.hosts[&place].core.as_ref().map(Raft::status)
    }
}
