//! The handshake: a Hello, then a Welcome or a Refuse, all of one form.
//!
//! `magic u32 | crc u32 (8..) | len u32 | kind u16 | lane u16 | protocol_min u16 | protocol_max u16 |
//! state_machine_min u16 | state_machine_max u16 | cluster u64 | from u64 | to u64 | incarnation u64 |
//! nonce [32] | auth u32 | frame_limit u32 | proof [32] | code u32 | 0 u32 | TLVs (2 address, 3 text)`.
//! Nonce, auth kind (0 = none) and proof are there for authentication to come.

use super::buffer::{Control, Fields, check_critical, text, tlvs};
use super::{FRAME_LIMIT, PROTOCOL, WireError, refuse};
use crate::consensus::types::{ClusterId, Incarnation, NodeId};
use bytes::Bytes;

/// The first bytes: "QRHI".
pub const MAGIC: u32 = u32::from_le_bytes(*b"QRHI");
/// Bytes before the TLVs.
pub const FIXED: usize = 136;
/// Bytes of a handshake at most.
pub const LIMIT: usize = 64 << 10;
const ADDRESS: u16 = 2;
const TEXT: u16 = 3;

/// What a handshake says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The dialer introduces itself.
    Hello,
    /// The other side does, and takes the connection.
    Welcome,
    /// The other side does not.
    Refuse(RefuseCode),
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefuseCode {
    /// The dialer wants somebody else.
    WrongNode = 1,
    /// The dialer is of another cluster.
    OtherCluster = 2,
    /// No protocol in common.
    Protocol = 3,
    /// A kind of authentication that is not spoken here.
    Auth = 4,
    /// Too many connections.
    Busy = 5,
}

/// One side of a handshake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// What it says.
    pub kind: Kind,
    /// 0 = control and appends, 1 = bulk.
    pub lane: u16,
    /// The cluster of the sender; 0 while Standalone.
    pub cluster: ClusterId,
    /// The sender.
    pub from: NodeId,
    /// Who is meant; 0 = whoever is there.
    pub to: NodeId,
    /// The run of the sender.
    pub incarnation: Incarnation,
    /// Random.
    pub nonce: [u8; 32],
    /// Bytes of a frame that the sender takes.
    pub frame_limit: u32,
    /// Where the sender can be reached; may be empty.
    pub address: String,
    /// With Refuse: why, for people.
    pub text: String,
}

impl Hello {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut c = Control::after_header(12);
        let (kind, code) = match self.kind {
            Kind::Hello => (1, 0),
            Kind::Welcome => (2, 0),
            Kind::Refuse(code) => (3, code as u32),
        };
        for field in [kind, self.lane, PROTOCOL, PROTOCOL, 0, 0] {
            c.u16(field);
        }
        for field in [self.cluster.0, self.from.0, self.to.0, self.incarnation.0] {
            c.u64(field);
        }
        c.bytes(&self.nonce);
        c.u32(0); // auth: none
        c.u32(self.frame_limit);
        c.bytes(&[0; 32]); // proof
        c.u32(code);
        c.u32(0);
        for (tag, text) in [(ADDRESS, &self.address), (TEXT, &self.text)] {
            if !text.is_empty() {
                c.tlv(tag, |c| c.bytes(text.as_bytes()));
            }
        }
        let mut bytes = c.finish();
        let len = bytes.len() as u32;
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes.freeze()
    }

    /// How long the handshake is that begins with these bytes.
    ///
    /// # Errors
    /// It is none, or too long.
    pub fn len_of(first: &[u8; 12]) -> Result<usize, WireError> {
        let mut fields = Fields::new(first);
        if fields.u32() != MAGIC {
            return refuse("not a handshake of quorate");
        }
        let _crc = fields.u32();
        let len = fields.u32() as usize;
        if (FIXED..=LIMIT).contains(&len) {
            return Ok(len);
        }
        refuse(format!("a handshake of {len} bytes"))
    }

    /// Reads a whole handshake.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(bytes: &Bytes) -> Result<Hello, WireError> {
        let whole = bytes.first_chunk().map_or_else(|| refuse("too short"), Hello::len_of)?;
        let mut f = Fields::new(&bytes[4..]);
        if whole != bytes.len() || f.u32() != crc32c::crc32c(&bytes[8..]) {
            return refuse("the checksum of a handshake does not hold");
        }
        let _len = f.u32();
        let (kind, lane, min, max) = (f.u16(), f.u16(), f.u16(), f.u16());
        let _state_machine = (f.u16(), f.u16());
        let (cluster, from) = (ClusterId(f.u64()), NodeId(f.u64()));
        let (to, incarnation) = (NodeId(f.u64()), Incarnation(f.u64()));
        let (nonce, auth, frame_limit) = (f.array(), f.u32(), f.u32());
        let (_proof, code) = (f.array::<32>(), f.u32());
        let fields = tlvs(bytes.slice(FIXED..))?;
        check_critical(&fields, &[ADDRESS, TEXT])?;
        if !(min..=max).contains(&PROTOCOL) || auth != 0 || from.is_zero() {
            return refuse(format!(
                "protocol {min} to {max}, authentication {auth}: not spoken here"
            ));
        }
        let (address, text) = (text(&fields, ADDRESS)?, text(&fields, TEXT)?);
        let kind = kind_of(kind, code)?;
        Ok(Hello { kind, lane, cluster, from, to, incarnation, nonce, frame_limit, address, text })
    }

    /// Bytes of a frame that both sides take.
    #[must_use]
    pub fn agreed_limit(&self) -> usize {
        (self.frame_limit as usize).clamp(LIMIT, FRAME_LIMIT)
    }
}

fn kind_of(kind: u16, code: u32) -> Result<Kind, WireError> {
    Ok(match (kind, code) {
        (1, _) => Kind::Hello,
        (2, _) => Kind::Welcome,
        (3, 1) => Kind::Refuse(RefuseCode::WrongNode),
        (3, 2) => Kind::Refuse(RefuseCode::OtherCluster),
        (3, 3) => Kind::Refuse(RefuseCode::Protocol),
        (3, 4) => Kind::Refuse(RefuseCode::Auth),
        (3, _) => Kind::Refuse(RefuseCode::Busy),
        _ => return refuse(format!("a handshake of kind {kind}")),
    })
}
