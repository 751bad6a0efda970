//! Messages out of the control part. What comes out is well-formed: entries follow one another, numbers
//! leave room to count on, texts and addresses are short. A message that a later version made and this
//! one does not understand gives `None`; a broken one refuses the frame.

use super::fields::{Fields, Tlv, tlvs};
use super::numbers::{self, message, tag};
use super::{Envelope, WireError};
use crate::codec::decode_payload;
use crate::consensus::command::{Command, Entry};
use crate::consensus::message::{
    Accepted, AppendEntries, AppendEntriesResponse, Body, Change, ChangeRequest, ChangeResponse,
    Forward, ForwardResponse, Identify, Identity, Join, JoinRefused, Message, NotJoined, NotMember,
    ReadIndex, ReadIndexResponse, RequestVote, RequestVoteResponse, Superseded,
};
use crate::consensus::refusal::{Reason, Refusal};
use crate::consensus::types::{Address, ClusterId, EntryId, Incarnation, Index, NodeId, Term};
use bytes::Bytes;

/// The longest text that travels.
pub(super) const TEXT_LIMIT: usize = 4096;
/// The longest address: a host name and a port are far below.
const ADDRESS_LIMIT: usize = 512;
/// Indexes and terms stay below: who adds one to them never wraps around.
const NUMBER_LIMIT: u64 = 1 << 62;

/// The data part, of which each payload takes its bytes in turn.
pub(super) struct Data {
    rest: Bytes,
}

impl Data {
    pub(super) fn new(rest: Bytes) -> Data {
        Data { rest }
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, slot: Slot) -> Result<Bytes, WireError> {
        if slot.len > self.rest.len() {
            return Err(WireError::Malformed("a payload beyond the data part"));
        }
        let payload = self.rest.split_to(slot.len);
        let fits = crc32c::crc32c(&payload) == slot.crc;
        if fits { Ok(payload) } else { Err(WireError::PayloadChecksum) }
    }

    /// Passes over the payloads of a TLV.
    fn skip(&mut self, tlv: Tlv<'_>) -> Result<(), WireError> {
        let bytes = match tlv.tag {
            tag::RUN => tlv.bytes.get(16..).unwrap_or_default(),
            tag::PAYLOADS => tlv.bytes,
            _ => return Ok(()),
        };
        slots(bytes)?.try_for_each(|slot| self.take(slot).map(|_| ()))
    }
}

/// Where one payload ends, and its checksum.
struct Slot {
    len: usize,
    crc: u32,
}

/// Reads `{count u32, 0 u32, (len u32, crc u32) × count}`.
fn slots(bytes: &[u8]) -> Result<impl ExactSizeIterator<Item = Slot>, WireError> {
    let count = Fields::new(bytes).u32() as usize;
    let list = bytes.get(8..).unwrap_or_default();
    if count == 0 || Some(list.len()) != count.checked_mul(8) {
        return Err(WireError::Malformed("the number of payloads"));
    }
    Ok(list.chunks_exact(8).map(|slot| {
        let mut fields = Fields::new(slot);
        Slot { len: fields.u32() as usize, crc: fields.u32() }
    }))
}

/// Takes the next message. `None`: it is left out.
pub(super) fn take_message(
    envelope: &Envelope,
    control: &mut &[u8],
    data: &mut Data,
) -> Result<Option<Message>, WireError> {
    let broken = WireError::Malformed("the length of a message");
    let (head, rest) = control.split_first_chunk::<24>().ok_or(broken)?;
    let mut head = Fields::new(head);
    let kind = head.u16();
    let (fixed_len, ext_len) = (usize::from(head.u16()), head.u32() as usize);
    let group = head.u64();
    let term = term(&mut head)?;
    let (fixed, rest) = rest.split_at_checked(fixed_len).ok_or(broken)?;
    let (ext, rest) = rest.split_at_checked(ext_len).ok_or(broken)?;
    if fixed_len % 8 != 0 || ext_len % 8 != 0 {
        return Err(broken);
    }
    *control = rest;
    let mut part = Part { fixed: Fields::new(fixed), ext, data, term };
    let known = group == 0 && part.is_understood()?;
    let body = if known { part.body(kind)? } else { part.skip()? };
    Ok(body.map(|body| Message {
        from: envelope.from,
        from_incarnation: envelope.from_incarnation,
        to: envelope.to,
        address: None,
        cluster: envelope.cluster,
        term,
        body,
    }))
}

/// A message whose extent is known.
struct Part<'a> {
    fixed: Fields<'a>,
    ext: &'a [u8],
    data: &'a mut Data,
    term: Term,
}

