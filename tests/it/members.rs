//! Services that are a cluster, over tcp in one process: forming it, writing and reading anywhere,
//! losing a leader, leaving and coming back.

use quorate_engine::change::NewEntry;
use quorate_engine::consensus::types::NodeId;
use quorate_engine::error::{Error, ErrorKind, Outcome};
use quorate_engine::queue::{Completion, Queue};
use quorate_engine::service::{Op, Request, Service};
use quorate_engine::settings::Settings;
use quorate_engine::status::{MembershipChangeMode, Report, State};
use quorate_tests::journal::Journal;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

pub(super) const LONG: Option<Duration> = Some(Duration::from_secs(60));

/// A node of a test: its directory outlives its runs.
pub(super) struct Node {
    pub(super) dir: TempDir,
    pub(super) journal: Journal,
    pub(super) service: Option<Service>,
    pub(super) address: String,
    pub(super) storage: &'static str,
}

fn settings(dir: &Path, address: &str, storage: &str) -> Settings {
    let mut settings = Settings::new();
    let dir = dir.to_str().expect("it is UTF-8");
    for (key, value) in [
        ("data_dir", dir),
        ("listen", address),
        ("storage", storage),
        ("segment_bytes", "64KiB"),
        ("heartbeat_timeout", "50ms"),
        ("election_timeout", "500ms"),
    ] {
        settings.set(key, value).expect("it is known");
    }
    settings
}

impl Node {
    fn new() -> Node {
        Node::on("wal")
    }

    fn on(storage: &'static str) -> Node {
        let dir = tempfile::tempdir().expect("a directory");
        let (journal, address) = (Journal::new(), "127.0.0.1:0".to_owned());
        let mut node = Node { dir, journal, service: None, address, storage };
        node.start();
        node
    }

    /// Starts it, on the address that it had before, with an empty state.
    pub(super) fn start(&mut self) {
        self.journal = Journal::new();
        let settings = self.settings();
        let service = Service::start(settings, self.journal.machine()).expect("it starts");
        self.address = service.address().expect("it listens").to_owned();
        self.service = Some(service);
    }

    pub(super) fn stop(&mut self) {
        let service = self.service.take().expect("it runs");
        assert_eq!(service.close(), Ok(()));
    }

    pub(super) fn settings(&self) -> Settings {
        settings(self.dir.path(), &self.address, self.storage)
    }

    pub(super) fn service(&self) -> &Service {
        self.service.as_ref().expect("it runs")
    }

    pub(super) fn id(&self) -> NodeId {
        self.service().info().my_id
    }

    /// Writes once, and repeats only what is definitely not done.
    pub(super) fn write(&self, text: &str) {
        let reply = loop {
            match self.service().propose_wait(NewEntry::new(text.as_bytes()), LONG) {
                Ok(reply) => break reply,
                Err(error) if error.kind == ErrorKind::Lost => {}
                Err(error) => panic!("{text}: {error:?}\n{}", self.report()),
            }
        };
        assert_eq!(reply.data.as_deref(), Some(format!("re:{text}").as_bytes()));
    }

    pub(super) fn report(&self) -> String {
        self.service().report(Report::Json)
    }

    /// Waits for something that other nodes bring about.
    pub(super) fn until(&self, what: &str, done: impl Fn(&Service) -> bool) {
        let deadline = LONG.expect("set");
        let step = Duration::from_millis(5);
        let tracker = self.service().applied_tracker();
        for _ in 0..deadline.as_millis() / step.as_millis() {
            if done(self.service()) {
                return;
            }
            tracker.timed_wait(tracker.value() + 1, step);
        }
        panic!("{what}: {}", self.report());
    }
}

fn cluster(count: usize) -> Vec<Node> {
    cluster_on("wal", count)
}

pub(super) fn cluster_on(storage: &'static str, count: usize) -> Vec<Node> {
    let nodes: Vec<Node> = (0..count).map(|_| Node::on(storage)).collect();
    let first = nodes[0].service();
    first.initialize_cluster(&nodes[0].address, LONG).expect("it can be reached");
    for node in &nodes[1..] {
        first
            .add_node(&node.address, LONG)
            .unwrap_or_else(|e| panic!("{e:?}\n{}", nodes[0].report()));
    }
    nodes
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind)
}

/// All nodes have applied the same, after a read barrier on each.
pub(super) fn all_agree(nodes: &[Node]) -> Vec<String> {
    for node in nodes {
        node.service().read_barrier(LONG).unwrap_or_else(|e| panic!("{e:?}\n{}", node.report()));
    }
    let lines = nodes[0].journal.lines();
    for node in &nodes[1..] {
        assert_eq!(node.journal.lines(), lines, "{}", node.report());
    }
    nodes[0].journal.texts()
}

