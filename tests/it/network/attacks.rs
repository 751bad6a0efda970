//! What comes from nobody, or from somebody else, ends with its own connection.

use super::bench::{LONG, Node, Raw, frame, hello, loopback, message, payload, run, run_of};
use quorate_engine::consensus::message::{Body, Identify};
use quorate_engine::consensus::types::NodeId;
use quorate_engine::transport::Inbound;
use quorate_engine::transport::tcp::TcpOptions;
use quorate_engine::transport::wire::hello::{Hello, Kind};
use std::time::Duration;
use tokio::time::timeout;

/// The node answers a question, whatever happened before.
async fn still_works(node: &mut Node) {
    let (mut raw, answer) = Raw::greet(&node.address, &hello(900, 1, node.id())).await;
    assert_eq!(answer.kind, Kind::Welcome);
    let body = Body::Identify(Identify { nonce: 4711 });
    raw.send(&message(NodeId(900), run_of(900, 1), node.id(), body)).await;
    assert_eq!(node.number().await, 4711);
}

#[test]
fn garbage_instead_of_a_hello_ends_its_connection() {
    run(async {
        let mut node = Node::new(1);
        let good = hello(5, 1, node.id()).encode();
        let mut flipped = good.to_vec();
        flipped[40] ^= 1;
        let mut endless = good.to_vec();
        endless[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut nobody = hello(5, 1, node.id());
        nobody.from = NodeId(0);
        let welcome = Hello { kind: Kind::Welcome, ..hello(5, 1, node.id()) };
        let garbage: [&[u8]; 7] = [
            b"GET / HTTP/1.1\r\nHost: quorate\r\n\r\n",
            &[0; 4096],
            &[0xff; 4096],
            &flipped,
            &endless,
            &nobody.encode(),
            &welcome.encode(),
        ];
        for bytes in garbage {
            let mut raw = Raw::dial(&node.address).await;
            raw.write(bytes).await;
            assert!(raw.read_hello().await.is_none(), "it gets no answer: {bytes:?}");
        }
        assert!(node.inbox.try_recv().is_err(), "nothing of it is handed up");
        still_works(&mut node).await;
    });
}

#[test]
fn garbage_after_the_handshake_ends_its_connection_and_is_reported() {
    run(async {
        let mut node = Node::new(1);
        let body = || Body::Identify(Identify { nonce: 1 });
        let good = message(NodeId(5), run_of(5, 1), node.id(), body());
        let bytes = frame(&good).to_bytes();
        let mut flipped = bytes.to_vec();
        flipped[70] ^= 1;
        let mut endless = bytes.to_vec();
        endless[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        let other = message(NodeId(6), run_of(6, 1), node.id(), body());
        let other_run = message(NodeId(5), run_of(5, 2), node.id(), body());
        let garbage: [(&[u8], &str); 5] = [
            (&[0x5a; 500], "no bytes of quorate"),
            (&flipped, "checksum"),
            (&endless, "are allowed"),
            (&frame(&other).to_bytes(), "a frame of node 6"),
            (&frame(&other_run).to_bytes(), "#2"),
        ];
        for (bytes, reason) in garbage {
            let said = Hello { address: "peer:1".to_owned(), ..hello(5, 1, node.id()) };
            let (mut raw, _) = Raw::greet(&node.address, &said).await;
            raw.write(bytes).await;
            raw.closed().await;
            let Inbound::Refused { address, text } = node.next().await else {
                panic!("it is reported");
            };
            assert!(address == "peer:1" && text.contains(reason), "{address}: {text}");
        }
        still_works(&mut node).await;
    });
}

/// A frame for another node is passed over: whoever sent it may not know yet who is here.
#[test]
fn frames_for_another_node_are_not_handed_up() {
    run(async {
        let mut node = Node::new(1);
        let (mut raw, _) = Raw::greet(&node.address, &hello(5, 1, node.id())).await;
        for (to, nonce) in [(NodeId(99), 1), (node.id(), 2), (NodeId(0), 3)] {
            let body = Body::Identify(Identify { nonce });
            raw.send(&message(NodeId(5), run_of(5, 1), to, body)).await;
        }
        assert_eq!((node.number().await, node.number().await), (2, 3));
    });
}

#[test]
fn a_frame_in_pieces_arrives_whole() {
    run(async {
        let mut node = Node::new(1);
        let (mut raw, _) = Raw::greet(&node.address, &hello(5, 1, node.id())).await;
        let sent = message(NodeId(5), run_of(5, 1), node.id(), payload(40_000));
        let small = message(NodeId(5), run_of(5, 1), node.id(), payload(10));
        let bytes = [frame(&small).to_bytes(), frame(&sent).to_bytes()].concat();
        for piece in bytes.chunks(613) {
            raw.write(piece).await;
        }
        for wanted in [small, sent] {
            let Inbound::Frame(frame) = node.next().await else { panic!("a frame comes") };
            assert!(frame.messages == [wanted]);
        }
    });
}

/// Slow loris: whoever does not get to the point is sent away, before the handshake and after.
#[test]
fn whoever_says_half_a_sentence_is_sent_away() {
    run(async {
        let short = Duration::from_millis(150);
        let options = TcpOptions { handshake_timeout: short, stall_timeout: short, ..loopback() };
        let mut node = Node::with(1, 1, options);
        let said = hello(5, 1, node.id());
        for half in [&[][..], &said.encode()[..3], &said.encode()[..100]] {
            let mut raw = Raw::dial(&node.address).await;
            raw.write(half).await;
            raw.closed().await;
        }
        let sent = message(NodeId(5), run_of(5, 1), node.id(), payload(100_000));
        for half in [10, 100, 90_000] {
            let (mut raw, _) = Raw::greet(&node.address, &said).await;
            raw.write(&frame(&sent).to_bytes()[..half]).await;
            raw.closed().await;
        }
        still_works(&mut node).await;
    });
}

#[test]
fn only_so_many_may_hesitate_before_their_hello() {
    run(async {
        let options = TcpOptions { max_half_open: 4, ..loopback() };
        let mut node = Node::with(1, 1, options);
        let mut waiting = Vec::new();
        for _ in 0..4 {
            waiting.push(Raw::dial(&node.address).await);
        }
        Raw::dial(&node.address).await.closed().await;
        waiting.pop();
        let works = async {
            loop {
                let mut raw = Raw::dial(&node.address).await;
                raw.write(&hello(5, 1, NodeId(1)).encode()).await;
                if raw.read_hello().await.is_some() {
                    return;
                }
            }
        };
        timeout(LONG, works).await.expect("there is room again");
        still_works(&mut node).await;
    });
}
