//! The facade: a running instance of Raft. Values in, result or completion out, no generics, so that
//! each language only translates.

use crate::change::NewEntry;
use crate::consensus::command::Command;
use crate::consensus::types::{EntryId, NodeId, Origin, Time};
use crate::driver::caller::{Asked, Caller, ChangeAsked, Done, Outcome, Proposal, Reader};
use crate::driver::view::count;
use crate::driver::{self, Callers, Running, clock};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
use crate::logger::{Level, Log, Logger};
use crate::os;
use crate::queue::Queue;
use crate::report;
use crate::request::{Checked, Reach};
pub use crate::request::{Op, Request};
use crate::settings::{Settings, Storage};
use crate::slot::Slot;
use crate::state_machine::StateMachine;
use crate::status::{Info, NodeList, ProtocolStatus, Report};
use crate::storage::LogStore;
use crate::storage::memory::Memory;
use crate::storage::wal::{Wal, WalOptions};
use crate::tracker::ChangeTracker;
use crate::transport::custom::{self, Carrier, Custom, PacketKind, Routes};
use crate::transport::tcp::{Tcp, TcpOptions};
use crate::transport::{Inbound, Transport};
use bytes::Bytes;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long a call may take; `None` = without end.
pub type Timeout = Option<Duration>;

/// What a proposal gave: where it stands, and the state machine's reply on this node.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Reply {
    /// Index and term.
    pub id: EntryId,
    /// The reply; `None` when the state machine gave none.
    pub data: Option<Bytes>,
}

/// What a service is made of instead of what its settings name.
#[derive(Default)]
pub struct Parts {
    /// Instead of the setting `storage`. Its calls come from one thread, quorate-log, and may block.
    pub store: Option<Box<dyn LogStore>>,
    /// `store` is in memory: no call takes longer than to wake a thread. The service's loop then
    /// appends to it too; calls still come one at a time.
    pub in_memory: bool,
    /// Instead of the built-in network; others can reach this node by it.
    pub transport: Option<Box<dyn Transport>>,
    /// Likewise, as a host's own network, whose packets come back by `Service::deliver`.
    pub carrier: Option<Box<dyn Carrier>>,
    /// Where log lines go: those of this level, and what matters more.
    pub logger: Option<(Level, Arc<dyn Logger>)>,
}

/// A running instance: one member, or one that may become one. All calls from any thread. Dropping
/// it closes it.
pub struct Service {
    running: Running,
    settings: Settings,
    reach: Reach,
    /// With a carrier.
    routes: Option<Arc<Routes>>,
    /// Proposals of this run.
    proposals: AtomicU64,
    closed: AtomicBool,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({}{})", self.running.node, self.running.incarnation)
    }
}

impl Service {
    /// Opens the store, the state machine and the listener, and starts the threads. A new data
    /// directory gives a Standalone service, another one what it was.
    ///
    /// # Errors
    /// `Invalid` for settings that do not go together, and whatever store, state machine and network
    /// have to object.
    pub fn start(settings: Settings, machine: Box<dyn StateMachine>) -> Result<Service, Error> {
        Service::start_with(settings, machine, Parts::default())
    }

