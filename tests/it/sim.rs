//! The simulator in the usual run of the tests: a thousand seeds. More, and fresh ones, with
//! `cargo run --release -p quorate-tests --bin simulate -- --minutes 30`.

use quorate_tests::sim::{self, Plan, Report, Tally};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

const SEEDS: u64 = 1_000;
/// Steps after which a run gets no more faults; what it needs to recover comes on top.
const STEPS: u64 = 10_000;
/// What the usual run has to reach.
const LEAST_STEPS: u64 = 10_000_000;

#[derive(Default)]
struct Sum {
    tally: Tally,
    steps: u64,
    operations: u64,
    broken: Vec<Report>,
}

#[test]
fn no_seed_breaks_a_rule_and_every_situation_comes_up() {
    let (next, sum) = (AtomicU64::new(0), Mutex::new(Sum::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| {
            scope.spawn(|| play(&next, &sum));
        });
    });
    let Sum { tally, steps, operations, broken } = sum.into_inner().expect("no thread panics");
    println!("{SEEDS} seeds, {steps} checked steps, {operations} operations\n{tally}");
    let told: Vec<String> = broken.iter().map(told).collect();
    assert!(broken.is_empty(), "{}", told.join("\n"));
    assert!(steps >= LEAST_STEPS, "only {steps} steps");
    assert_eq!(tally.missing(), Vec::<&str>::new(), "faults or situations that never came up");
}

fn play(next: &AtomicU64, sum: &Mutex<Sum>) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= SEEDS {
            return;
        }
        let report = sim::run(&Plan::new(seed, STEPS), false);
        let mut sum = sum.lock().expect("no thread panics");
        sum.tally.add(&report.tally);
        sum.steps += report.steps;
        sum.operations += report.operations;
        if report.fault.is_some() {
            sum.broken.push(report);
        }
    }
}

/// How to replay it, and what it says.
fn told(report: &Report) -> String {
    let fault = report.fault.as_deref().unwrap_or_default();
    let states = report.states.join("\n");
    let seed = report.seed;
    format!(
        "seed {seed}: {fault}\n{states}\nmake it smaller: cargo run --release -p quorate-tests --bin simulate -- \
         --seed {seed} --steps {STEPS}"
    )
}

#[test]
fn a_run_is_the_same_each_time() {
    for seed in 0..30 {
        let plan = Plan::new(seed, STEPS);
        let (first, second) = (sim::run(&plan, true), sim::run(&plan, true));
        assert!(first.trace.len() > 500, "seed {seed}: hardly anything is told");
        assert_eq!((first.print, first.steps), (second.print, second.steps), "seed {seed}");
        assert!(first.trace == second.trace, "seed {seed} is told otherwise the second time");
        assert_eq!(first.states, second.states, "seed {seed}");
    }
}
