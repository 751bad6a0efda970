//! Calls with configs, queues, trackers and output slots.

use super::caller::{Caller, Place};
use super::documented::FUNCTIONS;
use super::world::{Due, Kind, Standing, lock};
use quorate::bytes::quorate_bytes;
use quorate::config::*;
use quorate::hooks::quorate_output_set;
use quorate::queue::*;
use quorate::status::*;
use quorate::tracker::*;
use std::ptr;
use std::thread;

/// Keys and values. Directories are the script's own, addresses need no names to be looked up.
const KEYS: [&str; 12] = [
    "storage",
    "listen",
    "profile",
    "heartbeat_timeout",
    "election_timeout",
    "node_proposal_timeout",
    "pre_vote",
    "max_entry_bytes",
    "max_queued_entries",
    "segment_bytes",
    "forward_proposals",
    "no such key",
];
const VALUES: [&str; 16] = [
    "memory",
    "wal",
    "127.0.0.1:0",
    "no address",
    "classic",
    "lan",
    "5ms",
    "50ms",
    "1s",
    "on",
    "off",
    "64KiB",
    "1",
    "0",
    "18446744073709551616",
    "",
];
/// Completions of one poll.
const CAP: usize = 16;
const MEMBERSHIP: [&str; 3] = [
    "quorate_service_initialize_cluster",
    "quorate_service_add_node",
    "quorate_service_remove_node",
];

impl Caller<'_, '_> {
    pub fn config_new(&mut self) {
        self.world.made(Kind::Config, quorate_config_new().addr());
    }

    pub fn config_free(&mut self) {
        let (config, standing) = self.handle(Kind::Config);
        quorate_config_free(ptr::without_provenance_mut(config));
        self.gone(config, standing);
    }

    /// A free has returned.
    pub fn gone(&self, number: usize, standing: Standing) {
        if standing == Standing::Any {
            self.world.freed(number);
        }
    }

    pub fn config_set(&mut self) {
        let (config, _) = self.handle(Kind::Config);
        let (key, value) = (self.text(&KEYS), self.text(&VALUES));
        let standing = self.standing(Kind::Config, config);
        self.call("quorate_config_set", standing, |err| {
            let config = ptr::without_provenance_mut(config);
            // SAFETY: the texts are NULL or end with NUL.
            unsafe { quorate_config_set(config, key.as_ptr(), value.as_ptr(), err) }
        });
    }

    pub fn queue_new(&mut self) {
        self.world.made(Kind::Queue, quorate_queue_new().addr());
    }

    pub fn queue_free(&mut self) {
        let (queue, standing) = self.handle(Kind::Queue);
        quorate_queue_free(ptr::without_provenance_mut(queue));
        self.gone(queue, standing);
    }

    pub fn queue_look(&mut self) {
        let (queue, standing) = self.handle(Kind::Queue);
        let fd = quorate_queue_fd(ptr::without_provenance(queue));
        assert!(fd == -1 || standing == Standing::Any);
        quorate_queue_wake(ptr::without_provenance_mut(queue));
    }

    pub fn queue_poll(&mut self) {
        let (queue, standing) = self.handle(Kind::Queue);
        let timeout_ms = self.timeout_ms(standing);
        let cap = self.input.one_of(&[0, 1, 2, CAP]);
        let is_null = self.input.u8() == 0;
        self.poll(queue, standing, cap, timeout_ms, is_null);
    }

    /// Polls, and notes what has completed. Returns the status.
    pub fn poll(
        &mut self,
        queue: usize,
        standing: Standing,
        cap: usize,
        timeout_ms: i64,
        is_null: bool,
    ) -> i32 {
        let mut rows = [NOTHING; CAP];
        let out = if is_null { ptr::null_mut() } else { rows.as_mut_ptr() };
        // SAFETY: NULL, or room for as many as `cap` says.
        let status =
            unsafe { quorate_queue_poll(ptr::without_provenance_mut(queue), out, cap, timeout_ms) };
        self.judge("quorate_queue_poll", standing, status);
        for row in &rows[..usize::try_from(status).unwrap_or(0)] {
            self.completed(row);
        }
        status
    }

    fn completed(&self, row: &quorate_completion) {
        self.read(row);
        if row.op >= QUORATE_EVENT_LEADER {
            assert!(row.number > 0);
            return;
        }
        let named = |names: &[&str]| names.iter().any(|name| FUNCTIONS[*name].allows(row.status));
        let is_named = match row.op {
            QUORATE_OP_TRACKER => {
                [QUORATE_OK, QUORATE_ERR_TIMEOUT, QUORATE_ERR_CLOSED].contains(&row.status)
            }
            QUORATE_OP_PROPOSE => named(&["quorate_service_propose"]),
            QUORATE_OP_PROPOSE_WAIT => named(&["quorate_service_propose_wait"]),
            QUORATE_OP_READ_BARRIER => named(&["quorate_service_read_barrier"]),
            QUORATE_OP_MEMBERSHIP => named(&MEMBERSHIP),
            _ => false,
        };
        assert!(is_named, "op {} completed with {}", row.op, row.status);
        self.world.completed(row.token);
    }

