//! Breadth first through all states of a scope.
//!
//! Of a state only its fingerprint is kept, and by which action it came from which other: a few bytes. To
//! go on from it, it is made again from the nearest of its ancestors that is still at hand. States are
//! gone through in the order in which they were found, so that most of the way is shared with the last
//! one, and what is at hand is one path.

use super::action::Action;
use super::scope::Scope;
use super::sights::Sights;
use super::world::World;
use std::collections::HashSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// What a search did.
#[derive(Clone, Debug)]
pub struct Found {
    /// The name of the scope.
    pub scope: &'static str,
    /// Distinct states.
    pub states: usize,
    /// Actions that were tried.
    pub transitions: u64,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// There are no other states: nothing was left out for want of room.
    pub complete: bool,
    /// How long it took.
    pub took: Duration,
    /// What was seen on the way.
    pub sights: Sights,
    /// The first rule that was broken, and the shortest way there.
    pub fault: Option<Fault>,
}

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The rule, in a sentence.
    pub rule: String,
    /// From the first state to where it was broken.
    pub path: Vec<Action>,
}

/// A state: where it came from, and how. The first comes from itself.
#[derive(Clone, Copy, Debug)]
struct Step {
    from: u32,
    action: Action,
}

/// Goes through a scope until all its states were seen, or so many.
#[must_use]
pub fn explore(scope: &Scope, most: usize) -> Found {
    let begun = Instant::now();
    let mut search = Search::new(scope);
    let mut at = 0;
    while at < search.steps.len() && search.steps.len() < most && search.fault.is_none() {
        search.expand(at);
        at += 1;
    }
    let complete = at == search.steps.len() && search.fault.is_none();
    let Search { steps, transitions, depth, sights, fault, .. } = search;
    let (states, took) = (steps.len(), begun.elapsed());
    Found { scope: scope.name, states, transitions, depth, complete, took, sights, fault }
}

struct Search<'a> {
    steps: Vec<Step>,
    seen: HashSet<u64>,
    /// The states from the first to the one that was gone through last.
    at_hand: Vec<(usize, World<'a>)>,
    transitions: u64,
    depth: usize,
    sights: Sights,
    fault: Option<Fault>,
}

impl<'a> Search<'a> {
    fn new(scope: &'a Scope) -> Search<'a> {
        let first = World::new(scope);
        Search {
            steps: vec![Step { from: 0, action: Action::Restart(0) }],
            seen: HashSet::from([first.fingerprint()]),
            at_hand: vec![(0, first)],
            transitions: 0,
            depth: 0,
            sights: Sights::default(),
            fault: None,
        }
    }

    /// Tries everything that may happen in a state.
    fn expand(&mut self, at: usize) {
        self.fetch(at);
        self.depth = self.depth.max(self.at_hand.len());
        let (_, world) = self.at_hand.pop().expect("it was just fetched");
        self.try_all(at, &world);
        self.at_hand.push((at, world));
    }

    fn try_all(&mut self, at: usize, world: &World<'a>) {
        for action in world.actions() {
            self.transitions += 1;
            let mut next = world.clone();
            let taken = catch_unwind(AssertUnwindSafe(|| next.take(action)));
            let broken = match taken {
                Ok(Ok(())) => None,
                Ok(Err(rule)) => Some(rule),
                Err(_) => Some("the core gave up, see above".to_owned()),
            };
            if let Some(rule) = broken {
                let path = self.path(at).into_iter().chain([action]).collect();
                self.fault = Some(Fault { rule, path });
                return;
            }
            self.sights.note(world, action, &next);
            if self.seen.insert(next.fingerprint()) {
                let from = u32::try_from(at).expect("so many states don't fit in memory");
                self.steps.push(Step { from, action });
            }
        }
    }

    /// Makes a state again.
    fn fetch(&mut self, at: usize) {
        let mut missing = Vec::new();
        let mut ancestor = at;
        while self.at_hand.iter().all(|(known, _)| *known != ancestor) {
            missing.push(ancestor);
            ancestor = self.steps[ancestor].from as usize;
        }
        while self.at_hand.last().is_some_and(|(known, _)| *known != ancestor) {
            self.at_hand.pop();
        }
        for next in missing.into_iter().rev() {
            let mut world = self.at_hand.last().expect("the first is always at hand").1.clone();
            world.take(self.steps[next].action).expect("it was fine the first time");
            self.at_hand.push((next, world));
        }
    }

    fn path(&self, at: usize) -> Vec<Action> {
        let mut path = Vec::new();
        let mut at = at;
        while at > 0 {
            path.push(self.steps[at].action);
            at = self.steps[at].from as usize;
        }
        path.reverse();
        path
    }
}

/// `removal: 61,234 states, 300,120 transitions, depth 24, all of it, 3.1 s`.
impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { scope, states, transitions, depth, took, .. } = self;
        let all = if self.complete { ", all there are" } else { "" };
        let seconds = took.as_secs_f64();
        write!(f, "{scope}: {states} states{all}, {transitions} transitions, ")?;
        write!(f, "depth {depth}, {seconds:.1} s")
    }
}

/// Tells how a rule was broken: what happened, what was sent, and how the node stood afterwards.
#[must_use]
pub fn tell(scope: &Scope, fault: &Fault) -> String {
    let mut world = World::new(scope);
    let mut lines = vec![format!("{}: {}", scope.name, fault.rule), "it begins with".to_owned()];
    lines.extend(world.places().map(|place| format!("     {}", world.line(place))));
    world.cluster.quiet = false;
    for (number, action) in fault.path.iter().enumerate() {
        lines.push(format!("{:>3}. {}", number + 1, words(&world, *action)));
        let place = world.place_of(*action);
        let taken = catch_unwind(AssertUnwindSafe(|| world.take(*action)));
        let told = std::mem::take(&mut world.cluster.trace);
        lines.extend(told.into_iter().map(|line| format!("     {line}")));
        match taken {
            Ok(Ok(())) => lines.push(format!("     {}", world.line(place))),
            Ok(Err(rule)) => lines.push(format!("     BROKEN: {rule}")),
            Err(_) => lines.push("     the core gave up".to_owned()),
        }
    }
    lines.join("\n")
}

fn words(world: &World<'_>, action: Action) -> String {
    match action {
        Action::Deliver { at }
        | Action::Overtake { at }
        | Action::Double { at }
        | Action::Lose { at } => {
            let envelope = world.message(at);
            let message = crate::show::message(envelope.from, envelope.to, &envelope.message);
            format!("{action} {message}")
        }
        _ => action.to_string(),
    }
}
