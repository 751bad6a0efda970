//! A member of a cluster whose log is damaged while it is down: it comes back, gives no votes, is repaired
//! by the others, and votes again. Nothing is lost.

use super::members::{LONG, Node, all_agree, cluster_on};
use quorate_engine::error::ErrorKind;
use quorate_engine::logger::{Level, Line, Logger};
use quorate_engine::queue::{Completion, OpKind, Queue};
use quorate_engine::service::{Parts, Service};
use quorate_engine::status::State;
use quorate_tests::journal::Journal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What of a file is altered.
#[derive(Clone, Copy)]
enum Harm {
    /// A bit of the header of a segment, without which none of its frames can be checked.
    Header,
    /// A bit of the first frame.
    Beginning,
    /// A bit in the middle of what is in use.
    Middle,
    /// A bit of each byte in the second half of that.
    Half,
}

/// Keeps what it is told to look at.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Logger for Warnings {
    fn write(&self, line: &Line<'_>) {
        self.0.lock().expect("no panic").push(line.message.to_owned());
    }
}

impl Node {
    fn start_watched(&mut self) -> Arc<Warnings> {
        let warnings = Arc::<Warnings>::default();
        let logger = Some((Level::Warn, Arc::clone(&warnings) as Arc<dyn Logger>));
        self.journal = Journal::new();
        let parts = Parts { logger, ..Parts::default() };
        let service = Service::start_with(self.settings(), self.journal.machine(), parts);
        self.service = Some(service.expect("it starts"));
        warnings
    }

    /// The file with the log, or the oldest of them.
    fn log(&self) -> PathBuf {
        let (dir, name) = (self.dir.path().join(self.storage), |path: &PathBuf| {
            path.extension().is_some_and(|end| end == "log") || path.ends_with("db")
        });
        let paths =
            std::fs::read_dir(dir).expect("lists").map(|entry| entry.expect("lists").path());
        paths.filter(name).min().expect("there is one")
    }

    /// Alters bytes of the log's file.
    fn harm(&self, harm: Harm) -> PathBuf {
        let path = self.log();
        let mut bytes = std::fs::read(&path).expect("reads");
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("it is not empty");
        let places = match harm {
            Harm::Header => 34..35,
            Harm::Beginning => 4100..4101,
            Harm::Middle => usize::midpoint(4096, end)..usize::midpoint(4096, end) + 1,
            Harm::Half => end / 2..end,
        };
        places.for_each(|at| bytes[at] ^= 4);
        std::fs::write(&path, bytes).expect("writes");
        path
    }

    fn abstains(&self) -> bool {
        self.report().contains("\"abstaining\":true")
    }
}

/// Takes the leader, or else somebody, out of a cluster.
fn take(nodes: &mut Vec<Node>, leads: bool) -> Node {
    let is_it = |node: &Node| (node.service().info().state == State::Leader) == leads;
    let at = nodes.iter().position(is_it).expect("there is one");
    nodes.remove(at)
}

// known bug: G3 | FAST 2018 (CTRL), NATS #7556, cowsql: a damaged record in the middle was taken for a torn
// end, and acknowledged entries went | what was durable is told from a torn end; the member abstains, keeps
// the damaged files, and is repaired by its leader
#[test]
fn a_damaged_member_is_repaired_and_votes_again() {
    for (storage, harm) in
        [("wal", Harm::Middle), ("wal", Harm::Beginning), ("wal", Harm::Half), ("sled", Harm::Half)]
    {
        let mut nodes = cluster_on(storage, 3);
        (0..30).for_each(|n| nodes[n % 3].write(&n.to_string()));
        let mut harmed = take(&mut nodes, false);
        harmed.stop();
        let file = harmed.harm(harm);
        nodes[0].write("while it is down");
        nodes.iter_mut().for_each(Node::stop);

        let warnings = harmed.start_watched();
        let warnings = warnings.0.lock().expect("no panic").clone();
        let says = |text: &str| warnings.iter().any(|line| line.contains(text));
        assert!(says(&file.display().to_string()), "{warnings:?}");
        assert!(says("gives no votes until a leader has repaired its log"), "{warnings:?}");
        assert!(harmed.abstains() && harmed.report().contains("\"damage\":\"/"));
        let queue = Queue::new().expect("a descriptor is left");
        harmed.service().subscribe(&queue, 1).expect("it runs");
        nodes.iter_mut().for_each(Node::start);
        assert_eq!(heard(&queue), [true, false], "it abstains, and then no more");
        harmed.until("it is repaired", |_| !harmed.abstains());

        nodes[0].write("all are there");
        nodes[0].until("somebody leads", |service| !service.info().leader_id.is_zero());
        nodes.push(harmed);
        take(&mut nodes, true).stop();
        nodes[0].write("with its vote");
        assert_eq!(all_agree(&nodes).len(), 33);
    }
}

