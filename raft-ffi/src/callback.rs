//! What all hooks have in common: the ctx that belongs to the library, calls of the host's functions
//! and their failures, slots that callbacks fill.
//!
//! Invariant: from the moment a table arrives its ctx is in a `Context`, which is dropped exactly
//! once, after every other use; no path around that exists, also where the table is refused.

use crate::bytes::quorate_bytes;
use crate::guard::fail;
use crate::handle::Table;
use crate::hooks::quorate_output;
use crate::result::{quorate_error, take_error};
use crate::status::{QUORATE_OK, quorate_status};
use bytes::Bytes;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::os;
use std::ffi::c_void;
use std::mem::size_of;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How every table of functions begins.
#[repr(C)]
struct Head {
    struct_size: u32,
    second: u32,
    ctx: *mut c_void,
    drop: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
}

/// The host's own pointer; dropping this tells the host that it is not used any more.
pub(crate) struct Context {
    ctx: *mut c_void,
    drop: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
}

impl Context {
    /// Takes over what a table of any size holds, if it is large enough to say how to drop it.
    ///
    /// # Safety
    /// `table` is NULL or readable for as many bytes as its first field says.
    pub(crate) unsafe fn of<T>(table: *const T) -> Option<Context> {
        let head = table.cast::<Head>();
        if head.is_null() || !head.is_aligned() {
            return None;
        }
        // SAFETY: the size comes first; what it covers is readable.
        unsafe {
            let size = (&raw const (*head).struct_size).read() as usize;
            let whole = size >= size_of::<Head>();
            whole.then(|| Context {
                ctx: (&raw const (*head).ctx).read(),
                drop: (&raw const (*head).drop).read(),
            })
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let Some(drop) = self.drop else { return };
        let _callback = os::Callback::enter();
        // SAFETY: the host gave this function for this pointer; it is called once, here.
        unsafe { drop(self.ctx) };
    }
}

/// How a function of the host failed.
pub(crate) struct Failed {
    pub status: quorate_status,
    pub text: String,
}

impl From<Failed> for String {
    fn from(failed: Failed) -> String {
        failed.text
    }
}

/// Calls a function of the host.
pub(crate) fn called(
    call: impl FnOnce(*mut *mut quorate_error) -> quorate_status,
) -> Result<(), Failed> {
    let mut err = ptr::null_mut();
    let status = {
        let _callback = os::Callback::enter();
        call(&mut err)
    };
    // SAFETY: `err` is what the callback left.
    let text = (status < 0 || !err.is_null()).then(|| unsafe { take_error(err, status) });
    match text {
        Some(text) if status < 0 => Err(Failed { status, text }),
        _ => Ok(()),
    }
}

/// The slots of all callbacks that run.
pub(crate) static OUTPUTS: Table<Output> = Table::new(0xa5, "row of output slots");

/// Slots that a callback fills; `None` once it has returned.
pub(crate) struct Output(Mutex<Option<Vec<Option<Bytes>>>>);

impl Output {
    /// Gives each slot its part of `copies`.
    pub(crate) fn set(
        &self,
        first: usize,
        items: &[quorate_bytes],
        mut copies: Bytes,
    ) -> Result<quorate_status, Error> {
        let mut slots = self.lock();
        let Some(slots) = slots.as_mut() else {
            return fail(ErrorKind::Closed, "the callback that these slots were for has returned");
        };
        let behind = slots.get_mut(first..).and_then(|slots| slots.get_mut(..items.len()));
        let Some(behind) = behind else {
            return fail(ErrorKind::Invalid, format!("there are {} slots", slots.len()));
        };
        for (slot, item) in behind.iter_mut().zip(items).filter(|(_, item)| !item.data.is_null()) {
            *slot = Some(copies.split_to(item.len));
        }
        Ok(QUORATE_OK)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Option<Bytes>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slots of one callback, under a handle that no other callback is ever given: a host that keeps
/// it can not write into what a later one answers.
pub(crate) struct Slots {
    pub handle: *mut quorate_output,
    output: Arc<Output>,
}

impl Slots {
    /// `n` empty slots, in the memory of `replies`.
    pub(crate) fn open(n: usize, mut replies: Vec<Option<Bytes>>) -> Result<Slots, Error> {
        replies.clear();
        replies.resize(n, None);
        let handle = OUTPUTS.insert(Output(Mutex::new(Some(replies))))?;
        Ok(Slots { handle, output: OUTPUTS.get(handle)? })
    }

    /// Takes back what the callback, which has returned, set.
    pub(crate) fn close(self) -> Vec<Option<Bytes>> {
        self.output.lock().take().unwrap_or_default()
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        // It is in the table since `open`, and only this takes it out.
        let _gone = OUTPUTS.remove(self.handle);
    }
}

/// Copies of the items that have data, one behind the other in one allocation.
///
/// # Safety
/// What the items point to is readable.
pub(crate) unsafe fn copies(items: &[quorate_bytes]) -> Result<Bytes, Error> {
    let items = || items.iter().filter(|item| !item.data.is_null());
    let total = items().fold(0, |sum: usize, item| sum.saturating_add(item.len));
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(total).is_err() {
        return fail(ErrorKind::TooLarge, format!("there is no memory for {total} bytes"));
    }
    for item in items() {
        // SAFETY: by the contract of this function.
        bytes.extend_from_slice(unsafe { item.borrow("an item") }?);
    }
    Ok(Bytes::from(bytes))
}