impl Part<'_> {
    /// Whether no TLV forbids to act on the message without knowing it.
    fn is_understood(&self) -> Result<bool, WireError> {
        let mut understood = true;
        for tlv in tlvs(self.ext) {
            understood &= tlv?.tag & tag::MUST_KNOW == 0;
        }
        Ok(understood)
    }

    /// Passes over the payloads, if it has any.
    fn skip(&mut self) -> Result<Option<Body>, WireError> {
        for tlv in tlvs(self.ext) {
            self.data.skip(tlv?)?;
        }
        Ok(None)
    }

    fn body(&mut self, kind: u16) -> Result<Option<Body>, WireError> {
        match kind {
            message::APPEND_ENTRIES => return self.append_entries().map(Some),
            message::FORWARD => return self.forward().map(Some),
            _ => self.skip()?,
        };
        let fixed = &mut self.fixed;
        let body = match kind {
            message::IDENTIFY => Body::Identify(Identify { nonce: fixed.u64() }),
            message::IDENTITY => return identity(fixed),
            message::NOT_JOINED => {
                let standing = numbers::standing(fixed.u16());
                return Ok(standing.map(|standing| Body::NotJoined(NotJoined { standing })));
            }
            message::JOIN => {
                let for_incarnation = Incarnation(fixed.u64());
                Body::Join(Join { for_incarnation, number: number(fixed)? })
            }
            message::JOIN_REFUSED => {
                let number = number(fixed)?;
                let refusal = self.refusal()?;
                Body::JoinRefused(JoinRefused { number, refusal })
            }
            message::NOT_MEMBER => Body::NotMember(NotMember { number: number(fixed)? }),
            message::SUPERSEDED => Body::Superseded(Superseded { by: Incarnation(fixed.u64()) }),
            message::APPEND_ENTRIES_RESPONSE => return append_response(fixed),
            message::REQUEST_VOTE => Body::RequestVote(vote(fixed)?),
            message::REQUEST_VOTE_RESPONSE => return Ok(vote_response(fixed)),
            message::TIMEOUT_NOW => Body::TimeoutNow,
            message::FORWARD_RESPONSE => return self.forward_response(),
            message::CHANGE_REQUEST => return self.change_request(),
            message::CHANGE_RESPONSE => Body::ChangeResponse(self.change_response()?),
            message::READ_INDEX => Body::ReadIndex(ReadIndex { batch: fixed.u64() }),
            message::READ_INDEX_RESPONSE => {
                let batch = fixed.u64();
                Body::ReadIndexResponse(ReadIndexResponse { batch, index: index(fixed)? })
            }
            _ => return Ok(None),
        };
        Ok(Some(body))
    }

    fn append_entries(&mut self) -> Result<Body, WireError> {
        let fixed = &mut self.fixed;
        let mut append = AppendEntries {
            prev: entry_id(fixed)?,
            entries: Vec::new(),
            commit: index(fixed)?,
            round: fixed.u64(),
            repair_for: Incarnation(fixed.u64()),
            repair_to: index(fixed)?,
        };
        let mut end = append.prev;
        for tlv in tlvs(self.ext) {
            let tlv = tlv?;
            if tlv.tag == tag::RUN {
                end = self.run(tlv, end, &mut append.entries)?;
            } else {
                self.data.skip(tlv)?;
            }
        }
        Ok(Body::AppendEntries(append))
    }

    /// Reads entries of one term that follow `end`. Returns the last one's id.
    fn run(
        &mut self,
        tlv: Tlv<'_>,
        end: EntryId,
        entries: &mut Vec<Entry>,
    ) -> Result<EntryId, WireError> {
        let mut head = Fields::new(tlv.bytes);
        let first = entry_id(&mut head)?;
        let expected = EntryId::new(end.index.next(), end.term);
        let follows = first.index == expected.index && first.term >= end.term;
        if !follows || first.term > self.term {
            return Err(WireError::NotContiguous { expected, found: first });
        }
        let slots = slots(tlv.bytes.get(16..).unwrap_or_default())?;
        entries.reserve(slots.len());
        let mut next = first.index;
        for slot in slots {
            let crc = slot.crc;
            let payload = decode_payload(self.data.take(slot)?, crc);
            let payload = payload.ok_or(WireError::Payload(next))?;
            entries.push(Entry { index: next, term: first.term, payload });
            next = next.next();
        }
        Ok(EntryId::new(next.prev(), first.term))
    }

    fn forward(&mut self) -> Result<Body, WireError> {
        let first = number(&mut self.fixed)?;
        let mut commands = Vec::new();
        for tlv in tlvs(self.ext) {
            let tlv = tlv?;
            if tlv.tag != tag::PAYLOADS {
                self.data.skip(tlv)?;
                continue;
            }
            for slot in slots(tlv.bytes)? {
                let crc = slot.crc;
                let command = Command::from_encoded(self.data.take(slot)?, crc);
                let own = command.filter(|command| command.kind() >= 0);
                commands.push(own.ok_or(WireError::Malformed("a forwarded proposal"))?);
            }
        }
        Ok(Body::Forward(Forward { first, commands }))
    }

    fn forward_response(&mut self) -> Result<Option<Body>, WireError> {
        let kind = self.fixed.u16();
        let reason = self.fixed.u16();
        self.fixed.skip(4);
        let (first, count) = (number(&mut self.fixed)?, number(&mut self.fixed)?);
        let response = match kind {
            numbers::APPENDED => {
                ForwardResponse::Appended { first, count, index: index(&mut self.fixed)? }
            }
            numbers::REFUSED => {
                ForwardResponse::Refused { first, count, refusal: self.refusal_for(reason)? }
            }
            numbers::EXPECTED => ForwardResponse::Expected { next: first },
            _ => return Ok(None),
        };
        Ok(Some(Body::ForwardResponse(response)))
    }

    fn change_request(&mut self) -> Result<Option<Body>, WireError> {
        let id = self.fixed.u64();
        let kind = self.fixed.u16();
        self.fixed.skip(6);
        let change = match kind {
            numbers::ADD => Change::Add(self.address()?),
            numbers::REMOVE => Change::Remove(NodeId(self.fixed.u64())),
            _ => return Ok(None),
        };
        Ok(Some(Body::ChangeRequest(ChangeRequest { id, change })))
    }

    fn change_response(&mut self) -> Result<ChangeResponse, WireError> {
        let id = self.fixed.u64();
        let reason = self.fixed.u16();
        self.fixed.skip(6);
        let result = if reason == 0 {
            let node = NodeId(self.fixed.u64());
            Ok(Accepted { node, number: number(&mut self.fixed)? })
        } else {
            Err(self.refusal_for(reason)?)
        };
        Ok(ChangeResponse { id, result })
    }

    fn refusal(&mut self) -> Result<Refusal, WireError> {
        let reason = self.fixed.u16();
        self.refusal_for(reason)
    }

    /// A reason of a later version is one that this version can't tell from a bad argument: whoever
    /// refuses did not do it.
    fn refusal_for(&self, reason: u16) -> Result<Refusal, WireError> {
        let reason = Reason::from_number(reason).unwrap_or(Reason::Invalid);
        let text = self.tlv(tag::TEXT)?;
        let text = text.map_or(Ok(""), |tlv| tlv.text(TEXT_LIMIT, "a text"));
        Ok(Refusal::new(reason, text?))
    }

    fn address(&self) -> Result<Address, WireError> {
        let missing = WireError::Malformed("a change without an address");
        let tlv = self.tlv(tag::ADDRESS)?.ok_or(missing)?;
        Ok(Address::from(tlv.text(ADDRESS_LIMIT, "an address")?))
    }

    fn tlv(&self, tag: u16) -> Result<Option<Tlv<'_>>, WireError> {
        tlvs(self.ext).find(|tlv| !matches!(tlv, Ok(tlv) if tlv.tag != tag)).transpose()
    }
}

