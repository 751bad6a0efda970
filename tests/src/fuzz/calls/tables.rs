//! Tables of functions as a script gives them: of a size that is not theirs, with something reserved set,
//! with a function missing or one of a later version, not aligned, or NULL; and mostly in order.

use super::caller::Caller;
use super::hooks::{self, Hook};
use super::world::{Kind, World};
use quorate::config::{
    quorate_config, quorate_config_logger, quorate_config_state_machine, quorate_config_storage,
};
use quorate::hooks::quorate_state_machine;
use quorate::logger::quorate_logger;
use quorate::result::quorate_error;
use quorate::storage::quorate_storage;
use quorate::transport::{quorate_config_transport, quorate_transport};
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// More than the largest structure that the library reads.
const WORDS: usize = 516;
/// Where `drop` ends, and the functions begin.
const HEAD: usize = 24;
const SIZES: [u32; 12] = [0, 1, 4, 16, 23, 24, 87, 88, 200, 4096, 4097, u32::MAX];

/// A table in memory that is larger than it.
pub struct Table {
    words: Box<[u64; WORDS]>,
    start: *const c_void,
    hook: Arc<Hook>,
}

impl Table {
    fn new<T>(world: &Arc<World>, script: &[u8], make: impl FnOnce(*mut c_void) -> T) -> Table {
        assert!(size_of::<T>() <= 8 * WORDS);
        let hook = Hook::new(world, script);
        let mut words = Box::new([0; WORDS]);
        // SAFETY: there is room for it, aligned to words.
        unsafe { words.as_mut_ptr().cast::<T>().write(make(hook.ctx())) };
        let start = words.as_ptr().cast();
        Table { words, start, hook }
    }

    /// Where it begins, for a function that takes a `T`.
    pub fn start<T>(&self) -> *const T {
        self.start.cast()
    }

    /// Something in it is wrong.
    fn distort(&mut self, caller: &mut Caller<'_, '_>) {
        match caller.input.u8() % 16 {
            0 => self.set_half(0, caller.input.one_of(&SIZES)),
            1 => self.set_half(1, caller.input.u32()),
            2 => self.set_word(64, 1),
            3 => self.start = self.start.wrapping_byte_add(1),
            4 => self.start = ptr::null(),
            5 => self.set_word(2 + caller.input.below(10), 0),
            6 => self.set_word(5 + caller.input.below(8), hooks::dropped as *const () as u64),
            7 => self.set_half(0, 4096),
            _ => {}
        }
    }

    fn set_half(&mut self, at: usize, value: u32) {
        let word = &mut self.words[at / 2];
        let shift = 32 * (at % 2);
        *word = *word & !(0xffff_ffff << shift) | u64::from(value) << shift;
        self.start = self.words.as_ptr().cast();
    }

    fn set_word(&mut self, at: usize, value: u64) {
        self.words[at] = value;
        self.start = self.words.as_ptr().cast();
    }

    /// The library takes over what it can see how to drop. Says so before it is called.
    fn given(&self) {
        let size = self.words[0] as u32 as usize;
        let is_seen = !self.start.is_null() && self.start.addr().is_multiple_of(8);
        let drops = is_seen && size >= HEAD && self.words[2] != 0;
        self.hook.due.store(u32::from(drops), Ordering::Relaxed);
    }
}

/// A state machine that is in order.
pub fn machine(world: &Arc<World>, script: &[u8]) -> Table {
    Table::new(world, script, |ctx| quorate_state_machine {
        struct_size: size_of::<quorate_state_machine>() as u32,
        reserved: 0,
        ctx,
        drop: Some(hooks::dropped),
        open: Some(hooks::open),
        commit: Some(hooks::commit),
        snapshot_begin: None,
        snapshot_save: None,
        snapshot_end: None,
        restore: None,
        query: None,
        state_hash: None,
    })
}

/// A network that is in order.
pub fn network(world: &Arc<World>, script: &[u8]) -> Table {
    Table::new(world, script, |ctx| quorate_transport {
        struct_size: size_of::<quorate_transport>() as u32,
        reserved: 0,
        ctx,
        drop: Some(hooks::dropped),
        send: Some(hooks::send),
    })
}

/// A logger that is in order.
fn logger(world: &Arc<World>, script: &[u8], level: i32) -> Table {
    Table::new(world, script, |ctx| quorate_logger {
        struct_size: size_of::<quorate_logger>() as u32,
        level,
        ctx,
        drop: Some(hooks::dropped),
        write: Some(hooks::write),
    })
}

/// A store that is in order.
pub fn store(world: &Arc<World>, script: &[u8]) -> Table {
    Table::new(world, script, |ctx| quorate_storage {
        struct_size: size_of::<quorate_storage>() as u32,
        reserved: 0,
        ctx,
        drop: Some(hooks::dropped),
        open: Some(hooks::store_open),
        append: Some(hooks::store_append),
        sync: Some(hooks::store_sync),
        read: Some(hooks::store_read),
        truncate_suffix: Some(hooks::store_truncate_suffix),
        truncate_prefix: Some(hooks::store_truncate_prefix),
        metadata_get: Some(hooks::store_get),
        metadata_put: Some(hooks::store_put),
    })
}

type Give<T> = unsafe extern "C" fn(*mut quorate_config, *const T, *mut *mut quorate_error) -> i32;

impl Caller<'_, '_> {
    /// Gives a table to a config.
    pub fn give<T>(&mut self, name: &str, config: usize, table: &Table, give: Give<T>) -> i32 {
        let standing = self.standing(Kind::Config, config);
        table.given();
        let config = ptr::without_provenance_mut(config);
        // SAFETY: the table is readable for any size that the library reads, and its functions are
        // those of its hook, which lives as long as the world.
        self.call(name, standing, |err| unsafe { give(config, table.start(), err) })
    }

    fn give_distorted<T>(&mut self, name: &str, mut table: Table, give: Give<T>) {
        let (config, _) = self.handle(Kind::Config);
        table.distort(self);
        self.give(name, config, &table, give);
    }

    pub fn config_state_machine(&mut self) {
        let table = machine(self.world, self.input.piece());
        self.give_distorted("quorate_config_state_machine", table, quorate_config_state_machine);
    }

    pub fn config_transport(&mut self) {
        let table = network(self.world, self.input.piece());
        self.give_distorted("quorate_config_transport", table, quorate_config_transport);
    }

    pub fn config_storage(&mut self) {
        let table = store(self.world, self.input.piece());
        self.give_distorted("quorate_config_storage", table, quorate_config_storage);
    }

    pub fn config_logger(&mut self) {
        let level = i32::from(self.input.u8() % 8) - 1;
        let table = logger(self.world, self.input.piece(), level);
        self.give_distorted("quorate_config_logger", table, quorate_config_logger);
    }
}
