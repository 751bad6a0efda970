//! The thread quorate-apply: gives committed entries to the state machine, each exactly once in a run
//! and in order, and answers the callers who proposed them here. All calls of the state machine come
//! from this thread, its drop included. An error or panic of it is the end of the service: a state
//! that skipped a change is no replica.

use super::caller::Settled;
use super::inbox::{Batch, Inbox};
use super::jobs::{Jobs, Taken};
use super::persist::no_thread;
use super::view::View;
use super::waiters::Waiters;
use crate::consensus::command::{Entry, Payload};
use crate::consensus::types::{EntryId, Index};
use crate::error::{Error, ErrorKind};
use crate::os;
use crate::slot::Slot;
use crate::state_machine::{Applied, Committed, StateMachine};
use bytes::Bytes;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Bytes applied after which the loop is told at once; well below what it hands over in advance.
const TELL_BYTES: usize = 1 << 20;

/// What the thread is asked to do.
pub(crate) enum Job {
    /// The first one: from here on.
    Begin(Box<Begin>),
    /// Committed entries, ascending without a gap.
    Apply(Vec<Entry>),
    /// The log was cut after this index: what lay behind held nothing for the state machine.
    Rewind(Index),
}

/// Where the thread begins.
pub(crate) struct Begin {
    /// Who waits.
    pub waiters: Arc<Waiters>,
    /// What the getters read.
    pub view: Arc<View>,
    /// The last applied entry.
    pub applied: Index,
    /// What the state machine holds; ahead of `applied` on a log that is still to be repaired.
    pub held: Applied,
    /// Bytes of one call.
    pub max_bytes: usize,
}

/// The thread, as the loop sees it.
pub(crate) struct Applier {
    /// Its work.
    pub jobs: Arc<Jobs<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Applier {
    /// Starts the thread, and opens the state machine in it.
    pub(crate) fn start(
        machine: Box<dyn StateMachine>,
        inbox: Arc<Inbox>,
    ) -> Result<(Applier, Applied), Error> {
        let jobs = Arc::new(Jobs::new());
        let opened = Arc::new(Slot::new());
        let (work, answer) = (Arc::clone(&jobs), Arc::clone(&opened));
        let body = move || run(machine, &work, inbox, &answer);
        let thread = Some(os::spawn("quorate-apply", body).map_err(no_thread)?);
        let applier = Applier { jobs, thread };
        Ok((applier, opened.wait()?))
    }

    /// Ends the thread after the call it is in; what waits is not applied.
    pub(crate) fn stop(&mut self) {
        self.jobs.abandon();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // its panics were caught and told
        }
    }
}

impl Drop for Applier {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(
    machine: Box<dyn StateMachine>,
    jobs: &Jobs<Job>,
    inbox: Arc<Inbox>,
    opened: &Slot<Result<Applied, Error>>,
) {
    let mut machine = Guarded(machine);
    match machine.call(|machine| machine.open()) {
        Ok(applied) => opened.fill(Ok(applied)),
        Err(text) => {
            let text = format!("the state machine can't be opened: {text}");
            opened.fill(Err(Error::new(ErrorKind::StateMachineFailed, text)));
        }
    }
    let work = AssertUnwindSafe(|| serve(&mut machine, jobs, &inbox));
    let fault = match catch_unwind(work) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => {
            let text = "the apply thread panicked: please report it";
            Some(Error::new(ErrorKind::Internal, text))
        }
    };
    if let Some(error) = fault {
        inbox.fail(error);
    }
    machine.drop();
}

fn serve(machine: &mut Guarded, jobs: &Jobs<Job>, inbox: &Inbox) -> Result<(), Error> {
    let mut waiting = VecDeque::new();
    let mut applying: Option<Applying<'_>> = None;
    while jobs.take(&mut waiting, None) == Taken::Some {
        while let Some(job) = waiting.pop_front() {
            match (job, &mut applying) {
                (Job::Begin(begin), _) => applying = Some(Applying::new(*begin, inbox)),
                (Job::Apply(entries), Some(applying)) => applying.apply(machine, entries)?,
                (Job::Rewind(keep), Some(applying)) => applying.rewind(keep)?,
                (Job::Apply(_) | Job::Rewind(_), None) => {}
            }
        }
    }
    Ok(())
}

/// The host's state machine: calls are marked as callbacks, and its panics become errors.
struct Guarded(Box<dyn StateMachine>);

impl Guarded {
    fn call<T>(
        &mut self,
        call: impl FnOnce(&mut dyn StateMachine) -> Result<T, String>,
    ) -> Result<T, String> {
        os::callback(|| call(&mut *self.0)).unwrap_or_else(Err)
    }

    fn drop(self) {
        let _ = os::callback(|| drop(self.0)); // nobody is left who could be told
    }
}

struct Applying<'a> {
    inbox: &'a Inbox,
    waiters: Arc<Waiters>,
    view: Arc<View>,
    max_bytes: usize,
    held: Applied,
    applied: Index,
    /// The last entry that the state machine was given.
    given: Index,
    /// Bytes that the loop has not been told are applied.
    untold: usize,
    /// Something of the engine's own was among them.
    own: bool,
    /// Kept for their memory.
    entries: Vec<Committed>,
    replies: Vec<Option<Bytes>>,
    settled: Settled,
}