    /// Until the next poll of the queue its bytes can be read; only the main thread knows that there was
    /// none.
    fn read(&self, row: &quorate_completion) {
        let (data, len) = (row.data.data.cast::<u8>(), row.data.len);
        if data.is_null() || self.place != Place::Main || !lock(&self.world.threads).is_empty() {
            return;
        }
        // SAFETY: the bytes are the queue's until its next poll, and a NUL follows them.
        let bytes = unsafe { std::slice::from_raw_parts(data, len + 1) };
        assert_eq!(bytes[len], 0);
        assert!(row.status >= 0 || std::str::from_utf8(bytes).is_ok_and(|text| text.len() > 1));
    }

    /// A poll without end ends when the queue is woken.
    pub fn queue_poll_woken(&mut self) {
        if self.place == Place::Callback {
            return;
        }
        let queue = quorate_queue_new();
        let number = queue.addr();
        let poll = thread::spawn(move || {
            let mut row = NOTHING;
            // SAFETY: room for one.
            unsafe { quorate_queue_poll(ptr::without_provenance_mut(number), &mut row, 1, -1) }
        });
        quorate_queue_wake(queue);
        let status = poll.join().expect("it does not panic");
        assert_eq!(status, 0);
        quorate_queue_free(queue);
    }

    pub fn tracker_new(&mut self) {
        self.world.made(Kind::Tracker, quorate_tracker_new().addr());
        let name = self.text(&["one", "two", ""]);
        // SAFETY: NULL, or it ends with NUL.
        let named = unsafe { quorate_tracker_named(name.as_ptr()) };
        self.world.made(Kind::Tracker, named.addr());
    }

    pub fn tracker_free(&mut self) {
        let (tracker, standing) = self.handle(Kind::Tracker);
        quorate_tracker_free(ptr::without_provenance_mut(tracker));
        self.gone(tracker, standing);
    }

    pub fn tracker_update(&mut self) {
        let (tracker, standing) = self.handle(Kind::Tracker);
        let change = self.input.u64();
        let status = quorate_tracker_update(ptr::without_provenance_mut(tracker), change);
        self.judge("quorate_tracker_update", standing, status);
    }

    pub fn tracker_wait(&mut self) {
        let (tracker, standing) = self.handle(Kind::Tracker);
        let tracker = ptr::without_provenance_mut(tracker);
        let returns_at_once = self.place == Place::Callback || standing != Standing::Any;
        let change = if returns_at_once { self.input.u64() } else { 0 };
        let value = quorate_tracker_wait(tracker, change);
        assert!(value == 0 || standing == Standing::Any);
        let timeout_ms = self.timeout_ms(standing);
        let value = quorate_tracker_timed_wait(tracker, self.input.u64(), timeout_ms);
        assert!(value == 0 || standing == Standing::Any);
    }

    /// A wait without end ends when the tracker is closed, also when its handle is freed then.
    pub fn tracker_wait_closed(&mut self) {
        let tracker = quorate_tracker_new();
        let number = tracker.addr();
        let wait = move || quorate_tracker_wait(ptr::without_provenance_mut(number), 9);
        let wait = thread::spawn(wait);
        assert_eq!(quorate_tracker_update(tracker, 3), QUORATE_OK);
        quorate_tracker_close(tracker);
        assert_eq!(wait.join().expect("it does not panic"), 3);
        quorate_tracker_free(tracker);
    }

    pub fn tracker_close(&mut self) {
        let (tracker, _) = self.handle(Kind::Tracker);
        quorate_tracker_close(ptr::without_provenance_mut(tracker));
    }

    pub fn tracker_notify(&mut self) {
        let (tracker, of_tracker) = self.handle(Kind::Tracker);
        let (queue, of_queue) = self.handle(Kind::Queue);
        let (change, timeout_ms) = (self.input.u64(), self.input.one_of(&[0, 1, 3, -1, i64::MAX]));
        let token = self.world.tokens(queue, 1);
        let is_short = (0..10).contains(&timeout_ms);
        self.world.expect(token, 1, if is_short { Due::One } else { Due::Perhaps });
        let status = self.call_with_two("quorate_tracker_notify", of_tracker, of_queue, |err| {
            let (tracker, queue) =
                (ptr::without_provenance_mut(tracker), ptr::without_provenance_mut(queue));
            // SAFETY: handles are never followed.
            unsafe { quorate_tracker_notify(tracker, change, timeout_ms, queue, token, err) }
        });
        if status < 0 {
            self.world.expect(token, 1, Due::Nothing);
        }
    }

    pub fn output_set(&mut self) {
        let (output, standing) = self.handle(Kind::Output);
        let data = self.input.piece();
        let item = match self.input.below(4) {
            0 => quorate_bytes { data: ptr::null(), len: 5 },
            1 => quorate_bytes { data: data.as_ptr().cast(), len: usize::MAX / 2 },
            _ => quorate_bytes { data: data.as_ptr().cast(), len: data.len() },
        };
        let first = self.input.one_of(&[0, 1, 7, usize::MAX]);
        let n = self.input.one_of(&[0, 1, 1, usize::MAX]);
        let output = ptr::without_provenance_mut(output);
        // SAFETY: there is one item, and no array has the other length.
        let status = unsafe { quorate_output_set(output, first, &item, n) };
        self.judge("quorate_output_set", standing, status);
    }
}

const NOTHING: quorate_completion = quorate_completion {
    token: 0,
    op: 0,
    status: 0,
    index: 0,
    term: 0,
    node_id: 0,
    data: quorate_bytes { data: ptr::null(), len: 0 },
    number: 0,
};
