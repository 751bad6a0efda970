//! Processes start, from whatever their disks hold, and end: of themselves, or with their machine.

use super::host::Fit;
use super::queue::Happening;
use super::world::World;
use crate::show;
use quorate_engine::consensus::raft::Raft;
use quorate_engine::consensus::types::{ClusterId, Index, Time};
use std::time::Duration;

impl World {
    /// A node that is down starts.
    pub fn start(&mut self, place: u64) {
        let now = self.now;
        let host = self.hosts.get_mut(&place).expect("places are never taken away");
        if host.is_up() {
            return;
        }
        let was_torn = host.round.is_some();
        let (id, lineage) = (host.id(), host.lineage());
        match host.open(&mut self.dice) {
            Ok(found) => {
                self.places.remove(&id);
                let host = &self.hosts[&place];
                let (state, is_damaged) = (host.state.clone(), host.is_damaged);
                self.places.insert(state.node, place);
                self.tell(|| format!("{place} starts: {:?}, {}", found.fit, show::state(&state)));
                self.judge_found(place, found.fit, lineage);
                if was_torn {
                    self.tally.count("directory opened after a torn write");
                }
                if is_damaged && found.fit == Fit::Damaged {
                    self.tally.count("bit rot");
                }
                self.build(place, found.applied);
            }
            Err(error) => self.does_not_open(place, &error.to_string(), now),
        }
    }

    /// It is tried again where a call failed; most other refusals are faults.
    fn does_not_open(&mut self, place: u64, error: &str, now: Time) {
        self.tell(|| format!("{place} does not open: {error}"));
        if self.hosts[&place].state.abstaining
            && error.contains("left its cluster with a damaged log")
        {
            return self.is_useless(place); // it ended between leaving and saying so
        }
        let is_off = error.contains("the power is off");
        if !is_off && !error.contains("os error 5") && !error.contains("no storage space") {
            return self.note(place, Err(format!("it does not open: {error}")));
        }
        self.tally.count("crash while opening");
        let host = self.host(place);
        host.disk.heal();
        if is_off {
            host.disk.power_cut();
        }
        host.disk.leave_space(u64::MAX / 2);
        let life = host.life;
        self.at(now + Duration::from_millis(50), Happening::Starts(place, life));
    }

    /// A new core from what is stored.
    pub fn build(&mut self, place: u64, applied: Index) {
        let (lineage, seed, now) = (ClusterId(self.dice.roll() >> 1), self.dice.roll(), self.now);
        let host = self.hosts.get_mut(&place).expect("places are never taken away");
        let Some(restored) = host.restored(applied, lineage) else { return };
        host.machine.applied = applied;
        let core = Raft::new(self.config.clone(), restored, seed, host.clock.local(now));
        host.begin(core);
        self.judge_beginning(place);
        let wait = Duration::from_nanos(self.dice.below(100_000));
        let life = self.hosts[&place].life;
        self.host(place).turn_is_due = true;
        self.after(wait, Happening::Turn(place, life));
    }

    /// A process ends, with or without its machine, and starts again later.
    pub fn end(&mut self, place: u64, power: bool, outage: Duration) {
        let life = {
            let host = self.host(place);
            host.end(power);
            host.turn_is_due = false;
            host.life
        };
        let state = self.hosts[&place].state.clone();
        let durable = self.safety.durable(place, &state);
        self.note(place, durable);
        self.callers.forget(place);
        for client in 0..self.clients.all.len() {
            if self.clients.all[client].place == place && self.clients.all[client].open.is_some() {
                self.lose(client);
            }
        }
        if outage > Duration::from_secs(5) {
            self.tally.count("long outage");
        }
        self.after(outage, Happening::Starts(place, life));
    }

    /// One more output; whether the process was to end here.
    pub fn outputs_end(&mut self, place: u64) -> bool {
        let host = self.host(place);
        let Some((left, power, outage)) = &mut host.ends_in else { return false };
        if *left > 0 {
            *left -= 1;
            return false;
        }
        let (power, outage) = (*power, *outage);
        self.tally.count("crash at an output boundary");
        self.tally.count(if power { "power cut" } else { "kill" });
        self.tell(|| format!("{place} ends here, power {power}"));
        self.end(place, power, outage);
        true
    }
}
