//! Scripts of calls of the C interface, in order and not: handles that are NULL, freed, of another type or
//! any number, from several threads at once, inside callbacks and after a service was closed; structures
//! of wrong sizes, pointers that are NULL with a length.
//!
//! What must hold: the process lives; each call returns, with a code that `include/quorate.h` names for
//! it and an error that says why; what was taken completes exactly once; each hook is dropped exactly
//! once; nothing is left in the end. The script keeps to what C can't be spared: a pointer that is not
//! NULL is readable, and a result is not read after it was freed.

mod caller;
pub mod documented;
mod handles;
mod hooks;
mod plain;
mod proposals;
mod services;
mod tables;
mod world;

use super::input::Input;
use caller::{Caller, Place, free};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use world::{Handle, Kind, Standing, World, lock};

/// Calls of one script, its threads' and callbacks' left out.
const CALLS: usize = 48;
const THREADS: usize = 3;
/// How long a completion may take that only waits for a thread to run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Words of the script's language are calls, and nothing else is longer than a byte.
pub const WORDS: &[&[u8]] = &[];

/// A kind of call: the functions that it calls, and how.
struct Op {
    names: &'static [&'static str],
    run: for<'a, 'b> fn(&mut Caller<'a, 'b>),
}

macro_rules! ops {
    ($($run:ident: $($name:literal)*;)*) => {
        &[$(Op { names: &[$(concat!("quorate_", $name)),*], run: |caller| caller.$run() }),*]
    };
}

/// All of them. A corpus says their numbers: add at the end.
const OPS: &[Op] = ops! {
    start_in_order: "config_new" "config_set" "config_state_machine" "config_transport"
        "config_storage" "service_start";
    propose_wait: "service_propose_wait";
    submit: "service_submit";
    queue_poll: "queue_poll";
    queue_new: "queue_new";
    initialize: "service_initialize_cluster";
    add_node: "service_add_node";
    read_barrier: "service_read_barrier";
    propose: "service_propose";
    close: "service_close";
    free: "service_free";
    thread: ;
    config_new: "config_new";
    config_free: "config_free";
    config_set: "config_set";
    config_state_machine: "config_state_machine";
    config_transport: "config_transport";
    config_storage: "config_storage";
    config_logger: "config_logger";
    start: "service_start";
    remove_node: "service_remove_node";
    subscribe: "service_subscribe";
    info: "service_info";
    look: "service_node_config" "service_raft_status" "node_list_string" "node_list_get_node";
    report: "service_report";
    applied_tracker: "service_applied_tracker";
    deliver: "service_deliver";
    append: "service_append";
    request_vote: "service_request_vote";
    join: "service_join";
    queue_free: "queue_free";
    queue_look: "queue_fd" "queue_wake";
    queue_poll_woken: "queue_poll" "queue_wake";
    tracker_new: "tracker_new" "tracker_named";
    tracker_free: "tracker_free";
    tracker_update: "tracker_update";
    tracker_wait: "tracker_wait" "tracker_timed_wait";
    tracker_wait_closed: "tracker_wait" "tracker_close";
    tracker_close: "tracker_close";
    tracker_notify: "tracker_notify";
    output_set: "output_set";
    numbers: "status_string" "state_string" "membership_change_mode_string" "loop_command_string"
        "version" "abi_version" "status_outcome";
    node_ids: "node_id_format" "node_id_parse";
    node_lists: "node_list_string" "node_list_get_node" "node_string";
    errors: "error_new";
    free_one: "free";
    free_what_is_no_result: "free";
    settings: "config_setting";
    frame_kinds: "frame_kind";
    storage_check: "storage_check";
};

/// The functions that scripts call.
pub fn called() -> impl Iterator<Item = &'static str> {
    OPS.iter().flat_map(|op| op.names).copied()
}

impl Caller<'_, '_> {
    /// Goes on with the script, so many calls at most.
    fn some_calls(&mut self, most: usize) {
        for _ in 0..most {
            if self.input.is_empty() {
                return;
            }
            let op = self.input.below(OPS.len());
            (OPS[op].run)(self);
        }
    }

    /// A part of the script that another thread plays beside the rest.
    fn thread(&mut self) {
        let script = self.input.piece().to_vec();
        let world = self.world.clone();
        if self.place != Place::Main || lock(&world.threads).len() == THREADS {
            return;
        }
        let theirs = world.clone();
        let play = move || {
            let input = Input::new(&script);
            let mut caller = Caller { world: &theirs, input, place: Place::Thread };
            theirs.watched(|| caller.some_calls(CALLS));
        };
        lock(&world.threads).push(std::thread::spawn(play));
    }
}

