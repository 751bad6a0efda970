//! Two transports at once: requests for votes that two threads deliver at the same moment.

use bytes::{BufMut, Bytes, BytesMut};
use quorate_engine::codec::{encode_entry, encode_state};
use quorate_engine::consensus::message::{Body, RequestVote};
use quorate_engine::consensus::types::{EntryId, Incarnation, Index, NodeId, Term};
use quorate_engine::service::{Parts, Service};
use quorate_engine::settings::Settings;
use quorate_engine::storage::wal::{Wal, WalOptions};
use quorate_engine::storage::{LogStore, STATE_KEY};
use quorate_engine::transport::custom::{Carrier, PacketKind};
use quorate_engine::transport::wire::{self, Envelope};
use quorate_tests::cluster::CLUSTER;
use quorate_tests::journal::Journal;
use quorate_tests::scene;
use std::path::Path;
use std::sync::Barrier;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// What node 1 sends, to whom.
struct Post(Sender<(NodeId, Bytes)>);

impl Carrier for Post {
    fn send(&mut self, to: NodeId, _address: &str, packet: Bytes) -> Result<(), String> {
        let _ = self.0.send((to, packet));
        Ok(())
    }
}

/// The directory of node 1, a member of {1, 2, 3}.
fn member(dir: &Path) {
    let options = WalOptions { segment_bytes: 1 << 20, adopt_copied_directory: false };
    let mut store = Wal::new(dir.to_owned(), options);
    store.open().expect("a new directory");
    let mut state = scene::state(1, CLUSTER);
    (state.term, state.directory, state.incarnation) = (Term(1), 77, Incarnation(1 << 40));
    store.metadata_put(STATE_KEY, &encode_state(&state)).expect("begins");
    store.append(&[encode_entry(&scene::founding(&[1, 2, 3]))], Index(1)).expect("appends");
    store.sync().expect("syncs");
}

/// A request for a vote in a packet, as `transport/custom.rs` has it: without an address of the sender.
fn request(from: u64, term: u64) -> Bytes {
    let last = EntryId::new(Index(1), Term(1));
    let body = RequestVote { last, round: term, number: 1, pre: false, transfer: false };
    let message = scene::message(from, 1, Term(term), Body::RequestVote(body));
    let frame = wire::encode(Envelope::of(&message), &[message], term).to_bytes();
    let mut packet = BytesMut::new();
    packet.put_u32_le(crc32c::crc32c(&[0, 0]));
    packet.put_u16_le(0);
    packet.put_slice(&frame);
    packet.freeze()
}

/// Who was granted the vote of that term, once both were answered.
fn granted(sent: &Receiver<(NodeId, Bytes)>, term: u64) -> Vec<NodeId> {
    let (mut yes, mut answers) = (Vec::new(), 0);
    while answers < 2 {
        let (to, packet) = sent.recv_timeout(Duration::from_secs(60)).expect("both are answered");
        let skip = 6 + usize::from(u16::from_le_bytes([packet[4], packet[5]]));
        let frame = wire::decode(packet.slice(skip..)).expect("a frame of ours");
        for message in frame.messages.iter().filter(|m| m.term == Term(term)) {
            if let Body::RequestVoteResponse(r) = &message.body {
                answers += 1;
                yes.extend(r.granted.then_some(to));
            }
        }
    }
    yes
}

// known bug: A8 | camunda #5356, reddb #939: two transports called the vote handler at once, and both were
// granted | one thread owns the core; calls of others only queue what they bring
#[test]
fn of_two_requests_at_once_one_is_granted() {
    let dir = tempfile::tempdir().expect("a directory");
    member(&dir.path().join("data"));
    let mut settings = Settings::new();
    let data = dir.path().join("data").display().to_string();
    settings.set("data_dir", &data).expect("it is known");
    settings.set("election_timeout", "1h").expect("it is known");
    let (post, sent) = mpsc::channel();
    let parts = Parts { carrier: Some(Box::new(Post(post))), ..Parts::default() };
    let journal = Journal::default();
    let service = Service::start_with(settings, journal.machine(), parts).expect("it starts");
    for term in 2..=100 {
        let both = Barrier::new(2);
        std::thread::scope(|scope| {
            for from in [2, 3] {
                let (service, both) = (&service, &both);
                scope.spawn(move || {
                    let packet = request(from, term);
                    both.wait();
                    service.deliver(packet, Some(PacketKind::RequestVote)).expect("taken");
                });
            }
        });
        assert_eq!(granted(&sent, term).len(), 1, "term {term}");
    }
}
