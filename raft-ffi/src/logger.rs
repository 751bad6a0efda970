//! A service's log lines.

// Chapter: Log lines

use crate::bytes::{quorate_bytes, sized};
use crate::callback::Context;
use crate::guard::fail;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::logger::{Level, Line, Logger};
use std::ffi::{CString, c_char, c_void};
use std::mem::size_of;

/// How much a line matters: the service can't go on.
pub const QUORATE_LOG_ERROR: i32 = 1;
/// Something is wrong, and somebody should look at it.
pub const QUORATE_LOG_WARN: i32 = 2;
/// What an operator wants to know: starts, leaders, members.
pub const QUORATE_LOG_INFO: i32 = 3;
/// What helps to find a fault.
pub const QUORATE_LOG_DEBUG: i32 = 4;

/// A line of one service's log; borrowed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_log_record {
    /// QUORATE_LOG_*
    pub level: i32,
    pub line: u32,
    /// 0 before it is known.
    pub node_id: u64,
    /// Since 1970 UTC.
    pub timestamp_ns: i64,
    /// The part of the library, such as "quorate::raft", and the source file; end with NUL.
    pub target: *const c_char,
    pub file: *const c_char,
    /// A sentence; a NUL that is not counted follows.
    pub message: quorate_bytes,
}

/// Takes the lines of one service. Without it the library writes nothing anywhere.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_logger {
    pub struct_size: u32,
    /// QUORATE_LOG_*: this and what matters more.
    pub level: i32,
    pub ctx: *mut c_void,
    /// See OWNERSHIP. May be NULL.
    pub drop: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// Required. Thread: any of the library's, several at a time. A slow one delays the service.
    pub write: Option<unsafe extern "C" fn(ctx: *mut c_void, record: *const quorate_log_record)>,
}

// Verbatim: #define QUORATE_LOGGER_INIT \
// Verbatim:     {(uint32_t)sizeof(quorate_logger), QUORATE_LOG_INFO, NULL, NULL, NULL}

/// The host's logger as the engine sees it.
pub(crate) struct Lines {
    table: quorate_logger,
    /// The last field, so dropped after all others.
    _context: Context,
}

// SAFETY: the header says that it is called from any of the library's threads.
unsafe impl Send for Lines {}
// SAFETY: likewise, and several at a time.
unsafe impl Sync for Lines {}

impl Lines {
    /// Takes over a table, with its context. The level comes with it.
    ///
    /// # Safety
    /// `table` is NULL or readable for as many bytes as its first field says; its functions may be
    /// called as the header says.
    pub(crate) unsafe fn new(
        table: *const quorate_logger,
        context: Option<Context>,
    ) -> Result<(Level, Lines), Error> {
        // SAFETY: by the contract of this function; a table of zeroes is a table.
        let table = unsafe { sized(table, size_of::<quorate_logger>(), "logger") }?;
        let (Some(_context), Some(_)) = (context, table.write) else {
            return fail(ErrorKind::Invalid, "logger.write is NULL: where would lines go?");
        };
        let Some(level) = Level::from_number(table.level) else {
            let text = format!("logger.level is {}: take one of QUORATE_LOG_*", table.level);
            return fail(ErrorKind::Invalid, text);
        };
        Ok((level, Lines { table, _context }))
    }
}

impl Logger for Lines {
    fn write(&self, line: &Line<'_>) {
        let Some(write) = self.table.write else { return };
        let text = |text: &str| CString::new(text.replace('\0', " ")).unwrap_or_default();
        let (target, file, message) = (text(line.target), text(line.file), text(line.message));
        let record = quorate_log_record {
            level: line.level as i32,
            line: line.line,
            node_id: line.node.0,
            timestamp_ns: line.timestamp_ns,
            target: target.as_ptr(),
            file: file.as_ptr(),
            message: quorate_bytes::of(message.as_bytes()),
        };
        // SAFETY: the host gave this function for this ctx; the record lives until it returns.
        unsafe { write(self.table.ctx, &record) };
    }
}

const _: () = assert!(QUORATE_LOG_ERROR == Level::Error as i32);
const _: () = assert!(QUORATE_LOG_WARN == Level::Warn as i32);
const _: () = assert!(QUORATE_LOG_INFO == Level::Info as i32);
const _: () = assert!(QUORATE_LOG_DEBUG == Level::Debug as i32);
