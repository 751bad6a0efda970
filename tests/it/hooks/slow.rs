//! A store that blocks for ten seconds, ten times as long as it takes to elect a leader: a slow disk is no
//! dead node, and the cluster goes on. A leader that can store nothing hands over; a follower is waited for.

use super::stores::Store;
use super::*;
use quorate_engine::error::ErrorKind;
use quorate_engine::service::Service;
use quorate_tests::journal::Journal;
use std::thread;
use std::time::Instant;

const BLOCKED: Duration = Duration::from_secs(10);

struct Member {
    store: Store,
    journal: Journal,
    service: Service,
}

impl Member {
    fn new() -> Member {
        let (store, journal) = (Store::default(), Journal::new());
        let mut settings = Settings::new();
        settings.set("listen", "127.0.0.1:0").expect("it is known");
        let service = store.service_with(settings, &journal).expect("it starts");
        Member { store, journal, service }
    }

    fn address(&self) -> &str {
        self.service.address().expect("it listens")
    }
}

/// Three members; the first one leads.
fn cluster() -> [Member; 3] {
    let members = [Member::new(), Member::new(), Member::new()];
    let first = &members[0].service;
    first.initialize_cluster(members[0].address(), LONG).expect("it is alone");
    for other in &members[1..] {
        first.add_node(other.address(), LONG).expect("it is empty");
    }
    members
}

/// While the store of the `blocked` one waits, others are served through the `writer`. Another one leads then,
/// if the blocked one did; else nobody is elected.
fn others_go_on(blocked: usize, writer: usize) {
    let members = cluster();
    let before = members[0].service.info();
    let slow = &members[blocked];
    slow.store.0.door.shut();
    let shut = Instant::now();
    let mut written = 0;
    while shut.elapsed() < BLOCKED {
        let text = written.to_string();
        match members[writer].service.propose_wait(entry(&text), LONG) {
            Ok(_) => written += 1,
            Err(error) => assert_eq!(error.kind, ErrorKind::Lost, "only while it hands over"),
        }
        slow.store.0.door.until_somebody_waits();
        thread::sleep(Duration::from_millis(50)); // ten seconds are what is tried
    }
    let applied = members[writer].service.info().last_applied;
    let late = slow.service.propose_wait(entry("late"), SHORT).expect_err("its store blocks");
    assert_eq!(late.kind, ErrorKind::Timeout);
    assert!(slow.service.info().last_applied < applied, "nothing is applied that is not durable");
    slow.store.0.door.open();
    let now = members[writer].service.info();
    let elected = now.current_term > before.current_term;
    assert_eq!(elected, blocked == 0, "a blocked leader hands over, and nobody else is replaced");
    assert!(now.leader_id != slow.service.info().my_id, "who is blocked does not lead");
    for member in &members {
        member.service.read_barrier(LONG).expect("all go on");
        let texts = member.journal.texts();
        assert_eq!(texts.iter().filter(|text| *text != "late").count(), written);
    }
}

#[test]
fn a_leader_whose_store_blocks_for_ten_seconds_hands_over() {
    others_go_on(0, 1);
}

#[test]
fn a_follower_whose_store_blocks_for_ten_seconds_catches_up() {
    others_go_on(2, 0);
}
