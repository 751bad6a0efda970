//! The small scopes of `search`, each gone through breadth first. `SEARCH_STATES=20000000` goes on until
//! there are that many states in each, or no more; `SCOPE=removal` takes some.
//!
//! In a build with deliberate mistakes this fails when it finds the ones that were chosen:
//! `tests/mutants/search` shows that for the published bug of single-server changes.

use quorate_tests::search::explore::{Found, explore, tell};
use quorate_tests::search::scope::Scope;
use quorate_tests::search::scopes;
use quorate_tests::search::sights::Sight;
use std::sync::atomic::{AtomicUsize, Ordering};

/// States of each scope in the usual run, and of all together at least.
const STATES: usize = 36_000;
const AT_LEAST: usize = 200_000;
const WORKERS: usize = 2;

#[test]
fn no_rule_breaks_in_small_scopes() {
    let only = std::env::var("SCOPE").unwrap_or_default();
    let states = std::env::var("SEARCH_STATES");
    let most = states.as_ref().map_or(STATES, |n| n.parse().expect("SEARCH_STATES is a number"));
    let scopes: Vec<Scope> =
        scopes::all().into_iter().filter(|scope| scope.name.contains(&only)).collect();
    let found = explore_all(&scopes, most);
    for found in &found {
        println!("{found}\n    {}", found.sights);
    }
    let total: usize = found.iter().map(|found| found.states).sum();
    println!("{total} states of {} scopes", found.len());
    let faults = scopes.iter().zip(&found).filter_map(|(s, f)| Some(tell(s, f.fault.as_ref()?)));
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
    if only.is_empty() && states.is_err() {
        assert!(total >= AT_LEAST, "{total} states, not {AT_LEAST}");
        everything_was_seen(&found);
    }
}

/// What each scope found, in order; two at a time.
fn explore_all(scopes: &[Scope], most: usize) -> Vec<Found> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let at = next.fetch_add(1, Ordering::Relaxed)
            && let Some(scope) = scopes.get(at)
        {
            done.push((at, explore(scope, most)));
        }
        done
    };
    let mut done: Vec<(usize, Found)> = std::thread::scope(|threads| {
        let workers: Vec<_> = (0..WORKERS).map(|_| threads.spawn(work)).collect();
        workers.into_iter().flat_map(|w| w.join().expect("faults are values")).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, found)| found).collect()
}

/// What the usual run comes across.
const SEEN: [Sight; 18] = [
    Sight::Elected,
    Sight::TwoLeaders,
    Sight::SplitVote,
    Sight::LostQuorum,
    Sight::Committed,
    Sight::Truncated,
    Sight::EnteredJoint,
    Sight::LeftJoint,
    Sight::RolledBackJoint,
    Sight::Learner,
    Sight::Removed,
    Sight::LostWrites,
    Sight::TornWrite,
    Sight::Restarted,
    Sight::Read,
    Sight::Lost,
    Sight::Doubled,
    Sight::Overtook,
];

/// A search in which nothing happens finds nothing.
fn everything_was_seen(found: &[Found]) {
    let seen = |sight: &Sight| found.iter().any(|found| found.sights.of(*sight) > 0);
    let missing: Vec<Sight> = SEEN.into_iter().filter(|sight| !seen(sight)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}