    /// As `start`, with parts of the host's own.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_with(
        settings: Settings,
        machine: Box<dyn StateMachine>,
        parts: Parts,
    ) -> Result<Service, Error> {
        refuse_to_block()?;
        let Parts { store, in_memory, transport, carrier, logger } = parts;
        settings.check(store.is_some())?;
        os::watch_forks();
        let routes = carrier.is_some().then(Arc::<Routes>::default);
        let carried = carrier
            .zip(routes.clone())
            .map(|(carrier, routes)| Box::new(Custom::new(carrier, routes)) as Box<dyn Transport>);
        let transport = transport.or(carried);
        let reach = match (&transport, &settings.listen) {
            _ if routes.is_some() => Reach::Carrier,
            (None, None) => Reach::Never,
            _ => Reach::Port,
        };
        let parts = driver::Parts {
            store: match store {
                Some(log) => {
                    let callers = if in_memory { Callers::Loop } else { Callers::Log };
                    driver::Store { log, callers }
                }
                None => store_of(&settings)?,
            },
            transport: transport.unwrap_or_else(|| transport_of(&settings)),
            machine,
            log: logger.map(|(level, logger)| Log::new(level, logger)).unwrap_or_default(),
        };
        let running = driver::start(options(&settings, reach != Reach::Never), parts)?;
        let (proposals, closed) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Service { running, settings, reach, routes, proposals, closed })
    }

    /// Stops the service and its threads. Whoever waits gets `Interrupted`. Looking goes on to work,
    /// everything else returns `Closed`. A second close is fine.
    ///
    /// # Errors
    /// `InCallback`; the failure of a service that had failed, which is closed all the same.
    pub fn close(&self) -> Result<(), Error> {
        refuse_to_block()?;
        let first = !self.closed.swap(true, Ordering::AcqRel);
        self.running.close();
        self.running.join();
        match self.failure() {
            Some(failure) if first => Err(failure),
            _ => Ok(()),
        }
    }

    /// Makes this Standalone service a cluster of one that others can be added to, its data kept.
    /// `address` is where the others reach this node. Returns when the configuration is committed.
    ///
    /// # Errors
    /// `AlreadyMember`, `Unreachable` when not this node answers there, `Timeout`.
    pub fn initialize_cluster(&self, address: &str, timeout: Timeout) -> Result<(), Error> {
        self.change(Op::InitializeCluster(address), timeout)
    }

    /// Asks who is at `address`, lets that node catch up as a learner, and adds it by joint
    /// consensus. On any member. Returns when the final configuration is applied here.
    ///
    /// # Errors
    /// `NoCluster`, `AlreadyMember`, `OtherCluster`, `HasData`, `Unreachable`, `ChangeInProgress`,
    /// `NotLeader`, `Timeout`, `LeadershipLost`.
    pub fn add_node(&self, address: &str, timeout: Timeout) -> Result<(), Error> {
        self.change(Op::AddNode(address), timeout)
    }

    /// Removes a member, this node and the leader included. It becomes Standalone with its data,
    /// durably, and can be added again.
    ///
    /// # Errors
    /// `NoCluster`, `NotFound`, `ChangeInProgress`, `NotLeader`, `Timeout`, `LeadershipLost`.
    pub fn remove_node(&self, node: NodeId, timeout: Timeout) -> Result<(), Error> {
        self.change(Op::RemoveNode(node), timeout)
    }

    /// Proposes a change. Returns as soon as it is in the leader's log; it is not committed then.
    ///
    /// # Errors
    /// `NotLeader`, `Busy`, `TooLarge`, `Invalid`, and all unknown ones.
    pub fn propose(&self, entry: NewEntry<'_>, timeout: Timeout) -> Result<EntryId, Error> {
        self.wait_for(Op::Propose(entry), timeout).map(|done| done.id)
    }

    /// Proposes a change. Returns when this node has applied it, with the state machine's reply.
    ///
    /// # Errors
    /// As `propose`, and `Lost`.
    pub fn propose_wait(&self, entry: NewEntry<'_>, timeout: Timeout) -> Result<Reply, Error> {
        let done = self.wait_for(Op::ProposeWait(entry), timeout)?;
        Ok(Reply { id: done.id, data: done.reply })
    }

    /// Starts requests and returns how many, from the front, were taken; everything in them has been
    /// copied by then. Each one taken gives exactly one completion in `queue`, the others none. Does
    /// not block. An error when not even the first was taken.
    ///
    /// # Errors
    /// `Busy`, `Invalid`, `TooLarge`, `Closed`, and the fatal ones.
    pub fn submit(&self, queue: &Queue, requests: &[Request<'_>]) -> Result<usize, Error> {
        self.refuse_calls()?;
        let admission = &self.running.waiters.admission;
        let sizes = requests.iter().map(|request| request.op.size());
        let room = admission.enter_front(sizes);
        let mut refusal = requests.get(room).map(|request| self.busy(&request.op));
        let (now, mut asked) = (clock::now(), Asked::default());
        for (at, request) in requests[..room].iter().enumerate() {
            let caller = Caller::queued(queue, request.token, request.op.kind());
            let (op, timeout) = (&request.op, request.timeout);
            if let Err(error) = self.prepare(now, op, timeout, caller, &mut asked) {
                let rest = &requests[at..room];
                admission.leave(rest.len(), rest.iter().map(|request| request.op.size()).sum());
                refusal = Some(error);
                break;
            }
        }
        match (asked.size().0, refusal) {
            (0, Some(refusal)) => Err(refusal),
            (0, None) => Ok(0),
            _ => self.ask(asked),
        }
    }

    /// Returns when this node has applied everything that was acknowledged anywhere before the call:
    /// read your own state after it and the read is linearizable (thesis §6.4).
    ///
    /// # Errors
    /// `NotLeader`, `Busy`, `Timeout`, `LeadershipLost`.
    pub fn read_barrier(&self, timeout: Timeout) -> Result<(), Error> {
        self.wait_for(Op::ReadBarrier, timeout).map(|_| ())
    }

    /// Hands over a packet that a carrier's other end received. Does not block. `only`: a packet of
    /// another kind is refused.
    ///
    /// # Errors
    /// `Busy` (it was dropped), `Invalid`, `TooLarge`, `Closed`; `Unsupported` without a carrier.
    pub fn deliver(&self, packet: Bytes, only: Option<PacketKind>) -> Result<(), Error> {
        self.refuse_calls()?;
        let Some(routes) = &self.routes else {
            let text = "this service has the built-in network: packets are delivered to one that was \
                        started with a transport of the host's own";
            return Err(Error::new(ErrorKind::Unsupported, text));
        };
        let frame = routes.arrived(packet)?;
        let kind = custom::kind_of(&frame);
        if only.is_some_and(|only| only != kind) {
            let text = format!("the packet is of kind {kind:?}: deliver takes all kinds");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        if frame.envelope.to != self.running.node && !frame.envelope.to.is_zero() {
            let (to, me) = (frame.envelope.to, self.running.node);
            let text = format!("the packet is for node {to}, and this is {me}; it was dropped");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        if self.running.inbox.receive(Inbound::Frame(frame)) {
            return Ok(());
        }
        let text = "packets come in faster than this node can take them: this one was dropped";
        Err(Error::new(ErrorKind::Busy, text))
    }

    /// The page's plain getters.
    pub fn info(&self) -> Info {
        self.running.view.info()
    }

    /// Where the listener really is.
    pub fn address(&self) -> Option<&str> {
        self.running.view.address.get().map(String::as_str)
    }

    /// What made the service fail.
    pub fn failure(&self) -> Option<Error> {
        self.running.view.failure().cloned()
    }

    /// The configuration in force; empty when Standalone.
    pub fn node_config(&self) -> NodeList {
        self.running.view.node_config()
    }

    /// Diagnosis.
    pub fn raft_status(&self) -> ProtocolStatus {
        self.running.view.raft_status()
    }

    /// A text for people and tools.
    pub fn report(&self, report: Report) -> String {
        let subject = report::Subject {
            view: &self.running.view,
            under_way: self.running.waiters.admission.under_way(),
            incarnation: self.running.incarnation,
            settings: &self.settings,
        };
        match report {
            Report::Json => report::json(&subject),
            Report::Prometheus => report::prometheus(&subject),
        }
    }

    /// From now on every event of this service arrives in `queue` with this token: its present state
    /// and leader first, and that it abstains if so, then every change, until the queue is dropped or the service closed. One that
    /// is not polled keeps the newest 1,024.
    ///
    /// # Errors
    /// `Closed`, `Forked`.
    pub fn subscribe(&self, queue: &Queue, token: u64) -> Result<(), Error> {
        if os::forked() {
            return Err(Error::forked());
        }
        let present = || {
            let info = self.info();
            let term = info.current_term;
            let mut all = vec![Event::State(info.state, term), Event::Leader(info.leader_id, term)];
            if self.running.view.picture().abstaining {
                all.push(Event::Abstaining(true));
            }
            all
        };
        if self.running.feed.subscribe(queue, token, present) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Closed, "the service is closed: it has no events any more"))
    }

    /// Follows `last_applied`; only this service moves and closes it.
    pub fn applied_tracker(&self) -> ChangeTracker {
        self.running.view.tracker.clone()
    }

    fn change(&self, op: Op<'_>, timeout: Timeout) -> Result<(), Error> {
        self.wait_for(op, timeout).map(|_| ())
    }

    /// Asks, and waits in this thread.
    fn wait_for(&self, op: Op<'_>, timeout: Timeout) -> Outcome {
        refuse_to_block()?;
        self.refuse_calls()?;
        let slot: Arc<Slot<Result<Done, Error>>> = Arc::new(Slot::new());
        let mut asked = Asked::default();
        self.prepare(clock::now(), &op, timeout, Caller::blocked(&slot), &mut asked)?;
        let (requests, bytes) = asked.size();
        if !self.running.waiters.admission.enter(requests, bytes) {
            asked.forget();
            return Err(self.busy(&op));
        }
        self.ask(asked)?;
        let Some(limit) = self.limit(&op, timeout) else { return slot.wait() };
        slot.wait_for(limit.saturating_add(GRACE)).unwrap_or_else(|| Err(no_word()))
    }

    /// How long a call may take.
    fn limit(&self, op: &Op<'_>, timeout: Timeout) -> Timeout {
        timeout.or_else(|| op.is_change().then_some(self.settings.node_proposal_timeout))
    }

    /// Checks and copies a request.
    fn prepare(
        &self,
        now: Time,
        op: &Op<'_>,
        timeout: Timeout,
        caller: Caller,
        asked: &mut Asked,
    ) -> Result<(), Error> {
        let deadline = clock::deadline(now, timeout);
        let refusal = match op.check(self.reach) {
            Ok(Checked::Proposal(entry, applied)) => match self.encode(&entry) {
                Ok(command) => {
                    asked.proposals.push(Proposal { command, applied, deadline, caller });
                    return Ok(());
                }
                Err(error) => error,
            },
            Ok(Checked::Read) => {
                asked.reads.push(Reader { deadline, caller });
                return Ok(());
            }
            Ok(Checked::Change(change)) => {
                let deadline = clock::deadline(now, self.limit(op, timeout));
                asked.changes.push(ChangeAsked { change, deadline, caller });
                return Ok(());
            }
            Err(error) => error,
        };
        caller.forget();
        Err(refusal)
    }

    fn encode(&self, entry: &NewEntry<'_>) -> Result<Command, Error> {
        let running = &self.running;
        let n = self.proposals.fetch_add(1, Ordering::Relaxed) + 1;
        let seq = running.incarnation.counter() << 40 | n;
        entry.encode(Origin { node: running.node, seq }, self.settings.max_entry_bytes)
    }

    /// Hands the requests over; they have been let in.
    fn ask(&self, mut asked: Asked) -> Result<usize, Error> {
        let (requests, bytes) = asked.size();
        if let Err(error) = self.running.inbox.ask(&mut asked) {
            asked.forget();
            self.running.waiters.admission.leave(requests, bytes);
            return Err(error);
        }
        count(&self.running.view.counters.requests, requests);
        Ok(requests)
    }

    /// What a call gets at once when the service has ended, or belongs to another process.
    fn refuse_calls(&self) -> Result<(), Error> {
        if os::forked() {
            return Err(Error::forked());
        }
        self.running.inbox.refusal().map_or(Ok(()), Err)
    }

    /// There is no room for a request now, or never.
    fn busy(&self, op: &Op<'_>) -> Error {
        let (size, settings) = (op.size(), &self.settings);
        let (max_entries, max_bytes) = (settings.max_queued_entries, settings.max_queued_bytes);
        if size > max_bytes {
            let text = format!(
                "the entry takes {size} bytes, and max_queued_bytes={max_bytes} lets no more be under \
                 way (max_entry_bytes={}): split the change, or raise the setting",
                settings.max_entry_bytes
            );
            return Error::new(ErrorKind::TooLarge, text);
        }
        count(&self.running.view.counters.refused_busy, 1);
        let (requests, bytes) = self.running.waiters.admission.under_way();
        let text = format!(
            "{requests} requests with {bytes} bytes are under way in this service \
             (max_queued_entries={max_entries}, max_queued_bytes={max_bytes}): wait for some of them"
        );
        Error::new(ErrorKind::Busy, text)
    }
}

