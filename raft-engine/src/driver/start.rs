//! From parts to a running service, in the order in which each can refuse: store, state machine,
//! network. Whatever was started before a refusal is ended properly.

use super::Driver;
use super::apply::{self, Applier};
use super::caller::Admission;
use super::clock;
use super::inbox::Inbox;
use super::peers::Peers;
use super::persist::{Opened, Persister, Store, no_thread};
use super::reads::Fetcher;
use super::requests::Requests;
use super::view::View;
use super::waiters::Waiters;
use super::watch::Watch;
use crate::consensus::config::Config;
use crate::consensus::raft::Raft;
use crate::consensus::types::{ClusterId, Incarnation, Index, NodeId, Time};
use crate::error::{Error, ErrorKind};
use crate::event::Feed;
use crate::logger::{Level, Log};
use crate::os;
use crate::slot::{Slot, lock};
use crate::state_machine::{Applied, StateMachine};
use crate::storage::LogReader;
use crate::stored::{self, Stored};
use crate::transport::{LocalIdentity, Sink, Transport};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread::JoinHandle;
use tokio::runtime::Builder;

/// What the driver needs of the settings.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The protocol's.
    pub config: Config,
    /// Bytes of one call of the state machine.
    pub max_commit_bytes: usize,
    /// Requests under way.
    pub max_requests: usize,
    /// Bytes of them.
    pub max_request_bytes: usize,
    /// Others can reach this node.
    pub listens: bool,
}

/// What the driver puts together.
pub(crate) struct Parts {
    /// Where the log is.
    pub store: Store,
    /// The network.
    pub transport: Box<dyn Transport>,
    /// The host's state.
    pub machine: Box<dyn StateMachine>,
    /// Where lines go.
    pub log: Log,
}

/// A running service, as its callers see it.
pub(crate) struct Running {
    /// This node.
    pub node: NodeId,
    /// This run.
    pub incarnation: Incarnation,
    /// Where requests go.
    pub inbox: Arc<Inbox>,
    /// Who waits, and how many may.
    pub waiters: Arc<Waiters>,
    /// What the getters read.
    pub view: Arc<View>,
    /// Who hears of events.
    pub feed: Arc<Feed>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    /// Asks the loop to end, and does not wait.
    pub(crate) fn close(&self) {
        self.view.stopping();
        self.inbox.add(|batch| batch.close = true);
    }

    /// Waits until it has ended. Whoever comes second waits for the first.
    pub(crate) fn join(&self) {
        let mut thread = lock(&self.thread);
        if let Some(thread) = thread.take() {
            let _ = thread.join(); // its panics were caught and told
        }
        self.view.stopped();
    }
}

/// Starts a service.
pub(crate) fn start(options: Options, parts: Parts) -> Result<Running, Error> {
    let Parts { store, transport, machine, log } = parts;
    let ground = Ground::open(&options, store, machine)?;
    let raft = ground.core(&options)?;
    let state = &ground.stored.state;
    let (node, incarnation) = (state.node, state.incarnation);
    log.name(node);
    let run = incarnation.counter();
    let text = format_args!("opened a log that ends at {}; run {run}", ground.stored.last);
    log.line(Level::Info, "quorate::store", text);
    tell_damage(&log, &ground.stored);
    let feed = Arc::<Feed>::default();
    let (view, waiters) = ground.begin(&options);
    let Ground { inbox, persister, reader, applier, .. } = ground;
    let (forward, pause) = (options.config.forward, options.config.heartbeat);
    let writer = persister.jobs();
    let driver = Driver {
        status: raft.status(),
        raft,
        options,
        inbox: Arc::clone(&inbox),
        view: Arc::clone(&view),
        requests: Requests::new(Arc::clone(&waiters), Arc::clone(&view), forward, pause),
        peers: Peers::new(transport, Arc::clone(&view)),
        fetcher: Fetcher::new(reader, writer, Arc::clone(&inbox)),
        persister,
        applier,
        watch: Watch::new(log, Arc::clone(&feed)),
        identity: Arc::new(LocalIdentity::new(node, incarnation)),
        switching: None,
        deadline: Time::default(),
        starter: None,
    };
    let thread = Mutex::new(Some(spawn(driver)?));
    Ok(Running { node, incarnation, inbox, waiters, view, feed, thread })
}

/// What the loop stands on: the open store and the open state machine, which fit each other. Dropped,
/// it closes both.
struct Ground {
    inbox: Arc<Inbox>,
    applier: Applier,
    persister: Persister,
    reader: Option<Box<dyn LogReader>>,
    stored: Stored,
    held: Applied,
    applied: Index,
}

impl Ground {
    fn open(
        options: &Options,
        store: Store,
        machine: Box<dyn StateMachine>,
    ) -> Result<Ground, Error> {
        let inbox = Arc::new(Inbox::default());
        let (persister, opened) = Persister::start(store, Arc::clone(&inbox))?;
        let Opened { stored, reader, .. } = opened;
        if stored.in_cluster() && !options.listens {
            return Err(unreachable_member());
        }
        let (applier, held) = Applier::start(machine, Arc::clone(&inbox))?;
        let applied = stored::check_applied(&stored, &held)?;
        Ok(Ground { inbox, applier, persister, reader, stored, held, applied })
    }

