//! Frames that wait for one connection: bounded, never waited for.

use crate::transport::wire::Frame;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::Notify;

/// Bytes and frames that wait for one connection at most; more is lost.
const MAX_BYTES: usize = 32 << 20;
const MAX_FRAMES: usize = 8192;

/// The queue of one connection.
#[derive(Default)]
pub struct Outbound {
    frames: Mutex<(VecDeque<Frame>, usize)>,
    filled: Notify,
    dial: Notify,
}

impl Outbound {
    /// Adds a frame, or loses it.
    pub fn add(&self, frame: Frame) {
        let mut frames = super::lock(&self.frames);
        let len = frame.len();
        if frames.1 + len > MAX_BYTES || frames.0.len() >= MAX_FRAMES {
            return;
        }
        frames.1 += len;
        frames.0.push_back(frame);
        drop(frames);
        self.filled.notify_one();
    }

    /// Takes frames off the front, at least one and about `max_bytes`; none when there are none.
    pub fn take(&self, max_bytes: usize) -> Vec<Frame> {
        let mut frames = super::lock(&self.frames);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < max_bytes
            && let Some(frame) = frames.0.pop_front()
        {
            frames.1 -= frame.len();
            bytes += frame.len();
            taken.push(frame);
        }
        taken
    }

    /// Loses all that wait.
    pub fn clear(&self) {
        *super::lock(&self.frames) = (VecDeque::new(), 0);
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        super::lock(&self.frames).0.is_empty()
    }

    /// Returns when frames wait.
    pub async fn filled(&self) {
        while self.is_empty() {
            self.filled.notified().await;
        }
    }

    /// The other side is up.
    pub fn dial_now(&self) {
        self.dial.notify_one();
    }

    /// Returns when `dial_now` is called.
    pub async fn is_up(&self) {
        self.dial.notified().await;
    }
}
