//! The handshake of a connection: Hello from whoever dials, then Welcome or Refuse. All three have one
//! layout, so that the one who is refused learns who refuses.

use super::fields::{Fields, put_tlv, tlvs};
use super::numbers::tag;
use super::{FRAME_LIMIT, HEADER, PROTOCOL_MAX, PROTOCOL_MIN, WireError};
use crate::consensus::types::{ClusterId, Incarnation, NodeId};
use bytes::{BufMut, Bytes, BytesMut};

/// The most that a handshake message may take.
pub const HELLO_LIMIT: usize = 64 << 10;
/// Bytes that say how long a handshake message is.
pub const HELLO_HEAD: usize = 16;

const MAGIC: [u8; 4] = *b"QRHI";
const FIXED: u16 = 128;
const TEXT_LIMIT: usize = 4096;

/// What a handshake message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The first one on a connection, by whoever dials.
    Hello,
    /// The connection stands.
    Welcome,
    /// It does not.
    Refuse(Code),
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u16)]
pub enum Code {
    /// Another node than the wanted one is here.
    WrongNode = 1,
    /// The two are members of different clusters.
    OtherCluster = 2,
    /// A newer run with that identity is alive, or a twin of it.
    Superseded = 3,
    /// No common protocol.
    Protocol = 4,
    /// The proof of identity is missing, wrong, or of an unknown kind.
    Authentication = 5,
    /// Too many connections.
    Busy = 6,
    /// A reason of a later version.
    Other = 65535,
}

impl Code {
    fn from_number(number: u16) -> Code {
        let all = [
            Code::WrongNode,
            Code::OtherCluster,
            Code::Superseded,
            Code::Protocol,
            Code::Authentication,
            Code::Busy,
        ];
        all.into_iter().find(|code| *code as u16 == number).unwrap_or(Code::Other)
    }
}

/// A handshake message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// Which of the three.
    pub kind: Kind,
    /// The oldest and the newest protocol that the sender speaks.
    pub protocol: (u16, u16),
    /// 0: control and appends; 1: bulk.
    pub lane: u16,
    /// How the sender proves who it is: 0 = not at all.
    pub auth: u16,
    /// The sender's cluster; 0 = none, or no matter.
    pub cluster: ClusterId,
    /// The sender.
    pub from: NodeId,
    /// The run of the sender.
    pub incarnation: Incarnation,
    /// Who is meant; 0 = whoever is there.
    pub to: NodeId,
    /// The longest frame that the sender takes.
    pub frame_limit: u32,
    /// The oldest and the newest state-machine version; 0 until there are some.
    pub state_machine: (u32, u32),
    /// With `Code::Superseded`: the run that the receiver is superseded by.
    pub superseded_by: Incarnation,
    /// Where the others reach the sender; may be empty.
    pub address: String,
    /// With a refusal: why, for people.
    pub text: String,
}

impl Hello {
    /// A message of this version with nothing in it.
    #[must_use]
    pub fn new(kind: Kind) -> Hello {
        Hello {
            kind,
            protocol: (PROTOCOL_MIN, PROTOCOL_MAX),
            lane: 0,
            auth: 0,
            cluster: ClusterId::ZERO,
            from: NodeId::ZERO,
            incarnation: Incarnation::ZERO,
            to: NodeId::ZERO,
            frame_limit: FRAME_LIMIT as u32,
            state_machine: (0, 0),
            superseded_by: Incarnation::ZERO,
            address: String::new(),
            text: String::new(),
        }
    }

