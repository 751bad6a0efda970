//! Hooks of a script: tables of functions, some of them not in order, and what the functions do when the
//! library calls them. Each call goes on with the script that its hook was given, so that the library is
//! called from inside its own callbacks, and then succeeds or fails as the script says.

use super::caller::{Caller, Place};
use super::world::{Kind, World, lock};
use crate::fuzz::input::Input;
use quorate::bytes::quorate_bytes;
use quorate::entry::quorate_entry;
use quorate::hooks::{quorate_applied, quorate_output, quorate_output_set};
use quorate::logger::quorate_log_record;
use quorate::result::{quorate_error, quorate_error_new};
use quorate::service::quorate_service;
use quorate::status::{QUORATE_ERR_INVALID, QUORATE_OK, quorate_status};
use quorate::transport::quorate_service_deliver;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// What one table's ctx points to.
#[derive(Default)]
pub struct Hook {
    world: Weak<World>,
    /// What is left of its script.
    script: Mutex<Vec<u8>>,
    pub dropped: AtomicU32,
    /// How often it must be dropped, once nothing uses it any more.
    pub due: AtomicU32,
    store: Mutex<Store>,
}

/// What a store of the host keeps.
#[derive(Default)]
struct Store {
    log: BTreeMap<u64, Vec<u8>>,
    metadata: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Bytes of the script that one callback goes on with, and the calls that it makes.
const BYTES: usize = 24;
const CALLS: usize = 2;

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

impl Hook {
    /// A hook with a script of its own. It lives as long as the world.
    pub fn new(world: &Arc<World>, script: &[u8]) -> Arc<Hook> {
        let (world_of, script) = (Arc::downgrade(world), Mutex::new(script.to_vec()));
        let hook = Arc::new(Hook { world: world_of, script, ..Hook::default() });
        lock(&world.hooks).push(hook.clone());
        hook
    }

    /// What a table has as its ctx.
    pub fn ctx(self: &Arc<Hook>) -> *mut c_void {
        Arc::as_ptr(self).cast_mut().cast()
    }

    /// Goes on with the script inside a callback. Returns the byte that says how the callback ends. A
    /// callback inside a callback (a line of the log) only ends.
    fn go_on(&self) -> u8 {
        let mut script = lock(&self.script);
        let mine = script.len().min(BYTES);
        let rest = script.split_off(mine);
        let mine = std::mem::replace(&mut *script, rest);
        drop(script);
        let Some(world) = self.world.upgrade() else { return 0 };
        let mut input = Input::new(&mine);
        let end = input.u8();
        if !IS_INSIDE.replace(true) {
            let mut caller = Caller { world: &world, input, place: Place::Callback };
            world.watched(|| caller.some_calls(CALLS));
            IS_INSIDE.set(false);
        }
        end
    }

    /// Goes on, and ends with what the script says.
    fn end(&self, err: *mut *mut quorate_error) -> quorate_status {
        let told = match self.go_on() % 24 {
            18 => (QUORATE_ERR_INVALID, new_error()),
            19 => (i32::MIN, ptr::without_provenance_mut(0x10)),
            20 => (7, new_error()),
            21 => (-2002, self.some_result()),
            22 => (-9_999, ptr::null_mut()),
            _ => return QUORATE_OK,
        };
        // SAFETY: the library gives a place for the error.
        unsafe { err.write(told.1) };
        told.0
    }

    /// A result of any type in place of an error. One that is an error is the library's from now on.
    fn some_result(&self) -> *mut quorate_error {
        let Some(world) = self.world.upgrade() else { return ptr::null_mut() };
        let kept = world.take_result(0, |kept| kept.is_error).map_or(0, |kept| kept.address);
        let address = if kept == 0 { world.some_result(0) } else { kept };
        ptr::with_exposed_provenance_mut(address)
    }
}

impl World {
    /// Does something outside of the script's own thread; a finding there is told at the end.
    pub fn watched(&self, work: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            lock(&self.found).push(text.unwrap_or_default());
        }
    }
}

fn new_error() -> *mut quorate_error {
    // SAFETY: the text ends with NUL.
    unsafe { quorate_error_new(c"a script says so".as_ptr()) }
}

/// # Safety
/// `ctx` is that of a hook whose world lives.
unsafe fn hook<'a>(ctx: *mut c_void) -> &'a Hook {
    // SAFETY: by the contract of this function.
    unsafe { &*ctx.cast::<Hook>() }
}

fn bytes(of: &[u8]) -> quorate_bytes {
    quorate_bytes { data: of.as_ptr().cast(), len: of.len() }
}

/// # Safety
/// As `hook`; likewise of all functions here: the library calls them as the header says.
pub unsafe extern "C" fn dropped(ctx: *mut c_void) {
    // SAFETY: by the contract of this function.
    let hook = unsafe { hook(ctx) };
    hook.dropped.fetch_add(1, Ordering::Relaxed);
    hook.go_on();
}

/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn open(
    ctx: *mut c_void,
    out: *mut quorate_applied,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of this function.
    let (hook, out) = unsafe { (hook(ctx), &mut *out) };
    assert_eq!((out.struct_size as usize, out.index), (size_of::<quorate_applied>(), 0));
    let status = hook.end(err);
    out.index = if status == 7 { 1 << 40 } else { 0 };
    status
}

