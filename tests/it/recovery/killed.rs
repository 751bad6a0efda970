//! A process that is killed, one that may not write any more, and a directory in which another works.

use super::*;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const CHILD: &str = "QUORATE_RECOVERY_CHILD";
const KIND: &str = "QUORATE_RECOVERY_KIND";

#[test]
#[ignore = "what the child of the next test does until it is killed"]
fn child_that_appends() {
    let (Ok(dir), Ok(kind)) = (std::env::var(CHILD), std::env::var(KIND)) else { return };
    let kind = KINDS.into_iter().find(|k| format!("{k:?}") == kind).expect("one of them");
    let mut store = kind.store(dir.into(), false);
    let mut next = store.open().expect("opens").last.next().0;
    store.metadata_put(STATE_KEY, &state(77, next, false)).expect("begins");
    let mut out = std::io::stdout().lock();
    loop {
        let batch: Vec<Record> = (next..next + 1 + next % 7).map(record).collect();
        next += batch.len() as u64;
        store.append(&batch, Index(0)).expect("appends");
        store.sync().expect("syncs");
        if next.is_multiple_of(97) {
            store.truncate_prefix(Index(next - 50), Term(1)).expect("compacts");
        }
        writeln!(out, "acknowledged {}", next - 1).expect("tells");
    }
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    for kind in KINDS {
        killed_again_and_again(&Rig::new(kind));
    }
}

fn killed_again_and_again(rig: &Rig) {
    for round in 0..12 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "--ignored", "recovery::killed::child_that_appends", "--nocapture"])
            .env(CHILD, &rig.dir)
            .env(KIND, format!("{:?}", rig.kind))
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut told = lines.map_while(Result::ok).filter_map(|line| {
            line.rsplit_once("acknowledged ").and_then(|(_, n)| n.parse::<u64>().ok())
        });
        let before = told.by_ref().take(20 + round * 13).last().expect("it works");
        rig.refused_as_locked(); // from another process, too
        child.kill().expect("killed");
        let acknowledged = told.last().unwrap_or(before); // what was still in the pipe
        child.wait().expect("ended");
        let mut store = rig.store(false);
        let recovered = store.open().expect("opens");
        assert!(recovered.last.0 >= acknowledged, "{} of {acknowledged}", recovered.last);
        let mut index = recovered.first;
        while index <= recovered.last {
            for found in store.read(index, recovered.last, 1 << 16).expect("reads") {
                assert_eq!(found, record(index.0));
                index = index.next();
            }
        }
    }
}

/// How far the files of a child may grow.
const LIMIT: &str = "QUORATE_RECOVERY_LIMIT";

/// From now on writing beyond so many bytes of a file fails, as on a full disk.
fn limit_files(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: the first call changes how a signal is treated, the second reads a value of ours.
    let set = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &limit)
    };
    assert_eq!(set, 0);
}

#[test]
#[ignore = "what the child of the next test does until it can't write"]
fn child_that_fails_to_write() {
    let (Ok(dir), Ok(kind)) = (std::env::var(CHILD), std::env::var(KIND)) else { return };
    let kind = KINDS.into_iter().find(|k| format!("{k:?}") == kind).expect("one of them");
    let mut store = kind.store(dir.into(), false);
    store.open().expect("opens");
    store.metadata_put(STATE_KEY, &state(77, 1, false)).expect("begins");
    limit_files(std::env::var(LIMIT).ok().and_then(|n| n.parse().ok()).expect("a number"));
    let mut next = 1;
    let failed = loop {
        let batch: Vec<Record> = (next..next + 20).map(|index| sized(index, 3000)).collect();
        if let Err(e) = store.append(&batch, Index(0)).and_then(|()| store.sync()) {
            break e;
        }
        next += 20;
        println!("acknowledged {}", next - 1);
    };
    assert!(matches!(failed.kind, StorageErrorKind::Io | StorageErrorKind::Full), "{failed}");
    store.sync().expect_err("and that was the end");
    store.append(&[sized(next, 10)], Index(0)).expect_err("and that was the end");
    store.metadata_put(STATE_KEY, &state(77, 1, true)).expect_err("and that was the end");
    println!("ended well");
}

/// The first write that fails is the last; what was acknowledged before is there.
#[test]
fn a_failed_write_is_final_and_loses_nothing_acknowledged() {
    for (kind, limit) in [(Kind::Wal, 40 << 10), (Kind::Sled, 9 << 20)] {
        let rig = Rig::new(kind);
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "--ignored", "recovery::killed::child_that_fails_to_write"])
            .arg("--nocapture")
            .env(CHILD, &rig.dir)
            .env(KIND, format!("{kind:?}"))
            .env(LIMIT, limit.to_string())
            .output()
            .expect("runs");
        let out = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(out.contains("ended well"), "{out}{}", String::from_utf8_lossy(&child.stderr));
        let mut told = out.lines().filter_map(|line| line.rsplit_once("acknowledged "));
        let acknowledged: u64 = told.next_back().map_or(0, |(_, n)| n.parse().expect("a number"));
        let mut store = rig.store(false);
        let found = store.open().expect("opens");
        assert!(found.last.0 >= acknowledged, "{} of {acknowledged}", found.last);
        let mut index = Index(1);
        while index <= found.last {
            for record in store.read(index, found.last, 1 << 20).expect("reads") {
                assert_eq!(record, sized(index.0, 3000));
                index = index.next();
            }
        }
    }
}
