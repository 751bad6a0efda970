//! Settings by key, as text, the same in every language.

use crate::error::Error;

/// What one service is started with.
#[derive(Clone, Debug, Default)]
pub struct Settings {}

/// A setting that this library knows.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// Its value when it is not set, as text.
    pub default_value: &'static str,
    /// "duration", "bytes", "count", "switch", "text", or the choices as "wal|memory".
    pub unit: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

impl Settings {
    /// Everything at its default.
    #[must_use]
    pub fn new() -> Settings {
        Settings {}
    }

    /// Changes one setting. Durations are written 150ms, 10s, 2m; sizes 4096, 64KiB, 1MiB; switches
    /// on, off.
    ///
    /// # Errors
    /// `NotFound` for an unknown key, with the nearest known one; `Invalid` for a malformed value.
    pub fn set(&mut self, _key: &str, _value: &str) -> Result<(), Error> {
        Ok(())
    }

    /// Every setting.
    #[must_use]
    pub fn all() -> &'static [Setting] {
        &[]
    }
}
