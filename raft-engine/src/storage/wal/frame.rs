//! One frame: all that one sync makes durable, as bytes.
//!
//! `0 crc u32 | 4 control_len u32 | 8 seq u64 | 16 previous crc u32 | 20 data_len u32 | 24 ops u16 |
//! 26 flags u16 | 28 zero u32 | control | data`, at a multiple of 8. The crc covers the segment's salt,
//! the frame's offset, bytes 4..32 and the control; the control holds the crc of each payload; so a
//! frame verifies only as a whole, and only in its place.

use crate::consensus::types::{Index, Term};
use crate::storage::integers::{u16_at, u32_at, u64_at};

/// Bytes before the control.
pub(super) const HEAD: usize = 32;
/// Bytes before the body of an op.
const OP_HEAD: usize = 16;
/// Bytes of a run before its table.
const RUN_HEAD: usize = 24;

/// What a run's table, and all before it, takes in the control.
pub(super) const RUN_BYTES: usize = OP_HEAD + RUN_HEAD;
/// What each entry takes in the control.
pub(super) const ENTRY_BYTES: usize = 8;

const RUN: u8 = 1;
const TRUNCATE: u8 = 2;
const COMMIT_HINT: u8 = 3;
const LINK: u8 = 4;
const COMPACT: u8 = 6;

/// What the first frame of a segment says about the segment before: that one ended there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Link {
    /// The segment that was written before; 0 = none.
    pub segment: u64,
    /// Where it ended.
    pub end: u64,
    /// The last frame in it, or before.
    pub seq: u64,
    /// The crc of that frame.
    pub crc: u32,
}

/// Entries of one term, each with the length and crc of its payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Run<'a> {
    pub first: Index,
    pub term: Term,
    pub count: u32,
    /// `(len u32, crc u32)` for each entry.
    table: &'a [u8],
}

impl<'a> Run<'a> {
    /// Length and crc of each payload.
    pub fn entries(&self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        self.table.chunks_exact(ENTRY_BYTES).map(|e| (u32_at(e, 0), u32_at(e, 4)))
    }
}

/// One step of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Op<'a> {
    Run(Run<'a>),
    /// Removes everything after this index.
    Truncate(Index),
    /// Everything up to here was committed.
    CommitHint(Index),
    Link(Link),
    /// Removes everything up to this index, which is of that term.
    Compact(Index, Term),
}

/// The fixed part of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    pub crc: u32,
    pub control_len: u32,
    pub seq: u64,
    pub previous: u32,
    pub data_len: u32,
    ops: u16,
    flags: u16,
}

impl Header {
    pub fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..HEAD)?;
        Some(Header {
            crc: u32_at(bytes, 0),
            control_len: u32_at(bytes, 4),
            seq: u64_at(bytes, 8),
            previous: u32_at(bytes, 16),
            data_len: u32_at(bytes, 20),
            ops: u16_at(bytes, 24),
            flags: u16_at(bytes, 26),
        })
    }

    /// Header and control.
    pub fn head_len(&self) -> u64 {
        HEAD as u64 + u64::from(self.control_len)
    }

    /// The whole frame with what pads it.
    pub fn frame_len(&self) -> u64 {
        (self.head_len() + u64::from(self.data_len)).next_multiple_of(8)
    }

    /// Whether `head`, header and control, is as it was written at that place.
    pub fn verifies(&self, head: &[u8], salt: u64, offset: u64) -> bool {
        crc_of(salt, offset, head) == self.crc
    }
}

/// Why bytes are no frame that can be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Flaw {
    /// Not what was written, or nothing was.
    Broken,
    /// Intact, and of a later version.
    Unknown,
}

/// A frame that verifies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub header: Header,
    control: &'a [u8],
    data: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at `offset` of a segment whose bytes are given, if it and all its payloads verify.
    pub fn verify(segment: &'a [u8], salt: u64, offset: u64) -> Result<Frame<'a>, Flaw> {
        let header = verify_head(segment, salt, offset).ok_or(Flaw::Broken)?;
        let (head, rest) = segment[offset as usize..].split_at(header.head_len() as usize);
        let data = rest.get(..header.data_len as usize).ok_or(Flaw::Broken)?;
        let frame = Frame { header, control: &head[HEAD..], data };
        check_ops(&header, frame.control)?;
        if frame.payloads_verify() { Ok(frame) } else { Err(Flaw::Broken) }
    }

    fn payloads_verify(&self) -> bool {
        let mut rest = self.data;
        self.ops().all(|op| match op {
            Op::Run(run) => run.entries().all(|(len, crc)| {
                let Some((payload, tail)) = rest.split_at_checked(len as usize) else {
                    return false;
                };
                rest = tail;
                crc32c::crc32c(payload) == crc || mutant!("g3_payload_is_not_verified")
            }),
            _ => true,
        }) && rest.is_empty()
    }

    /// What the frame does, in order.
    pub fn ops(&self) -> impl Iterator<Item = Op<'a>> + use<'a> {
        steps(self.control).map_while(Result::ok)
    }

    /// The payloads, one after the other.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The link, if the frame begins with one.
    pub fn link(&self) -> Option<Link> {
        match self.ops().next() {
            Some(Op::Link(link)) => Some(link),
            _ => None,
        }
    }
}

