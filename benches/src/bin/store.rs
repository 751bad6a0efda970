//! One store, or the raw device that it stands on: durable appends of batches of one size, or a
//! restart on a full log. The raw device is `pwritev` and `fdatasync` on a file that was written with
//! zeros: the least that a durable append can take.

use bytes::Bytes;
use quorate_benches::measure::{self, Metrics, Options, Usage, proc_number};
use quorate_engine::codec::encode_state;
use quorate_engine::consensus::ready::HardState;
use quorate_engine::consensus::types::{Incarnation, Index, NodeId, Term};
use quorate_engine::storage::fs::{Access, Disk, File, Fs};
use quorate_engine::storage::memory::Memory;
use quorate_engine::storage::sled::{Sled, SledOptions};
use quorate_engine::storage::wal::{Wal, WalOptions};
use quorate_engine::storage::{LogStore, Record, STATE_KEY, StorageError};
use std::io::IoSlice;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const DEFAULTS: [(&str, &str); 8] = [
    ("store", "wal"),
    ("run", "append"),
    ("batch", "1"),
    ("payload", "128"),
    ("seconds", "0.6"),
    ("warm-up", "0.1"),
    ("entries", "1000000"),
    ("dir", ""),
];
/// The header of an encoded entry comes before its data.
const HEADER: usize = 32;
const RAW_BYTES: u64 = 64 << 20;
/// Records between two syncs while a log is filled.
const FILL: u64 = 1000;

/// The stores by name.
fn store_of(name: &str, dir: &Path) -> Result<Box<dyn LogStore>, String> {
    Ok(match name {
        "wal" => Box::new(Wal::new(dir.join("wal"), WalOptions::default())),
        "sled" => Box::new(Sled::new(dir.join("sled"), SledOptions::default())),
        "memory" => Box::new(Memory::new()),
        _ => return Err(format!("--store {name} is none of raw, wal, sled, memory")),
    })
}

/// What takes batches of records and makes them durable.
trait Log {
    fn append(&mut self, records: &[Record]) -> Result<(), String>;
    /// The index of the next record.
    fn next(&self) -> u64;
}

/// A file written with zeros, begun anew when it is full.
struct Raw {
    file: Box<dyn File>,
    offset: u64,
    next: u64,
}

impl Raw {
    fn new(path: &Path) -> Result<Raw, std::io::Error> {
        let file = Disk.open(path, Access::Create)?;
        let zeros = vec![0; 1 << 20];
        for at in 0..RAW_BYTES >> 20 {
            file.write_at(&mut [IoSlice::new(&zeros)], at << 20)?;
        }
        file.sync_data()?;
        Ok(Raw { file, offset: 0, next: 1 })
    }

    fn write(&mut self, records: &[Record]) -> std::io::Result<()> {
        let len: u64 = records.iter().map(|record| record.payload.len() as u64).sum();
        if self.offset + len > RAW_BYTES {
            self.offset = 0;
        }
        let mut parts: Vec<_> = records.iter().map(|r| IoSlice::new(&r.payload)).collect();
        self.file.write_at(&mut parts, self.offset)?;
        self.file.sync_data()?;
        self.offset += len;
        self.next += records.len() as u64;
        Ok(())
    }
}

impl Log for Raw {
    fn append(&mut self, records: &[Record]) -> Result<(), String> {
        self.write(records).map_err(|error| error.to_string())
    }

    fn next(&self) -> u64 {
        self.next
    }
}

/// An open store.
struct Stored {
    store: Box<dyn LogStore>,
    next: u64,
}

impl Stored {
    fn open(mut store: Box<dyn LogStore>) -> Result<Stored, StorageError> {
        let last = store.open()?.last;
        let state = HardState {
            directory: 1,
            node: NodeId(1),
            incarnation: Incarnation((last.0 + 1) << 40),
            ..HardState::default()
        };
        store.metadata_put(STATE_KEY, &encode_state(&state))?;
        Ok(Stored { store, next: last.0 + 1 })
    }

    fn write(&mut self, records: &[Record]) -> Result<(), StorageError> {
        self.store.append(records, Index(self.next - 1))?;
        self.store.sync()?;
        self.next += records.len() as u64;
        Ok(())
    }
}

impl Log for Stored {
    fn append(&mut self, records: &[Record]) -> Result<(), String> {
        self.write(records).map_err(|error| error.to_string())
    }

    fn next(&self) -> u64 {
        self.next
    }
}

/// Records that carry the same bytes, so that making them is not measured.
struct Source {
    payload: Bytes,
    crc: u32,
}

impl Source {
    fn new(payload: usize) -> Source {
        let mut bytes = vec![0; HEADER];
        bytes.extend((0..payload).map(|at| (at * 151) as u8));
        let payload = Bytes::from(bytes);
        let crc = crc32c::crc32c(&payload);
        Source { payload, crc }
    }

    fn batch(&self, first: u64, count: u64) -> Vec<Record> {
        let record = |index| Record {
            index: Index(index),
            term: Term(1),
            crc: self.crc,
            payload: self.payload.clone(),
        };
        (first..first + count).map(record).collect()
    }
}

