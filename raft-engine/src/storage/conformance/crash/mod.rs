//! Crashes, wherever a store allows to make them: rows of calls, ended by a crash after each of them,
//! then on with what the crash left, and another crash.
//!
//! A host makes the crash (`Make::Crashed`), between two calls. What is found must be what a prefix of
//! the calls made, at least up to the last sync; metadata are the newest. What a store found when it
//! was opened counts as synced, since the engine builds on it.

mod history;
mod schedule;

use super::model::Dice;
use super::report::{Checked, Outcome};
use super::rig::{Rig, Stop};
use super::{Make, Maker, with_a_rig};
use history::History;
use schedule::{Call, STORY};

/// A store can be opened, and all that it says it has can be read.
const OPENS: &str = "a store opens after a crash, and can be read";
/// Entries that were in the log at the last sync, and not removed since.
const SYNCED: &str = "an entry that was synced survives a crash";
/// Calls were not lost from the middle, nor done in another order.
const PREFIX: &str = "a crash keeps a prefix of the calls";
/// Metadata.
const METADATA: &str = "metadata are durable on return";
/// Removed entries stay removed.
const TRUNCATED: &str = "a truncation that was synced is not undone";
/// Of two entries with the same index the newer one counts.
const REPLACED: &str = "no entry comes back after a newer one replaced it";
/// The place where the log begins, and the term before it.
const FRONT: &str = "where the log begins survives a crash";
/// Every entry was written once.
const INVENTED: &str = "a crash leaves nothing that was never written";
/// A second crash takes nothing away that the opening after the first had found.
const FOUND: &str = "what a store found when it was opened survives the next crash";
/// What open says is what can be read.
const FITS: &str = "what a store says of its log after a crash fits the log";
/// The store takes calls again.
const GOES_ON: &str = "a store goes on working after a crash";

/// All rules about crashes.
pub const RULES: [&str; 11] =
    [OPENS, SYNCED, PREFIX, METADATA, TRUNCATED, REPLACED, FRONT, INVENTED, FOUND, FITS, GOES_ON];

/// A rule that is broken, and what was seen.
struct Breach {
    rule: &'static str,
    seen: String,
}

/// The rows of random calls that are tried with a crash after each call, and how long they are.
const SEEDS: [u64; 2] = [1, 2];
const CALLS: usize = 16;
/// The long rows with a crash after every few calls.
const LIVES: [u64; 4] = [11, 12, 13, 14];
const CRASHES: usize = 20;

/// Tries all rules about crashes; of each one the first breach is told.
pub fn check(make: Maker<'_>) -> Vec<Checked> {
    let mut trial = Trial { make, breaches: Vec::new(), skipped: None, judged: 0 };
    trial.crash_after_each(&STORY);
    for seed in SEEDS {
        trial.crash_after_each(&Call::row(&mut Dice(seed), CALLS));
    }
    LIVES.into_iter().for_each(|seed| trial.live(seed));
    RULES.iter().map(|rule| Checked { rule, outcome: trial.outcome(rule) }).collect()
}

/// Rows of calls on stores of one maker.
struct Trial<'a> {
    make: Maker<'a>,
    breaches: Vec<Breach>,
    skipped: Option<String>,
    judged: usize,
}

