//! The log on a real disk, damaged on purpose: a torn end is cut, everything else is refused with file
//! and offset, and a refusal leaves the directory byte for byte as it was.

use bytes::Bytes;
use quorate_engine::codec::encode_state;
use quorate_engine::consensus::ready::HardState;
use quorate_engine::consensus::types::{Incarnation, Index, NodeId, Term};
use quorate_engine::storage::wal::{Wal, WalOptions};
use quorate_engine::storage::{
    LogStore, Record, Recovered, STATE_KEY, StorageError, StorageErrorKind,
};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const SEGMENT: u64 = 64 << 10;
/// Where the first frame of a segment begins.
const FIRST_FRAME: usize = 4096;

fn record(index: u64) -> Record {
    sized(index, 60)
}

fn sized(index: u64, len: usize) -> Record {
    let mut bytes = vec![index as u8; len];
    bytes[..4].fill(0);
    with_payload(index, bytes)
}

fn with_payload(index: u64, bytes: Vec<u8>) -> Record {
    let payload = Bytes::from(bytes);
    Record { index: Index(index), term: Term(1), crc: crc32c::crc32c(&payload), payload }
}

fn state(directory: u64, run: u64, closed: bool) -> [u8; 112] {
    encode_state(&HardState {
        directory,
        node: NodeId(1),
        incarnation: Incarnation(run << 40),
        closed,
        ..HardState::default()
    })
}

/// A data directory, and what to do to it.
struct Rig {
    _temp: TempDir,
    dir: PathBuf,
    id: u64,
}

impl Rig {
    fn new() -> Rig {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = temp.path().join("data");
        Rig { _temp: temp, dir, id: 77 }
    }

    fn with(directory: u64) -> Rig {
        Rig { id: directory, ..Rig::new() }
    }

    fn wal(&self, adopt: bool) -> Wal {
        let options = WalOptions { segment_bytes: SEGMENT, adopt_copied_directory: adopt };
        Wal::new(self.dir.clone(), options)
    }

    /// Starts a run.
    fn begin(&self, run: u64) -> Wal {
        let mut wal = self.wal(false);
        wal.open().expect("opens");
        wal.metadata_put(STATE_KEY, &state(self.id, run, false)).expect("begins");
        wal
    }

    /// A run that appends `range`, a sync for each entry.
    fn run(&self, run: u64, range: std::ops::RangeInclusive<u64>) {
        let mut wal = self.begin(run);
        for index in range {
            wal.append(&[record(index)], Index(0)).expect("appends");
            wal.sync().expect("syncs");
        }
    }

    fn open(&self) -> Result<Recovered, StorageError> {
        self.wal(false).open()
    }

    fn last(&self) -> u64 {
        self.open().expect("opens").last.0
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The segments that hold frames, oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = std::fs::read_dir(self.path("wal"))
            .expect("lists")
            .map(|entry| entry.expect("lists").path())
            .filter(|path| path.extension().is_some_and(|end| end == "log"))
            .filter(|path| !frames(&read(path)).is_empty())
            .collect();
        all.sort();
        all
    }

    /// Opening is refused, nothing is changed, and the sentence says where and what to do.
    fn refused(&self, kind: StorageErrorKind, file: &Path, offset: u64) -> StorageError {
        let before = content(&self.dir);
        let refused = self.open().expect_err("must be refused");
        assert_eq!(refused.kind, kind, "{refused}");
        assert_eq!(refused.file.as_deref(), Some(file), "{refused}");
        assert_eq!(refused.offset.unwrap_or(0), offset, "{refused}");
        assert!(refused.message.contains(&file.display().to_string()), "{refused}");
        assert!(refused.message.matches(". ").count() >= 1, "says what to do: {refused}");
        assert!(before == content(&self.dir), "a refusal changes nothing: {refused}");
        refused
    }

    /// The same while another run works in the directory.
    fn refused_as_locked(&self) {
        let refused = self.open().expect_err("somebody has it open");
        assert_eq!(refused.kind, StorageErrorKind::Locked, "{refused}");
        assert!(refused.message.contains(&self.path("LOCK").display().to_string()), "{refused}");
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("readable")
}

fn write(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).expect("opens");
    file.write_all(bytes).expect("writes");
}

fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("lists") {
        let path = entry.expect("lists").path();
        if path.is_dir() {
            all.extend(content(&path));
        } else {
            all.insert(path.clone(), read(&path));
        }
    }
    all
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4")) as usize
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8"))
}

