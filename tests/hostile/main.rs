//! Hostile bytes against every decoder, and hostile peers against a cluster that serves. A program of its
//! own: its allocator counts.

mod replay;

#[global_allocator]
static METER: quorate_tests::fuzz::meter::Meter = quorate_tests::fuzz::meter::Meter;
