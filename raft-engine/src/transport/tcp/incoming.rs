//! Connections that others open.

use super::connection::{carry, hear, say};
use super::queue::Outbound;
use super::{HANDSHAKE_TIME, MAX_STRANGERS, Shared, lock};
use crate::transport::wire::hello::{Hello, Kind, RefuseCode};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long to wait when no descriptor is left.
const BREATH: Duration = Duration::from_millis(100);

/// Takes connections until it is aborted, and with it all of them.
pub async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let strangers = Arc::new(Semaphore::new(MAX_STRANGERS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Err(_) => sleep(BREATH).await,
            Ok((stream, _)) => {
                let Ok(place) = Arc::clone(&strangers).try_acquire_owned() else { continue };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let met = timeout(HANDSHAKE_TIME, meet(stream, &shared)).await;
                    drop(place);
                    if let Ok(Ok((stream, hello))) = met {
                        serve(stream, hello, &shared).await;
                    }
                });
            }
        }
    }
}

/// The handshake: who are you, and whom do you want?
async fn meet(mut stream: TcpStream, shared: &Shared) -> io::Result<(TcpStream, Hello)> {
    stream.set_nodelay(true)?;
    let hello = hear(&mut stream).await?;
    if hello.kind != Kind::Hello {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if let Some((code, text)) = objection(&hello, shared) {
        say(&mut stream, &shared.hello(Kind::Refuse(code), hello.from, &text)).await?;
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    say(&mut stream, &shared.hello(Kind::Welcome, hello.from, "")).await?;
    Ok((stream, hello))
}

fn objection(hello: &Hello, shared: &Shared) -> Option<(RefuseCode, String)> {
    let identity = &shared.identity;
    if !hello.to.is_zero() && hello.to != identity.node {
        let text = format!("this is node {}, not {}", identity.node, hello.to);
        return Some((RefuseCode::WrongNode, text));
    }
    let (ours, theirs) = (identity.cluster(), hello.cluster);
    let strangers = ours != theirs && !ours.is_zero() && !theirs.is_zero();
    if strangers && !hello.to.is_zero() {
        let text = format!("node {} belongs to cluster {ours}, not {theirs}", identity.node);
        return Some((RefuseCode::OtherCluster, text));
    }
    None
}

async fn serve(stream: TcpStream, hello: Hello, shared: &Shared) {
    let queue = Arc::new(Outbound::default());
    lock(&shared.incoming).insert(hello.from, Arc::clone(&queue));
    shared.is_up(hello.from);
    carry(stream, &hello, &queue, shared).await;
    let mut incoming = lock(&shared.incoming);
    if incoming.get(&hello.from).is_some_and(|newest| Arc::ptr_eq(newest, &queue)) {
        incoming.remove(&hello.from);
    }
}
