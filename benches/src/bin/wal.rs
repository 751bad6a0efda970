//! The log against the raw device: what a durable append costs beyond `pwritev` and `fdatasync` on a
//! file that was written with zeros, in turns, in one run; then how fast a restart is.
//!
//! `cargo run --release -p quorate-benches --bin wal [directory] [rounds]`

use bytes::Bytes;
use quorate_engine::codec::encode_state;
use quorate_engine::consensus::ready::HardState;
use quorate_engine::consensus::types::{Incarnation, Index, NodeId, Term};
use quorate_engine::storage::fs::{Access, Disk, File, Fs};
use quorate_engine::storage::wal::{Wal, WalOptions};
use quorate_engine::storage::{LogStore, Record, STATE_KEY};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Payload of an entry of 128 bytes: the header of an encoded entry comes before it.
const PAYLOAD: usize = 32 + 128;
const RAW_BYTES: u64 = 64 << 20;

fn record(index: u64) -> Record {
    let mut bytes = [index as u8; PAYLOAD];
    bytes[..4].fill(0);
    let payload = Bytes::copy_from_slice(&bytes);
    Record { index: Index(index), term: Term(1), crc: crc32c::crc32c(&payload), payload }
}

fn state(run: u64) -> Vec<u8> {
    let incarnation = Incarnation(run << 40);
    encode_state(&HardState { directory: 1, node: NodeId(1), incarnation, ..HardState::default() })
        .to_vec()
}

/// The least that a durable append takes.
struct Raw {
    file: Box<dyn File>,
    offset: u64,
}

impl Raw {
    fn new(path: &Path) -> Raw {
        let file = Disk.open(path, Access::Create).expect("can be made");
        let zeros = vec![0; 1 << 20];
        for at in 0..RAW_BYTES >> 20 {
            file.write_at(&mut [IoSlice::new(&zeros)], at << 20).expect("can be written");
        }
        file.sync_data().expect("can be synced");
        Raw { file, offset: 0 }
    }

    fn append(&mut self, records: &[Record]) {
        let len = (records.len() * PAYLOAD) as u64;
        if self.offset + len > RAW_BYTES {
            self.offset = 0;
        }
        let mut parts: Vec<IoSlice<'_>> =
            records.iter().map(|r| IoSlice::new(&r.payload)).collect();
        self.file.write_at(&mut parts, self.offset).expect("can be written");
        self.file.sync_data().expect("can be synced");
        self.offset += len;
    }
}

/// A log, and the next index in it.
struct Log {
    wal: Wal,
    next: u64,
}

impl Log {
    fn new(dir: PathBuf) -> Log {
        let mut wal = Wal::new(dir, WalOptions::default());
        let recovered = wal.open().expect("can be opened");
        let next = recovered.last.0 + 1;
        wal.metadata_put(STATE_KEY, &state(next)).expect("can be begun");
        Log { wal, next }
    }

    fn append(&mut self, records: &[Record]) {
        self.wal.append(records, Index(0)).expect("appends");
        self.wal.sync().expect("syncs");
        self.next += records.len() as u64;
    }
}

/// Median and 99th percentile, in microseconds.
fn percentiles(times: &mut [Duration]) -> (f64, f64) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    (at(0.5), at(0.99))
}

fn appends(dir: &Path, rounds: usize) {
    let mut raw = Raw::new(&dir.join("raw"));
    let mut log = Log::new(dir.join("log"));
    println!("durable appends of 128 B, {rounds} rounds, log and raw device in turns");
    println!("batch  raw/log p50  p99   log p50/p99 us    raw p50/p99 us    log entries/s");
    for batch in [1, 16, 256] {
        let (mut logs, mut raws) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let records: Vec<Record> = (log.next..log.next + batch).map(record).collect();
            let start = Instant::now();
            log.append(&records);
            let between = Instant::now();
            raw.append(&records);
            raws.push(between.elapsed());
            logs.push(between - start);
        }
        let total: Duration = logs.iter().sum();
        let ((l50, l99), (r50, r99)) = (percentiles(&mut logs), percentiles(&mut raws));
        let rate = batch as f64 * rounds as f64 / total.as_secs_f64();
        println!(
            "{batch:5}  {:11.2}  {:4.2}  {l50:7.0} /{l99:7.0}  {r50:7.0} /{r99:7.0}  {rate:13.0}",
            r50 / l50,
            r99 / l99
        );
    }
}

fn restart(dir: &Path) {
    const ENTRIES: u64 = 1_000_000;
    let mut log = Log::new(dir.join("million"));
    let start = Instant::now();
    while log.next <= ENTRIES {
        let records: Vec<Record> = (log.next..log.next + 1000).map(record).collect();
        log.append(&records);
    }
    let filled = start.elapsed();
    drop(log);
    let mut wal = Wal::new(dir.join("million"), WalOptions::default());
    let before = resident();
    let start = Instant::now();
    let last = wal.open().expect("opens").last;
    let opened = start.elapsed();
    let grown = resident().saturating_sub(before);
    let start = Instant::now();
    let mut next = Index(1);
    while next <= last {
        next = wal.read(next, last, 1 << 20).expect("reads").last().expect("one").index.next();
    }
    println!(
        "restart with {last} entries of 128 B: {:.0} ms, {} KiB more memory; written in {:.2} s, read \
         back in {:.0} ms",
        opened.as_secs_f64() * 1e3,
        grown,
        filled.as_secs_f64(),
        start.elapsed().as_secs_f64() * 1e3
    );
}

/// Resident memory in KiB.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rounds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(5000);
    let dir = place.join(format!("quorate-bench-wal-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the directory can be made");
    appends(&dir, rounds);
    restart(&dir);
    std::fs::remove_dir_all(&dir).expect("can be removed");
}
