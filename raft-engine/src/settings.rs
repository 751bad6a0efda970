//! Settings by key, as text, the same in every language.
//!
//! One table holds name, default, unit and meaning of each setting; defaults are parsed from it, so
//! that what is documented is what happens.

use crate::consensus::config::Config;
use crate::error::{Error, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What one service is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) profile: Profile,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) storage: Storage,
    pub(crate) listen: Option<String>,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) election_timeout: Duration,
    pub(crate) node_proposal_timeout: Duration,
    pub(crate) pre_vote: bool,
    pub(crate) check_quorum: bool,
    pub(crate) forward_proposals: bool,
    pub(crate) max_entry_bytes: usize,
    pub(crate) max_batch_bytes: usize,
    pub(crate) max_queued_entries: usize,
    pub(crate) max_queued_bytes: usize,
    pub(crate) max_inflight_bytes: usize,
    pub(crate) segment_bytes: usize,
    pub(crate) insecure: bool,
    pub(crate) adopt_copied_directory: bool,
}

/// Sets of times.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Profile {
    /// 100 ms, 1 s, 2 s: for machines in one place.
    Lan,
    /// 2 s, 10 s, 20 s: the package page's.
    Classic,
}

/// The built-in stores.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Storage {
    /// The segmented log.
    Wal,
    /// The log in sled.
    Sled,
    /// Nothing outlives the service.
    Memory,
}

/// A setting that this library knows.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name.
    pub key: &'static str,
    /// Its value when it is not set, as text.
    pub default_value: &'static str,
    /// "duration", "bytes", "count", "switch", "text", or the choices as "wal|sled|memory".
    pub unit: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn setting(
    key: &'static str,
    default_value: &'static str,
    unit: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting { key, default_value, unit, meaning }
}

const ALL: [Setting; 18] = [
    setting(
        "profile",
        "lan",
        "lan|classic",
        "lan, or classic: the page's 2 s, 10 s, 20 s; later keys override",
    ),
    setting("data_dir", "", "text", "directory, made when missing; not needed with storage=memory"),
    setting(
        "storage",
        "wal",
        "wal|sled|memory",
        "wal: durable; sled: likewise, slower, in a database; memory: lost when the service ends",
    ),
    setting(
        "listen",
        "",
        "text",
        "host:port of this node's listener, port 0 = any free one; when empty the service can only \
         be Standalone",
    ),
    setting("heartbeat_timeout", "100ms", "duration", "time between a leader's heartbeats"),
    setting(
        "election_timeout",
        "1s",
        "duration",
        "silence of the leader after which a node campaigns; at least three heartbeats",
    ),
    setting(
        "node_proposal_timeout",
        "2s",
        "duration",
        "how long a membership call waits when the caller gives no limit; the change goes on",
    ),
    setting("pre_vote", "on", "switch", "ask before campaigning"),
    setting("check_quorum", "on", "switch", "a leader without a majority steps down"),
    setting("forward_proposals", "on", "switch", "followers pass proposals to the leader"),
    setting("max_entry_bytes", "1MiB", "bytes", "data and tags of one entry, at most 4MiB"),
    setting("max_batch_bytes", "1MiB", "bytes", "entries of one message and one commit callback"),
    setting(
        "max_queued_entries",
        "16384",
        "count",
        "requests under way in this service, beyond which the answer is BUSY",
    ),
    setting("max_queued_bytes", "64MiB", "bytes", "likewise, in bytes of entries"),
    setting("max_inflight_bytes", "8MiB", "bytes", "sent to one follower and not yet acknowledged"),
    setting("segment_bytes", "16MiB", "bytes", "size of a file of the log, 64KiB to 1GiB"),
    setting("insecure", "off", "switch", "allow connections without encryption off loopback"),
    setting(
        "adopt_copied_directory",
        "off",
        "switch",
        "start on a copied data directory: you vouch that it is the newest, and the only one in use",
    ),
];

impl Default for Settings {
    fn default() -> Settings {
        Settings::new()
    }
}

impl Settings {
    /// Everything at its default.
    #[must_use]
    pub fn new() -> Settings {
        let mut settings = Settings {
            profile: Profile::Lan,
            data_dir: None,
            storage: Storage::Wal,
            listen: None,
            heartbeat_timeout: Duration::ZERO,
            election_timeout: Duration::ZERO,
            node_proposal_timeout: Duration::ZERO,
            pre_vote: false,
            check_quorum: false,
            forward_proposals: false,
            max_entry_bytes: 0,
            max_batch_bytes: 0,
            max_queued_entries: 0,
            max_queued_bytes: 0,
            max_inflight_bytes: 0,
            segment_bytes: 0,
            insecure: false,
            adopt_copied_directory: false,
        };
        for setting in &ALL {
            settings.set(setting.key, setting.default_value).expect("a test sets each default");
        }
        settings
    }