/// The header of the frame at `offset`, if it and the control verify; the payloads are not looked at.
pub(super) fn verify_head(segment: &[u8], salt: u64, offset: u64) -> Option<Header> {
    let bytes = segment.get(usize::try_from(offset).ok()?..)?;
    let header = Header::decode(bytes)?;
    let head = bytes.get(..usize::try_from(header.head_len()).ok()?)?;
    header.verifies(head, salt, offset).then_some(header)
}

/// Whether this version knows everything that an intact control says.
pub(super) fn check_ops(header: &Header, control: &[u8]) -> Result<(), Flaw> {
    let mut count = 0;
    for op in steps(control) {
        op?;
        count += 1;
    }
    let fits = header.flags == 0 && count == usize::from(header.ops);
    if fits { Ok(()) } else { Err(Flaw::Unknown) }
}

/// The steps of a control, up to the first that this version does not know.
pub(super) fn steps(control: &[u8]) -> impl Iterator<Item = Result<Op<'_>, Flaw>> {
    Ops { rest: control }
}

struct Ops<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Ops<'a> {
    type Item = Result<Op<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let op = take_op(&mut self.rest).unwrap_or(Err(Flaw::Unknown));
        if op.is_err() {
            self.rest = &[];
        }
        Some(op)
    }
}

fn take_op<'a>(rest: &mut &'a [u8]) -> Option<Result<Op<'a>, Flaw>> {
    let (head, tail) = rest.split_at_checked(OP_HEAD)?;
    let len = u32_at(head, 4) as usize;
    let (body, tail) = tail.split_at_checked(len.next_multiple_of(8))?;
    *rest = tail;
    let (flags, group) = (head[1], u64_at(head, 8));
    if flags != 0 || group != 0 {
        return Some(Err(Flaw::Unknown));
    }
    decode_op(head[0], &body[..len])
}

fn decode_op(kind: u8, body: &[u8]) -> Option<Result<Op<'_>, Flaw>> {
    let op = match (kind, body.len()) {
        (RUN, RUN_HEAD..) => {
            let (head, table) = body.split_at(RUN_HEAD);
            let (first, count) = (u64_at(head, 0), u32_at(head, 16));
            let sane = count > 0 && first > 0 && first.checked_add(u64::from(count)).is_some();
            if !sane || table.len() != count as usize * ENTRY_BYTES {
                return None;
            }
            Op::Run(Run { first: Index(first), term: Term(u64_at(head, 8)), count, table })
        }
        (TRUNCATE, 8) => Op::Truncate(Index(u64_at(body, 0))),
        (COMMIT_HINT, 8) => Op::CommitHint(Index(u64_at(body, 0))),
        (LINK, 32) => Op::Link(Link {
            segment: u64_at(body, 0),
            end: u64_at(body, 8),
            seq: u64_at(body, 16),
            crc: u32_at(body, 24),
        }),
        (COMPACT, 16) => Op::Compact(Index(u64_at(body, 0)), Term(u64_at(body, 8))),
        _ => return None,
    };
    Some(Ok(op))
}

/// Builds header and control of one frame after another, in memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    ops: u16,
    data_len: u32,
    table: usize,
}

impl Builder {
    /// Begins a frame.
    pub fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEAD, 0);
        (self.ops, self.data_len) = (0, 0);
    }

    fn op(&mut self, kind: u8, fields: &[u64]) {
        self.bytes.extend_from_slice(&u64::from(kind).to_le_bytes());
        let len = fields.len() as u32 * 8;
        let head = self.bytes.len() - 8;
        self.bytes[head + 4..].copy_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&0u64.to_le_bytes());
        for field in fields {
            self.bytes.extend_from_slice(&field.to_le_bytes());
        }
        self.ops += 1;
    }

    pub fn link(&mut self, link: &Link) {
        self.op(LINK, &[link.segment, link.end, link.seq, u64::from(link.crc)]);
    }

    pub fn truncate(&mut self, keep_to: Index) {
        self.op(TRUNCATE, &[keep_to.0]);
    }

    pub fn compact(&mut self, last: Index, last_term: Term) {
        self.op(COMPACT, &[last.0, last_term.0]);
    }

    pub fn commit_hint(&mut self, index: Index) {
        self.op(COMMIT_HINT, &[index.0]);
    }

    /// Begins a run; its entries follow.
    pub fn run(&mut self, first: Index, term: Term) {
        self.op(RUN, &[first.0, term.0, 0]);
        self.table = self.bytes.len();
    }

    /// Adds an entry to the run.
    pub fn entry(&mut self, len: u32, crc: u32) {
        self.bytes.extend_from_slice(&(u64::from(crc) << 32 | u64::from(len)).to_le_bytes());
        self.data_len += len;
    }

    /// Ends the run: only now its length is known.
    pub fn end_run(&mut self) {
        let bytes = self.bytes.len() - self.table;
        let body = self.table - RUN_HEAD;
        let len = (RUN_HEAD + bytes) as u32;
        let count = (bytes / ENTRY_BYTES) as u32;
        self.bytes[body - OP_HEAD + 4..body - OP_HEAD + 8].copy_from_slice(&len.to_le_bytes());
        self.bytes[body + 16..body + 20].copy_from_slice(&count.to_le_bytes());
    }

    /// Header and control of the frame `seq` at its place, and the frame's crc.
    pub fn finish(&mut self, seq: u64, previous: u32, salt: u64, offset: u64) -> (&[u8], u32) {
        let control_len = (self.bytes.len() - HEAD) as u32;
        self.bytes[4..8].copy_from_slice(&control_len.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&seq.to_le_bytes());
        self.bytes[16..20].copy_from_slice(&previous.to_le_bytes());
        self.bytes[20..24].copy_from_slice(&self.data_len.to_le_bytes());
        self.bytes[24..26].copy_from_slice(&self.ops.to_le_bytes());
        let crc = crc_of(salt, offset, &self.bytes);
        self.bytes[..4].copy_from_slice(&crc.to_le_bytes());
        (&self.bytes, crc)
    }
}

