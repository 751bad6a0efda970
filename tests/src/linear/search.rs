//! The search for an order of the operations of one part.
//!
//! Calls and returns of the operations that returned form a list by time. At any point of the search those
//! calls may come next that stand before the first return in the list: that operation ended before every
//! later call. What comes next is tried depth first; done operations leave the list and come back when the
//! way turns out to be a dead end.
//!
//! Operations that never returned are not in the list. They are tried when nothing else helps, and three
//! facts keep their number from mattering: the search ends without them; one that changes nothing is better
//! left out; and what can't be ordered with more of them left can't be ordered with fewer.

use super::{OperationOf, Specification};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// What the search came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub linearizable: bool,
    /// The longest order that was found, as positions in the part.
    pub longest: Vec<usize>,
}

/// Searches for an order of `part`.
pub fn run<S: Specification>(spec: &S, part: &[OperationOf<S>]) -> Outcome {
    let narrowed = spec.narrowed(part);
    let mut search = Search::new(narrowed.as_ref().unwrap_or(spec), part);
    let linearizable = search.run();
    Outcome { linearizable, longest: search.longest }
}

/// A set of operations.
type Set = Box<[u64]>;

const NONE: usize = usize::MAX;
const HEAD: usize = 0;

#[derive(Clone, Copy)]
struct Event {
    operation: usize,
    is_call: bool,
    previous: usize,
    next: usize,
}

/// What was done, without what every later state has done too: two of them are equal if the sets are.
#[derive(Eq, Hash, PartialEq)]
struct Done {
    from: usize,
    words: Set,
}

/// A way on: operations to do one after another, and the state after them.
#[derive(Clone)]
struct Branch<S> {
    operations: Vec<usize>,
    state: S,
}

/// A point of the search: what led here, and what may come next.
struct Point<S> {
    here: Branch<S>,
    next: Vec<Branch<S>>,
    /// Ways of unknown operations alone that were gone already. When nothing is next they are made longer by
    /// one: whatever can be reached with few of them is seen before the same with more.
    ways: Vec<Branch<S>>,
}

struct Search<'a, S: Specification> {
    spec: &'a S,
    part: &'a [OperationOf<S>],
    /// The list. Its head is at 0 and of no operation.
    events: Vec<Event>,
    /// Where an operation's call and return stand in the list; unknown ones have no return.
    place: Vec<(usize, usize)>,
    /// Operations that never returned, by their call, with where in the list their call would be.
    unknown: Vec<(usize, usize)>,
    done: Vec<u64>,
    used: Vec<u64>,
    /// By state and what is done of the known: which of the unknown were used. Only the least sets.
    seen: HashMap<(S::State, Done), Vec<Set>>,
    order: Vec<usize>,
    longest: Vec<usize>,
}

impl<'a, S: Specification> Search<'a, S> {
    fn new(spec: &'a S, part: &'a [OperationOf<S>]) -> Self {
        let words = part.len().div_ceil(64);
        let mut search = Self {
            spec,
            part,
            events: vec![Event { operation: NONE, is_call: true, previous: NONE, next: NONE }],
            place: vec![(NONE, NONE); part.len()],
            unknown: Vec::new(),
            done: vec![0; words],
            used: vec![0; words],
            seen: HashMap::new(),
            order: Vec::new(),
            longest: Vec::new(),
        };
        search.lay_out();
        search
    }

    /// Fills the list. What is called when something else returns is concurrent with it: calls go first.
    fn lay_out(&mut self) {
        let mut times = Vec::new();
        for (n, operation) in self.part.iter().enumerate() {
            times.push((operation.called, 0, n));
            times.extend(operation.returned.map(|at| (at, 1, n)));
        }
        times.sort_unstable();
        for (_, returns, n) in times {
            let at = self.events.len();
            match (returns, self.part[n].returned) {
                (0, None) => {
                    self.unknown.push((n, at));
                    continue;
                }
                (0, Some(_)) => self.place[n].0 = at,
                _ => self.place[n].1 = at,
            }
            let event = Event { operation: n, is_call: returns == 0, previous: at - 1, next: NONE };
            self.events[at - 1].next = at;
            self.events.push(event);
        }
    }

    fn run(&mut self) -> bool {
        let root = Branch { operations: Vec::new(), state: self.spec.initial() };
        let mut points = vec![self.point(root)];
        while self.events[HEAD].next != NONE {
            let Some(mut top) = points.pop() else { return false };
            if top.next.is_empty() {
                top.next = self.longer(&top);
                top.ways.clear();
            }
            if let Some(branch) = top.next.pop() {
                let further = self.enter(branch, &mut top);
                points.push(top);
                points.extend(further);
            } else {
                self.keep_longest();
                self.give_back(&top.here.operations);
            }
        }
        self.keep_longest();
        true
    }

    /// Goes on by a branch, unless what is there has been seen.
    fn enter(
        &mut self,
        branch: Branch<S::State>,
        from: &mut Point<S::State>,
    ) -> Option<Point<S::State>> {
        self.take(&branch.operations);
        if !self.is_new(&branch.state) {
            self.give_back(&branch.operations);
            return None;
        }
        if self.is_unknown(branch.operations[0]) {
            from.ways.push(branch.clone());
        }
        Some(self.point(branch))
    }

    fn is_unknown(&self, n: usize) -> bool {
        self.part[n].returned.is_none()
    }

