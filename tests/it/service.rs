//! One service alone: what callers get, in good times and when store or state machine fail.

use bytes::Bytes;
use quorate_engine::change::NewEntry;
use quorate_engine::consensus::types::{Index, NodeId, Term};
use quorate_engine::error::{Error, ErrorKind, Outcome};
use quorate_engine::queue::{Completion, OpKind, Queue};
use quorate_engine::service::{Op, Parts, Request, Service};
use quorate_engine::settings::Settings;
use quorate_engine::status::{NodeList, Report, State};
use quorate_engine::storage::memory::Memory;
use quorate_engine::storage::{
    LogStore, Record, Recovered, STATE_KEY, StorageError, StorageErrorKind,
};
use quorate_tests::journal::Journal;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

const LONG: Option<Duration> = Some(Duration::from_secs(30));
const SHORT: Option<Duration> = Some(Duration::from_millis(50));

fn settings(changes: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::new();
    settings.set("storage", "memory").expect("it is known");
    for (key, value) in changes {
        settings.set(key, value).expect("it is known");
    }
    settings
}

fn start(journal: &Journal) -> Service {
    Service::start(settings(&[]), journal.machine()).expect("it starts")
}

fn entry(text: &str) -> NewEntry<'_> {
    NewEntry::new(text.as_bytes())
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind)
}

/// Polls until there are so many completions.
fn completions(queue: &Queue, count: usize) -> Vec<Completion> {
    let mut all = Vec::new();
    while all.len() < count {
        assert!(queue.poll(&mut all, count, LONG) > 0, "{} of {count} came", all.len());
    }
    all
}

#[test]
fn a_service_alone_takes_proposals_and_answers_with_its_own_reply() {
    let journal = Journal::new();
    let service = start(&journal);
    let first = service.propose_wait(entry("one"), LONG).expect("it is applied");
    assert_eq!(first.data.as_deref(), Some(&b"re:one"[..]));
    let second = service.propose(entry("two"), LONG).expect("it is in the log");
    assert_eq!((second.index, second.term), (first.id.index.next(), first.id.term));
    assert!(
        service.applied_tracker().timed_wait(second.index.0, LONG.expect("set")) >= second.index.0
    );
    assert_eq!(
        journal.lines(),
        [(first.id.index.0, b"one".to_vec()), (second.index.0, b"two".to_vec())]
    );
}

#[test]
fn the_getters_show_a_standalone_node() {
    let service = start(&Journal::new());
    let done = service.propose_wait(entry("x"), LONG).expect("it is applied");
    let info = service.info();
    assert_eq!(info.state, State::Standalone);
    assert_eq!((info.cluster_id.0, info.failure), (0, None));
    assert!(info.my_id.0 > 0 && info.leader_id == info.my_id);
    assert_eq!((info.current_term, info.last_term, info.first_index), (Term(1), Term(1), Index(1)));
    assert_eq!((info.commit_index, info.last_applied), (done.id.index, done.id.index));
    assert_eq!(info.last_index, done.id.index);
    assert_eq!(service.node_config(), NodeList::default());
    assert_eq!(service.raft_status().peer_indices.map(|peers| peers.len()), Some(0));
    assert_eq!(service.address(), None);
    let report = service.report(Report::Json);
    assert!(report.contains("\"state\":\"Standalone\""), "{report}");
    assert!(service.report(Report::Prometheus).contains("quorate_applied_entries_total"));
}

