//! How a run begins: the store is opened, and the new run is durable before anybody hears of it.
//!
//! What must hold: a node that lost entries which were durable says so in its state, durably, before
//! anything of its log is cut, and gives no votes until a leader has repaired it. Then it is as safe as
//! one that lost nothing: no quorum rests on what it forgot. Where it is the only voter nobody can
//! repair it, and the store's refusal stands.

use super::{Stored, membership, put_state};
use crate::codec;
use crate::consensus::ready::HardState;
use crate::consensus::types::{ClusterId, Incarnation, Index, NodeId};
use crate::error::{Error, ErrorKind};
use crate::storage::{LogStore, Recovered, STATE_KEY, Salvaged, StorageError};

/// Draws random numbers.
pub type Draw<'a> = &'a mut dyn FnMut() -> Result<u64, Error>;

/// Opens the store and begins a new run: a new incarnation, durable before anybody hears of it. A cut
/// that a crash interrupted is finished.
pub(super) fn open(store: &mut dyn LogStore, draw: Draw<'_>) -> Result<Stored, Error> {
    match store.open() {
        Ok(found) => {
            let state = read_state(store)?;
            let state = match state {
                None if found.last > Index::ZERO => return Err(state_lost()),
                None => fresh(draw)?,
                Some(state) => state,
            };
            begin(store, state, found, draw)
        }
        Err(damage) if damage.is_damage() => salvage(store, damage, draw),
        Err(refusal) => Err(Error::opening(refusal)),
    }
}

/// Begins a run on what is left of a damaged log.
fn salvage(
    store: &mut dyn LogStore,
    damage: StorageError,
    draw: Draw<'_>,
) -> Result<Stored, Error> {
    let Ok(left) = store.salvage() else { return Err(Error::opening(damage)) };
    let Some(state) = read_state(store)? else { return Err(Error::opening(damage)) };
    if !state.has_peers {
        return Err(Error::opening(damage));
    }
    let Salvaged { found, rest, .. } = left;
    let cut_pending = state.cut_pending || !reaches_lineage(&state, &found);
    let end = if cut_pending { found.last.min(state.cut_to) } else { found.last };
    let text = format!("{}; the log was cut after entry {end}, and {rest}", damage.flaw());
    let abstaining = !mutant!("g3_cut_without_abstaining");
    let state = HardState { abstaining, cut_pending, ..state };
    let mut stored = begin(store, state, found, draw)?;
    stored.damage = Some(text.into());
    Ok(stored)
}

/// Whether what is left goes beyond the last change of lineage. That cut the log after `cut_to`, and what
/// was there before has the same places as what came then. The new lineage begins with a configuration of
/// its own behind the cut: by that it is known. Where it is not left, nothing behind the cut is.
fn reaches_lineage(state: &HardState, found: &Recovered) -> bool {
    let behind = found.memberships.iter().filter(|record| record.index > state.cut_to).cloned();
    let mut behind = behind.filter_map(|record| membership(record).ok());
    mutant!("g3_other_lineage_is_salvaged")
        || behind.any(|(_, membership)| membership.cluster == state.lineage)
}

/// Makes the new run durable.
fn begin(
    store: &mut dyn LogStore,
    state: HardState,
    found: Recovered,
    draw: Draw<'_>,
) -> Result<Stored, Error> {
    let mut stored = Stored::new(state, found).map_err(Error::opening)?;
    let run = stored.state.incarnation.counter() + u64::from(!mutant!("b5_runs_share_a_number"));
    stored.state.incarnation = Incarnation(run << 40 | draw()? >> 24);
    stored.state.closed = false;
    if !stored.state.abstaining {
        stored.state.has_peers = stored.has_peers(); // a crash may have kept the note and not the entry
    }
    put_state(store, &stored.state).map_err(Error::opening)?;
    if stored.state.cut_pending {
        stored.finish_cut(store).map_err(Error::opening)?;
    }
    Ok(stored)
}

fn read_state(store: &mut dyn LogStore) -> Result<Option<HardState>, Error> {
    let value = store.metadata_get(STATE_KEY).map_err(Error::opening)?;
    value.map(|bytes| codec::decode_state(&bytes).ok_or_else(unknown_state)).transpose()
}

/// The identity of a new directory.
fn fresh(draw: Draw<'_>) -> Result<HardState, Error> {
    Ok(HardState {
        directory: draw()?,
        node: NodeId(draw_id(draw)?),
        lineage: ClusterId(draw_id(draw)?),
        ..HardState::default()
    })
}

/// A random id, in 1..2^63.
///
/// # Errors
/// There are no random numbers.
pub fn draw_id(draw: Draw<'_>) -> Result<u64, Error> {
    Ok((draw()? >> 1).max(1))
}

fn unknown_state() -> Error {
    let text = "the stored state has a form that this version does not know: it was written by a \
                newer version; nothing was changed";
    Error::new(ErrorKind::Version, text)
}

fn state_lost() -> Error {
    let text = "the log has entries, but the state with term, vote and identity is lost: this node \
                can't be trusted to vote; remove it from its cluster, delete the directory, and add \
                it again; nothing was changed";
    Error::new(ErrorKind::Corrupt, text)
}
