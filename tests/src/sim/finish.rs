//! How a run begins and how it must end.
//!
//! It begins with the cluster coming into being, on real paths. It ends without faults: within twenty
//! election timeouts there is one leader, one configuration that everybody has, equal logs and states, a
//! fresh write and a fresh read; nobody waits for an answer, and there is an order that explains all answers
//! that clients ever got.

use super::queue::Happening;
use super::world::World;
use crate::disk;
use crate::safety::Check;
use quorate_engine::consensus::event::Event;
use quorate_engine::consensus::membership::Membership;
use quorate_engine::consensus::message::Change;
use quorate_engine::consensus::ready::RoleName;
use quorate_engine::consensus::types::{Address, NodeId};
use std::sync::Arc;
use std::time::Duration;

/// Within how many election timeouts a cluster is whole again once faults are over.
const TIMEOUTS: u32 = 20;

impl World {
    /// The whole run.
    pub fn play(&mut self) -> Check {
        self.form()?;
        self.is_rough = true;
        for (at, timed) in self.plan.actions.clone().iter().enumerate() {
            self.after(timed.at, Happening::Action(at));
        }
        self.run_for(self.plan.swarm.duration)?;
        self.is_rough = false;
        self.mend()?;
        self.end_whole()
    }

    /// The first node founds the cluster and takes in the other voters.
    fn form(&mut self) -> Check {
        (1..=self.plan.swarm.places).for_each(|place| self.start(place));
        self.run_for(self.config.election_timeout * 3)?;
        self.cluster = self.hosts[&1].lineage();
        self.change(1, Change::Initialize(Address::from("n1")));
        for place in 2..=self.plan.swarm.voters {
            self.run_for(self.config.election_timeout)?;
            self.change(1, Change::Add(Address::from(format!("n{place}"))));
        }
        (0..self.clients.all.len()).for_each(|client| self.think(client));
        self.run_for(self.config.election_timeout)
    }

    /// Nothing goes wrong any more, and whoever is down comes back.
    fn mend(&mut self) -> Check {
        self.tell(|| "all faults are over".to_owned());
        self.ways.calm();
        let (now, sync) = (self.now, Duration::from_micros(100));
        for place in 1..=self.plan.swarm.places {
            let host = self.host(place);
            host.disk.heal();
            (host.sync, host.ends_in) = (sync, None);
            host.clock.pace(now, 1_000_000);
            let life = host.life;
            self.after(sync, Happening::Written(place, life)); // a stalled disk goes on
            let host = self.host(place);
            if host.frozen.take().is_some() && host.is_up() {
                let life = host.life;
                host.turn_is_due = true;
                self.after(Duration::ZERO, Happening::Turn(place, life));
            }
            self.give_room(place);
            self.start(place);
            self.wait_for_deadline(place);
        }
        Ok(())
    }

    /// Waits until everything is whole, and no longer than it may take. Clients go on for a while, and are
    /// then silent: in the end nothing is under way.
    fn end_whole(&mut self) -> Check {
        let end = self.now + self.config.election_timeout * TIMEOUTS;
        self.run_for(self.config.election_timeout * 2)?;
        self.clients.are_silent = true;
        loop {
            self.run_for(self.config.heartbeat * 2)?;
            let Err(why) = self.is_whole() else {
                self.write_and_read()?;
                break;
            };
            if self.now > end && self.is_hopeless() {
                self.tally.count("too many lost for a majority");
                break;
            }
            if self.now > end {
                return Err(format!("{TIMEOUTS} election timeouts after the last fault: {why}"));
            }
            self.remove_lost();
        }
        self.clients.end();
        self.clients.judge()
    }

    /// A change of membership that was on its way when data was lost took the majority away from those who
    /// have theirs. Then nothing can be written any more, and all that was read must still be true.
    fn is_hopeless(&self) -> bool {
        let ours = self.hosts.values().filter(|host| host.lineage() == self.cluster);
        let mut newest = ours.flat_map(|host| host.members.iter().rev().take(2));
        newest.any(|(_, m)| !self.has_majority(&m.voters) || !self.has_majority(&m.outgoing))
    }

