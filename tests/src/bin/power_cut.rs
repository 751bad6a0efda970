//! Writes a log on a real file system whose power is cut, and checks afterwards that what was acknowledged
//! is there. `tests/disks/power-cut.sh` mounts, cuts and mounts again; this program knows the log.
//!
//! `power_cut write wal|sled DIR JOURNAL SEED` writes until a call fails. Before each call it tells the
//! journal, which is on another file system, what it is going to do, and after each sync that it is done.
//! `power_cut check wal|sled DIR JOURNAL` opens the log: it must be the one after some call since the last
//! sync. `power_cut cut MOUNT` shuts the file system down without writing anything.

use bytes::Bytes;
use quorate_engine::codec::{decode_state, encode_state};
use quorate_engine::consensus::ready::HardState;
use quorate_engine::consensus::types::{Index, Term};
use quorate_engine::storage::sled::{Sled, SledOptions};
use quorate_engine::storage::wal::{Wal, WalOptions};
use quorate_engine::storage::{LogStore, Record, STATE_KEY};
use quorate_tests::simulated_fs::Dice;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Entries that a log has at the most before it is cut back.
const MOST: u64 = 4000;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// The entries by index, each with its serial number.
type Log = BTreeMap<u64, u64>;

/// A call, as the journal tells it.
#[derive(Clone, Copy)]
enum Call {
    /// `a first count serial`: entries with these serial numbers.
    Append(u64, u64, u64),
    /// `c first`: the log is cut from there on.
    Cut(u64),
    /// `s`: all of it is durable.
    Synced,
    /// `t term`: a state is put; `T term`: it is durable.
    State(u64, bool),
    /// `f steps`: what a check found, counted from the last sync.
    Found(usize),
}

impl Call {
    fn line(self) -> String {
        match self {
            Call::Append(first, count, serial) => format!("a {first} {count} {serial}\n"),
            Call::Cut(first) => format!("c {first}\n"),
            Call::Synced => "s\n".to_owned(),
            Call::State(term, done) => format!("{} {term}\n", if done { "T" } else { "t" }),
            Call::Found(steps) => format!("f {steps}\n"),
        }
    }

    fn read(line: &str) -> Outcome<Call> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let numbers: Result<Vec<u64>, _> = rest.split_whitespace().map(str::parse).collect();
        match (name, numbers?.as_slice()) {
            ("a", &[first, count, serial]) => Ok(Call::Append(first, count, serial)),
            ("c", &[first]) => Ok(Call::Cut(first)),
            ("s", []) => Ok(Call::Synced),
            ("t", &[term]) => Ok(Call::State(term, false)),
            ("T", &[term]) => Ok(Call::State(term, true)),
            ("f", &[steps]) => Ok(Call::Found(steps as usize)),
            _ => Err(format!("the journal has {line:?}").into()),
        }
    }
}

/// What may be found, by the journal.
struct Expected {
    synced: Log,
    /// Logs after each step since then.
    since: Vec<Log>,
    /// The terms that the state may have; 0 is no state.
    terms: Vec<u64>,
    syncs: u64,
    serial: u64,
}

impl Expected {
    fn read(journal: &Path) -> Outcome<Expected> {
        let (synced, since) = (Log::new(), Vec::new());
        let mut expected = Expected { synced, since, terms: vec![0], syncs: 0, serial: 0 };
        for line in std::fs::read_to_string(journal).unwrap_or_default().lines() {
            expected.take(Call::read(line)?);
        }
        Ok(expected)
    }

    fn now(&self) -> &Log {
        self.since.last().unwrap_or(&self.synced)
    }

    fn take(&mut self, call: Call) {
        match call {
            Call::Append(first, count, serial) => {
                for n in 0..count {
                    let mut log = self.now().clone();
                    log.insert(first + n, serial + n);
                    self.since.push(log);
                }
                self.serial = serial + count;
            }
            Call::Cut(first) => {
                let mut log = self.now().clone();
                log.split_off(&first);
                self.since.push(log);
            }
            Call::Synced => {
                self.synced = self.now().clone();
                self.since.clear();
                self.syncs += 1;
            }
            Call::State(term, false) => self.terms.push(term),
            Call::State(term, true) => self.terms = vec![term],
            Call::Found(steps) => {
                if let Some(found) = steps.checked_sub(1).and_then(|at| self.since.get(at)) {
                    self.synced = found.clone();
                }
                self.since.clear();
            }
        }
    }
}

fn store(kind: &str, dir: &Path) -> Box<dyn LogStore> {
    if kind == "sled" {
        let options = SledOptions { reserve_bytes: 0, ..SledOptions::default() };
        return Box::new(Sled::new(dir.into(), options));
    }
    let options = WalOptions { segment_bytes: 1 << 20, ..WalOptions::default() };
    Box::new(Wal::new(dir.into(), options))
}

fn record(index: u64, serial: u64) -> Record {
    let len = [100, 3000, 40, 20_000, 9000, 300][serial as usize % 6];
    let mut bytes = vec![(serial * 31) as u8; len];
    bytes[..4].fill(0);
    bytes[8..16].copy_from_slice(&serial.to_le_bytes());
    let payload = Bytes::from(bytes);
    Record { index: Index(index), term: Term(1), crc: crc32c::crc32c(&payload), payload }
}

