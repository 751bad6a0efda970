//! The kit that every store must pass, its user's own included. Each check names the rule of the port
//! that it is about; a broken one does not end the run, so that a report tells everything at once.
//!
//! What must hold: the kit keeps to the contract itself. It calls from one thread, opens a store first
//! and once, puts a state before anything else as the engine does, and makes no call after one that
//! failed, so what it finds is the store's fault. It draws from fixed seeds: a run can be repeated.

mod contents;
mod crash;
#[cfg(test)]
pub(in crate::storage) mod files;
mod log;
mod metadata;
mod model;
mod prefix;
mod reads;
mod report;
mod restarts;
mod rig;
mod suffix;

pub use report::{Checked, Outcome, Report};

use super::{LogStore, StorageError};
use rig::{Checkup, Rig, Stop};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a maker is asked for. No store that it gives is open yet: the first call is `open`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Make {
    /// An empty store.
    New,
    /// The store made last, which was closed (dropped), again.
    Again,
    /// What a crash would leave of the store made last, which is still open and in the middle of its
    /// work: for instance a store in a copy of its files, made now. It is then the store made last; the
    /// other one is dropped afterwards. An error of the kind `Unsupported` when there is no way to do
    /// that.
    Crashed,
}

/// Makes the stores that are checked.
pub type Maker<'a> = &'a mut dyn FnMut(Make) -> Result<Box<dyn LogStore>, StorageError>;

/// A rule as a sentence, and what tries it on a new store that was opened and given a state.
type Rule = (&'static str, fn(&mut Rig<'_>) -> Checkup);

const THEMES: &[&[Rule]] = &[
    restarts::RULES,
    log::RULES,
    reads::RULES,
    suffix::RULES,
    prefix::RULES,
    metadata::RULES,
    contents::RULES,
    model::RULES,
];

/// Tries all rules, also those after a broken one.
pub fn check(make: Maker<'_>) -> Report {
    check_where(make, &|_| true)
}

/// Returns how many rules hold; the error is the report when one is broken.
pub fn run(make: Maker<'_>) -> Result<usize, String> {
    let report = check(make);
    if report.broken().next().is_some() { Err(report.to_string()) } else { Ok(report.passed()) }
}

/// Tries some of the rules.
fn check_where(make: Maker<'_>, wanted: &dyn Fn(&str) -> bool) -> Report {
    let rules = THEMES.iter().copied().flatten().filter(|(rule, _)| wanted(rule));
    let tried = rules.map(|(rule, check)| {
        let outcome = match on_a_new_store(&mut *make, *check) {
            Ok(()) => Outcome::Passed,
            Err(Stop::Skipped(why)) => Outcome::Skipped(why),
            Err(Stop::Broken(seen)) => Outcome::Broken(seen),
        };
        Checked { rule, outcome }
    });
    let mut checks: Vec<Checked> = tried.collect();
    if crash::RULES.iter().any(|rule| wanted(rule)) {
        checks.extend(crash::check(make).into_iter().filter(|checked| wanted(checked.rule)));
    }
    Report { checks }
}

fn on_a_new_store(make: Maker<'_>, check: fn(&mut Rig<'_>) -> Checkup) -> Checkup {
    with_a_rig(make, |rig| {
        rig.make(Make::New)?;
        rig.begin()?;
        check(rig)
    })
}

/// A store that panics has broken the rule that was tried. It is closed apart from that: a second
/// panic, while the first one unwinds, would end the process.
fn with_a_rig(make: Maker<'_>, work: impl FnOnce(&mut Rig<'_>) -> Checkup) -> Checkup {
    let mut rig = Rig::new(make);
    let worked = guarded(|| work(&mut rig));
    let closed = guarded(|| {
        rig.close();
        Ok(())
    });
    worked.and(closed)
}

fn guarded(work: impl FnOnce() -> Checkup) -> Checkup {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("it panicked: {}", said.unwrap_or("without a message")).into())
    })
}

#[cfg(test)]
mod tests;
