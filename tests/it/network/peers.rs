//! Peers that come, go, and stand still.

use super::bench::{LONG, Node, Raw, frame, hello, loopback, payload, run};
use quorate_engine::consensus::types::NodeId;
use quorate_engine::transport::Inbound;
use quorate_engine::transport::Transport;
use quorate_engine::transport::tcp::TcpOptions;
use quorate_engine::transport::wire::FRAME_LIMIT;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it has one").to_string();
    (listener, address)
}

/// A peer that accepts and never reads fills its own queue, is cut off, and holds up nobody.
// known bug: C15 | openraft #1810, hashicorp, LogCabin #200: one peer that hung, or a slow disk, held up the
// loop | every connection has its own bounded queue, disk and state machine their own threads, and nothing
// waits on the loop
#[test]
fn a_stalled_peer_delays_nobody_else() {
    run(async {
        let stall = Duration::from_millis(500);
        let options = TcpOptions { stall_timeout: stall, ..loopback() };
        let mut node = Node::with(1, 1, options);
        let mut good = Node::new(2);
        let (listener, address) = listen().await;
        node.send(NodeId(5), &address, 0);
        let (mut stalled, _) = Raw::welcome(&listener, 5, 1).await;
        stalled.read_frame().await.expect("the connection stands");
        let good_address = good.address.clone();
        for number in 0..200 {
            node.send_bytes(NodeId(5), &address, 1 << 20);
            node.send(good.id(), &good_address, number);
            let arrived = timeout(stall / 2, good.number()).await;
            assert_eq!(arrived.expect("it is not held up"), number);
        }
        assert!(node.tcp.lost_frames() > 100, "a queue is bounded");
        let (again, _) = Raw::welcome(&listener, 5, 1).await;
        drop(again);
        stalled.closed().await;
    });
}

/// Whoever stops is reported and dialed again, with pauses; what is sent once it is back arrives.
#[test]
fn a_peer_that_restarts_is_reached_again() {
    run(async {
        let mut node = Node::new(1);
        let mut peer = Node::new(2);
        let (id, address) = (peer.id(), peer.address.clone());
        node.send(id, &address, 1);
        assert_eq!(peer.number().await, 1);
        drop(peer);
        let report = async {
            loop {
                node.send(id, &address, 2);
                let pause = Duration::from_millis(10);
                if let Ok(Some(inbound)) = timeout(pause, node.inbox.recv()).await {
                    return inbound;
                }
            }
        };
        let Inbound::Unreachable { address: at, text } = report.await else {
            panic!("nobody is there");
        };
        assert!(at == address && text.contains("refused"), "{text}");
        let options = TcpOptions { listen: address.clone(), ..loopback() };
        let mut peer = Node::with(2, 2, options);
        let back = async {
            loop {
                node.send(id, &address, 3);
                if let Ok(number) = timeout(Duration::from_millis(10), peer.number()).await
                    && number == 3
                {
                    return;
                }
            }
        };
        timeout(LONG, back).await.expect("it is reached again");
    });
}

/// With pauses of half an hour only its own call brings a peer back.
#[test]
fn a_peer_that_calls_is_dialed_at_once() {
    run(async {
        let hour = Duration::from_secs(3600);
        let options = TcpOptions { backoff: (hour, hour), ..loopback() };
        let mut node = Node::with(1, 1, options);
        let (listener, address) = listen().await;
        drop(listener);
        node.send(NodeId(2), &address, 1);
        assert!(matches!(node.next().await, Inbound::Unreachable { .. }));
        let options = TcpOptions { listen: address.clone(), ..loopback() };
        let mut peer = Node::with(2, 1, options);
        let node_address = node.address.clone();
        peer.send(node.id(), &node_address, 2);
        assert_eq!(node.number().await, 2);
        node.send(NodeId(2), &address, 3);
        assert_eq!(peer.number().await, 3);
    });
}