/// Appends for so long; the latency of each.
fn append_for(
    log: &mut dyn Log,
    source: &Source,
    batch: u64,
    time: Duration,
) -> Result<Vec<u32>, String> {
    let (start, mut latencies) = (Instant::now(), Vec::new());
    while start.elapsed() < time {
        let records = source.batch(log.next(), batch);
        let begun = Instant::now();
        log.append(&records)?;
        latencies.push(u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX));
    }
    Ok(latencies)
}

fn appends(options: &Options, dir: &Path) -> Result<Metrics, String> {
    let mut log: Box<dyn Log> = match options.text("store") {
        "raw" => Box::new(Raw::new(&dir.join("raw")).map_err(|error| error.to_string())?),
        name => Box::new(Stored::open(store_of(name, dir)?).map_err(|error| error.to_string())?),
    };
    let (batch, payload): (u64, usize) = (options.number("batch")?, options.number("payload")?);
    let source = Source::new(payload);
    append_for(&mut *log, &source, batch, options.seconds("warm-up")?)?;
    let (start, written) = (Usage::now(), device_bytes(dir));
    let mut latencies = append_for(&mut *log, &source, batch, options.seconds("seconds")?)?;
    let used = start.until_now();
    let written = device_bytes(dir) - written;
    let entries = (latencies.len() as u64 * batch) as f64;
    let mut metrics = Metrics::default();
    metrics.add("entries_per_s", entries / used.seconds);
    metrics.add("cpu_us_per_entry", used.cpu * 1e6 / entries);
    metrics.add("written_per_byte", written / (entries * payload as f64));
    metrics.percentiles(&mut latencies);
    Ok(metrics)
}

/// Bytes written to the device that holds the directory, by whomever: what a process is charged for
/// counts whole folios of the page cache, of which only the changed blocks are written.
fn device_bytes(dir: &Path) -> f64 {
    let device = std::fs::metadata(dir).map_or(0, |meta| meta.dev());
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xfff00);
    let text = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"));
    let sectors = text.ok().and_then(|text| text.split_whitespace().nth(6)?.parse().ok());
    sectors.unwrap_or(0.0) * 512.0
}

/// How fast a full log is opened and read, and what memory it takes. Another process fills it, so
/// that memory which was used for that does not count, or hide what opening takes.
fn restart(options: &Options, dir: &Path) -> Result<Metrics, String> {
    let (start, program) = (Instant::now(), std::env::current_exe().map_err(|e| e.to_string())?);
    let mut filler = Command::new(program);
    for name in ["store", "payload", "entries"] {
        filler.args([format!("--{name}"), options.text(name).to_owned()]);
    }
    filler.args(["--run", "fill", "--dir"]).arg(dir).stdout(Stdio::null());
    let ended = filler.status().map_err(|error| error.to_string())?;
    if !ended.success() {
        return Err(format!("the log could not be filled: {ended}"));
    }
    let filled = start.elapsed();
    let store = store_of(options.text("store"), dir)?;
    let mut metrics = reopen(store).map_err(|error| error.to_string())?;
    metrics.add("fill_s", filled.as_secs_f64());
    Ok(metrics)
}

/// Fills a log, which stays.
fn fill(options: &Options, dir: &Path) -> Result<Metrics, String> {
    let source = Source::new(options.number("payload")?);
    let store = store_of(options.text("store"), dir)?;
    let mut log = Stored::open(store).map_err(|error| error.to_string())?;
    let entries: u64 = options.number("entries")?;
    while log.next <= entries {
        log.append(&source.batch(log.next, FILL.min(entries + 1 - log.next)))?;
    }
    Ok(Metrics::default())
}

fn reopen(mut store: Box<dyn LogStore>) -> Result<Metrics, StorageError> {
    let before = proc_number("status", "VmRSS:");
    let start = Instant::now();
    let last = store.open()?.last;
    let opened = start.elapsed();
    let after = proc_number("status", "VmRSS:");
    let start = Instant::now();
    let mut next = Index(1);
    while next <= last {
        let records = store.read(next, last, 1 << 20)?;
        next = records.last().map_or(last, |record| record.index).next();
    }
    let mut metrics = Metrics::default();
    metrics.add("open_ms", opened.as_secs_f64() * 1e3);
    metrics.add("more_memory_mib", after.saturating_sub(before) as f64 / 1024.0);
    metrics.add("resident_mib", after as f64 / 1024.0);
    metrics.add("read_all_ms", start.elapsed().as_secs_f64() * 1e3);
    Ok(metrics)
}

fn run() -> Result<Metrics, String> {
    let options = Options::read(&DEFAULTS)?;
    let place = match options.text("dir") {
        "" => std::env::temp_dir(),
        dir => PathBuf::from(dir),
    };
    if options.text("run") == "fill" {
        return fill(&options, &place);
    }
    let dir = place.join(format!("quorate-bench-store-{}", std::process::id()));
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let metrics = match options.text("run") {
        "append" => appends(&options, &dir),
        "restart" => restart(&options, &dir),
        other => Err(format!("--run {other} is none of append, restart, fill")),
    };
    std::fs::remove_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    metrics
}

fn main() -> ExitCode {
    measure::end(run())
}
