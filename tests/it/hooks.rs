//! A network and a store of the host's own that misbehave: packets that are lost, repeated, held up and
//! altered; a store that fails, blocks and lies while a service runs on it.

use bytes::Bytes;
use quorate_engine::change::NewEntry;
use quorate_engine::consensus::types::{Index, NodeId};
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::logger::{Level, Line, Logger};
use quorate_engine::queue::{Completion, OpKind, Queue};
use quorate_engine::service::{Parts, Service};
use quorate_engine::settings::Settings;
use quorate_engine::status::State;
use quorate_engine::storage::custom::{Custom, HostStore};
use quorate_engine::storage::{StorageError, StorageErrorKind};
use quorate_engine::transport::custom::{Carrier, PacketKind, kind};
use quorate_tests::journal::{Door, Journal};
use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
const LONG: Option<Duration> = Some(MINUTE);
const SHORT: Option<Duration> = Some(Duration::from_millis(50));

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settings() -> Settings {
    let mut settings = Settings::new();
    settings.set("storage", "memory").expect("it is known");
    settings
}

fn entry(text: &str) -> NewEntry<'_> {
    NewEntry::new(text.as_bytes())
}

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

/// A store that is a map and does what a test wants.
#[derive(Clone, Default)]
struct Store(Arc<Content>);

#[derive(Default)]
struct Content {
    values: Mutex<BTreeMap<u64, Bytes>>,
    metadata: Mutex<BTreeMap<String, Vec<u8>>>,
    fails: Mutex<Option<&'static str>>,
    door: Door,
}

impl Store {
    fn may(&self, call: &'static str) -> Result<(), StorageError> {
        if *lock(&self.0.fails) == Some(call) {
            return Err(StorageError::new(StorageErrorKind::Io, format!("no {call} today")));
        }
        Ok(())
    }

    fn service(&self, journal: &Journal) -> Result<Service, Error> {
        let store = Some(Box::new(Custom::new(self.clone())) as _);
        Service::start_with(Settings::new(), journal.machine(), Parts { store, ..Parts::default() })
    }
}

impl HostStore for Store {
    fn open(&mut self) -> Result<Option<(Index, Index)>, StorageError> {
        self.may("open")?;
        let values = lock(&self.0.values);
        let ends = values.keys().next().zip(values.keys().next_back());
        Ok(ends.map(|(first, last)| (Index(*first), Index(*last))))
    }

    fn append(&mut self, first: Index, values: &[Bytes]) -> Result<(), StorageError> {
        self.may("append")?;
        lock(&self.0.values).extend((first.0..).zip(values.iter().cloned()));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.0.door.pass();
        self.may("sync")
    }

    fn read(&mut self, first: Index, last: Index, _max: usize) -> Result<Vec<Bytes>, StorageError> {
        self.may("read")?;
        let mut values: Vec<Bytes> =
            lock(&self.0.values).range(first.0..=last.0).map(|(_, value)| value.clone()).collect();
        if self.may("order").is_err() {
            values.reverse();
        }
        Ok(values)
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        lock(&self.0.values).retain(|index, _| *index < first.0);
        Ok(())
    }

    fn truncate_prefix(&mut self, last: Index) -> Result<(), StorageError> {
        lock(&self.0.values).retain(|index, _| *index > last.0);
        Ok(())
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(lock(&self.0.metadata).get(key).cloned())
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.may("metadata_put")?;
        lock(&self.0.metadata).insert(key.into(), value.into());
        Ok(())
    }
}

#[test]
fn a_store_that_fails_stops_the_service_and_what_it_had_is_there_again() {
    for call in ["append", "sync"] {
        let (store, journal) = (Store::default(), Journal::new());
        let service = store.service(&journal).expect("it starts");
        let queue = Queue::new().expect("a descriptor is left");
        service.subscribe(&queue, 5).expect("it runs");
        service.propose_wait(entry("kept"), LONG).expect("it is applied");
        *lock(&store.0.fails) = Some(call);
        let error = service.propose_wait(entry("not known"), LONG).expect_err("the store fails");
        assert_eq!(error.kind, ErrorKind::Interrupted, "{call}: {error}");
        let failure = until(&queue, OpKind::Failed).result.expect_err("it says why");
        assert_eq!(failure.kind, ErrorKind::StorageFailed);
        assert!(failure.message.contains(call), "{failure}");
        assert_eq!(service.info().state, State::Failed);
        assert_eq!(service.close().map_err(|e| e.kind), Err(ErrorKind::StorageFailed));
        until(&queue, OpKind::Closed);
        *lock(&store.0.fails) = None;
        let again = store.service(&Journal::new()).expect("what it had is whole");
        again.read_barrier(LONG).expect("it leads");
        assert!(again.info().last_applied >= Index(2), "the first entry is there");
    }
}

