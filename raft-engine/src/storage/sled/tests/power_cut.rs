//! The power is cut at any time: of what was written after the last barrier any part is lost, block by
//! block. What was acknowledged must be there, and what is there must be a prefix of what was called.
//!
//! `SLED_POWER_CUTS=2000 cargo test -p quorate-engine power_cut` looks further, `SLED_SEED=n` elsewhere.

use super::*;
use crate::storage::conformance::files::{files, settled_files};
use std::collections::BTreeMap;
use std::sync::Mutex;

const BLOCK: usize = 4096;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The log as it should be: where it begins, and the marks of its entries.
#[derive(Clone, Debug, Default, PartialEq)]
struct Picture {
    marks: BTreeMap<u64, (u64, u64)>,
    next: u64,
}

fn marked(index: u64, (term, serial): (u64, u64)) -> Record {
    let len = [100, 3000, 40, 20_000, 9000, 70_000, 300][serial as usize % 7];
    let mut bytes = vec![(serial * 31) as u8; len];
    bytes[..4].fill(0);
    bytes[8..16].copy_from_slice(&serial.to_le_bytes());
    let payload = Bytes::from(bytes);
    Record { index: Index(index), term: Term(term), crc: crc32c::crc32c(&payload), payload }
}

struct Rig {
    temp: tempfile::TempDir,
    store: Sled,
    /// What a power cut leaves for sure.
    durable: Arc<Mutex<Files>>,
    /// Pictures from the last sync on; the last one is the present.
    since_sync: Vec<Picture>,
    /// The terms that the state may have.
    states: Vec<u64>,
    serial: u64,
    dice: u64,
    cuts: usize,
    /// How rare syncs and cuts are in this run.
    rarity: u64,
}

