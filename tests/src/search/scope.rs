//! What a search goes through: where it begins and what may happen.

use super::action::Budget;
use crate::cluster::Cluster;
use quorate_engine::consensus::message::Change;

/// A small world.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Its name.
    pub name: &'static str,
    /// The cluster that it begins with.
    pub first: fn() -> Cluster,
    /// Writes become durable one by one, not at once.
    pub manual: bool,
    /// Callers ask followers too, which pass that on.
    pub forward: bool,
    /// Places whose deadlines never pass: their nodes vote and follow, and that is all.
    pub patient: &'static [u8],
    /// Changes that callers may ask for.
    pub changes: Vec<Change>,
    /// Messages that are under way at once between two nodes; more are lost.
    pub in_flight: usize,
    /// What may happen.
    pub budget: Budget,
    /// The reference model judges too.
    pub model: bool,
}

impl Scope {
    /// The cluster that it begins with.
    #[must_use]
    pub fn begin(&self) -> Cluster {
        (self.first)()
    }
}
