//! What an attacker does: each means is one connection, or many at once, with something wrong.

use quorate_engine::consensus::message::{Body, Message};
use quorate_engine::consensus::types::{ClusterId, Incarnation, NodeId};
use quorate_engine::transport::wire::hello::{Hello, Kind};
use quorate_engine::transport::wire::{self, Envelope};
use quorate_tests::fuzz::mutate::Mutator;
use quorate_tests::fuzz::{self, repair};
use quorate_tests::simulated_fs::Dice;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Who is attacked, and what is known of them.
#[derive(Clone)]
pub struct Victims {
    /// Address and id of each.
    pub nodes: Vec<(SocketAddr, u64)>,
    pub cluster: u64,
    /// The frames that each has sent.
    pub recorded: Vec<Vec<Vec<u8>>>,
}

/// One thread of the attack.
pub struct Attacker<'a> {
    victims: &'a Victims,
    pub dice: Dice,
    frames: &'a [Vec<u8>],
    hellos: &'a [Vec<u8>],
    /// Connections that were refused by the system; they don't count.
    pub failed: u64,
}

/// Patience with a victim that should answer or hang up.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections of a flood.
pub const FLOOD: u64 = 32;

impl<'a> Attacker<'a> {
    pub fn new(
        victims: &'a Victims,
        frames: &'a [Vec<u8>],
        hellos: &'a [Vec<u8>],
        seed: u64,
    ) -> Attacker<'a> {
        Attacker { victims, dice: Dice(seed), frames, hellos, failed: 0 }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.dice.below(limit as u64) as usize
    }

    /// Attacks once, or in a flood. Returns how many attacks that were.
    pub fn attack(&mut self) -> u64 {
        let at = self.below(self.victims.nodes.len());
        match self.below(100) {
            0 => return self.flood(at),
            1..20 => self.nonsense(at),
            20..50 => self.bad_hello(at),
            50..95 => self.stranger(at),
            _ => self.replay(at),
        }
        1
    }

    pub fn connect(&mut self, at: usize) -> Option<TcpStream> {
        let (address, _) = self.victims.nodes[at];
        let stream = TcpStream::connect_timeout(&address, PATIENCE).ok();
        self.failed += u64::from(stream.is_none());
        let stream = stream?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        reset_when_dropped(&stream);
        Some(stream)
    }

    /// Connects many times before the first is closed.
    fn flood(&mut self, at: usize) -> u64 {
        let all: Vec<_> = (0..FLOOD).filter_map(|_| self.connect(at)).collect();
        all.len() as u64
    }

    /// Bytes that begin like nothing, or nothing at all.
    fn nonsense(&mut self, at: usize) {
        let Some(mut stream) = self.connect(at) else { return };
        let mut bytes: Vec<u8> = (0..self.below(2000)).map(|_| self.dice.roll() as u8).collect();
        if self.below(4) == 0 {
            bytes = b"GET / HTTP/1.1\r\nHost: quorate\r\n\r\n".to_vec();
        }
        let _refused = stream.write_all(&bytes);
    }

    /// A good Hello from somebody who is no member.
    fn introduction(&mut self, at: usize) -> Hello {
        let from = NodeId(1 << 60 | self.dice.roll() >> 8);
        let cluster = match self.below(3) {
            0 => ClusterId::ZERO,
            _ => ClusterId(self.victims.cluster),
        };
        let to = NodeId(self.victims.nodes[at].1);
        let incarnation = Incarnation(1 << 40 | self.dice.roll() >> 24);
        Hello { from, cluster, to, incarnation, ..Hello::new(Kind::Hello) }
    }

    fn bad_hello(&mut self, at: usize) {
        let hello = self.introduction(at);
        let mut bytes = hello.encode().to_vec();
        match self.below(8) {
            0 => bytes.truncate(self.below(bytes.len())),
            1 => bytes = Hello { protocol: (7, 9), ..hello }.encode().to_vec(),
            2 => bytes = Hello { cluster: ClusterId(99), ..hello }.encode().to_vec(),
            3 => bytes = Hello { to: NodeId(99), ..hello }.encode().to_vec(),
            4 => bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes()),
            5 => {
                let at = self.below(bytes.len());
                bytes[at] ^= 1 << self.below(8);
            }
            6 => bytes = Hello { kind: Kind::Welcome, ..hello }.encode().to_vec(),
            _ => {
                let seed = self.dice.roll();
                bytes = Mutator::new(self.hellos, fuzz::wire::WORDS, seed).next_input();
                repair::hello(&mut bytes);
            }
        }
        self.say_and_wait(at, &bytes);
    }

    /// Writes, and hears what there is to hear.
    fn say_and_wait(&mut self, at: usize, bytes: &[u8]) {
        let Some(mut stream) = self.connect(at) else { return };
        if stream.write_all(bytes).is_ok() {
            let _silent = stream.shutdown(std::net::Shutdown::Write);
            let _nothing = stream.read(&mut [0; 512]);
        }
    }

    /// A handshake that is in order.
    pub fn greet(&mut self, at: usize, hello: &Hello) -> Option<TcpStream> {
        let mut stream = self.connect(at)?;
        stream.write_all(&hello.encode()).ok()?;
        (stream.read(&mut [0; 512]).ok()? > 0).then_some(stream)
    }

    /// A handshake that is in order, and frames that are not.
    fn stranger(&mut self, at: usize) {
        let hello = self.introduction(at);
        let Some(mut stream) = self.greet(at, &hello) else { return };
        let frames = self.bad_frames(at, &hello);
        if stream.write_all(&frames).is_ok() {
            let _silent = stream.shutdown(std::net::Shutdown::Write);
            while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
        }
    }

    fn bad_frames(&mut self, at: usize, hello: &Hello) -> Vec<u8> {
        let any = self.below(self.frames.len());
        let mut frame = self.of_stranger(&self.frames[any], at, hello);
        match self.below(8) {
            0 => frame.truncate(self.below(frame.len())),
            1 => frame[8..12].copy_from_slice(&u32::MAX.to_le_bytes()),
            2 => frame[12..16].copy_from_slice(&(8u32 << 20).to_le_bytes()),
            3 => {
                let at = self.below(frame.len());
                frame[at] ^= 1 << self.below(8);
            }
            4 => frame = self.frames[any].clone(),
            5 => frame = (0..300).map(|_| self.dice.roll() as u8).collect(),
            _ => {
                let seed = self.dice.roll();
                frame = Mutator::new(self.frames, fuzz::wire::WORDS, seed).next_input();
                repair::frame_lengths(&mut frame);
                frame = self.of_stranger(&frame, at, hello);
            }
        }
        // Without authentication a well-formed notice that a newer run is alive is believed: it is the
        // one message that anybody may send.
        let notice = |m: &Message| matches!(m.body, Body::Superseded(_));
        let believed =
            wire::decode(frame.clone().into()).is_ok_and(|f| f.messages.iter().any(notice));
        frame.truncate(if believed { 70 } else { frame.len() });
        frame
    }

    /// The frame, as if it came from whoever said that Hello, with good checksums. It names another
    /// cluster: without authentication a well-formed message that names this one is a member's.
    fn of_stranger(&self, frame: &[u8], at: usize, hello: &Hello) -> Vec<u8> {
        let mut frame = frame.to_vec();
        if frame.len() >= 64 {
            let ids = [
                !self.victims.cluster,
                hello.from.0,
                hello.incarnation.0,
                self.victims.nodes[at].1,
            ];
            for (slot, id) in frame[24..56].chunks_exact_mut(8).zip(ids) {
                slot.copy_from_slice(&id.to_le_bytes());
            }
            repair::frame(&mut frame);
        }
        frame
    }

    /// What a member said before, said again to anybody.
    fn replay(&mut self, at: usize) {
        let of = self.below(self.victims.nodes.len());
        let count = self.victims.recorded[of].len();
        let from = self.below(count);
        let frames = &self.victims.recorded[of][from..(from + 8).min(count)];
        let Ok(first) = wire::decode(frames[0].clone().into()) else { return };
        let Envelope { from, from_incarnation, .. } = first.envelope;
        let (cluster, to) = (ClusterId(self.victims.cluster), NodeId(self.victims.nodes[at].1));
        let hello =
            Hello { from, cluster, to, incarnation: from_incarnation, ..Hello::new(Kind::Hello) };
        if let Some(mut stream) = self.greet(at, &hello) {
            let _gone = stream.write_all(&frames.concat());
            let _silent = stream.shutdown(std::net::Shutdown::Write);
            while stream.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
        }
    }

    /// All but the last byte of the longest frame, from somebody new.
    pub fn nearly_all_of_a_long_frame(&mut self, at: usize) -> Option<TcpStream> {
        let hello = self.introduction(at);
        let mut stream = self.greet(at, &hello)?;
        let mut frame = vec![0; wire::FRAME_LIMIT];
        frame[12..16].copy_from_slice(&((wire::FRAME_LIMIT - 64) as u32).to_le_bytes());
        frame[22..24].copy_from_slice(&64u16.to_le_bytes());
        let frame = self.of_stranger(&frame, at, &hello);
        let _cut = stream.write_all(&frame[..frame.len() - 1]);
        Some(stream)
    }
}

/// Closing then leaves nothing behind that would keep the port for a minute.
fn reset_when_dropped(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = size_of_val(&linger) as libc::socklen_t;
    // SAFETY: the descriptor is open, and the kernel reads `len` bytes of a value of ours.
    let set = unsafe {
        let value = (&raw const linger).cast();
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, len)
    };
    assert_eq!(set, 0);
}
