//! Calls with services: their life, and what one can look at.

use super::caller::{Caller, Place, Text};
use super::tables::{machine, network, store};
use super::world::{Kind, Standing};
use quorate::config::*;
use quorate::info::*;
use quorate::queue::quorate_queue;
use quorate::result::quorate_error;
use quorate::service::*;
use quorate::status::*;
use quorate::storage::{quorate_storage, quorate_storage_check};
use quorate::tracker::quorate_service_applied_tracker;
use quorate::transport::*;
use std::ffi::{c_char, c_void};
use std::ptr;

/// Services that live at a time.
const SERVICES: usize = 3;
/// Names of services in the network of the script, of nobody, and of nobody behind TCP.
const ADDRESSES: [&str; 7] = ["0", "1", "2", "9", "", "127.0.0.1:1", "no address"];
/// Words of an info that is larger than the library's.
const INFO: usize = 64;

type Deliver = unsafe extern "C" fn(
    *mut quorate_service,
    *const c_void,
    usize,
    *mut *mut quorate_error,
) -> i32;
type Change =
    unsafe extern "C" fn(*mut quorate_service, *const c_char, i64, *mut *mut quorate_error) -> i32;

const fn service(number: usize) -> *mut quorate_service {
    ptr::without_provenance_mut(number)
}

impl Caller<'_, '_> {
    fn has_room(&self) -> bool {
        self.world.living(Kind::Service).len() < SERVICES
    }

    /// Starts with a config as it is.
    pub fn start(&mut self) {
        let (config, standing) = self.handle(Kind::Config);
        if standing != Standing::Any || self.has_room() {
            self.start_with(config);
        }
    }

    /// Starts with a config of which nothing is missing. A directory may be in use by another one.
    pub fn start_in_order(&mut self) {
        if !self.has_room() {
            return;
        }
        let number = quorate_config_new().addr();
        self.world.made(Kind::Config, number);
        let table = machine(self.world, self.input.piece());
        self.give("quorate_config_state_machine", number, &table, quorate_config_state_machine);
        match self.input.below(8) {
            0 => self.set(number, "listen", "127.0.0.1:0"),
            _ => {
                let table = network(self.world, self.input.piece());
                self.give("quorate_config_transport", number, &table, quorate_config_transport);
            }
        }
        match self.input.below(8) {
            0 => self.set(number, "data_dir", self.world.dir().to_str().unwrap_or("none")),
            1 => {
                let table = store(self.world, self.input.piece());
                self.give("quorate_config_storage", number, &table, quorate_config_storage);
            }
            _ => self.set(number, "storage", "memory"),
        }
        self.set(number, "segment_bytes", "64KiB");
        self.set(number, "heartbeat_timeout", "5ms");
        self.set(number, "election_timeout", "20ms");
        self.start_with(number);
    }

    fn set(&mut self, config: usize, key: &str, value: &str) {
        let (key, value) = (Text::new(key), Text::new(value));
        let standing = self.standing(Kind::Config, config);
        self.call("quorate_config_set", standing, |err| {
            let config = ptr::without_provenance_mut(config);
            // SAFETY: the texts end with NUL.
            unsafe { quorate_config_set(config, key.as_ptr(), value.as_ptr(), err) }
        });
    }

    fn start_with(&mut self, config: usize) {
        let standing = self.standing(Kind::Config, config);
        let mut started = ptr::null_mut();
        let is_null = self.input.u8() == 1;
        let status = self.call("quorate_service_start", standing, |err| {
            let out = if is_null { ptr::null_mut() } else { &raw mut started };
            // SAFETY: NULL, or a place for a service.
            unsafe { quorate_service_start(ptr::without_provenance_mut(config), out, err) }
        });
        assert_eq!(started.is_null(), status != QUORATE_OK, "a service or an error");
        self.world.made(Kind::Service, started.addr());
    }

    pub fn close(&mut self) {
        let (number, standing) = self.handle(Kind::Service);
        self.call("quorate_service_close", standing, |err| {
            // SAFETY: a handle is never followed.
            unsafe { quorate_service_close(service(number), err) }
        });
    }

    pub fn free(&mut self) {
        let (number, standing) = self.handle(Kind::Service);
        quorate_service_free(service(number));
        if self.place != Place::Callback {
            self.gone(number, standing);
        }
    }

    fn change(&mut self, name: &str, change: Change) {
        let (number, _) = self.handle(Kind::Service);
        let address = self.text(&ADDRESSES);
        let standing = self.standing(Kind::Service, number);
        let timeout_ms = self.timeout_ms(standing);
        self.call(name, standing, |err| {
            // SAFETY: the text is NULL or ends with NUL.
            unsafe { change(service(number), address.as_ptr(), timeout_ms, err) }
        });
    }

    pub fn initialize(&mut self) {
        self.change("quorate_service_initialize_cluster", quorate_service_initialize_cluster);
    }

    pub fn add_node(&mut self) {
        self.change("quorate_service_add_node", quorate_service_add_node);
    }

    pub fn remove_node(&mut self) {
        let (number, standing) = self.handle(Kind::Service);
        let timeout_ms = self.timeout_ms(standing);
        let id = self.some_node();
        self.call("quorate_service_remove_node", standing, |err| {
            // SAFETY: a handle is never followed.
            unsafe { quorate_service_remove_node(service(number), id, timeout_ms, err) }
        });
    }

