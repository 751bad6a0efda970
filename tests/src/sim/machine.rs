//! The host's state: registers, and what each entry did to them, so that all nodes can be compared.

use crate::linear::register::{Action, Input, Output, Value, apply};
use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::consensus::types::{ClusterId, EntryId, Index};
use quorate_engine::state_machine::Applied;
use std::collections::BTreeMap;

/// Registers by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    /// Applied up to here, the engine's entries included.
    pub applied: Index,
    /// It survives a crash.
    pub is_durable: bool,
    /// The last entry of a caller, and the cluster that the node was in; 0 while Standalone.
    held: (EntryId, ClusterId),
    registers: BTreeMap<String, Value>,
    /// Each entry that it was given, and what it stood for then.
    given: Vec<(Index, u64)>,
    /// Stands for all that was done so far.
    print: u64,
}

impl Machine {
    /// What a start is told.
    pub fn held(&self) -> Applied {
        let (id, cluster) = self.held;
        Applied { index: id.index, term: id.term, cluster }
    }

    /// What is not durable is gone.
    pub fn crash(&mut self) {
        if !self.is_durable {
            *self = Machine::default();
        }
    }

    /// Applies an entry, unless it did before: a node whose log was repaired hears it once more. Returns
    /// what the registers answered.
    pub fn commit(&mut self, entry: &Entry, cluster: ClusterId) -> Result<Option<Output>, String> {
        if entry.index != self.applied.next() {
            return Err(format!("{} is applied after {}", entry.id(), self.applied));
        }
        self.applied = entry.index;
        let Payload::Command(command) = &entry.payload else { return Ok(None) };
        if entry.index <= self.held.0.index {
            return Ok(None);
        }
        self.held = (entry.id(), cluster);
        let data = String::from_utf8_lossy(command.data());
        let output = parse(&data).map(|input| self.act(&input));
        self.print = mix(mix(self.print, entry.index.0), hash(&data));
        self.given.push((entry.index, self.print));
        Ok(output)
    }

    /// What a register holds.
    pub fn value(&self, key: &str) -> Option<Value> {
        self.registers.get(key).cloned()
    }

    /// What the entries up to the last one stand for.
    pub fn given(&self) -> &[(Index, u64)] {
        &self.given
    }

    fn act(&mut self, input: &Input) -> Output {
        let (after, output) = apply(&self.value(&input.key), &input.action);
        match after {
            Some(value) => self.registers.insert(input.key.clone(), value),
            None => self.registers.remove(&input.key),
        };
        output
    }
}

/// `put k v`, `add k v` (append), `cas k old v`; `-` for no value.
pub(super) fn write(input: &Input) -> String {
    let key = &input.key;
    match &input.action {
        Action::Get => format!("get {key}"),
        Action::Put(value) => format!("put {key} {value}"),
        Action::Append(value) => format!("add {key} {value}"),
        Action::CompareAndSet { expected, value } => {
            format!("cas {key} {} {value}", expected.as_deref().unwrap_or("-"))
        }
    }
}

fn parse(data: &str) -> Option<Input> {
    let mut words = data.split(' ');
    let (verb, key) = (words.next()?, words.next()?.to_owned());
    let first = words.next()?;
    let action = match verb {
        "put" => Action::Put(first.into()),
        "add" => Action::Append(first.into()),
        "cas" => Action::CompareAndSet {
            expected: (first != "-").then(|| first.into()),
            value: words.next()?.into(),
        },
        _ => return None,
    };
    Some(Input { key, action })
}

/// FNV-1a.
fn hash(data: &str) -> u64 {
    data.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

/// One number for two.
pub(super) fn mix(a: u64, b: u64) -> u64 {
    (a.rotate_left(23) ^ b).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