impl Trial<'_> {
    fn outcome(&self, rule: &str) -> Outcome {
        let breach = self.breaches.iter().find(|breach| breach.rule == rule);
        match (breach, &self.skipped) {
            (Some(breach), _) => Outcome::Broken(breach.seen.clone()),
            (None, Some(why)) => Outcome::Skipped(why.clone()),
            (None, None) if self.judged == 0 => {
                Outcome::Skipped("no store got past a crash".into())
            }
            (None, None) => Outcome::Passed,
        }
    }

    /// Crashes after the first call of a row, then on a new store after the second, and so on.
    fn crash_after_each(&mut self, calls: &[Call]) {
        for k in 0..=calls.len() {
            self.tell(|life| {
                life.begin()?;
                calls[..k].iter().try_for_each(|call| life.call(*call))?;
                life.crash()?;
                calls[k..].iter().take(3).try_for_each(|call| life.call(*call))?;
                life.crash()?;
                life.restart()
            });
        }
    }

    /// A store that crashes again and again.
    fn live(&mut self, seed: u64) {
        let mut dice = Dice(seed);
        self.tell(|life| {
            life.begin()?;
            for _ in 0..CRASHES {
                let calls = dice.below(9) as usize;
                Call::row(&mut dice, calls).into_iter().try_for_each(|call| life.call(call))?;
                life.crash()?;
            }
            life.restart()
        });
    }

    /// Tells one story of a new store; it ends with its first breach.
    fn tell(&mut self, story: impl FnOnce(&mut Life<'_, '_>) -> Result<(), Ended>) {
        if self.skipped.is_some() {
            return;
        }
        let mut history = History::default();
        let mut breach = None;
        let ended = with_a_rig(&mut *self.make, |rig| {
            match story(&mut Life { rig, history: &mut history }) {
                Err(Ended::Skipped(why)) => return Err(Stop::Skipped(why)),
                Err(Ended::Breach(found)) => breach = Some(found),
                Ok(()) => {}
            }
            Ok(())
        });
        match ended {
            Err(Stop::Skipped(why)) => self.skipped = Some(why),
            Err(Stop::Broken(seen)) => breach = Some(Breach { rule: GOES_ON, seen }),
            Ok(()) => {}
        }
        self.judged += history.judged;
        if let Some(Breach { rule, seen }) = breach {
            self.breaches.push(Breach { rule, seen: format!("{seen}; {history}") });
        }
    }
}

/// Why a story ended early.
enum Ended {
    Breach(Breach),
    Skipped(String),
}

impl From<Breach> for Ended {
    fn from(breach: Breach) -> Ended {
        Ended::Breach(breach)
    }
}

/// An error of the store in a call that had no reason to fail.
fn broken(rule: &'static str) -> impl Fn(Stop) -> Ended {
    move |stop| match stop {
        Stop::Skipped(why) => Ended::Skipped(why),
        Stop::Broken(seen) => Ended::Breach(Breach { rule, seen }),
    }
}

/// One store and what happened to it.
struct Life<'r, 'a> {
    rig: &'r mut Rig<'a>,
    history: &'r mut History,
}

impl Life<'_, '_> {
    fn begin(&mut self) -> Result<(), Ended> {
        self.rig.make(Make::New).map_err(broken(GOES_ON))?;
        self.rig.open().map_err(broken(GOES_ON))?;
        self.history.note("open");
        self.call(Call::State)
    }

    fn call(&mut self, call: Call) -> Result<(), Ended> {
        call.make(self.rig, self.history).map_err(broken(GOES_ON))
    }

    /// Crashes, looks at what is left, and makes it work again. Every third crash comes as soon as
    /// the store was opened after the one before.
    fn crash(&mut self) -> Result<(), Ended> {
        self.crash_and_look()?;
        if self.history.crashes() % 3 == 2 {
            self.crash_and_look()?;
        }
        self.call(Call::State)
    }

    fn crash_and_look(&mut self) -> Result<(), Ended> {
        self.rig.make(Make::Crashed).map_err(broken(OPENS))?;
        self.history.note("crash");
        self.look()?;
        self.history.judged += 1;
        Ok(())
    }

    /// Closes the store after a sync, and opens it again.
    fn restart(&mut self) -> Result<(), Ended> {
        self.call(Call::Sync)?;
        self.rig.make(Make::Again).map_err(broken(GOES_ON))?;
        self.history.note("close");
        self.look()
    }

    /// Opens what is there and judges it.
    fn look(&mut self) -> Result<(), Ended> {
        self.rig.open().map_err(broken(OPENS))?;
        self.history.note("open");
        let (first, last) = (self.rig.recovered.first.0, self.rig.recovered.last.0);
        let has_any = first > 0 && first <= last;
        let found = if has_any { self.rig.read(first, last) } else { Ok(Vec::new()) };
        let found = found.map_err(broken(OPENS))?;
        self.history.judge(&self.rig.recovered, &found)?;
        for (key, value) in self.history.metadata() {
            self.rig.has(key, value).map_err(broken(METADATA))?;
        }
        Ok(())
    }
}