    /// The id of some service, or any number.
    pub fn some_node(&mut self) -> u64 {
        if self.input.u8() == 0 {
            return self.input.u64();
        }
        let (number, _) = self.handle(Kind::Service);
        let mut info = [0u64; INFO];
        info[0] = size_of::<quorate_info>() as u64;
        let info = info.as_mut_ptr().cast::<quorate_info>();
        // SAFETY: there is room for more than an info.
        unsafe {
            quorate_service_info(service(number), info);
            (*info).my_id
        }
    }

    pub fn subscribe(&mut self) {
        let (number, standing) = self.handle(Kind::Service);
        let (queue, of_queue) = self.handle(Kind::Queue);
        let token = self.input.u64();
        self.call_with_two("quorate_service_subscribe", standing, of_queue, |err| {
            let queue = ptr::without_provenance_mut::<quorate_queue>(queue);
            // SAFETY: handles are never followed.
            unsafe { quorate_service_subscribe(service(number), queue, token, err) }
        });
    }

    pub fn info(&mut self) {
        let (number, standing) = self.handle(Kind::Service);
        let known = size_of::<quorate_info>();
        let size =
            self.input.one_of(&[known, known, known + 8, 4096, 0, 8, known - 1, u32::MAX as usize]);
        let mut words = [u64::MAX; INFO];
        words[0] = size as u64;
        let out = match self.input.u8() {
            0 => ptr::null_mut(),
            1 => words.as_mut_ptr().wrapping_byte_add(1),
            _ => words.as_mut_ptr(),
        };
        // SAFETY: NULL, not aligned, or with room for more than the library knows.
        let status = unsafe { quorate_service_info(service(number), out.cast()) };
        self.judge("quorate_service_info", standing, status);
        assert!(status == QUORATE_OK || words[1..].iter().all(|word| *word == u64::MAX));
        assert!(status != QUORATE_OK || size >= known);
        assert!(words[known / 8..].iter().all(|word| *word == u64::MAX), "beyond its size");
    }

    pub fn look(&mut self) {
        let (number, standing) = self.handle(Kind::Service);
        // SAFETY: a handle is never followed.
        unsafe {
            let list = quorate_service_node_config(service(number));
            assert!(list.is_null() || standing == Standing::Any);
            self.read_list(list);
            self.world.keep(list, false);
            let status = quorate_service_raft_status(service(number));
            assert!(status.is_null() || standing == Standing::Any);
            self.world.keep(status, false);
        }
    }

    pub fn report(&mut self) {
        let (number, _) = self.handle(Kind::Service);
        let report = self.input.one_of(&[0, 1, 2, -1, i32::MAX]);
        // SAFETY: a handle is never followed.
        let text = unsafe { quorate_service_report(service(number), report) };
        assert!(text.is_null() || [0, 1].contains(&report));
        self.read_text(text);
    }

    pub fn applied_tracker(&mut self) {
        let (number, standing) = self.handle(Kind::Service);
        let tracker = quorate_service_applied_tracker(service(number));
        assert!(tracker.is_null() || standing == Standing::Any);
        self.world.made(Kind::Tracker, tracker.addr());
    }

    fn deliver_by(&mut self, name: &str, deliver: Deliver) {
        let (number, _) = self.handle(Kind::Service);
        let frame = self.some_frame();
        let (data, len) = self.frame_as_given(&frame);
        let standing = self.standing(Kind::Service, number);
        self.call(name, standing, |err| {
            // SAFETY: NULL, or as many readable bytes where the length is possible.
            unsafe { deliver(service(number), data, len, err) }
        });
    }

    pub fn deliver(&mut self) {
        self.deliver_by("quorate_service_deliver", quorate_service_deliver);
    }

    pub fn append(&mut self) {
        self.deliver_by("quorate_service_append", quorate_service_append);
    }

    pub fn request_vote(&mut self) {
        self.deliver_by("quorate_service_request_vote", quorate_service_request_vote);
    }

    pub fn join(&mut self) {
        self.deliver_by("quorate_service_join", quorate_service_join);
    }

    /// The kit is told to check a maker that gives a store of the host once or twice, or none.
    pub fn storage_check(&mut self) {
        let table = store(self.world, self.input.piece());
        let maker = Maker { table: table.start(), left: self.input.below(3) };
        let has_maker = self.input.u8() != 0;
        let mut report = ptr::null_mut();
        self.call("quorate_storage_check", Standing::Any, |err| {
            let make = has_maker.then_some(make as unsafe extern "C" fn(_, _, _, _) -> _);
            // SAFETY: a maker for this ctx; both live until it returns.
            unsafe {
                quorate_storage_check(make, (&raw const maker).cast_mut().cast(), &mut report, err)
            }
        });
        self.read_text(report);
    }
}

struct Maker {
    table: *const quorate_storage,
    left: usize,
}

/// Fails, or gives a table that lacks its functions, or whose ctx is NULL: never a store that works,
/// with which the kit would take minutes.
unsafe extern "C" fn make(
    ctx: *mut c_void,
    _how: i32,
    out: *mut quorate_storage,
    _err: *mut *mut quorate_error,
) -> i32 {
    // SAFETY: the kit is given this maker, and gives a place for a table.
    let (maker, out) = unsafe { (&*ctx.cast::<Maker>(), &mut *out) };
    match maker.left {
        0 => return QUORATE_ERR_IO,
        1 => out.struct_size = 8,
        _ => {
            // SAFETY: it lives until the kit is done.
            *out = unsafe { *maker.table };
            (out.ctx, out.drop, out.read) = (ptr::null_mut(), None, None);
        }
    }
    QUORATE_OK
}
