//! What a service tells people, by a logger, and programs, by events.

use super::stores::until;
use super::*;
use quorate_engine::consensus::types::Index;
use quorate_engine::error::ErrorKind;
use quorate_engine::logger::{Level, Line, Logger};
use quorate_engine::queue::{OpKind, Queue};
use quorate_engine::service::{Parts, Service};
use quorate_tests::journal::Journal;
use std::sync::{Arc, OnceLock, Weak};

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

struct Fire;

impl Logger for Fire {
    fn write(&self, _line: &Line<'_>) {
        panic!("the printer is on fire");
    }
}

#[test]
fn a_logger_that_panics_loses_its_lines_and_nothing_else() {
    let logger = Some((Level::Debug, Arc::new(Fire) as Arc<dyn Logger>));
    let parts = Parts { logger, ..Parts::default() };
    let journal = Journal::new();
    let service = Service::start_with(settings(), journal.machine(), parts).expect("it starts");
    service.propose_wait(entry("goes on"), LONG).expect("it is applied");
    service.close().expect("it was fine");
}
