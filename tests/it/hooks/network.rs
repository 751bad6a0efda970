//! A network of the host's own that misbehaves: packets that are lost, repeated, held up and altered.

use super::*;
use bytes::Bytes;
use quorate_engine::consensus::types::NodeId;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::service::{Parts, Service};
use quorate_engine::transport::custom::{Carrier, PacketKind, kind};
use quorate_tests::journal::Journal;
use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Who is where.
type Places = Arc<Mutex<BTreeMap<String, Weak<Service>>>>;

/// A post office: whatever is sent goes through its thread, which has two left hands.
struct Post {
    letters: Option<Sender<(String, Bytes)>>,
    places: Places,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

/// What became of packets.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    lost: usize,
    repeated: usize,
    held: usize,
    altered: usize,
    kinds: [usize; 4],
}

impl Post {
    fn new() -> Post {
        let (letters, carried) = mpsc::channel();
        let (places, seen) = (Places::default(), Arc::<Mutex<Seen>>::default());
        let (at, noted) = (Arc::clone(&places), Arc::clone(&seen));
        let thread = Some(thread::spawn(move || carry(&carried, &at, &noted)));
        Post { letters: Some(letters), places, seen, thread }
    }

    fn start(&self, address: &str, journal: &Journal) -> Arc<Service> {
        let letters = self.letters.clone().expect("the post is open");
        let parts = Parts { carrier: Some(Box::new(Sack(letters))), ..Parts::default() };
        let service = Service::start_with(settings(), journal.machine(), parts);
        let service = Arc::new(service.expect("it starts"));
        lock(&self.places).insert(address.to_owned(), Arc::downgrade(&service));
        service
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.letters = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the post does not panic");
        }
    }
}

/// One node's end of the post.
struct Sack(Sender<(String, Bytes)>);

impl Carrier for Sack {
    fn send(&mut self, _to: NodeId, address: &str, packet: Bytes) -> Result<(), String> {
        self.0.send((address.to_owned(), packet)).map_err(|_| "the post is closed".to_owned())
    }
}

fn carry(letters: &Receiver<(String, Bytes)>, places: &Places, seen: &Mutex<Seen>) {
    let mut dice = 0x5eed_u64;
    let mut held = Vec::new();
    while let Ok((address, packet)) = letters.recv() {
        dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let mut seen = lock(seen);
        match dice >> 60 {
            0 => seen.lost += 1,
            1 => {
                seen.repeated += 1;
                deliver(places, &address, &packet, &mut seen);
                deliver(places, &address, &packet, &mut seen);
            }
            2 | 3 => {
                seen.held += 1;
                held.push((address, packet));
            }
            4 => {
                seen.altered += 1;
                deliver_altered(places, &address, &packet, dice);
            }
            _ => deliver(places, &address, &packet, &mut seen),
        }
        if held.len() > 5 {
            let late: Vec<_> = held.drain(..).rev().collect();
            late.iter().for_each(|(address, packet)| deliver(places, address, packet, &mut seen));
        }
    }
}

fn at(places: &Places, address: &str) -> Option<Arc<Service>> {
    lock(places).get(address).and_then(Weak::upgrade)
}

/// By the call for packets of its kind, as the page has them.
fn deliver(places: &Places, address: &str, packet: &Bytes, seen: &mut Seen) {
    let Some(service) = at(places, address) else { return };
    let kind = kind(packet).expect("it is unaltered");
    seen.kinds[kind as usize] += 1;
    let only = Some(kind).filter(|kind| *kind != PacketKind::Other);
    let delivered = service.deliver(packet.clone(), only);
    let kind_of_error = delivered.map_err(|error| error.kind);
    let fine = matches!(kind_of_error, Ok(()) | Err(ErrorKind::Closed | ErrorKind::Busy));
    assert!(fine, "{kind_of_error:?}");
}

/// One flipped bit, anywhere.
fn deliver_altered(places: &Places, address: &str, packet: &Bytes, dice: u64) {
    let Some(service) = at(places, address) else { return };
    let mut altered = packet.to_vec();
    let place = (dice >> 20) as usize % altered.len();
    altered[place] ^= 1 << (dice >> 16 & 7);
    let refused = service.deliver(altered.into(), None).expect_err("a bit is flipped");
    assert!(matches!(refused.kind, ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Closed));
}

/// Again and again, because a call may end without a leader on such a network.
fn insist<T>(mut call: impl FnMut() -> Result<T, Error>, done: &[ErrorKind]) {
    let begun = Instant::now();
    loop {
        match call() {
            Ok(_) => return,
            Err(error) if done.contains(&error.kind) => return,
            Err(error) => {
                let passes = [
                    ErrorKind::Timeout,
                    ErrorKind::NotLeader,
                    ErrorKind::LeadershipLost,
                    ErrorKind::ChangeInProgress,
                    ErrorKind::Unreachable,
                    ErrorKind::Lost,
                ];
                assert!(passes.contains(&error.kind) && begun.elapsed() < MINUTE, "{error}");
            }
        }
    }
}

