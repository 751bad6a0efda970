//! What a host puts in the place of parts of the engine: a network, a store, a logger. They misbehave, and
//! the service keeps its promises.

mod network;
mod slow;
mod stores;
mod watch;

use quorate_engine::change::NewEntry;
use quorate_engine::settings::Settings;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const LONG: Option<Duration> = Some(MINUTE);
const SHORT: Option<Duration> = Some(Duration::from_millis(50));

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settings() -> Settings {
    let mut settings = Settings::new();
    settings.set("storage", "memory").expect("it is known");
    settings
}

fn entry(text: &str) -> NewEntry<'_> {
    NewEntry::new(text.as_bytes())
}