#[test]
fn each_submitted_request_gives_one_completion_and_the_order_is_kept() {
    const COUNT: u64 = 5000;
    let journal = Journal::new();
    let service = start(&journal);
    let queue = Queue::new().expect("a descriptor");
    let texts: Vec<String> = (0..COUNT).map(|n| n.to_string()).collect();
    let mut requests = Vec::new();
    for (token, text) in (0..COUNT).zip(&texts) {
        let wait = token % 3 > 0;
        let op = if wait { Op::ProposeWait(entry(text)) } else { Op::Propose(entry(text)) };
        requests.push(Request { token, timeout: LONG, op });
    }
    for batch in requests.chunks(64) {
        assert_eq!(service.submit(&queue, batch).expect("there is room"), batch.len());
    }
    let read = Request { token: COUNT, timeout: LONG, op: Op::ReadBarrier };
    assert_eq!(service.submit(&queue, &[read]), Ok(1));
    let mut all = completions(&queue, requests.len() + 1);
    all.sort_by_key(|completion| completion.token);
    assert_eq!(all.pop().map(|c| (c.token, c.op)), Some((COUNT, OpKind::ReadBarrier)));
    for (n, completion) in all.iter().enumerate() {
        assert_eq!(completion.token, n as u64);
        let reply = completion.result.clone().expect("done");
        let waited = completion.op == OpKind::ProposeWait;
        assert_eq!(reply, waited.then(|| Bytes::from(format!("re:{n}"))));
    }
    service.read_barrier(LONG).expect("it leads");
    assert_eq!(journal.texts(), texts);
    let indexes: Vec<u64> = all.iter().map(|c| c.id.index.0).collect();
    assert_eq!(indexes, journal.lines().iter().map(|(index, _)| *index).collect::<Vec<_>>());
    assert_eq!(queue.poll(&mut Vec::new(), 1, Some(Duration::ZERO)), 0, "no second completion");
}

