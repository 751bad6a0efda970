//! The shell around the protocol core: one loop on tokio, and threads for the log, the state machine
//! and old entries. It decides nothing about the protocol: events go in, and what `Ready` says is done.
//!
//! | thread | does | waits for |
//! |---|---|---|
//! | quorate-loop | protocol, sockets, timers; a small write when idle | inbox, deadline |
//! | quorate-log | writes and syncs of the store | jobs |
//! | quorate-apply | calls of the state machine, answers to proposers | jobs |
//! | quorate-read | reads of old entries; starts when needed | jobs |
//!
//! What must hold: nobody who waits is forgotten, however the service ends; no lock is held while a
//! store, a state machine or a caller is called; a panic on any of these threads ends this service and
//! nothing else.

pub(crate) mod caller;
pub(crate) mod clock;
pub(crate) mod view;
pub(crate) mod waiters;

mod apply;
mod inbox;
mod jobs;
mod peers;
mod persist;
mod reads;
mod requests;
mod start;
mod switch;
mod watch;

pub(crate) use inbox::Inbox;
pub(crate) use persist::{Callers, Store};
use start::Starter;
pub(crate) use start::{Options, Parts, Running, start};

use crate::consensus::event::Event;
use crate::consensus::message::Message;
use crate::consensus::raft::{Raft, Status};
use crate::consensus::ready::{Notice, Ready, Write};
use crate::consensus::types::Time;
use crate::error::{Error, ErrorKind};
use crate::transport::LocalIdentity;
use apply::Applier;
use clock::Alarm;
use inbox::Batch;
use peers::Peers;
use persist::Persister;
use reads::Fetcher;
use requests::{Leader, Requests};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use switch::Switching;
use view::{View, count, state_of};
use watch::Watch;

/// The loop of one service.
pub(crate) struct Driver {
    raft: Raft,
    options: Options,
    inbox: Arc<Inbox>,
    view: Arc<View>,
    requests: Requests,
    peers: Peers,
    persister: Persister,
    fetcher: Fetcher,
    applier: Applier,
    watch: Watch,
    identity: Arc<LocalIdentity>,
    /// The node is between two lineages: there is no core to ask.
    switching: Option<Switching>,
    status: Status,
    deadline: Time,
    /// Who started the service and waits until it can be used.
    starter: Option<Starter>,
}

impl Driver {
    /// Runs until the host closes the service, or something happens that it does not survive.
    async fn run(&mut self) -> Result<(), Error> {
        let mut alarm = Alarm::new();
        self.follow_up()?;
        loop {
            let mut batch = self.next_batch(&mut alarm).await;
            if let Some(fault) = batch.fault.take() {
                return Err(fault);
            }
            if batch.close {
                return Ok(());
            }
            self.turn(batch)?;
            if self.persister.holds() || self.inbox.is_filled() {
                tokio::task::yield_now().await; // the sockets have their turn too
            }
            self.persist();
        }
    }

    /// What happened since the last turn; nothing, when only a deadline passed.
    async fn next_batch(&mut self, alarm: &mut Alarm) -> Batch {
        let deadline = self.deadline.min(self.requests.deadline());
        poll_fn(|context| match self.inbox.poll(context) {
            Poll::Ready(batch) => Poll::Ready(batch),
            Poll::Pending => alarm.poll(context, deadline).map(|()| self.inbox.take()),
        })
        .await
    }

    fn turn(&mut self, batch: Batch) -> Result<(), Error> {
        count(&self.view.counters.turns, 1);
        let now = clock::now();
        if self.switching.is_some() {
            self.wait_for_switch(now, batch)?;
        } else {
            let released = self.feed(now, batch);
            self.carry_out(now, released)?;
        }
        self.requests.expire(now);
        self.follow_up()
    }

    /// Turns that need no news: what was held goes on as soon as there is a leader.
    fn follow_up(&mut self) -> Result<(), Error> {
        let now = clock::now();
        while self.switching.is_none() && self.requests.can_release(now) {
            let released = self.feed(now, Batch::default());
            self.carry_out(now, released)?;
        }
        Ok(())
    }

    /// Steps through everything that happened, the passed deadline last. Returns the messages that a
    /// finished write has released.
    fn feed(&mut self, now: Time, batch: Batch) -> Vec<Message> {
        let raft = &mut self.raft;
        if batch.persisted > 0 {
            raft.step(now, Event::Persisted(batch.persisted));
        }
        if !batch.applied.is_zero() {
            raft.step(now, Event::Applied(batch.applied));
        }
        for (id, entries) in batch.fetched {
            raft.step(now, Event::Fetched(id, entries));
        }
        if let Some(full) = batch.disk_full {
            self.watch.disk_full(full);
            raft.step(now, Event::DiskFull(full));
        }
        for inbound in batch.inbound {
            for message in self.peers.received(inbound, &self.status.membership, &self.watch) {
                raft.step(now, Event::Received(message));
            }
        }
        if let Some(event) = self.requests.propose(now, batch.proposals) {
            raft.step(now, event);
        }
        if let Some(event) = self.requests.read(now, batch.reads) {
            raft.step(now, event);
        }
        for event in self.requests.change(now, batch.changes) {
            raft.step(now, event);
        }
        if now >= self.deadline {
            raft.step(now, Event::DeadlinePassed);
        }
        batch.released
    }