/// Offset and length (without padding) of the frames of a segment, read by docs/formats.md alone.
fn frames(segment: &[u8]) -> Vec<(usize, usize)> {
    let salt = &segment[32..40];
    let (mut all, mut at) = (Vec::new(), FIRST_FRAME);
    while at + 32 <= segment.len() {
        let (control, data) = (u32_at(segment, at + 4), u32_at(segment, at + 20));
        let Some(head) = segment.get(at + 4..at + 32 + control) else { break };
        let place = [salt, &(at as u64).to_le_bytes()[..]].concat();
        if crc32c::crc32c_append(crc32c::crc32c(&place), head) as usize != u32_at(segment, at) {
            break;
        }
        all.push((at, 32 + control + data));
        at += (32 + control + data).next_multiple_of(8);
    }
    all
}

/// Opens after each change of one file, which is put back as it was.
fn each(path: &Path, changes: impl Iterator<Item = Vec<u8>>, mut check: impl FnMut(usize)) {
    let good = read(path);
    for (number, changed) in changes.enumerate() {
        write(path, &changed);
        check(number);
        write(path, &good);
    }
}

#[test]
fn a_torn_end_is_cut_wherever_it_tore() {
    let rig = Rig::new();
    rig.run(1, 1..=5);
    let segment = rig.segments().remove(0);
    let good = read(&segment);
    let (start, len) = *frames(&good).last().expect("frames");
    let torn = |cut: usize| {
        let mut torn = good.clone();
        torn[start + cut..start + len].fill(0);
        torn
    };
    each(&segment, (0..len).map(torn), |cut| {
        // The last byte of this payload is not zero, so every cut tears something.
        assert_eq!(rig.last(), 4, "cut at {cut}");
    });
    assert_eq!(rig.last(), 5);
    // Sectors may also arrive in any order: the end of the frame without its beginning.
    each(
        &segment,
        (1..len).map(|cut| [&good[..start], &vec![0; cut], &good[start + cut..]].concat()),
        |cut| {
            assert_eq!(rig.last(), 4, "begins at {cut}");
        },
    );
    write(&segment, &torn(len / 2));
    rig.run(2, 5..=9);
    assert_eq!(rig.last(), 9, "what tore is written anew");
    assert_eq!(read(&segment).len(), start, "and the old segment ends where it was cut");
}

/// A start that was interrupted before its link was durable leaves a segment without a frame.
#[test]
fn a_segment_without_a_frame_is_passed_over_and_removed() {
    let rig = Rig::new();
    rig.run(1, 1..=3);
    drop(rig.begin(2));
    let blank = rig.segments().pop().expect("segments");
    let mut torn = read(&blank);
    torn[FIRST_FRAME..].fill(0);
    write(&blank, &torn);
    assert_eq!(rig.last(), 3);
    rig.run(3, 4..=5);
    assert_eq!(rig.last(), 5);
    assert!(!blank.exists());
}

/// A frame as an attacker, or bad luck, would put it into a payload: right in all but the salt, which
/// nobody can know.
fn imitation(salt: u64, offset: u64, seq: u64) -> Vec<u8> {
    let mut frame = vec![0; 32 + 24];
    frame[4..8].copy_from_slice(&24u32.to_le_bytes());
    frame[8..16].copy_from_slice(&seq.to_le_bytes());
    frame[24..26].copy_from_slice(&1u16.to_le_bytes());
    frame[32] = 3; // a commit hint
    frame[36..40].copy_from_slice(&8u32.to_le_bytes());
    let place = [salt.to_le_bytes(), offset.to_le_bytes()].concat();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&place), &frame[4..]);
    frame[..4].copy_from_slice(&crc.to_le_bytes());
    frame
}

#[test]
fn a_torn_end_that_imitates_a_frame_is_a_torn_end() {
    for knows_salt in [false, true] {
        let rig = Rig::new();
        rig.run(1, 1..=2);
        let mut wal = rig.begin(2);
        let segment = rig.segments().pop().expect("the new one");
        let salt = u64_at(&read(&segment), 32) ^ u64::from(!knows_salt);
        let link = frames(&read(&segment))[0];
        let start = link.0 + link.1.next_multiple_of(8);
        let seq = u64_at(&read(&segment), link.0 + 8) + 1;
        // Header, one run of one entry, then the payload: its first 8 bytes are the type and zeros.
        let inside = start + 32 + 48 + 8;
        let payload = [vec![0; 8], imitation(salt, inside as u64, seq + 1)].concat();
        wal.append(&[with_payload(3, payload)], Index(0)).expect("appends");
        wal.sync().expect("syncs");
        drop(wal);
        assert_eq!(rig.last(), 3, "harmless as long as the frame around it is whole");
        let mut torn = read(&segment);
        torn[start] ^= 1;
        write(&segment, &torn);
        if knows_salt {
            // So that this test can fail: with the salt it would be a proof.
            rig.refused(StorageErrorKind::Corrupt, &segment, start as u64);
        } else {
            assert_eq!(rig.last(), 2);
        }
    }
}

