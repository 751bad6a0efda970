//! A damaged log as a member of a cluster opens it: up to the first flaw, with the rest put aside, and
//! without a vote until it is repaired.

use super::wal::frames;
use super::*;
use quorate_engine::codec::encode_entry;
use quorate_engine::consensus::command::{Entry, Payload};
use quorate_engine::error::ErrorKind;
use quorate_engine::stored::LogWriter;
use quorate_tests::cluster::CLUSTER;
use quorate_tests::scene;
use std::sync::Arc;

/// Where the damage is: in which segment, and where there.
type Place = (usize, usize);

/// A log of three runs, with a frame for each entry, 12 in all.
fn rig() -> Rig {
    let rig = Rig::new(Kind::Wal);
    for run in 0..3 {
        rig.run(run + 1, run * 4 + 1..=run * 4 + 4);
    }
    rig
}

impl Rig {
    /// Files that were put aside, by name.
    fn aside(&self) -> Vec<(String, Vec<u8>)> {
        let all = content(&self.path("wal")).into_iter();
        let named = all.map(|(path, bytes)| {
            (path.file_name().expect("a name").to_string_lossy().into_owned(), bytes)
        });
        named.filter(|(name, _)| name.contains(".damaged-")).collect()
    }

    fn harm(&self, (segment, at): Place) {
        let path = &self.segments()[segment];
        let mut bytes = read(path);
        bytes[at] ^= 0x10;
        write(path, &bytes);
    }

    /// Begins a run on what is left, and goes on: the log ends at `last`, and all else is kept.
    fn goes_on_after(&self, last: u64, harmed: &[(PathBuf, Vec<u8>)]) {
        let before = content(&self.dir);
        let mut store = self.store(false);
        store.open().expect_err("must be refused");
        let left = store.salvage().expect("salvages");
        assert_eq!(left.found.last, Index(last));
        assert!(before == content(&self.dir), "nothing is changed before the state is");
        store.metadata_put(STATE_KEY, &state(self.id, 9, false)).expect("begins");
        if last > 0 {
            let found = store.read(Index(1), Index(last), 1 << 20).expect("reads");
            assert_eq!(found, (1..=last).map(record).collect::<Vec<_>>());
        }
        store.append(&[record(last + 1), record(last + 2)], Index(0)).expect("appends");
        store.sync().expect("syncs");
        drop(store);
        for (path, bytes) in harmed {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let kept = self.aside();
            let kept = kept.iter().any(|(n, b)| n.starts_with(&format!("{name}.")) && b == bytes);
            assert!(kept, "{name} is kept as it was: {:?}", self.aside().len());
        }
        assert_eq!(self.last(), last + 2);
        self.run(10, last + 3..=last + 4);
        assert_eq!(self.last(), last + 4);
    }
}

/// What all of the segments hold from `nth` on.
fn from(rig: &Rig, nth: usize) -> Vec<(PathBuf, Vec<u8>)> {
    rig.segments().into_iter().skip(nth).map(|path| (path.clone(), read(&path))).collect()
}

// known bug: G3
#[test]
fn everything_below_the_first_flaw_is_there_and_all_else_is_kept() {
    let count = |nth: usize| frames(&read(&rig().segments()[nth])).len();
    for (nth, frame) in (0..3).flat_map(|nth| (0..count(nth)).map(move |frame| (nth, frame))) {
        if (nth, frame) == (2, count(2) - 1) {
            continue; // the very last frame of an unclean run is a torn end
        }
        let rig = rig();
        let (start, len) = frames(&read(&rig.segments()[nth]))[frame];
        rig.harm((nth, start + len / 2));
        // The first frame of a segment links it to the one before; each other one has an entry.
        let last = nth * 4 + frame.saturating_sub(1);
        let harmed = from(&rig, nth);
        rig.goes_on_after(last as u64, &harmed);
    }
}

