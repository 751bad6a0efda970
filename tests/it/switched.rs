//! A node whose log has entries of two lineages, one after the other in the same files, and is damaged
//! where the second one begins. What is left of the first is no part of the second.

use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::consensus::ready::{Fetch, HardState, Write};
use quorate_engine::consensus::types::{ClusterId, Index, NodeId, Term};
use quorate_engine::storage::wal::{Wal, WalOptions};
use quorate_engine::stored::LogWriter;
use quorate_tests::cluster::CLUSTER;
use quorate_tests::scene;
use quorate_tests::simulated_fs::{Dice, SimDisk};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ALONE: ClusterId = ClusterId(5);
/// The node wrote so many entries alone; the cluster that it joined has more.
const WRITTEN_ALONE: u64 = 7;
const LAST: u64 = 30;

fn open(disk: &SimDisk) -> Option<LogWriter> {
    let options = WalOptions { segment_bytes: 16 << 10, adopt_copied_directory: false };
    let store = Wal::on(Arc::new(disk.clone()), PathBuf::from("/data"), options);
    let mut dice = Dice(9);
    LogWriter::open(Box::new(store), &mut || Ok(dice.roll())).ok()
}

fn noop(index: u64, term: u64) -> Entry {
    Entry { index: Index(index), term: Term(term), payload: Payload::Noop }
}

/// The cluster's log: its configuration has the node from the start.
fn of_cluster(index: u64) -> Entry {
    match index {
        2 | 20 => {
            let membership = scene::membership(index, &[1, 2, 3], &[], &[]);
            Entry { payload: Payload::Membership(Arc::new(membership)), ..noop(index, 7) }
        }
        _ => noop(index, 7),
    }
}

fn write(writer: &mut LogWriter, seq: u64, state: Option<HardState>, entry: Entry) {
    let append = vec![entry];
    let write =
        Write { seq, state, keep_to: None, append, commit_hint: Index::ZERO, after: Vec::new() };
    let mut write = Some(write);
    writer.carry_out(|_| write.take()).expect("the disk is well");
}

/// Alone for some terms, then in the cluster.
fn written(disk: &SimDisk) {
    let mut writer = open(disk).expect("it is new");
    let alone = HardState { node: NodeId(3), lineage: ALONE, ..writer.stored().state.clone() };
    for n in 1..=WRITTEN_ALONE {
        let state = HardState { term: Term(n), voted_for: NodeId(3), ..alone.clone() };
        write(&mut writer, n, Some(state), noop(n, n));
    }
    let joining = HardState {
        lineage: CLUSTER,
        term: Term(0),
        voted_for: NodeId(0),
        abstaining: true,
        cut_pending: true,
        joining: true,
        has_peers: true,
        cut_to: Index::ZERO,
        number_floor: 1,
        ..writer.stored().state.clone()
    };
    writer.switch(joining).expect("the disk is well");
    let member = HardState {
        term: Term(7),
        abstaining: false,
        joining: false,
        ..writer.stored().state.clone()
    };
    for n in 1..=LAST {
        write(&mut writer, WRITTEN_ALONE + n, (n == LAST).then(|| member.clone()), of_cluster(n));
    }
}

fn all(writer: &mut LogWriter) -> Vec<Entry> {
    let last = writer.stored().last;
    let fetch = Fetch { id: 1, from: Index(1), to: last, max_bytes: 1 << 20 };
    if last.is_zero() {
        Vec::new()
    } else {
        writer.fetch(&fetch).expect("reads").expect("is there")
    }
}

#[test]
fn what_was_written_alone_is_no_part_of_the_cluster_s_log() {
    let disk = SimDisk::new(1);
    written(&disk);
    let logs =
        disk.content().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "log"));
    let mut kept = 0;
    for (path, bytes) in logs.collect::<Vec<(PathBuf, Vec<u8>)>>() {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        kept += (0..end).step_by(3).filter(|at| is_right_after(&disk, &path, *at)).count();
    }
    assert!(kept > 100, "what lies before the damage is used: {kept}");
}

/// Whether something is left of the log with that byte altered. All of it is the cluster's.
fn is_right_after(disk: &SimDisk, path: &Path, at: usize) -> bool {
    let harmed = disk.copy();
    harmed.power_cut();
    harmed.harm(path, |content| content[at] ^= 16);
    let Some(mut writer) = open(&harmed) else { return false };
    let (found, state) = (all(&mut writer), writer.stored().state.clone());
    let expected: Vec<Entry> = (1..=found.len() as u64).map(of_cluster).collect();
    assert_eq!(found, expected, "{} at {at}", path.display());
    assert!(
        found.len() as u64 == LAST || state.abstaining || at_the_end(&found),
        "{at} of {}",
        path.display()
    );
    drop(writer);
    let mut again = open(&harmed).expect("it opened before");
    assert_eq!(all(&mut again), expected, "and so it stays");
    !found.is_empty()
}

/// The last frame can't be told from one that was torn.
fn at_the_end(found: &[Entry]) -> bool {
    found.len() as u64 == LAST - 1
}
