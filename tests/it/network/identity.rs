//! Who is who: handshakes by hand, in both directions, and addresses that may not be used.

use super::bench::{CLUSTER, Node, Raw, frame, hello, loopback, message, run, run_of};
use quorate_engine::consensus::message::{Body, Identify, Superseded};
use quorate_engine::consensus::types::{ClusterId, Incarnation, NodeId};
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::transport::tcp::{Tcp, TcpOptions};
use quorate_engine::transport::wire::hello::{Code, Hello, Kind};
use quorate_engine::transport::{Inbound, LocalIdentity, Transport};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

#[test]
fn a_node_says_who_it_is() {
    run(async {
        let node = Node::new(1);
        let (_, welcome) = Raw::greet(&node.address, &hello(5, 1, NodeId(0))).await;
        let expected = Hello {
            kind: Kind::Welcome,
            cluster: CLUSTER,
            from: node.id(),
            incarnation: node.identity.incarnation(),
            to: NodeId(5),
            address: node.address.clone(),
            ..Hello::new(Kind::Welcome)
        };
        assert_eq!(welcome, expected);
    });
}

#[test]
fn hellos_that_do_not_fit_are_refused_with_a_code() {
    run(async {
        let node = Node::new(1);
        let good = || hello(5, 3, node.id());
        Raw::greet(&node.address, &good()).await;
        let refused = [
            (Hello { to: NodeId(2), ..good() }, Code::WrongNode),
            (Hello { cluster: ClusterId(8), ..good() }, Code::OtherCluster),
            (hello(5, 2, node.id()), Code::Superseded),
            (Hello { incarnation: run_of(6, 3), ..good() }, Code::Superseded),
            (Hello { protocol: (2, 9), ..good() }, Code::Protocol),
            (Hello { lane: 2, ..good() }, Code::Protocol),
            (Hello { auth: 1, ..good() }, Code::Authentication),
        ];
        for (said, code) in refused {
            let (mut raw, answer) = Raw::greet(&node.address, &said).await;
            assert_eq!(answer.kind, Kind::Refuse(code));
            assert_eq!(answer.from, node.id());
            assert!(!answer.text.is_empty());
            let by = if code == Code::Superseded { run_of(5, 3) } else { Incarnation(0) };
            assert_eq!(answer.superseded_by, by);
            raw.closed().await;
        }
        let nowhere = Hello { cluster: ClusterId(0), ..good() };
        assert_eq!(Raw::greet(&node.address, &nowhere).await.1.kind, Kind::Welcome);
    });
}

/// What the one says who answers is checked, too.
#[test]
fn welcomes_that_do_not_fit_are_not_used() {
    run(async {
        let mut node = Node::new(1);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has one").to_string();
        let bad = [
            Hello { cluster: ClusterId(8), ..hello(5, 1, node.id()) },
            Hello { to: NodeId(2), ..hello(5, 1, node.id()) },
            Hello { protocol: (2, 2), ..hello(5, 1, node.id()) },
            hello(6, 1, node.id()),
        ];
        node.send(NodeId(5), &address, 1);
        for answer in bad {
            let (stream, _) = listener.accept().await.expect("it dials");
            let mut raw = Raw { stream };
            raw.read_hello().await.expect("it says Hello");
            raw.write(&Hello { kind: Kind::Welcome, ..answer.clone() }.encode()).await;
            raw.closed().await;
            match node.next().await {
                Inbound::WrongNode { wanted, found, .. } => {
                    assert_eq!((wanted, found), (NodeId(5), NodeId(6)));
                }
                Inbound::Unreachable { address: at, .. } => {
                    assert!(at == address && answer.from == NodeId(5));
                }
                other => panic!("it is reported: {other:?}"),
            }
        }
        let (mut raw, said) = Raw::welcome(&listener, 5, 1).await;
        assert_eq!((said.from, said.to, said.cluster), (node.id(), NodeId(5), CLUSTER));
        assert!(raw.read_frame().await.is_some(), "what waited is sent");
    });
}

#[test]
fn a_superseded_run_hears_of_it() {
    run(async {
        let peer = Node::new(2);
        let _newer = Node::with(1, 7, loopback());
        Raw::greet(&peer.address, &hello(1, 7, peer.id())).await;
        let mut old = Node::with(1, 6, loopback());
        old.send(peer.id(), &peer.address, 1);
        let Inbound::Frame(news) = old.next().await else { panic!("news come") };
        let [message] = news.messages.as_slice() else { panic!("one message") };
        assert_eq!(message.body, Body::Superseded(Superseded { by: run_of(1, 7) }));
        assert_eq!(message.from, peer.id());
        let mut own = Raw::dial(&old.address).await;
        own.write(&hello(1, 8, old.id()).encode()).await;
        let answer = own.read_hello().await.expect("it answers");
        assert_eq!(answer.kind, Kind::Refuse(Code::Superseded));
        let Inbound::Frame(news) = old.next().await else { panic!("news come") };
        assert_eq!(news.messages[0].body, Body::Superseded(Superseded { by: run_of(1, 8) }));
    });
}

