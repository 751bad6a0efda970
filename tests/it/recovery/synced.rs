//! What a store asks of the system between an append and its acknowledgement, as `strace` sees it.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

const CHILD: &str = "QUORATE_SYNCED_CHILD";
const KIND: &str = "QUORATE_SYNCED_KIND";
const ROUNDS: u64 = 25;
const CALLS: &str = "trace=write,pwrite64,pwritev,pwritev2,writev,fdatasync,fsync,syncfs";

#[test]
#[ignore = "what the child of the next test does under strace"]
fn child_that_appends_a_little() {
    let (Ok(dir), Ok(kind)) = (std::env::var(CHILD), std::env::var(KIND)) else { return };
    let kind = KINDS.into_iter().find(|k| format!("{k:?}") == kind).expect("one of them");
    let mut store = kind.store(dir.into(), false);
    store.open().expect("opens");
    store.metadata_put(STATE_KEY, &state(77, 1, false)).expect("begins");
    let mut out = std::io::stdout().lock();
    writeln!(out, "acknowledged 0").expect("tells");
    for index in 1..=ROUNDS {
        store.append(&[record(index)], Index(0)).expect("appends");
        store.sync().expect("syncs");
        writeln!(out, "acknowledged {index}").expect("tells");
    }
}

/// What was written and not synced, and the syncs under way.
#[derive(Default)]
struct Seen {
    dirty: BTreeMap<String, BTreeSet<String>>,
    syncing: BTreeMap<String, (String, String)>,
    syncs: u64,
    writes: u64,
    /// Writes of nothing, which fail where a sync has returned well after the file system stopped.
    looks: u64,
    acknowledged: u64,
}

impl Seen {
    /// A line of strace: `pid call(fd<path>, …) = result`, perhaps in two parts.
    fn line(&mut self, line: &str, dir: &str, kind: Kind) {
        let Some((pid, rest)) = line.split_once(' ') else { return };
        let rest = rest.trim_start();
        if let Some((call, path)) = call(rest) {
            if rest.contains(", \"\", 0, ") {
                self.looks += 1;
                return;
            }
            if call.contains("write") {
                self.wrote(pid, path, rest, dir, kind);
                return;
            }
            self.syncing.insert(pid.to_owned(), (call.to_owned(), path.to_owned()));
        }
        if rest.ends_with("= 0")
            && let Some((call, path)) = self.syncing.remove(pid)
            && path.starts_with(dir)
        {
            self.syncs += 1;
            let own = self.dirty.entry(pid.to_owned()).or_default();
            own.retain(|written| call != "syncfs" && *written != path);
        }
    }

    fn wrote(&mut self, pid: &str, path: &str, rest: &str, dir: &str, kind: Kind) {
        if path.starts_with(dir) {
            self.writes += 1;
            self.dirty.entry(pid.to_owned()).or_default().insert(path.to_owned());
        } else if rest.contains("acknowledged ") {
            let open = self.dirty.get(pid).filter(|paths| !paths.is_empty());
            assert_eq!(open, None, "{kind:?}: acknowledged before a sync");
            assert!(
                self.syncs > 0 && self.writes > 0,
                "{kind:?}: no write and no sync before {rest}"
            );
            assert!(self.looks > 0 || kind != Kind::Wal, "no look after a sync before {rest}");
            (self.syncs, self.writes, self.looks) = (0, 0, 0);
            self.acknowledged += 1;
        }
    }
}

/// The name of the call that a line begins, and the file of its descriptor.
fn call(rest: &str) -> Option<(&str, &str)> {
    let (name, arguments) = rest.split_once('(')?;
    let (_, path) = arguments.split_once('<')?;
    let known = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    known.then_some(())?;
    path.split_once('>').map(|(path, _)| (name, path))
}

/// The lines of strace; `None` where it is not there or may not look.
fn traced(rig: &Rig) -> Option<String> {
    let file = rig._temp.path().join("trace");
    let child = Command::new("strace")
        .args(["-f", "-y", "-s", "40", "-e", CALLS, "-o"])
        .arg(&file)
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", "--ignored", "--nocapture"])
        .arg("recovery::synced::child_that_appends_a_little")
        .env(CHILD, &rig.dir)
        .env(KIND, format!("{:?}", rig.kind))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    child.ok().filter(std::process::ExitStatus::success)?;
    std::fs::read_to_string(&file).ok()
}

// known bug: G2 | sled 0.34, NATS 2.12.1 (#7567): what was called a sync was none, or came minutes later | wal and
// sled end each round with a sync that has returned before anything is acknowledged; here by their system calls
#[test]
fn between_an_append_and_its_acknowledgement_lies_a_sync() {
    for kind in KINDS {
        let rig = Rig::new(kind);
        let Some(lines) = traced(&rig) else {
            eprintln!(
                "strace is not to be had here: the system calls of {kind:?} were not looked at"
            );
            return;
        };
        let (mut seen, dir) = (Seen::default(), rig.dir.display().to_string());
        lines.lines().for_each(|line| seen.line(line, &dir, kind));
        assert_eq!(seen.acknowledged, ROUNDS + 1, "{kind:?}");
    }
}