#[test]
fn a_cluster_lives_on_a_network_that_loses_repeats_reorders_and_alters_packets() {
    let post = Post::new();
    let journals = [Journal::new(), Journal::new(), Journal::new()];
    let names = ["north", "east", "south"];
    let nodes: Vec<_> =
        names.iter().zip(&journals).map(|(name, journal)| post.start(name, journal)).collect();
    nodes[0].initialize_cluster("north", LONG).expect("it asks itself");
    for (node, name) in nodes.iter().zip(names).skip(1) {
        insist(|| nodes[0].add_node(name, LONG), &[ErrorKind::AlreadyMember]);
        assert!(!node.info().cluster_id.is_zero(), "it has joined");
    }
    let mut asked = 0;
    for round in 0..60 {
        let text = format!("{round}");
        insist(|| nodes[round % 3].propose_wait(entry(&text), LONG), &[]);
        asked = asked.max(nodes[round % 3].info().last_applied.0);
    }
    for node in &nodes {
        assert!(node.applied_tracker().timed_wait(asked, MINUTE) >= asked);
    }
    let logs = journals.map(|journal| journal.texts());
    assert_eq!(logs[0], logs[1]);
    assert_eq!(logs[0], logs[2]);
    for round in 0..60 {
        let times = logs[0].iter().filter(|text| **text == format!("{round}")).count();
        assert!(times >= 1, "{round} is there");
    }
    let seen = *lock(&post.seen);
    let happened = [seen.lost, seen.repeated, seen.held, seen.altered, seen.kinds[1]];
    assert!(happened.iter().all(|times| *times > 0), "{seen:?}");
    assert!(seen.kinds[PacketKind::Join as usize] > 0, "{seen:?}");
    drop(nodes);
}

#[test]
fn packets_for_somebody_else_and_of_another_kind_are_refused() {
    let (post, journal) = (Post::new(), Journal::new());
    let node = post.start("here", &journal);
    for bytes in [&b""[..], b"\0", b"\0\0", b"hello, is this quorate?", &[0xff; 200]] {
        let refused = node.deliver(Bytes::copy_from_slice(bytes), None);
        assert_eq!(refused.map_err(|error| error.kind), Err(ErrorKind::Invalid));
    }
    let builtin = Service::start(settings(), journal.machine()).expect("it starts");
    let refused = builtin.deliver(Bytes::new(), None);
    assert_eq!(refused.map_err(|error| error.kind), Err(ErrorKind::Unsupported));
    node.close().expect("it was fine");
    let refused = node.deliver(Bytes::new(), None);
    assert_eq!(refused.map_err(|error| error.kind), Err(ErrorKind::Closed));
}

/// Reaches nobody, and waits for its own service before it fails.
struct Broken {
    panics: bool,
    service: Arc<OnceLock<Weak<Service>>>,
    answers: Arc<Mutex<Vec<ErrorKind>>>,
}

impl Carrier for Broken {
    fn send(&mut self, _to: NodeId, _address: &str, _packet: Bytes) -> Result<(), String> {
        if let Some(service) = self.service.get().and_then(Weak::upgrade) {
            let answer = service.propose_wait(entry("from the network"), LONG);
            lock(&self.answers).extend(answer.err().map(|error| error.kind));
        }
        assert!(!self.panics, "the wire is cut");
        Err("the wire is cut".into())
    }
}

#[test]
fn a_network_that_fails_panics_and_calls_back_makes_nodes_unreachable() {
    for panics in [false, true] {
        let (service, answers) = (Arc::default(), Arc::default());
        let broken =
            Broken { panics, service: Arc::clone(&service), answers: Arc::clone(&answers) };
        let parts = Parts { carrier: Some(Box::new(broken)), ..Parts::default() };
        let node = Service::start_with(settings(), Journal::new().machine(), parts);
        let node = Arc::new(node.expect("it starts"));
        assert!(service.set(Arc::downgrade(&node)).is_ok(), "it is set once");
        let error = node.initialize_cluster("anywhere", LONG).expect_err("nobody is there");
        assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
        assert!(error.message.contains("the wire is cut"), "{error}");
        let answers = lock(&answers);
        assert!(!answers.is_empty() && answers.iter().all(|kind| *kind == ErrorKind::InCallback));
        node.propose_wait(entry("goes on"), LONG).expect("it is alone");
    }
}
