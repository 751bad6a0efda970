//! One node of the simulator: the real core on the real log, which lies on a simulated disk, and a state
//! machine. It is what a driver is, without threads; the world decides when it does anything.
//!
//! Beside the real things stands a mirror of what must be true of them: the log as the core asked for it,
//! and as much of it as the disk said is durable. What a start finds is compared with it.

use super::clients::Asked;
use super::clock::Clock;
use super::machine::Machine;
use crate::safety::Facts;
use crate::simulated_fs::{Dice, Fault, SimDisk};
use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::membership::Membership;
use quorate_engine::consensus::raft::{Raft, Restored};
use quorate_engine::consensus::ready::{Fetch, HardState, Write};
use quorate_engine::consensus::types::{ClusterId, Index, NodeId, Term, Time};
use quorate_engine::error::Error;
use quorate_engine::storage::StorageError;
use quorate_engine::storage::wal::{Wal, WalOptions};
use quorate_engine::stored::{LogWriter, Round, check_applied};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where the log lies on every disk.
pub(super) const DIR: &str = "/data";

/// What a round of writes changes of the log: where it is cut, and what follows.
type Change = (Option<Index>, Vec<Entry>);

/// Writes that are carried out together.
#[derive(Default)]
pub(super) struct Pending {
    pub writes: Vec<Write>,
    changes: Vec<Change>,
}

/// A node, running or not.
pub(super) struct Host {
    pub address: String,
    pub disk: SimDisk,
    pub segment: u64,
    pub writer: Option<LogWriter>,
    pub core: Option<Raft>,
    /// The durable hard state, of a node that runs or ran.
    pub state: HardState,
    pub durable: Vec<Entry>,
    pub log: Vec<Entry>,
    /// The configurations of this lineage in `log`.
    pub members: Vec<(Index, Arc<Membership>)>,
    pub machine: Machine,
    pub clock: Clock,
    /// Local time.
    pub deadline: Time,
    pub inbox: Vec<Event>,
    pub turn_is_due: bool,
    pub writes: VecDeque<Write>,
    pub round: Option<Pending>,
    pub fetches: VecDeque<Fetch>,
    pub to_apply: VecDeque<Vec<Entry>>,
    pub switching: Option<HardState>,
    /// Counts runs and cores: what was meant for an earlier one comes to nothing.
    pub life: u64,
    pub commit: Index,
    pub last_origin: u64,
    /// Proposals of clients, by sequence number.
    pub proposed: BTreeMap<u64, Asked>,
    /// Reads of clients, by number, and from where on they may be answered.
    pub reads: Vec<(u64, Asked, Option<Index>)>,
    pub sync: Duration,
    /// It is not scheduled until then.
    pub frozen: Option<Time>,
    pub is_full: bool,
    /// Ends when so many more outputs were made; with or without its machine, and for how long.
    pub ends_in: Option<(u64, bool, Duration)>,
    /// A part of its log was made to rot.
    pub is_damaged: bool,
    /// The term that it leads.
    pub led: Option<Term>,
    last_seq: u64,
}

impl Host {
    pub(super) fn new(
        place: u64,
        disk: SimDisk,
        clock: Clock,
        sync: Duration,
        segment: u64,
    ) -> Host {
        Host {
            address: format!("n{place}"),
            disk,
            segment,
            writer: None,
            core: None,
            state: HardState::default(),
            durable: Vec::new(),
            log: Vec::new(),
            members: Vec::new(),
            machine: Machine::default(),
            clock,
            deadline: Time::NEVER,
            inbox: Vec::new(),
            turn_is_due: false,
            writes: VecDeque::new(),
            round: None,
            fetches: VecDeque::new(),
            to_apply: VecDeque::new(),
            switching: None,
            life: 0,
            commit: Index::ZERO,
            last_origin: 0,
            proposed: BTreeMap::new(),
            reads: Vec::new(),
            sync,
            frozen: None,
            is_full: false,
            ends_in: None,
            is_damaged: false,
            led: None,
            last_seq: 0,
        }
    }