#[test]
fn many_threads_each_get_their_own_answer() {
    let service = Arc::new(start(&Journal::new()));
    let workers: Vec<_> = (0..32)
        .map(|worker| {
            let service = Arc::clone(&service);
            thread::spawn(move || {
                for n in 0..50 {
                    let text = format!("{worker}/{n}");
                    let reply = service.propose_wait(entry(&text), LONG).expect("it is applied");
                    assert_eq!(reply.data, Some(Bytes::from(format!("re:{text}"))));
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().expect("no panic"));
    assert_eq!(service.info().last_applied, service.info().last_index);
}

#[test]
fn bad_input_is_refused_and_the_service_goes_on() {
    let journal = Journal::new();
    let service = Service::start(settings(&[("max_entry_bytes", "1KiB")]), journal.machine())
        .expect("starts");
    let large = [0_u8; 1025];
    let error = service.propose_wait(NewEntry::new(&large), LONG).expect_err("too large");
    assert_eq!(error.kind, ErrorKind::TooLarge);
    assert!(error.message.contains("max_entry_bytes"), "{error}");
    let reserved = NewEntry { kind: -1, ..entry("x") };
    assert_eq!(kind(service.propose(reserved, LONG)), Some(ErrorKind::Invalid));
    assert_eq!(kind(service.add_node("nowhere", LONG)), Some(ErrorKind::Invalid));
    assert_eq!(kind(service.add_node("a:1", LONG)), Some(ErrorKind::NoCluster));
    assert_eq!(kind(service.remove_node(NodeId(1), LONG)), Some(ErrorKind::NoCluster));
    let deaf = service.initialize_cluster("127.0.0.1:1", LONG).expect_err("it does not listen");
    assert!(deaf.kind == ErrorKind::Invalid && deaf.message.contains("listen"), "{deaf}");
    let queue = Queue::new().expect("a descriptor");
    let ask = |op| Request { token: 0, timeout: LONG, op };
    let mixed = [
        ask(Op::ProposeWait(entry("good"))),
        ask(Op::ProposeWait(NewEntry::new(&large))),
        ask(Op::ProposeWait(entry("later"))),
    ];
    assert_eq!(service.submit(&queue, &mixed), Ok(1), "as many as are good, from the front");
    assert_eq!(kind(service.submit(&queue, &mixed[1..])), Some(ErrorKind::TooLarge));
    assert_eq!(service.submit(&queue, &[]), Ok(0));
    completions(&queue, 1);
    assert_eq!(service.propose_wait(entry("after"), LONG).map(|r| r.data.is_some()), Ok(true));
    assert_eq!(journal.texts(), ["good", "after"]);
}

#[test]
fn a_full_service_answers_busy_at_once_and_recovers() {
    let journal = Journal::new();
    journal.door.shut();
    let limits = settings(&[("max_queued_entries", "10"), ("max_queued_bytes", "1KiB")]);
    let service = Service::start(limits, journal.machine()).expect("it starts");
    let queue = Queue::new().expect("a descriptor");
    let ask = |text| Request { token: 0, timeout: None, op: Op::ProposeWait(entry(text)) };
    let requests: Vec<_> = std::iter::repeat_n(ask("x"), 12).collect();
    assert_eq!(service.submit(&queue, &requests), Ok(10));
    let busy = service.submit(&queue, &requests).expect_err("it is full");
    assert!(busy.kind == ErrorKind::Busy && busy.message.contains("max_queued_entries"), "{busy}");
    assert_eq!(kind(service.propose_wait(entry("y"), LONG)), Some(ErrorKind::Busy));
    assert_eq!(kind(service.read_barrier(LONG)), Some(ErrorKind::Busy));
    journal.door.open();
    assert!(completions(&queue, 10).iter().all(|c| c.result.is_ok()));
    let text = "z".repeat(400);
    journal.door.shut();
    assert_eq!(service.submit(&queue, &vec![ask(&text); 3]), Ok(2), "the third is too much");
    journal.door.open();
    completions(&queue, 2);
    assert!(service.propose_wait(entry("y"), LONG).is_ok());
}

// known bug: H2 | redisraft #23: "no leader" was said of a write that was committed later | an error is one of
// three: done, not done, unknown
#[test]
fn a_time_out_is_unknown_once_a_leader_has_the_change() {
    let journal = Journal::new();
    let service = start(&journal);
    service.propose_wait(entry("before"), LONG).expect("it leads");
    journal.door.shut();
    let error = service.propose_wait(entry("slow"), SHORT).expect_err("nothing is applied");
    assert_eq!((error.kind, error.kind.outcome()), (ErrorKind::Timeout, Outcome::Unknown));
    assert_eq!(kind(service.read_barrier(SHORT)), Some(ErrorKind::Timeout));
    journal.door.open();
    service.read_barrier(LONG).expect("it goes on");
    assert_eq!(journal.texts(), ["before", "slow"], "it was done all the same");
}

// known bug: H10 | openraft 1d5cc706, dd29c2e9: a worker died and its callers waited for ever | every caller
// is answered when a service closes or fails, and by its own deadline before
#[test]
fn closing_leaves_no_caller_hanging() {
    let journal = Journal::new();
    let service = Arc::new(start(&journal));
    service.propose_wait(entry("before"), LONG).expect("it leads");
    journal.door.shut();
    let queue = Queue::new().expect("a descriptor");
    let ask = |op| Request { token: 0, timeout: None, op };
    let requests =
        [ask(Op::ProposeWait(entry("a"))), ask(Op::ProposeWait(entry("b"))), ask(Op::ReadBarrier)];
    assert_eq!(service.submit(&queue, &requests[..2]), Ok(2));
    journal.door.until_somebody_waits();
    assert_eq!(service.submit(&queue, &requests[2..]), Ok(1));
    let callers: Vec<_> = (0..8)
        .map(|n| {
            let service = Arc::clone(&service);
            thread::spawn(move || match n % 2 {
                0 => kind(service.propose_wait(entry("c"), None)),
                _ => kind(service.read_barrier(None)),
            })
        })
        .collect();
    let tracker = service.applied_tracker();
    let watcher = thread::spawn(move || tracker.wait(u64::MAX));
    let closer = {
        let service = Arc::clone(&service);
        thread::spawn(move || service.close())
    };
    for completion in completions(&queue, 3) {
        assert_eq!(kind(completion.result), Some(ErrorKind::Interrupted));
    }
    for caller in callers {
        let kind = caller.join().expect("no panic");
        assert!(matches!(kind, Some(ErrorKind::Interrupted | ErrorKind::Closed)), "{kind:?}");
    }
    assert_eq!(service.info().state, State::Stopping, "the callback still runs");
    journal.door.open();
    assert_eq!(closer.join().expect("no panic"), Ok(()));
    assert_eq!(watcher.join().expect("no panic"), service.info().last_applied.0);
    assert_eq!(service.info().state, State::Stopped);
    assert_eq!(service.close(), Ok(()), "a second close is fine");
    assert_eq!(kind(service.propose_wait(entry("late"), LONG)), Some(ErrorKind::Closed));
    assert_eq!(kind(service.submit(&queue, &requests)), Some(ErrorKind::Closed));
    assert_eq!(queue.poll(&mut Vec::new(), 1, Some(Duration::ZERO)), 0);
}

#[test]
fn a_blocking_call_in_a_callback_is_refused_and_submitting_works() {
    let journal = Journal::new();
    let (send, receive) = mpsc::channel();
    let service: Arc<Mutex<Option<Arc<Service>>>> = Arc::default();
    let queue = Queue::new().expect("a descriptor");
    let machine = {
        let (service, queue) = (Arc::clone(&service), queue.clone());
        journal.acting(move |entry| {
            if entry.command.data() != b"ask" {
                return Ok(());
            }
            let service = service.lock().expect("no panic").clone().expect("it was put there");
            let request =
                Request { token: 7, timeout: None, op: Op::ProposeWait(NewEntry::new(b"inner")) };
            let kinds = [
                kind(service.propose_wait(NewEntry::new(b"x"), None)),
                kind(service.propose(NewEntry::new(b"x"), None)),
                kind(service.read_barrier(None)),
                kind(service.add_node("a:1", None)),
                kind(service.close()),
                kind(service.submit(&queue, &[request])),
            ];
            let waited = service.applied_tracker().wait(u64::MAX);
            send.send((kinds, waited, service.info().state)).expect("the test waits");
            Ok(())
        })
    };
    let running = Arc::new(Service::start(settings(&[]), machine).expect("it starts"));
    *service.lock().expect("no panic") = Some(Arc::clone(&running));
    running.propose_wait(entry("ask"), LONG).expect("it is applied");
    let (kinds, _, state) = receive.recv().expect("the callback ran");
    let refused = Some(ErrorKind::InCallback);
    assert_eq!(kinds, [refused, refused, refused, refused, refused, None]);
    assert_eq!(state, State::Standalone);
    assert_eq!(completions(&queue, 1)[0].token, 7);
    assert_eq!(journal.texts(), ["ask", "inner"]);
    service.lock().expect("no panic").take();
}

#[test]
fn a_service_may_be_dropped_in_its_own_callback() {
    let journal = Journal::new();
    let service: Arc<Mutex<Option<Service>>> = Arc::default();
    let (send, receive) = mpsc::channel();
    let machine = {
        let service = Arc::clone(&service);
        let tombstone = journal.tombstone();
        journal.acting(move |_| {
            let _ = &tombstone;
            drop(service.lock().expect("no panic").take());
            send.send(()).expect("the test waits");
            Ok(())
        })
    };
    let queue = Queue::new().expect("a descriptor");
    let running = Service::start(settings(&[]), machine).expect("it starts");
    let tracker = running.applied_tracker();
    let mut slot = service.lock().expect("no panic");
    let request = Request { token: 1, timeout: None, op: Op::ProposeWait(entry("x")) };
    assert_eq!(running.submit(&queue, &[request]), Ok(1));
    *slot = Some(running);
    drop(slot);
    receive.recv().expect("the callback came back");
    assert_eq!(completions(&queue, 1).len(), 1, "its caller was told");
    tracker.wait(u64::MAX); // it is closed when the threads are gone, or about to
    while journal.dropped() == 0 {
        thread::yield_now();
    }
}

// known bug: H10
#[test]
fn a_failing_commit_stops_the_service_and_says_so() {
    let journal = Journal::new();
    let machine = journal.acting(|entry| match entry.command.data() {
        b"bad" => Err("the table is gone".to_owned()),
        _ => Ok(()),
    });
    stops(&journal, machine, "the table is gone");
}

#[test]
fn a_panic_in_a_commit_stops_the_service_and_not_the_program() {
    let journal = Journal::new();
    let machine = journal.acting(|entry| {
        assert_ne!(entry.command.data(), b"bad", "a bug of the host");
        Ok(())
    });
    stops(&journal, machine, "a bug of the host");
}

fn stops(journal: &Journal, machine: Box<quorate_tests::journal::Machine>, why: &str) {
    let service = Service::start(settings(&[]), machine).expect("it starts");
    service.propose_wait(entry("good"), LONG).expect("it is applied");
    let error = service.propose_wait(entry("bad"), LONG).expect_err("it can't be applied");
    assert_eq!((error.kind, error.kind.outcome()), (ErrorKind::Interrupted, Outcome::Unknown));
    let next = service.propose_wait(entry("next"), LONG).expect_err("it has failed");
    assert_eq!((next.kind, next.kind.outcome()), (ErrorKind::StateMachineFailed, Outcome::Fatal));
    assert!(next.message.contains(why), "{next}");
    let info = service.info();
    assert_eq!((info.state, info.failure), (State::Failed, Some(ErrorKind::StateMachineFailed)));
    assert_eq!(service.failure(), Some(next.clone()));
    assert_eq!(service.close(), Err(next));
    assert_eq!(service.close(), Ok(()));
    assert_eq!(journal.texts(), ["good"]);
    assert!(service.report(Report::Json).contains("\"code\":-2001"), "the report still works");
}

#[test]
fn a_machine_that_does_not_open_or_fit_refuses_the_start() {
    let journal = Journal::new();
    let error = Service::start(settings(&[]), journal.machine_at(5, 1, 0)).expect_err("ahead");
    assert!(error.kind == ErrorKind::StateMachine && error.message.contains("ahead"), "{error}");
    struct Broken;
    impl quorate_engine::state_machine::StateMachine for Broken {
        fn open(&mut self) -> Result<quorate_engine::state_machine::Applied, String> {
            Err("no table".to_owned())
        }
        fn commit(
            &mut self,
            _: &[quorate_engine::state_machine::Committed],
            _: &mut Vec<Option<Bytes>>,
        ) -> Result<(), String> {
            Ok(())
        }
    }
    let error = Service::start(settings(&[]), Box::new(Broken)).expect_err("it does not open");
    assert_eq!(error.kind, ErrorKind::StateMachineFailed);
    assert!(error.message.contains("no table"), "{error}");
}

// known bug: G12 | two processes in one directory, or a child of fork() that goes on | the directory is
// locked, and a forked child is refused at every call
#[test]
fn a_forked_child_is_refused_and_does_not_disturb_the_parent() {
    let service = start(&Journal::new());
    let queue = Queue::new().expect("a descriptor");
    // SAFETY: the child makes a few calls that neither lock what other threads may hold nor block,
    // and ends at once.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = kind(service.propose_wait(entry("x"), None)) == Some(ErrorKind::Forked)
            && kind(service.submit(&queue, &[])) == Some(ErrorKind::Forked)
            && kind(service.close()) == Some(ErrorKind::Forked);
        drop(service);
        // SAFETY: ends the child without running anything of the test program.
        unsafe { libc::_exit(i32::from(!refused)) };
    }
    let mut status = 0;
    // SAFETY: `status` is a valid place, and the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child was refused");
    service.propose_wait(entry("after"), LONG).expect("the parent goes on");
}

/// A store in memory that breaks when told so.
struct Frail {
    store: Memory,
    orders: Arc<Orders>,
}

#[derive(Default)]
struct Orders {
    fail_sync: AtomicBool,
    panic: AtomicBool,
    full: AtomicBool,
    closed: AtomicBool,
}

fn frail() -> (Parts, Arc<Orders>) {
    let orders: Arc<Orders> = Arc::default();
    let store = Frail { store: Memory::default(), orders: Arc::clone(&orders) };
    (Parts { store: Some(Box::new(store)), ..Parts::default() }, orders)
}

impl LogStore for Frail {
    fn open(&mut self) -> Result<Recovered, StorageError> {
        self.store.open()
    }
    fn append(&mut self, records: &[Record], commit: Index) -> Result<(), StorageError> {
        assert!(!self.orders.panic.load(Ordering::Relaxed), "a bug of the store");
        self.store.append(records, commit)
    }
    fn sync(&mut self) -> Result<(), StorageError> {
        if self.orders.fail_sync.load(Ordering::Relaxed) {
            return Err(StorageError::new(StorageErrorKind::Io, "the cable was pulled"));
        }
        self.store.sync()
    }
    fn read(&mut self, from: Index, to: Index, max: usize) -> Result<Vec<Record>, StorageError> {
        self.store.read(from, to, max)
    }
    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        self.store.truncate_suffix(first)
    }
    fn truncate_prefix(&mut self, last: Index, term: Term) -> Result<(), StorageError> {
        self.store.truncate_prefix(last, term)
    }
    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.store.metadata_get(key)
    }
    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        if key == STATE_KEY {
            let state = quorate_engine::codec::decode_state(value).expect("it is a state");
            self.orders.closed.store(state.closed, Ordering::Relaxed);
        }
        self.store.metadata_put(key, value)
    }
    fn has_room(&mut self) -> bool {
        !self.orders.full.load(Ordering::Relaxed)
    }
}

