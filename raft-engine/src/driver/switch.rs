//! Joining and leaving: the node changes its lineage. The old core is over; once all its writes are
//! durable, quorate-log makes the new state durable and cuts the log, and quorate-apply follows; then a
//! new core begins from what is stored. Meanwhile callers are held and the network is not heard, which
//! may lose messages anyway. A crash in between is finished by the next start.

use super::inbox::Batch;
use super::start::draw;
use super::{Driver, apply, persist};
use crate::consensus::raft::Raft;
use crate::consensus::ready::HardState;
use crate::consensus::types::{ClusterId, Index, Time};
use crate::error::Error;
use crate::stored::{self, Stored};

/// How far the change of lineage is.
#[derive(Default)]
pub(super) struct Switching {
    stored: Option<Box<Stored>>,
    applied: Option<Index>,
}

impl Driver {
    /// The old core is over. What its cluster was asked for is settled.
    pub(super) fn begin_switch(&mut self, state: HardState) {
        self.requests.leave(state.node);
        self.fetcher.cut();
        self.deadline = Time::NEVER;
        let keep = state.cut_to;
        self.persister.add(persist::Job::Switch(state));
        self.applier.jobs.add(apply::Job::Rewind(keep));
        self.switching = Some(Switching::default());
    }

    /// Goes on with a new core once log and state machine stand where it begins.
    pub(super) fn wait_for_switch(&mut self, now: Time, batch: Batch) -> Result<(), Error> {
        let Some(switching) = &mut self.switching else { return Ok(()) };
        switching.stored = batch.cut.or(switching.stored.take());
        switching.applied = batch.rewound.or(switching.applied);
        self.peers.send(batch.released);
        self.requests.hold(batch.proposals, "this node is just joining or leaving a cluster");
        // Their leader is unknown, so that there is nothing to ask.
        let _ = self.requests.read(now, batch.reads);
        let _ = self.requests.change(now, batch.changes);
        match self.switching.take() {
            Some(Switching { stored: Some(stored), applied: Some(applied) }) => {
                self.begin_anew(now, &stored, applied)
            }
            unfinished => {
                self.switching = unfinished;
                Ok(())
            }
        }
    }

    fn begin_anew(&mut self, now: Time, stored: &Stored, applied: Index) -> Result<(), Error> {
        let next_lineage = ClusterId(stored::draw_id(&mut draw)?);
        let restored = stored.restored(applied, next_lineage);
        self.raft = Raft::new(self.options.config.clone(), restored, draw()?, now);
        self.publish(); // its first messages already come from its new run
        self.carry_out(now, Vec::new())
    }
}