    /// Changes one setting. Durations are written 150ms, 10s, 2m; sizes 4096, 64KiB, 1MiB; switches
    /// on, off.
    ///
    /// # Errors
    /// `NotFound` for an unknown key, with the nearest known one; `Invalid` for a malformed value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        let given = Given { key, value };
        match key {
            "profile" => self.set_profile(given)?,
            "data_dir" => self.data_dir = given.text()?.map(PathBuf::from),
            "storage" => {
                self.storage = given.choice(&[
                    ("wal", Storage::Wal),
                    ("sled", Storage::Sled),
                    ("memory", Storage::Memory),
                ])?;
            }
            "listen" => self.listen = given.text()?.map(|text| given.address(text)).transpose()?,
            "heartbeat_timeout" => self.heartbeat_timeout = given.duration()?,
            "election_timeout" => self.election_timeout = given.duration()?,
            "node_proposal_timeout" => self.node_proposal_timeout = given.duration()?,
            "pre_vote" => self.pre_vote = given.switch()?,
            "check_quorum" => self.check_quorum = given.switch()?,
            "forward_proposals" => self.forward_proposals = given.switch()?,
            "max_entry_bytes" => self.max_entry_bytes = given.bytes(1, 4 * MIB)?,
            "max_batch_bytes" => self.max_batch_bytes = given.bytes(KIB, 4 * MIB)?,
            "max_queued_entries" => self.max_queued_entries = given.count(1, 1 << 24)?,
            "max_queued_bytes" => self.max_queued_bytes = given.bytes(KIB, 1 << 40)?,
            "max_inflight_bytes" => self.max_inflight_bytes = given.bytes(KIB, 1 << 40)?,
            "segment_bytes" => self.segment_bytes = given.bytes(64 * KIB, 1 << 30)?,
            "insecure" => self.insecure = given.switch()?,
            "adopt_copied_directory" => self.adopt_copied_directory = given.switch()?,
            _ => return Err(unknown(key)),
        }
        Ok(())
    }

    /// Every setting.
    #[must_use]
    pub fn all() -> &'static [Setting] {
        &ALL
    }

    /// Whether the settings go together; asked when a service starts, with a store of its own or not.
    ///
    /// # Errors
    /// `Invalid`, with the settings that do not.
    pub(crate) fn check(&self, own_store: bool) -> Result<(), Error> {
        let (election, heartbeat) = (self.election_timeout, self.heartbeat_timeout);
        if election < heartbeat * 3 {
            let text = format!(
                "election_timeout={election:?} is less than three times heartbeat_timeout=\
                 {heartbeat:?}: one lost heartbeat would unseat a healthy leader; raise the first or \
                 lower the second"
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        if !own_store && self.storage != Storage::Memory && self.data_dir.is_none() {
            let text = "data_dir is not set: give the directory that holds this node's log, or set \
                        storage=memory for a node that forgets everything when it ends";
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(())
    }

    /// What the protocol needs of them.
    pub(crate) fn protocol(&self) -> Config {
        let defaults = Config::default();
        Config {
            heartbeat: self.heartbeat_timeout,
            election_timeout: self.election_timeout,
            pre_vote: self.pre_vote,
            check_quorum: self.check_quorum,
            forward: self.forward_proposals,
            max_message_bytes: self.max_batch_bytes,
            max_inflight_bytes: self.max_inflight_bytes,
            commit_delay: defaults.commit_delay.min(self.heartbeat_timeout),
            ..defaults
        }
    }

    /// Key and value of each setting as it is now.
    pub(crate) fn list(&self) -> Vec<(&'static str, String)> {
        ALL.iter().map(|setting| (setting.key, self.text_of(setting.key))).collect()
    }

    fn text_of(&self, key: &str) -> String {
        let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
        match key {
            "profile" => format!("{:?}", self.profile).to_lowercase(),
            "data_dir" => {
                self.data_dir.as_ref().map(|dir| dir.display().to_string()).unwrap_or_default()
            }
            "storage" => format!("{:?}", self.storage).to_lowercase(),
            "listen" => self.listen.clone().unwrap_or_default(),
            "heartbeat_timeout" => format!("{:?}", self.heartbeat_timeout),
            "election_timeout" => format!("{:?}", self.election_timeout),
            "node_proposal_timeout" => format!("{:?}", self.node_proposal_timeout),
            "pre_vote" => switch(self.pre_vote),
            "check_quorum" => switch(self.check_quorum),
            "forward_proposals" => switch(self.forward_proposals),
            "max_entry_bytes" => self.max_entry_bytes.to_string(),
            "max_batch_bytes" => self.max_batch_bytes.to_string(),
            "max_queued_entries" => self.max_queued_entries.to_string(),
            "max_queued_bytes" => self.max_queued_bytes.to_string(),
            "max_inflight_bytes" => self.max_inflight_bytes.to_string(),
            "segment_bytes" => self.segment_bytes.to_string(),
            "insecure" => switch(self.insecure),
            "adopt_copied_directory" => switch(self.adopt_copied_directory),
            _ => String::new(),
        }
    }

    fn set_profile(&mut self, given: Given<'_>) -> Result<(), Error> {
        let choices = [("lan", Profile::Lan), ("classic", Profile::Classic)];
        self.profile = given.choice(&choices)?;
        let (heartbeat, election, proposal) = match self.profile {
            Profile::Lan => (100, 1_000, 2_000),
            Profile::Classic => (2_000, 10_000, 20_000),
        };
        self.heartbeat_timeout = Duration::from_millis(heartbeat);
        self.election_timeout = Duration::from_millis(election);
        self.node_proposal_timeout = Duration::from_millis(proposal);
        Ok(())
    }
}

/// A setting as it was given.
#[derive(Clone, Copy)]
struct Given<'a> {
    key: &'a str,
    value: &'a str,
}

impl Given<'_> {
    fn malformed(self, expected: &str) -> Error {
        let text = format!("{}=\"{}\": {expected}", self.key, self.value);
        Error::new(ErrorKind::Invalid, text)
    }

    /// Text, `None` when it is empty.
    fn text(&self) -> Result<Option<&str>, Error> {
        if self.value.contains('\0') {
            return Err(self.malformed("a text without zero bytes is expected"));
        }
        Ok((!self.value.is_empty()).then_some(self.value))
    }

    fn address(&self, text: &str) -> Result<String, Error> {
        if is_address(text) {
            return Ok(text.to_owned());
        }
        Err(self.malformed("an address is written host:port, such as 127.0.0.1:7001 or [::1]:7001"))
    }

    fn choice<T: Copy>(self, choices: &[(&str, T)]) -> Result<T, Error> {
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == self.value) {
            return Ok(*choice);
        }
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        Err(self.malformed(&format!("one of {} is expected", names.join(", "))))
    }

    fn switch(self) -> Result<bool, Error> {
        self.choice(&[("on", true), ("off", false)])
    }

    fn duration(self) -> Result<Duration, Error> {
        const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
        let millis = self.number(&UNITS, false).filter(|millis| (1..=86_400_000).contains(millis));
        let expected = "a duration between 1ms and 24h is written such as 150ms, 10s, 2m";
        millis.map(Duration::from_millis).ok_or_else(|| self.malformed(expected))
    }

    fn bytes(self, least: usize, most: usize) -> Result<usize, Error> {
        const UNITS: [(&str, u64); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        self.within(self.number(&UNITS, true), least, most).ok_or_else(|| {
            self.malformed(&format!(
                "a size between {least} and {most} bytes is written such as 4096, 64KiB, 1MiB"
            ))
        })
    }

    fn count(self, least: usize, most: usize) -> Result<usize, Error> {
        self.within(self.number(&[], true), least, most).ok_or_else(|| {
            self.malformed(&format!(
                "a number between {least} and {most} is expected, such as 1000"
            ))
        })
    }

    fn within(self, number: Option<u64>, least: usize, most: usize) -> Option<usize> {
        number.and_then(|n| usize::try_from(n).ok()).filter(|n| (least..=most).contains(n))
    }

    /// Digits with one of the units, or alone if `plain`.
    fn number(self, units: &[(&str, u64)], plain: bool) -> Option<u64> {
        let end = self.value.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.value.len());
        let (digits, unit) = self.value.split_at(end);
        let number: u64 = digits.parse().ok()?;
        if unit.is_empty() {
            return plain.then_some(number);
        }
        let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
        number.checked_mul(*factor)
    }
}