impl Rig {
    fn new(seed: u64) -> Rig {
        let temp = temp();
        let store = Sled::new(temp.path().join("data0"), SledOptions::default());
        let since_sync = vec![Picture { next: 1, ..Picture::default() }];
        let (durable, states, dice) = (Arc::default(), vec![0], seed);
        let mut rig =
            Rig { temp, store, durable, since_sync, states, serial: 0, dice, cuts: 0, rarity: 1 };
        rig.begin();
        rig
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.dice =
            self.dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.dice >> 33) % limit
    }

    fn dir(&self) -> PathBuf {
        self.store.paths.dir.clone()
    }

    /// Opens the store, which must find one of the pictures.
    fn begin(&mut self) {
        let found = self.store.open().expect("opens after a power cut");
        let next = found.last.next().0.max(1);
        let mut marks = BTreeMap::new();
        let mut index = found.first.max(Index(1));
        while index <= found.last {
            for record in self.store.read(index, found.last, 1 << 20).expect("reads") {
                let serial = u64::from_le_bytes(*record.payload[8..].first_chunk().expect("8"));
                let mark = (record.term.0, serial);
                assert!(record == marked(index.0, mark), "entry {index}");
                marks.insert(index.0, mark);
                index = index.next();
            }
        }
        let found = Picture { marks, next };
        let fits = self.since_sync.contains(&found);
        assert!(fits, "found {}, expected {}", tell(&found), self.expected());
        let value = self.store.metadata_get(STATE_KEY).expect("reads");
        let term =
            value.map_or(0, |bytes| crate::codec::decode_state(&bytes).expect("ours").term.0);
        assert!(self.states.contains(&term), "term {term} of {:?}", self.states);
        self.since_sync = vec![found];
        self.put_state();
        let (dir, durable) = (self.dir(), Arc::clone(&self.durable));
        *durable.lock().expect("no panic") = files(&dir);
        at_barriers(&mut self.store, move |_| *durable.lock().expect("no panic") = files(&dir));
    }

    fn expected(&self) -> String {
        self.since_sync.iter().map(tell).collect::<Vec<_>>().join(" or ")
    }

    fn put_state(&mut self) {
        let term = self.states[0] + 1;
        let state = HardState { directory: 7, term: Term(term), ..HardState::default() };
        self.store.metadata_put(STATE_KEY, &encode_state(&state)).expect("puts");
        self.states = vec![term];
        let name = PathBuf::from("state");
        let bytes = fs::read(self.dir().join(&name)).expect("is there");
        self.durable.lock().expect("no panic").insert(name, bytes);
    }

    fn now(&self) -> Picture {
        self.since_sync.last().expect("there is always one").clone()
    }

    fn append(&mut self) {
        let mut picture = self.now();
        let count = 1 + self.below(12);
        let mut batch = Vec::new();
        for _ in 0..count {
            self.serial += 1;
            let mark = (self.states[0], self.serial);
            batch.push(marked(picture.next, mark));
            picture.marks.insert(picture.next, mark);
            picture.next += 1;
            self.since_sync.push(picture.clone());
        }
        self.store.append(&batch, Index(0)).expect("appends");
    }

    fn cut_suffix(&mut self) {
        let mut picture = self.now();
        let Some((&first, _)) = picture.marks.first_key_value() else { return };
        let from = picture.next - self.below(picture.next - first).min(30);
        picture.marks.retain(|index, _| *index < from);
        picture.next = from;
        self.since_sync.push(picture);
        self.store.truncate_suffix(Index(from)).expect("cuts");
    }

    fn compact(&mut self) {
        let mut picture = self.now();
        let Some((&first, _)) = picture.marks.first_key_value() else { return };
        let last = first + self.below(picture.next - first);
        if last + 1 == picture.next {
            return; // that an empty log begins behind its base is told elsewhere
        }
        let term = picture.marks[&last].0;
        picture.marks.retain(|index, _| *index > last);
        self.since_sync.push(picture);
        self.store.truncate_prefix(Index(last), Term(term)).expect("compacts");
    }

    fn sync(&mut self) {
        self.store.sync().expect("syncs");
        self.since_sync = vec![self.now()];
    }

    fn step(&mut self) {
        match self.below(20) {
            0..11 => self.append(),
            11 => self.cut_suffix(),
            12 => self.compact(),
            13 => self.put_state(),
            14..19 if self.below(self.rarity) == 0 => self.sync(),
            19 if self.below(self.rarity.min(8)) == 0 => self.cut_power(),
            _ => {}
        }
    }

    /// What the disk holds then, in another directory; the old store is closed when it is too late.
    fn cut_power(&mut self) {
        self.cuts += 1;
        self.rarity = [1, 4, 50][self.below(3) as usize];
        let now = settled_files(&self.dir());
        let durable = self.durable.lock().expect("no panic").clone();
        let odds = [0, 1, 4, 7, 8][self.below(5) as usize];
        let dir = self.temp.path().join(format!("data{}", self.cuts));
        fs::create_dir_all(dir.join("sled/blobs")).expect("makes");
        for (name, new) in &now {
            let old = durable.get(name).map(Vec::as_slice);
            if let Some(left) = self.left(old, new, odds) {
                fs::write(dir.join(name), left).expect("writes");
            }
        }
        let options = SledOptions { adopt_copied_directory: true, ..SledOptions::default() };
        let old_dir = self.dir();
        self.store = Sled::new(dir, options);
        fs::remove_dir_all(old_dir).expect("removes");
        self.begin();
    }

    /// A file of which only some blocks that were changed arrived, and some of its length. sled syncs a
    /// file that it made shorter, so then all that it wrote before arrived.
    fn left(&mut self, old: Option<&[u8]>, new: &[u8], odds: u64) -> Option<Vec<u8>> {
        if old.is_none() && self.below(8) >= odds {
            return None;
        }
        let old = old.unwrap_or_default();
        if new.len() < old.len() {
            return Some(new.to_vec());
        }
        let mut left = old.to_vec();
        if self.below(8) < odds {
            left.resize(new.len(), 0);
        }
        for at in (0..left.len()).step_by(BLOCK) {
            let end = (at + BLOCK).min(left.len());
            if left[at..end] != new[at..end] && self.below(8) < odds {
                left[at..end].copy_from_slice(&new[at..end]);
            }
        }
        Some(left)
    }
}

fn tell(picture: &Picture) -> String {
    let ends = (picture.marks.first_key_value(), picture.marks.last_key_value());
    format!("{ends:?} next {}", picture.next)
}

#[test]
fn nothing_acknowledged_is_lost_in_a_power_cut() {
    let setting = |name, default| std::env::var(name).map_or(default, |n| n.parse().expect(name));
    let (cuts, seed) = (setting("SLED_POWER_CUTS", 12), setting("SLED_SEED", 3));
    let mut rig = Rig::new(seed);
    while rig.cuts < cuts as usize {
        rig.step();
    }
}
