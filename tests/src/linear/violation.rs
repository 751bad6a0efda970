//! What is told of a history that is not linearizable: the return that broke it, and how far an order goes.

use super::{OperationOf, Specification, search};
use std::fmt::{self, Debug, Display};

/// How many lines of the order are shown: its end is where it breaks.
const SHOWN: usize = 12;

/// Why a history is not linearizable. Of several broken parts it tells of the smallest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// The part that is broken.
    pub part: String,
    /// How many operations of it are needed to see that: those called before the return that broke it.
    pub operations: usize,
    /// When that operation returned.
    pub at: u64,
    /// The longest order that was found, each operation with the state after it.
    pub ordered: Vec<String>,
    /// The operations that had returned by then and are not in that order.
    pub stuck: Vec<String>,
}

impl Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "not linearizable: part {}, seen at {} with {} operations",
            self.part, self.at, self.operations
        )?;
        let skipped = self.ordered.len().saturating_sub(SHOWN);
        writeln!(f, "an order that holds for {} operations{}:", self.ordered.len(), end(skipped))?;
        for line in &self.ordered[skipped..] {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "and none of these can come next:")?;
        for line in &self.stuck {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Violation {}

fn end(skipped: usize) -> String {
    if skipped == 0 { String::new() } else { format!(", the last {SHOWN}") }
}

/// Tells why a part is broken. Whatever holds for a history holds for what was known of it earlier, so the
/// earliest time at which it is broken can be found by halving.
pub fn explain<S: Specification>(spec: &S, name: &S::Part, part: &[OperationOf<S>]) -> Violation {
    let mut returns: Vec<u64> = part.iter().filter_map(|operation| operation.returned).collect();
    returns.sort_unstable();
    let first = returns.partition_point(|at| search::run(spec, &until(part, *at)).linearizable);
    let at = returns.get(first).copied().unwrap_or(u64::MAX);
    let known = until(part, at);
    let longest = search::run(spec, &known).longest;
    Violation {
        part: format!("{name:?}"),
        operations: known.len(),
        at,
        ordered: ordered(spec, &known, &longest),
        stuck: stuck(&known, &longest),
    }
}

/// What was known at a time: what is not called is not there, what has not returned is open.
fn until<I: Clone, O: Clone>(
    part: &[super::Operation<I, O>],
    at: u64,
) -> Vec<super::Operation<I, O>> {
    let mut known: Vec<_> =
        part.iter().filter(|operation| operation.called <= at).cloned().collect();
    for operation in &mut known {
        if operation.returned.is_some_and(|returned| returned > at) {
            operation.returned = None;
            operation.output = None;
        }
    }
    known
}

fn line<I: Debug, O: Debug>(operation: &super::Operation<I, O>) -> String {
    let super::Operation { client, called, returned, input, output } = operation;
    let returned = returned.map_or("..".into(), |at| format!("..{at}"));
    let output = output.as_ref().map_or("?".into(), |output| format!("{output:?}"));
    format!("client {client} at {called}{returned}: {input:?} -> {output}")
}

fn ordered<S: Specification>(spec: &S, part: &[OperationOf<S>], order: &[usize]) -> Vec<String> {
    let mut state = spec.initial();
    let mut lines = Vec::new();
    for operation in order.iter().map(|n| &part[*n]) {
        if let Some(after) = spec.step(&state, &operation.input, operation.output.as_ref()) {
            state = after;
        }
        lines.push(format!("{} = {state:?}", line(operation)));
    }
    lines
}

fn stuck<I: Debug, O: Debug>(part: &[super::Operation<I, O>], order: &[usize]) -> Vec<String> {
    let left = part.iter().enumerate().filter(|(n, _)| !order.contains(n));
    left.filter(|(_, operation)| operation.returned.is_some()).map(|(_, o)| line(o)).collect()
}
