//! Plays the simulator from the command line.
//!
//! ```text
//! simulate --seeds 0..1000 [--steps N] [--threads N]   plays seeds, and stops at the first that fails
//! simulate --seed 7 [--only 3,17] [--calm] [--trace]   replays one, whole or as small as it was made
//! simulate --minutes 30 [--from SEED]                  plays fresh seeds for a while
//! ```
//!
//! The last line of what it prints is a row for docs/soak-ledger.md. Ends with 1 after a run that broke a rule. The first line on stderr is `seed S: the rule`; then comes what
//! is left of the run when everything is left out that it does not need, and the command that replays that.

use quorate_tests::sim::shrink::shrink;
use quorate_tests::sim::{self, Plan, Report, Tally};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Runs that making a plan smaller may take.
const SHRINK_RUNS: u64 = 400;

struct Options {
    seeds: std::ops::Range<u64>,
    steps: u64,
    threads: usize,
    until: Option<Duration>,
    only: Option<Vec<usize>>,
    calm: bool,
    trace: bool,
    twice: bool,
    shrinks: bool,
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|_| ())); // a panic is told as what broke the run
    match options() {
        Ok(options) if options.only.is_some() || options.trace => replay(&options),
        Ok(options) => play(&options),
        Err(wrong) => {
            eprintln!("simulate: {wrong}; see the head of tests/src/bin/simulate.rs");
            ExitCode::from(2)
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        seeds: 0..100,
        steps: 10_000,
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        until: None,
        only: None,
        calm: false,
        trace: false,
        twice: false,
        shrinks: true,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--seeds" => {
                let value = value()?;
                let (from, to) = value.split_once("..").ok_or("--seeds is like 0..1000")?;
                options.seeds = number(from)?..number(to)?;
            }
            "--seed" => {
                let seed = number(&value()?)?;
                options.seeds = seed..seed + 1;
            }
            "--from" => options.seeds = number(&value()?)?..u64::MAX,
            "--minutes" => {
                options.until = Some(Duration::from_secs(60 * number(&value()?)?));
                options.seeds.end = u64::MAX;
            }
            "--steps" => options.steps = number(&value()?)?,
            "--threads" => options.threads = number(&value()?)? as usize,
            "--only" => {
                let value = value()?;
                let kept = value
                    .split(',')
                    .filter(|n| !n.is_empty())
                    .map(|n| number(n).map(|n| n as usize));
                options.only = Some(kept.collect::<Result<_, _>>()?);
            }
            "--calm" => options.calm = true,
            "--trace" => options.trace = true,
            "--twice" => options.twice = true,
            "--no-shrink" => options.shrinks = false,
            _ => return Err(format!("{word} is no option")),
        }
    }
    Ok(options)
}

fn number(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| format!("{text} is no number"))
}

fn replay(options: &Options) -> ExitCode {
    let mut plan = Plan::new(options.seeds.start, options.steps);
    if let Some(only) = &options.only {
        plan = plan.with(only);
    }
    if options.calm {
        plan = plan.calm();
    }
    let report = sim::run(&plan, true);
    report.trace.iter().for_each(|line| println!("{line}"));
    tell(&report);
    ExitCode::from(u8::from(report.fault.is_some()))
}

/// What all threads share.
struct Shared {
    next: AtomicU64,
    is_over: AtomicBool,
    failed: Mutex<Option<Report>>,
    sum: Mutex<Sum>,
}

#[derive(Default)]
struct Sum {
    seeds: u64,
    steps: u64,
    operations: u64,
    virtual_time: Duration,
    tally: Tally,
}

fn play(options: &Options) -> ExitCode {
    let began = Instant::now();
    let shared = Shared {
        next: AtomicU64::new(options.seeds.start),
        is_over: AtomicBool::new(false),
        failed: Mutex::new(None),
        sum: Mutex::new(Sum::default()),
    };
    std::thread::scope(|scope| {
        (0..options.threads).for_each(|_| {
            scope.spawn(|| work(options, &shared, began));
        });
    });
    let sum = shared.sum.into_inner().expect("no thread panics");
    let seconds = began.elapsed().as_secs_f64();
    print!("{}", sum.tally);
    println!(
        "seeds {} steps {} virtual hours {:.1} operations {} faults {} in {seconds:.0} s, {:.0} steps/s",
        sum.seeds,
        sum.steps,
        sum.virtual_time.as_secs_f64() / 3600.0,
        sum.operations,
        sum.tally.faults(),
        sum.steps as f64 / seconds
    );
    let failed = shared.failed.into_inner().expect("no thread panics");
    let first = options.seeds.start;
    println!(
        "ledger: stage=simulator seeds={first}..{} steps={} hours={:.1} faults={} failures={}",
        first + sum.seeds,
        sum.steps,
        sum.virtual_time.as_secs_f64() / 3600.0,
        sum.tally.faults(),
        u8::from(failed.is_some())
    );
    let Some(report) = failed else { return ExitCode::SUCCESS };
    eprintln!("seed {}: {}", report.seed, report.fault.as_deref().unwrap_or_default());
    if options.shrinks {
        make_smaller(options, report);
    }
    ExitCode::FAILURE
}

fn work(options: &Options, shared: &Shared, began: Instant) {
    let is_late = || options.until.is_some_and(|until| began.elapsed() > until);
    while !shared.is_over.load(Ordering::Relaxed) && !is_late() {
        let seed = shared.next.fetch_add(1, Ordering::Relaxed);
        if seed >= options.seeds.end {
            return;
        }
        let plan = Plan::new(seed, options.steps);
        let mut report = sim::run(&plan, false);
        if options.twice && report.fault.is_none() && sim::run(&plan, false).print != report.print {
            report.fault = Some("it is not the same when it is played again".to_owned());
        }
        let mut sum = shared.sum.lock().expect("no thread panics");
        sum.seeds += 1;
        sum.steps += report.steps;
        sum.operations += report.operations;
        sum.virtual_time += report.virtual_time;
        sum.tally.add(&report.tally);
        if report.fault.is_some() {
            shared.is_over.store(true, Ordering::Relaxed);
            let mut failed = shared.failed.lock().expect("no thread panics");
            if failed.as_ref().is_none_or(|other| report.seed < other.seed) {
                *failed = Some(report);
            }
        }
    }
}

fn make_smaller(options: &Options, report: Report) {
    let seed = report.seed;
    let plan = Plan::new(seed, options.steps);
    let least = shrink(&plan, report, SHRINK_RUNS);
    eprintln!(
        "needs {} of {} actions, found in {} runs",
        least.kept.len(),
        plan.actions.len(),
        least.runs
    );
    for at in &least.kept {
        eprintln!("  {at} at {:?}: {:?}", plan.actions[*at].at, plan.actions[*at].action);
    }
    tell(&least.report);
    let only: Vec<String> = least.kept.iter().map(usize::to_string).collect();
    let calm = if least.calm { " --calm" } else { "" };
    eprintln!(
        "replay: cargo run --release -p quorate-tests --bin simulate -- --seed {seed} --steps {} --only {},{calm}",
        options.steps,
        only.join(",")
    );
}

fn tell(report: &Report) {
    report.states.iter().for_each(|state| eprintln!("{state}"));
    match &report.fault {
        Some(fault) => eprintln!("seed {}: {fault}", report.seed),
        None => eprintln!("seed {}: no rule was broken, {} steps", report.seed, report.steps),
    }
}