#[test]
fn a_damaged_record_in_the_middle_is_refused() {
    let rig = Rig::new();
    rig.run(1, 1..=4);
    rig.run(2, 5..=8);
    let segments = rig.segments();
    assert_eq!(segments.len(), 2);
    for (nth, segment) in segments.iter().enumerate() {
        let good = read(segment);
        let mut all = frames(&good);
        if nth == 1 {
            all.pop(); // the very last frame of an unclean run may be torn: another test
        }
        for (start, len) in all {
            let flip = |at: usize| {
                let mut bad = good.clone();
                bad[start + at] ^= 0x10;
                bad
            };
            each(segment, (0..len).step_by(7).map(flip), |_| {
                rig.refused(StorageErrorKind::Corrupt, segment, start as u64);
            });
        }
        for at in [0, 9, 13, 20, 30, 40, 45] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            each(segment, [bad].into_iter(), |_| {
                rig.refused(StorageErrorKind::Corrupt, segment, 0);
            });
        }
    }
    assert_eq!(rig.last(), 8);
}

#[test]
fn a_damaged_last_record_is_refused_if_the_state_knows_of_it() {
    for closed in [false, true] {
        let rig = Rig::new();
        let mut wal = rig.begin(1);
        wal.append(&[record(1), record(2)], Index(2)).expect("appends");
        wal.sync().expect("syncs");
        wal.metadata_put(STATE_KEY, &state(77, 1, closed)).expect("puts");
        drop(wal);
        assert_eq!(rig.open().expect("opens").commit_hint, Index(2));
        let segment = rig.segments().remove(0);
        let mut bad = read(&segment);
        let (start, len) = *frames(&bad).last().expect("frames");
        bad[start + len - 1] ^= 1;
        write(&segment, &bad);
        let refused = rig.refused(StorageErrorKind::Corrupt, &segment, start as u64);
        assert!(refused.message.contains("frame 2 was expected"), "{refused}");
    }
}

/// A closed run tells how far its log went. A state from before can't be brought back.
#[test]
fn an_older_state_file_is_refused() {
    let rig = Rig::new();
    let mut wal = rig.begin(1);
    wal.append(&[record(1)], Index(1)).expect("appends");
    wal.sync().expect("syncs");
    wal.metadata_put(STATE_KEY, &state(77, 1, true)).expect("puts");
    drop(wal);
    let old = read(&rig.path("state"));
    rig.run(2, 2..=3);
    write(&rig.path("state"), &old);
    let newest = rig.segments().pop().expect("segments");
    rig.refused(StorageErrorKind::Corrupt, &newest, FIRST_FRAME as u64);
}

#[test]
fn a_missing_segment_is_refused() {
    let rig = Rig::new();
    for run in 0..4 {
        rig.run(run + 1, run * 3 + 1..=run * 3 + 3);
    }
    let segments = rig.segments();
    assert_eq!(segments.len(), 4);
    for segment in &segments {
        let aside = rig.path("aside");
        std::fs::rename(segment, &aside).expect("moves");
        rig.refused(StorageErrorKind::MissingSegment, segment, 0);
        std::fs::rename(&aside, segment).expect("moves");
    }
    assert_eq!(rig.last(), 12);
    std::fs::rename(rig.path("wal"), rig.path("lost")).expect("moves");
    rig.refused(StorageErrorKind::MissingSegment, &segments[0], 0);
}

#[test]
fn a_shortened_segment_is_refused() {
    let rig = Rig::new();
    rig.run(1, 1..=3);
    rig.run(2, 4..=6);
    let segments = rig.segments();
    for segment in &segments {
        let good = read(segment);
        let (start, _) = *frames(&good).last().expect("frames");
        for len in [start, start + 20] {
            std::fs::write(segment, &good[..len]).expect("writes");
            rig.refused(
                StorageErrorKind::Corrupt,
                segment,
                if segment == &segments[0] { start } else { len } as u64,
            );
        }
        std::fs::write(segment, &good).expect("writes");
    }
    assert_eq!(rig.last(), 6);
}

