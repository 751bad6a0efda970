//! What a majority has, or wants: pure functions over a configuration. During joint consensus both
//! halves must agree (§6).

use super::membership::{Member, Membership};
use super::types::{Index, NodeId};

/// How an election stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// A majority of each half said yes.
    Won,
    /// In some half a majority can't be had any more.
    Lost,
    /// Neither yet.
    Open,
}

/// The highest index that a majority of each half has, by what each voter is known to have (§5.3).
/// 0 without voters.
pub fn committed(membership: &Membership, matched: impl Fn(NodeId) -> Index) -> Index {
    if mutant!("b8_learners_commit") {
        return median(&membership.everyone().cloned().collect::<Vec<_>>(), &matched);
    }
    let voters = median(&membership.voters, &matched);
    let halves = membership.is_joint() && !mutant!("d5_new_half_commits");
    if halves { voters.min(median(&membership.outgoing, &matched)) } else { voters }
}

/// How an election stands, by what each voter answered (§5.2).
pub fn election(membership: &Membership, vote: impl Fn(NodeId) -> Option<bool>) -> Outcome {
    let voters = tally(&membership.voters, &vote);
    if !membership.is_joint() || mutant!("d5_new_half_elects") {
        return voters;
    }
    match (voters, tally(&membership.outgoing, &vote)) {
        (Outcome::Lost, _) | (_, Outcome::Lost) => Outcome::Lost,
        (Outcome::Won, Outcome::Won) => Outcome::Won,
        _ => Outcome::Open,
    }
}

/// Whether `yes` holds for a majority of each half.
pub fn majority(membership: &Membership, yes: impl Fn(NodeId) -> bool) -> bool {
    election(membership, |id| Some(yes(id))) == Outcome::Won
}

fn median(voters: &[Member], matched: impl Fn(NodeId) -> Index) -> Index {
    let mut all: Vec<Index> = voters.iter().map(|m| matched(m.id)).collect();
    if !mutant!("b6_progress_unsorted") {
        all.sort_unstable_by(|a, b| b.cmp(a));
    }
    let off = usize::from(mutant!("b7_quorum_off_by_one"));
    all.get((all.len() / 2).saturating_sub(off)).copied().unwrap_or(Index::ZERO)
}

fn tally(voters: &[Member], vote: impl Fn(NodeId) -> Option<bool>) -> Outcome {
    let needed = voters.len() / 2 + usize::from(!mutant!("b7_half_elects"));
    let count = |answer| voters.iter().filter(|m| vote(m.id) == Some(answer)).count();
    if voters.is_empty() {
        Outcome::Lost
    } else if count(true) >= needed {
        Outcome::Won
    } else if voters.len() - count(false) < needed {
        Outcome::Lost
    } else {
        Outcome::Open
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::Address;
    use super::*;

    fn members(ids: &[u64]) -> Vec<Member> {
        ids.iter().map(|&id| Member { id: NodeId(id), address: Address::from("") }).collect()
    }

    fn membership(voters: &[u64], outgoing: &[u64]) -> Membership {
        Membership { voters: members(voters), outgoing: members(outgoing), ..Membership::default() }
    }

    #[test]
    fn a_majority_of_each_half_commits() {
        let has = |id: NodeId| Index(id.0 * 10);
        for (voters, outgoing, expected) in [
            (&[1][..], &[][..], 10),
            (&[1, 2], &[], 10),
            (&[1, 2, 3], &[], 20),
            (&[1, 2, 3, 4], &[], 20),
            (&[1, 2, 3, 4, 5], &[], 30),
            (&[3, 4, 5], &[1, 2, 3], 20),
            (&[1, 2, 3], &[3, 4, 5], 20),
            (&[], &[], 0),
        ] {
            assert_eq!(committed(&membership(voters, outgoing), has), Index(expected));
        }
    }

    #[test]
    fn an_election_is_won_in_both_halves_or_lost_in_one() {
        let yes = |ids: &'static [u64]| move |id: NodeId| Some(ids.contains(&id.0));
        let three = membership(&[1, 2, 3], &[]);
        assert_eq!(election(&three, yes(&[1, 2])), Outcome::Won);
        assert_eq!(election(&three, yes(&[1])), Outcome::Lost);
        assert_eq!(election(&three, |id| (id.0 == 1).then_some(true)), Outcome::Open);
        let joint = membership(&[1, 2, 3], &[3, 4, 5]);
        assert_eq!(election(&joint, yes(&[1, 2, 3])), Outcome::Lost);
        assert_eq!(election(&joint, yes(&[1, 3, 4])), Outcome::Won);
        assert_eq!(election(&membership(&[], &[]), yes(&[1])), Outcome::Lost);
    }
}