    fn core(&self, options: &Options) -> Result<Raft, Error> {
        let next_lineage = ClusterId(stored::draw_id(&mut draw)?);
        let restored = self.stored.restored(self.applied, next_lineage);
        Ok(Raft::new(options.config.clone(), restored, draw()?, clock::now()))
    }

    /// Tells quorate-apply where it begins.
    fn begin(&self, options: &Options) -> (Arc<View>, Arc<Waiters>) {
        let (node, applied) = (self.stored.state.node, self.applied);
        let admission = Admission::new(options.max_requests, options.max_request_bytes);
        let waiters = Arc::new(Waiters::new(node, admission, applied));
        let view = Arc::new(View::new(node, applied, self.stored.damage.clone()));
        self.applier.jobs.add(apply::Job::Begin(Box::new(apply::Begin {
            waiters: Arc::clone(&waiters),
            view: Arc::clone(&view),
            applied,
            held: self.held,
            max_bytes: options.max_commit_bytes,
        })));
        (view, waiters)
    }
}

/// A random number.
pub(super) fn draw() -> Result<u64, Error> {
    os::random_u64().map_err(|error| {
        let text = format!("the system gives no random numbers: {error}");
        Error::new(ErrorKind::Io, text)
    })
}

/// Whoever looks after the node should look at its disk, and know why it gives no votes.
fn tell_damage(log: &Log, stored: &Stored) {
    if let Some(damage) = &stored.damage {
        let text = format_args!("a part of the log is lost: {damage}");
        log.line(Level::Warn, "quorate::store", text);
    }
    if stored.state.abstaining {
        let text = "gives no votes until a leader has repaired its log, which needs a majority of \
                    voters that give theirs";
        log.line(Level::Warn, "quorate::raft", format_args!("{text}"));
    }
}

fn unreachable_member() -> Error {
    let text = "this node is a member of a cluster, and listen is not set, so the others can't reach \
                it: set listen to the host:port that they know it by";
    Error::new(ErrorKind::Invalid, text)
}

/// The thread that starts the service. It goes on when this is dropped, or hears why it can't.
pub(super) struct Starter(Arc<Slot<Result<(), Error>>>);

impl Drop for Starter {
    fn drop(&mut self) {
        self.0.fill(Ok(()));
    }
}

/// Starts the loop, and returns when the service can be used.
fn spawn(mut driver: Driver) -> Result<JoinHandle<()>, Error> {
    let started = Arc::new(Slot::new());
    driver.starter = Some(Starter(Arc::clone(&started)));
    let answer = Arc::clone(&started);
    let thread = os::spawn("quorate-loop", move || run(driver, &answer)).map_err(no_thread)?;
    let started: Result<(), Error> = started.wait();
    match started {
        Ok(()) => Ok(thread),
        Err(error) => {
            let _ = thread.join(); // it has said why it ended
            Err(error)
        }
    }
}

/// The thread quorate-loop.
fn run(mut driver: Driver, started: &Arc<Slot<Result<(), Error>>>) {
    let builder = &mut Builder::new_current_thread();
    let builder = builder.enable_io().enable_time().thread_name("quorate-names");
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => return started.fill(Err(no_thread(error))),
    };
    // A task of its own: news from the sockets of this thread then wake it without a system call.
    let answer = Arc::clone(started);
    let driver = runtime.spawn(async move {
        let end = guarded(driver.listen_and_run()).await;
        if let Err(error) = &end {
            answer.fill(Err(error.clone()));
        }
        driver.finish(end);
    });
    let _ = runtime.block_on(driver); // its panics were caught and told
}

/// Runs the loop; a panic in it is an error.
async fn guarded(run: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let mut run = pin!(run);
    poll_fn(|context| {
        let poll = AssertUnwindSafe(|| run.as_mut().poll(context));
        catch_unwind(poll).unwrap_or_else(|_| {
            let text = "the protocol loop panicked: please report it";
            Poll::Ready(Err(Error::new(ErrorKind::Internal, text)))
        })
    })
    .await
}

impl Driver {
    async fn listen_and_run(&mut self) -> Result<(), Error> {
        self.listen()?;
        self.run().await
    }

    /// Begins to listen, and to hear.
    fn listen(&mut self) -> Result<(), Error> {
        let inbox = Arc::clone(&self.inbox);
        let sink: Sink = Arc::new(move |inbound| {
            inbox.receive(inbound);
        });
        self.view.publish(self.status.clone());
        self.identify();
        if let Some(address) = self.peers.start(Arc::clone(&self.identity), sink)? {
            let _ = self.view.address.set(address); // it is set here only
            self.identify();
        }
        Ok(())
    }
}