/// Closes it. In a callback it does not wait for the threads: it might run on one of them.
impl Drop for Service {
    fn drop(&mut self) {
        if os::forked() {
            return;
        }
        self.running.close();
        if !os::in_callback() {
            self.running.join();
        }
    }
}

/// The loop tells callers that their time is over, and knows what became of their requests. After so
/// much more they go without: a sync that stands still may hold the loop up.
const GRACE: Duration = Duration::from_millis(100);

fn no_word() -> Error {
    let text = "the time is over and this node has not answered, as if its disk stood still: what was \
                asked may be done, look before you repeat it";
    Error::new(ErrorKind::Timeout, text)
}

fn refuse_to_block() -> Result<(), Error> {
    if os::forked() {
        return Err(Error::forked());
    }
    if os::in_callback() {
        return Err(Error::in_callback());
    }
    Ok(())
}

fn store_of(settings: &Settings) -> Result<driver::Store, Error> {
    let callers = match settings.storage {
        Storage::Wal => Callers::LoopIfFast,
        Storage::Sled => Callers::Log,
        Storage::Memory => Callers::Loop,
    };
    let (segment_bytes, adopt_copied_directory) =
        (settings.segment_bytes, settings.adopt_copied_directory);
    let log: Box<dyn LogStore> = match (settings.storage, &settings.data_dir) {
        (Storage::Wal, Some(dir)) => {
            let options =
                WalOptions { segment_bytes: segment_bytes as u64, adopt_copied_directory };
            Box::new(Wal::new(dir.clone(), options))
        }
        (Storage::Sled, Some(dir)) => sled(dir, adopt_copied_directory)?,
        (Storage::Memory, _) => Box::new(Memory::default()),
        (_, None) => return Err(Error::new(ErrorKind::Invalid, "data_dir is not set")),
    };
    Ok(driver::Store { log, callers })
}

#[cfg(feature = "sled")]
fn sled(dir: &Path, adopt_copied_directory: bool) -> Result<Box<dyn LogStore>, Error> {
    use crate::storage::sled::{Sled, SledOptions};
    let options = SledOptions { adopt_copied_directory, ..SledOptions::default() };
    Ok(Box::new(Sled::new(dir.into(), options)))
}

#[cfg(not(feature = "sled"))]
fn sled(_: &Path, _: bool) -> Result<Box<dyn LogStore>, Error> {
    let text = "storage=\"sled\": this library was built without its feature sled; set storage=wal, \
                or build it with the feature";
    Err(Error::new(ErrorKind::Unsupported, text))
}

fn transport_of(settings: &Settings) -> Box<dyn Transport> {
    let (listen, insecure) = (settings.listen.clone().unwrap_or_default(), settings.insecure);
    Box::new(Tcp::new(TcpOptions { listen, insecure, ..TcpOptions::default() }))
}

fn options(settings: &Settings, listens: bool) -> driver::Options {
    driver::Options {
        config: settings.protocol(),
        max_commit_bytes: settings.max_batch_bytes,
        max_requests: settings.max_queued_entries,
        max_request_bytes: settings.max_queued_bytes,
        listens,
    }
}
