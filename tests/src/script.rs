//! The language of scripts: one command a line, what came of it below. `tests/README.md` lists the
//! commands.

use crate::cluster::{CLUSTER, Cluster};
use crate::disk::{Disk, Kept};
use crate::golden;
use crate::words::Words;
use crate::{raw, scene, show};
use quorate_engine::consensus::config::Config;
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::message::Change;
use quorate_engine::consensus::types::{Address, Index, NodeId, Term};
use std::path::Path;
use std::time::Duration;

/// Tells the story of a file and compares.
///
/// # Errors
/// A command that makes no sense, a broken rule, or a diff.
pub fn run(path: &Path) -> Result<(), String> {
    let mut cluster = Cluster::new(1);
    let mut wrong = Vec::new();
    let told = golden::check(path, |line| {
        if let Err(error) = command(&mut cluster, line) {
            wrong.push(format!("{}: {line}: {error}", path.display()));
        }
        std::mem::take(&mut cluster.trace)
    });
    let broken = cluster.faults.iter().map(|fault| format!("{}: {fault}", path.display()));
    let broken: Vec<String> = wrong.into_iter().chain(broken).collect();
    if broken.is_empty() { told } else { Err(broken.join("\n")) }
}

/// Carries out one line.
///
/// # Errors
/// It makes no sense.
pub fn command(cluster: &mut Cluster, line: &str) -> Result<(), String> {
    let (name, words) = Words::of(line);
    if name == "quiet" {
        let before = std::mem::replace(&mut cluster.quiet, true);
        let done = command(cluster, words.text());
        cluster.quiet = before;
        return done;
    }
    match name {
        "config" | "cluster" | "node" | "fresh" | "twin" | "show" => set_up(cluster, name, words),
        "propose" | "read" | "init" | "add" | "remove" => call(cluster, name, words),
        "disk" | "persist" | "work" | "apply" | "switch" | "crash" | "restart" | "full"
        | "durable-machine" | "damage" | "forget" => store(cluster, name, words),
        "campaign" | "advance" | "run" | "freeze" | "thaw" => pass_time(cluster, name, words),
        "status" | "log" | "stored" | "applied" | "queue" => look(cluster, name, words),
        "alarm" => expect_alarm(cluster),
        _ => network(cluster, name, words),
    }
}

fn set_up(cluster: &mut Cluster, name: &str, words: Words) -> Result<(), String> {
    match name {
        "config" => configure(&mut cluster.config, words)?,
        "cluster" => found(cluster, words)?,
        "node" => node(cluster, words)?,
        "fresh" => quietly(cluster, |cluster| {
            words.places().map(|all| all.into_iter().for_each(|place| cluster.fresh(place)))
        })?,
        "twin" => twin(cluster, words)?,
        _ => cluster.show_writes = words.has("writes"),
    }
    Ok(())
}

fn configure(config: &mut Config, words: Words) -> Result<(), String> {
    let on = |key: &str, usual: bool| words.raw(key).map_or(usual, |value| value == "on");
    config.pre_vote = on("pre_vote", config.pre_vote);
    config.check_quorum = on("check_quorum", config.check_quorum);
    config.forward = on("forward", config.forward);
    config.max_message_bytes = words.value_or("message", config.max_message_bytes)?;
    config.max_inflight_messages = words.value_or("inflight", config.max_inflight_messages)?;
    config.max_inflight_bytes = words.value_or("inflight_bytes", config.max_inflight_bytes)?;
    config.max_unwritten_bytes = words.value_or("unwritten", config.max_unwritten_bytes)?;
    config.max_uncommitted_bytes = words.value_or("uncommitted", config.max_uncommitted_bytes)?;
    config.max_unapplied_bytes = words.value_or("unapplied", config.max_unapplied_bytes)?;
    config.window_bytes = words.value_or("window", config.window_bytes)?;
    Ok(())
}

/// `cluster 3 leader=1`: three nodes that are a cluster since entry 1; node 1 leads, all have heard.
fn found(cluster: &mut Cluster, words: Words) -> Result<(), String> {
    let voters: Vec<u64> = (1..=words.place()?).collect();
    quietly(cluster, |cluster| {
        for &place in &voters {
            let mut state = scene::state(place, CLUSTER);
            state.term = Term(1);
            let disk = Disk::new(state, vec![scene::founding(&voters)], Index(1));
            cluster.place(place, disk, Index(1));
        }
        if let Some(leader) = words.value("leader")? {
            cluster.campaign(leader);
            cluster.advance(Duration::from_millis(20), true);
        }
        Ok(())
    })
}