    /// The operator takes out nodes whose data is lost, those first that were on their way in.
    fn remove_lost(&mut self) {
        let Some(leader) = self.leader() else { return };
        let Some(status) = self.status(leader) else { return };
        let gone = status.membership.everyone().filter(|m| !self.places.contains_key(&m.id));
        let gone: Vec<NodeId> = gone.map(|m| m.id).collect();
        gone.into_iter().rev().for_each(|id| self.change(leader, Change::Remove(id)));
    }

    /// One leader, one configuration, equal logs, nobody left behind.
    fn is_whole(&self) -> Check {
        let (leader, membership) = self.only_leader()?;
        let settled = !membership.is_joint() && membership.learners.iter().all(|l| !l.promote);
        self.holds(settled, || format!("{membership} is no end"))?;
        let log: Vec<_> = self.hosts[&leader].durable.iter().map(|entry| entry.id()).collect();
        for member in membership.everyone() {
            self.is_like(member.id, leader, &membership, log.len())?;
        }
        self.hosts.keys().try_for_each(|place| self.is_at_home(*place, &membership))
    }

    fn only_leader(&self) -> Result<(u64, Arc<Membership>), String> {
        let leaders = self.hosts.keys().filter_map(|place| {
            let status = self.status(*place)?;
            let leads =
                status.role == RoleName::Leader && self.hosts[place].lineage() == self.cluster;
            leads.then_some((*place, status.membership))
        });
        let leaders: Vec<_> = leaders.collect();
        match &leaders[..] {
            [leader] => Ok(leader.clone()),
            _ => Err(format!("the cluster has {} leaders", leaders.len())),
        }
    }

    /// A member has the leader's log and configuration, has applied it, and hears it.
    fn is_like(&self, id: NodeId, leader: u64, membership: &Membership, len: usize) -> Check {
        let Some(place) = self.places.get(&id).copied() else {
            return Err(format!("{id} is a member and nowhere"));
        };
        let (host, first) = (&self.hosts[&place], &self.hosts[&leader]);
        let Some(status) = self.status(place) else { return Err(format!("{place} is down")) };
        self.holds(host.durable == first.durable && host.durable.len() == len, || {
            format!("{place} has another log than {leader}")
        })?;
        self.holds(*status.membership == *membership, || {
            format!("{place} has another configuration")
        })?;
        let last = disk::last(&host.durable).index;
        self.holds(host.machine.applied == last, || {
            format!("{place} applied {}", host.machine.applied)
        })?;
        self.holds(!status.abstaining, || format!("{place} still abstains"))?;
        self.holds(status.leader == first.id(), || format!("{place} does not follow {leader}"))?;
        self.callers.nobody_waits(place)?;
        let run = host.state.incarnation.counter();
        self.callers.nobody_is_forgotten(id, run, host.state.term)
    }

    /// A node is a member, or it is alone and knows it, unless it knows nobody who could tell it.
    fn is_at_home(&self, place: u64, membership: &Membership) -> Check {
        let host = &self.hosts[&place];
        let Some(status) = self.status(place) else { return Err(format!("{place} is down")) };
        if host.lineage() == self.cluster {
            let mut known = status.membership.all_voters();
            let lost = !membership.contains(host.id()) && known.any(|v| membership.contains(v.id));
            return self.holds(!lost || status.standalone, || {
                format!("{place} never hears that it is no member")
            });
        }
        let alone = status.standalone && !host.state.joining && !host.state.abstaining;
        self.holds(!alone || status.role == RoleName::Leader, || {
            format!("{place} does not lead itself")
        })
    }

    /// A fresh change is committed and applied by all, and each of them may read it.
    fn write_and_read(&mut self) -> Check {
        let (leader, membership) = self.only_leader()?;
        let before = self.safety.committed_to(self.cluster);
        let command = self.command(leader, "the end");
        self.push(leader, Event::Proposed(vec![command]));
        self.run_for(self.config.election_timeout)?;
        let reads: Vec<u64> =
            membership.voters.iter().filter_map(|m| self.places.get(&m.id).copied()).collect();
        for place in &reads {
            let applied = self.hosts[place].machine.applied;
            self.holds(applied > before, || format!("{place} did not apply a fresh change"))?;
            self.last_request += 1;
            self.callers.read(*place, self.last_request, before.next());
            self.push(*place, Event::ReadRequested(self.last_request));
        }
        self.run_for(self.config.election_timeout)?;
        reads.iter().try_for_each(|place| self.callers.nobody_waits(*place))
    }
}
