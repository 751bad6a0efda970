//! Bugs that others had and that no script can show: properties over all cases, statistics, clocks and
//! indexes near their ends, calls from two threads. The comments above the tests become
//! `docs/known-bugs.md`.

mod counting;
mod elections;
mod ends;
mod lone;
mod order;
mod threads;
