//! The clocks of the nodes: each begins somewhere else, runs at a rate of its own, jumps, and may stand
//! still while its machine does. Only the world has the true time.

use quorate_engine::consensus::types::Time;
use std::time::Duration;

const MILLION: u128 = 1_000_000;

/// What one node takes for the time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    since: Time,
    local: u64,
    /// Local microseconds in a true second.
    rate: u64,
}

impl Clock {
    /// A clock that shows `local` at the true time `now`.
    #[must_use]
    pub fn new(now: Time, local: u64, rate: u64) -> Clock {
        Clock { since: now, local, rate }
    }

    /// What it shows.
    #[must_use]
    pub fn local(&self, now: Time) -> Time {
        let gone = u128::from(now.0.saturating_sub(self.since.0));
        Time(self.local.saturating_add((gone * u128::from(self.rate) / MILLION) as u64))
    }

    /// The first true time at which it shows at least that.
    #[must_use]
    pub fn when(&self, local: Time) -> Time {
        if local == Time::NEVER {
            return Time::NEVER;
        }
        let ahead = u128::from(local.0.saturating_sub(self.local));
        let gone = (ahead * MILLION).div_ceil(u128::from(self.rate));
        Time(self.since.0.saturating_add(u64::try_from(gone).unwrap_or(u64::MAX)))
    }

    /// It goes on from later.
    pub fn jump(&mut self, now: Time, by: Duration) {
        *self = Clock::new(now, (self.local(now) + by).0, self.rate);
    }

    /// It runs at another rate from now on.
    pub fn pace(&mut self, now: Time, rate: u64) {
        *self = Clock::new(now, self.local(now).0, rate);
    }

    /// It stands still for a while.
    pub fn stop(&mut self, now: Time, pause: Duration) {
        *self = Clock::new(now + pause, self.local(now).0, self.rate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_a_time_when_it_says_so() {
        for rate in [900_000, 1_000_000, 1_100_000, 1_000_003] {
            let clock = Clock::new(Time(5), 1 << 63, rate);
            for ahead in [0, 1, 2, 999, 1_000_000_007] {
                let wanted = Time((1 << 63) + ahead);
                let when = clock.when(wanted);
                assert!(clock.local(when) >= wanted);
                assert!(ahead == 0 || clock.local(Time(when.0 - 1)) < wanted);
            }
        }
    }

    #[test]
    fn a_clock_that_stands_still_goes_on_where_it_was() {
        let mut clock = Clock::new(Time(0), 100, 1_000_000);
        clock.stop(Time(10), Duration::from_nanos(50));
        assert_eq!((clock.local(Time(40)), clock.local(Time(61))), (Time(110), Time(111)));
    }
}
