//! A cluster of three processes serves while it is attacked: its leader stays, its writes go on, its
//! memory and its descriptors come back, and a fresh node can join. ATTACKS=1000000 (`make attack`)
//! attacks longer.

mod means;
mod node;

use means::{Attacker, Victims};
use node::{Node, Told, frames_of};
use quorate_engine::transport::wire;
use quorate_tests::fuzz;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How much more memory a node may have than before.
const GROWTH: u64 = 64 << 20;
/// A node that writes nothing for so long does not serve; a machine that others use may stop it for a second.
const SERVES: Duration = Duration::from_secs(10);
const THREADS: u64 = 4;

struct Cluster {
    nodes: Vec<Node>,
    before: Vec<Told>,
    memory: Vec<u64>,
    descriptors: Vec<usize>,
    /// When each was last seen to have written.
    wrote: Vec<Instant>,
    most: u64,
    fewest: u64,
}

impl Cluster {
    fn new(dir: &std::path::Path) -> Cluster {
        let mut nodes: Vec<Node> = (0..3).map(|n| Node::new(dir.join(n.to_string()))).collect();
        assert!(nodes[0].tell("found").ok);
        for at in 1..3 {
            let address = nodes[at].address.clone();
            assert!(nodes[0].tell(&format!("add {address}")).ok, "a node joins");
        }
        nodes.iter_mut().for_each(|node| assert!(node.tell("write").ok));
        let mut cluster = Cluster {
            nodes,
            before: Vec::new(),
            memory: Vec::new(),
            descriptors: Vec::new(),
            wrote: vec![Instant::now(); 3],
            most: 0,
            fewest: u64::MAX,
        };
        cluster.settle();
        cluster
    }

    /// Waits until all write, and remembers how things are then.
    fn settle(&mut self) {
        loop {
            self.before = self.nodes.iter_mut().map(|node| node.tell("")).collect();
            if self.before.iter().all(|told| told.done >= 100 && told.leader > 0) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        self.wrote.fill(Instant::now());
        self.memory = self.nodes.iter().map(Node::memory).collect();
        self.descriptors = self.nodes.iter().map(Node::descriptors).collect();
    }

    fn victims(&self) -> Victims {
        let recorded =
            |node: &Node| cut(&std::fs::read(frames_of(&node.dir)).expect("it has sent some"));
        let address = |node: &Node| node.address.parse().expect("it is numeric");
        let ids = self.before.iter().map(|told| told.id);
        Victims {
            nodes: self.nodes.iter().map(address).zip(ids).collect(),
            cluster: self.before[0].cluster,
            recorded: self.nodes.iter().map(recorded).collect(),
        }
    }

    /// What must hold every second.
    fn check(&mut self, earlier: &mut Vec<Told>) {
        let now: Vec<Told> = self.nodes.iter_mut().map(|node| node.tell("")).collect();
        for (at, told) in now.iter().enumerate() {
            let before = self.before[at];
            assert_eq!((told.leader, told.term), (before.leader, before.term), "the leader stays");
            assert_eq!(told.failed, 0, "every write is carried out");
            let written = told.done - earlier[at].done;
            if written > 0 {
                self.wrote[at] = Instant::now();
            }
            assert!(self.wrote[at].elapsed() < SERVES, "node {at} goes on writing");
            self.fewest = self.fewest.min(written);
            self.weigh(at);
        }
        *earlier = now;
    }

    fn weigh(&mut self, at: usize) {
        let grown = self.nodes[at].memory().saturating_sub(self.memory[at]);
        self.most = self.most.max(grown);
        assert!(grown <= GROWTH, "node {at} has {} MiB more than before", grown >> 20);
    }

    /// Checks every second until `done`.
    fn watch(&mut self, done: &AtomicBool) {
        let mut earlier: Vec<Told> = self.nodes.iter_mut().map(|node| node.tell("")).collect();
        let mut last = Instant::now();
        while !done.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
            (0..self.nodes.len()).for_each(|at| self.weigh(at));
            if last.elapsed() >= Duration::from_secs(1) {
                last = Instant::now();
                self.check(&mut earlier);
            }
        }
        thread::sleep(Duration::from_secs(1).saturating_sub(last.elapsed()));
        self.check(&mut earlier);
    }

