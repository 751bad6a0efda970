//! Deadlines of trackers, for all services of the process: one thread, `quorate-timer`, which is
//! there while deadlines are waiting and a second longer. Services have their own deadlines on their
//! own loop; trackers exist without a service.

use crate::os;
use crate::slot::lock;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Names a deadline: the moment in nanoseconds, and a number to tell equal ones apart.
pub(crate) type DeadlineId = (u64, u64);

/// How long the thread waits for a next deadline before it ends.
const IDLE: Duration = Duration::from_secs(1);

type Action = Box<dyn FnOnce() + Send>;

/// The deadlines that wait.
struct Deadlines {
    waiting: BTreeMap<DeadlineId, Action>,
    next: u64,
    running: bool,
}

static DEADLINES: Mutex<Deadlines> =
    Mutex::new(Deadlines { waiting: BTreeMap::new(), next: 0, running: false });
static CHANGED: Condvar = Condvar::new();

/// Runs `action` on the timer's thread after `delay`, unless it is cancelled before. The action must
/// not block. `None` when no thread can be started.
pub(crate) fn after(delay: Duration, action: impl FnOnce() + Send + 'static) -> Option<DeadlineId> {
    let delay = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
    let at = os::boottime_ns().saturating_add(delay);
    let mut deadlines = lock(&DEADLINES);
    if !deadlines.running {
        os::spawn("quorate-timer", run).ok()?;
        deadlines.running = true;
    }
    let id = (at, deadlines.next);
    deadlines.next += 1;
    let is_first = deadlines.waiting.first_key_value().is_none_or(|(first, _)| id < *first);
    deadlines.waiting.insert(id, Box::new(action));
    if is_first {
        CHANGED.notify_one();
    }
    Some(id)
}

/// Forgets a deadline. It may just be running.
pub(crate) fn cancel(id: DeadlineId) {
    lock(&DEADLINES).waiting.remove(&id);
}

fn run() {
    let mut deadlines = lock(&DEADLINES);
    loop {
        let due = take_due(&mut deadlines);
        if !due.is_empty() {
            drop(deadlines);
            due.into_iter().for_each(|action| action());
            deadlines = lock(&DEADLINES);
            continue;
        }
        let next = deadlines.waiting.first_key_value().map(|((at, _), _)| *at);
        let sleep = next.map_or(IDLE, |at| {
            Duration::from_nanos(at.saturating_sub(os::boottime_ns())).min(Duration::from_secs(60))
        });
        let waited;
        (deadlines, waited) = wait(deadlines, sleep);
        if waited && next.is_none() && deadlines.waiting.is_empty() {
            deadlines.running = false;
            return;
        }
    }
}

/// Sleeps, at most so long; whether the time passed.
fn wait(
    deadlines: MutexGuard<'static, Deadlines>,
    max: Duration,
) -> (MutexGuard<'static, Deadlines>, bool) {
    let waited = CHANGED.wait_timeout(deadlines, max).unwrap_or_else(PoisonError::into_inner);
    (waited.0, waited.1.timed_out())
}

fn take_due(deadlines: &mut Deadlines) -> Vec<Action> {
    let now = os::boottime_ns();
    let mut due = Vec::new();
    while let Some(first) = deadlines.waiting.first_entry() {
        if first.key().0 > now {
            break;
        }
        due.push(first.remove());
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn deadlines_pass_in_order_and_cancelled_ones_never() {
        let (send, receive) = mpsc::channel();
        let note = |name: &'static str| {
            let send = send.clone();
            move || send.send(name).expect("the test waits")
        };
        after(Duration::from_millis(60), note("third")).expect("a thread");
        after(Duration::from_millis(20), note("first")).expect("a thread");
        let second = after(Duration::from_millis(40), note("second")).expect("a thread");
        cancel(second);
        assert_eq!(receive.recv(), Ok("first"));
        assert_eq!(receive.recv(), Ok("third"));
        let (elsewhere, other) = mpsc::channel();
        after(Duration::ZERO, move || elsewhere.send(()).expect("the test waits"));
        assert_eq!(other.recv(), Ok(()));
    }
}
