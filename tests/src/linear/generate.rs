//! Random histories of registers, for tests of the checker: some as real registers would make them, some with
//! an answer or a time that was altered afterwards. Whether those are still linearizable is for a checker to say.

use super::Operation;
use super::register::{Action, Input, Output, Value, apply};
use std::collections::BTreeMap;

/// A history of registers.
pub type History = Vec<Operation<Input, Output>>;

/// How a history looks.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many operations it has.
    pub operations: usize,
    /// How many clients call, each one operation at a time.
    pub clients: u64,
    /// How many registers there are.
    pub keys: u64,
    /// How many values: with few of them more orders are possible.
    pub values: u64,
    /// How many operations of 100 never return; half of these take effect.
    pub unknown: u64,
    /// How many operations of 100 are altered.
    pub altered: u64,
}

/// SplitMix64: equal seeds, equal histories.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}

/// An operation, and when it takes effect.
struct Planned {
    operation: Operation<Input, Output>,
    effect: Option<u64>,
}

/// A history of a shape. Each seed gives another one.
#[must_use]
pub fn history(shape: Shape, seed: u64) -> History {
    let mut random = Random(seed);
    let mut planned = plan(shape, &mut random);
    answer(&mut planned);
    let mut history: History = planned.into_iter().map(|planned| planned.operation).collect();
    for operation in &mut history {
        if random.percent(shape.altered) {
            alter(operation, shape, &mut random);
        }
    }
    history
}

/// Clients call, wait for the return and call again. No two things happen at the same time.
fn plan(shape: Shape, random: &mut Random) -> Vec<Planned> {
    let mut free = vec![0; shape.clients as usize];
    let mut planned = Vec::new();
    for n in 0..shape.operations as u64 {
        let client = random.below(shape.clients);
        let moment =
            |past: u64, random: &mut Random| (past / 1000 + 1 + random.below(9)) * 1000 + n % 1000;
        let called = moment(free[client as usize], random);
        let effect = moment(called, random);
        let returned = moment(effect, random);
        free[client as usize] = returned;
        let unknown = random.percent(shape.unknown);
        let input = input(shape, random);
        let returned = (!unknown).then_some(returned);
        let operation = Operation { client, called, returned, input, output: None };
        planned.push(Planned {
            operation,
            effect: (!unknown || random.percent(50)).then_some(effect),
        });
    }
    planned
}

fn input(shape: Shape, random: &mut Random) -> Input {
    let key = format!("k{}", random.below(shape.keys));
    let mut value = || -> Value { random.below(shape.values).to_string().into() };
    let (value, other) = (value(), value());
    let action = match random.below(8) {
        0..3 => Action::Get,
        3..5 => Action::Put(value),
        5..7 => Action::CompareAndSet { expected: random.percent(80).then_some(other), value },
        _ => Action::Append(value),
    };
    Input { key, action }
}

/// Answers as registers do, each operation when it takes effect.
fn answer(planned: &mut [Planned]) {
    let mut order: Vec<usize> =
        (0..planned.len()).filter(|n| planned[*n].effect.is_some()).collect();
    order.sort_by_key(|n| planned[*n].effect);
    let mut registers: BTreeMap<String, Option<Value>> = BTreeMap::new();
    for n in order {
        let operation = &mut planned[n].operation;
        let register = registers.entry(operation.input.key.clone()).or_default();
        let (after, output) = apply(register, &operation.input.action);
        *register = after;
        operation.output = operation.returned.is_some().then_some(output);
    }
}

/// Another answer, or other times: earlier or shorter than it was.
fn alter(operation: &mut Operation<Input, Output>, shape: Shape, random: &mut Random) {
    match &mut operation.output {
        Some(Output::Swapped(swapped)) => *swapped = !*swapped,
        Some(Output::Value(value)) => {
            let other = random.below(shape.values + 1);
            *value = (other < shape.values).then(|| other.to_string().into());
        }
        _ => {
            let Some(returned) = &mut operation.returned else { return };
            let earlier = random.below(20_000).min(operation.called);
            (operation.called, *returned) = (operation.called - earlier, *returned - earlier);
        }
    }
}
