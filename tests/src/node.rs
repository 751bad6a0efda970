//! One node: a core, its disk, its state machine, and everything between them that takes time. It is
//! what a driver is, without threads, and it can be stopped between any two of its steps.

use crate::disk::{self, Disk, Kept};
use crate::safety::Facts;
use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::consensus::event::FetchId;
use quorate_engine::consensus::raft::Raft;
use quorate_engine::consensus::ready::{Fetch, HardState, Write};
use quorate_engine::consensus::types::{ClusterId, Incarnation, Index, NodeId, Time};
use std::collections::VecDeque;
use std::fmt::Debug;

/// The host's state: the commands that were applied.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Applied up to here, the engine's entries included.
    pub applied: Index,
    /// What was applied, in order.
    pub commands: Vec<(Index, String)>,
    /// It survives a crash.
    pub durable: bool,
}

/// How far a change of lineage is. Each step is durable before the next begins.
#[derive(Clone, Debug)]
pub enum Switching {
    /// The new state is to be stored.
    Store(Box<HardState>),
    /// The log is to be cut.
    Cut,
    /// The mark that it must be cut is to be cleared.
    Clear,
    /// A new core is to be built.
    Rebuild,
}

/// A node, running or not.
#[derive(Clone, Debug)]
pub struct Node {
    /// What a crash leaves.
    pub disk: Disk,
    /// The core; none while the node is down.
    pub core: Option<Raft>,
    /// The log as the core has asked for it, durable or not.
    pub log: Vec<Entry>,
    /// The host's state.
    pub machine: Machine,
    /// Where the others reach it.
    pub address: String,
    /// A change of lineage under way.
    pub switching: Option<Switching>,
    /// When the core wants to be stepped.
    pub deadline: Time,
    /// The disk, the state machine and a change of lineage wait for commands.
    pub manual: bool,
    /// It is not scheduled: it hears nothing and its deadlines pass.
    pub frozen: bool,
    /// Old entries that were read for the core.
    pub fetched: VecDeque<(FetchId, Vec<Entry>)>,
    /// What is to be applied.
    pub to_apply: VecDeque<Vec<Entry>>,
    /// Committed up to here, as far as the harness has seen.
    pub commit: Index,
    last_seq: u64,
}

impl Node {
    /// A node that is down.
    #[must_use]
    pub fn new(disk: Disk, address: &str) -> Node {
        Node {
            log: disk.log.clone(),
            disk,
            core: None,
            machine: Machine::default(),
            address: address.to_owned(),
            switching: None,
            deadline: Time::NEVER,
            manual: false,
            frozen: false,
            fetched: VecDeque::new(),
            to_apply: VecDeque::new(),
            commit: Index::ZERO,
            last_seq: 0,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.disk.state.node
    }

    /// Its lineage, as far as it is durable.
    #[must_use]
    pub fn lineage(&self) -> ClusterId {
        self.disk.state.lineage
    }

    /// All that decides what it will do, printed: of entries that its log holds their ids.
    #[must_use]
    pub fn situation(&self) -> impl Debug + '_ {
        let Node { disk, core, log, machine, address: _, switching, deadline, .. } = self;
        let Node { manual, frozen, fetched, to_apply, commit, last_seq, .. } = self;
        let Machine { applied, commands, durable } = machine;
        let stored = (disk.situation(), disk::Ids(log), last_seq, switching);
        let handed = (fetched, to_apply, commit, applied, commands.len(), durable);
        (core, stored, handed, deadline, manual, frozen)
    }

