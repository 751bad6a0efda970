//! What a script has made so far, and what must still come of it: handles, results, requests that wait
//! for their completion, hooks that wait to be dropped. Shared by all threads and callbacks of a script,
//! and never locked while the library is called.

use super::hooks::Hook;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

/// What a handle is of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Config,
    Queue,
    Service,
    Tracker,
    /// A row of output slots, which its callback takes back.
    Output,
}

/// What is known of a handle before it is used. Other threads may free it meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    Null,
    /// Of another type.
    Foreign,
    /// The call that freed it has returned.
    Freed,
    /// Alive as far as is known, or any number.
    Any,
}

/// A handle that the library gave.
#[derive(Clone, Copy, Debug)]
pub struct Handle {
    pub kind: Kind,
    pub number: usize,
    pub is_freed: bool,
}

/// A result that the library gave and that is not freed.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    pub address: usize,
    pub is_error: bool,
}

/// What must come of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// It was not taken.
    Nothing,
    /// At most one completion: it may wait for ever.
    Perhaps,
    /// Exactly one completion.
    One,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    queue: usize,
    due: Due,
    seen: u32,
}

/// All of it.
#[derive(Default)]
pub struct World {
    handles: Mutex<Vec<Handle>>,
    results: Mutex<Vec<Kept>>,
    frames: Mutex<Vec<Vec<u8>>>,
    tokens: Mutex<BTreeMap<u64, Token>>,
    next_token: AtomicU64,
    pub hooks: Mutex<Vec<Arc<Hook>>>,
    pub threads: Mutex<Vec<JoinHandle<()>>>,
    /// What threads and callbacks found.
    pub found: Mutex<Vec<String>>,
    dir: OnceLock<tempfile::TempDir>,
}

/// Frames of a host's network that are kept.
const FRAMES: usize = 32;

/// Nobody leaves a lock of these in a bad state.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// Remembers a handle, once; NULL is none.
    pub fn made(&self, kind: Kind, number: usize) {
        let mut handles = lock(&self.handles);
        if number != 0 && !handles.iter().any(|handle| handle.number == number) {
            handles.push(Handle { kind, number, is_freed: false });
        }
    }

    /// From now on it is certain that the handle is dead.
    pub fn freed(&self, number: usize) {
        let mut handles = lock(&self.handles);
        handles.iter_mut().filter(|h| h.number == number).for_each(|h| h.is_freed = true);
    }

    /// All handles that there were.
    pub fn handles(&self, wanted: impl Fn(&Handle) -> bool) -> Vec<Handle> {
        lock(&self.handles).iter().copied().filter(wanted).collect()
    }

    /// Handles that nobody freed.
    pub fn living(&self, kind: Kind) -> Vec<Handle> {
        self.handles(|h| h.kind == kind && !h.is_freed)
    }

    /// Whether only the calling thread is at work, so that no address changes hands.
    pub fn is_quiet(&self) -> bool {
        self.living(Kind::Service).is_empty() && lock(&self.threads).is_empty()
    }

    /// Keeps a result.
    pub fn keep<T>(&self, result: *const T, is_error: bool) {
        if !result.is_null() {
            lock(&self.results).push(Kept { address: result.expose_provenance(), is_error });
        }
    }

    /// Takes out a result of those that fit.
    pub fn take_result(&self, number: usize, fits: impl Fn(&Kept) -> bool) -> Option<Kept> {
        let mut results = lock(&self.results);
        let all: Vec<usize> = (0..results.len()).filter(|at| fits(&results[*at])).collect();
        let at = *all.get(number % all.len().max(1))?;
        Some(results.swap_remove(at))
    }

    /// The address of some result, which stays where it is.
    pub fn some_result(&self, number: usize) -> usize {
        let results = lock(&self.results);
        results.get(number % results.len().max(1)).map_or(0, |kept| kept.address)
    }

    /// Keeps a frame that was to be sent.
    pub fn sent(&self, frame: &[u8]) {
        let mut frames = lock(&self.frames);
        if frames.len() == FRAMES {
            frames.remove(0);
        }
        frames.push(frame.to_vec());
    }

    /// A frame that was to be sent.
    pub fn frame(&self, number: usize) -> Vec<u8> {
        let frames = lock(&self.frames);
        frames.get(number % frames.len().max(1)).cloned().unwrap_or_default()
    }

    /// Tokens for requests with that queue, which may complete from now on.
    pub fn tokens(&self, queue: usize, count: usize) -> u64 {
        let first = 1 + self.next_token.fetch_add(count as u64, Ordering::Relaxed);
        let mut tokens = lock(&self.tokens);
        let new = Token { queue, due: Due::Nothing, seen: 0 };
        tokens.extend((first..first + count as u64).map(|token| (token, new)));
        first
    }

    /// Says what must come of the requests with these tokens.
    pub fn expect(&self, first: u64, count: u64, due: Due) {
        let mut tokens = lock(&self.tokens);
        tokens.range_mut(first..first + count).for_each(|(_, token)| token.due = due);
    }

    /// A completion has come.
    pub fn completed(&self, token: u64) {
        let mut tokens = lock(&self.tokens);
        let token = tokens.get_mut(&token).expect("nothing completes that nobody asked for");
        token.seen += 1;
    }

    /// Requests with this queue that wait for their completion.
    pub fn waiting(&self, queue: usize) -> usize {
        let is_waiting = |t: &&Token| t.queue == queue && t.due == Due::One && t.seen == 0;
        lock(&self.tokens).values().filter(is_waiting).count()
    }

    /// Every request completed as often as it should, where somebody could hear it.
    pub fn check_tokens(&self, is_heard: impl Fn(usize) -> bool) {
        for (number, token) in lock(&self.tokens).iter() {
            let (least, most) = match token.due {
                Due::Nothing => (0, 0),
                Due::Perhaps => (0, 1),
                Due::One => (u32::from(is_heard(token.queue)), 1),
            };
            assert!((least..=most).contains(&token.seen), "request {number}: {token:?}");
        }
    }

    /// A directory of this script's own.
    pub fn dir(&self) -> PathBuf {
        let dir = self.dir.get_or_init(|| tempfile::tempdir().expect("a directory"));
        dir.path().to_owned()
    }
}