    /// The message as bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (kind, code) = match self.kind {
            Kind::Hello => (1, 0),
            Kind::Welcome => (2, 0),
            Kind::Refuse(code) => (3, code as u16),
        };
        let mut out = BytesMut::with_capacity(256);
        out.put_slice(&MAGIC);
        out.put_u64_le(0); // checksum and length follow
        out.put_u16_le(kind);
        out.put_u16_le(FIXED);
        for n in [self.protocol.0, self.protocol.1, self.lane, self.auth] {
            out.put_u16_le(n);
        }
        for id in [self.cluster.0, self.from.0, self.incarnation.0, self.to.0] {
            out.put_u64_le(id);
        }
        out.put_u32_le(self.frame_limit);
        out.put_u16_le(code);
        out.put_u16_le(0);
        out.put_u32_le(self.state_machine.0);
        out.put_u32_le(self.state_machine.1);
        out.put_u64_le(self.superseded_by.0);
        out.put_bytes(0, 64); // nonce and proof
        put_tlv(&mut out, tag::ADDRESS, self.address.as_bytes());
        put_tlv(&mut out, tag::TEXT, self.text.as_bytes());
        let len = (out.len() as u32).to_le_bytes();
        out[8..12].copy_from_slice(&len);
        let crc = crc32c::crc32c(&out[8..]).to_le_bytes();
        out[4..8].copy_from_slice(&crc);
        out.freeze()
    }

    /// How long the message is that begins with these bytes.
    ///
    /// # Errors
    /// When none begins so.
    pub fn len(head: &[u8; HELLO_HEAD]) -> Result<usize, WireError> {
        if head[..4] != MAGIC {
            return Err(WireError::NoFrame);
        }
        let len = Fields::new(&head[8..]).u32();
        let fits = (HEADER..=HELLO_LIMIT).contains(&(len as usize));
        let too_large = WireError::TooLarge { len: u64::from(len), limit: HELLO_LIMIT };
        if fits { Ok(len as usize) } else { Err(too_large) }
    }

    /// Reads a whole message.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Hello, WireError> {
        let head = bytes.first_chunk().ok_or(WireError::Short)?;
        if Hello::len(head)? != bytes.len() {
            return Err(WireError::Short);
        }
        if crc32c::crc32c(&bytes[8..]) != Fields::new(&bytes[4..]).u32() {
            return Err(WireError::HeaderChecksum);
        }
        let mut head = Fields::new(&bytes[12..]);
        let (kind, fixed_len) = (head.u16(), usize::from(head.u16()));
        let broken = WireError::Malformed("the length of a handshake");
        let ext = bytes.get(HELLO_HEAD + fixed_len..).filter(|_| fixed_len % 8 == 0);
        let fixed = Fields::new(&bytes[HELLO_HEAD..][..fixed_len.min(bytes.len() - HELLO_HEAD)]);
        let mut hello = Hello::fixed(kind, fixed)?;
        for tlv in tlvs(ext.ok_or(broken)?) {
            let tlv = tlv?;
            match tlv.tag {
                tag::ADDRESS => hello.address = tlv.text(TEXT_LIMIT, "an address")?.to_owned(),
                tag::TEXT => hello.text = tlv.text(TEXT_LIMIT, "a text")?.to_owned(),
                unknown if unknown & tag::MUST_KNOW != 0 => {
                    return Err(WireError::Malformed("a handshake of a later version"));
                }
                _ => {}
            }
        }
        Ok(hello)
    }

    fn fixed(kind: u16, mut fields: Fields<'_>) -> Result<Hello, WireError> {
        let protocol = (fields.u16(), fields.u16());
        let (lane, auth) = (fields.u16(), fields.u16());
        let cluster = ClusterId(fields.u64());
        let from = NodeId(fields.u64());
        let incarnation = Incarnation(fields.u64());
        let to = NodeId(fields.u64());
        let (frame_limit, code) = (fields.u32(), fields.u16());
        fields.skip(2);
        let state_machine = (fields.u32(), fields.u32());
        let superseded_by = Incarnation(fields.u64());
        let kind = match kind {
            1 => Kind::Hello,
            2 => Kind::Welcome,
            3 => Kind::Refuse(Code::from_number(code)),
            _ => return Err(WireError::Malformed("the kind of a handshake")),
        };
        if from.is_zero() {
            return Err(WireError::Malformed("a handshake with nobody"));
        }
        let (address, text) = (String::new(), String::new());
        #[rustfmt::skip]
        let hello = Hello {
            kind, protocol, lane, auth, cluster, from, incarnation, to, frame_limit, state_machine,
            superseded_by, address, text,
        };
        Ok(hello)
    }
}