    fn keep_longest(&mut self) {
        if self.order.len() > self.longest.len() {
            self.longest.clone_from(&self.order);
        }
    }

    /// Whoever reads only does so at once: it takes nothing from the others, and then there is no choice.
    fn point(&self, here: Branch<S::State>) -> Point<S::State> {
        let mut next = Vec::new();
        for candidate in self.candidates() {
            let Some(state) = self.after(&here.state, candidate) else { continue };
            let asked = &self.part[candidate];
            let branch = Branch { operations: vec![candidate], state };
            if S::only_reads(&asked.input, asked.output.as_ref()) {
                return Point { here, next: vec![branch], ways: Vec::new() };
            }
            next.push(branch);
        }
        let is_way = here.operations.first().is_some_and(|n| self.is_unknown(*n));
        let start = Branch { operations: Vec::new(), state: here.state.clone() };
        Point { here, next, ways: if is_way { Vec::new() } else { vec![start] } }
    }

    /// What may come next of the known operations; the one that must return first is the last.
    fn candidates(&self) -> Vec<usize> {
        let mut found = Vec::new();
        let mut at = self.events[HEAD].next;
        while at != NONE && self.events[at].is_call {
            found.push(self.events[at].operation);
            at = self.events[at].next;
        }
        found.sort_unstable_by_key(|n| std::cmp::Reverse(self.place[*n].1));
        found
    }

    /// The first return in the list: until its operation is done nothing that is called later may be.
    fn first_return(&self) -> usize {
        let mut at = self.events[HEAD].next;
        while self.events[at].is_call {
            at = self.events[at].next;
        }
        at
    }

    /// The ways of a point, each with one more unknown operation; those that let the operation return that
    /// must are the last.
    fn longer(&self, point: &Point<S::State>) -> Vec<Branch<S::State>> {
        let mut next = Vec::new();
        if self.unknown.is_empty() || point.ways.is_empty() {
            return next;
        }
        let blocked = self.first_return();
        let open = self.unknown.iter().take_while(|(_, at)| *at <= blocked);
        let open: Vec<usize> = open.map(|(n, _)| *n).filter(|n| !holds(&self.used, *n)).collect();
        for way in &point.ways {
            for n in open.iter().filter(|n| !way.operations.contains(n)) {
                if let Some(state) = self.after(&way.state, *n).filter(|state| *state != way.state)
                {
                    let operations = [way.operations.as_slice(), &[*n]].concat();
                    next.push(Branch { operations, state });
                }
            }
        }
        let waits = self.events[blocked].operation;
        next.sort_by_cached_key(|branch| self.after(&branch.state, waits).is_some());
        next
    }

    fn after(&self, state: &S::State, n: usize) -> Option<S::State> {
        self.spec.step(state, &self.part[n].input, self.part[n].output.as_ref())
    }

    fn take(&mut self, operations: &[usize]) {
        for n in operations {
            self.order.push(*n);
            self.turn(*n);
            if !self.is_unknown(*n) {
                let (call, back) = self.place[*n];
                self.unlink(call);
                self.unlink(back);
            }
        }
    }

    fn give_back(&mut self, operations: &[usize]) {
        for n in operations.iter().rev() {
            self.order.pop();
            self.turn(*n);
            if !self.is_unknown(*n) {
                let (call, back) = self.place[*n];
                self.link(back);
                self.link(call);
            }
        }
    }

    /// Puts an operation into its set, or takes it out.
    fn turn(&mut self, n: usize) {
        let set = if self.is_unknown(n) { &mut self.used } else { &mut self.done };
        set[n / 64] ^= 1 << (n % 64);
    }

    fn unlink(&mut self, at: usize) {
        let Event { previous, next, .. } = self.events[at];
        self.events[previous].next = next;
        if next != NONE {
            self.events[next].previous = previous;
        }
    }

    /// The reverse of `unlink`, in the reverse order.
    fn link(&mut self, at: usize) {
        let Event { previous, next, .. } = self.events[at];
        self.events[previous].next = at;
        if next != NONE {
            self.events[next].previous = at;
        }
    }

    /// Whether this state has not been searched with the same known operations done and no more unknown
    /// ones used. Whatever is searched or being searched counts: a way from here would be one from there.
    fn is_new(&mut self, state: &S::State) -> bool {
        let used: Set = self.used[..trimmed(&self.used)].into();
        match self.seen.entry((state.clone(), done(&self.done))) {
            Entry::Vacant(entry) => {
                entry.insert(vec![used]);
                true
            }
            Entry::Occupied(mut entry) => {
                let sets = entry.get_mut();
                if sets.iter().any(|seen| within(seen, &used)) {
                    return false;
                }
                sets.retain(|seen| !within(&used, seen));
                sets.push(used);
                true
            }
        }
    }
}

fn holds(words: &[u64], n: usize) -> bool {
    words[n / 64] >> (n % 64) & 1 == 1
}

fn trimmed(words: &[u64]) -> usize {
    words.iter().rposition(|word| *word != 0).map_or(0, |last| last + 1)
}

/// The set without the full words that it begins with and the empty ones at its end.
fn done(words: &[u64]) -> Done {
    let from = words.iter().take_while(|word| **word == u64::MAX).count();
    Done { from, words: words[from..trimmed(words).max(from)].into() }
}

fn within(small: &[u64], large: &[u64]) -> bool {
    let word = |at| large.get(at).copied().unwrap_or(0);
    small.iter().enumerate().all(|(at, bits)| bits & !word(at) == 0)
}
