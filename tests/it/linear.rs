//! The linearizability checker against orders that are tried one by one, and what it tells.

use quorate_tests::linear::generate::{History, Shape, history};
use quorate_tests::linear::register::{Action, Input, Output, Register, Value, apply};
use quorate_tests::linear::{Operation, check};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Tries every order that the times allow, over all keys at once, without any of the checker's ideas.
fn any_order(
    history: &History,
    done: &mut Vec<bool>,
    state: &BTreeMap<String, Option<Value>>,
) -> bool {
    let left: Vec<usize> = (0..history.len()).filter(|n| !done[*n]).collect();
    if left.iter().all(|n| history[*n].returned.is_none()) {
        return true;
    }
    left.iter().any(|n| {
        let next = &history[*n];
        let is_late = |other: &usize| history[*other].returned.is_some_and(|at| at < next.called);
        let register = state.get(&next.input.key).cloned().unwrap_or_default();
        let (after, output) = apply(&register, &next.input.action);
        if left.iter().any(is_late) || next.output.as_ref().is_some_and(|told| *told != output) {
            return false;
        }
        let mut state = state.clone();
        state.insert(next.input.key.clone(), after);
        done[*n] = true;
        let found = any_order(history, done, &state);
        done[*n] = false;
        found
    })
}

#[test]
fn small_histories_are_judged_as_by_trying_every_order() {
    let mut counts = [0, 0];
    for seed in 0..10_000 {
        let shape = Shape {
            operations: 3 + seed as usize % 5,
            clients: 2 + seed % 3,
            keys: 1 + seed % 2,
            values: 2 + seed % 3,
            unknown: seed % 4 * 10,
            altered: 15 + seed % 3 * 10,
        };
        let history = history(shape, seed);
        let expected = any_order(&history, &mut vec![false; history.len()], &BTreeMap::new());
        let judged = check(&Register::default(), &history);
        assert_eq!(judged.is_ok(), expected, "seed {seed}: {history:#?}\n{judged:?}");
        counts[usize::from(expected)] += 1;
    }
    println!("{} linearizable, {} not", counts[1], counts[0]);
    assert!(counts.iter().all(|n| *n > 2000), "one kind is rare: {counts:?}");
}

fn operation(
    client: u64,
    called: u64,
    returned: u64,
    action: Action,
    output: Output,
) -> Operation<Input, Output> {
    let input = Input { key: "x".into(), action };
    Operation { client, called, returned: Some(returned), input, output: Some(output) }
}

fn put(client: u64, called: u64, returned: u64, value: &str) -> Operation<Input, Output> {
    operation(client, called, returned, Action::Put(value.into()), Output::Done)
}

fn get(client: u64, called: u64, returned: u64, value: &str) -> Operation<Input, Output> {
    operation(client, called, returned, Action::Get, Output::Value(Some(value.into())))
}

#[test]
fn a_violation_tells_the_smallest_part_and_what_broke_it() {
    let mut history = vec![
        put(1, 1, 2, "a"),
        put(2, 3, 6, "b"),
        get(3, 4, 5, "b"),
        get(1, 7, 8, "a"),
        put(2, 9, 10, "c"),
    ];
    let longer: Vec<_> = history.iter().cloned().chain([get(3, 11, 12, "c")]).collect();
    history.extend(longer.into_iter().map(|mut operation| {
        operation.input.key = "longer".into();
        operation
    }));
    let violation = check(&Register::default(), &history).expect_err("a stale read");
    assert_eq!((violation.part.as_str(), violation.operations, violation.at), ("\"longer\"", 4, 8));
    assert_eq!(violation.ordered.len(), 3);
    assert_eq!(violation.stuck.len(), 1, "{violation}");
    assert!(violation.to_string().contains("client 1 at 7..8"), "{violation}");
}

#[test]
fn an_unknown_operation_may_take_effect_late_or_never_but_not_early() {
    let mut unknown = put(1, 5, 6, "u");
    (unknown.returned, unknown.output) = (None, None);
    let with = |rest: &[Operation<Input, Output>]| {
        check(&Register::default(), &[&[put(2, 1, 2, "a"), unknown.clone()], rest].concat()).is_ok()
    };
    assert!(with(&[get(2, 7, 8, "a"), get(2, 9, 10, "u")]));
    assert!(with(&[get(2, 7, 8, "a"), get(2, 90, 100, "a")]));
    assert!(!with(&[get(2, 7, 8, "u"), get(2, 9, 10, "a")]));
    assert!(!with(&[get(2, 3, 4, "u")]));
}

/// Ten thousand operations of eight clients on one key; fewer with some that never returned, and then broken.
#[test]
fn long_histories_take_no_time() {
    let shape =
        Shape { operations: 0, clients: 8, keys: 1, values: 1_000_000, unknown: 0, altered: 0 };
    for (operations, unknown) in [(10_000, 0), (1000, 3)] {
        let mut history = history(Shape { operations, unknown, ..shape }, 7);
        let started = Instant::now();
        assert!(check(&Register::default(), &history).is_ok());
        let good = started.elapsed();
        println!("{operations} operations, {unknown} % unknown: {good:?}");
        assert!(good < Duration::from_secs(5), "{good:?}");
        history.truncate(1000);
        let read = history.iter_mut().rfind(|o| matches!(o.output, Some(Output::Value(_))));
        read.expect("there are reads").output = Some(Output::Value(Some("never".into())));
        assert!(check(&Register::default(), &history).is_err());
    }
}
