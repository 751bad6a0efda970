//! A member of a cluster whose log is damaged while it is down: it comes back, gives no votes, is repaired
//! by the others, and votes again. Nothing is lost.

use super::members::{LONG, Node, all_agree, cluster, settings};
use quorate_engine::error::ErrorKind;
use quorate_engine::logger::{Level, Line, Logger};
use quorate_engine::queue::{OpKind, Queue};
use quorate_engine::service::{Parts, Service};
use quorate_engine::status::State;
use quorate_tests::journal::Journal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

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
        let settings = settings(self.dir.path(), &self.address);
        let parts = Parts { logger, ..Parts::default() };
        let service = Service::start_with(settings, self.journal.machine(), parts);
        self.service = Some(service.expect("it starts"));
        warnings
    }

    fn oldest_segment(&self) -> PathBuf {
        let files = std::fs::read_dir(self.dir.path().join("wal")).expect("lists");
        let paths = files.map(|entry| entry.expect("lists").path());
        paths.filter(|path| path.extension().is_some_and(|end| end == "log")).min().expect("some")
    }

    /// Flips a bit in the first frame, or in the middle of what the oldest segment holds.
    fn harm(&self, in_the_middle: bool) -> PathBuf {
        let path = self.oldest_segment();
        let mut bytes = std::fs::read(&path).expect("reads");
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("it is not empty");
        let at = if in_the_middle { usize::midpoint(4096, end) } else { 4100 };
        bytes[at] ^= 4;
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

#[test]
fn a_damaged_member_is_repaired_and_votes_again() {
    for in_the_middle in [true, false] {
        let mut nodes = cluster(3);
        (0..30).for_each(|n| nodes[n % 3].write(&n.to_string()));
        let mut harmed = take(&mut nodes, false);
        harmed.stop();
        let file = harmed.harm(in_the_middle);
        nodes[0].write("while it is down");
        nodes.iter_mut().for_each(Node::stop);

        let warnings = harmed.start_watched();
        let warnings = warnings.0.lock().expect("no panic").clone();
        let says = |text: &str| warnings.iter().any(|line| line.contains(text));
        assert!(says(&format!("{} at offset", file.display())), "{warnings:?}");
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

/// What the node says of its votes, from the start until it gives them.
fn heard(queue: &Queue) -> Vec<bool> {
    let (mut all, mut completions) = (Vec::new(), Vec::new());
    while !all.contains(&false) {
        queue.poll(&mut completions, 100, LONG);
        let news = completions.drain(..).filter(|event| event.op == OpKind::Abstaining);
        all.extend(news.map(|event| event.id.index.0 == 1));
    }
    all
}

#[test]
fn a_damaged_node_that_is_alone_is_refused() {
    let mut nodes = cluster(1);
    nodes[0].write("one");
    nodes[0].write("two");
    nodes[0].stop();
    let file = nodes[0].harm(true);
    let settings = settings(nodes[0].dir.path(), &nodes[0].address);
    let refused = Service::start(settings, nodes[0].journal.machine()).expect_err("refused");
    assert_eq!(refused.kind, ErrorKind::Corrupt);
    assert!(refused.message.contains(&file.display().to_string()), "{}", refused.message);
}
