//! A store of the host's own: a table of functions becomes the engine's port, and the conformance kit
//! that tries it.

// Chapter: Storage

use crate::bytes::{quorate_bytes, sized};
use crate::callback::{Context, Failed, Slots, called};
use crate::guard::{blocking, fail};
use crate::hooks::quorate_output;
use crate::result::{new_text, quorate_error};
use crate::status::quorate_status;
use bytes::Bytes;
use quorate_engine::consensus::types::Index;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::storage::conformance::{self, Make, Report};
use quorate_engine::storage::custom::{Custom, HostStore};
use quorate_engine::storage::{LogStore, StorageError, StorageErrorKind};
use std::ffi::{CString, c_char, c_void};
use std::mem::size_of;
use std::ptr;

/// One record of the log. The bytes are the library's, with their own checksums; a store keeps them
/// as they are. Stands in arrays.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_record {
    pub index: u64,
    pub data: quorate_bytes,
}

/// A store of the host's own for log and metadata; the built-in ones are the setting "storage".
/// All but `drop` are required.
///
/// What it must keep: between two syncs a crash keeps a prefix of the calls of append and the
/// truncations, in order, at least up to the last sync that returned. metadata_put is atomic,
/// durable on return, and outside that order: a newer term or vote without the log is safe, the
/// reverse is not. quorate_storage_check tries all of that; docs/storage.md has it at length.
///
/// The functions run on one thread, quorate-log, one at a time, and may block: that delays entries
/// and nothing else. A negative status from any of them is terminal: the service stops
/// (STORAGE_FAILED), because what reached the disk is unknown; from `open`, starting fails with
/// that status if it is LOCKED, CORRUPT, IDENTITY, VERSION or UNSUPPORTED, else with IO, and from
/// any other while it starts with IO. Records that come back other than they were given are noticed
/// and stop the service likewise.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_storage {
    pub struct_size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    /// See OWNERSHIP: closes the store. May be NULL.
    pub drop: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// Called first. The lowest and the highest index; both 0, as they are set before, when the log
    /// is empty. What it finds counts as synced from then on.
    pub open: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            out_first: *mut u64,
            out_last: *mut u64,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// Adds `n` >= 1 records without a gap after the last one; to an empty log at any index. May
    /// buffer.
    pub append: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            records: *const quorate_record,
            n: usize,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// Returns when everything before it would survive a power cut.
    pub sync: Option<
        unsafe extern "C" fn(ctx: *mut c_void, err: *mut *mut quorate_error) -> quorate_status,
    >,
    /// Sets slot i to the record at first + i, up to `last`, both included; they exist, synced or
    /// not. May stop early once max_bytes are set, but not before the first.
    pub read: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            first: u64,
            last: u64,
            max_bytes: usize,
            out: *mut quorate_output,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// Removes `first` and everything after it; durable by the next sync.
    pub truncate_suffix: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            first: u64,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// Removes `last`, which may lie beyond the end, and everything before it; likewise.
    pub truncate_prefix: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            last: u64,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// Sets slot 0 of `out` to the value, which may have no bytes; leaves it unset when there is
    /// none. A key is any text in UTF-8 of 1 to 128 bytes.
    pub metadata_get: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            key: *const c_char,
            out: *mut quorate_output,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
    /// Replaces one value, whole or not at all; durable on return. Term, vote and identity are one
    /// such value, "quorate.state".
    pub metadata_put: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            key: *const c_char,
            data: *const c_void,
            len: usize,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
}

// Verbatim: #define QUORATE_STORAGE_INIT \
// Verbatim:     {(uint32_t)sizeof(quorate_storage), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
// Verbatim:      NULL}

/// What a maker of stores is asked for: an empty store.
pub const QUORATE_STORAGE_NEW: i32 = 0;
/// The store made last, which was dropped, opened again.
pub const QUORATE_STORAGE_AGAIN: i32 = 1;
/// What a crash would leave now of the store made last, which is still open and in the middle of its
/// work: a copy of its files, for instance, made now. (It is dropped after this returned.) A store
/// that has no way to do that returns UNSUPPORTED, and the report says what was skipped.
pub const QUORATE_STORAGE_CRASHED: i32 = 2;

/// Makes a store to be checked and puts its table in `out`, whose ctx is the library's from then
/// on, unless a negative status is returned. `how` is one of QUORATE_STORAGE_NEW, _AGAIN, _CRASHED.
pub type quorate_storage_maker = Option<
    unsafe extern "C" fn(
        ctx: *mut c_void,
        how: i32,
        out: *mut quorate_storage,
        err: *mut *mut quorate_error,
    ) -> quorate_status,
>;

