//! A peer that goes away must not end the host by SIGPIPE.

use super::bench::{LONG, Node, Raw, run};
use quorate_engine::consensus::types::NodeId;
use std::process::Command;
use tokio::net::TcpListener;
use tokio::time::timeout;

const CHILD: &str = "QUORATE_TEST_SIGPIPE";

/// Rust programs ignore SIGPIPE, so the test runs itself again in a process that does not.
#[test]
fn a_closed_peer_raises_no_sigpipe() {
    if std::env::var_os(CHILD).is_some() {
        return write_to_a_closed_peer();
    }
    let program = std::env::current_exe().expect("this program has a path");
    let child = Command::new(program)
        .args(["--exact", "network::signals::a_closed_peer_raises_no_sigpipe"])
        .env(CHILD, "1")
        .output()
        .expect("it runs again");
    assert!(child.status.success(), "{:?} {child:?}", child.status);
}

fn write_to_a_closed_peer() {
    // SAFETY: this process runs this test alone, and no handler is installed.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    run(async {
        let mut node = Node::new(1);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has one").to_string();
        node.send(NodeId(5), &address, 1);
        for _ in 0..20 {
            let (mut raw, _) = Raw::welcome(&listener, 5, 1).await;
            assert!(raw.read_frame().await.is_some());
            // The first batch is answered by a reset, the second one meets it: that is a broken pipe.
            drop(raw);
            for _ in 0..200 {
                node.send_bytes(NodeId(5), &address, 100);
            }
        }
        let accepted = timeout(LONG, listener.accept()).await;
        assert!(accepted.is_ok(), "it goes on dialing");
    });
}
