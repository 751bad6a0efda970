//! A network of the host's own: frames go out by a function, and come in by calls.

// Chapter: Transport

use crate::bytes::{array, sized};
use crate::callback::{Context, called};
use crate::config::{self, quorate_config};
use crate::guard::{fail, guard};
use crate::result::quorate_error;
use crate::service::{find, quorate_service};
use crate::status::{QUORATE_OK, quorate_status};
use bytes::Bytes;
use quorate_engine::consensus::types::NodeId;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::transport::custom::{self, Carrier, PacketKind};
use std::ffi::{CString, c_char, c_void};
use std::mem::size_of;
use std::ptr;

/// A network of the host's own instead of TCP. It carries frames whole and unaltered, or loses
/// them; frames that were altered on their way are noticed and dropped, and repeated, late and
/// reordered ones do no harm. Who may send them is its to check: the library believes the sender
/// that a frame names. Addresses are any text that both sides understand.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_transport {
    pub struct_size: u32,
    pub reserved: u32,
    pub ctx: *mut c_void,
    /// See OWNERSHIP. May be NULL.
    pub drop: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// Required. Sends one frame to the node at `address` without waiting for the network. node_id
    /// is 0 while only the address is known. A negative status: not sent, and the node counts as
    /// unreachable for now. Thread: quorate-loop; a slow one delays the protocol.
    pub send: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            node_id: u64,
            address: *const c_char,
            frame: *const c_void,
            len: usize,
            err: *mut *mut quorate_error,
        ) -> quorate_status,
    >,
}

// Verbatim: #define QUORATE_TRANSPORT_INIT {(uint32_t)sizeof(quorate_transport), 0, NULL, NULL, NULL}

/// Instead of the setting "listen": others reach this node by quorate_service_deliver. Copies the
/// table; a second one replaces the first. Errors: INVALID (no send, bad struct_size). Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_config_transport(
    config: *mut quorate_config,
    transport: *const quorate_transport,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of the header, a table as large as it says.
    let context = unsafe { Context::of(transport) };
    guard(err, move || {
        // SAFETY: likewise.
        let network = unsafe { Network::new(transport, context) }?;
        config::set_network(config, network)?;
        Ok(QUORATE_OK)
    })
}

/// Hands over one frame that `send` of another node was given. It is copied, and answers leave
/// through `send`. Non-blocking, from any thread, callbacks included. Errors: BUSY (dropped),
/// INVALID (no frame, altered, or for another node), TOO_LARGE, UNSUPPORTED (the service has the
/// built-in network), CLOSED, fatal. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_deliver(
    service: *mut quorate_service,
    frame: *const c_void,
    len: usize,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of the header.
    unsafe { deliver(service, frame, len, None, err) }
}

/// The page's Append: quorate_service_deliver for frames of kind QUORATE_FRAME_APPEND, others are
/// INVALID. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_append(
    service: *mut quorate_service,
    frame: *const c_void,
    len: usize,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of the header.
    unsafe { deliver(service, frame, len, Some(PacketKind::Append), err) }
}

/// The page's RequestVote: likewise for QUORATE_FRAME_REQUEST_VOTE. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_request_vote(
    service: *mut quorate_service,
    frame: *const c_void,
    len: usize,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of the header.
    unsafe { deliver(service, frame, len, Some(PacketKind::RequestVote), err) }
}

/// The page's Join: likewise for QUORATE_FRAME_JOIN. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_join(
    service: *mut quorate_service,
    frame: *const c_void,
    len: usize,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of the header.
    unsafe { deliver(service, frame, len, Some(PacketKind::Join), err) }
}

/// What a frame is about: several things, or something else.
pub const QUORATE_FRAME_OTHER: i32 = 0;
/// Entries or heartbeats, or answers to them.
pub const QUORATE_FRAME_APPEND: i32 = 1;
/// Votes and pre-votes asked for or given, or the request to campaign at once.
pub const QUORATE_FRAME_REQUEST_VOTE: i32 = 2;
/// A node is asked who it is or to become a member, or answers.
pub const QUORATE_FRAME_JOIN: i32 = 3;

/// What a frame is about: QUORATE_FRAME_*. quorate_service_deliver takes all kinds. Errors: INVALID
/// (no frame, or altered), TOO_LARGE. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_frame_kind(frame: *const c_void, len: usize) -> quorate_status {
    guard(ptr::null_mut(), || {
        // SAFETY: by the contract of the header.
        let frame = unsafe { array(frame.cast::<u8>(), len, "frame") }?;
        custom::kind(frame).map(|kind| kind as quorate_status)
    })
}

/// Delivers.
///
/// # Safety
/// Unless it is NULL, `frame` is readable for `len` bytes, and `err` a place for an error.
unsafe fn deliver(
    service: *mut quorate_service,
    frame: *const c_void,
    len: usize,
    only: Option<PacketKind>,
    err: *mut *mut quorate_error,
) -> quorate_status {
    guard(err, || {
        let running = find(service)?;
        // SAFETY: by the contract of this function.
        let frame = unsafe { array(frame.cast::<u8>(), len, "frame") }?;
        if frame.len() > custom::PACKET_LIMIT {
            let text = format!("a frame of {len} bytes: {} are allowed", custom::PACKET_LIMIT);
            return fail(ErrorKind::TooLarge, text);
        }
        running.service.deliver(Bytes::copy_from_slice(frame), only).map(|()| QUORATE_OK)
    })
}

/// The host's network as the engine sees it.
pub(crate) struct Network {
    table: quorate_transport,
    /// The last field, so dropped after all others.
    _context: Context,
}

// SAFETY: the header says that a hook is called from the library's threads; the engine calls it
// from one at a time.
unsafe impl Send for Network {}

impl Network {
    /// Takes over a table, with its context.
    ///
    /// # Safety
    /// `table` is NULL or readable for as many bytes as its first field says; its functions may be
    /// called as the header says.
    pub(crate) unsafe fn new(
        table: *const quorate_transport,
        context: Option<Context>,
    ) -> Result<Network, Error> {
        // SAFETY: by the contract of this function; a table of zeroes is a table.
        let table = unsafe { sized(table, size_of::<quorate_transport>(), "transport") }?;
        let Some(_context) = context.filter(|_| table.reserved == 0) else {
            let text = "transport.reserved is not 0: start with its _INIT macro";
            return fail(ErrorKind::Invalid, text);
        };
        if table.send.is_none() {
            return fail(ErrorKind::Invalid, "transport.send is NULL: how would frames leave?");
        }
        Ok(Network { table, _context })
    }
}

impl Carrier for Network {
    fn send(&mut self, to: NodeId, address: &str, frame: Bytes) -> Result<(), String> {
        let Some(send) = self.table.send else { return Ok(()) };
        let address = CString::new(address).map_err(|_| "the address has a zero byte in it")?;
        let (data, len) = (frame.as_ptr().cast(), frame.len());
        // SAFETY: the host gave this function for this ctx; address and frame live until it returns.
        called(|err| unsafe { send(self.table.ctx, to.0, address.as_ptr(), data, len, err) })?;
        Ok(())
    }
}

const _: () = assert!(QUORATE_FRAME_OTHER == PacketKind::Other as i32);
const _: () = assert!(QUORATE_FRAME_APPEND == PacketKind::Append as i32);
const _: () = assert!(QUORATE_FRAME_REQUEST_VOTE == PacketKind::RequestVote as i32);
const _: () = assert!(QUORATE_FRAME_JOIN == PacketKind::Join as i32);
