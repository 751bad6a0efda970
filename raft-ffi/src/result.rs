//! What the library hands out: results, each one block of memory, and among them errors.

// Chapter: Results and errors

use crate::block::{self, Block};
use crate::bytes::quorate_bytes;
use crate::guard::quietly;
use crate::node::{put, quorate_node, room};
use crate::status::quorate_status;
use quorate_engine::consensus::membership::Member;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::service::Reply;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

/// What a proposal gave. A result: quorate_free.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_result {
    /// Where the change stands in the log.
    pub index: u64,
    pub term: u64,
    /// The state machine's reply; data is NULL when it gave none.
    pub data: quorate_bytes,
}

/// Why a call failed. A result: quorate_free.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_error {
    pub status: quorate_status,
    /// One or more sentences: what is wrong and what to do. Ends with NUL.
    pub message: *const c_char,
    /// With QUORATE_ERR_NOT_LEADER the leader as last heard of, else NULL.
    pub leader: *const quorate_node,
}

/// Frees any result. Everything that it points to goes with it. What is no result, or was freed, is
/// left alone; but free nothing twice, for a newer result may have its address. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_free(result: *mut c_void) {
    quietly((), || {
        block::free(result.cast());
        Ok(())
    });
}

/// Makes an error for a callback to return: `*err = quorate_error_new("disk full")`. The message is
/// copied. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_error_new(message: *const c_char) -> *mut quorate_error {
    quietly(ptr::null_mut(), || {
        // SAFETY: by the contract of the header it ends with NUL.
        let text = unsafe { crate::bytes::text(message, "message") }.unwrap_or("no message");
        Ok(new_error(&Error::new(ErrorKind::StateMachineFailed, text)))
    })
}

/// An error object of an error.
pub(crate) fn new_error(error: &Error) -> *mut quorate_error {
    let leader: Vec<Member> = error.leader.iter().cloned().collect();
    let (nodes, texts) = room(&leader);
    let mut block = Block::new::<quorate_error>(nodes, texts + error.message.len() + 1);
    let message = block.text(error.message.as_bytes());
    let leader = put(&mut block, &leader);
    let leader = if leader.is_empty() { ptr::null() } else { block.array(&leader) };
    block.finish(quorate_error { status: error.kind.code(), message, leader })
}

/// What a callback failed with: the text of the error that it made, which ends here.
///
/// # Safety
/// `err` is what the callback left: NULL, or of `quorate_error_new`, or anything else, which is not
/// followed.
pub(crate) unsafe fn take_error(err: *mut quorate_error, status: quorate_status) -> String {
    if !block::is_living(err) {
        return format!("the callback returned {status} without an error of quorate_error_new");
    }
    // SAFETY: a living result of type quorate_error; its message ends with NUL.
    let text = unsafe { CStr::from_ptr((*err).message) }.to_string_lossy().into_owned();
    block::free(err.cast());
    text
}

/// A reply as a result.
pub(crate) fn new_result(reply: &Reply) -> *mut quorate_result {
    let (index, term) = (reply.id.index.0, reply.id.term.0);
    let Some(bytes) = &reply.data else {
        let data = quorate_bytes::none();
        return Block::new::<quorate_result>(0, 0).finish(quorate_result { index, term, data });
    };
    let mut block = Block::new::<quorate_result>(0, bytes.len() + 1);
    let data = quorate_bytes { data: block.text(bytes).cast(), len: bytes.len() };
    block.finish(quorate_result { index, term, data })
}

/// Text as a result.
pub(crate) fn new_text(text: &str) -> *mut c_char {
    let mut block = Block::new::<()>(0, text.len() + 1);
    let at = block.text(text.as_bytes());
    block.finish(());
    at.cast_mut()
}
