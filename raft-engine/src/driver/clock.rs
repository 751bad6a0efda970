//! The clocks: the protocol's, and the one that people read. They are read nowhere else.

use crate::consensus::types::Time;
use crate::os;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, Sleep, sleep};

/// Now.
pub(crate) fn now() -> Time {
    Time(os::boottime_ns())
}

/// The time of day for log lines, in nanoseconds since 1970 UTC; nothing is decided by it.
#[allow(clippy::disallowed_methods, reason = "people read it, the protocol does not")]
pub(crate) fn time_of_day_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// When a call that begins at `now` must be over.
pub(crate) fn deadline(now: Time, timeout: Option<Duration>) -> Time {
    timeout.map_or(Time::NEVER, |max| now + max)
}

/// Sleeps are cut into pieces of this length.
const LONGEST: Duration = Duration::from_secs(3600);

/// Wakes the loop at a deadline. Deadlines mostly move away, so it is armed anew only for an earlier
/// one; a ring that came too early is a turn without work.
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    armed: Time,
}

impl Alarm {
    /// An alarm, inside the runtime.
    pub(crate) fn new() -> Alarm {
        Alarm { sleep: Box::pin(sleep(LONGEST)), armed: now() + LONGEST }
    }

    /// Ready once the deadline, or an earlier one of before, has passed.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, deadline: Time) -> Poll<()> {
        if deadline < self.armed {
            self.arm(deadline);
        }
        self.sleep.as_mut().poll(context).map(|()| self.arm(Time::NEVER))
    }

    fn arm(&mut self, deadline: Time) {
        let now = now();
        let delay = deadline.since(now).min(LONGEST);
        self.armed = deadline.min(now + LONGEST);
        self.sleep.as_mut().reset(Instant::now() + delay);
    }
}
