//! Constants and enumerations of the package page, with the page's own words.

// Chapter: Constants and enumerations of the package page

use std::ffi::{CStr, c_char};

// Section: Metadata keys.
// Verbatim: #define QUORATE_KEY_CURRENT_TERM "currentTerm"
// Verbatim: #define QUORATE_KEY_VOTED_FOR "votedFor"
// Verbatim: #define QUORATE_KEY_LOCAL_ID "localID"
// Verbatim: #define QUORATE_KEY_CLUSTER_ID "clusterID"
// Verbatim: #define QUORATE_KEY_LAST_APPLIED "lastApplied"
// Verbatim: #define QUORATE_KEY_NODE_CONFIG "nodeConfig"
// Verbatim: #define QUORATE_KEY_WEB_HOOKS "webHooks"

// Section: Entry types below 0 belong to the library.

pub const QUORATE_ENTRY_MEMBERSHIP_CHANGE: i32 = -1;
pub const QUORATE_ENTRY_WEB_HOOK_CHANGE: i32 = -2;

// Section: The page's timeouts: what profile "classic" sets.

pub const QUORATE_HEARTBEAT_TIMEOUT_MS: i64 = 2000;
pub const QUORATE_ELECTION_TIMEOUT_MS: i64 = 10000;
pub const QUORATE_NODE_PROPOSAL_TIMEOUT_MS: i64 = 20000;

// Section: State of a service. A candidate that asks before it campaigns (pre-vote) is a Candidate.

pub type quorate_state = i32;

pub const QUORATE_STATE_FOLLOWER: quorate_state = 0;
pub const QUORATE_STATE_CANDIDATE: quorate_state = 1;
pub const QUORATE_STATE_LEADER: quorate_state = 2;
pub const QUORATE_STATE_STANDALONE: quorate_state = 3;
pub const QUORATE_STATE_STOPPING: quorate_state = 4;
pub const QUORATE_STATE_STOPPED: quorate_state = 5;
/// Not on the page: a service that a disk or a state machine stopped is not one that the host
/// closed.
pub const QUORATE_STATE_FAILED: quorate_state = 6;

// Section: Where the current change of membership stands.

pub type quorate_membership_change_mode = i32;

pub const QUORATE_MODE_STABLE: quorate_membership_change_mode = 0;
pub const QUORATE_MODE_PROPOSED_JOINT_CONSENSUS: quorate_membership_change_mode = 1;
pub const QUORATE_MODE_PROPOSED_FINAL_CONSENSUS: quorate_membership_change_mode = 2;

// Section: What the library tells its own main loop; named for diagnosis, sent only by the library.

pub type quorate_loop_command = i32;

pub const QUORATE_LOOP_UPDATE_CONFIGURATION: quorate_loop_command = 0;
pub const QUORATE_LOOP_JOIN_AS_FOLLOWER: quorate_loop_command = 1;
pub const QUORATE_LOOP_JOIN_AS_CANDIDATE: quorate_loop_command = 2;

/// The page's bare word, such as "Follower". Static; a number without a word gives "State(?)",
/// because a static text can't hold the number (the other languages print it). Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_state_string(state: quorate_state) -> *const c_char {
    const WORDS: &[&CStr] =
        &[c"Follower", c"Candidate", c"Leader", c"Standalone", c"Stopping", c"Stopped", c"Failed"];
    word(WORDS, state, c"State(?)")
}

/// Likewise: "Stable", ... or "MembershipChangeMode(?)". Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_membership_change_mode_string(
    mode: quorate_membership_change_mode,
) -> *const c_char {
    const WORDS: &[&CStr] = &[c"Stable", c"ProposedJointConsensus", c"ProposedFinalConsensus"];
    word(WORDS, mode, c"MembershipChangeMode(?)")
}

/// Likewise: "UpdateConfiguration", ... or "LoopCommand(?)". Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_loop_command_string(command: quorate_loop_command) -> *const c_char {
    const WORDS: &[&CStr] = &[c"UpdateConfiguration", c"JoinAsFollower", c"JoinAsCandidate"];
    word(WORDS, command, c"LoopCommand(?)")
}

fn word(words: &[&'static CStr], number: i32, unknown: &'static CStr) -> *const c_char {
    let word = usize::try_from(number).ok().and_then(|n| words.get(n));
    word.copied().unwrap_or(unknown).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_engine::consensus::command::kind;
    use quorate_engine::status::{LoopCommand, MembershipChangeMode, State};

    /// The words are the names that the engine gives its variants, and the numbers are theirs.
    #[test]
    fn numbers_and_words_are_the_engines() {
        use LoopCommand::*;
        use MembershipChangeMode::*;
        use State::*;
        let text = |word: *const c_char| {
            // SAFETY: the words are static.
            unsafe { CStr::from_ptr(word) }.to_str().expect("they are ASCII")
        };
        for state in [Follower, Candidate, Leader, Standalone, Stopping, Stopped, Failed] {
            assert_eq!(text(quorate_state_string(state as i32)), format!("{state:?}"));
        }
        for mode in [Stable, ProposedJointConsensus, ProposedFinalConsensus] {
            let word = text(quorate_membership_change_mode_string(mode as i32));
            assert_eq!(word, format!("{mode:?}"));
        }
        for command in [UpdateConfiguration, JoinAsFollower, JoinAsCandidate] {
            let word = text(quorate_loop_command_string(command as i32));
            assert_eq!(word, format!("{command:?}"));
        }
        for unknown in [-1, 7, i32::MIN, i32::MAX] {
            assert_eq!(text(quorate_state_string(unknown)), "State(?)");
        }
        assert_eq!(QUORATE_ENTRY_MEMBERSHIP_CHANGE, kind::MEMBERSHIP);
        assert_eq!(QUORATE_ENTRY_WEB_HOOK_CHANGE, kind::WEB_HOOKS);
    }
}
