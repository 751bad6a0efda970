//! Memory that strangers can make a node take, in all: the long frames that have begun and not ended.
//!
//! Whoever begins one gets its room at once; while the room is overdrawn, those who have been at it
//! longest lose theirs, and their connections with it. An honest frame is there within a moment, so it is
//! those who dawdle on purpose that are sent away, and nobody waits for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// What is shared out.
#[derive(Default)]
pub(super) struct Ration {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    next: u64,
    bytes: usize,
    /// In the order in which they were given.
    parts: BTreeMap<u64, (usize, oneshot::Sender<()>)>,
}

impl Held {
    fn give_back(&mut self, number: u64) {
        if let Some((bytes, _)) = self.parts.remove(&number) {
            self.bytes -= bytes;
        }
    }
}

/// A part of it; given back when dropped.
pub(super) struct Part {
    ration: Arc<Ration>,
    number: u64,
    lost: oneshot::Receiver<()>,
}

impl Ration {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives room for `bytes`. Of the parts before it, the oldest are lost until all that is left is
    /// within `limit`.
    pub(super) fn take(self: &Arc<Ration>, bytes: usize, limit: usize) -> Part {
        let mut held = self.held();
        while held.bytes + bytes > limit
            && let Some((_, (freed, _lost))) = held.parts.pop_first()
        {
            held.bytes -= freed;
        }
        let (number, (keep, lost)) = (held.next, oneshot::channel());
        held.next += 1;
        held.bytes += bytes;
        held.parts.insert(number, (bytes, keep));
        Part { ration: Arc::clone(self), number, lost }
    }
}

impl Part {
    /// Waits until the part is lost.
    pub(super) async fn is_lost(&mut self) {
        let _sender_is_gone = (&mut self.lost).await;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.ration.held().give_back(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lose_their_part_first() {
        let ration = Arc::new(Ration::default());
        let mut parts: Vec<Part> = (0..4).map(|_| ration.take(10, 30)).collect();
        let lost =
            |part: &mut Part| part.lost.try_recv() == Err(oneshot::error::TryRecvError::Closed);
        assert_eq!(parts.iter_mut().map(lost).collect::<Vec<_>>(), [true, false, false, false]);
        parts.remove(1);
        let fits = ration.take(10, 30);
        assert!(!parts[1..].iter_mut().any(lost), "what was given back is there again");
        let all = ration.take(30, 30);
        assert!(parts.iter_mut().all(lost));
        drop((parts, fits, all));
        assert_eq!(ration.held().bytes, 0);
    }
}