#[test]
fn nobody_at_an_address_is_reported_once_for_each_attempt() {
    run(async {
        let pause = Duration::from_millis(40);
        let options = TcpOptions { backoff: (pause, pause * 2), ..loopback() };
        let mut node = Node::with(1, 1, options);
        let (listener, address) = listen().await;
        drop(listener);
        for number in 0..1000 {
            node.send(NodeId(2), &address, number);
        }
        for _ in 0..2 {
            assert!(matches!(node.next().await, Inbound::Unreachable { .. }));
        }
        let quiet = timeout(pause * 10, node.inbox.recv()).await;
        assert!(quiet.is_err(), "what waited is given up, and nobody dials for nothing");
        assert_eq!(node.tcp.lost_frames(), 1000);
    });
}

/// When a newer run of a peer calls, the connection to its older run is not trusted any more.
#[test]
fn a_connection_to_an_older_run_is_replaced() {
    run(async {
        let mut node = Node::new(1);
        let (listener, address) = listen().await;
        node.send(NodeId(5), &address, 1);
        let (mut old, _) = Raw::welcome(&listener, 5, 1).await;
        old.read_frame().await.expect("the connection stands");
        let _call = Raw::greet(&node.address, &hello(5, 2, node.id())).await;
        old.closed().await;
        node.send(NodeId(5), &address, 2);
        let (mut new, _) = Raw::welcome(&listener, 5, 2).await;
        assert!(new.read_frame().await.is_some());
    });
}

/// Likewise what an older run had opened, when a newer one answers.
#[test]
fn a_connection_from_an_older_run_is_closed() {
    run(async {
        let mut node = Node::new(1);
        let (mut old, _) = Raw::greet(&node.address, &hello(5, 1, node.id())).await;
        let (listener, address) = listen().await;
        node.send(NodeId(5), &address, 1);
        let _new = Raw::welcome(&listener, 5, 2).await;
        old.closed().await;
    });
}

#[test]
fn a_peer_that_moves_is_dialed_where_it_is_now() {
    run(async {
        let mut node = Node::new(1);
        let (first, first_address) = listen().await;
        let (second, second_address) = listen().await;
        node.send(NodeId(5), &first_address, 1);
        let (mut old, _) = Raw::welcome(&first, 5, 1).await;
        old.read_frame().await.expect("the connection stands");
        node.send(NodeId(5), &second_address, 2);
        let (mut new, _) = Raw::welcome(&second, 5, 1).await;
        assert!(new.read_frame().await.is_some());
        old.closed().await;
    });
}

/// The longest frame goes through; a longer one is lost, and the connection stays.
#[test]
fn frames_up_to_the_limit_are_carried() {
    run(async {
        let (mut node, mut peer) = (Node::new(1), Node::new(2));
        let (id, address) = (peer.id(), peer.address.clone());
        let mut head = node.message(id, payload(0));
        let room = FRAME_LIMIT - frame(&head).len();
        for (len, fits) in [(room + 1, false), (room, true)] {
            head.body = payload(len);
            let sent = frame(&head);
            assert_eq!(sent.len() <= FRAME_LIMIT, fits);
            node.tcp.send(id, Some(&address), sent);
        }
        let Inbound::Frame(arrived) = peer.next().await else { panic!("a frame comes") };
        assert!(arrived.messages == [head]);
        assert_eq!(node.tcp.lost_frames(), 1);
    });
}

#[test]
fn ten_thousand_frames_keep_their_order_both_ways() {
    run(async {
        let (mut a, mut b) = (Node::new(1), Node::new(2));
        let (at_a, at_b) = (a.address.clone(), b.address.clone());
        for hundred in 0..100 {
            for number in hundred * 100..(hundred + 1) * 100 {
                a.send(b.id(), &at_b, number);
                b.send(a.id(), &at_a, number);
            }
            for number in hundred * 100..(hundred + 1) * 100 {
                assert_eq!((a.number().await, b.number().await), (number, number));
            }
        }
    });
}
