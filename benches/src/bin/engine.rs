//! The engine without disk and sockets: three services in one process, each with a store in memory,
//! over a network of function calls. Every client has one change under way and waits until the
//! leader has applied it. One client is a thread that blocks; many are tokens of a completion queue
//! that one thread polls, as a server would hold them.

use bytes::Bytes;
use quorate_benches::measure::{self, Meter, Metrics, Options, SAMPLED, Sum};
use quorate_engine::change::NewEntry;
use quorate_engine::consensus::types::{EntryId, Index, Term};
use quorate_engine::queue::{Completion, Queue};
use quorate_engine::service::{Op, Parts, Request, Service};
use quorate_engine::settings::Settings;
use quorate_engine::state_machine::{Committed, StateMachine};
use quorate_engine::storage::memory::Memory;
use quorate_engine::storage::{LogReader, LogStore, Record, Recovered, StorageError};
use quorate_engine::transport::memory::MemoryNetwork;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const DEFAULTS: [(&str, &str); 4] =
    [("clients", "256"), ("payload", "128"), ("seconds", "2"), ("warm-up", "0.3")];
const LONG: Option<Duration> = Some(Duration::from_secs(30));

struct Machine(Sum);

impl StateMachine for Machine {
    fn commit(
        &mut self,
        entries: &[Committed],
        _replies: &mut Vec<Option<Bytes>>,
    ) -> Result<(), String> {
        entries.iter().for_each(|entry| self.0.apply(entry.command.data()));
        Ok(())
    }
}

/// A store in memory that forgets all but the last entries, as openraft does beside it: else both
/// the log and the cost of fresh memory would grow with the length of a run.
#[derive(Default)]
struct Recent {
    memory: Memory,
    kept: VecDeque<EntryId>,
}

/// Entries kept, and let go at once.
const KEPT: usize = 1 << 16;
const CUT: usize = 1 << 12;

impl LogStore for Recent {
    fn open(&mut self) -> Result<Recovered, StorageError> {
        self.memory.open()
    }

    fn append(&mut self, records: &[Record], commit: Index) -> Result<(), StorageError> {
        self.memory.append(records, commit)?;
        self.kept.extend(records.iter().map(|record| EntryId::new(record.index, record.term)));
        if self.kept.len() < KEPT + CUT {
            return Ok(());
        }
        let last = self.kept.drain(..CUT).next_back().unwrap_or(EntryId::ZERO);
        self.memory.truncate_prefix(last.index, last.term)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.memory.sync()
    }

    fn read(&mut self, first: Index, last: Index, max: usize) -> Result<Vec<Record>, StorageError> {
        LogStore::read(&mut self.memory, first, last, max)
    }

    fn truncate_suffix(&mut self, first: Index) -> Result<(), StorageError> {
        self.kept.retain(|id| id.index < first);
        self.memory.truncate_suffix(first)
    }

    fn truncate_prefix(&mut self, last: Index, last_term: Term) -> Result<(), StorageError> {
        self.kept.retain(|id| id.index > last);
        self.memory.truncate_prefix(last, last_term)
    }

    fn metadata_get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.memory.metadata_get(key)
    }

    fn metadata_put(&mut self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.memory.metadata_put(key, value)
    }

    fn reader(&self) -> Option<Box<dyn LogReader>> {
        self.memory.reader()
    }
}

/// Three members; the first one leads.
fn cluster() -> Result<Vec<Service>, String> {
    let network = MemoryNetwork::new();
    let addresses = ["n:1", "n:2", "n:3"];
    let start = |address: &&str| {
        let mut settings = Settings::new();
        settings.set("storage", "memory").map_err(|error| error.to_string())?;
        let parts = Parts {
            store: Some(Box::<Recent>::default()),
            in_memory: true,
            transport: Some(Box::new(network.at(address))),
            ..Parts::default()
        };
        let machine = Box::new(Machine(Sum::default()));
        Service::start_with(settings, machine, parts).map_err(|error| error.to_string())
    };
    let services = addresses.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    let leader = &services[0];
    let formed = leader
        .initialize_cluster(addresses[0], LONG)
        .and_then(|()| addresses[1..].iter().try_for_each(|at| leader.add_node(at, LONG)));
    formed.map_err(|error| error.to_string())?;
    Ok(services)
}

