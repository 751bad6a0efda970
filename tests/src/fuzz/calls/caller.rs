//! Who makes a call: takes its arguments out of the script, calls, and judges what came back by the
//! header.

use super::documented::FUNCTIONS;
use super::world::{Kept, Kind, Standing, World};
use crate::fuzz::input::Input;
use quorate::result::{quorate_error, quorate_free};
use quorate::status::{
    QUORATE_ERR_CLOSED, QUORATE_ERR_IN_CALLBACK, QUORATE_ERR_INVALID, QUORATE_ERR_UNSUPPORTED,
};
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::sync::Arc;

/// Where a call is made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    Main,
    Thread,
    Callback,
}

/// One thread, or one callback.
pub struct Caller<'a, 'b> {
    pub world: &'a Arc<World>,
    pub input: Input<'b>,
    pub place: Place,
}

/// Functions that look at their other arguments before the handle.
const HANDLE_LAST: [&str; 6] = [
    "quorate_config_state_machine",
    "quorate_config_storage",
    "quorate_config_logger",
    "quorate_config_transport",
    "quorate_service_initialize_cluster",
    "quorate_service_add_node",
];

/// A text that ends with NUL, or NULL.
pub struct Text(Option<CString>);

impl Text {
    pub fn new(text: &str) -> Text {
        Text(CString::new(text.replace('\0', "")).ok())
    }

    pub fn as_ptr(&self) -> *const c_char {
        self.0.as_ref().map_or(ptr::null(), |text| text.as_ptr())
    }
}

impl Caller<'_, '_> {
    /// A handle that should be of that kind, and sometimes is not.
    pub fn handle(&mut self, kind: Kind) -> (usize, Standing) {
        let choice = self.input.u8();
        let found = match choice {
            0 => return (0, Standing::Null),
            1 => return (self.input.u64() as usize, Standing::Any),
            2 => self.world.handles(|h| h.kind != kind),
            _ => self.world.handles(|h| h.kind == kind),
        };
        let number = found.get(usize::from(choice) % found.len().max(1)).map_or(0, |h| h.number);
        (number, self.standing(kind, number))
    }

    /// What is known of a number that should be a handle of that kind.
    pub fn standing(&self, kind: Kind, number: usize) -> Standing {
        match self.world.handles(|h| h.number == number).last() {
            _ if number == 0 => Standing::Null,
            Some(handle) if handle.kind != kind => Standing::Foreign,
            Some(handle) if handle.is_freed => Standing::Freed,
            _ => Standing::Any,
        }
    }

    /// Text of the script's own, one of these, or none.
    pub fn text(&mut self, known: &[&str]) -> Text {
        match self.input.u8() {
            0 => Text(None),
            1 => Text::new(&self.input.text()),
            2 => Text(CString::new(b"\xc3".as_slice()).ok()), // no UTF-8
            number => Text::new(known[usize::from(number) % known.len()]),
        }
    }

    /// How long to wait: short, unless the call can't wait at all.
    pub fn timeout_ms(&mut self, standing: Standing) -> i64 {
        let returns_at_once = self.place == Place::Callback || standing != Standing::Any;
        let any = [0, 1, 2, 3, -1, i64::MIN, i64::MAX, 1 << 40];
        self.input.one_of(if returns_at_once { &any } else { &any[..4] })
    }

    /// Calls something that returns a status and may give an error.
    pub fn call(
        &mut self,
        name: &str,
        standing: Standing,
        call: impl FnOnce(*mut *mut quorate_error) -> i32,
    ) -> i32 {
        let mut err = ptr::null_mut();
        let wanted = self.input.u8() != 0;
        let status = call(if wanted { &mut err } else { ptr::null_mut() });
        self.judge(name, standing, status);
        assert_eq!(!err.is_null(), wanted && status < 0, "{name} returned {status}");
        self.look_at(err, status);
        status
    }

    /// Likewise with a second handle, which is looked at when the first one is alive.
    pub fn call_with_two(
        &mut self,
        name: &str,
        first: Standing,
        second: Standing,
        call: impl FnOnce(*mut *mut quorate_error) -> i32,
    ) -> i32 {
        let status = self.call(name, first, call);
        assert!(status < 0 || second == Standing::Any, "{name} with a queue that is {second:?}");
        status
    }

    /// A status must be one that the header names, and the right one for a handle that is none.
    pub fn judge(&self, name: &str, standing: Standing, status: i32) {
        let function = &FUNCTIONS[name];
        assert!(function.allows(status), "{name} returned {status}: the header does not say so");
        if self.place == Place::Callback && function.blocks {
            assert_eq!(status, QUORATE_ERR_IN_CALLBACK, "{name} in a callback");
            return;
        }
        let is_last = HANDLE_LAST.contains(&name);
        let of_others = is_last && [QUORATE_ERR_INVALID, QUORATE_ERR_UNSUPPORTED].contains(&status);
        let expected = match standing {
            Standing::Null | Standing::Foreign => QUORATE_ERR_INVALID,
            Standing::Freed => QUORATE_ERR_CLOSED,
            Standing::Any => return,
        };
        assert!(status == expected || of_others, "{name} returned {status} for {standing:?}");
    }

    /// Reads an error and frees it, now or at some time.
    fn look_at(&mut self, err: *mut quorate_error, status: i32) {
        if err.is_null() {
            return;
        }
        // SAFETY: the library just gave it, and nobody else has it.
        let (told, message) = unsafe { ((*err).status, CStr::from_ptr((*err).message)) };
        assert_eq!(told, status);
        assert!(!message.to_str().expect("messages are UTF-8").is_empty());
        if self.input.below(8) == 7 {
            self.world.keep(err, true);
        } else {
            free(err.expose_provenance());
        }
    }

    /// Frees a result that was kept; twice where nobody else can have got its address.
    pub fn free_result(&mut self) {
        let number = self.input.below(256);
        let Some(Kept { address, .. }) = self.world.take_result(number, |_| true) else { return };
        free(address);
        if self.place == Place::Main && self.world.is_quiet() {
            free(address);
        }
    }
}

/// Frees what is at that address, if it is a result.
pub fn free(address: usize) {
    // SAFETY: what is no living result is left alone.
    unsafe { quorate_free(ptr::with_exposed_provenance_mut(address)) };
}
