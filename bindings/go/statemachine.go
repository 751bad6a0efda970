package quorate

// #cgo noescape quorate_go_replies
// #cgo nocallback quorate_go_replies
// #include "bridge.h"
import "C"

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"unsafe"
)

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
	state StateMachine
	cause atomic.Pointer[error]

	// The replies of a batch, one behind the other, and the length of each; kept from batch to batch.
	bytes []byte
	lens  []int64
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

// recovered makes a panic an error, and remembers what made the machine fail.
func (m *machine) recovered(err *error, name string) {
	if value := recover(); value != nil {
		*err = &hookPanic{name, value, debug.Stack()}
	}
	if failure := *err; failure != nil {
		m.cause.CompareAndSwap(nil, &failure)
	}
}

// failure is what made the machine fail, or nil.
func (m *machine) failure() error {
	if err := m.cause.Load(); err != nil {
		return *err
	}
	return nil
}

// reply hands the replies of a batch over, if there are any.
func (m *machine) reply(entries []Entry, replies *C.quorate_output) C.quorate_status {
	m.bytes, m.lens = m.bytes[:0], m.lens[:0]
	some := false
	for i := range entries {
		if entries[i].Reply == nil {
			m.lens = append(m.lens, -1)
			continue
		}
		some = true
		m.lens = append(m.lens, int64(len(entries[i].Reply)))
		m.bytes = append(m.bytes, entries[i].Reply...)
	}
	if !some {
		return C.QUORATE_OK
	}
	return C.quorate_go_replies(replies, (*C.uint8_t)(unsafe.SliceData(m.bytes)),
		(*C.int64_t)(unsafe.SliceData(m.lens)), C.size_t(len(m.lens)))
}

// A hookPanic is the error that a panic in a hook becomes.
type hookPanic struct {
	name  string
	value any
	stack []byte
}

func (p *hookPanic) Error() string {
	return fmt.Sprintf("%s panicked: %v\n\n%s", p.name, p.value, p.stack)
}

// Unwrap gives the value of the panic, if that is an error.
func (p *hookPanic) Unwrap() error {
	err, _ := p.value.(error)
	return err
}