/// Runs the conformance kit that every built-in store passes on the stores that `make` returns, on
/// the calling thread; crashes between any two calls are part of it. Returns the number of rules
/// that hold. *out_report, which may be NULL, becomes a text with a line for each rule, also when
/// one is broken: quorate_free. Errors: INVALID (a rule is broken: `err` names the first), and
/// IN_CALLBACK. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_storage_check(
    make: quorate_storage_maker,
    ctx: *mut c_void,
    out_report: *mut *mut c_char,
    err: *mut *mut quorate_error,
) -> quorate_status {
    blocking(err, || {
        let Some(make) = make else {
            return fail(ErrorKind::Invalid, "make is NULL: it makes the stores to be checked");
        };
        // SAFETY: by the contract of the header, a maker for this ctx.
        let report = conformance::check(&mut |how| unsafe { made(make, ctx, how) });
        if !out_report.is_null() {
            // SAFETY: not NULL, so a place for the report.
            unsafe { out_report.write(new_text(&report.to_string())) };
        }
        passed(&report)
    })
}

fn passed(report: &Report) -> Result<quorate_status, Error> {
    match report.broken().next() {
        None => Ok(quorate_status::try_from(report.passed()).unwrap_or(quorate_status::MAX)),
        Some(broken) => {
            let others = report.broken().count() - 1;
            let text = format!("{broken}; {others} other rules are broken: see the report");
            fail(ErrorKind::Invalid, text)
        }
    }
}

/// What asks for a store, in messages.
const MAKER: &str = "the maker of stores";

/// Asks the host for a store.
///
/// # Safety
/// `make` is a maker for `ctx`.
unsafe fn made(
    make: unsafe extern "C" fn(
        *mut c_void,
        i32,
        *mut quorate_storage,
        *mut *mut quorate_error,
    ) -> quorate_status,
    ctx: *mut c_void,
    how: Make,
) -> Result<Box<dyn LogStore>, StorageError> {
    let how = match how {
        Make::New => QUORATE_STORAGE_NEW,
        Make::Again => QUORATE_STORAGE_AGAIN,
        Make::Crashed => QUORATE_STORAGE_CRASHED,
    };
    let mut table = EMPTY;
    // SAFETY: by the contract of this function; `table` and `err` live until it returns.
    called(|err| unsafe { make(ctx, how, &mut table, err) })
        .map_err(|failed| error(MAKER, failed))?;
    // SAFETY: the maker has filled the table, which is in reach.
    let store = unsafe { Store::new(&table, Context::of(&table)) };
    let store = store.map_err(|e| StorageError::new(StorageErrorKind::Misuse, e.message))?;
    Ok(Box::new(Custom::new(store)))
}

const EMPTY: quorate_storage = quorate_storage {
    struct_size: size_of::<quorate_storage>() as u32,
    reserved: 0,
    ctx: ptr::null_mut(),
    drop: None,
    open: None,
    append: None,
    sync: None,
    read: None,
    truncate_suffix: None,
    truncate_prefix: None,
    metadata_get: None,
    metadata_put: None,
};

/// Records of one read; the slots for them are made before it is known how many will come.
const MAX_READ: u64 = 16_384;

/// The host's store as the engine sees it.
pub(crate) struct Store {
    table: quorate_storage,
    records: Rows,
    /// The last field, so dropped after all others.
    _context: Context,
}

/// Kept for their memory; empty between two calls.
struct Rows(Vec<quorate_record>);

// SAFETY: the header says that a hook is called from the library's threads; the engine calls it
// from one at a time.
unsafe impl Send for Store {}

macro_rules! call {
    ($self:ident.$name:ident($($argument:expr),*)) => {{
        let (function, ctx) = ($self.table.$name, $self.table.ctx);
        // SAFETY: the host gave this function for this ctx; what it is given lives until it returns.
        let call = |err: *mut *mut quorate_error| unsafe {
            // It was checked when the table came.
            function.map_or(ErrorKind::Internal.code(), |function| function(ctx, $($argument,)* err))
        };
        called(call).map_err(|failed| error(stringify!($name), failed))
    }};
}

impl Store {
    /// Takes over a table, with its context.
    ///
    /// # Safety
    /// `table` is NULL or readable for as many bytes as its first field says; its functions may be
    /// called as the header says.
    pub(crate) unsafe fn new(
        table: *const quorate_storage,
        context: Option<Context>,
    ) -> Result<Store, Error> {
        // SAFETY: by the contract of this function; a table of zeroes is a table.
        let table = unsafe { sized(table, size_of::<quorate_storage>(), "storage") }?;
        let Some(_context) = context.filter(|_| table.reserved == 0) else {
            let text = "storage.reserved is not 0: start with its _INIT macro";
            return fail(ErrorKind::Invalid, text);
        };
        if let Some(missing) = table.missing() {
            let text = format!("storage.{missing} is NULL: all but drop are required");
            return fail(ErrorKind::Invalid, text);
        }
        Ok(Store { table, records: Rows(Vec::new()), _context })
    }