/// `node 1 term=3 vote=2 commit=2 log 1:c1[1,2,3] 1 2 3`: a node with a log written by hand.
fn node(cluster: &mut Cluster, words: Words) -> Result<(), String> {
    let place = words.place()?;
    let log = scene::log(&words.after("log"))?;
    let mut state = scene::state(place, CLUSTER);
    state.term = Term(words.value_or("term", log.last().map_or(0, |entry| entry.term.0))?);
    state.voted_for = NodeId(words.value_or("vote", 0)?);
    let commit = Index(words.value_or("commit", 1)?);
    cluster.place(place, Disk::new(state, log, commit), commit);
    Ok(())
}

/// `twin 1 as 5`: the directory of node 1, copied to place 5 and started there.
fn twin(cluster: &mut Cluster, words: Words) -> Result<(), String> {
    let place = words.number(2)?.ok_or("twin 1 as 5")?;
    let disk = cluster.nodes.get(&words.place()?).ok_or("no such node")?.disk.copy();
    cluster.place(place, disk, Index::ZERO);
    Ok(())
}

fn call(cluster: &mut Cluster, name: &str, words: Words) -> Result<(), String> {
    let place = words.place()?;
    let last = words.all().nth(1);
    match name {
        "propose" => {
            let data: Vec<&str> = words.all().skip(1).collect();
            cluster.propose(place, &data);
        }
        "read" => cluster.read(place, words.number(1)?.unwrap_or(1)),
        "init" => {
            let own = format!("n{place}");
            cluster.change(place, Change::Initialize(Address::from(last.unwrap_or(&own))));
        }
        "add" => {
            let who = last.ok_or("add 1 4")?;
            let address = if who.parse::<u64>().is_ok() { format!("n{who}") } else { who.into() };
            cluster.change(place, Change::Add(Address::from(address)));
        }
        _ => {
            let node = NodeId(words.number(1)?.ok_or("remove 1 2")?);
            match words.has("waking") {
                true => cluster.change_and_deadline(place, Change::Remove(node)),
                false => cluster.change(place, Change::Remove(node)),
            }
        }
    }
    Ok(())
}

fn store(cluster: &mut Cluster, name: &str, words: Words) -> Result<(), String> {
    let place = words.place()?;
    let count = words.number(1).ok().flatten();
    match name {
        "disk" => {
            let node = cluster.nodes.get_mut(&place).ok_or("no such node")?;
            node.manual = words.has("manual");
            if !node.manual {
                cluster.finish(place);
            }
        }
        "persist" => {
            cluster.persist(place, count.unwrap_or(u64::MAX) as usize);
        }
        "work" => while cluster.work(place) {},
        "apply" => while cluster.apply(place) {},
        "switch" => {
            for _ in 0..count.unwrap_or(1) {
                cluster.switch(place);
            }
        }
        "crash" => cluster.crash(place, kept(words)?),
        "restart" => {
            cluster.crash(place, kept(words)?);
            cluster.start(place);
        }
        "full" => cluster.step(place, Event::DiskFull(words.has("on"))),
        "damage" | "forget" => shorten(cluster, name == "damage", words)?,
        _ => cluster.nodes.get_mut(&place).ok_or("no such node")?.machine.durable = true,
    }
    Ok(())
}

/// `damage 3 2`: of the log of node 3, which is down, only the first 2 entries can be read when it starts
/// again, and it notices that. With `forget` it does not: a younger image of its disk was put back.
fn shorten(cluster: &mut Cluster, notices: bool, words: Words) -> Result<(), String> {
    let keep = words.number(1)?.ok_or("damage 3 2")?;
    let node = cluster.nodes.get_mut(&words.place()?).ok_or("no such node")?;
    if node.core.is_some() {
        return Err("crash it first".to_owned());
    }
    node.disk.state.abstaining |= notices;
    node.disk.cut(Index(keep));
    node.commit = node.commit.min(Index(keep));
    Ok(())
}

/// `writes=2 states=3 cut`: what a crash keeps of what was not acknowledged.
fn kept(words: Words) -> Result<Kept, String> {
    let writes = words.value_or("writes", 0)?;
    Ok(Kept { writes, states: words.value_or("states", writes)?, cut: words.has("cut") })
}

fn pass_time(cluster: &mut Cluster, name: &str, words: Words) -> Result<(), String> {
    let number = words.place()?;
    match name {
        "campaign" => cluster.campaign(number),
        "advance" => cluster.advance(Duration::from_millis(number), false),
        "run" => {
            quietly(cluster, |cluster| {
                cluster.advance(Duration::from_millis(number), true);
                Ok(())
            })?;
        }
        "freeze" => cluster.nodes.get_mut(&number).ok_or("no such node")?.frozen = true,
        _ => thaw(cluster, number)?,
    }
    Ok(())
}

