package quorate

// #include "bridge.h"
import "C"

import "fmt"

// A StateMachine is told of every committed change, in order, each exactly once per run. The entry is its
// to keep. An error stops the service for good: refusing a command is a matter of its Reply, the same on
// every node.
//
// The engine looks whether it also is a [BatchStateMachine] or a [DurableStateMachine], as io.Copy does
// with WriterTo.
type StateMachine interface {
	Commit(entry *Entry) error
}

// A BatchStateMachine gets several changes at a time: CommitBatch is called instead of Commit, for one
// transaction per batch.
type BatchStateMachine interface {
	StateMachine
	CommitBatch(entries []Entry) error
}

// A DurableStateMachine keeps its state itself. Open is called first and tells what it holds; what comes
// after that is committed again. A state that is ahead of the log, or of another history, is refused.
type DurableStateMachine interface {
	StateMachine
	Open() (Applied, error)
}

// Applied is what a state machine holds durably: the last applied entry, and the cluster that it came
// from. Term and ClusterID 0 are not checked.
type Applied struct {
	Index     uint64
	Term      uint64
	ClusterID NodeID
}

// A machine is the state machine of one service as the hooks call it: on one thread, one call at a time.
// It knows nothing of the service, so that a service can be collected while the engine holds the machine.
type machine struct {
	cause
	state   StateMachine
	replies tray
}

// open asks where the state stands.
func (m *machine) open() (applied Applied, err error) {
	defer m.recovered(&err, "Open")
	return m.state.(DurableStateMachine).Open()
}

// commit applies a batch.
func (m *machine) commit(entries []Entry) (err error) {
	if all, ok := m.state.(BatchStateMachine); ok {
		defer m.recovered(&err, "CommitBatch")
		return all.CommitBatch(entries)
	}
	defer m.recovered(&err, "Commit")
	for i := range entries {
		if err := m.state.Commit(&entries[i]); err != nil {
			return fmt.Errorf("entry %d: %w", entries[i].Index, err)
		}
	}
	return nil
}

// reply hands the replies of a batch over, if there are any.
func (m *machine) reply(entries []Entry, replies *C.quorate_output) C.quorate_status {
	m.replies.clear()
	some := false
	for i := range entries {
		some = some || entries[i].Reply != nil
		m.replies.add(entries[i].Reply)
	}
	if !some {
		return C.QUORATE_OK
	}
	return m.replies.set(replies)
}