/// Whether the text has the form `host:port`.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host_is_one = if host.contains(':') {
        host.starts_with('[') && host.ends_with(']')
    } else {
        !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/' || c == '\0')
    };
    host_is_one && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

fn unknown(key: &str) -> Error {
    let nearest = ALL.iter().map(|s| (distance(key, s.key), s.key)).min();
    let hint = match nearest {
        Some((distance, nearest)) if distance <= nearest.len() / 2 => {
            format!("did you mean \"{nearest}\"?")
        }
        _ => {
            let keys: Vec<_> = ALL.iter().map(|s| s.key).collect();
            format!("known are {}", keys.join(", "))
        }
    };
    Error::new(ErrorKind::NotFound, format!("there is no setting \"{key}\": {hint}"))
}

/// How many characters must be added, removed or replaced to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(key: &str, value: &str) -> Error {
        Settings::new().set(key, value).expect_err("it must be refused")
    }

    #[test]
    fn the_table_and_the_values_agree() {
        let settings = Settings::new();
        assert_eq!(settings.heartbeat_timeout, Duration::from_millis(100));
        assert_eq!(settings.election_timeout, Duration::from_secs(1));
        assert_eq!(settings.node_proposal_timeout, Duration::from_secs(2));
        assert_eq!((settings.max_queued_entries, settings.max_queued_bytes), (16384, 64 * MIB));
        assert!(settings.pre_vote && settings.check_quorum && settings.forward_proposals);
        assert!(!settings.insecure && !settings.adopt_copied_directory);
        assert_eq!(settings.list().len(), Settings::all().len());
        for (key, value) in settings.list() {
            Settings::new().set(key, &value).unwrap_or_else(|e| panic!("{key}: {e}"));
        }
    }

    #[test]
    fn values_are_read_with_their_units() {
        let mut settings = Settings::new();
        for (key, value) in [
            ("heartbeat_timeout", "150ms"),
            ("election_timeout", "2m"),
            ("max_entry_bytes", "64KiB"),
            ("max_queued_bytes", "4096"),
            ("max_queued_entries", "7"),
            ("listen", "[::1]:0"),
            ("storage", "memory"),
            ("insecure", "on"),
        ] {
            settings.set(key, value).unwrap_or_else(|e| panic!("{key}: {e}"));
        }
        assert_eq!(settings.heartbeat_timeout, Duration::from_millis(150));
        assert_eq!(settings.election_timeout, Duration::from_secs(120));
        assert_eq!((settings.max_entry_bytes, settings.max_queued_bytes), (64 * KIB, 4096));
        assert_eq!((settings.max_queued_entries, settings.insecure), (7, true));
        assert_eq!(settings.listen.as_deref(), Some("[::1]:0"));
        settings.check(false).expect("memory needs no directory");
    }

    #[test]
    fn a_malformed_value_is_named_with_an_example() {
        for (key, value) in [
            ("heartbeat_timeout", "100"),
            ("heartbeat_timeout", "0ms"),
            ("election_timeout", "-1s"),
            ("election_timeout", "1 s"),
            ("election_timeout", ""),
            ("node_proposal_timeout", "99999999999999999999s"),
            ("max_entry_bytes", "5MiB"),
            ("max_entry_bytes", "1mb"),
            ("max_entry_bytes", "0"),
            ("max_queued_entries", "1KiB"),
            ("pre_vote", "true"),
            ("storage", "disk"),
            ("profile", "wan"),
            ("listen", "7001"),
            ("listen", "host:70001"),
            ("listen", ":7001"),
            ("data_dir", "a\0b"),
        ] {
            let error = refused(key, value);
            assert_eq!(error.kind, ErrorKind::Invalid, "{key}={value}");
            assert!(error.message.contains(key) && error.message.contains(value), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_one() {
        for (key, nearest) in [
            ("hearbeat_timeout", "heartbeat_timeout"),
            ("datadir", "data_dir"),
            ("max_queue_entries", "max_queued_entries"),
            ("Listen", "listen"),
        ] {
            let error = refused(key, "1");
            assert_eq!(error.kind, ErrorKind::NotFound);
            assert!(error.message.contains(&format!("\"{nearest}\"")), "{error}");
        }
        assert!(refused("storage", "disk").message.contains("wal, sled, memory"));
        assert!(refused("xyzzy_plugh_quux", "1").message.contains("data_dir"));
    }

    #[test]
    fn a_profile_sets_the_times_and_later_keys_override() {
        let mut settings = Settings::new();
        settings.set("profile", "classic").expect("known");
        assert_eq!(settings.election_timeout, Duration::from_secs(10));
        assert_eq!(settings.node_proposal_timeout, Duration::from_secs(20));
        settings.set("heartbeat_timeout", "1s").expect("known");
        assert_eq!(settings.protocol().heartbeat, Duration::from_secs(1));
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused_at_the_start() {
        let mut settings = Settings::new();
        assert!(settings.check(false).expect_err("no directory").message.contains("data_dir"));
        settings.set("data_dir", "somewhere").expect("known");
        settings.check(false).expect("it is complete");
        settings.set("election_timeout", "299ms").expect("known");
        let error = settings.check(false).expect_err("too short");
        assert!(error.kind == ErrorKind::Invalid && error.message.contains("heartbeat"), "{error}");
    }
}