// known bug: G1 | cockroach #37102, rostam #94, WiredTiger WT-4045, yugabyte #33816: a sync failed once, and
// the next one said that all was well | the first error ends the store for good: nothing is tried again,
// nothing acknowledged after it
#[test]
fn the_first_failed_sync_stops_the_service_for_good() {
    let journal = Journal::new();
    let (parts, orders) = frail();
    let service = Service::start_with(settings(&[]), journal.machine(), parts).expect("it starts");
    service.propose_wait(entry("good"), LONG).expect("it is applied");
    orders.fail_sync.store(true, Ordering::Relaxed);
    let error = service.propose_wait(entry("lost"), LONG).expect_err("it is not durable");
    assert_eq!(error.kind, ErrorKind::Interrupted);
    let next = service.propose(entry("next"), LONG).expect_err("it has failed");
    assert!(next.kind == ErrorKind::StorageFailed && next.message.contains("cable"), "{next}");
    assert_eq!(service.info().state, State::Failed);
    assert_eq!(kind(service.close()), Some(ErrorKind::StorageFailed));
    assert!(!orders.closed.load(Ordering::Relaxed), "nothing was written after the failure");
    assert_eq!(journal.texts(), ["good"]);
}

// known bug: H7
#[test]
fn a_panic_of_a_store_stops_its_service_only() {
    let (parts, orders) = frail();
    let service =
        Service::start_with(settings(&[]), Journal::new().machine(), parts).expect("it starts");
    let other = start(&Journal::new());
    service.propose_wait(entry("good"), LONG).expect("it is applied");
    orders.panic.store(true, Ordering::Relaxed);
    let error = service.propose_wait(entry("lost"), LONG).expect_err("it is not written");
    assert_eq!(error.kind, ErrorKind::Interrupted);
    assert_eq!(kind(service.read_barrier(LONG)), Some(ErrorKind::Internal));
    other.propose_wait(entry("fine"), LONG).expect("it is another service");
}

