//! Borrowing what C hands in: bytes, text, arrays and structures that grow. Everything is checked
//! before it is used, as far as a pointer can be checked.

// Chapter: Bytes

use crate::guard::fail;
use quorate_engine::error::{Error, ErrorKind};
use std::ffi::{CStr, c_char, c_void};
use std::mem::{MaybeUninit, size_of};
use std::{ptr, slice, str};

/// Borrowed bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_bytes {
    pub data: *const c_void,
    pub len: usize,
}

impl quorate_bytes {
    /// No bytes, which is not the same as zero of them.
    pub(crate) fn none() -> quorate_bytes {
        quorate_bytes { data: ptr::null(), len: 0 }
    }

    /// The same bytes for C, borrowed.
    pub(crate) fn of(bytes: &[u8]) -> quorate_bytes {
        quorate_bytes { data: bytes.as_ptr().cast(), len: bytes.len() }
    }

    /// # Safety
    /// Unless `data` is NULL, `len` bytes there are readable and unchanged for `'a`.
    pub(crate) unsafe fn borrow<'a>(&self, name: &str) -> Result<&'a [u8], Error> {
        // SAFETY: by the contract of this function.
        unsafe { array(self.data.cast(), self.len, name) }
    }
}

/// Text that ends with NUL.
///
/// # Safety
/// Unless it is NULL, `text` ends with NUL and is unchanged for `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str, Error> {
    if text.is_null() {
        return fail(ErrorKind::Invalid, format!("{name} is NULL"));
    }
    // SAFETY: by the contract of this function.
    utf8(unsafe { CStr::from_ptr(text) }.to_bytes(), name)
}

/// Bytes that must be text.
pub(crate) fn utf8<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Error> {
    str::from_utf8(bytes).or_else(|_| fail(ErrorKind::Invalid, format!("{name} is not UTF-8")))
}

/// An array that may be NULL when it is empty.
///
/// # Safety
/// Unless `items` is NULL, `len` of them are readable and unchanged for `'a`.
pub(crate) unsafe fn array<'a, T>(
    items: *const T,
    len: usize,
    name: &str,
) -> Result<&'a [T], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    if items.is_null() {
        return fail(ErrorKind::Invalid, format!("{name} is NULL with a length of {len}"));
    }
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        return fail(ErrorKind::TooLarge, format!("{name} has a length of {len}"));
    }
    if !items.is_aligned() {
        return fail(ErrorKind::Invalid, format!("{name} is not aligned"));
    }
    // SAFETY: not NULL, aligned and of a possible length by the checks above; readable and
    // unchanged by the contract of this function.
    Ok(unsafe { slice::from_raw_parts(items, len) })
}

/// The value behind a pointer.
///
/// # Safety
/// Unless it is NULL, `value` is readable and unchanged for `'a`.
pub(crate) unsafe fn value<'a, T>(value: *const T, name: &str) -> Result<&'a T, Error> {
    // SAFETY: by the contract of this function.
    let found = unsafe { array(value, 1, name) }?;
    Ok(&found[0])
}

/// No structure of this interface will ever be larger; a struct_size beyond it is garbage.
const MAX_STRUCT: usize = 4096;

/// A structure that starts with its size: smaller than `T` is filled with zeroes, larger is taken
/// if the rest is zero, so that programs and libraries of different ages understand each other.
///
/// # Safety Unless it is NULL, `from` is readable for as many bytes as its first field says, and
/// `T` is valid when all its bytes are 0.
pub(crate) unsafe fn sized<T: Copy>(
    from: *const T,
    smallest: usize,
    name: &str,
) -> Result<T, Error> {
    // SAFETY: the size comes first, and the structure is readable by the contract of this function.
    let size = unsafe { *value(from.cast::<u32>(), name)? } as usize;
    if size < smallest || size > MAX_STRUCT {
        let text = format!("{name}.struct_size is {size}: set it with its _INIT macro");
        return fail(ErrorKind::Invalid, text);
    }
    // SAFETY: `size` bytes are readable by the contract of this function.
    let bytes = unsafe { slice::from_raw_parts(from.cast::<u8>(), size) };
    let (known, rest) = bytes.split_at(size.min(size_of::<T>()));
    if rest.iter().any(|byte| *byte != 0) {
        let text = format!("{name} has members that this library does not know: update it");
        return fail(ErrorKind::Unsupported, text);
    }
    let mut copy = MaybeUninit::<T>::zeroed();
    // SAFETY: `known` is no longer than `T`, and `T` is valid when its bytes are 0 or given.
    unsafe {
        ptr::copy_nonoverlapping(known.as_ptr(), copy.as_mut_ptr().cast(), known.len());
        Ok(copy.assume_init())
    }
}

/// A limit on time: negative is none.
pub(crate) fn timeout(timeout_ms: i64) -> quorate_engine::service::Timeout {
    u64::try_from(timeout_ms).ok().map(std::time::Duration::from_millis)
}

/// A count as a status. No array of this interface holds more than an i32 can count.
pub(crate) fn count(n: usize) -> crate::status::quorate_status {
    i32::try_from(n).unwrap_or(i32::MAX)
}