/// The one that founded the cluster, of whose configurations none is left.
#[test]
fn a_founder_that_can_read_nothing_knows_that_it_is_not_alone() {
    let mut nodes = cluster_on("wal", 3);
    (0..6).for_each(|n| nodes[n % 3].write(&n.to_string()));
    nodes.iter_mut().for_each(Node::stop);
    nodes[0].harm(Harm::Header);
    nodes.iter_mut().for_each(Node::start);
    nodes[0].until("it is repaired", |service| !service.info().leader_id.is_zero());
    nodes[0].until("it votes", |_| !nodes[0].abstains());
    nodes[0].write("all are there");
    assert_eq!(all_agree(&nodes).len(), 7);
}

/// A member whose log was damaged was removed before the others repaired it. Its state machine holds more
/// than what is left of the log: as a Standalone node it would count places anew that the state machine has
/// filled, and never apply what is written there.
#[test]
fn a_removed_member_that_lacks_what_it_applied_stops() {
    let mut nodes = cluster_on("wal", 3);
    (0..30).for_each(|n| nodes[n % 3].write(&n.to_string()));
    let mut harmed = take(&mut nodes, false);
    let id = harmed.id();
    harmed.until("it has applied all", |_| harmed.journal.texts().len() == 30);
    harmed.stop();
    harmed.harm(Harm::Middle);
    nodes[0].service().remove_node(id, LONG).expect("it is removed");
    nodes.iter_mut().for_each(Node::stop); // the leader that removed it would still repair it
    nodes.iter_mut().for_each(Node::start);
    let lines = harmed.journal.lines();
    let service = Service::start(harmed.settings(), harmed.journal.durable_machine());
    harmed.service = Some(service.expect("it starts"));
    harmed.until("it stops", |service| service.info().state == State::Failed);
    assert!(harmed.report().contains("has applied entry"), "{}", harmed.report());
    assert_eq!(harmed.journal.lines(), lines);
    drop(harmed.service.take());
    let refused = Service::start(harmed.settings(), harmed.journal.durable_machine());
    assert_eq!(refused.err().map(|error| error.kind), Some(ErrorKind::StateMachine));
}

/// What the node says of its votes, from the start until it gives them.
fn heard(queue: &Queue) -> Vec<bool> {
    let (mut all, mut completions) = (Vec::new(), Vec::new());
    while !all.contains(&false) {
        queue.poll(&mut completions, 100, LONG);
        let is_end = |event: &Completion| event.op == OpKind::Failed;
        assert!(!completions.is_empty() && !completions.iter().any(is_end), "{completions:?}");
        let news = completions.drain(..).filter(|event| event.op == OpKind::Abstaining);
        all.extend(news.map(|event| event.id.index.0 == 1));
    }
    all
}

#[test]
fn a_damaged_node_that_is_alone_is_refused() {
    let mut nodes = cluster_on("wal", 1);
    nodes[0].write("one");
    nodes[0].write("two");
    nodes[0].stop();
    let file = nodes[0].harm(Harm::Middle);
    let refused =
        Service::start(nodes[0].settings(), nodes[0].journal.machine()).expect_err("refused");
    assert_eq!(refused.kind, ErrorKind::Corrupt);
    assert!(refused.message.contains(&file.display().to_string()), "{}", refused.message);
}
