//! A connection that stands: frames in, frames out, until one side has enough.

use super::queue::Drain;
use super::ration::{Part, Ration};
use super::runs::of_one_process;
use super::socket::{self, Stream, Turn, first};
use super::{Context, Event, UNFINISHED};
use crate::consensus::types::{Incarnation, NodeId};
use crate::transport::Inbound;
use crate::transport::wire::hello::Hello;
use crate::transport::wire::{self, Envelope, Frame, HEADER, WireError};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Small frames are read many at a time into a block of this size.
const BLOCK: usize = 64 << 10;
/// Larger frames are read straight into a buffer of their own.
const LARGE: usize = 16 << 10;

/// Why a connection ended.
pub(super) enum End {
    /// Nothing was sent for a while.
    Idle,
    /// Nobody wants it any more.
    Unwanted,
    /// The other side closed it, or takes nothing, or is gone.
    Lost,
    /// What came can't be what it should be.
    Broken(String),
}

/// The other side of a connection.
pub(super) struct Link {
    pub(super) stream: Stream,
    pub(super) node: NodeId,
    pub(super) run: Incarnation,
    frame_limit: usize,
}

impl Link {
    pub(super) fn new(stream: Stream, hello: &Hello) -> Link {
        let frame_limit = hello.frame_limit as usize;
        Link { stream, node: hello.from, run: hello.incarnation, frame_limit }
    }

    /// Reads and writes until the end. With `idle`, a connection over which nothing is sent for so long
    /// ends too.
    pub(super) async fn run(
        &self,
        context: &Context,
        drain: &mut Drain,
        idle: Option<Duration>,
    ) -> End {
        first(self.write(context, drain, idle), self.read(context)).await
    }

    async fn write(&self, context: &Context, drain: &mut Drain, idle: Option<Duration>) -> End {
        loop {
            let more = match idle {
                Some(idle) => timeout(idle, drain.wait()).await,
                None => Ok(drain.wait().await),
            };
            match more {
                Err(_) => return End::Idle,
                Ok(false) => return End::Unwanted,
                Ok(true) => {}
            }
            let frames = drain.take();
            let bytes = frames.iter().map(Frame::len).sum();
            let mut pieces = self.pieces(context, frames);
            let stall = context.options.stall_timeout;
            let written = socket::write_all(&self.stream, &mut pieces, stall).await;
            drain.done(bytes);
            if written.is_err() {
                return End::Lost;
            }
        }
    }

    /// What there is to write, without the frames that the other side would not take.
    fn pieces(&self, context: &Context, frames: Vec<Frame>) -> VecDeque<Bytes> {
        let mut pieces = VecDeque::new();
        for frame in frames {
            if frame.len() > self.frame_limit {
                context.lose(1);
                continue;
            }
            pieces.push_back(frame.head);
            pieces.extend(frame.data);
        }
        pieces
    }

    async fn read(&self, context: &Context) -> End {
        let (stall, ration) = (context.options.stall_timeout, Arc::clone(&context.unfinished));
        let mut reader = FrameReader::new(stall, ration);
        let mut run = self.run;
        loop {
            let frame = match reader.next(&self.stream).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return End::Lost,
                Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                    return End::Broken(e.to_string());
                }
                Err(_) => return End::Lost,
            };
            if let Err(text) = self.deliver(context, &mut run, frame) {
                return End::Broken(text);
            }
        }
    }

    /// Hands a frame up, if it is from whom it must be. `run` is the newest one of the other side.
    fn deliver(
        &self,
        context: &Context,
        run: &mut Incarnation,
        frame: Bytes,
    ) -> Result<(), String> {
        let frame = wire::decode(frame).map_err(|error| error.to_string())?;
        let Envelope { from, from_incarnation, to, .. } = frame.envelope;
        if from != self.node || !of_one_process(from_incarnation, self.run) {
            return Err(format!(
                "a frame of node {from} {from_incarnation} came over the connection of node {} {}",
                self.node, self.run
            ));
        }
        if from_incarnation.counter() > run.counter() {
            *run = from_incarnation;
            let _full = context.hub.try_send(Event::NewRun { node: from, run: *run });
        }
        let for_me = to.is_zero() || to == context.identity.node;
        if for_me && from_incarnation == *run {
            context.hand_up(Inbound::Frame(frame));
        }
        Ok(())
    }
}

/// Cuts the stream into frames. Each gets a buffer of its own size, because the payloads in it live on
/// in the log: a slice of a shared block would keep all of that block in memory.
struct FrameReader {
    block: BytesMut,
    large: Option<Large>,
    ration: Arc<Ration>,
    stall: Duration,
    turn: Turn,
}

/// A frame that is longer than a block takes.
struct Large {
    buffer: BytesMut,
    len: usize,
    part: Part,
}

impl Large {
    /// Reads on, unless others need the room.
    async fn read(&mut self, stream: &TcpStream, stall: Duration) -> io::Result<usize> {
        let missing = self.len - self.buffer.len();
        let mut buffer = (&mut self.buffer).limit(missing);
        let lost = async {
            self.part.is_lost().await;
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a long frame was not finished, and others came since",
            ))
        };
        socket::first(socket::read_some(stream, &mut buffer, Some(stall)), lost).await
    }
}

impl FrameReader {
    fn new(stall: Duration, ration: Arc<Ration>) -> FrameReader {
        let block = BytesMut::with_capacity(BLOCK);
        FrameReader { block, large: None, ration, stall, turn: Turn::new() }
    }

    /// The next frame, whole but unchecked. `None`: the other side is done.
    async fn next(&mut self, stream: &TcpStream) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(frame) = self.cut()? {
                return Ok(Some(frame));
            }
            let read = match &mut self.large {
                Some(large) => large.read(stream, self.stall).await?,
                None => {
                    let stall = (!self.block.is_empty()).then_some(self.stall);
                    let room = self.room();
                    socket::read_some(stream, &mut (&mut self.block).limit(room), stall).await?
                }
            };
            if read == 0 {
                return Ok(None);
            }
            self.turn.spend(read).await;
        }
    }

    /// How much the block takes, after it was tidied up if that is little.
    fn room(&mut self) -> usize {
        if self.block.capacity() - self.block.len() < LARGE {
            self.block.reserve(BLOCK - self.block.len());
        }
        self.block.capacity() - self.block.len()
    }

    fn cut(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(large) = self.large.take_if(|large| large.buffer.len() == large.len) {
            return Ok(Some(large.buffer.freeze()));
        }
        let Some(head) = self.block.first_chunk::<HEADER>().filter(|_| self.large.is_none()) else {
            return Ok(None);
        };
        let bad = |error: WireError| io::Error::new(io::ErrorKind::InvalidData, error);
        let len = wire::frame_len(head, wire::FRAME_LIMIT).map_err(bad)?;
        if self.block.len() >= len {
            let frame = Bytes::copy_from_slice(&self.block[..len]);
            self.block.advance(len);
            return Ok(Some(frame));
        }
        if len > LARGE {
            let mut buffer = BytesMut::with_capacity(len);
            buffer.put_slice(&self.block);
            self.block.clear();
            let part = self.ration.take(len, UNFINISHED);
            self.large = Some(Large { buffer, len, part });
        }
        Ok(None)
    }
}
