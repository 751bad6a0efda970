//! Bytes in and out of a socket: without copies, without SIGPIPE, and without keeping other tasks from
//! their turn. To close a descriptor is not enough to end what it stands for: a child of a fork may have
//! it open too, and keep the port, or the other side waiting.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::io::IoSlice;
use std::net::Shutdown;
use std::ops::Deref;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// The kernel takes no more pieces at a time (UIO_MAXIOV).
const PIECES: usize = 1024;
/// After so many bytes the other tasks have a turn.
const TURN: usize = 1 << 20;

/// A connection, which ends when this is dropped.
pub(super) struct Stream(TcpStream);

impl Deref for Stream {
    type Target = TcpStream;

    fn deref(&self) -> &TcpStream {
        &self.0
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.0).shutdown(Shutdown::Both); // the other side may have ended it
    }
}

/// A listener, which gives its port free when this is dropped.
pub(super) struct Listener(pub(super) TcpListener);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = SockRef::from(&self.0).shutdown(Shutdown::Read); // closing comes next in any case
    }
}

/// Small frames go out at once, and a peer that is gone without a word is noticed.
pub(super) fn prepare(stream: TcpStream) -> io::Result<Stream> {
    let stream = Stream(stream);
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    SockRef::from(&stream.0).set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}

/// Writes all of it, as many pieces at a time as the kernel takes.
pub(super) async fn write_all(
    stream: &TcpStream,
    pieces: &mut VecDeque<Bytes>,
    stall: Duration,
) -> io::Result<()> {
    let mut turn = 0;
    while !pieces.is_empty() {
        match stream.try_io(Interest::WRITABLE, || write_some(stream, pieces)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                advance(pieces, written);
                turn += written;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                timeout(stall, stream.writable())
                    .await
                    .map_err(|_| stalled("takes no bytes"))??;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if turn >= TURN {
            turn = 0;
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// tokio's own vectored write is a writev, which raises SIGPIPE in the host if its thread lets it.
fn write_some(stream: &TcpStream, pieces: &VecDeque<Bytes>) -> io::Result<usize> {
    let slices: Vec<_> = pieces.iter().take(PIECES).map(|piece| IoSlice::new(piece)).collect();
    SockRef::from(stream).send_vectored_with_flags(&slices, libc::MSG_NOSIGNAL)
}

fn advance(pieces: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = pieces.front_mut() {
        if written < first.len() {
            first.advance(written);
            return;
        }
        written -= first.len();
        pieces.pop_front();
    }
}

/// Waits for bytes; with `Some`, no longer than that. `Ok(0)`: there will be none.
pub(super) async fn read_some<B: BufMut>(
    stream: &TcpStream,
    buffer: &mut B,
    stall: Option<Duration>,
) -> io::Result<usize> {
    loop {
        match stream.try_read_buf(buffer) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => match stall {
                None => stream.readable().await?,
                Some(stall) => {
                    let ready = timeout(stall, stream.readable()).await;
                    ready.map_err(|_| stalled("stopped in the middle of a frame"))??;
                }
            },
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn stalled(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// Reads exactly so many bytes more.
pub(super) async fn read_exact(
    stream: &TcpStream,
    buffer: &mut BytesMut,
    bytes: usize,
) -> io::Result<()> {
    let end = buffer.len() + bytes;
    while buffer.len() < end {
        let missing = end - buffer.len();
        if read_some(stream, &mut (&mut *buffer).limit(missing), None).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Lets others have a turn after many bytes were read without a pause.
pub(super) struct Turn(usize);

impl Turn {
    pub(super) fn new() -> Turn {
        Turn(0)
    }

    pub(super) async fn spend(&mut self, bytes: usize) {
        self.0 += bytes;
        if self.0 >= TURN {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// Runs both until one ends, in one task.
pub(super) async fn first<T>(a: impl Future<Output = T>, b: impl Future<Output = T>) -> T {
    let (mut a, mut b) = (pin!(a), pin!(b));
    std::future::poll_fn(|cx| match a.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => b.as_mut().poll(cx),
    })
    .await
}
