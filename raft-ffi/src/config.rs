//! Settings and hooks that a service will be started with.

// Chapter: Configuration

use crate::bytes::text;
use crate::callback::Context;
use crate::guard::{fail, guard, quietly};
use crate::handle::Table;
use crate::hooks::{Machine, quorate_state_machine};
use crate::logger::{Lines, quorate_logger};
use crate::result::quorate_error;
use crate::status::{QUORATE_OK, quorate_status};
use crate::storage::{Store, quorate_storage};
use crate::transport::Network;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::logger::{Level, Logger};
use quorate_engine::service;
use quorate_engine::settings::{Setting, Settings};
use quorate_engine::storage::custom::Custom;
use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Settings and hooks for one service.
pub struct quorate_config {
    _opaque: [u8; 0],
}

/// NULL only in a forked child, or where 16,777,215 of them live. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_new() -> *mut quorate_config {
    quietly(ptr::null_mut(), || CONFIGS.insert(Config::new()))
}

/// Drops the hooks of a config that no service was started with. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_free(config: *mut quorate_config) {
    quietly((), || CONFIGS.remove(config).map(drop));
}

/// Changes one setting; hooks have functions of their own because a text can't hold them. What
/// there is to set, with its default and meaning, is listed by quorate_config_setting and in
/// docs/ffi.md; "data_dir" and "listen" are what most programs set. Durations are written 150ms,
/// 10s, 2m; sizes 4096, 64KiB, 1MiB; switches on, off. Errors: NOT_FOUND (the message has the
/// nearest key), INVALID.
/// Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_config_set(
    config: *mut quorate_config,
    key: *const c_char,
    value: *const c_char,
    err: *mut *mut quorate_error,
) -> quorate_status {
    guard(err, || {
        let config = CONFIGS.get(config)?;
        // SAFETY: by the contract of the header both end with NUL.
        let (key, value) = unsafe { (text(key, "key")?, text(value, "value")?) };
        config.change(|parts| parts.settings.set(key, value))?;
        Ok(QUORATE_OK)
    })
}

/// A setting that this library knows. Static.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_setting {
    pub key: *const c_char,
    pub default_value: *const c_char,
    /// "duration", "bytes", "count", "switch", "text", or the choices as "wal|sled|memory".
    pub unit: *const c_char,
    pub meaning: *const c_char,
}

/// The i-th setting, NULL after the last: for tools, documentation and bindings. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_config_setting(i: usize) -> *const quorate_setting {
    quietly(ptr::null(), || Ok(settings().get(i).map_or(ptr::null(), |row| &raw const row.c)))
}

/// Required. Copies the table; a second one replaces the first. Errors: INVALID (no commit, bad
/// struct_size), UNSUPPORTED (a callback of a later version). Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_config_state_machine(
    config: *mut quorate_config,
    machine: *const quorate_state_machine,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // Before anything can fail, so that ctx is dropped whatever happens.
    // SAFETY: by the contract of the header, a table as large as it says.
    let context = unsafe { Context::of(machine) };
    guard(err, move || {
        // SAFETY: likewise.
        let machine = unsafe { Machine::new(machine, context) }?;
        let former = CONFIGS.get(config)?.change(|parts| Ok(parts.machine.replace(machine)))?;
        drop(former); // Calls the host, so after the lock.
        Ok(QUORATE_OK)
    })
}

/// Instead of the setting "storage"; data_dir is not needed then. Copies the table; a second one
/// replaces the first. Errors: INVALID (a callback is NULL, bad struct_size). Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_config_storage(
    config: *mut quorate_config,
    storage: *const quorate_storage,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of the header, a table as large as it says.
    let context = unsafe { Context::of(storage) };
    guard(err, move || {
        // SAFETY: likewise.
        let store = unsafe { Store::new(storage, context) }?;
        let former = CONFIGS.get(config)?.change(|parts| Ok(parts.store.replace(store)))?;
        drop(former); // Calls the host, so after the lock.
        Ok(QUORATE_OK)
    })
}

/// Where the service's log lines go. Copies the table; a second one replaces the first. Errors:
/// INVALID (no write, bad level or struct_size). Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_config_logger(
    config: *mut quorate_config,
    logger: *const quorate_logger,
    err: *mut *mut quorate_error,
) -> quorate_status {
    // SAFETY: by the contract of the header, a table as large as it says.
    let context = unsafe { Context::of(logger) };
    guard(err, move || {
        // SAFETY: likewise.
        let logger = unsafe { Lines::new(logger, context) }?;
        let former = CONFIGS.get(config)?.change(|parts| Ok(parts.logger.replace(logger)))?;
        drop(former); // Calls the host, so after the lock.
        Ok(QUORATE_OK)
    })
}

