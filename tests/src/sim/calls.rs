//! What callers ask of nodes, and how the answers reach them.

use super::clients::Asked;
use super::machine;
use super::queue::Happening;
use super::world::World;
use crate::linear::register::{Action, Output};
use crate::show;
use quorate_engine::change::NewEntry;
use quorate_engine::consensus::command::Command;
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::message::Change;
use quorate_engine::consensus::ready::RoleName;
use quorate_engine::consensus::types::{Index, Origin};

impl World {
    /// A client's next turn: it asks for something new, or gives up what it waits for.
    pub fn client(&mut self, client: usize, number: u64) {
        match &self.clients.all[client].open {
            None if self.clients.are_silent => {}
            None => self.ask(client),
            Some(open) if open.number == number => self.lose(client),
            Some(_) => {}
        }
    }

    /// The client does not know what becomes of what it asked for.
    pub fn lose(&mut self, client: usize) {
        self.tally.count("client told of an unknown outcome");
        self.clients.lost(client);
        self.think(client);
    }

    pub fn think(&mut self, client: usize) {
        let pause = self.clients.pause();
        self.after(pause, Happening::Client(client, 0));
    }

    fn ask(&mut self, client: usize) {
        let place = self.clients.all[client].place;
        let host = &self.hosts[&place];
        let serves = host.is_up() && host.switching.is_none() && host.lineage() == self.cluster;
        if !serves {
            self.clients.refused(client);
            return self.think(client);
        }
        let open = self.clients.next(client, self.now);
        let patience = self.clients.patience();
        self.after(patience, Happening::Client(client, open.number));
        if open.input.action == Action::Get {
            return self.read_at(place, (client, open.number));
        }
        let command = self.command(place, &machine::write(&open.input));
        let seq = command.origin().seq;
        self.host(place).proposed.insert(seq, (client, open.number));
        self.push(place, Event::Proposed(vec![command]));
    }

    fn read_at(&mut self, place: u64, asked: Asked) {
        self.last_request += 1;
        let id = self.last_request;
        let index = self.safety.committed_to(self.hosts[&place].lineage());
        self.callers.read(place, id, index);
        self.host(place).reads.push((id, asked, None));
        self.push(place, Event::ReadRequested(id));
    }

    /// A command of a caller at a place.
    pub fn command(&mut self, place: u64, data: &str) -> Command {
        let host = self.host(place);
        host.last_origin += 1;
        let seq = host.state.incarnation.counter() << 40 | host.last_origin;
        let origin = Origin { node: host.id(), seq };
        self.callers.propose(origin.node, seq, data);
        NewEntry::new(data.as_bytes()).encode(origin, 1 << 20).expect("a small command")
    }

    pub fn proposal_refused(&mut self, place: u64, seq: u64) {
        self.tally.count("caller refused for want of a leader");
        if let Some(asked) = self.host(place).proposed.remove(&seq) {
            self.refused(asked);
        }
    }

    fn refused(&mut self, asked: Asked) {
        if self.clients.waits(asked).is_some() {
            self.clients.refused(asked.0);
            self.think(asked.0);
        }
    }

    /// An entry was applied at a place: its caller is told, if that is where it is.
    pub fn applied(&mut self, place: u64, origin: Origin, output: Option<Output>) {
        let host = self.host(place);
        if origin.node != host.id() {
            return;
        }
        let Some(asked) = host.proposed.remove(&origin.seq) else { return };
        if self.clients.waits(asked).is_none() {
            return;
        }
        if output == Some(Output::Swapped(true)) {
            self.tally.count("compare and set succeeded");
        }
        match output {
            Some(output) => self.clients.returned(asked.0, self.now, output),
            None => self.clients.lost(asked.0),
        }
        self.think(asked.0);
    }

    /// A read may be answered once this much is applied, or not at all.
    pub fn read_answered(&mut self, place: u64, id: u64, index: Option<Index>) {
        let host = self.host(place);
        let Some(at) = host.reads.iter().position(|read| read.0 == id) else { return };
        if index.is_some() {
            host.reads[at].2 = index;
            return self.answer_reads(place);
        }
        let (_, asked, _) = host.reads.remove(at);
        self.refused(asked);
    }

    pub fn answer_reads(&mut self, place: u64) {
        let host = self.host(place);
        let applied = host.machine.applied;
        let due = |read: &mut (u64, Asked, Option<Index>)| read.2.is_some_and(|at| at <= applied);
        let due: Vec<_> = host.reads.extract_if(.., due).collect();
        let leads = self.status(place).is_some_and(|status| status.role == RoleName::Leader);
        for (_, asked, _) in due {
            let (client, Some(open)) = (asked.0, self.clients.waits(asked)) else { continue };
            let value = self.hosts[&place].machine.value(&open.input.key);
            self.tally.count(if leads { "read at a leader" } else { "read at a follower" });
            self.clients.returned(client, self.now, Output::Value(value));
            self.think(client);
        }
    }

    /// The node leaves its cluster: what it was asked there is over. Reads are refused; what becomes of
    /// proposals is unknown.
    pub fn callers_leave(&mut self, place: u64) {
        let host = self.host(place);
        let (reads, proposed) =
            (std::mem::take(&mut host.reads), std::mem::take(&mut host.proposed));
        reads.into_iter().for_each(|(_, asked, _)| self.refused(asked));
        for asked in proposed.into_values() {
            if self.clients.waits(asked).is_some() {
                self.lose(asked.0);
            }
        }
    }

    /// A caller asks for a change of membership.
    pub fn change(&mut self, place: u64, change: Change) {
        if !self.hosts[&place].is_up() || self.hosts[&place].switching.is_some() {
            return;
        }
        self.last_request += 1;
        let id = self.last_request;
        self.tell(|| format!("{place} change {id} asked for: {}", show::change(&change)));
        self.callers.change(place, id, show::change(&change));
        self.push(place, Event::ChangeRequested(id, change));
    }
}
