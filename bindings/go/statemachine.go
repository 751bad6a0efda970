package quorate

// #include "bridge.h"
import "C"

import "fmt"

// A StateMachine is told of every committed change, in order, each exactly once per run. Data and Tags are
// its to keep. Reply is read when the method returns: an entry that is kept for longer must not be changed
// after that. An error stops the service for good: refusing a command is a matter of its Reply, the same on
// every node.
//
// The engine looks whether it also is a [BatchStateMachine] or a [DurableStateMachine], as io.Copy does
// with WriterTo.
type StateMachine interface {
	Commit(entry *Entry) error
}

// A BatchStateMachine gets several changes at a time: CommitBatch is called instead of Commit, for one
// transaction per batch. It may sort the entries: a reply goes to whoever proposed the entry with its Index.
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
	replies tray     // of the batch under way
	indexes []uint64 // of its entries, in order
}

// open asks where the state stands.
func (m *machine) open() (applied Applied, err error) {
	defer m.recovered(&err, "Open")
	return m.state.(DurableStateMachine).Open()
}

// commit applies a batch and gathers the replies.
func (m *machine) commit(entries []Entry) (err error) {
	m.replies.clear()
	if all, ok := m.state.(BatchStateMachine); ok {
		defer m.recovered(&err, "CommitBatch")
		return m.commitBatch(all, entries)
	}
	defer m.recovered(&err, "Commit")
	for i := range entries {
		index := entries[i].Index
		if err := m.state.Commit(&entries[i]); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		m.replies.add(entries[i].Reply)
	}
	return nil
}

// commitBatch applies a batch at once. The slice is the state machine's, which may sort it: each reply is
// that of the entry with the index, wherever that stands now.
func (m *machine) commitBatch(state BatchStateMachine, entries []Entry) error {
	m.indexes = m.indexes[:0]
	for i := range entries {
		m.indexes = append(m.indexes, entries[i].Index)
	}
	if err := state.CommitBatch(entries); err != nil {
		return err
	}
	var moved map[uint64][]byte
	for i, index := range m.indexes {
		if entries[i].Index == index {
			m.replies.add(entries[i].Reply)
			continue
		}
		if moved == nil {
			moved = repliesOf(entries)
		}
		m.replies.add(moved[index])
	}
	return nil
}

// repliesOf gives the replies by the index of their entry.
func repliesOf(entries []Entry) map[uint64][]byte {
	replies := make(map[uint64][]byte, len(entries))
	for i := range entries {
		replies[entries[i].Index] = entries[i].Reply
	}
	return replies
}

// reply hands the replies of a batch over, if there are any.
func (m *machine) reply(replies *C.quorate_output) C.quorate_status {
	if m.replies.empty() {
		return C.QUORATE_OK
	}
	return m.replies.set(replies)
}
