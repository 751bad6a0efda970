//! What a committed entry costs in Rust itself: the engine's facade, a completion queue, no language
//! between. The base line of `benches/crossing`, whose other programs do the same in other languages.
//!
//! `crossing BATCH SECONDS PAYLOAD` prints one line of JSON, see `benches/crossing/run.py`.

use bytes::Bytes;
use quorate_engine::change::NewEntry;
use quorate_engine::queue::{Completion, Queue};
use quorate_engine::service::{Op, Request, Service};
use quorate_engine::settings::Settings;
use quorate_engine::state_machine::{Committed, StateMachine};
use std::time::{Duration, Instant};

/// The reply to a change is how many there have been, in 8 bytes.
#[derive(Default)]
struct Count(u64);

impl StateMachine for Count {
    fn commit(
        &mut self,
        entries: &[Committed],
        replies: &mut Vec<Option<Bytes>>,
    ) -> Result<(), String> {
        replies.extend(entries.iter().map(|_| {
            self.0 += 1;
            Some(Bytes::copy_from_slice(&self.0.to_le_bytes()))
        }));
        Ok(())
    }
}

struct Caller {
    service: Service,
    queue: Queue,
    batch: usize,
    payload: Vec<u8>,
    done: Vec<Completion>,
    sent: u64,
}

impl Caller {
    fn new(batch: usize, payload: usize) -> Caller {
        let mut settings = Settings::default();
        settings.set("storage", "memory").expect("there is such a setting");
        Caller {
            service: Service::start(settings, Box::new(Count::default())).expect("it starts"),
            queue: Queue::new().expect("a descriptor is left"),
            batch,
            payload: vec![0; payload],
            done: Vec::with_capacity(batch),
            sent: 0,
        }
    }

    /// One batch: in by one call, and out.
    fn round_trip(&mut self) {
        let entry = NewEntry::new(&self.payload);
        let request =
            |at| Request { token: self.sent + at, timeout: None, op: Op::ProposeWait(entry) };
        let requests: Vec<_> = (1..=self.batch as u64).map(request).collect();
        let taken = self.service.submit(&self.queue, &requests).expect("it is taken");
        assert_eq!(taken, self.batch);
        self.sent += self.batch as u64;
        let mut left = self.batch;
        while left > 0 {
            left -= self.queue.poll(&mut self.done, left, None);
            for completion in self.done.drain(..) {
                let reply = completion.result.expect("it is applied").expect("it has a reply");
                assert_eq!(reply[..], completion.token.to_le_bytes());
            }
        }
    }

    fn run_for(&mut self, seconds: f64) {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            self.round_trip();
        }
    }
}

/// Processor time of all threads.
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable, and the clock exists.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() {
    let arguments: Vec<f64> =
        std::env::args().skip(1).map(|text| text.parse().expect("a number")).collect();
    let [batch, seconds, payload] = arguments[..] else {
        panic!("usage: crossing BATCH SECONDS PAYLOAD")
    };
    let mut caller = Caller::new(batch as usize, payload as usize);
    caller.run_for(seconds / 5.0);
    let (entries, start, used) = (caller.sent, Instant::now(), cpu());
    caller.run_for(seconds);
    let (wall, used) = (start.elapsed().as_nanos(), (cpu() - used).as_nanos());
    let entries = caller.sent - entries;
    println!("{{\"entries\": {entries}, \"wall_ns\": {wall}, \"cpu_ns\": {used}}}");
}
