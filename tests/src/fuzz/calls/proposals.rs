//! Proposals, read barriers, and many requests at a time: entries with parts missing, of impossible
//! lengths, too large or reserved.

use super::caller::Caller;
use super::world::{Due, Kind, Standing};
use quorate::bytes::quorate_bytes;
use quorate::entry::quorate_entry;
use quorate::propose::*;
use quorate::queue::*;
use quorate::service::quorate_service;
use std::ptr;

const IMPOSSIBLE: [usize; 2] = [usize::MAX, usize::MAX / 2 + 1];
/// More than `max_entry_bytes`.
static LARGE: [u8; (1 << 20) + 1] = [7; (1 << 20) + 1];
const OPS: [i32; 12] = [0, 1, 2, 6, 7, 8, 0, 1, 5, 50, -1, i32::MAX];
/// Requests of one call.
const MOST: usize = 8;

/// An entry, and the tags that it points to.
struct Entry<'b> {
    tags: Vec<quorate_bytes>,
    tags_len: u32,
    data: quorate_bytes,
    kind: i32,
    reserved: u64,
    index: u64,
    _bytes: std::marker::PhantomData<&'b [u8]>,
}

impl Entry<'_> {
    fn given(&self) -> quorate_entry {
        quorate_entry {
            index: self.index,
            term: 0,
            timestamp_ns: 0,
            r#type: self.kind,
            tags_len: self.tags_len,
            tags: if self.tags.is_empty() { ptr::null() } else { self.tags.as_ptr() },
            data: self.data,
            reserved: self.reserved,
        }
    }
}

impl<'b> Caller<'_, 'b> {
    /// Bytes as a host may give them.
    fn bytes(&mut self) -> quorate_bytes {
        let choice = self.input.u8();
        let piece = self.input.piece();
        let (data, len) = match choice {
            0 => (ptr::null(), piece.len()),
            1 => (piece.as_ptr(), self.input.one_of(&IMPOSSIBLE)),
            2 => (LARGE.as_ptr(), LARGE.len()),
            _ => (piece.as_ptr(), piece.len()),
        };
        quorate_bytes { data: data.cast(), len }
    }

    fn entry(&mut self) -> Entry<'b> {
        let tags: Vec<quorate_bytes> = (0..self.input.below(3)).map(|_| self.bytes()).collect();
        let odd = self.input.u8();
        let tags_len = match odd {
            0 => u32::MAX,
            1 if tags.is_empty() => 3, // NULL with a length
            _ => tags.len() as u32,
        };
        Entry {
            tags_len,
            tags,
            data: self.bytes(),
            kind: if odd == 2 { self.input.u32() as i32 } else { 1 },
            reserved: u64::from(odd == 3),
            index: self.some_node(),
            _bytes: std::marker::PhantomData,
        }
    }

    pub fn propose(&mut self) {
        let (number, _) = self.handle(Kind::Service);
        let entry = self.entry();
        let given = entry.given();
        let is_null = self.input.u8() == 0;
        let (standing, mut at) = (self.standing(Kind::Service, number), [0, 0]);
        let timeout_ms = self.timeout_ms(standing);
        let status = self.call("quorate_service_propose", standing, |err| {
            let given = if is_null { ptr::null() } else { &raw const given };
            let [index, term] = &mut at;
            // SAFETY: what the entry points to is readable where its length is possible.
            unsafe { quorate_service_propose(service(number), given, timeout_ms, index, term, err) }
        });
        assert_eq!(status == 0, at != [0, 0], "it is somewhere, or nowhere");
    }

    pub fn propose_wait(&mut self) {
        let (number, _) = self.handle(Kind::Service);
        let entry = self.entry();
        let given = entry.given();
        let (standing, mut reply) = (self.standing(Kind::Service, number), ptr::null_mut());
        let timeout_ms = self.timeout_ms(standing);
        let is_wanted = self.input.flag();
        let status = self.call("quorate_service_propose_wait", standing, |err| {
            let out = if is_wanted { &raw mut reply } else { ptr::null_mut() };
            // SAFETY: what the entry points to is readable where its length is possible.
            unsafe { quorate_service_propose_wait(service(number), &given, timeout_ms, out, err) }
        });
        assert_eq!(!reply.is_null(), status == 0 && is_wanted);
        self.world.keep(reply, false);
    }

    pub fn read_barrier(&mut self) {
        let (number, standing) = self.handle(Kind::Service);
        let mode = self.input.one_of(&[0, 0, 0, 1, 2, 3, -1, i32::MIN]);
        let timeout_ms = self.timeout_ms(standing);
        let name = "quorate_service_read_barrier";
        // Its mode is looked at before the handle.
        let standing = if mode == 0 { standing } else { Standing::Any };
        self.call(name, standing, |err| {
            // SAFETY: a handle is never followed.
            unsafe { quorate_service_read_barrier(service(number), mode, timeout_ms, err) }
        });
    }

    /// Of the requests that were taken each completes once, the others never.
    pub fn submit(&mut self) {
        let (number, _) = self.handle(Kind::Service);
        let (queue, of_queue) = self.handle(Kind::Queue);
        let count = self.input.below(MOST);
        let token = self.world.tokens(queue, count);
        let entries: Vec<Entry<'_>> = (0..count).map(|_| self.entry()).collect();
        let requests: Vec<quorate_request> =
            entries.iter().zip(token..).map(|(entry, token)| self.request(entry, token)).collect();
        self.world.expect(token, count as u64, Due::Perhaps);
        let (data, n) = match self.input.u8() {
            0 => (ptr::null(), count),
            1 => (requests.as_ptr(), self.input.one_of(&IMPOSSIBLE)),
            _ => (requests.as_ptr(), count),
        };
        let standing = self.standing(Kind::Service, number);
        let status = self.call_with_two("quorate_service_submit", standing, of_queue, |err| {
            let queue = ptr::without_provenance_mut::<quorate_queue>(queue);
            // SAFETY: the requests, and what they point to, are readable where lengths are possible.
            unsafe { quorate_service_submit(service(number), queue, data, n, err) }
        });
        let taken = u64::try_from(status).unwrap_or(0);
        assert!(taken <= count as u64);
        self.world.expect(token, taken, Due::One);
        self.world.expect(token + taken, count as u64 - taken, Due::Nothing);
    }

    fn request(&mut self, entry: &Entry<'_>, token: u64) -> quorate_request {
        quorate_request {
            token,
            op: self.input.one_of(&OPS),
            mode: self.input.one_of(&[0, 0, 0, 0, 1, 9]),
            timeout_ms: self.input.one_of(&[-1, 0, 1, 5, i64::MAX, i64::MIN]),
            entry: entry.given(),
            reserved: [0, u64::from(self.input.u8() == 0)],
        }
    }
}

fn service(number: usize) -> *mut quorate_service {
    ptr::without_provenance_mut(number)
}