#[test]
fn a_segment_of_another_directory_is_refused() {
    let (rig, other) = (Rig::new(), Rig::with(78));
    for rig in [&rig, &other] {
        rig.run(1, 1..=3);
        rig.run(2, 4..=6);
    }
    for (ours, theirs) in rig.segments().iter().zip(other.segments()) {
        let good = read(ours);
        std::fs::copy(&theirs, ours).expect("copies");
        rig.refused(StorageErrorKind::ForeignFile, ours, 24);
        std::fs::write(ours, good).expect("writes");
    }
    let extra = rig.path("wal/00000000000000ff.log");
    std::fs::copy(&other.segments()[0], &extra).expect("copies");
    rig.refused(StorageErrorKind::ForeignFile, &extra, 24);
}

#[test]
fn a_segment_under_another_name_is_refused() {
    let rig = Rig::new();
    rig.run(1, 1..=3);
    rig.run(2, 4..=6);
    let segments = rig.segments();
    for name in ["0000000000000000", "0000000000000002", "00000000000000ff"] {
        let twice = rig.path(&format!("wal/{name}.log"));
        let before = std::fs::read(&twice).ok();
        std::fs::copy(&segments[0], &twice).expect("copies");
        rig.refused(StorageErrorKind::Corrupt, &twice, 16);
        match before {
            Some(before) => std::fs::write(&twice, before).expect("writes"),
            None => std::fs::remove_file(&twice).expect("removes"),
        }
    }
    std::fs::write(rig.path("wal/notes.txt"), "not ours").expect("writes");
    assert_eq!(rig.last(), 6, "what is no segment is left alone");
}

#[test]
fn entries_without_a_state_are_refused() {
    let rig = Rig::new();
    rig.run(1, 1..=3);
    std::fs::remove_file(rig.path("state")).expect("removes");
    rig.refused(StorageErrorKind::StateLost, &rig.path("state"), 0);
    std::fs::remove_file(rig.path("LOCK")).expect("removes");
    rig.refused(StorageErrorKind::StateLost, &rig.path("state"), 0);
}

#[test]
fn a_rotten_state_is_refused_only_if_both_copies_are() {
    let rig = Rig::new();
    rig.run(1, 1..=3);
    let path = rig.path("state");
    let good = read(&path);
    let rot = |blocks: &[usize]| {
        let mut bad = good.clone();
        blocks.iter().for_each(|block| bad[block * 4096 + 60] ^= 4);
        bad
    };
    for block in 0..4 {
        write(&path, &rot(&[block]));
        assert_eq!(rig.last(), 3, "block {block}");
    }
    for (pair, offset) in [([0, 1], 0), ([2, 3], 8192)] {
        write(&path, &rot(&pair));
        rig.refused(StorageErrorKind::Corrupt, &path, offset);
    }
    std::fs::write(&path, b"").expect("writes");
    rig.refused(StorageErrorKind::Corrupt, &path, 0);
    std::fs::write(&path, &good).expect("writes");
    assert_eq!(rig.last(), 3);
}

#[test]
fn a_format_of_a_later_version_is_refused() {
    let rig = Rig::new();
    rig.run(1, 1..=3);
    let later = |bytes: &[u8], len: usize| {
        let mut later = bytes.to_vec();
        later[12] = 9;
        let crc = crc32c::crc32c(&later[12..len]);
        later[8..12].copy_from_slice(&crc.to_le_bytes());
        later
    };
    let segment = rig.segments().remove(0);
    each(&segment, [later(&read(&segment), 64)].into_iter(), |_| {
        rig.refused(StorageErrorKind::Version, &segment, 0);
    });
    let path = rig.path("state");
    let good = read(&path);
    let newest = [0, 8192].into_iter().max_by_key(|at| u64_at(&good, at + 16)).expect("two");
    let block = later(&good[newest..newest + 4096], 512);
    write(&path, &[&good[..newest], &block, &good[newest + 4096..]].concat());
    rig.refused(StorageErrorKind::Version, &path, newest as u64);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("makes");
    for entry in std::fs::read_dir(from).expect("lists") {
        let path = entry.expect("lists").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("copies");
        }
    }
}

#[test]
fn a_copied_directory_is_refused_unless_adopted() {
    let rig = Rig::new();
    rig.run(1, 1..=3);
    let twin = Rig::new();
    copy(&rig.dir, &twin.dir);
    twin.refused(StorageErrorKind::CopiedDirectory, &twin.path("LOCK"), 0);
    std::fs::remove_file(twin.path("LOCK")).expect("removes");
    twin.refused(StorageErrorKind::CopiedDirectory, &twin.path("LOCK"), 0);
    let mut wal = twin.wal(true);
    assert_eq!(wal.open().expect("adopted").last, Index(3));
    wal.metadata_put(STATE_KEY, &state(77, 2, false)).expect("begins");
    drop(wal);
    twin.run(3, 4..=4);
    assert_eq!(
        (twin.last(), rig.last()),
        (4, 3),
        "adopted for good, and the original is as it was"
    );
    let moved = Rig::new();
    std::fs::rename(&rig.dir, &moved.dir).expect("moves");
    assert_eq!(moved.last(), 3, "a directory may be renamed");
}