#[test]
fn three_nodes_form_a_cluster_and_write_and_read_anywhere() {
    let nodes = cluster(3);
    for round in 0..20 {
        for (at, node) in nodes.iter().enumerate() {
            node.write(&format!("{at}/{round}"));
        }
    }
    assert_eq!(all_agree(&nodes).len(), 60);
    let ids: BTreeSet<NodeId> = nodes.iter().map(Node::id).collect();
    let leader = nodes[0].service().info();
    assert_eq!((leader.state, leader.leader_id), (State::Leader, nodes[0].id()));
    for node in &nodes {
        let (info, list) = (node.service().info(), node.service().node_config());
        assert_eq!(info.cluster_id, leader.cluster_id);
        assert_eq!(info.membership_change_mode, MembershipChangeMode::Stable);
        assert_eq!(list.current.iter().map(|m| m.id).collect::<BTreeSet<_>>(), ids);
        assert!(list.next.is_empty() && list.learners.is_empty());
    }
    let peers = nodes[0].service().raft_status().peer_indices.expect("it leads");
    assert_eq!(peers.into_keys().collect::<BTreeSet<_>>(), ids);
    assert_eq!(nodes[1].service().raft_status().peer_indices, None);
}

#[test]
fn submitted_writes_at_all_nodes_at_once_are_each_done_once() {
    const EACH: usize = 1000;
    let nodes = cluster(3);
    let queues: Vec<Queue> = nodes.iter().map(|_| Queue::new().expect("a descriptor")).collect();
    for from in (0..EACH).step_by(100) {
        for (at, (node, queue)) in nodes.iter().zip(&queues).enumerate() {
            let texts: Vec<String> = (from..from + 100).map(|n| format!("{at}/{n}")).collect();
            let ops = texts.iter().map(|text| Op::ProposeWait(NewEntry::new(text.as_bytes())));
            let requests: Vec<_> = ops.map(|op| Request { token: 0, timeout: LONG, op }).collect();
            assert_eq!(node.service().submit(queue, &requests), Ok(100));
        }
    }
    for (queue, node) in queues.iter().zip(&nodes) {
        let mut all: Vec<Completion> = Vec::new();
        while all.len() < EACH {
            assert!(
                queue.poll(&mut all, EACH, LONG) > 0,
                "{} of {EACH}: {}",
                all.len(),
                node.report()
            );
        }
        let failed = all.iter().find(|c| c.result.is_err());
        assert!(failed.is_none(), "{failed:?}");
    }
    let texts = all_agree(&nodes);
    assert_eq!((texts.len(), texts.iter().collect::<BTreeSet<_>>().len()), (3 * EACH, 3 * EACH));
}

#[test]
fn the_others_go_on_without_their_leader_and_it_catches_up() {
    let mut nodes = cluster(3);
    nodes[1].write("before");
    nodes[0].stop();
    nodes[1].write("without a leader at first");
    nodes[2].write("and again");
    nodes[0].start();
    nodes[0].write("it is back");
    let texts = all_agree(&nodes);
    assert_eq!(texts, ["before", "without a leader at first", "and again", "it is back"]);
}

#[test]
fn a_whole_cluster_restarts_with_all_that_was_written() {
    let mut nodes = cluster(3);
    for n in 0..50 {
        nodes[n % 3].write(&n.to_string());
    }
    nodes.iter_mut().for_each(Node::stop);
    nodes.iter_mut().for_each(Node::start);
    nodes[2].write("after");
    assert_eq!(all_agree(&nodes).len(), 51);
}

#[test]
fn a_removed_node_is_standalone_for_good_and_can_come_back_with_its_directory() {
    let mut nodes = cluster(3);
    nodes[0].write("one");
    let (id, address) = (nodes[2].id(), nodes[2].address.clone());
    nodes[0].service().remove_node(id, LONG).expect("it is removed");
    nodes[2].until("it learns of it", |service| service.info().state == State::Standalone);
    assert_eq!(nodes[2].service().info().cluster_id.0, 0);
    assert_eq!(nodes[2].journal.texts(), ["one"], "its data is kept");
    nodes[2].stop();
    nodes[2].start();
    assert_eq!(nodes[2].service().info().state, State::Standalone);
    nodes[0].write("two");
    nodes[0].service().add_node(&address, LONG).expect("it wrote nothing of its own");
    assert_eq!(nodes[2].id(), id, "it is the same node");
    nodes[2].write("three");
    assert_eq!(all_agree(&nodes), ["one", "two", "three"]);
}

