//! Entries: what a caller proposes, and what a state machine is given.

// Chapter: Entries

use crate::bytes::{array, quorate_bytes};
use crate::guard::fail;
use quorate_engine::change::NewEntry;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::state_machine::Committed;

/// A change: borrowed in callbacks, filled by the caller to propose. Stands in arrays; 64 bytes
/// where pointers have 8. When proposing, index and term are ignored.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_entry {
    pub index: u64,
    pub term: u64,
    /// Nanoseconds since 1970 UTC, set by whoever proposes; 0 = not set. Order is by index, not by
    /// time.
    pub timestamp_ns: i64,
    /// 0 or more: the application's own; the library uses the negative ones.
    pub r#type: i32,
    pub tags_len: u32,
    /// In the order given; UTF-8; 65,535 bytes in all, each with 2 more.
    pub tags: *const quorate_bytes,
    /// Opaque to the library; not aligned.
    pub data: quorate_bytes,
    pub reserved: u64,
}

// Verbatim: #define QUORATE_ENTRY_INIT {0, 0, 0, 0, 0, NULL, {NULL, 0}, 0}

/// More tags than this do not fit, however short: each takes 2 bytes of 65,535.
const MAX_TAGS: u32 = 32_767;

/// The tags of an entry to be proposed.
///
/// # Safety
/// What the entry points to is readable and unchanged for `'a`.
pub(crate) unsafe fn tags<'a>(entry: &quorate_entry) -> Result<Vec<&'a [u8]>, Error> {
    if entry.tags_len > MAX_TAGS {
        let text = format!("the entry has {} tags; {MAX_TAGS} is the most", entry.tags_len);
        return fail(ErrorKind::TooLarge, text);
    }
    // SAFETY: by the contract of this function.
    unsafe {
        let tags = array(entry.tags, entry.tags_len as usize, "entry.tags")?;
        tags.iter().map(|tag| tag.borrow("a tag")).collect()
    }
}

/// An entry to be proposed, with its tags.
///
/// # Safety
/// What the entry points to is readable and unchanged for `'a`.
pub(crate) unsafe fn new_entry<'a>(
    entry: &quorate_entry,
    tags: &'a [&'a [u8]],
) -> Result<NewEntry<'a>, Error> {
    if entry.reserved != 0 {
        return fail(ErrorKind::Invalid, "entry.reserved is not 0: start with QUORATE_ENTRY_INIT");
    }
    // SAFETY: by the contract of this function.
    let data = unsafe { entry.data.borrow("entry.data") }?;
    Ok(NewEntry { kind: entry.r#type, timestamp_ns: entry.timestamp_ns, tags, data })
}

/// A batch of committed entries for C. Its memory is kept from batch to batch.
#[derive(Default)]
pub(crate) struct Batch {
    entries: Vec<quorate_entry>,
    tags: Vec<quorate_bytes>,
}

// SAFETY: the pointers inside are used only between `fill` and the end of the callback, on one
// thread.
unsafe impl Send for Batch {}

impl Batch {
    /// The entries, borrowed from the engine's memory: valid as long as `committed` is.
    pub(crate) fn fill(&mut self, committed: &[Committed]) -> &[quorate_entry] {
        self.entries.clear();
        self.tags.clear();
        for change in committed {
            let before = self.tags.len();
            self.tags.extend(change.command.tags().map(quorate_bytes::of));
            self.entries.push(entry(change, self.tags.len() - before));
        }
        self.place_tags();
        &self.entries
    }

    /// Points each entry to its tags, which stand still from now on.
    fn place_tags(&mut self) {
        let mut rest = self.tags.as_slice();
        for entry in self.entries.iter_mut().filter(|entry| entry.tags_len > 0) {
            let (tags, behind) = rest.split_at(entry.tags_len as usize);
            entry.tags = tags.as_ptr();
            rest = behind;
        }
    }
}

fn entry(change: &Committed, tags: usize) -> quorate_entry {
    quorate_entry {
        index: change.index.0,
        term: change.term.0,
        timestamp_ns: change.command.timestamp_ns(),
        r#type: change.command.kind(),
        tags_len: tags as u32,
        tags: std::ptr::null(),
        data: quorate_bytes::of(change.command.data()),
        reserved: 0,
    }
}

const _: () = assert!(size_of::<quorate_entry>() == 64, "it stands in arrays and never changes");

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_engine::consensus::types::{Index, Origin, Term};

    fn committed(index: u64, tags: &[&[u8]], data: &[u8]) -> Committed {
        let new = NewEntry { kind: 7, timestamp_ns: -9, tags, data };
        let command = new.encode(Origin::default(), 1 << 20).expect("it is small");
        Committed { index: Index(index), term: Term(3), command }
    }

    #[test]
    fn a_batch_gives_each_entry_its_own_tags() {
        let changes = [
            committed(4, &[b"a", b"bc"], b"first"),
            committed(6, &[], b""),
            committed(7, &[b""], b"third"),
        ];
        let mut batch = Batch::default();
        batch.fill(&changes[1..]);
        let seen: Vec<_> = batch.fill(&changes).to_vec();
        // SAFETY: the entries borrow from `changes`.
        unsafe {
            let tags: Vec<_> = seen.iter().map(|e| tags(e).expect("they are there")).collect();
            assert_eq!(tags, [vec![&b"a"[..], b"bc"], vec![], vec![b""]]);
            let back = new_entry(&seen[0], &tags[0]).expect("it is whole");
            assert_eq!((back.kind, back.timestamp_ns, back.data), (7, -9, &b"first"[..]));
        }
        assert_eq!(
            seen.iter().map(|e| (e.index, e.term)).collect::<Vec<_>>(),
            [(4, 3), (6, 3), (7, 3)]
        );
    }
}