/// The one client that blocks.
fn block(service: &Service, meter: &Meter, data: &[u8]) -> Result<(), String> {
    let mut latencies = Vec::new();
    while !meter.is_stopped() {
        let start = Instant::now();
        service.propose_wait(NewEntry::new(data), LONG).map_err(|error| error.to_string())?;
        meter.add(1);
        if meter.is_measuring() {
            latencies.push(nanos(start));
        }
    }
    meter.keep(&latencies);
    Ok(())
}

fn nanos(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX)
}

/// Many clients: each token proposes anew as soon as its completion is polled.
struct Clients<'a> {
    service: &'a Service,
    meter: &'a Meter,
    data: &'a [u8],
    /// When the sampled clients proposed.
    started: Vec<Instant>,
    latencies: Vec<u32>,
}

impl<'a> Clients<'a> {
    fn run(mut self, clients: usize) -> Result<(), String> {
        let queue = Queue::new().map_err(|error| error.to_string())?;
        let (mut finished, mut requests) = (Vec::new(), Vec::new());
        requests.extend((0..clients as u64).map(|token| self.request(token)));
        self.submit(&queue, &requests)?;
        while !self.meter.is_stopped() {
            finished.clear();
            requests.clear();
            queue.poll(&mut finished, clients, None);
            for completion in &finished {
                requests.push(self.again(completion)?);
            }
            self.meter.add(finished.len() as u64);
            self.submit(&queue, &requests)?;
        }
        self.meter.keep(&self.latencies);
        Ok(())
    }

    fn request(&self, token: u64) -> Request<'a> {
        Request { token, timeout: LONG, op: Op::ProposeWait(NewEntry::new(self.data)) }
    }

    fn again(&mut self, completion: &Completion) -> Result<Request<'a>, String> {
        if let Err(error) = &completion.result {
            return Err(error.to_string());
        }
        if let Some(started) = self.started.get_mut(completion.token as usize / SAMPLED)
            && completion.token.is_multiple_of(SAMPLED as u64)
        {
            let took = nanos(*started);
            *started = Instant::now();
            if self.meter.is_measuring() {
                self.latencies.push(took);
            }
        }
        Ok(self.request(completion.token))
    }

    fn submit(&self, queue: &Queue, requests: &[Request<'_>]) -> Result<(), String> {
        let taken = self.service.submit(queue, requests).map_err(|error| error.to_string())?;
        if taken < requests.len() {
            return Err(format!("only {taken} of {} requests were taken", requests.len()));
        }
        Ok(())
    }
}

fn drive(service: &Service, meter: &Meter, data: &[u8], clients: usize) -> Result<(), String> {
    if clients == 1 {
        return block(service, meter, data);
    }
    let started = vec![Instant::now(); clients.div_ceil(SAMPLED)];
    Clients { service, meter, data, started, latencies: Vec::new() }.run(clients)
}

fn run() -> Result<Metrics, String> {
    let options = Options::read(&DEFAULTS)?;
    let (clients, payload) = (options.number("clients")?, options.number("payload")?);
    let (warm_up, window) = (options.seconds("warm-up")?, options.seconds("seconds")?);
    let services = Arc::new(cluster()?);
    let (meter, theirs) = (Arc::new(Meter::default()), Arc::clone(&services));
    let shared = Arc::clone(&meter);
    let driver = std::thread::spawn(move || drive(&theirs[0], &shared, &vec![7; payload], clients));
    let window = meter.watch(warm_up, window);
    driver.join().map_err(|_| "the clients panicked".to_owned())??;
    Ok(window.metrics(&mut meter.latencies()))
}

fn main() -> ExitCode {
    measure::end(run())
}