#[test]
fn a_full_disk_refuses_new_entries_until_there_is_room() {
    let (parts, orders) = frail();
    let service =
        Service::start_with(settings(&[]), Journal::new().machine(), parts).expect("it starts");
    orders.full.store(true, Ordering::Relaxed);
    let refused = loop {
        match service.propose_wait(entry("x"), LONG) {
            Ok(_) => {} // the answer of the store is under way
            Err(error) => break error,
        }
    };
    assert_eq!((refused.kind, refused.kind.outcome()), (ErrorKind::DiskFull, Outcome::NotDone));
    assert_eq!(service.info().state, State::Standalone, "it goes on");
    orders.full.store(false, Ordering::Relaxed);
    while let Err(error) = service.propose_wait(entry("y"), LONG) {
        assert_eq!(error.kind, ErrorKind::DiskFull);
        thread::yield_now();
    }
}

#[test]
fn a_close_is_the_last_thing_that_is_written() {
    let (parts, orders) = frail();
    let service =
        Service::start_with(settings(&[]), Journal::new().machine(), parts).expect("it starts");
    service.propose(entry("x"), LONG).expect("it is in the log");
    assert!(!orders.closed.load(Ordering::Relaxed));
    drop(service);
    assert!(orders.closed.load(Ordering::Relaxed));
}

