//! Registers by key, each a part of its own: put, get, compare-and-set, append.

use super::{OperationOf, Specification};
use std::sync::Arc;

/// What a register holds. Nothing is held before the first put.
pub type Value = Arc<str>;

/// What is asked of a register.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Input {
    /// Its name.
    pub key: String,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done to a register.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Tell the value.
    Get,
    /// Set the value.
    Put(Value),
    /// Set the value if the present one is the expected.
    CompareAndSet {
        /// None: there must be no value.
        expected: Option<Value>,
        /// What to set.
        value: Value,
    },
    /// Set the value to the present one (or an empty one) with this after it.
    Append(Value),
}

/// What a register answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// To put and append.
    Done,
    /// To get.
    Value(Option<Value>),
    /// To compare-and-set: whether the value was the expected.
    Swapped(bool),
}

/// Registers without a value at the beginning.
#[derive(Clone, Debug, Default)]
pub struct Register {
    /// What reads saw and compare-and-sets expected, in order; None as long as that isn't known.
    seen: Option<Vec<Value>>,
}

/// What a register holds, as far as it can be told.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Held {
    /// This, or nothing.
    Known(Option<Value>),
    /// Something that no operation saw or expected, and neither did one see or expect what appends make of it.
    Unseen,
}

/// What an action does to a value and what it answers.
#[must_use]
pub fn apply(state: &Option<Value>, action: &Action) -> (Option<Value>, Output) {
    match action {
        Action::Get => (state.clone(), Output::Value(state.clone())),
        Action::Put(value) => (Some(value.clone()), Output::Done),
        Action::CompareAndSet { expected, value } if expected == state => {
            (Some(value.clone()), Output::Swapped(true))
        }
        Action::CompareAndSet { .. } => (state.clone(), Output::Swapped(false)),
        Action::Append(value) => {
            let longer = format!("{}{value}", state.as_deref().unwrap_or_default());
            (Some(longer.into()), Output::Done)
        }
    }
}

impl Register {
    fn held(&self, value: Option<Value>) -> Held {
        match (&self.seen, value) {
            (Some(seen), Some(value)) if !begins_one(seen, &value) => Held::Unseen,
            (_, value) => Held::Known(value),
        }
    }
}

/// Whether one of the sorted values begins with this one.
fn begins_one(sorted: &[Value], value: &Value) -> bool {
    sorted
        .get(sorted.partition_point(|other| other < value))
        .is_some_and(|other| other.starts_with(&**value))
}

impl Specification for Register {
    type State = Held;
    type Input = Input;
    type Output = Output;
    type Part = String;

    fn part(input: &Input) -> String {
        input.key.clone()
    }

    fn initial(&self) -> Held {
        Held::Known(None)
    }

    fn step(&self, state: &Held, input: &Input, output: Option<&Output>) -> Option<Held> {
        let fits = |answer: &Output| output.is_none_or(|output| output == answer);
        match (state, &input.action) {
            (Held::Known(value), action) => {
                let (after, answer) = apply(value, action);
                fits(&answer).then(|| self.held(after))
            }
            (Held::Unseen, Action::Put(value)) => {
                fits(&Output::Done).then(|| self.held(Some(value.clone())))
            }
            (Held::Unseen, Action::Append(_)) => fits(&Output::Done).then_some(Held::Unseen),
            (Held::Unseen, Action::CompareAndSet { .. }) => {
                fits(&Output::Swapped(false)).then_some(Held::Unseen)
            }
            (Held::Unseen, Action::Get) => output.is_none().then_some(Held::Unseen),
        }
    }

    fn only_reads(input: &Input, output: Option<&Output>) -> bool {
        input.action == Action::Get || output == Some(&Output::Swapped(false))
    }

    fn narrowed(&self, part: &[OperationOf<Self>]) -> Option<Self> {
        let mut seen: Vec<Value> = part
            .iter()
            .filter_map(|operation| match (&operation.input.action, &operation.output) {
                (Action::CompareAndSet { expected, .. }, _) => expected.clone(),
                (_, Some(Output::Value(value))) => value.clone(),
                _ => None,
            })
            .collect();
        seen.sort_unstable();
        seen.dedup();
        Some(Self { seen: Some(seen) })
    }
}