/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn commit(
    ctx: *mut c_void,
    entries: *const quorate_entry,
    n: usize,
    replies: *mut quorate_output,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of this function.
    let (hook, entries) = unsafe { (hook(ctx), std::slice::from_raw_parts(entries, n)) };
    assert!(entries.windows(2).all(|two| two[0].index < two[1].index));
    if let Some(world) = hook.world.upgrade() {
        world.made(Kind::Output, replies.addr());
    }
    let data: Vec<quorate_bytes> = entries.iter().map(|entry| entry.data).collect();
    // SAFETY: the slots are open until this function returns; so are the entries.
    let set = unsafe { quorate_output_set(replies, 0, data.as_ptr(), n) };
    assert_eq!(set, QUORATE_OK);
    hook.end(err)
}

/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn write(ctx: *mut c_void, record: *const quorate_log_record) {
    // SAFETY: by the contract of this function.
    let (hook, record) = unsafe { (hook(ctx), &*record) };
    // SAFETY: the library says that these bytes are readable now, and that a NUL follows.
    let message = unsafe { CStr::from_ptr(record.message.data.cast()) };
    assert_eq!(message.to_bytes().len(), record.message.len);
    hook.go_on();
}

/// Brings a frame to the service whose place among all is the address, such as "2".
///
/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn send(
    ctx: *mut c_void,
    _node_id: u64,
    address: *const c_char,
    frame: *const c_void,
    len: usize,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of this function.
    let hook = unsafe { hook(ctx) };
    // SAFETY: the library says that these are readable now.
    let (to, sent) = unsafe {
        (CStr::from_ptr(address).to_str(), std::slice::from_raw_parts(frame.cast::<u8>(), len))
    };
    let Some(world) = hook.world.upgrade() else { return QUORATE_OK };
    world.sent(sent);
    let services = world.handles(|handle| handle.kind == Kind::Service);
    let place = to.ok().and_then(|to| to.parse::<usize>().ok());
    if let Some(service) = place.and_then(|place| services.get(place)) {
        let service = ptr::without_provenance_mut::<quorate_service>(service.number);
        // SAFETY: a handle is never followed, and the frame is readable.
        unsafe { quorate_service_deliver(service, frame, len, ptr::null_mut()) };
    }
    hook.end(err)
}

/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn store_open(
    ctx: *mut c_void,
    first: *mut u64,
    last: *mut u64,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of this function.
    let hook = unsafe { hook(ctx) };
    let bounds =
        |log: &BTreeMap<u64, _>| Some((*log.first_key_value()?.0, *log.last_key_value()?.0));
    if let Some(found) = bounds(&lock(&hook.store).log) {
        // SAFETY: the library gives a place for each.
        unsafe { (first.write(found.0), last.write(found.1)) };
    }
    hook.end(err)
}

/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn store_append(
    ctx: *mut c_void,
    records: *const quorate::storage::quorate_record,
    n: usize,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of this function, with what the records point to.
    let (hook, records) = unsafe { (hook(ctx), std::slice::from_raw_parts(records, n)) };
    for record in records {
        // SAFETY: likewise.
        let data = unsafe { std::slice::from_raw_parts(record.data.data.cast(), record.data.len) };
        lock(&hook.store).log.insert(record.index, data.to_vec());
    }
    hook.end(err)
}

/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn store_sync(
    ctx: *mut c_void,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of this function.
    unsafe { hook(ctx) }.end(err)
}

/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn store_read(
    ctx: *mut c_void,
    first: u64,
    last: u64,
    _max_bytes: usize,
    out: *mut quorate_output,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of this function.
    let hook = unsafe { hook(ctx) };
    let store = lock(&hook.store);
    let items: Vec<quorate_bytes> =
        store.log.range(first..=last).map(|(_, data)| bytes(data)).collect();
    // SAFETY: the items are readable, and the slots open, until this function returns.
    unsafe { quorate_output_set(out, 0, items.as_ptr(), items.len()) };
    drop(store);
    hook.end(err)
}

/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn store_truncate_suffix(
    ctx: *mut c_void,
    first: u64,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of this function.
    let hook = unsafe { hook(ctx) };
    lock(&hook.store).log.split_off(&first);
    hook.end(err)
}

/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn store_truncate_prefix(
    ctx: *mut c_void,
    last: u64,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of this function.
    let hook = unsafe { hook(ctx) };
    lock(&hook.store).log.retain(|index, _| *index > last);
    hook.end(err)
}

/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn store_get(
    ctx: *mut c_void,
    key: *const c_char,
    out: *mut quorate_output,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of this function.
    let (hook, key) = unsafe { (hook(ctx), CStr::from_ptr(key).to_bytes()) };
    if let Some(value) = lock(&hook.store).metadata.get(key) {
        // SAFETY: the value is readable, and the slot open, until this function returns.
        unsafe { quorate_output_set(out, 0, &bytes(value), 1) };
    }
    hook.end(err)
}

/// # Safety
/// As `dropped`.
pub unsafe extern "C" fn store_put(
    ctx: *mut c_void,
    key: *const c_char,
    data: *const c_void,
    len: usize,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of this function.
    let (hook, key) = unsafe { (hook(ctx), CStr::from_ptr(key).to_bytes()) };
    // SAFETY: likewise.
    let value = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) };
    lock(&hook.store).metadata.insert(key.to_vec(), value.to_vec());
    hook.end(err)
}
