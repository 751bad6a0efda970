//! A process that is killed, and a directory in which another one works.

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