    /// What is judged about it.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        Facts { state: &self.disk.state, durable: &self.disk.log, log: &self.log }
    }

    /// Its core, unless it is down, or over because the lineage changes.
    pub fn running(&mut self) -> Option<&mut Raft> {
        self.core.as_mut().filter(|_| self.switching.is_none())
    }

    /// Begins another run: finishes a cut that a crash interrupted, and counts the run.
    pub fn begin_run(&mut self, random: u64) {
        let run = self.disk.state.incarnation.counter() + 1;
        self.disk.state.incarnation = Incarnation(run << 40 | random >> 24);
        if self.disk.state.cut_pending {
            self.disk.cut(self.disk.state.cut_to);
            self.disk.state.cut_pending = false;
        }
    }

    /// Takes a new core, built from what is stored.
    pub fn start(&mut self, core: Raft) {
        self.log = self.disk.log.clone();
        self.commit = core.status().commit;
        self.core = Some(core);
        self.switching = None;
        self.last_seq = 0;
    }

    /// Stops at once. The disk keeps what was durable, and what is `kept` of the rest.
    pub fn crash(&mut self, kept: Kept) {
        self.disk.lose_power(kept);
        self.core = None;
        self.switching = None;
        self.deadline = Time::NEVER;
        self.fetched.clear();
        self.to_apply.clear();
        self.log = self.disk.log.clone();
        if !self.machine.durable {
            self.machine = Machine::default();
        }
    }

    /// Takes a write that the core asks for.
    ///
    /// # Errors
    /// It is out of turn.
    pub fn ask(&mut self, write: Write) -> Result<(), String> {
        self.last_seq += 1;
        if write.seq != self.last_seq {
            return Err(format!("write {} follows {}", write.seq, self.last_seq - 1));
        }
        if let Some(keep) = write.keep_to {
            self.log.truncate(keep.0 as usize);
        }
        self.log.extend(write.append.iter().cloned());
        self.disk.ask(write);
        Ok(())
    }

    /// Reads old entries for the core.
    ///
    /// # Errors
    /// They are not on the disk yet: a reader beside the writer would not find them.
    pub fn read(&mut self, fetch: &Fetch) -> Result<(), String> {
        if disk::entry(&self.disk.log, fetch.to) != disk::entry(&self.log, fetch.to) {
            return Err(format!("entries up to {} are asked for and not on disk", fetch.to));
        }
        self.fetched.push_back(disk::fetch(&self.log, fetch));
        Ok(())
    }

    /// Applies what comes next: up to where.
    ///
    /// # Errors
    /// It does not follow what was applied.
    pub fn apply(&mut self) -> Result<Option<Index>, String> {
        let Some(entries) = self.to_apply.pop_front() else { return Ok(None) };
        for entry in entries {
            if entry.index != self.machine.applied.next() {
                return Err(format!("{} is applied after {}", entry.id(), self.machine.applied));
            }
            self.machine.applied = entry.index;
            if let Payload::Command(command) = &entry.payload {
                let data = String::from_utf8_lossy(command.data()).into_owned();
                self.machine.commands.push((entry.index, data));
            }
        }
        Ok(Some(self.machine.applied))
    }

    /// The core ends: what it asked for and did not get is nobody's any more.
    pub fn end_core(&mut self, state: HardState) {
        self.switching = Some(Switching::Store(Box::new(state)));
        self.fetched.clear();
        self.to_apply.clear();
    }

    /// Carries out the next step of a change of lineage. `true` when a core is to be built.
    ///
    /// # Errors
    /// A change that a caller made would be lost.
    pub fn switch(&mut self) -> Result<bool, String> {
        let next = match self.switching.take() {
            None => return Ok(false),
            Some(Switching::Store(state)) => {
                self.disk.state = *state;
                Switching::Cut
            }
            Some(Switching::Cut) => {
                self.cut(self.disk.state.cut_to)?;
                Switching::Clear
            }
            Some(Switching::Clear) => {
                self.disk.state.cut_pending = false;
                Switching::Rebuild
            }
            Some(Switching::Rebuild) => return Ok(true),
        };
        self.switching = Some(next);
        Ok(false)
    }

    /// The state machine follows a cut of the log by a change of lineage.
    ///
    /// # Errors
    /// A change that was applied would be lost.
    pub fn rewind(&mut self) -> Result<(), String> {
        let end = disk::last(&self.disk.log).index;
        self.machine.applied = self.machine.applied.min(end);
        match self.machine.commands.last() {
            Some((index, data)) if *index > end => {
                Err(format!("{data} was applied at {index}, and the log is cut after {end}"))
            }
            _ => Ok(()),
        }
    }

    fn cut(&mut self, keep: Index) -> Result<(), String> {
        self.disk.cut(keep);
        self.rewind()
    }
}
