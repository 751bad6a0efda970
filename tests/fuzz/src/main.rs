//! libFuzzer around one target of `quorate_tests::fuzz`, named by TARGET. `tests/fuzz/run` builds and
//! starts it.

#![no_main]

use quorate_tests::fuzz::{self, meter::Meter};
use std::sync::LazyLock;

#[global_allocator]
static METER: Meter = Meter;

static TARGET: LazyLock<fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("TARGET").unwrap_or_default();
    let names = || fuzz::all().iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    fuzz::find(&name).unwrap_or_else(|| panic!("TARGET={name}: there are {}", names()))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
