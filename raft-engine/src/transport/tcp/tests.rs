//! Real sockets on loopback.

use super::*;
use crate::consensus::message::{Body, Identify, Message};
use crate::consensus::types::{ClusterId, Incarnation, Term};
use std::future::Future;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

struct End {
    tcp: Tcp,
    identity: Arc<LocalIdentity>,
    address: String,
    inbound: UnboundedReceiver<Inbound>,
    sent: u64,
}

fn options(listen: &str) -> TcpOptions {
    TcpOptions { listen: listen.to_owned(), insecure: false }
}

fn end_at(node: u64, listen: &str) -> End {
    let mut tcp = Tcp::new(options(listen));
    let identity = Arc::new(LocalIdentity::new(NodeId(node), Incarnation(1 << 40 | node)));
    let (sender, inbound) = unbounded_channel();
    let sink: Sink = Arc::new(move |what| drop(sender.send(what)));
    let bound = tcp.start(Arc::clone(&identity), sink).expect("loopback can be listened on");
    End { tcp, identity, address: bound.unwrap_or_default(), inbound, sent: 0 }
}

fn end(node: u64) -> End {
    end_at(node, "127.0.0.1:0")
}

impl End {
    fn send(&mut self, to: u64, address: Option<&str>, nonce: u64) {
        let message = Message {
            from: self.identity.node,
            from_incarnation: self.identity.incarnation(),
            to: NodeId(to),
            address: None,
            cluster: ClusterId(1),
            term: Term(1),
            body: Body::Identify(Identify { nonce }),
        };
        self.sent += 1;
        self.tcp.send(NodeId(to), address, wire::encode(&[message], self.sent));
    }

    async fn next(&mut self) -> Inbound {
        timeout(PATIENCE, self.inbound.recv()).await.expect("in time").expect("it is open")
    }

