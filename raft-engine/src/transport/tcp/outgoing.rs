//! Connections that this node opens, and opens again.

use super::connection::{carry, hear, say};
use super::queue::Outbound;
use super::{HANDSHAKE_TIME, IDLE_TIME, Shared, is_private_enough, lock};
use crate::consensus::types::NodeId;
use crate::transport::Inbound;
use crate::transport::wire::hello::{Hello, Kind, RefuseCode};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The first pause after a dial that failed, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A node that is dialed.
pub struct Outgoing {
    /// Who is wanted; 0 = whoever is there.
    pub to: NodeId,
    /// Where.
    pub address: String,
    /// What waits for it.
    pub queue: Outbound,
}

/// How a connection, or the try, ended.
enum End {
    /// It was open.
    Closed,
    /// It never was.
    Failed(Inbound),
}

impl Outgoing {
    /// Nothing is sent yet.
    pub fn new(to: NodeId, address: &str) -> Outgoing {
        Outgoing { to, address: address.to_owned(), queue: Outbound::default() }
    }
}

/// Keeps a connection as long as there is something to send.
pub async fn keep(peer: Arc<Outgoing>, shared: Arc<Shared>) {
    let mut pause = FIRST_PAUSE;
    while timeout(IDLE_TIME, peer.queue.filled()).await.is_ok() {
        match connect(&peer, &shared).await {
            End::Closed => pause = FIRST_PAUSE,
            End::Failed(why) => {
                shared.hand_up(why);
                peer.queue.clear();
                tokio::select! {
                    () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                    () = peer.queue.is_up() => pause = FIRST_PAUSE,
                }
            }
        }
    }
    let mut outgoing = lock(&shared.outgoing);
    if peer.queue.is_empty() {
        outgoing.remove(&(peer.to, peer.address.clone()));
    }
}

/// Dials, introduces this node, and carries frames while it lasts.
async fn connect(peer: &Outgoing, shared: &Shared) -> End {
    let failed = |error: io::Error| {
        let text = format!("{} can't be reached: {error}", peer.address);
        End::Failed(Inbound::Unreachable { address: peer.address.clone(), text })
    };
    let met = match timeout(HANDSHAKE_TIME, meet(peer, shared)).await {
        Err(_) => return failed(io::ErrorKind::TimedOut.into()),
        Ok(Err(error)) => return failed(error),
        Ok(Ok(met)) => met,
    };
    let (stream, answer) = met;
    match answer.kind {
        Kind::Welcome if peer.to.is_zero() || answer.from == peer.to => {
            carry(stream, &answer, &peer.queue, shared).await;
            End::Closed
        }
        Kind::Welcome | Kind::Refuse(RefuseCode::WrongNode) => End::Failed(Inbound::WrongNode {
            address: peer.address.clone(),
            wanted: peer.to,
            found: answer.from,
        }),
        Kind::Hello | Kind::Refuse(_) => {
            End::Failed(Inbound::Refused { address: peer.address.clone(), text: answer.text })
        }
    }
}

async fn meet(peer: &Outgoing, shared: &Shared) -> io::Result<(TcpStream, Hello)> {
    let address = resolve(&peer.address).await?;
    if !shared.insecure && !is_private_enough(address.ip()) {
        let text =
            "not a loopback address, and plain text is allowed there only with insecure = on";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    say(&mut stream, &shared.hello(Kind::Hello, peer.to, "")).await?;
    let answer = hear(&mut stream).await?;
    Ok((stream, answer))
}

/// An address of numbers is what it is; a name is asked for.
async fn resolve(address: &str) -> io::Result<SocketAddr> {
    if let Ok(address) = address.parse() {
        return Ok(address);
    }
    let mut found = tokio::net::lookup_host(address).await?;
    found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such host"))
}