/// Polls until that event has come, and returns it.
fn until(queue: &Queue, op: OpKind) -> Completion {
    let mut polled = Vec::new();
    loop {
        assert!(queue.poll(&mut polled, 1, LONG) > 0, "{op:?} comes");
        if polled.last().is_some_and(|completion| completion.op == op) {
            return polled.swap_remove(polled.len() - 1);
        }
    }
}

#[test]
fn a_store_that_fails_or_lies_at_the_start_is_refused() {
    for call in ["open", "metadata_put", "read", "order"] {
        let (store, journal) = (Store::default(), Journal::new());
        let service = store.service(&journal).expect("it starts");
        service.propose_wait(entry("kept"), LONG).expect("it is applied");
        drop(service);
        *lock(&store.0.fails) = Some(call);
        let error = store.service(&journal).expect_err("the store fails");
        let kind = if call == "order" { ErrorKind::Corrupt } else { ErrorKind::Io };
        assert_eq!(error.kind, kind, "{call}: {error}");
    }
}

#[test]
fn a_store_that_blocks_delays_what_needs_it_and_nothing_else() {
    let (store, journal) = (Store::default(), Journal::new());
    let service = store.service(&journal).expect("it starts");
    service.propose_wait(entry("before"), LONG).expect("it is applied");
    store.0.door.shut();
    let late = service.propose_wait(entry("late"), SHORT).expect_err("the store blocks");
    assert_eq!(late.kind, ErrorKind::Timeout);
    store.0.door.until_somebody_waits();
    assert_eq!(service.info().state, State::Standalone);
    let tracker = service.applied_tracker();
    let applied = service.info().last_applied.0;
    assert_eq!(
        tracker.timed_wait(applied + 1, Duration::from_millis(50)),
        applied,
        "nothing is applied meanwhile"
    );
    store.0.door.open();
    assert!(tracker.timed_wait(applied + 1, MINUTE) > applied, "it is applied after all");
    assert_eq!(journal.texts(), ["before", "late"]);
}

/// Keeps lines, and calls the service back.
#[derive(Default)]
struct Lines {
    kept: Mutex<Vec<(Level, u64, String)>>,
    service: OnceLock<Weak<Service>>,
    answers: Mutex<Vec<ErrorKind>>,
}

impl Logger for Lines {
    fn write(&self, line: &Line<'_>) {
        lock(&self.kept).push((line.level, line.node.0, line.message.to_owned()));
        if let Some(service) = self.service.get().and_then(Weak::upgrade) {
            let answer = service.propose_wait(entry("from a logger"), LONG);
            lock(&self.answers).extend(answer.err().map(|error| error.kind));
        }
    }
}

#[test]
fn a_service_tells_people_and_programs_what_happens() {
    let (lines, journal) = (Arc::<Lines>::default(), Journal::new());
    let logger = Some((Level::Info, Arc::clone(&lines) as Arc<dyn Logger>));
    let mut settings = settings();
    settings.set("listen", "127.0.0.1:0").expect("it is known");
    let parts = Parts { logger, ..Parts::default() };
    let service = Service::start_with(settings, journal.machine(), parts).expect("it starts");
    let service = Arc::new(service);
    let queue = Queue::new().expect("a descriptor is left");
    service.subscribe(&queue, 77).expect("it runs");
    assert!(lines.service.set(Arc::downgrade(&service)).is_ok(), "it is set once");
    let address = service.address().expect("it listens").to_owned();
    service.initialize_cluster(&address, LONG).expect("it is alone");
    let event = until(&queue, OpKind::MembershipEvent);
    assert_eq!((event.token, event.id.index), (77, Index(1)));
    let leader = service.info().my_id;
    service.close().expect("it was fine");
    let last = until(&queue, OpKind::Closed);
    assert!(last.number > event.number);
    let refused = service.subscribe(&queue, 78).map_err(|error| error.kind);
    assert_eq!(refused, Err(ErrorKind::Closed));
    let kept = lock(&lines.kept);
    let said =
        |text: &str| kept.iter().any(|(_, node, line)| line.contains(text) && *node == leader.0);
    assert!(said("opened a log") && said("leads in term") && said("closed"), "{kept:?}");
    assert!(said("configuration 1 is in force") && said(&address), "{kept:?}");
    let answers = lock(&lines.answers);
    assert!(!answers.is_empty() && answers.iter().all(|kind| *kind == ErrorKind::InCallback));
}