    /// The nonces of the next frame.
    async fn hear(&mut self) -> Vec<u64> {
        loop {
            if let Inbound::Frame(decoded) = self.next().await {
                let nonce = |m: &Message| match &m.body {
                    Body::Identify(i) => i.nonce,
                    other => panic!("{other:?}"),
                };
                return decoded.messages.iter().map(nonce).collect();
            }
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn frames_arrive_in_order_and_answers_come_back_without_an_address() {
    run(async {
        let (mut a, mut b) = (end(1), end(2));
        let address = b.address.clone();
        for nonce in 0..1000 {
            a.send(2, Some(&address), nonce);
        }
        for nonce in 0..1000 {
            assert_eq!(b.hear().await, [nonce]);
        }
        b.send(1, None, 7);
        assert_eq!(a.hear().await, [7]);
    });
}

#[test]
fn whoever_is_there_answers_and_somebody_else_is_named() {
    run(async {
        let (mut a, mut b) = (end(1), end(2));
        let address = b.address.clone();
        a.send(0, Some(&address), 5);
        assert_eq!(b.hear().await, [5]);
        a.send(3, Some(&address), 6);
        match a.next().await {
            Inbound::WrongNode { wanted, found, .. } => {
                assert_eq!((wanted, found), (NodeId(3), NodeId(2)));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn another_cluster_is_refused_with_words() {
    run(async {
        let (mut a, b) = (end(1), end(2));
        a.identity.update(Incarnation(1), ClusterId(1), "");
        b.identity.update(Incarnation(1), ClusterId(2), "");
        let address = b.address.clone();
        a.send(2, Some(&address), 5);
        match a.next().await {
            Inbound::Refused { text, .. } => assert!(text.contains("cluster 2"), "{text}"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn garbage_ends_only_its_own_connection() {
    run(async {
        let (mut a, mut b) = (end(1), end(2));
        let address = b.address.clone();
        let forged = wire::encode(
            &[Message {
                from: NodeId(9),
                from_incarnation: Incarnation(1),
                to: NodeId(2),
                address: None,
                cluster: ClusterId(1),
                term: Term(1),
                body: Body::TimeoutNow,
            }],
            1,
        );
        let mut huge = forged.head.to_vec();
        huge[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        for garbage in
            [vec![0; 5000], b"GET / HTTP/1.1\r\n\r\n".to_vec(), forged.head.to_vec(), huge]
        {
            let mut stream = TcpStream::connect(&address).await.expect("it listens");
            let _ = stream.write_all(&garbage).await;
            let mut rest = Vec::new();
            let closed = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
            assert!(closed.is_ok(), "the connection is closed");
        }
        a.send(2, Some(&address), 1);
        assert_eq!(b.hear().await, [1]);
    });
}

#[test]
fn a_frame_of_somebody_else_ends_the_connection() {
    run(async {
        let mut b = end(2);
        let mut stream = TcpStream::connect(&b.address).await.expect("it listens");
        let a = LocalIdentity::new(NodeId(1), Incarnation(1));
        let shared = Shared {
            identity: Arc::new(a),
            sink: Arc::new(|_| ()),
            insecure: false,
            outgoing: Mutex::default(),
            incoming: Mutex::default(),
        };
        let hello = shared.hello(Kind::Hello, NodeId(2), "");
        connection::say(&mut stream, &hello).await.expect("it reads");
        assert_eq!(connection::hear(&mut stream).await.expect("it answers").kind, Kind::Welcome);
        let message = Message {
            from: NodeId(3),
            from_incarnation: Incarnation(1),
            to: NodeId(2),
            address: None,
            cluster: ClusterId(1),
            term: Term(1),
            body: Body::TimeoutNow,
        };
        let frame = wire::encode(&[message], 1).to_bytes();
        stream.write_all(&frame).await.expect("it reads");
        let mut rest = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("in time");
        assert!(end.is_err() || rest.is_empty(), "the connection is closed");
        assert!(b.inbound.try_recv().is_err(), "and nothing was handed up");
    });
}

/// A peer that takes connections and never reads gets megabytes; another one hears at once.
#[test]
fn a_stalled_peer_delays_no_other() {
    run(async {
        let stalled = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let at = stalled.local_addr().expect("bound").to_string();
        let (mut a, mut b) = (end(1), end(2));
        let address = b.address.clone();
        for nonce in 0..200_000 {
            a.send(3, Some(&at), nonce);
        }
        let (_stream, _) = stalled.accept().await.expect("it dials");
        a.send(2, Some(&address), 1);
        let started = tokio::time::Instant::now();
        assert_eq!(b.hear().await, [1]);
        assert!(started.elapsed() < HANDSHAKE_TIME, "not held up by the stalled one");
    });
}

#[test]
fn a_peer_that_comes_back_is_dialed_again() {
    run(async {
        let (mut a, b) = (end(1), end(2));
        let address = b.address.clone();
        a.send(2, Some(&address), 1);
        let mut b = b;
        assert_eq!(b.hear().await, [1]);
        b.tcp.stop();
        drop(b);
        let gone = loop {
            a.send(2, Some(&address), 2);
            if let Ok(Some(gone)) = timeout(Duration::from_millis(10), a.inbound.recv()).await {
                break gone;
            }
        };
        assert!(matches!(gone, Inbound::Unreachable { .. }), "{gone:?}");
        let mut b = end_at(2, &address);
        loop {
            a.send(2, Some(&address), 3);
            if let Ok(Some(Inbound::Frame(_))) =
                timeout(Duration::from_millis(10), b.inbound.recv()).await
            {
                return;
            }
        }
    });
}

#[test]
fn an_address_that_does_not_do_is_refused_with_advice() {
    run(async {
        let taken = end(1);
        for (listen, kind, word) in [
            (taken.address.as_str(), ErrorKind::AddressInUse, "another port"),
            ("nonsense", ErrorKind::Invalid, "host:port"),
            ("0.0.0.0:0", ErrorKind::Invalid, "insecure = on"),
        ] {
            let identity = Arc::new(LocalIdentity::new(NodeId(2), Incarnation(1)));
            let refused = Tcp::new(options(listen)).start(identity, Arc::new(|_| ()));
            let error = refused.expect_err("it must be refused");
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains(word) && error.message.contains(listen), "{error}");
        }
    });
}

#[test]
fn plain_text_leaves_loopback_only_with_the_setting() {
    run(async {
        let mut a = end(1);
        a.send(2, Some("192.0.2.1:7001"), 1);
        match a.next().await {
            Inbound::Unreachable { text, .. } => assert!(text.contains("insecure = on"), "{text}"),
            other => panic!("{other:?}"),
        }
    });
}