fn identity(fixed: &mut Fields<'_>) -> Result<Option<Body>, WireError> {
    let nonce = fixed.u64();
    let node = NodeId(fixed.u64());
    let incarnation = Incarnation(fixed.u64());
    let cluster = ClusterId(fixed.u64());
    let last_index = index(fixed)?;
    let standing = numbers::standing(fixed.u16());
    Ok(standing.map(|standing| {
        Body::Identity(Identity { nonce, node, incarnation, cluster, standing, last_index })
    }))
}

fn append_response(fixed: &mut Fields<'_>) -> Result<Option<Body>, WireError> {
    let verdict = numbers::verdict(fixed.u16());
    let flags = fixed.u16();
    fixed.skip(4);
    let (matched, last_index) = (index(fixed)?, index(fixed)?);
    let hint = entry_id(fixed)?;
    let round = fixed.u64();
    let abstaining = flags & numbers::ABSTAINING != 0;
    Ok(verdict.map(|verdict| {
        let response =
            AppendEntriesResponse { verdict, matched, last_index, hint, round, abstaining };
        Body::AppendEntriesResponse(response)
    }))
}

fn vote(fixed: &mut Fields<'_>) -> Result<RequestVote, WireError> {
    let last = entry_id(fixed)?;
    let round = fixed.u64();
    let number = number(fixed)?;
    let flags = fixed.u32();
    let (pre, transfer) = (flags & numbers::PRE != 0, flags & numbers::TRANSFER != 0);
    Ok(RequestVote { last, round, number, pre, transfer })
}

fn vote_response(fixed: &mut Fields<'_>) -> Option<Body> {
    let round = fixed.u64();
    let granted = match fixed.u16() {
        numbers::GRANTED => true,
        numbers::NOT_GRANTED => false,
        _ => return None,
    };
    fixed.skip(2);
    let pre = fixed.u32() & numbers::PRE != 0;
    Some(Body::RequestVoteResponse(RequestVoteResponse { round, pre, granted }))
}

fn number(fields: &mut Fields<'_>) -> Result<u64, WireError> {
    let number = fields.u64();
    let fits = number < NUMBER_LIMIT;
    if fits { Ok(number) } else { Err(WireError::Malformed("a number out of all reason")) }
}

fn index(fields: &mut Fields<'_>) -> Result<Index, WireError> {
    number(fields).map(Index)
}

fn term(fields: &mut Fields<'_>) -> Result<Term, WireError> {
    number(fields).map(Term)
}

fn entry_id(fields: &mut Fields<'_>) -> Result<EntryId, WireError> {
    let index = index(fields)?;
    Ok(EntryId::new(index, term(fields)?))
}
