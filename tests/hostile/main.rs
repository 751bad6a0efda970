//! Hostile bytes against every decoder, and hostile peers against a cluster that serves. A program of its
//! own: its allocator counts.

mod attack;
mod replay;

use std::sync::{Mutex, MutexGuard, PoisonError};

static MACHINE: Mutex<()> = Mutex::new(());

/// The machine for one test alone: an attacked cluster must not be late because of other tests.
fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[global_allocator]
static METER: quorate_tests::fuzz::meter::Meter = quorate_tests::fuzz::meter::Meter;