#[test]
fn a_damaged_header_or_a_missing_or_short_segment_ends_the_log_before_it() {
    for nth in 0..3 {
        let headless = rig();
        headless.harm((nth, 33));
        let harmed = from(&headless, nth);
        headless.goes_on_after(nth as u64 * 4, &harmed);
        let missing = rig();
        let harmed = from(&missing, nth + 1);
        std::fs::remove_file(&missing.segments()[nth]).expect("removes");
        missing.goes_on_after(nth as u64 * 4, &harmed);
        let short = rig();
        let segment = short.segments()[nth].clone();
        let good = read(&segment);
        let (start, _) = frames(&good)[3]; // the third entry
        std::fs::write(&segment, &good[..start + 9]).expect("writes");
        let harmed = from(&short, nth);
        short.goes_on_after(nth as u64 * 4 + 2, &harmed);
    }
    let lost = rig();
    std::fs::remove_dir_all(lost.path("wal")).expect("removes");
    lost.goes_on_after(0, &[]);
}

/// A second flaw, later, below the first.
#[test]
fn a_log_may_be_damaged_again() {
    let rig = rig();
    let place = |rig: &Rig, frame: usize| (0, frames(&read(&rig.segments()[0]))[frame].0 + 50);
    rig.harm(place(&rig, 4));
    rig.goes_on_after(3, &from(&rig, 0));
    rig.harm(place(&rig, 2));
    let harmed = from(&rig, 0);
    rig.goes_on_after(1, &harmed);
}

/// What a state of another time or another directory leads to is no damage that a leader can repair.
#[test]
fn what_is_no_damage_is_not_salvaged() {
    let rig = rig();
    for (file, at) in [("state", 60), ("state", 4096 + 60)] {
        let mut bytes = read(&rig.path(file));
        bytes[at] ^= 1;
        write(&rig.path(file), &bytes);
    }
    rig.refused(StorageErrorKind::Corrupt, &rig.path("state"), 0);
    rig.store(false).salvage().expect_err("term and vote are lost");
    let (ours, theirs) = (self::rig(), Rig::with(Kind::Wal, 78));
    theirs.run(1, 1..=4);
    std::fs::copy(&theirs.segments()[0], &ours.segments()[0]).expect("copies");
    let refused = ours.store(false).salvage().expect_err("of another directory");
    assert_eq!(refused.kind, StorageErrorKind::ForeignFile);
}

fn entry(index: u64, term: u64, payload: Payload) -> Entry {
    Entry { index: Index(index), term: Term(term), payload }
}

fn configuration(number: u64, voters: &[u64]) -> Payload {
    Payload::Membership(Arc::new(scene::membership(number, voters, &[], &[])))
}

/// Node 1 of cluster `CLUSTER`, with these configurations at entries 2 and 8 of 10.
fn member(first: &[u64], second: &[u64]) -> Rig {
    let rig = Rig::new(Kind::Wal);
    let mut store = rig.store(false);
    store.open().expect("opens");
    store.metadata_put(STATE_KEY, &member_state(second != [1])).expect("begins");
    for index in 1..=10 {
        let payload = match index {
            2 => configuration(1, first),
            8 => configuration(2, second),
            _ => Payload::Noop,
        };
        store.append(&[encode_entry(&entry(index, 1, payload))], Index(0)).expect("appends");
        store.sync().expect("syncs");
    }
    rig
}

fn member_state(has_peers: bool) -> [u8; 112] {
    encode_state(&HardState {
        directory: 77,
        node: NodeId(1),
        lineage: CLUSTER,
        term: Term(3),
        voted_for: NodeId(2),
        incarnation: Incarnation(1 << 40),
        has_peers,
        ..HardState::default()
    })
}

fn open_writer(rig: &Rig) -> Result<LogWriter, quorate_engine::error::Error> {
    LogWriter::open(rig.store(false), &mut || Ok(5))
}