/// Puts a network into a config, in place of the one that it may have.
pub(crate) fn set_network(config: *mut quorate_config, network: Network) -> Result<(), Error> {
    let former = CONFIGS.get(config)?.change(|parts| Ok(parts.network.replace(network)))?;
    drop(former); // Calls the host, so after the lock.
    Ok(())
}

static CONFIGS: Table<Config> = Table::new(0xa1, "config");

/// `None` once a service was started with it.
struct Config {
    parts: Mutex<Option<Parts>>,
}

/// What a service is started with.
#[derive(Default)]
struct Parts {
    settings: Settings,
    machine: Option<Machine>,
    store: Option<Store>,
    network: Option<Network>,
    logger: Option<(Level, Lines)>,
}

impl Config {
    fn new() -> Config {
        Config { parts: Mutex::new(Some(Parts::default())) }
    }

    fn change<T>(&self, f: impl FnOnce(&mut Parts) -> Result<T, Error>) -> Result<T, Error> {
        let mut parts = self.lock();
        if let Some(parts) = parts.as_mut() {
            return f(parts);
        }
        drop(parts); // A hook in `f` calls the host when it is dropped, so after the lock.
        used()
    }

    fn take(&self) -> Result<Parts, Error> {
        self.lock().take().map_or_else(used, Ok)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Parts>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn used<T>() -> Result<T, Error> {
    fail(ErrorKind::Invalid, "a service was started with this config already: make a new one")
}

/// What a service is started with, as the engine takes it.
pub(crate) struct Taken {
    pub settings: Settings,
    pub machine: Machine,
    pub parts: service::Parts,
}

/// Takes out what a service is started with; the config can then only be freed.
pub(crate) fn take(config: *mut quorate_config) -> Result<Taken, Error> {
    let Parts { settings, machine, store, network, logger } = CONFIGS.get(config)?.take()?;
    let Some(machine) = machine else {
        let text = "the config has no state machine: call quorate_config_state_machine first";
        return fail(ErrorKind::Invalid, text);
    };
    let mut parts = service::Parts::default();
    if let Some(store) = store {
        parts.store = Some(Box::new(Custom::new(store)));
    }
    if let Some(network) = network {
        parts.carrier = Some(Box::new(network));
    }
    parts.logger = logger.map(|(level, lines)| (level, Arc::new(lines) as Arc<dyn Logger>));
    Ok(Taken { settings, machine, parts })
}

/// A setting with the text that it points to.
struct Row {
    c: quorate_setting,
    _texts: [CString; 4],
}

// SAFETY: a row points into itself, is never changed and lives as long as the process.
unsafe impl Send for Row {}
// SAFETY: likewise.
unsafe impl Sync for Row {}

fn settings() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| Settings::all().iter().map(row).collect())
}

fn row(setting: &Setting) -> Row {
    let texts = [setting.key, setting.default_value, setting.unit, setting.meaning]
        .map(|text| CString::new(text).unwrap_or_default());
    let [key, default_value, unit, meaning] = texts.each_ref().map(|text| text.as_ptr());
    Row { c: quorate_setting { key, default_value, unit, meaning }, _texts: texts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::quorate_service_start;
    use crate::status::QUORATE_ERR_INVALID;
    use std::ffi::c_void;
    use std::mem::zeroed;

    fn set_listen(config: *mut quorate_config) -> quorate_status {
        // SAFETY: the texts end with NUL.
        unsafe { quorate_config_set(config, c"listen".as_ptr(), c"".as_ptr(), ptr::null_mut()) }
    }

    unsafe extern "C" fn dropped(ctx: *mut c_void) {
        assert_eq!(set_listen(ctx.cast()), QUORATE_ERR_INVALID);
    }

    /// Found by the fuzz target `calls`.
    #[test]
    fn a_hook_that_a_used_config_refuses_may_call_it_while_it_is_dropped() {
        let config = quorate_config_new();
        // SAFETY: it has no state machine, so nothing is started; the config is used from now on.
        unsafe { quorate_service_start(config, ptr::null_mut(), ptr::null_mut()) };
        // SAFETY: a table of zeroes is a table.
        let mut machine: quorate_state_machine = unsafe { zeroed() };
        machine.struct_size = size_of::<quorate_state_machine>() as u32;
        machine.ctx = config.cast();
        machine.drop = Some(dropped);
        machine.commit = Some(commit);
        // SAFETY: a table in order, whose functions may be called.
        let status = unsafe { quorate_config_state_machine(config, &machine, ptr::null_mut()) };
        assert_eq!(status, QUORATE_ERR_INVALID);
        quorate_config_free(config);
    }

    unsafe extern "C" fn commit(
        _: *mut c_void,
        _: *const crate::entry::quorate_entry,
        _: usize,
        _: *mut crate::hooks::quorate_output,
        _: *mut *mut quorate_error,
    ) -> quorate_status {
        QUORATE_OK
    }
}
