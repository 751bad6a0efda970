//! The kit itself: honest stores pass, and each broken one is caught by the rule that it breaks.

mod disk;
mod faults;
mod machine;
mod warped;

use super::*;
use crate::storage::StorageErrorKind;
use crate::storage::custom::Custom;
use disk::Disk;
use faults::{FAULTS, Fault};
use std::collections::BTreeSet;
use warped::Warped;

/// Rules that cost most of the time, and that only some faults break.
const SLOW: [&str; 3] = [
    "payloads of 4 MiB and more are kept",
    "thousands of entries in one call are kept",
    "tens of thousands of entries are kept",
];

fn try_out(fault: Option<Fault>, wanted: &dyn Fn(&str) -> bool) -> (Report, Disk) {
    let mut disk = Disk::new(fault);
    let mut syncs = disk.clone();
    let report = check_where(
        &mut |make| {
            disk = match make {
                Make::New => disk.new_one(),
                Make::Again => disk.clone(),
                Make::Crashed => disk.crashed(),
            };
            syncs = disk.clone();
            Ok(Box::new(Warped::new(Custom::new(disk.clone()), disk.clone())))
        },
        wanted,
    );
    (report, syncs)
}

#[test]
fn an_honest_store_passes_with_few_syncs() {
    let (report, disk) = try_out(None, &|_| true);
    assert_eq!(report.passed(), report.checks.len(), "{report}");
    assert!(report.checks.len() > 70, "{}", report.checks.len());
    let names: BTreeSet<&str> = report.checks.iter().map(|checked| checked.rule).collect();
    assert_eq!(names.len(), report.checks.len(), "each rule has a name of its own");
    let (writes, idle) = disk.syncs();
    assert!(writes < 2500 && idle > 1000, "{writes} syncs had something to write, {idle} not");
}

/// A check that nothing can break is worth nothing, so each rule must catch somebody.
#[test]
fn each_broken_store_is_caught_by_its_rule_and_no_rule_is_idle() {
    let all = THEMES.concat().into_iter().map(|(rule, _)| rule);
    let mut idle: BTreeSet<&str> = all.chain(crash::RULES).collect();
    for (fault, rule) in FAULTS {
        let alone = SLOW.contains(rule) || *fault == Fault::LeaksFiles;
        let wanted = |other: &str| other == *rule || !alone && !SLOW.contains(&other);
        let (report, _) = try_out(Some(*fault), &wanted);
        let caught: Vec<&str> = report.broken().map(|checked| checked.rule).collect();
        assert!(caught.contains(rule), "{fault:?} breaks \"{rule}\", but not in\n{report}");
        idle.retain(|rule| !caught.contains(rule));
    }
    assert_eq!(idle, BTreeSet::new());
}

#[test]
fn without_crashes_their_rules_are_skipped() {
    let mut disk = Disk::new(None);
    let report = check(&mut |make| {
        match make {
            Make::New => disk = disk.new_one(),
            Make::Again => {}
            Make::Crashed => {
                let kind = StorageErrorKind::Unsupported;
                return Err(StorageError::new(kind, "this host has no way to crash"));
            }
        }
        Ok(Box::new(Custom::new(disk.clone())))
    });
    assert_eq!(report.broken().count(), 0, "{report}");
    assert_eq!(report.passed() + crash::RULES.len(), report.checks.len(), "{report}");
    assert!(report.to_string().contains("survives a crash: this host has no way to crash\n"));
}

#[test]
fn a_maker_that_fails_breaks_every_rule_and_no_process() {
    let full = || StorageError::new(StorageErrorKind::Full, "no space is left");
    let report = check(&mut |_| Err(full()));
    assert_eq!(report.broken().count(), THEMES.concat().len() + 1, "{report}");
    assert_eq!(report.passed(), 0, "{report}");
    let failed = run(&mut |_| Err(full())).expect_err("nothing works");
    assert!(
        failed.contains("BROKEN  a new store is empty: a new store could not be made: no space")
    );
}