    /// Does what the protocol asks for. Callers are tracked before the state machine's thread can
    /// answer them, and the getters are up to date before anybody is answered.
    fn carry_out(&mut self, now: Time, released: Vec<Message>) -> Result<(), Error> {
        let Ready {
            messages,
            write,
            fetch,
            apply,
            proposals,
            changes,
            reads,
            notices,
            switch,
            deadline,
        } = self.raft.ready();
        self.deadline = deadline;
        self.peers.send(released.into_iter().chain(messages));
        if let Some(write) = write {
            self.write(write);
        }
        for fetch in fetch {
            self.fetcher.fetch(fetch);
        }
        self.publish();
        self.requests.proposals_answered(now, proposals);
        self.requests.reads_answered(now, reads);
        self.requests.changes_answered(now, changes);
        if !apply.is_empty() {
            self.applier.jobs.add(apply::Job::Apply(apply));
        }
        for notice in notices {
            self.tell(notice)?;
        }
        if let Some(state) = switch {
            self.begin_switch(state);
        }
        Ok(())
    }

    /// A write that was held is carried out here only if nothing else is to be done.
    fn persist(&mut self) {
        if self.inbox.is_filled() {
            self.persister.hand_over();
        } else if self.persister.holds() {
            self.persister.carry_out();
        }
    }

    fn write(&mut self, write: Write) {
        count(&self.view.counters.writes, 1);
        if write.keep_to.is_some() {
            self.fetcher.cut();
        }
        self.persister.add(persist::Job::Write(write));
    }

    /// Shows the present values to getters, callers and handshakes.
    fn publish(&mut self) {
        let status = self.raft.status();
        let moved = status.cluster != self.status.cluster
            || !Arc::ptr_eq(&status.membership, &self.status.membership);
        self.requests.follow(Leader { id: status.leader, membership: status.membership.clone() });
        self.view.publish(status.clone());
        self.watch.published(state_of(&status), &status);
        self.status = status;
        if moved {
            self.identify();
        }
        if self.is_usable() {
            self.starter = None;
        }
    }

    /// A node that elects itself alone is usable once it has done so, which takes a few writes; one
    /// that needs others, at once.
    fn is_usable(&self) -> bool {
        let mut voters = self.status.membership.all_voters();
        let alone = voters.next().is_some_and(|voter| voter.id == self.status.id)
            && voters.next().is_none()
            && !self.status.abstaining;
        !alone || !self.status.leader.is_zero()
    }

    /// Tells the transport who this node is now.
    fn identify(&self) {
        let status = &self.status;
        let member = status.membership.member(status.id).map(|member| &*member.address);
        let known = member.filter(|address| !address.is_empty());
        let address = known.or(self.view.address.get().map(String::as_str)).unwrap_or_default();
        let incarnation = self.raft.hard_state().incarnation;
        self.identity.update(incarnation, status.cluster, address);
    }

    fn tell(&mut self, notice: Notice) -> Result<(), Error> {
        self.view.note(&notice);
        self.watch.notice(&notice, &self.status);
        match notice {
            Notice::Role { .. } => self.requests.try_again(),
            Notice::SafetyAlarm(what) => {
                let text = format!("this node stopped rather than do harm: {what}");
                return Err(Error::new(ErrorKind::Internal, text));
            }
            Notice::IdentityTaken(what) => return Err(Error::new(ErrorKind::IdentityTaken, what)),
            Notice::MembershipChanged { .. }
            | Notice::MembershipCommitted { .. }
            | Notice::WrongNode { .. }
            | Notice::Abstaining(_) => {}
        }
        Ok(())
    }

    /// The end: everybody is told, sockets and threads are closed, and what is on disk is closed
    /// properly as far as the disk works.
    fn finish(&mut self, end: Result<(), Error>) {
        let (refusal, why) = match &end {
            Ok(()) => (closed(), "the service was closed"),
            Err(error) => (error.clone(), "the service failed"),
        };
        // First: whoever sees that the service failed, or is told so, is refused from then on.
        let left = self.inbox.shut(refusal);
        if let Err(error) = end {
            self.view.fail(error.clone());
            self.watch.failed(&error);
        }
        drop(left); // which tells the callers in it
        self.requests.end(&Error::interrupted(why));
        self.peers.stop();
        self.applier.stop();
        self.fetcher.stop();
        self.persister.stop();
        self.view.tracker.finish();
        self.watch.closed();
    }
}

/// What calls get once the host has closed the service.
fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the service is closed: start it anew to use it")
}
