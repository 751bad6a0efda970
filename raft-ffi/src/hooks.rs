//! The host's state machine: a table of functions becomes the engine's port.

// Chapter: State machine

use crate::bytes::{array, quorate_bytes, sized};
use crate::callback::{Context, OUTPUTS, Slots, called, copies};
use crate::entry::{Batch, quorate_entry};
use crate::guard::{fail, guard};
use crate::result::quorate_error;
use crate::status::quorate_status;
use bytes::Bytes;
use quorate_engine::consensus::types::{ClusterId, Index, Term};
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::state_machine::{Applied, Committed, StateMachine};
use std::ffi::c_void;
use std::mem::{size_of, take};
use std::ptr;

/// A row of output slots that a callback fills: the replies of commit, the records of a read. Valid
/// until that callback returns; after that it is refused, also while a later one runs.
pub struct quorate_output {
    _opaque: [u8; 0],
}

/// Where snapshot_save writes and restore reads. Since: 0.2
pub struct quorate_snapshot_writer {
    _opaque: [u8; 0],
}
pub struct quorate_snapshot_reader {
    _opaque: [u8; 0],
}

/// What the host's state holds durably: the last applied entry and the cluster it came from. Term
/// and cluster may be 0: then they are not checked.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_applied {
    pub struct_size: u32,
    pub reserved: u32,
    pub index: u64,
    pub term: u64,
    pub cluster_id: u64,
}

/// The host's state. Only commit is required.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_state_machine {
    pub struct_size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    /// See OWNERSHIP. May be NULL.
    pub drop: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// Called first, with `out` all 0 but its size: a state that starts empty leaves it so. What
    /// comes after out->index is committed again. A state that is ahead of the log, or of another
    /// history, is refused (STATE_MACHINE).
    pub open: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            out: *mut quorate_applied,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// Applies `n` >= 1 entries of type >= 0, in order of index. Each comes exactly once per run;
    /// the indexes have gaps where the library's own entries stand. `replies` has `n` slots; a
    /// reply goes to the caller who proposed the entry on this node. A negative status stops the
    /// service for good. Refusing a command is a matter of its reply, the same on every node.
    pub commit: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            entries: *const quorate_entry,
            n: usize,
            replies: *mut quorate_output,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// This callback and those after it must be NULL in this version, else UNSUPPORTED.
    /// Takes hold of the present state, quickly; no commit runs meanwhile. Since: 0.2
    pub snapshot_begin: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            out_snapshot: *mut *mut c_void,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// Writes that state, beside commits. Since: 0.2
    pub snapshot_save: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            snapshot: *mut c_void,
            writer: *mut quorate_snapshot_writer,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// Lets go of it; after every begin that succeeded, also when save failed. Since: 0.2
    pub snapshot_end: Option<unsafe extern "C" fn(ctx: *mut c_void, snapshot: *mut c_void)>,
    /// Replaces the whole state by the snapshot, which stands for all entries up to `index`; no
    /// commit runs meanwhile. A state that `open` reports on keeps that index with it. Since: 0.2
    pub restore: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            index: u64,
            reader: *mut quorate_snapshot_reader,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// Answers a read after its barrier; `reply` has one slot. Since: 0.3
    pub query: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            request: *const c_void,
            len: usize,
            reply: *mut quorate_output,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// A hash of the state, equal on all nodes at one index. Since: 0.3
    pub state_hash: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            out_hash: *mut u64,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
}

// Verbatim: #define QUORATE_STATE_MACHINE_INIT \
// Verbatim:     {(uint32_t)sizeof(quorate_state_machine), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
// Verbatim:      NULL, NULL}

/// Copies `n` items into the slots from `first` on; Go gives a whole batch in one call, C one at a
/// time. An unset slot is absent: no reply. An item whose data is NULL leaves its slot unset.
/// Non-blocking. Errors: INVALID (there are fewer slots), TOO_LARGE (there is no memory for it),
/// CLOSED (not in a callback). Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_output_set(
    out: *mut quorate_output,
    first: usize,
    items: *const quorate_bytes,
    n: usize,
) -> quorate_status {
    guard(ptr::null_mut(), || {
        let output = OUTPUTS.get(out)?;
        // SAFETY: by the contract of the header, `n` readable items.
        let (items, copies) = unsafe {
            let items = array(items, n, "items")?;
            (items, copies(items)?)
        };
        output.set(first, items, copies)
    })
}

impl quorate_state_machine {
    fn has_later_callbacks(&self) -> bool {
        self.snapshot_begin.is_some()
            || self.snapshot_save.is_some()
            || self.snapshot_end.is_some()
            || self.restore.is_some()
            || self.query.is_some()
            || self.state_hash.is_some()
    }
}

/// The host's state machine as the engine sees it.
pub(crate) struct Machine {
    table: quorate_state_machine,
    batch: Batch,
    /// The last field, so dropped after all others.
    _context: Context,
}

// SAFETY: the header says that a hook is called from the library's threads; the engine calls it
// from one at a time.
unsafe impl Send for Machine {}

impl Machine {
    /// Takes over a table, with its context.
    ///
    /// # Safety
    /// `table` is NULL or readable for as many bytes as its first field says; its functions may be
    /// called as the header says.
    pub(crate) unsafe fn new(
        table: *const quorate_state_machine,
        context: Option<Context>,
    ) -> Result<Machine, Error> {
        // SAFETY: by the contract of this function; a table of zeroes is a table.
        let table = unsafe { sized(table, size_of::<quorate_state_machine>(), "machine") }?;
        let context = context.filter(|_| table.reserved == 0);
        let Some(_context) = context else {
            return fail(
                ErrorKind::Invalid,
                "machine.reserved is not 0: start with its _INIT macro",
            );
        };
        check(&table)?;
        Ok(Machine { table, batch: Batch::default(), _context })
    }
}

fn check(table: &quorate_state_machine) -> Result<(), Error> {
    if table.commit.is_none() {
        return fail(ErrorKind::Invalid, "machine.commit is NULL: it is the one that is required");
    }
    if table.has_later_callbacks() {
        let text = "the machine has a callback for snapshots, queries or hashes, which this version \
                    does not know: leave it NULL";
        return fail(ErrorKind::Unsupported, text);
    }
    Ok(())
}

impl StateMachine for Machine {
    fn open(&mut self) -> Result<Applied, String> {
        let Some(open) = self.table.open else { return Ok(Applied::default()) };
        let struct_size = size_of::<quorate_applied>() as u32;
        let mut out =
            quorate_applied { struct_size, reserved: 0, index: 0, term: 0, cluster_id: 0 };
        // SAFETY: the host gave this function for this ctx; `out` and `err` live until it returns.
        called(|err| unsafe { open(self.table.ctx, &mut out, err) })?;
        Ok(Applied {
            index: Index(out.index),
            term: Term(out.term),
            cluster: ClusterId(out.cluster_id),
        })
    }

    fn commit(
        &mut self,
        entries: &[Committed],
        replies: &mut Vec<Option<Bytes>>,
    ) -> Result<(), String> {
        let Some(commit) = self.table.commit else { return Ok(()) };
        let batch = self.batch.fill(entries);
        let slots = Slots::open(batch.len(), take(replies)).map_err(|e| e.message)?;
        // SAFETY: the host gave this function for this ctx; the batch borrows from `entries`.
        let status = called(|err| unsafe {
            commit(self.table.ctx, batch.as_ptr(), batch.len(), slots.handle, err)
        });
        *replies = slots.close();
        Ok(status?)
    }
}
