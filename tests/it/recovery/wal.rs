//! The segmented log's own files: what a frame, a segment or a link that is harmed leads to.

use super::*;

/// Where the first frame of a segment begins.
const FIRST_FRAME: usize = 4096;

impl Rig {
    /// The segments that hold frames, oldest first.
    pub(super) fn segments(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> = std::fs::read_dir(self.path("wal"))
            .expect("lists")
            .map(|entry| entry.expect("lists").path())
            .filter(|path| path.extension().is_some_and(|end| end == "log"))
            .filter(|path| !frames(&read(path)).is_empty())
            .collect();
        all.sort();
        all
    }
}

fn rig() -> Rig {
    Rig::new(Kind::Wal)
}

/// Offset and length (without padding) of the frames of a segment, read by docs/formats.md alone.
pub(super) fn frames(segment: &[u8]) -> Vec<(usize, usize)> {
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

#[test]
fn a_torn_end_is_cut_wherever_it_tore() {
    let rig = rig();
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
    let rig = rig();
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
        let rig = rig();
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
    let rig = rig();
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
        let rig = rig();
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

#[test]
fn a_missing_segment_is_refused() {
    let rig = rig();
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
    let rig = rig();
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
    let (rig, other) = (rig(), Rig::with(Kind::Wal, 78));
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
    let rig = rig();
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

/// Compaction renames old segments to new ones. What they held is full of intact old frames.
#[test]
fn a_recycled_segment_does_not_bring_back_what_it_held() {
    let rig = rig();
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

/// A closed run tells how far its log went. A state from before can't be brought back.
#[test]
fn an_older_state_file_is_refused() {
    let rig = rig();
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
fn a_segment_of_a_later_version_is_refused() {
    let rig = rig();
    rig.run(1, 1..=3);
    let segment = rig.segments().remove(0);
    each(&segment, [later(&read(&segment), 64)].into_iter(), |_| {
        rig.refused(StorageErrorKind::Version, &segment, 0);
    });
}

/// Frames of one length in a segment of an earlier run, by pairs.
fn pairs(all: &[(usize, usize)]) -> Vec<((usize, usize), (usize, usize))> {
    let later = |at: usize| all[at + 1..].iter().map(move |other| (all[at], *other));
    (0..all.len()).flat_map(later).filter(|(one, other)| one.1 == other.1).collect()
}

// known bug: G8 | TigerBeetle's change log: writes that went to another place of the disk, and reads of what
// was there before, passed for good ones | place, chain and the salt of the segment are in the checksums
#[test]
fn valid_frames_in_the_wrong_place_are_noticed() {
    let rig = rig();
    rig.run(1, 1..=6);
    rig.run(2, 7..=9);
    let segment = rig.segments().remove(0);
    let good = read(&segment);
    let pairs = pairs(&frames(&good));
    assert!(pairs.len() >= 3, "{pairs:?}");
    let swapped = |((one, len), (other, _)): &((usize, usize), (usize, usize))| {
        let mut bytes = good.clone();
        bytes[*one..one + len].copy_from_slice(&good[*other..other + len]);
        bytes[*other..other + len].copy_from_slice(&good[*one..one + len]);
        bytes
    };
    each(&segment, pairs.iter().map(swapped), |pair| {
        rig.open().expect_err(&format!("pair {pair} was swapped"));
    });
    let doubled = |((one, len), (other, _)): &((usize, usize), (usize, usize))| {
        let mut bytes = good.clone();
        bytes[*other..other + len].copy_from_slice(&good[*one..one + len]);
        bytes
    };
    each(&segment, pairs.iter().map(doubled), |pair| {
        rig.open().expect_err(&format!("the first of pair {pair} was written over the second"));
    });
    assert_eq!(rig.last(), 9);
}

// known bug: G8
#[test]
fn sectors_of_last_week_are_noticed() {
    let rig = rig();
    let mut store = rig.begin(1);
    let mut append = |index| {
        store.append(&[sized(index, 500)], Index(0)).expect("appends");
        store.sync().expect("syncs");
    };
    (1..=3).for_each(&mut append);
    let old = read(&rig.segments()[0]);
    (4..=8).for_each(&mut append);
    drop(store);
    rig.run(2, 9..=9);
    let segment = rig.segments().remove(0);
    let new = read(&segment);
    let sectors = (0..new.len() / 512).map(|n| n * 512..n * 512 + 512);
    let stale: Vec<_> = sectors.filter(|s| old.get(s.clone()) != Some(&new[s.clone()])).collect();
    assert!(stale.len() >= 5, "{stale:?}");
    let put_back = |sector: &std::ops::Range<usize>| {
        let mut bytes = new.clone();
        bytes[sector.clone()].copy_from_slice(&old[sector.clone()]);
        bytes
    };
    each(&segment, stale.iter().map(put_back), |at| {
        rig.open().expect_err(&format!("sector {:?} is of before", stale[at]));
    });
    assert_eq!(rig.last(), 9);
}