/// A script of calls, and then the end of all that it made.
pub fn run(bytes: &[u8]) {
    let world = Arc::new(World::default());
    let input = Input::new(bytes);
    Caller { world: &world, input, place: Place::Main }.some_calls(CALLS);
    let threads = std::mem::take(&mut *lock(&world.threads));
    threads.into_iter().for_each(|thread| thread.join().expect("what it finds is caught"));
    end(&world);
}

/// Frees everything, and looks whether all has come that was due.
fn end(world: &Arc<World>) {
    let end = Input::new(&[]);
    let mut caller = Caller { world, input: end, place: Place::Main };
    for service in world.living(Kind::Service) {
        quorate::service::quorate_service_free(ptr::without_provenance_mut(service.number));
        world.freed(service.number);
    }
    let heard = world.living(Kind::Queue);
    heard.iter().for_each(|queue| hear(&mut caller, queue.number));
    world.check_tokens(|queue| heard.iter().any(|heard| heard.number == queue));
    free_handles(world);
    while let Some(kept) = world.take_result(0, |_| true) {
        free(kept.address);
    }
    for hook in lock(&world.hooks).iter() {
        let [dropped, due] = [&hook.dropped, &hook.due].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(dropped, due, "a hook is dropped once");
    }
    let found = lock(&world.found);
    assert!(found.is_empty(), "in a thread or callback: {found:#?}");
}

/// Polls until nothing is due any more. Polls once more, for what must not come.
fn hear(caller: &mut Caller<'_, '_>, queue: usize) {
    let deadline = Instant::now() + PATIENCE;
    while caller.world.waiting(queue) > 0 && Instant::now() < deadline {
        caller.poll(queue, Standing::Any, 16, 100, false);
    }
    while caller.poll(queue, Standing::Any, 16, 0, false) > 0 {}
}

/// Frees what is alive, and what the drops of hooks make meanwhile.
fn free_handles(world: &World) {
    use {quorate::config::*, quorate::queue::*, quorate::tracker::*};
    loop {
        let living = world.handles(|handle| !handle.is_freed && handle.kind != Kind::Output);
        if living.is_empty() {
            return;
        }
        for Handle { kind, number, .. } in living {
            match kind {
                Kind::Config => quorate_config_free(ptr::without_provenance_mut(number)),
                Kind::Queue => quorate_queue_free(ptr::without_provenance_mut(number)),
                Kind::Tracker => quorate_tracker_free(ptr::without_provenance_mut(number)),
                Kind::Service | Kind::Output => {}
            }
            world.freed(number);
        }
    }
}

/// Stories that get far: services that are written to, polled, closed and freed in several orders, with
/// calls from their callbacks; and random ones.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut dice = crate::simulated_fs::Dice(0xca11);
    let mut random = |len: usize| -> Vec<u8> { (0..len).map(|_| dice.roll() as u8).collect() };
    // A state machine and a network with the same script for their callbacks, in memory.
    let start = |script: &[u8]| {
        let piece = [&[script.len() as u8][..], script].concat();
        [&[0][..], &piece, &[9], &[1], &piece, &[9], &[7], &[9; 5], &[9, 9]].concat()
    };
    let calls: Vec<Vec<u8>> = (0..24).map(|_| random(40)).collect();
    let mut seeds: Vec<Vec<u8>> = calls.iter().map(|script| start(script)).collect();
    for (at, script) in calls.iter().enumerate() {
        let two = [start(script), vec![4], start(&[]), vec![5, 9, 9, 3, 9]].concat();
        seeds.push([two, random(60 + at)].concat());
        seeds.push([start(script), vec![11, 30], random(30), random(90)].concat());
        seeds.push(random(30 + 10 * at));
    }
    seeds.extend((0..OPS.len() as u8).map(|op| [start(&[]), vec![op], vec![9; 24]].concat()));
    seeds.push(vec![]);
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_function_of_the_header_is_called() {
        let called: BTreeSet<&str> = called().collect();
        let all: BTreeSet<&str> = documented::FUNCTIONS.keys().map(String::as_str).collect();
        assert_eq!(called, all);
    }
}