/// The offset in the middle of the frame of an entry.
fn middle(rig: &Rig, index: usize) -> usize {
    let (start, len) = frames(&read(&rig.segments()[0]))[index];
    start + len / 2
}

#[test]
fn a_member_with_a_damaged_log_abstains_and_says_where_it_is_damaged() {
    let rig = member(&[1, 2, 3], &[1, 2, 3, 4]);
    rig.harm((0, middle(&rig, 5)));
    let segment = rig.segments()[0].clone();
    let writer = open_writer(&rig).expect("starts");
    let stored = writer.stored();
    assert_eq!(stored.last, Index(4));
    assert!(stored.state.abstaining && stored.in_cluster());
    assert_eq!((stored.state.term, stored.state.voted_for), (Term(3), NodeId(2)));
    let damage = stored.damage.as_deref().expect("it is told");
    let place = format!("{} at offset", segment.display());
    assert!(damage.starts_with(&place) && damage.contains("after entry 4, and"), "{damage}");
    assert!(!damage.contains("Nothing was changed"), "{damage}");
    drop(writer);
    let again = open_writer(&rig).expect("starts again");
    assert!(again.stored().state.abstaining && again.stored().damage.is_none());
    assert_eq!(again.stored().state.incarnation.counter(), 3);
}

#[test]
fn the_only_voter_is_refused_as_before() {
    // The newest configuration decides, also where it can't be read.
    for (first, second) in [(&[1][..], &[1][..]), (&[1, 2, 3], &[1])] {
        let rig = member(first, second);
        rig.harm((0, middle(&rig, 5)));
        let before = content(&rig.dir);
        let refused = open_writer(&rig).err().expect("must be refused");
        assert_eq!(refused.kind, ErrorKind::Corrupt);
        assert!(refused.message.contains("frame 6 was expected here"), "{}", refused.message);
        assert!(refused.message.contains("Nothing was changed"), "{}", refused.message);
        assert!(before == content(&rig.dir));
    }
    for frame in [5, 8] {
        let grown = member(&[1], &[1, 2]);
        grown.harm((0, middle(&grown, frame)));
        assert!(open_writer(&grown).expect("starts").stored().state.abstaining);
    }
    let alone = Rig::new(Kind::Wal);
    alone.run(1, 1..=5);
    alone.harm((0, middle(&alone, 3)));
    assert_eq!(open_writer(&alone).err().expect("must be refused").kind, ErrorKind::Corrupt);
}

/// A member that lost its whole log does not even know its cluster's members.
#[test]
fn a_log_that_is_lost_whole_is_repaired_where_others_vote() {
    for is_gone in [false, true] {
        let rig = member(&[1, 2], &[1, 2, 3]);
        if is_gone {
            std::fs::remove_dir_all(rig.path("wal")).expect("removes");
        } else {
            rig.harm((0, middle(&rig, 0)));
        }
        let writer = open_writer(&rig).expect("others vote");
        assert_eq!((writer.stored().last, writer.stored().state.abstaining), (Index(0), true));
        let alone = member(&[1, 2], &[1]);
        std::fs::remove_dir_all(alone.path("wal")).expect("removes");
        assert_eq!(open_writer(&alone).err().expect("must be refused").kind, ErrorKind::Corrupt);
    }
}

/// A crash kept the state of a write and not its entry: what the state notes of others is as the log says.
#[test]
fn what_is_noted_of_peers_is_put_right_by_a_log_that_is_whole() {
    for (second, noted) in [(&[1][..], true), (&[1, 2], false)] {
        let rig = member(&[1], second);
        let mut store = rig.store(false);
        store.open().expect("opens");
        store.metadata_put(STATE_KEY, &member_state(noted)).expect("puts");
        drop(store);
        let has_peers = open_writer(&rig).expect("it is whole").stored().state.has_peers;
        assert_eq!(has_peers, second.len() > 1);
    }
}
