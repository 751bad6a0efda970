package quorate_test

import (
	"context"
	"time"

	"quorate"
)

// A program that was written against the page compiles with these: names, types and signatures.
var (
	_ func(quorate.Communication, quorate.Storage, quorate.StateMachine, ...quorate.Option) (*quorate.Service, error) = quorate.StartRaft

	_ func(*quorate.Service, string) error                          = (*quorate.Service).InitializeCluster
	_ func(*quorate.Service, string) error                          = (*quorate.Service).AddNode
	_ func(*quorate.Service, quorate.NodeID) error                  = (*quorate.Service).RemoveNode
	_ func(*quorate.Service, *quorate.Entry) (uint64, error)        = (*quorate.Service).Propose
	_ func(*quorate.Service)                                        = (*quorate.Service).Close
	_ func(*quorate.Service, []byte) error                          = (*quorate.Service).Append
	_ func(*quorate.Service, []byte) error                          = (*quorate.Service).Join
	_ func(*quorate.Service, []byte) error                          = (*quorate.Service).RequestVote
	_ func(*quorate.Service) *quorate.ChangeTracker                 = (*quorate.Service).GetAppliedTracker
	_ func(*quorate.Service) quorate.NodeID                         = (*quorate.Service).GetClusterID
	_ func(*quorate.Service) uint64                                 = (*quorate.Service).GetCommitIndex
	_ func(*quorate.Service) uint64                                 = (*quorate.Service).GetCurrentTerm
	_ func(*quorate.Service) (uint64, error)                        = (*quorate.Service).GetFirstIndex
	_ func(*quorate.Service) uint64                                 = (*quorate.Service).GetLastApplied
	_ func(*quorate.Service) (uint64, uint64)                       = (*quorate.Service).GetLastIndex
	_ func(*quorate.Service) quorate.NodeID                         = (*quorate.Service).GetLeaderID
	_ func(*quorate.Service) quorate.MembershipChangeMode           = (*quorate.Service).GetMembershipChangeMode
	_ func(*quorate.Service) *quorate.NodeList                      = (*quorate.Service).GetNodeConfig
	_ func(*quorate.Service) quorate.ProtocolStatus                 = (*quorate.Service).GetRaftStatus
	_ func(*quorate.Service) quorate.State                          = (*quorate.Service).GetState
	_ func(*quorate.Service) quorate.NodeID                         = (*quorate.Service).MyID
	_ func() *quorate.ChangeTracker                                 = quorate.CreateTracker
	_ func(string) *quorate.ChangeTracker                           = quorate.GetNamedTracker
	_ func(*quorate.ChangeTracker)                                  = (*quorate.ChangeTracker).Close
	_ func(*quorate.ChangeTracker, uint64, time.Duration) uint64    = (*quorate.ChangeTracker).TimedWait
	_ func(*quorate.ChangeTracker, uint64)                          = (*quorate.ChangeTracker).Update
	_ func(*quorate.ChangeTracker, uint64) uint64                   = (*quorate.ChangeTracker).Wait
	_ func(*quorate.NodeList, quorate.NodeID) *quorate.Node         = (*quorate.NodeList).GetNode
	_ func(*quorate.NodeList) []quorate.Node                        = (*quorate.NodeList).GetUniqueNodes
	_ func(*quorate.NodeList) string                                = (*quorate.NodeList).String
	_ func(quorate.Node) string                                     = quorate.Node.String
	_ func(quorate.State) string                                    = quorate.State.String
	_ func(quorate.LoopCommand) string                              = quorate.LoopCommand.String
	_ func(quorate.MembershipChangeMode) string                     = quorate.MembershipChangeMode.String
	_                                                               = quorate.Node{NodeID: quorate.NodeID(1), Address: ""}
	_                                                               = quorate.NodeList{Current: []quorate.Node{}, Next: []quorate.Node{}}
	_                                                               = quorate.ProtocolStatus{PeerIndices: (*map[quorate.NodeID]uint64)(nil)}
	_ interface{ Commit(*quorate.Entry) error }                     = quorate.StateMachine(nil)
	_                                                               = quorate.Entry{Index: 1, Type: 0, Term: 1, Timestamp: time.Time{}, Tags: []string{}, Data: []byte{}}
	_ func(*quorate.Service, context.Context, quorate.NodeID) error = (*quorate.Service).RemoveNodeContext
)
