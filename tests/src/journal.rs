//! A state machine for tests: it writes down what it is given, and does what a test wants in between.

use bytes::Bytes;
use quorate_engine::consensus::types::{ClusterId, Index, Term};
use quorate_engine::state_machine::{Applied, Committed, StateMachine};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What a change of the application was: its index, and its bytes.
pub type Line = (u64, Vec<u8>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A door that callbacks can be made to wait at.
#[derive(Default)]
pub struct Door {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Door {
    /// Whoever comes now waits.
    pub fn shut(&self) {
        lock(&self.state).0 = true;
    }

    /// Everybody may go.
    pub fn open(&self) {
        lock(&self.state).0 = false;
        self.changed.notify_all();
    }

    /// Returns once somebody waits.
    pub fn until_somebody_waits(&self) {
        let mut state = lock(&self.state);
        while state.1 == 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until it is open.
    pub fn pass(&self) {
        let mut state = lock(&self.state);
        state.1 += 1;
        self.changed.notify_all();
        while state.0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.1 -= 1;
    }
}

/// What a callback does with each change, before it is written down.
type Act = Box<dyn FnMut(&Committed) -> Result<(), String> + Send>;

/// The test's side of a journal.
#[derive(Clone, Default)]
pub struct Journal {
    lines: Arc<Mutex<Vec<Line>>>,
    dropped: Arc<Mutex<usize>>,
    /// Each commit passes it.
    pub door: Arc<Door>,
}

impl Journal {
    /// A journal without lines.
    #[must_use]
    pub fn new() -> Journal {
        Journal::default()
    }

    /// The lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        lock(&self.lines).clone()
    }

    /// The bytes of the lines.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let text = |(_, bytes): Line| String::from_utf8_lossy(&bytes).into_owned();
        self.lines().into_iter().map(text).collect()
    }

    /// How many of its machines were dropped.
    #[must_use]
    pub fn dropped(&self) -> usize {
        *lock(&self.dropped)
    }

    /// A machine that forgets its state when it ends: everything is committed again.
    #[must_use]
    pub fn machine(&self) -> Box<Machine> {
        Box::new(Machine { journal: self.clone(), applied: Applied::default(), act: None })
    }

    /// A machine whose state is what the lines hold, durably.
    #[must_use]
    pub fn durable_machine(&self) -> Box<Machine> {
        let index = lock(&self.lines).last().map_or(0, |(index, _)| *index);
        self.machine_at(index, 0, 0)
    }

    /// A machine that claims to have applied so much.
    #[must_use]
    pub fn machine_at(&self, index: u64, term: u64, cluster: u64) -> Box<Machine> {
        let (index, term, cluster) = (Index(index), Term(term), ClusterId(cluster));
        let applied = Applied { index, term, cluster };
        Box::new(Machine { journal: self.clone(), applied, act: None })
    }

    /// A machine that does this with each change first.
    #[must_use]
    pub fn acting(
        &self,
        act: impl FnMut(&Committed) -> Result<(), String> + Send + 'static,
    ) -> Box<Machine> {
        let act: Act = Box::new(act);
        Box::new(Machine { act: Some(act), ..*self.machine() })
    }
}

/// The library's side of a journal. Its reply is `re:` and what was proposed.
pub struct Machine {
    journal: Journal,
    applied: Applied,
    act: Option<Act>,
}

impl StateMachine for Machine {
    fn open(&mut self) -> Result<Applied, String> {
        Ok(self.applied)
    }

    fn commit(
        &mut self,
        entries: &[Committed],
        replies: &mut Vec<Option<Bytes>>,
    ) -> Result<(), String> {
        self.journal.door.pass();
        for entry in entries {
            if let Some(act) = &mut self.act {
                act(entry)?;
            }
            let data = entry.command.data();
            lock(&self.journal.lines).push((entry.index.0, data.to_vec()));
            replies.push(Some([b"re:", data].concat().into()));
        }
        Ok(())
    }
}

/// Counts the machines that are gone.
pub struct Tombstone(Arc<Mutex<usize>>);

impl Journal {
    /// Something that counts in `dropped` when it goes; for `acting` to hold.
    #[must_use]
    pub fn tombstone(&self) -> Tombstone {
        Tombstone(Arc::clone(&self.dropped))
    }
}

impl Drop for Tombstone {
    fn drop(&mut self) {
        *lock(&self.0) += 1;
    }
}