const STORES: [&str; 2] = ["wal", "sled"];

fn on_disk(store: &str, dir: &Path) -> Settings {
    let mut settings = Settings::new();
    settings.set("storage", store).expect("it is known");
    settings.set("data_dir", dir.to_str().expect("it is UTF-8")).expect("it is known");
    settings.set("segment_bytes", "64KiB").expect("it is known");
    settings
}

// known bug: G9
#[test]
fn after_a_restart_a_forgetful_machine_gets_every_entry_again_once_and_in_order() {
    for store in STORES {
        let dir = tempfile::tempdir().expect("a directory");
        let texts: Vec<String> = (0..2000).map(|n| format!("{n:0>50}")).collect();
        let queue = Queue::new().expect("a descriptor");
        for run in 0..4_usize {
            let journal = Journal::new();
            let service =
                Service::start(on_disk(store, dir.path()), journal.machine()).expect("it starts");
            let now = &texts[run * 500..(run + 1) * 500];
            let ask = |text| Request { token: 0, timeout: LONG, op: Op::ProposeWait(entry(text)) };
            let requests: Vec<_> = now.iter().map(|text| ask(text)).collect();
            assert_eq!(service.submit(&queue, &requests), Ok(500));
            assert!(completions(&queue, 500).iter().all(|c| c.result.is_ok()));
            assert_eq!(journal.texts(), texts[..(run + 1) * 500]);
            assert_eq!(service.info().current_term, Term(run as u64 + 1));
            assert_eq!(service.close(), Ok(()));
        }
    }
}