/// Writes until something fails, which is the end of the power.
fn write(kind: &str, dir: &Path, journal: &Path, seed: u64) -> Outcome<()> {
    let mut expected = Expected::read(journal)?;
    let mut journal = OpenOptions::new().create(true).append(true).open(journal)?;
    let (mut store, mut dice) = (store(kind, dir), Dice(seed));
    store.open()?;
    loop {
        for call in next_calls(&expected, &mut dice) {
            journal.write_all(call.line().as_bytes())?;
            carry_out(&mut *store, call)?;
            expected.take(call);
            if let Call::State(term, false) = call {
                let done = Call::State(term, true);
                journal.write_all(done.line().as_bytes())?;
                expected.take(done);
            }
        }
        store.sync()?;
        journal.write_all(Call::Synced.line().as_bytes())?;
        expected.take(Call::Synced);
    }
}

/// What is called up to the next sync.
fn next_calls(expected: &Expected, dice: &mut Dice) -> Vec<Call> {
    let next = expected.now().last_key_value().map_or(1, |(last, _)| last + 1);
    let term = expected.terms.last().map_or(1, |term| term + 1);
    match dice.below(12) {
        _ if expected.syncs == 0 => vec![Call::State(term, false)],
        _ if next > MOST => vec![Call::Cut(1 + dice.below(MOST / 2))],
        0 => vec![Call::State(term, false)],
        1 => vec![Call::Cut(next.saturating_sub(dice.below(30)).max(1))],
        _ => vec![Call::Append(next, 1 + dice.below(12), expected.serial)],
    }
}

fn carry_out(store: &mut dyn LogStore, call: Call) -> Outcome<()> {
    match call {
        Call::Append(first, count, serial) => {
            let records: Vec<_> = (0..count).map(|n| record(first + n, serial + n)).collect();
            store.append(&records, Index(0))?;
        }
        Call::Cut(first) => store.truncate_suffix(Index(first))?,
        Call::State(term, _) => {
            let state = HardState { directory: 7, term: Term(term), ..HardState::default() };
            store.metadata_put(STATE_KEY, &encode_state(&state))?;
        }
        Call::Synced | Call::Found(_) => {}
    }
    Ok(())
}

/// The log that is there must be one of those that may be; the journal is told which.
fn check(kind: &str, dir: &Path, journal: &Path) -> Outcome<()> {
    let expected = Expected::read(journal)?;
    let mut store = store(kind, dir);
    let (log, term) = look(&mut *store)?;
    let all = std::iter::once(&expected.synced).chain(&expected.since);
    let ends = |log: &Log| log.last_key_value().map(|(index, serial)| (*index, *serial));
    let Some(steps) = all.clone().position(|known| *known == log) else {
        let wanted: Vec<_> = all.map(ends).collect();
        return Err(format!("the log ends at {:?}, expected one of {wanted:?}", ends(&log)).into());
    };
    if !expected.terms.contains(&term) {
        return Err(format!("the state has term {term}, of {:?}", expected.terms).into());
    }
    let mut journal = OpenOptions::new().append(true).open(journal)?;
    journal.write_all(Call::Found(steps).line().as_bytes())?;
    println!("{} syncs, {} entries, {steps} steps beyond", expected.syncs, log.len());
    Ok(())
}

fn look(store: &mut dyn LogStore) -> Outcome<(Log, u64)> {
    let found = store.open()?;
    let (mut log, mut next) = (Log::new(), found.first.max(Index(1)));
    while next <= found.last {
        for read in store.read(next, found.last, 1 << 20)? {
            let serial = u64::from_le_bytes(*read.payload[8..].first_chunk().ok_or("too short")?);
            if read != record(next.0, serial) {
                return Err(format!("entry {next} is not what was written").into());
            }
            log.insert(next.0, serial);
            next = next.next();
        }
    }
    let state = store.metadata_get(STATE_KEY)?.and_then(|bytes| decode_state(&bytes));
    Ok((log, state.map_or(0, |state| state.term.0)))
}

/// `FS_IOC_SHUTDOWN` with `NOLOGFLUSH`: from now on nothing reaches the device, the journal of the file
/// system included.
fn cut(mount: &Path) -> Outcome<()> {
    const SHUTDOWN: libc::c_ulong = 0x8004_587d;
    let (dir, how) = (File::open(mount)?, 2u32);
    // SAFETY: the descriptor is open, and the call reads the four bytes that it is given.
    match unsafe { libc::ioctl(dir.as_raw_fd(), SHUTDOWN, &raw const how) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["write", kind, dir, journal, seed] => {
            write(kind, Path::new(dir), Path::new(journal), seed.parse()?)
        }
        ["check", kind, dir, journal] => check(kind, Path::new(dir), Path::new(journal)),
        ["cut", mount] => cut(Path::new(mount)),
        _ => Err("usage: power_cut write|check|cut …, see tests/disks/power-cut.sh".into()),
    }
}
