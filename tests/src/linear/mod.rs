//! Is a history linearizable? Each operation of it must seem to take effect at one moment between its call
//! and its return.
//!
//! The search is that of Wing and Gong with Lowe's improvements (*Testing for linearizability*, 2017): a
//! history is split into its independent parts first (`Specification::part`), and no state is searched
//! twice with the same operations done. An operation whose outcome is unknown stays open to the end: it may
//! take effect at any time after its call, or never.
//!
//! A history that passes is linearizable and one that fails is not: nothing here is a guess, and there is no
//! limit after which the search would give up.

pub mod generate;
pub mod register;
mod search;
mod violation;

pub use register::Register;
pub use violation::Violation;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;

/// What a client called and what it was told. Times are of one clock, in whatever unit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Operation<I, O> {
    /// Who called.
    pub client: u64,
    /// When it was called.
    pub called: u64,
    /// When it returned. None: the outcome is unknown; it may have taken effect at any time after `called`,
    /// or never.
    pub returned: Option<u64>,
    /// What was asked for.
    pub input: I,
    /// What was answered. None: anything.
    pub output: Option<O>,
}

/// An operation of a specification.
pub type OperationOf<S> = Operation<<S as Specification>::Input, <S as Specification>::Output>;

/// What operations do when they come one after another.
pub trait Specification {
    /// The state of one part.
    type State: Clone + Debug + Eq + Hash;
    /// What is asked for.
    type Input: Clone + Debug;
    /// What is answered.
    type Output: Clone + Debug;
    /// Names a part. Operations of different parts neither see nor change each other.
    type Part: Clone + Debug + Ord;

    /// The part that an input is of.
    fn part(input: &Self::Input) -> Self::Part;

    /// The state of any part at the beginning.
    fn initial(&self) -> Self::State;

    /// The state after an operation, or None if that output isn't possible. Without an output: any will do.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// Whether an operation with this output leaves every state as it is. It makes the search faster.
    fn only_reads(_input: &Self::Input, _output: Option<&Self::Output>) -> bool {
        false
    }

    /// The same specification for one part, where it can gain from knowing all that was asked and answered
    /// there: states that no operation of the part can tell apart may be one. It makes the search faster.
    fn narrowed(&self, _part: &[OperationOf<Self>]) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
}

/// Judges a history, in whatever order its operations stand.
///
/// # Errors
/// There is no order of the operations that explains what they returned.
pub fn check<S: Specification>(spec: &S, history: &[OperationOf<S>]) -> Result<(), Violation> {
    let mut parts: BTreeMap<S::Part, Vec<OperationOf<S>>> = BTreeMap::new();
    for operation in history {
        parts.entry(S::part(&operation.input)).or_default().push(operation.clone());
    }
    let broken = parts.into_iter().filter(|(_, part)| !search::run(spec, part).linearizable);
    let told = broken.map(|(name, part)| violation::explain(spec, &name, &part));
    told.min_by_key(|violation| violation.operations).map_or(Ok(()), Err)
}