// known bug: G9 | etcd #13766: state and applied index were written apart, and a crash in between applied an
// entry twice | a durable state machine says itself what it has applied, from the same transaction; one that
// keeps nothing is given all again
#[test]
fn after_a_restart_a_durable_machine_gets_what_is_above_its_own_index() {
    for store in STORES {
        let dir = tempfile::tempdir().expect("a directory");
        let journal = Journal::new();
        let mut ids = Vec::new();
        for run in 0..4 {
            let machine = journal.durable_machine();
            let service = Service::start(on_disk(store, dir.path()), machine).expect("it starts");
            ids.push(service.info().my_id);
            for n in 0..20 {
                service.propose_wait(entry(&format!("{run}/{n}")), LONG).expect("it is applied");
            }
            drop(service);
        }
        let expected: Vec<String> =
            (0..4).flat_map(|run| (0..20).map(move |n| format!("{run}/{n}"))).collect();
        assert_eq!(journal.texts(), expected, "each once");
        assert!(ids.iter().all(|id| *id == ids[0]), "the node is the same one");
        let ahead = Service::start(on_disk(store, dir.path()), journal.machine_at(10_000, 0, 0));
        assert_eq!(kind(ahead), Some(ErrorKind::StateMachine));
        let (last, _) = journal.lines().pop().expect("there are lines");
        let diverged = Service::start(on_disk(store, dir.path()), journal.machine_at(last, 99, 0));
        assert_eq!(kind(diverged), Some(ErrorKind::StateMachine));
        let elsewhere = Service::start(on_disk(store, dir.path()), journal.machine_at(last, 0, 99));
        assert_eq!(kind(elsewhere), Some(ErrorKind::StateMachine));
        Service::start(on_disk(store, dir.path()), journal.durable_machine())
            .expect("a refusal broke nothing");
    }
}

#[test]
fn a_directory_or_address_in_use_is_refused_and_let_go_again() {
    for store in STORES {
        let dir = tempfile::tempdir().expect("a directory");
        let mut listening = on_disk(store, dir.path());
        listening.set("listen", "127.0.0.1:0").expect("it is known");
        let service = Service::start(listening, Journal::new().machine()).expect("it starts");
        let address = service.address().expect("it listens").to_owned();
        let second = Service::start(on_disk(store, dir.path()), Journal::new().machine());
        assert_eq!(kind(second), Some(ErrorKind::Locked));
        let elsewhere = tempfile::tempdir().expect("a directory");
        let mut taken = on_disk(store, elsewhere.path());
        taken.set("listen", &address).expect("it is known");
        let third = Service::start(taken.clone(), Journal::new().machine());
        assert_eq!(kind(third), Some(ErrorKind::AddressInUse));
        drop(service);
        Service::start(taken, Journal::new().machine()).expect("both are free again");
        Service::start(on_disk(store, dir.path()), Journal::new().machine())
            .expect("it is free again");
    }
}

#[test]
fn a_directory_that_can_not_be_written_is_refused() {
    for store in STORES {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        std::fs::write(&file, "x").expect("it can be written");
        let error = Service::start(on_disk(store, &file), Journal::new().machine())
            .expect_err("it is no directory");
        assert!(error.kind == ErrorKind::Io && error.message.contains("file"), "{error}");
        let missing =
            Service::start(Settings::new(), Journal::new().machine()).expect_err("no directory");
        assert!(
            missing.kind == ErrorKind::Invalid && missing.message.contains("data_dir"),
            "{missing}"
        );
    }
}

#[test]
fn a_directory_of_the_other_store_is_refused_with_the_setting_to_use() {
    for (store, other) in [("wal", "sled"), ("sled", "wal")] {
        let dir = tempfile::tempdir().expect("a directory");
        let machine = || Journal::new().machine();
        let service = Service::start(on_disk(store, dir.path()), machine()).expect("it starts");
        service.propose_wait(entry("x"), LONG).expect("it is applied");
        drop(service);
        let error = Service::start(on_disk(other, dir.path()), machine()).expect_err("the other");
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains(&format!("Set storage={store}")), "{error}");
        Service::start(on_disk(store, dir.path()), machine()).expect("nothing was touched");
    }
}
