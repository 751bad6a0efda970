//! Messages that a script makes up: late ones, forged ones, ones of another time.

use crate::cluster::Cluster;
use crate::network::Envelope;
use crate::scene;
use crate::words::{self, Words};
use quorate_engine::consensus::command::Entry;
use quorate_engine::consensus::message::{
    AppendEntries, AppendEntriesResponse, AppendVerdict, Body, Join, Message, NotMember,
    RequestVote, RequestVoteResponse, Superseded,
};
use quorate_engine::consensus::types::{ClusterId, Incarnation, Index, NodeId, Term};

/// The message that `send 1>2 …` describes. What is not said is as the sender would say it now.
///
/// # Errors
/// It makes no sense.
pub fn envelope(cluster: &Cluster, words: Words) -> Result<Envelope, String> {
    let (from, to) = words.the_pair()?;
    let state = |place| cluster.nodes.get(&place).map(|n| &n.disk.state).ok_or("no such node");
    let (sender, receiver) = (state(from)?, state(to)?);
    let kind = words.plain().nth(1).unwrap_or_default();
    let run = |counter: Option<u64>, now: Incarnation| {
        counter.map_or(now, |counter| Incarnation(counter << 40 | 1))
    };
    let message = Message {
        from: words.value("id")?.map_or(sender.node, NodeId),
        from_incarnation: run(words.value("run")?, sender.incarnation),
        to: words.value("to")?.map_or(receiver.node, NodeId),
        address: None,
        cluster: words.value("lineage")?.map_or(sender.lineage, ClusterId),
        term: words.value("term")?.map_or(sender.term, Term),
        body: body(kind, words, run(words.value("for")?, receiver.incarnation))?,
    };
    Ok(Envelope { from, to, message })
}

/// `run`: the run of the receiver that is meant.
fn body(kind: &str, words: Words, run: Incarnation) -> Result<Body, String> {
    let verdict = match kind {
        "append" => return append(words, run),
        "vote" => return vote(words),
        "grant" | "refuse" => {
            let round = words.value_or("round", 0)?;
            let (pre, granted) = (words.has("pre"), kind == "grant");
            return Ok(Body::RequestVoteResponse(RequestVoteResponse { round, pre, granted }));
        }
        "timeout" => return Ok(Body::TimeoutNow),
        "notmember" => {
            return Ok(Body::NotMember(NotMember { number: words.value_or("number", 0)? }));
        }
        "superseded" => return Ok(Body::Superseded(Superseded { by: run })),
        "join" => {
            let number = words.value_or("number", 0)?;
            return Ok(Body::Join(Join { for_incarnation: run, number }));
        }
        "matched" => AppendVerdict::Matched,
        "mismatch" => AppendVerdict::Mismatch,
        "busy" => AppendVerdict::Busy,
        _ => return Err(format!("{kind}: no such message")),
    };
    Ok(Body::AppendEntriesResponse(AppendEntriesResponse {
        verdict,
        matched: Index(words.value_or("matched", 0)?),
        last_index: Index(words.value_or("last", 0)?),
        hint: words.entry_id("hint")?,
        round: words.value_or("round", 0)?,
        abstaining: words.has("abstaining"),
    }))
}

/// `append prev=1@1 commit=1 3@2:x 4@2:noop`.
fn append(words: Words, run: Incarnation) -> Result<Body, String> {
    let repair_to: Option<u64> = words.value("repair_to")?;
    Ok(Body::AppendEntries(AppendEntries {
        prev: words.entry_id("prev")?,
        entries: words.plain().skip(2).map(entry).collect::<Result<_, _>>()?,
        commit: Index(words.value_or("commit", 0)?),
        round: words.value_or("round", 0)?,
        repair_for: if repair_to.is_some() { run } else { Incarnation::ZERO },
        repair_to: Index(repair_to.unwrap_or(0)),
    }))
}

fn entry(word: &str) -> Result<Entry, String> {
    let (id, what) = word.split_once(':').unwrap_or((word, ""));
    let id = words::entry_id(id)?;
    let payload = scene::payload(id.index.0, id.term.0, what);
    let payload = payload.ok_or_else(|| format!("{word}: no entry"))?;
    Ok(Entry { index: id.index, term: id.term, payload })
}

fn vote(words: Words) -> Result<Body, String> {
    Ok(Body::RequestVote(RequestVote {
        last: words.entry_id("last")?,
        round: words.value_or("round", 0)?,
        number: words.value_or("number", 0)?,
        pre: words.has("pre"),
        transfer: words.has("transfer"),
    }))
}