impl Applying<'_> {
    fn new(begin: Begin, inbox: &Inbox) -> Applying<'_> {
        Applying {
            inbox,
            waiters: begin.waiters,
            view: begin.view,
            max_bytes: begin.max_bytes,
            held: begin.held,
            applied: begin.applied,
            given: begin.held.index,
            untold: 0,
            own: false,
            entries: Vec::new(),
            replies: Vec::new(),
            settled: Settled::default(),
        }
    }

    fn apply(&mut self, machine: &mut Guarded, entries: Vec<Entry>) -> Result<(), Error> {
        let mut bytes = 0;
        let mut last = EntryId::ZERO;
        for entry in entries {
            if bytes > 0 && bytes + entry.size() > self.max_bytes {
                self.commit(machine, last)?;
                bytes = 0;
            }
            bytes += entry.size();
            self.untold += entry.size();
            last = entry.id();
            self.collect(entry)?;
        }
        self.commit(machine, last)
    }

    /// Takes up what is for the state machine.
    fn collect(&mut self, entry: Entry) -> Result<(), Error> {
        let Entry { index, term, payload } = entry;
        if index <= self.held.index {
            return self.compare_with_held(index, EntryId::new(index, term));
        }
        match payload {
            Payload::Command(command) if command.kind() >= 0 => {
                if index <= self.given {
                    return Err(twice(index));
                }
                self.given = index;
                self.entries.push(Committed { index, term, command });
            }
            Payload::Command(_) | Payload::Noop | Payload::Membership(_) => self.own = true,
        }
        Ok(())
    }

    /// The log was behind the state machine and grows past it now: they must agree where they meet.
    fn compare_with_held(&self, index: Index, id: EntryId) -> Result<(), Error> {
        let held = self.held;
        if index == held.index && !held.term.is_zero() && held.term != id.term {
            let text = format!(
                "the state machine has applied entry {index} of term {}, but the cluster has {id}: \
                 they have different histories; delete both and add the node again",
                held.term
            );
            return Err(Error::new(ErrorKind::StateMachineFailed, text));
        }
        Ok(())
    }

    /// One call of the state machine, if there is anything for it; then everybody is told.
    fn commit(&mut self, machine: &mut Guarded, last: EntryId) -> Result<(), Error> {
        if last == EntryId::ZERO {
            return Ok(());
        }
        self.replies.clear();
        if !self.entries.is_empty() {
            let (entries, replies) = (&self.entries, &mut self.replies);
            machine.call(|machine| machine.commit(entries, replies)).map_err(|text| {
                let (first, last) = (entries[0].index, entries[entries.len() - 1].index);
                failed(&format!("could not apply entries {first} to {last}: {text}"))
            })?;
            if !self.replies.is_empty() && self.replies.len() != self.entries.len() {
                let (got, want) = (self.replies.len(), self.entries.len());
                return Err(failed(&format!("gave {got} replies for {want} entries")));
            }
        }
        self.applied = last.index;
        self.tell(last);
        self.entries.clear();
        Ok(())
    }

    /// Getters and tracker first: who is answered finds them up to date.
    fn tell(&mut self, last: EntryId) {
        self.view.applied(last.index, self.entries.len());
        self.waiters.applied(&self.entries, &mut self.replies, last, &mut self.settled);
        self.settled.deliver(&self.waiters.admission);
        self.tell_loop(last.index);
    }

    /// The protocol only makes room by it, unless the entries are its own, on which a change of
    /// membership may hang: so the loop is not woken for each batch.
    fn tell_loop(&mut self, applied: Index) {
        let add = |batch: &mut Batch| batch.applied = applied;
        if self.own || self.untold >= TELL_BYTES {
            (self.own, self.untold) = (false, 0);
            self.inbox.add(add);
        } else {
            self.inbox.add_quietly(add);
        }
    }

    /// The log is cut by a change of lineage. What was applied stays, unless the log was damaged and the
    /// node left before it was repaired: what comes next would fill places anew that are filled.
    fn rewind(&mut self, keep: Index) -> Result<(), Error> {
        if self.given > keep {
            let text = format!(
                "the state machine has applied entry {} and this node left its cluster with a damaged \
                 log that ends at {keep}: delete both and add the node again",
                self.given
            );
            return Err(Error::new(ErrorKind::StateMachineFailed, text));
        }
        self.applied = self.applied.min(keep);
        self.waiters.rewind(self.applied);
        self.view.rewound(self.applied);
        self.inbox.add(|batch| batch.rewound = Some(self.applied));
        Ok(())
    }
}

fn failed(text: &str) -> Error {
    let text = format!("the state machine {text}; this node stopped, because it is no replica now");
    Error::new(ErrorKind::StateMachineFailed, text)
}

fn twice(index: Index) -> Error {
    let text = format!("entry {index} came to the state machine out of turn: please report it");
    Error::new(ErrorKind::Internal, text)
}
