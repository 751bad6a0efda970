//! Who is there? Hello, then Welcome or Refuse, each checked by whoever hears it.

use super::socket;
use super::{Context, Event};
use crate::consensus::types::{ClusterId, Incarnation, NodeId};
use crate::transport::LocalIdentity;
use crate::transport::wire::hello::{Code, HELLO_HEAD, Hello, Kind};
use crate::transport::wire::{PROTOCOL_MAX, PROTOCOL_MIN};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::io;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Why a dialed connection does not stand.
pub(super) enum Failure {
    /// Nobody answers, or nobody who speaks this protocol.
    Unreachable(String),
    /// Another node answers.
    WrongNode(NodeId),
    /// The other side refuses.
    Refused(Box<Hello>),
}

/// Lanes that are known.
const LANES: u16 = 2;

/// What this node says of itself to `to`. Whoever only asks who is there names no cluster: members of
/// all clusters answer that.
pub(super) fn introduce(identity: &LocalIdentity, kind: Kind, to: NodeId) -> Hello {
    let asks = kind == Kind::Hello && to.is_zero();
    let mut hello = Hello::new(kind);
    if !asks {
        hello.cluster = identity.cluster();
    }
    hello.from = identity.node;
    hello.incarnation = identity.incarnation();
    hello.to = to;
    hello.address = identity.address();
    hello
}

/// Refuses a Hello, in words for whoever runs the other node.
pub(super) fn refuse(identity: &LocalIdentity, hello: &Hello, code: Code, text: String) -> Hello {
    Hello { text, ..introduce(identity, Kind::Refuse(code), hello.from) }
}

/// Likewise because of a newer run or a twin.
pub(super) fn refuse_run(identity: &LocalIdentity, hello: &Hello, by: Incarnation) -> Hello {
    let text = format!("run {by} of node {} is newer than {}", hello.from, hello.incarnation);
    Hello { superseded_by: by, ..refuse(identity, hello, Code::Superseded, text) }
}

/// What this node has against a Hello, apart from what the hub knows.
pub(super) fn judge(identity: &LocalIdentity, hello: &Hello) -> Result<(), Box<Hello>> {
    let refuse = |code, text: String| Err(Box::new(refuse(identity, hello, code, text)));
    let (min, max) = hello.protocol;
    if min.max(PROTOCOL_MIN) > max.min(PROTOCOL_MAX) || hello.lane >= LANES {
        let text = format!(
            "this node speaks protocols {PROTOCOL_MIN} to {PROTOCOL_MAX} on {LANES} lanes, not {min} \
             to {max} on lane {}",
            hello.lane
        );
        return refuse(Code::Protocol, text);
    }
    if hello.auth != 0 {
        return refuse(Code::Authentication, "this node has no secret to check yours".to_owned());
    }
    let me = identity.node;
    if !hello.to.is_zero() && hello.to != me {
        return refuse(Code::WrongNode, format!("this is node {me}, not {}", hello.to));
    }
    let (theirs, ours) = (hello.cluster, identity.cluster());
    if !theirs.is_zero() && !ours.is_zero() && theirs != ours {
        let text = format!("node {me} is a member of cluster {ours}, not of {theirs}");
        return refuse(Code::OtherCluster, text);
    }
    Ok(())
}

/// Says Hello to `to` and hears the answer.
pub(super) async fn greet(
    context: &Context,
    stream: &TcpStream,
    to: NodeId,
) -> Result<Hello, Failure> {
    let lost = |e: io::Error| Failure::Unreachable(format!("the handshake failed: {e}"));
    let hello = introduce(&context.identity, Kind::Hello, to);
    write(context, stream, &hello).await.map_err(lost)?;
    let answer = read(stream).await.map_err(lost)?;
    match answer.kind {
        Kind::Hello => Err(Failure::Unreachable("it answers Hello with Hello".to_owned())),
        _ if !to.is_zero() && answer.from != to => Err(Failure::WrongNode(answer.from)),
        Kind::Refuse(_) => Err(Failure::Refused(Box::new(answer))),
        Kind::Welcome => check(context, to, answer).await,
    }
}

/// What was dialed is checked as whoever dials is. Who only asks who is there takes any cluster.
async fn check(context: &Context, to: NodeId, mut welcome: Hello) -> Result<Hello, Failure> {
    if to.is_zero() {
        welcome.cluster = ClusterId::ZERO;
    }
    match judge(&context.identity, &welcome) {
        Ok(()) => check_run(context, welcome).await,
        Err(reason) => Err(Failure::Unreachable(reason.text)),
    }
}

/// The hub knows whether a newer run of that node was seen.
async fn check_run(context: &Context, welcome: Hello) -> Result<Hello, Failure> {
    let (answer, reply) = oneshot::channel();
    let event = Event::Welcome { node: welcome.from, run: welcome.incarnation, answer };
    let sent = context.hub.send(event).await.is_ok();
    match reply.await {
        Ok(Ok(())) if sent => Ok(welcome),
        Ok(Err(by)) => {
            let text = format!("run {} answers, which {by} supersedes", welcome.incarnation);
            Err(Failure::Unreachable(text))
        }
        _ => Err(Failure::Unreachable("this node stops".to_owned())),
    }
}

pub(super) async fn write(context: &Context, stream: &TcpStream, hello: &Hello) -> io::Result<()> {
    let mut pieces = VecDeque::from([hello.encode()]);
    socket::write_all(stream, &mut pieces, context.options.handshake_timeout).await
}

/// Reads one handshake message and not a byte more.
pub(super) async fn read(stream: &TcpStream) -> io::Result<Hello> {
    let bad = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut bytes = BytesMut::with_capacity(256);
    socket::read_exact(stream, &mut bytes, HELLO_HEAD).await?;
    let head = bytes.first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    let len = Hello::len(head).map_err(bad)?;
    socket::read_exact(stream, &mut bytes, len - HELLO_HEAD).await?;
    Hello::decode(&bytes).map_err(bad)
}