    pub(super) fn id(&self) -> NodeId {
        self.state.node
    }

    pub(super) fn lineage(&self) -> ClusterId {
        self.state.lineage
    }

    pub(super) fn is_up(&self) -> bool {
        self.core.is_some()
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        Facts { state: &self.state, durable: &self.durable, log: &self.log }
    }

    /// Its core, unless it is down, or over because the lineage changes.
    pub(super) fn running(&mut self) -> Option<&mut Raft> {
        self.core.as_mut().filter(|_| self.switching.is_none())
    }

    /// The newest configuration of its log.
    pub(super) fn in_force(&self) -> Arc<Membership> {
        let standalone = || Arc::new(Membership::standalone(self.lineage(), self.id()));
        self.members.last().map_or_else(standalone, |(_, m)| Arc::clone(m))
    }

    /// Opens the directory: whether what was found is what may be there, and whether anything of what
    /// was under way is lost.
    pub(super) fn open(&mut self, dice: &mut Dice) -> Result<Found, Error> {
        let options = WalOptions { segment_bytes: self.segment, adopt_copied_directory: false };
        let store = Wal::on(Arc::new(self.disk.clone()), PathBuf::from(DIR), options);
        let mut draw = || Ok(dice.roll());
        let mut writer = LogWriter::open(Box::new(store), &mut draw)?;
        let found = read_all(&mut writer).map_err(Error::opening)?;
        let applied = check_applied(writer.stored(), &self.machine.held())?;
        let fit = self.fit(&found, &writer.stored().state);
        self.state = writer.stored().state.clone();
        (self.durable, self.writer) = (found, Some(writer));
        self.round = None;
        Ok(Found { fit, applied })
    }

    /// A core for what is stored.
    pub(super) fn restored(&self, applied: Index, next: ClusterId) -> Option<Restored> {
        Some(self.writer.as_ref()?.stored().restored(applied, next))
    }

    /// Takes a new core.
    pub(super) fn begin(&mut self, core: Raft) {
        self.life += 1;
        self.inbox.retain(|event| matches!(event, Event::Received(_))); // the rest was for another core
        self.log.clone_from(&self.durable);
        self.members.clear();
        let log = std::mem::take(&mut self.log);
        log.iter().for_each(|entry| self.note_members(entry));
        self.log = log;
        self.commit = core.status().commit;
        self.core = Some(core);
        (self.switching, self.last_seq) = (None, 0);
    }

    /// The process ends. Its disk keeps what it had; without `power` only what was durable, perhaps.
    pub(super) fn end(&mut self, power: bool) {
        (self.core, self.writer) = (None, None);
        self.disk.heal();
        if power {
            self.disk.power_cut();
        }
        self.life += 1;
        self.deadline = Time::NEVER;
        self.inbox.clear();
        self.writes.clear();
        self.fetches.clear();
        self.to_apply.clear();
        self.proposed.clear();
        self.reads.clear();
        (self.frozen, self.ends_in, self.is_full) = (None, None, false);
        self.machine.crash();
    }

    /// Takes a write that the core asks for.
    pub(super) fn ask(&mut self, write: Write) -> Result<(), String> {
        self.last_seq += 1;
        if write.seq != self.last_seq {
            return Err(format!("write {} follows {}", write.seq, self.last_seq - 1));
        }
        if let Some(keep) = write.keep_to {
            self.log.truncate(keep.0 as usize);
            self.members.retain(|(index, _)| *index <= keep);
        }
        for entry in &write.append {
            self.note_members(entry);
            self.log.push(entry.clone());
        }
        self.writes.push_back(write);
        Ok(())
    }

    fn note_members(&mut self, entry: &Entry) {
        if let Payload::Membership(m) = &entry.payload
            && m.cluster == self.state.lineage
        {
            self.members.push((entry.index, Arc::clone(m)));
        }
    }

