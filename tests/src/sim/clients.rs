//! Clients: each does one thing at a time at some node, waits for the answer or gives up, and goes
//! elsewhere. All that they asked and heard is the history, which must be linearizable.
//!
//! A client that gives up does not know what became of its operation, and tries again with another one: it
//! may have been done, may still be, or never.

use super::plan::Swarm;
use crate::linear::register::{Action, Input, Output, Register, Value};
use crate::linear::{self, Operation};
use crate::simulated_fs::Dice;
use quorate_engine::consensus::types::Time;
use std::time::Duration;

const KEYS: u64 = 5;

/// Which operation of which client.
pub(super) type Asked = (usize, u64);

/// What a client waits for.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub number: u64,
    pub called: Time,
    pub input: Input,
}

/// One client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// The node it talks to.
    pub place: u64,
    pub open: Option<Open>,
    /// The newest value it has seen of each register, for compare-and-set.
    seen: Vec<Option<Value>>,
}

/// All clients and their history.
pub(super) struct Clients {
    pub all: Vec<Client>,
    pub history: Vec<Operation<Input, Output>>,
    /// They ask for nothing new.
    pub are_silent: bool,
    dice: Dice,
    places: u64,
    think: Duration,
    count: u64,
}

impl Clients {
    pub fn new(seed: u64, swarm: &Swarm) -> Clients {
        let client =
            |n| Client { place: 1 + n % swarm.places, open: None, seen: vec![None; KEYS as usize] };
        Clients {
            all: (0..swarm.clients).map(client).collect(),
            history: Vec::new(),
            are_silent: false,
            dice: Dice(seed ^ 0x636c_6965),
            places: swarm.places,
            think: swarm.think,
            count: 0,
        }
    }

    /// How long a client thinks before its next operation.
    pub fn pause(&mut self) -> Duration {
        Duration::from_nanos(1 + self.dice.below(2 * self.think.as_nanos() as u64))
    }

    /// How long it waits for an answer.
    pub fn patience(&mut self) -> Duration {
        Duration::from_millis(200 + self.dice.below(3_000))
    }

    /// What a client asks for next.
    pub fn next(&mut self, client: usize, now: Time) -> Open {
        self.count += 1;
        let number = self.count;
        let key = self.dice.below(KEYS);
        let value: Value = format!("{number}").into();
        let action = match self.dice.below(20) {
            0..9 => Action::Get,
            9..16 => Action::Put(value),
            16..19 => Action::CompareAndSet {
                expected: self.all[client].seen[key as usize].clone(),
                value,
            },
            _ => Action::Append(format!(".{number}").into()),
        };
        let open = Open { number, called: now, input: Input { key: format!("k{key}"), action } };
        self.all[client].open = Some(open.clone());
        open
    }

    /// What the client waits for, if it still waits for that.
    pub fn waits(&self, (client, number): Asked) -> Option<&Open> {
        self.all[client].open.as_ref().filter(|open| open.number == number)
    }

    /// It is done, and this is the answer.
    pub fn returned(&mut self, client: usize, now: Time, output: Output) {
        let Some(open) = self.all[client].open.take() else { return };
        self.see(client, &open.input, &output);
        self.note(client, open, Some(now), Some(output));
    }

    /// It was certainly not done, or it was a read: then it is not worth a line.
    pub fn refused(&mut self, client: usize) {
        self.all[client].open = None;
        self.move_on(client);
    }

    /// The client gives up, or its node is gone: what became of it is unknown.
    pub fn lost(&mut self, client: usize) {
        if let Some(open) = self.all[client].open.take()
            && open.input.action != Action::Get
        {
            self.note(client, open, None, None);
        }
        self.move_on(client);
    }

    /// Is there an order that explains all answers?
    pub fn judge(&self) -> Result<(), String> {
        linear::check(&Register::default(), &self.history).map_err(|broken| broken.to_string())
    }

    /// What is open stays unknown for ever.
    pub fn end(&mut self) {
        (0..self.all.len()).for_each(|client| self.lost(client));
    }

    fn move_on(&mut self, client: usize) {
        self.all[client].place = 1 + self.dice.below(self.places);
    }

    fn see(&mut self, client: usize, input: &Input, output: &Output) {
        let seen = match (&input.action, output) {
            (
                Action::Put(value) | Action::CompareAndSet { value, .. },
                Output::Done | Output::Swapped(true),
            ) => Some(value.clone()),
            (Action::Get, Output::Value(value)) => value.clone(),
            _ => return,
        };
        let at = input.key[1..].parse::<usize>().unwrap_or(0);
        self.all[client].seen[at] = seen;
    }

    fn note(&mut self, client: usize, open: Open, returned: Option<Time>, output: Option<Output>) {
        let (client, called) = (client as u64, open.called.0);
        let returned = returned.map(|at| at.0);
        self.history.push(Operation { client, called, returned, input: open.input, output });
    }
}