    /// Calls with `n` open slots and returns what is in them.
    fn slots(
        &self,
        n: usize,
        call: impl FnOnce(*mut quorate_output) -> Result<(), StorageError>,
    ) -> Result<Vec<Option<Bytes>>, StorageError> {
        let slots = Slots::open(n, Vec::new());
        let slots = slots.map_err(|e| StorageError::new(StorageErrorKind::Misuse, e.message))?;
        call(slots.handle)?;
        Ok(slots.close())
    }
}

impl quorate_storage {
    fn missing(&self) -> Option<&'static str> {
        let functions = [
            ("open", self.open.is_none()),
            ("append", self.append.is_none()),
            ("sync", self.sync.is_none()),
            ("read", self.read.is_none()),
            ("truncate_suffix", self.truncate_suffix.is_none()),
            ("truncate_prefix", self.truncate_prefix.is_none()),
            ("metadata_get", self.metadata_get.is_none()),
            ("metadata_put", self.metadata_put.is_none()),
        ];
        functions.iter().find(|(_, missing)| *missing).map(|(name, _)| *name)
    }
}

impl HostStore for Store {
    fn open(&mut self) -> Result<Option<(Index, Index)>, StorageError> {
        let (mut first, mut last) = (0, 0);
        call!(self.open(&mut first, &mut last))?;
        Ok((first != 0 || last != 0).then_some((Index(first), Index(last))))
    }

    fn append(&mut self, first: Index, values: &[Bytes]) -> Result<(), StorageError> {
        let rows = (first.0..).zip(values);
        let rows =
            rows.map(|(index, value)| quorate_record { index, data: quorate_bytes::of(value) });
        self.records.0.extend(rows);
        let (rows, n) = (self.records.0.as_ptr(), self.records.0.len());
        let called = call!(self.append(rows, n));
        self.records.0.clear();
        called
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        call!(self.sync())
    }

    fn read(
        &mut self,
        first: Index,
        last: Index,
        max_bytes: usize,
    ) -> Result<Vec<Bytes>, StorageError> {
        let n = (last.0 - first.0 + 1).min(MAX_READ);
        let last = first.0 + n - 1;
        let slots =
            self.slots(n as usize, |out| call!(self.read(first.0, last, max_bytes, out)))?;
        let set = slots.iter().take_while(|slot| slot.is_some()).count();
        if slots[set..].iter().any(Option::is_some) {
            let text = format!("the store left slot {set} of a read unset, and set a later one");
            return Err(StorageError::new(StorageErrorKind::Corrupt, text));
        }
        Ok(slots.into_iter().flatten().collect())
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        call!(self.truncate_suffix(first.0))
    }

    fn truncate_prefix(&mut self, last: Index) -> Result<(), StorageError> {
        call!(self.truncate_prefix(last.0))
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let key = c_key(key)?;
        let slots = self.slots(1, |out| call!(self.metadata_get(key.as_ptr(), out)))?;
        Ok(slots.into_iter().flatten().next().map(|value| value.to_vec()))
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        let key = c_key(key)?;
        call!(self.metadata_put(key.as_ptr(), value.as_ptr().cast(), value.len()))
    }
}

fn c_key(key: &str) -> Result<CString, StorageError> {
    CString::new(key).map_err(|_| {
        StorageError::new(StorageErrorKind::Misuse, "a key of metadata has a zero byte in it")
    })
}

/// How a function of the host's store failed. Only opening it says what is wrong with the store: any
/// later failure is the end of it, and nothing may be cut because of it.
fn error(function: &str, failed: Failed) -> StorageError {
    let opens = matches!(function, "open" | MAKER);
    let kind = match ErrorKind::from_code(failed.status).filter(|_| opens) {
        Some(ErrorKind::Locked) => StorageErrorKind::Locked,
        Some(ErrorKind::Corrupt) => StorageErrorKind::Corrupt,
        Some(ErrorKind::Identity) => StorageErrorKind::ForeignFile,
        Some(ErrorKind::Version) => StorageErrorKind::Version,
        Some(ErrorKind::Unsupported) => StorageErrorKind::Unsupported,
        _ => StorageErrorKind::Io,
    };
    StorageError::new(kind, format!("{function} of the host's store failed: {}", failed.text))
}
