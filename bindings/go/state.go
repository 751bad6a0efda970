package quorate

import (
	"strconv"
	"time"
)

// Keys of the metadata.
const (
	CurrentTermKey = "currentTerm"
	VotedForKey    = "votedFor"
	LocalIDKey     = "localID"
	ClusterIDKey   = "clusterID"
	LastAppliedKey = "lastApplied"
	NodeConfig     = "nodeConfig"
	WebHooks       = "webHooks"
)

const (
	// MembershipChange is the type of entries that change the members.
	MembershipChange = -1
	// WebHookChange is the type of entries that change the web hooks.
	WebHookChange = -2

	// ElectionTimeout, HeartbeatTimeout and NodeProposalTimeout are what the setting profile=classic
	// selects; the defaults are shorter.
	ElectionTimeout     = 10 * time.Second
	HeartbeatTimeout    = 2 * time.Second
	NodeProposalTimeout = ElectionTimeout * 2
)

// State is the current state of a service.
type State int32

const (
	Follower State = iota
	Candidate
	Leader
	Standalone
	Stopping
	Stopped
	// Failed means that a disk, a state machine or a safety rule stopped the service; see [Service.Err].
	Failed
)

var stateNames = []string{"Follower", "Candidate", "Leader", "Standalone", "Stopping", "Stopped", "Failed"}

// String gives the bare name, or State(n) for a number without one.
func (i State) String() string { return nameOf("State", stateNames, int32(i)) }

// MembershipChangeMode says where the current change of membership stands.
type MembershipChangeMode int32

const (
	Stable MembershipChangeMode = iota
	ProposedJointConsensus
	ProposedFinalConsensus
)

var modeNames = []string{"Stable", "ProposedJointConsensus", "ProposedFinalConsensus"}

// String gives the bare name, or MembershipChangeMode(n) for a number without one.
func (i MembershipChangeMode) String() string {
	return nameOf("MembershipChangeMode", modeNames, int32(i))
}

// LoopCommand is what the library tells its own main loop; it is named for diagnosis.
type LoopCommand int32

const (
	UpdateConfiguration LoopCommand = iota
	JoinAsFollower
	JoinAsCandidate
)

var loopNames = []string{"UpdateConfiguration", "JoinAsFollower", "JoinAsCandidate"}

// String gives the bare name, or LoopCommand(n) for a number without one.
func (i LoopCommand) String() string { return nameOf("LoopCommand", loopNames, int32(i)) }

func nameOf(kind string, names []string, i int32) string {
	if i >= 0 && int(i) < len(names) {
		return names[i]
	}
	return kind + "(" + strconv.Itoa(int(i)) + ")"
}