#[test]
fn a_node_that_was_down_when_it_was_removed_learns_of_it() {
    let mut nodes = cluster(3);
    let id = nodes[2].id();
    nodes[2].stop();
    nodes[0].service().remove_node(id, LONG).expect("a majority is there");
    nodes[0].write("one");
    nodes[2].start();
    nodes[2].until("it learns of it", |service| service.info().state == State::Standalone);
    nodes[1].service().add_node(&nodes[2].address, LONG).expect("it comes back");
    nodes[2].write("two");
    assert_eq!(all_agree(&nodes), ["one", "two"]);
}

#[test]
fn a_former_member_with_writes_of_its_own_is_refused() {
    let nodes = cluster(2);
    nodes[0].service().remove_node(nodes[1].id(), LONG).expect("it is removed");
    nodes[1].until("it learns of it", |service| service.info().state == State::Standalone);
    nodes[1].write("my own");
    let refused = nodes[0].service().add_node(&nodes[1].address, LONG).expect_err("it has data");
    assert_eq!(refused.kind, ErrorKind::HasData);
    nodes[0].write("the cluster goes on");
    assert_eq!(nodes[0].journal.texts(), ["the cluster goes on"]);
    assert_eq!(nodes[1].journal.texts(), ["my own"]);
}

#[test]
fn a_leader_removes_itself_and_the_others_go_on() {
    let nodes = cluster(3);
    nodes[1].write("one");
    nodes[0].service().remove_node(nodes[0].id(), LONG).expect("it is removed");
    nodes[0].until("it is standalone", |service| service.info().state == State::Standalone);
    nodes[1].write("two");
    nodes[2].write("three");
    assert_eq!(all_agree(&nodes[1..]), ["one", "two", "three"]);
    assert_eq!(nodes[0].journal.texts(), ["one"]);
}

#[test]
fn changes_of_membership_that_make_no_sense_are_refused() {
    let nodes = cluster(2);
    let leader = nodes[0].service();
    let other = Node::new();
    other.write("data of its own");
    let foreign = cluster(1);
    for (address, expected) in [
        (nodes[0].address.as_str(), ErrorKind::AlreadyMember),
        (nodes[1].address.as_str(), ErrorKind::AlreadyMember),
        (other.address.as_str(), ErrorKind::HasData),
        (foreign[0].address.as_str(), ErrorKind::OtherCluster),
        ("127.0.0.1:1", ErrorKind::Unreachable),
    ] {
        let error = leader.add_node(address, LONG).expect_err("it is refused");
        assert_eq!(error.kind, expected, "{address}: {error}");
        let error = nodes[1].service().add_node(address, LONG).expect_err("it is refused");
        assert_eq!(error.kind, expected, "through a follower, {address}: {error}");
    }
    assert_eq!(kind(leader.remove_node(NodeId(12345), LONG)), Some(ErrorKind::NotFound));
    let again = leader.initialize_cluster(&nodes[0].address, LONG);
    assert_eq!(kind(again), Some(ErrorKind::AlreadyMember));
    let elsewhere = other.service().initialize_cluster(&nodes[0].address, LONG);
    assert_eq!(kind(elsewhere), Some(ErrorKind::Unreachable), "another node answers there");
    nodes[1].write("the cluster goes on");
    assert_eq!(all_agree(&nodes), ["the cluster goes on"]);
    leader.remove_node(nodes[1].id(), LONG).expect("one is left");
    let last = leader.remove_node(nodes[0].id(), LONG);
    assert!(last.is_err(), "the last voter stays");
}

#[test]
fn a_member_needs_its_listener() {
    let mut nodes = cluster(1);
    nodes[0].stop();
    let mut deaf = Settings::new();
    deaf.set("data_dir", nodes[0].dir.path().to_str().expect("it is UTF-8")).expect("it is known");
    let error = Service::start(deaf, Journal::new().machine()).expect_err("nobody could reach it");
    assert!(error.kind == ErrorKind::Invalid && error.message.contains("listen"), "{error}");
    nodes[0].start();
    nodes[0].write("as before");
}