/// A node that was asleep hears what came meanwhile, and then the clock.
fn thaw(cluster: &mut Cluster, place: u64) -> Result<(), String> {
    cluster.nodes.get_mut(&place).ok_or("no such node")?.frozen = false;
    while let Some(at) = cluster.network.queue().iter().position(|e| e.to == place) {
        let envelope = cluster.network.take(at);
        cluster.deliver(envelope);
    }
    cluster.deadline(place);
    Ok(())
}

fn network(cluster: &mut Cluster, name: &str, words: Words) -> Result<(), String> {
    match name {
        "deliver" => deliver(cluster, words)?,
        "settle" => quietly(cluster, |cluster| {
            cluster.settle();
            Ok(())
        })?,
        "drop" => {
            let lost = cluster.network.lose(words.pair()?);
            cluster.tell(format!("{lost} lost"));
        }
        "dup" => found_one(cluster.network.duplicate(words.the_pair()?))?,
        "reverse" => cluster.network.reverse(words.the_pair()?),
        "keep" => {
            let name = words.plain().nth(1).ok_or("keep 1>2 name")?;
            found_one(cluster.network.keep(words.the_pair()?, name))?;
        }
        "late" => {
            let late = cluster.network.kept(words.text()).ok_or("nothing was kept by that name")?;
            cluster.tell(show::message(late.from, late.to, &late.message));
            cluster.deliver(late);
        }
        "send" => {
            let made = raw::envelope(cluster, words)?;
            cluster.tell(show::message(made.from, made.to, &made.message));
            cluster.deliver(made);
        }
        "hold" => cluster.network.hold(words.the_pair()?),
        "release" => cluster.network.release(words.the_pair()?),
        "cut" => cluster.network.cut(words.the_pair()?),
        "partition" => {
            let group = |part: &str| Words::of(&format!("group {part}")).1.places();
            let groups: Result<Vec<_>, _> = words.text().split('|').map(group).collect();
            cluster.network.partition(&groups?);
        }
        "heal" => cluster.network.heal(),
        _ => return Err("no such command".to_owned()),
    }
    Ok(())
}

/// `deliver`: all that is under way now, and not what comes of it. `deliver 1>2 1`: the first one from
/// node 1 to node 2.
fn deliver(cluster: &mut Cluster, words: Words) -> Result<(), String> {
    let pair = words.pair()?;
    let count = match pair {
        Some(_) => words.number(1)?.unwrap_or(u64::MAX) as usize,
        None => usize::MAX,
    };
    for _ in 0..count.min(cluster.network.queue().len()) {
        let Some(envelope) = cluster.network.next(pair, &[]) else { break };
        cluster.deliver(envelope);
    }
    Ok(())
}

/// `alarm`: what just happened must have raised the safety alarm, and that is the end of the story.
fn expect_alarm(cluster: &mut Cluster) -> Result<(), String> {
    let before = cluster.faults.len();
    cluster.faults.retain(|fault| !fault.contains("SAFETY ALARM"));
    if cluster.faults.len() < before { Ok(()) } else { Err("no alarm was raised".to_owned()) }
}

fn found_one(found: bool) -> Result<(), String> {
    if found { Ok(()) } else { Err("nothing is under way there".to_owned()) }
}

fn look(cluster: &mut Cluster, name: &str, words: Words) -> Result<(), String> {
    if name == "queue" {
        let queue = cluster.network.queue().iter();
        cluster.trace.extend(queue.map(|e| show::message(e.from, e.to, &e.message)));
        return Ok(());
    }
    let asked = words.places()?;
    let all: Vec<u64> = cluster.nodes.keys().copied().collect();
    for place in if asked.is_empty() { all } else { asked } {
        let node = cluster.nodes.get(&place).ok_or("no such node")?;
        let words = |log: &[_]| log.iter().map(show::entry).collect::<Vec<_>>().join(", ");
        let line = match (name, &node.core) {
            ("status", Some(core)) => core.to_string(),
            ("status", None) => format!("n{place} is down"),
            ("log", _) => format!("{place} log: {}", words(&node.log)),
            ("stored", _) => {
                let state = show::state(&node.disk.state);
                format!("{place} stored: {state} {}", words(&node.disk.log))
            }
            _ => {
                let commands =
                    node.machine.commands.iter().map(|(at, data)| format!("{at} {data}"));
                format!("{place} applied: {}", commands.collect::<Vec<_>>().join(", "))
            }
        };
        cluster.trace.push(line);
    }
    Ok(())
}

fn quietly(
    cluster: &mut Cluster,
    act: impl FnOnce(&mut Cluster) -> Result<(), String>,
) -> Result<(), String> {
    let before = std::mem::replace(&mut cluster.quiet, true);
    let done = act(cluster);
    cluster.quiet = before;
    done
}
