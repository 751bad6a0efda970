//! The bounded queue of frames before a connection. What does not fit is lost; the protocol copes.

use crate::transport::wire::Frame;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Frames that are written together.
const BATCH: usize = 64;

/// Where frames go in. Dropping it ends the connection once what is queued is written.
pub(super) struct Queue {
    frames: mpsc::Sender<Frame>,
    bytes: Arc<AtomicUsize>,
    max_bytes: usize,
}

/// Where frames come out.
pub(super) struct Drain {
    frames: mpsc::Receiver<Frame>,
    bytes: Arc<AtomicUsize>,
    /// Taken out and not written.
    next: Vec<Frame>,
}

pub(super) fn queue(max_frames: usize, max_bytes: usize) -> (Queue, Drain) {
    let (sender, receiver) = mpsc::channel(max_frames.max(1));
    let bytes = Arc::new(AtomicUsize::new(0));
    let queue = Queue { frames: sender, bytes: bytes.clone(), max_bytes };
    (queue, Drain { frames: receiver, bytes, next: Vec::new() })
}

impl Queue {
    /// A frame is taken if there is room, or if it is the only one, and lost otherwise.
    pub(super) fn push(&self, frame: Frame) -> bool {
        let len = frame.len();
        let queued = self.bytes.fetch_add(len, Ordering::Relaxed);
        let room = queued == 0 || queued + len <= self.max_bytes;
        let taken = room && self.frames.try_send(frame).is_ok();
        if !taken {
            self.bytes.fetch_sub(len, Ordering::Relaxed);
        }
        taken
    }

    pub(super) fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }
}

impl Drain {
    /// Waits until there is a frame. `false`: there will be none.
    pub(super) async fn wait(&mut self) -> bool {
        !self.next.is_empty() || self.frames.recv_many(&mut self.next, BATCH).await > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.next.is_empty() && self.frames.is_empty()
    }

    /// The frames that were waited for. They count as queued until `done`.
    pub(super) fn take(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.next)
    }

    /// So many bytes of frames are gone.
    pub(super) fn done(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Loses what is queued. Returns how many frames that were.
    pub(super) fn clear(&mut self) -> usize {
        while let Ok(frame) = self.frames.try_recv() {
            self.next.push(frame);
        }
        self.done(self.next.iter().map(Frame::len).sum());
        self.next.drain(..).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn frame(len: usize) -> Frame {
        Frame { head: Bytes::from(vec![0; len]), data: Vec::new() }
    }

    #[test]
    fn bytes_and_frames_are_bounded() {
        let (queue, mut drain) = queue(3, 100);
        assert!(queue.push(frame(1000)), "one frame always fits");
        assert!(!queue.push(frame(1)));
        assert_eq!(drain.clear(), 1);
        for _ in 0..3 {
            assert!(queue.push(frame(10)));
        }
        assert!(!queue.push(frame(10)), "three frames are waiting");
        assert_eq!(drain.clear(), 3);
        assert!(queue.push(frame(60)) && !queue.push(frame(60)) && queue.push(frame(40)));
        drop(drain);
        assert!(queue.is_closed() && !queue.push(frame(10)));
    }
}