fn crc_of(salt: u64, offset: u64, head: &[u8]) -> u32 {
    let mut place = [0; 16];
    if !mutant!("g8_salt_is_not_covered") {
        place[..8].copy_from_slice(&salt.to_le_bytes());
    }
    place[8..].copy_from_slice(&offset.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), &head[4..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 0x1122_3344_5566_7788;

    /// A frame at offset 8 with every op, two runs, and payloads "a", "bc" and "".
    fn sample() -> Vec<u8> {
        let mut builder = Builder::default();
        builder.begin();
        builder.link(&Link { segment: 3, end: 4096, seq: 6, crc: 0xaabb_ccdd });
        builder.truncate(Index(9));
        builder.compact(Index(4), Term(1));
        for (first, term, payloads) in [(10, 2, &[&b"a"[..], b"bc"][..]), (12, 3, &[b""])] {
            builder.run(Index(first), Term(term));
            for payload in payloads {
                builder.entry(payload.len() as u32, crc32c::crc32c(payload));
            }
            builder.end_run();
        }
        builder.commit_hint(Index(8));
        let (head, _) = builder.finish(7, 0xaabb_ccdd, SALT, 8);
        let mut bytes = vec![0; 8];
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(b"abc");
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn a_frame_survives_its_encoding() {
        let bytes = sample();
        let frame = Frame::verify(&bytes, SALT, 8).expect("verifies");
        assert_eq!(8 + frame.header.frame_len(), bytes.len() as u64);
        assert_eq!((frame.header.seq, frame.data()), (7, &b"abc"[..]));
        assert_eq!(frame.link().expect("a link").seq, 6);
        let all: Vec<Op<'_>> = frame.ops().collect();
        assert_eq!(all[1], Op::Truncate(Index(9)));
        assert_eq!(all[2], Op::Compact(Index(4), Term(1)));
        let Op::Run(run) = all[3] else { panic!("a run") };
        assert_eq!((run.first, run.term, run.count), (Index(10), Term(2), 2));
        assert_eq!(run.entries().map(|(len, _)| len).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(all[5], Op::CommitHint(Index(8)));
    }

    #[test]
    fn no_byte_can_change_and_no_place() {
        let good = sample();
        for at in 8..good.len() - 5 {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(Frame::verify(&bad, SALT, 8).is_err(), "byte {at}");
        }
        assert!(Frame::verify(&good, SALT + 1, 8).is_err());
        assert!(Frame::verify(&good[8..], SALT, 0).is_err());
        for len in 0..good.len() - 5 {
            assert!(Frame::verify(&good[..len], SALT, 8).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn what_a_later_version_wrote_is_told_from_damage() {
        let mut builder = Builder::default();
        builder.begin();
        builder.op(99, &[1]);
        let bytes = builder.finish(1, 0, SALT, 0).0.to_vec();
        assert_eq!(Frame::verify(&bytes, SALT, 0).expect_err("unknown"), Flaw::Unknown);
        assert_eq!(Frame::verify(&[0; 64], SALT, 0).expect_err("nothing"), Flaw::Broken);
    }

    #[test]
    fn the_golden_bytes_of_a_frame() {
        let mut builder = Builder::default();
        builder.begin();
        builder.link(&Link { segment: 0, end: 0, seq: 0, crc: 0 });
        builder.run(Index(1), Term(1));
        builder.entry(5, crc32c::crc32c(b"hello"));
        builder.end_run();
        builder.commit_hint(Index(1));
        let (head, crc) = builder.finish(1, 0, SALT, 4096);
        let hex: String = head.iter().map(|b| format!("{b:02x}")).collect();
        let golden = concat!(
            "ce166d6278000000010000000000000000000000050000000300000000000000",
            "0400000020000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000001000000200000000000000000000000",
            "010000000000000001000000000000000100000000000000050000004cbb719a",
            "030000000800000000000000000000000100000000000000",
        );
        assert_eq!((hex.as_str(), crc), (golden, 0x626d_16ce));
    }
}
