//! What the measuring programs share: options, the work of the state machine, a window of time with
//! what was done in it, and the one line of JSON that `rounds.py` reads. The peers' programs take
//! this file in by its path, so it needs nothing but the standard library.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Options of the command line: `--name value` for each.
pub struct Options(Vec<(String, String)>);

impl Options {
    /// Those given to the program; the defaults say which ones there are.
    ///
    /// # Errors
    /// An option that is not known, or has no value.
    pub fn read(defaults: &[(&str, &str)]) -> Result<Options, String> {
        let mut options: Vec<(String, String)> =
            defaults.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut given = std::env::args().skip(1);
        while let Some(name) = given.next() {
            let known = options.iter_mut().find(|(known, _)| name == format!("--{known}"));
            let (_, value) = known.ok_or_else(|| unknown(&name, defaults))?;
            *value = given.next().ok_or_else(|| format!("{name} needs a value"))?;
        }
        Ok(Options(options))
    }

    /// The text of an option.
    pub fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The number of an option.
    ///
    /// # Errors
    /// It is none.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<T, String> {
        let text = self.text(name);
        text.parse().map_err(|_| format!("--{name} {text} is no such number"))
    }

    /// A time in seconds.
    ///
    /// # Errors
    /// It is none.
    pub fn seconds(&self, name: &str) -> Result<Duration, String> {
        Duration::try_from_secs_f64(self.number(name)?).map_err(|error| error.to_string())
    }
}

fn unknown(name: &str, defaults: &[(&str, &str)]) -> String {
    let known: Vec<_> = defaults.iter().map(|(name, _)| format!("--{name}")).collect();
    format!("{name} is none of {}", known.join(", "))
}

/// The state of every state machine that is measured: it reads each byte of a change once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Changes applied.
    pub count: u64,
    total: u64,
}

impl Sum {
    /// Applies a change.
    pub fn apply(&mut self, data: &[u8]) {
        self.count += 1;
        let (words, rest) = data.as_chunks::<8>();
        let words = words.iter().fold(0, |sum: u64, word| sum ^ u64::from_le_bytes(*word));
        let rest = rest.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        self.total = self.total.rotate_left(1) ^ words ^ rest;
    }

    /// What came of it.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// Counts what many clients do, and keeps the latencies of some of them.
#[derive(Default)]
pub struct Meter {
    done: AtomicU64,
    measuring: AtomicBool,
    stopped: AtomicBool,
    latencies: Mutex<Vec<u32>>,
}

/// One client in so many keeps its latencies: a clock read for each operation would be measured too.
pub const SAMPLED: usize = 64;

impl Meter {
    /// So many more operations are done.
    pub fn add(&self, n: u64) {
        self.done.fetch_add(n, Ordering::Relaxed);
    }

    /// Clients go on until then.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Whether latencies count now.
    pub fn is_measuring(&self) -> bool {
        self.measuring.load(Ordering::Relaxed)
    }

    /// Adds latencies in nanoseconds.
    pub fn keep(&self, latencies: &[u32]) {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).extend(latencies);
    }

    /// Lets the clients run: first unmeasured, then for the window, then tells them to stop.
    pub fn watch(&self, warm_up: Duration, window: Duration) -> Window {
        std::thread::sleep(warm_up);
        self.measuring.store(true, Ordering::Relaxed);
        let (start, done) = (Usage::now(), self.done.load(Ordering::Relaxed));
        std::thread::sleep(window);
        let (used, after) = (start.until_now(), self.done.load(Ordering::Relaxed));
        self.measuring.store(false, Ordering::Relaxed);
        self.stopped.store(true, Ordering::Relaxed);
        Window { operations: after - done, used }
    }

    /// What the clients kept, taken once they have ended.
    pub fn latencies(&self) -> Vec<u32> {
        std::mem::take(&mut *self.latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Operations in a stretch of time.
pub struct Window {
    /// How many.
    pub operations: u64,
    /// In what time.
    pub used: Used,
}

impl Window {
    /// The metrics of a window.
    pub fn metrics(&self, latencies: &mut [u32]) -> Metrics {
        let mut metrics = Metrics::default();
        let operations = self.operations.max(1) as f64;
        metrics.add("ops_per_s", self.operations as f64 / self.used.seconds);
        metrics.add("cpu_s_per_100k", self.used.cpu * 1e5 / operations);
        metrics.percentiles(latencies);
        metrics
    }
}

/// A moment, and the processor time used until then.
pub struct Usage {
    at: Instant,
    cpu: f64,
}

/// Wall clock and processor time of the process, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// By the clock.
    pub seconds: f64,
    /// Of all threads, in the system included.
    pub cpu: f64,
}

impl Usage {
    /// This moment.
    pub fn now() -> Usage {
        Usage { at: Instant::now(), cpu: cpu_seconds() }
    }

    /// From then to now.
    pub fn until_now(&self) -> Used {
        Used { seconds: self.at.elapsed().as_secs_f64(), cpu: cpu_seconds() - self.cpu }
    }
}

/// Processor time of the process, in the ticks of 10 ms that Linux shows.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// A number from `/proc/self/FILE`, after its name; 0 where there is none.
pub fn proc_number(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Named numbers.
#[derive(Default)]
pub struct Metrics(Vec<(&'static str, f64)>);

impl Metrics {
    /// Adds one.
    pub fn add(&mut self, name: &'static str, value: f64) {
        self.0.push((name, value));
    }

    /// Adds median and 99th percentile of times in nanoseconds, if there are any.
    pub fn percentiles(&mut self, times: &mut [u32]) {
        times.sort_unstable();
        for (name, share) in [("p50_us", 0.5), ("p99_us", 0.99)] {
            let at = (times.len().saturating_sub(1) as f64 * share) as usize;
            if let Some(time) = times.get(at) {
                self.add(name, f64::from(*time) / 1e3);
            }
        }
    }

    /// Prints them as the one line that the program writes.
    pub fn print(&self) {
        let mut line = String::new();
        for (name, value) in &self.0 {
            let comma = if line.is_empty() { "" } else { ", " };
            let _ = write!(line, "{comma}\"{name}\": {value:.4}"); // a string takes all
        }
        println!("{{{line}}}");
    }
}

/// The end of a program: what went wrong on the error output, and a status.
pub fn end(result: Result<Metrics, String>) -> std::process::ExitCode {
    match result {
        Ok(metrics) => {
            metrics.print();
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