/// A newer run of a node ends what its older run left open.
#[test]
fn connections_of_an_older_run_are_closed() {
    run(async {
        let mut node = Node::new(1);
        let (mut old, _) = Raw::greet(&node.address, &hello(5, 1, node.id())).await;
        let (mut new, _) = Raw::greet(&node.address, &hello(5, 2, node.id())).await;
        old.closed().await;
        let body = Body::Identify(Identify { nonce: 3 });
        new.send(&message(NodeId(5), run_of(5, 2), node.id(), body.clone())).await;
        assert_eq!(node.number().await, 3);
        let back = node.message(NodeId(5), body);
        node.tcp.send(NodeId(5), None, frame(&back));
        assert_eq!(new.read_frame().await.expect("it comes back").messages, [back]);
    });
}

/// Joining and leaving make another run of the same process; the connections stay.
#[test]
fn a_change_of_lineage_keeps_the_connections() {
    run(async {
        let (mut node, mut peer) = (Node::new(1), Node::new(2));
        let (id, address) = (peer.id(), peer.address.clone());
        let before = node.message(id, Body::Identify(Identify { nonce: 2 }));
        node.send(id, &address, 1);
        assert_eq!(peer.number().await, 1);
        let next = node.identity.incarnation().next_run();
        node.identity.update(next, CLUSTER, &node.address);
        node.send(id, &address, 3);
        node.tcp.send(id, Some(&address), frame(&before));
        node.send(id, &address, 4);
        assert_eq!((peer.number().await, peer.number().await), (3, 4), "2 is of the former run");
        let back = peer.message(node.id(), Body::Identify(Identify { nonce: 5 }));
        peer.tcp.send(node.id(), None, frame(&back));
        assert_eq!(node.number().await, 5);
        let (_, welcome) = Raw::greet(&node.address, &hello(5, 1, node.id())).await;
        assert_eq!(welcome.incarnation, node.identity.incarnation());
        assert!(node.inbox.try_recv().is_err() && peer.inbox.try_recv().is_err());
    });
}

fn start(listen: &str, insecure: bool) -> Result<Option<String>, Error> {
    let identity = Arc::new(LocalIdentity::new(NodeId(1), run_of(1, 1)));
    let options = TcpOptions { listen: listen.to_owned(), insecure, ..TcpOptions::default() };
    Tcp::new(options).start(identity, Arc::new(|_| {}))
}

#[test]
fn an_address_that_can_not_be_listened_on_is_refused_with_advice() {
    run(async {
        let taken = Node::new(1);
        let refused = start(&taken.address, false).expect_err("it is taken");
        assert_eq!(refused.kind, ErrorKind::AddressInUse);
        assert!(refused.message.contains(&taken.address), "{refused}");
        for malformed in
            ["nonsense", "127.0.0.1", ":7000", "127.0.0.1:x", "127.0.0.1:70000", "::1:1", "a:+1"]
        {
            let refused = start(malformed, false).expect_err("it is none");
            assert_eq!(refused.kind, ErrorKind::Invalid, "{malformed}");
            assert!(refused.message.contains("host:port"), "{refused}");
        }
        for elsewhere in ["192.0.2.1:7000", "no-such-host.invalid:7000"] {
            assert_eq!(start(elsewhere, true).expect_err("not here").kind, ErrorKind::Invalid);
        }
    });
}

#[test]
fn plain_text_stays_on_this_machine_unless_it_is_allowed() {
    run(async {
        for exposed in ["0.0.0.0:0", "[::]:0"] {
            let refused = start(exposed, false).expect_err("others could connect");
            assert_eq!(refused.kind, ErrorKind::Invalid);
            assert!(refused.message.contains("insecure = on"), "{refused}");
        }
        assert!(start("0.0.0.0:0", true).expect("it is allowed").is_some());
        assert!(start("localhost:0", false).expect("it is this machine").is_some());
        assert_eq!(start("", false).expect("it only dials"), None);
        let mut node = Node::new(1);
        node.send(NodeId(2), "192.0.2.1:7000", 1);
        let Inbound::Unreachable { address, text } = node.next().await else {
            panic!("it is reported");
        };
        assert_eq!(address, "192.0.2.1:7000");
        assert!(text.contains("insecure = on"), "{text}");
    });
}

/// A node that does not listen dials, and is answered over its own connection.
#[test]
fn a_node_without_a_listener_takes_part() {
    run(async {
        let mut mute = Node::with(1, 1, TcpOptions::default());
        let mut node = Node::new(2);
        mute.send(node.id(), &node.address.clone(), 1);
        assert_eq!(node.number().await, 1);
        let answer = node.message(mute.id(), Body::Identify(Identify { nonce: 2 }));
        node.tcp.send(mute.id(), None, frame(&answer));
        assert_eq!(mute.number().await, 2);
    });
}

#[test]
fn an_unused_connection_is_closed_and_opened_again() {
    run(async {
        let options = TcpOptions { idle_timeout: Duration::from_millis(100), ..loopback() };
        let mut node = Node::with(1, 1, options);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has one").to_string();
        for number in [1, 2] {
            node.send(NodeId(5), &address, number);
            let (mut raw, _) = Raw::welcome(&listener, 5, 1).await;
            assert!(raw.read_frame().await.is_some());
            raw.closed().await;
        }
        let dials = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
        assert!(dials.is_err(), "nobody dials for nothing");
    });
}
