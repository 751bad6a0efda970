//! One connection past its dial: handshakes, frames in, frames out.

use super::queue::Outbound;
use super::{IDLE_TIME, STALL_TIME, Shared};
use crate::consensus::types::{Incarnation, NodeId};
use crate::transport::Inbound;
use crate::transport::wire::hello::Hello;
use crate::transport::wire::{self, Frame, HEADER, Header};
use bytes::{Bytes, BytesMut};
use std::io::{self, IoSlice};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// Bytes of frames that are written in one go.
const WRITE_BYTES: usize = 1 << 20;
/// Pieces of one vectored write; the kernel takes 1,024 at most.
const WRITE_PIECES: usize = 512;

/// Sends a handshake.
pub async fn say(stream: &mut TcpStream, hello: &Hello) -> io::Result<()> {
    stream.write_all(&hello.encode()).await
}

/// Receives a handshake.
pub async fn hear(stream: &mut TcpStream) -> io::Result<Hello> {
    let mut first = [0; 12];
    stream.read_exact(&mut first).await?;
    let len = Hello::len_of(&first).map_err(invalid)?;
    let mut bytes = BytesMut::zeroed(len);
    bytes[..12].copy_from_slice(&first);
    stream.read_exact(&mut bytes[12..]).await?;
    Hello::decode(&bytes.freeze()).map_err(invalid)
}

fn invalid(error: wire::WireError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Carries frames both ways until either side ends, or nobody uses the connection.
pub async fn carry(stream: TcpStream, peer: &Hello, queue: &Outbound, shared: &Shared) {
    let (read, write) = stream.into_split();
    let limit = peer.agreed_limit();
    tokio::select! {
        _ = receive(read, peer.from, peer.incarnation, limit, shared) => {}
        _ = transmit(write, queue) => {}
    }
}

/// Hands up frames, as long as they are from the node and the run that said hello.
async fn receive(
    read: OwnedReadHalf,
    from: NodeId,
    incarnation: Incarnation,
    limit: usize,
    shared: &Shared,
) -> io::Result<()> {
    let mut read = BufReader::with_capacity(64 << 10, read);
    loop {
        let frame = read_frame(&mut read, limit).await?;
        let decoded = wire::decode(frame, limit).map_err(invalid)?;
        if (decoded.from, decoded.from_incarnation) != (from, incarnation) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let meant = decoded.to.is_zero() || decoded.to == shared.identity.node;
        if meant {
            shared.hand_up(Inbound::Frame(decoded));
        }
    }
}

async fn read_frame(read: &mut BufReader<OwnedReadHalf>, limit: usize) -> io::Result<Bytes> {
    let mut first = [0; HEADER];
    read.read_exact(&mut first).await?;
    let header = Header::parse(&first, limit).map_err(invalid)?;
    let mut frame = BytesMut::with_capacity(HEADER + header.rest());
    frame.extend_from_slice(&first);
    while frame.len() < HEADER + header.rest() {
        let missing = (HEADER + header.rest() - frame.len()) as u64;
        if (&mut *read).take(missing).read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}

/// Writes what waits, as much in one go as there is.
async fn transmit(mut write: OwnedWriteHalf, queue: &Outbound) -> io::Result<()> {
    loop {
        let frames = queue.take(WRITE_BYTES);
        if frames.is_empty() {
            timeout(IDLE_TIME, queue.filled()).await.map_err(|_| io::ErrorKind::TimedOut)?;
            continue;
        }
        let pieces: Vec<&Bytes> = frames.iter().flat_map(pieces_of).collect();
        write_pieces(&mut write, &pieces).await?;
    }
}

fn pieces_of(frame: &Frame) -> impl Iterator<Item = &Bytes> {
    std::iter::once(&frame.head).chain(&frame.data)
}

async fn write_pieces(write: &mut OwnedWriteHalf, pieces: &[&Bytes]) -> io::Result<()> {
    for some in pieces.chunks(WRITE_PIECES) {
        let mut slices: Vec<IoSlice<'_>> = some.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let written = timeout(STALL_TIME, write.write_vectored(rest));
            let written = written.await.map_err(|_| io::ErrorKind::TimedOut)??;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut rest, written);
        }
    }
    Ok(())
}
