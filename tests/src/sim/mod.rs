//! The simulator: clusters of the real core on the real log, each in one thread on simulated disks, with a
//! virtual time and everything decided by one seed.
//!
//! `Plan::new(seed, steps)` says what a run will be, `run` plays it and says what came of it. After every step
//! the rules of `safety`, `callers`, the core's own invariants and the model of the specification (`model`) are
//! checked; in the end the cluster must be whole, and the clients' history linearizable (`linear`).
//!
//! A run is the same each time it is played: `Report::print` stands for all that happened, and with a trace it
//! can be compared line by line. A failing plan is made smaller by `shrink`.

mod calls;
mod clients;
mod clock;
mod faults;
mod finish;
mod host;
mod judge;
mod life;
mod machine;
mod network;
pub mod plan;
mod queue;
pub mod shrink;
pub mod tally;
mod world;

pub use plan::Plan;
pub use tally::Tally;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use world::{BEGINNING, World};

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Steps of cores, each of them checked.
    pub steps: u64,
    /// How long the run was, in its own time.
    pub virtual_time: Duration,
    /// Operations in the clients' history.
    pub operations: u64,
    /// What happened how often.
    pub tally: Tally,
    /// Stands for everything that happened.
    pub print: u64,
    /// The rule that was broken, if one was.
    pub fault: Option<String>,
    /// How each node stood in the end.
    pub states: Vec<String>,
    /// Everything that happened, a line each, if that was wanted.
    pub trace: Vec<String>,
}

/// Plays a plan, up to the first rule that is broken.
#[must_use]
pub fn run(plan: &Plan, traced: bool) -> Report {
    let mut world = World::new(plan, traced);
    let played = catch_unwind(AssertUnwindSafe(|| world.play()));
    let fault = match played {
        Ok(done) => done.err().or(world.fault.clone()),
        Err(panic) => Some(format!("it panicked: {}", said(&*panic))),
    };
    let state = |(place, host): (&u64, &host::Host)| match &host.core {
        Some(core) => format!("{place}: {core}"),
        None => format!("{place}: down"),
    };
    Report {
        seed: plan.seed,
        steps: world.steps,
        virtual_time: world.now.since(BEGINNING),
        operations: world.clients.history.len() as u64,
        states: world.hosts.iter().map(state).collect(),
        tally: world.tally,
        print: world.print,
        fault,
        trace: world.trace.unwrap_or_default(),
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