    /// Everything that waits for the disk goes into one round.
    pub(super) fn begin_round(&mut self) {
        let writes: Vec<Write> = self.writes.drain(..).collect();
        let changes = writes.iter().map(|write| (write.keep_to, write.append.clone())).collect();
        self.round = Some(Pending { writes, changes });
    }

    /// The disk does it.
    pub(super) fn finish_round(&mut self) -> Result<Option<Round>, StorageError> {
        let (Some(round), Some(writer)) = (&mut self.round, &mut self.writer) else {
            return Ok(None);
        };
        let mut writes = std::mem::take(&mut round.writes).into_iter();
        let done = writer.carry_out(|_| writes.next())?;
        self.state = writer.stored().state.clone();
        for (keep, entries) in std::mem::take(&mut round.changes) {
            if let Some(keep) = keep {
                self.durable.truncate(keep.0 as usize);
            }
            self.durable.extend(entries);
        }
        self.round = None;
        Ok(Some(done))
    }

    /// Old entries; `None` when they were cut meanwhile.
    pub(super) fn fetch(&mut self, fetch: &Fetch) -> Result<Option<Vec<Entry>>, StorageError> {
        self.writer.as_mut().map_or(Ok(None), |writer| writer.fetch(fetch))
    }

    /// Changes the lineage as the core said. The core is over.
    pub(super) fn switch(&mut self, state: HardState) -> Result<(), StorageError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let stored = writer.switch(state)?;
        self.durable.truncate(stored.state.cut_to.0 as usize);
        self.state = stored.state;
        self.core = None;
        Ok(())
    }

    /// How the log that was found fits: it is what was durable, and a beginning of what was under way.
    /// Less only where the log is known to be damaged, or had to be cut by a change of lineage.
    fn fit(&self, found: &[Entry], state: &HardState) -> Fit {
        let mut log = self.durable.clone();
        if self.is_damaged && state.abstaining {
            return Fit::Damaged;
        }
        let cut = &log[..log.len().min(state.cut_to.0 as usize)];
        if state.lineage != self.state.lineage && found == cut {
            return Fit::Whole;
        }
        let mut fit = (found == log).then_some(Fit::Partly);
        for (keep, entries) in self.round.iter().flat_map(|round| &round.changes) {
            if let Some(keep) = keep {
                log.truncate(keep.0 as usize);
                fit = fit.or((found == log).then_some(Fit::Partly));
            }
            for entry in entries {
                log.push(entry.clone());
                fit = fit.or((found == log).then_some(Fit::Partly));
            }
        }
        if found == log { Fit::Whole } else { fit.unwrap_or(Fit::Foreign) }
    }

    /// Cuts the power at one of the next calls to the disk, or lets it fail.
    pub(super) fn fail_after(&mut self, calls: u64, fault: Fault) {
        self.disk.fail_after(calls, fault);
    }
}

/// How what a start found fits to what was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fit {
    /// All of it.
    Whole,
    /// What was durable, and a beginning of the rest.
    Partly,
    /// The log was harmed, and the node knows it.
    Damaged,
    /// It does not.
    Foreign,
}

/// What a start found.
pub(super) struct Found {
    pub fit: Fit,
    /// What the state machine has applied of it.
    pub applied: Index,
}

fn read_all(writer: &mut LogWriter) -> Result<Vec<Entry>, StorageError> {
    let last = writer.stored().last;
    let mut all: Vec<Entry> = Vec::new();
    while (all.len() as u64) < last.0 {
        let from = Index(all.len() as u64 + 1);
        let fetch = Fetch { id: 0, from, to: last, max_bytes: 1 << 20 };
        match writer.fetch(&fetch)? {
            Some(more) if !more.is_empty() => all.extend(more),
            _ => break,
        }
    }
    Ok(all)
}