    /// No connection of the attack is left.
    fn descriptors_come_back(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let now: Vec<usize> = self.nodes.iter().map(Node::descriptors).collect();
            if now.iter().zip(&self.descriptors).all(|(now, before)| now <= before) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{now:?} descriptors, {:?} before",
                self.descriptors
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// A fresh node joins and writes.
    fn grow(&mut self, dir: std::path::PathBuf) {
        let mut fresh = Node::new(dir);
        assert!(self.nodes[0].tell(&format!("add {}", fresh.address)).ok, "a fresh node joins");
        assert!(fresh.tell("write").ok);
        let deadline = Instant::now() + Duration::from_secs(30);
        while fresh.tell("").done == 0 {
            assert!(Instant::now() < deadline, "a fresh node writes");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn cut(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some(head) = bytes.first_chunk() {
        let len = wire::frame_len(head, wire::FRAME_LIMIT).expect("a frame of our own");
        let Some((frame, rest)) = bytes.split_at_checked(len) else { break };
        frames.push(frame.to_vec());
        bytes = rest;
    }
    frames
}

/// Attacks from some threads at once. Returns how many attacks the system itself refused.
fn attack(victims: &Victims, count: u64, done: &AtomicBool) -> u64 {
    let (frames, hellos) = (fuzz::wire::frames(), fuzz::wire::hellos());
    let (made, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let (frames, hellos, made, failed) = (&frames, &hellos, &made, &failed);
            scope.spawn(move || {
                let mut attacker = Attacker::new(victims, frames, hellos, seed);
                while made.load(Ordering::Relaxed) < count && !done.load(Ordering::Relaxed) {
                    let before = attacker.failed;
                    let attacks = attacker.attack();
                    let refused = attacker.failed - before;
                    failed.fetch_add(refused, Ordering::Relaxed);
                    made.fetch_add(attacks.saturating_sub(refused), Ordering::Relaxed);
                }
            });
        }
    });
    failed.into_inner()
}

/// Runs `hostile` beside a cluster that is watched.
fn under(cluster: &mut Cluster, hostile: impl FnOnce(&Victims, &AtomicBool) + Send) {
    let victims = cluster.victims();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let attack = scope.spawn(|| {
            hostile(&victims, &done);
            done.store(true, Ordering::Relaxed);
        });
        let watched =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cluster.watch(&done)));
        done.store(true, Ordering::Relaxed);
        attack.join().expect("the attacker does not fail");
        watched.unwrap_or_else(|found| std::panic::resume_unwind(found));
    });
}

#[test]
fn a_cluster_serves_while_it_is_attacked() {
    let count = std::env::var("ATTACKS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_000);
    let _alone = crate::alone();
    let dir = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::new(dir.path());
    let begun = Instant::now();
    under(&mut cluster, |victims, done| {
        let failed = attack(victims, count, done);
        println!("{failed} connections were refused by the system");
    });
    let seconds = begun.elapsed().as_secs_f64();
    cluster.descriptors_come_back();
    println!(
        "{count} attacks in {seconds:.1} s; at most {} KiB more memory in a node; at least {} writes a \
         second at each",
        cluster.most >> 10,
        cluster.fewest
    );
    cluster.grow(dir.path().join("fresh"));
}

/// Whoever connects and says nothing takes no room from those who have something to say.
#[test]
fn a_fresh_node_joins_while_hundreds_of_connections_are_silent() {
    let _alone = crate::alone();
    let dir = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::new(dir.path());
    let victims = cluster.victims();
    let mut attacker = Attacker::new(&victims, &[], &[], 1);
    let silent: Vec<_> = (0..900).filter_map(|n| attacker.connect(n % 3)).collect();
    assert_eq!(silent.len(), 900);
    cluster.grow(dir.path().join("fresh"));
    drop(silent);
    cluster.descriptors_come_back();
}

/// Long frames that never end must not add up.
#[test]
fn long_frames_that_never_end_take_little_memory() {
    let _alone = crate::alone();
    let dir = tempfile::tempdir().expect("a directory");
    let mut cluster = Cluster::new(dir.path());
    under(&mut cluster, |victims, _| {
        let mut attacker = Attacker::new(victims, &[], &[], 1);
        let open: Vec<_> = (0..24).map(|_| attacker.nearly_all_of_a_long_frame(0)).collect();
        assert_eq!(open.len(), 24);
        thread::sleep(Duration::from_secs(1));
    });
    cluster.descriptors_come_back();
}
