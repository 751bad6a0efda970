//! Clocks, terms and indexes near 2^31, 2^32 and 2^63, and election timeouts from 5 ms to an hour.

use super::lone::{Lone, begun, config};
use quorate_engine::consensus::config::Config;
use quorate_engine::consensus::ready::RoleName;
use quorate_engine::consensus::types::{Index, Term, Time};
use quorate_tests::cluster::{CLUSTER, Cluster};
use quorate_tests::disk::{Disk, Kept};
use quorate_tests::scene;
use std::time::Duration;

const MS: u64 = 1_000_000;

/// Three nodes in term `term`, at that time.
fn three(config: Config, now: u64, term: u64) -> Cluster {
    let mut cluster = Cluster::new(3);
    (cluster.config, cluster.now, cluster.quiet) = (config, Time(now), true);
    for place in 1..=3 {
        let mut state = scene::state(place, CLUSTER);
        state.term = Term(term);
        cluster.place(
            place,
            Disk::new(state, vec![scene::founding(&[1, 2, 3])], Index(1)),
            Index(1),
        );
    }
    cluster
}

fn leaders(cluster: &Cluster) -> Vec<(u64, Term)> {
    let cores =
        cluster.nodes.iter().filter_map(|(place, n)| Some((*place, n.core.as_ref()?.status())));
    cores.filter(|(_, s)| s.role == RoleName::Leader).map(|(place, s)| (place, s.term)).collect()
}

// known bug: B23 | NuRaft 92fce2f, 7207197, hashicorp, openraft 503d765f: times, indexes and counters of 32
// or 8 bits wrapped | all of them have 64 bits, times saturate, and differences alone are used; here a
// cluster lives across 2^31, 2^32 and 2^63
#[test]
fn clocks_and_terms_pass_the_powers_of_two() {
    let ends = [1u64 << 31, 1 << 32, 1 << 63];
    let moments = ends.iter().flat_map(|end| [*end, end.saturating_mul(MS)]);
    for end in moments.filter(|end| *end < u64::MAX / 2 + (1 << 40)) {
        let mut cluster = three(Config::default(), end - 3000 * MS.min(end / 4000), 1);
        cluster.advance(Duration::from_secs(10), true);
        let [(leader, term)] = leaders(&cluster)[..] else { panic!("one leader at {end}") };
        cluster.propose(leader, &["x"]);
        cluster.advance(Duration::from_secs(20), true);
        assert_eq!(leaders(&cluster), [(leader, term)], "the leader stays at {end}");
        cluster.crash(leader, Kept::default());
        cluster.advance(Duration::from_secs(5), true);
        assert_eq!(leaders(&cluster).len(), 1, "a dead leader is noticed at {end}");
        assert_eq!(cluster.faults, Vec::<String>::new());
    }
    for end in ends {
        let mut cluster = three(Config::default(), 1_000 * MS, end - 2);
        for _ in 0..4 {
            cluster.advance(Duration::from_secs(5), true);
            let (leader, _) = leaders(&cluster)[0];
            cluster.propose(leader, &["x"]);
            cluster.advance(Duration::from_secs(1), true);
            cluster.crash(leader, Kept::default());
            cluster.advance(Duration::from_secs(5), true);
            cluster.start(leader);
        }
        assert!(leaders(&cluster)[0].1 >= Term(end + 1), "terms went past {end}");
        assert_eq!(cluster.faults, Vec::<String>::new());
    }
}

// known bug: B23
#[test]
fn indexes_pass_the_powers_of_two() {
    for end in [1u64 << 31, 1 << 32, 1 << 63] {
        let mut restored = begun(&[1, 2, 3], &[]);
        let (_, membership) = restored.memberships.remove(0);
        restored.memberships = vec![(Index(end - 3), membership)];
        (restored.first, restored.prev_term, restored.last) =
            (Index(end - 3), Term(1), Index(end - 2));
        restored.terms = vec![(Index(end - 3), Term(1))];
        (restored.commit_hint, restored.applied) = (Index(end - 2), Index(end - 2));
        let mut lone = Lone::new(config(), restored);
        lone.campaign([2]);
        (1..=4).for_each(|seq| lone.propose(seq));
        for index in end - 1..=end + 3 {
            lone.ack(2, index);
            assert_eq!(lone.core.status().commit, Index(index), "{}", lone.core);
        }
        assert_eq!(lone.applied, (end - 1..=end + 3).collect::<Vec<u64>>());
    }
}

// known bug: C17 | seaweedfs/raft #9: a timeout below a second was cut to none, and the leader changed with
// every tick | times are durations to the nanosecond; here timeouts of 5 ms, 50 ms, 999 ms, 1 s and 1 h
#[test]
fn timeouts_of_any_length_keep_a_leader_and_replace_a_dead_one() {
    for millis in [5, 50, 999, 1000, 3_600_000] {
        let timeout = Duration::from_millis(millis);
        let config =
            Config { election_timeout: timeout, heartbeat: timeout / 10, ..Config::default() };
        let spread = config.election_spread();
        let mut cluster = three(config, 1_000 * MS, 1);
        cluster.advance(timeout + spread, true);
        let [(leader, term)] = leaders(&cluster)[..] else { panic!("one leader with {timeout:?}") };
        cluster.advance(timeout * 100, true);
        assert_eq!(leaders(&cluster), [(leader, term)], "it stays with {timeout:?}");
        cluster.crash(leader, Kept::default());
        cluster.advance(timeout + spread, true);
        assert_eq!(leaders(&cluster).len(), 1, "it is replaced with {timeout:?}");
        assert_eq!(cluster.faults, Vec::<String>::new());
    }
}