#[test]
fn a_directory_in_use_is_refused() {
    let rig = Rig::new();
    let mut wal = rig.begin(1);
    rig.refused_as_locked();
    wal.append(&[record(1)], Index(0)).expect("appends");
    wal.sync().expect("syncs");
    drop(wal);
    assert_eq!(rig.last(), 1);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let rig = Rig::new();
    std::fs::write(&rig.dir, b"a file").expect("writes");
    let refused = rig.open().expect_err("no directory");
    assert_eq!(refused.kind, StorageErrorKind::Io);
    assert!(refused.message.contains(&rig.dir.display().to_string()), "{refused}");
    assert_eq!(read(&rig.dir), b"a file");
    let nowhere = Wal::new("/proc/quorate/data".into(), WalOptions::default()).open();
    assert!(nowhere.expect_err("nothing can be made there").message.contains("/proc/quorate"));
}

/// Compaction renames old segments to new ones. What they held is full of intact old frames.
#[test]
fn a_recycled_segment_does_not_bring_back_what_it_held() {
    let rig = Rig::new();
    let mut wal = rig.begin(1);
    let mut next = 1;
    for _ in 0..8 {
        for _ in 0..40 {
            wal.append(&[sized(next, 4000)], Index(0)).expect("appends");
            wal.sync().expect("syncs");
            next += 1;
        }
        wal.truncate_prefix(Index(next - 5), Term(1)).expect("compacts");
        wal.sync().expect("syncs");
    }
    wal.append(&[record(next)], Index(0)).expect("appends");
    wal.sync().expect("syncs");
    drop(wal);
    let recovered = rig.open().expect("opens");
    assert_eq!((recovered.first, recovered.last), (Index(next - 4), Index(next)));
    assert!(content(&rig.path("wal")).len() < 8, "old segments are used again or removed");
    let newest = rig.segments().pop().expect("segments");
    let bytes = read(&newest);
    let (start, len) = *frames(&bytes).last().expect("frames");
    let stale = bytes[start + len..].iter().any(|byte| *byte != 0);
    assert!(stale, "the file must have been used before, or this test shows nothing");
    let mut torn = bytes.clone();
    torn[start + 40] ^= 1;
    each(&newest, [torn].into_iter(), |_| assert_eq!(rig.last(), next - 1, "torn, not corrupt"));
}

const CHILD: &str = "QUORATE_RECOVERY_CHILD";

#[test]
#[ignore = "what the child of the next test does until it is killed"]
fn child_that_appends() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let options = WalOptions { segment_bytes: SEGMENT, adopt_copied_directory: false };
    let mut wal = Wal::new(dir.into(), options);
    let mut next = wal.open().expect("opens").last.next().0;
    wal.metadata_put(STATE_KEY, &state(77, next, false)).expect("begins");
    let mut out = std::io::stdout().lock();
    loop {
        let batch: Vec<Record> = (next..next + 1 + next % 7).map(record).collect();
        next += batch.len() as u64;
        wal.append(&batch, Index(0)).expect("appends");
        wal.sync().expect("syncs");
        if next.is_multiple_of(97) {
            wal.truncate_prefix(Index(next - 50), Term(1)).expect("compacts");
        }
        writeln!(out, "acknowledged {}", next - 1).expect("tells");
    }
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let rig = Rig::new();
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "--ignored", "recovery::child_that_appends", "--nocapture"])
            .env(CHILD, &rig.dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut told = lines.map_while(Result::ok).filter_map(|line| {
            line.rsplit_once("acknowledged ").and_then(|(_, n)| n.parse::<u64>().ok())
        });
        let before = told.by_ref().take(20 + round * 13).last().expect("it works");
        rig.refused_as_locked(); // from another process, too
        child.kill().expect("killed");
        let acknowledged = told.last().unwrap_or(before); // what was still in the pipe
        child.wait().expect("ended");
        let mut wal = rig.wal(false);
        let recovered = wal.open().expect("opens");
        assert!(recovered.last.0 >= acknowledged, "{} of {acknowledged}", recovered.last);
        let mut index = recovered.first;
        while index <= recovered.last {
            for found in wal.read(index, recovered.last, 1 << 16).expect("reads") {
                assert_eq!(found, record(index.0));
                index = index.next();
            }
        }
    }
}