#[test]
fn without_a_majority_nothing_is_done_and_callers_hear_that_in_time() {
    let mut nodes = cluster(2);
    let id = nodes[1].id();
    nodes[1].stop();
    let service = nodes[0].service();
    nodes[0].until("it steps down", |service| service.info().leader_id.0 == 0);
    let short = Some(Duration::from_millis(100));
    let at_once = service.propose(NewEntry::new(b"x"), LONG).expect_err("nobody leads");
    assert_eq!(at_once.kind, ErrorKind::NotLeader);
    let held = service.propose_wait(NewEntry::new(b"x"), short).expect_err("nobody leads");
    assert_eq!(held.kind, ErrorKind::NotLeader, "it never left");
    assert_eq!(kind(service.read_barrier(short)), Some(ErrorKind::NotLeader));
    assert_eq!(kind(service.remove_node(id, short)), Some(ErrorKind::NotLeader));
    let queue = Queue::new().expect("a descriptor");
    let request = Request { token: 5, timeout: LONG, op: Op::ProposeWait(NewEntry::new(b"held")) };
    assert_eq!(service.submit(&queue, &[request]), Ok(1));
    nodes[1].start();
    let mut done = Vec::new();
    assert_eq!(queue.poll(&mut done, 1, LONG), 1);
    assert!(done[0].result.is_ok(), "{done:?}");
    assert_eq!(all_agree(&nodes), ["held"]);
}

#[test]
fn a_follower_that_does_not_forward_names_the_leader() {
    let mut nodes = cluster(2);
    nodes[1].stop();
    let mut apart = nodes[1].settings();
    apart.set("forward_proposals", "off").expect("it is known");
    let service = Service::start(apart, nodes[1].journal.machine()).expect("it starts");
    nodes[1].service = Some(service);
    nodes[1].until("it hears its leader", |service| service.info().leader_id.0 != 0);
    for wait in [true, false] {
        let entry = NewEntry::new(b"x");
        let service = nodes[1].service();
        let error = match wait {
            true => service.propose_wait(entry, LONG).expect_err("it does not lead"),
            false => service.propose(entry, LONG).expect_err("it does not lead"),
        };
        assert_eq!(error.kind, ErrorKind::NotLeader);
        let leader = error.leader.expect("it is known");
        assert_eq!((leader.id, &*leader.address), (nodes[0].id(), nodes[0].address.as_str()));
    }
    nodes[1].service().read_barrier(LONG).expect("reads are not proposals");
}

/// What became of the proposals of a test, as their callers heard it.
#[derive(Default)]
struct Heard {
    done: BTreeSet<String>,
    not_done: BTreeSet<String>,
    unknown: usize,
}

impl Heard {
    fn take(&mut self, text: String, completion: &Completion) {
        let outcome =
            completion.result.as_ref().map_or_else(|e| e.kind.outcome(), |_| Outcome::Done);
        match outcome {
            Outcome::Done => _ = self.done.insert(text),
            Outcome::NotDone | Outcome::Fatal => _ = self.not_done.insert(text),
            Outcome::Unknown => self.unknown += 1,
        }
    }
}

// known bug: H2
#[test]
fn whatever_happens_to_nodes_each_caller_hears_the_truth() {
    const EACH: usize = 300;
    let mut nodes = cluster(3);
    let mut heard = Heard::default();
    for round in 0..6 {
        let mut asked = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            let queue = Queue::new().expect("a descriptor");
            let texts: Vec<String> = (0..EACH).map(|n| format!("{round}/{at}/{n}")).collect();
            let ask = |(token, text): (u64, _)| {
                let op = Op::ProposeWait(NewEntry::new(text));
                Request { token, timeout: LONG, op }
            };
            let bytes = texts.iter().map(String::as_bytes);
            let requests: Vec<_> = (0..).zip(bytes).map(ask).collect();
            assert_eq!(node.service().submit(&queue, &requests), Ok(EACH));
            asked.push((queue, texts));
        }
        let victim = match round % 3 {
            0 => nodes.iter().position(|n| n.service().info().state == State::Leader),
            n => Some(n),
        };
        let victim = victim.unwrap_or_default();
        nodes[victim].stop();
        for (at, (queue, texts)) in asked.into_iter().enumerate() {
            let mut all = Vec::new();
            while all.len() < EACH {
                assert!(queue.poll(&mut all, EACH, LONG) > 0, "{at}: {} of {EACH}", all.len());
            }
            all.iter().for_each(|c| heard.take(texts[c.token as usize].clone(), c));
        }
        nodes[victim].start();
    }
    let texts = all_agree(&nodes);
    let there: BTreeSet<String> = texts.iter().cloned().collect();
    assert_eq!(there.len(), texts.len(), "nothing is there twice");
    let missing: Vec<_> = heard.done.difference(&there).collect();
    assert!(missing.is_empty(), "acknowledged and not there: {missing:?}");
    let undead: Vec<_> = heard.not_done.intersection(&there).collect();
    assert!(undead.is_empty(), "definitely not done and there: {undead:?}");
    assert_eq!(heard.done.len() + heard.not_done.len() + heard.unknown, 6 * 3 * EACH);
    assert!(heard.done.len() >= EACH, "only {} were done", heard.done.len());
}
