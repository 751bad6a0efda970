package quorate

// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"unsafe"
)

// A Status is a number of quorate.h, and an error to compare with: errors.Is(err, quorate.ErrBusy). Its
// thousands give the [Outcome], also of a number that is newer than the program.
type Status int32

// Definitely not done, now or later: trying again is safe.
const (
	// ErrInvalid: an argument is missing, malformed, out of range or reserved; the message names it.
	ErrInvalid Status = -1
	// ErrTooLarge: the entry exceeds the setting max_entry_bytes.
	ErrTooLarge Status = -2
	// ErrInCallback: what waits was called from a hook, which it would wait for.
	ErrInCallback Status = -3
	// ErrForked: called in a child process after fork.
	ErrForked Status = -4
	// ErrClosed: the service or tracker was closed before the call.
	ErrClosed Status = -5
	// ErrUnsupported: this build, store or state machine does not have it.
	ErrUnsupported Status = -6
	// ErrNotFound: no such setting or node.
	ErrNotFound Status = -7
	// ErrNotLeader: no leader is known, or forwarding is off; see [Error.Leader].
	ErrNotLeader Status = -10
	// ErrBusy: a bounded queue is full; wait for what is under way, then try again.
	ErrBusy Status = -11
	// ErrDiskFull: the disk of the leader is full.
	ErrDiskFull Status = -15
	// ErrLost: the change was handed to a leader that lost its office; it never will be in the log.
	ErrLost Status = -16
	// ErrNoCluster: this node is in no cluster; call InitializeCluster first.
	ErrNoCluster Status = -20
	// ErrAlreadyMember: the node is a member already.
	ErrAlreadyMember Status = -21
	// ErrOtherCluster: the node belongs to another cluster.
	ErrOtherCluster Status = -22
	// ErrHasData: the node has data of its own that is not this cluster's.
	ErrHasData Status = -23
	// ErrChangeInProgress: another change of membership is under way.
	ErrChangeInProgress Status = -24
	// ErrUnreachable: nobody answers at the address, or another node than meant.
	ErrUnreachable Status = -25
	// ErrAddressInUse: the listening address is taken.
	ErrAddressInUse Status = -30
	// ErrIO: a file or directory can't be made, read or written.
	ErrIO Status = -31
	// ErrLocked: another process or service has the data directory open.
	ErrLocked Status = -32
	// ErrCorrupt: a stored record is damaged, or something is missing. Nothing was changed.
	ErrCorrupt Status = -33
	// ErrIdentity: the data directory is a copy, or a file in it belongs to another one.
	ErrIdentity Status = -34
	// ErrVersion: the format on disk, or the peer's protocol, is not one that this version knows.
	ErrVersion Status = -35
	// ErrStateMachine: the state machine is ahead of the log, behind it, or of another history.
	ErrStateMachine Status = -37
)

// Unknown: the change may be in the log and may still be applied. Look before you repeat it. A read that
// ends so has had no effect.
const (
	// ErrTimeout: the time is over, or the context ended. A change of membership goes on.
	ErrTimeout Status = -1000
	// ErrLeadershipLost: the leader lost its office meanwhile. Only from membership calls and reads.
	ErrLeadershipLost Status = -1001
	// ErrInterrupted: the service was closed, or failed, while the request was under way.
	ErrInterrupted Status = -1003
	// ErrSkipped: a snapshot jumped over the change.
	ErrSkipped Status = -1004
	// ErrLeftCluster: the node left its cluster while the request was under way.
	ErrLeftCluster Status = -1005
)

// Fatal: the service failed before this call, which did nothing. It neither votes nor acknowledges any
// more. Close it; the program lives on and may start another.
const (
	// ErrStorageFailed: a write or sync of the store failed.
	ErrStorageFailed Status = -2000
	// ErrStateMachineFailed: a method of the state machine failed.
	ErrStateMachineFailed Status = -2001
	// ErrInternal: a bug in the library; please report it.
	ErrInternal Status = -2002
	// ErrIdentityTaken: a newer run, or a copy, of this node is alive.
	ErrIdentityTaken Status = -2004
)

// Error gives a short name, such as "quorate: not leader".
func (s Status) Error() string {
	return "quorate: " + C.GoString(C.quorate_status_string(C.quorate_status(s)))
}

func (s Status) outcome() Outcome {
	switch {
	case s >= 0:
		return OutcomeDone
	case s > -1000:
		return OutcomeNotDone
	case s > -2000:
		return OutcomeUnknown
	}
	return OutcomeFatal
}

// An Error is what every function here returns when it fails: use errors.As to see more than the text.
type Error struct {
	Status Status
	// Message is one or more sentences: what is wrong and what to do.
	Message string
	// Leader is the leader as last heard of, with ErrNotLeader; nil when none is known.
	Leader *Node
	// Cause is the error of a hook, or of the context that ended the wait. errors.Is and errors.As find what
	// it wraps, but for a Status: that of another failure must not be taken for the one of this.
	Cause error

	// unsent: the context had ended before anything was begun.
	unsent bool
}

func (e *Error) Error() string {
	if e.Message == "" {
		return e.Status.Error()
	}
	return "quorate: " + e.Message
}

// Unwrap gives the Status and the Cause, so that errors.Is(err, context.Canceled) holds too.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Status}
	}
	return []error{e.Status, reason{e.Cause}}
}

// A reason is a Cause as errors.Is and errors.As see it: a host's error without the Status that it may wrap.
type reason struct{ error }

func (r reason) Is(target error) bool {
	_, status := target.(Status)
	return !status && errors.Is(r.error, target)
}

func (r reason) As(target any) bool {
	_, status := target.(*Status)
	return !status && errors.As(r.error, target)
}

// An Outcome says what a failed call did.
type Outcome int32

const (
	OutcomeDone Outcome = iota
	// OutcomeNotDone: not done, now or later. Trying again is safe.
	OutcomeNotDone
	// OutcomeUnknown: it may be done. Look before you repeat it.
	OutcomeUnknown
	// OutcomeFatal: the service had failed before.
	OutcomeFatal
)

var outcomeNames = []string{"done", "not done", "unknown", "fatal"}

// String gives a word or two, such as "not done".
func (o Outcome) String() string { return nameOf("Outcome", outcomeNames, int32(o)) }

// OutcomeOf is OutcomeDone for nil, and OutcomeUnknown for an error that did not come from here.
func OutcomeOf(err error) Outcome {
	var failure *Error
	var status Status
	switch {
	case err == nil:
		return OutcomeDone
	case errors.As(err, &failure) && failure.unsent:
		return OutcomeNotDone
	case errors.As(err, &status):
		return status.outcome()
	}
	return OutcomeUnknown
}

func errorf(status Status, format string, arguments ...any) *Error {
	return &Error{Status: status, Message: fmt.Sprintf(format, arguments...)}
}

// takeError copies what a failed call tells and frees it.
func takeError(status C.quorate_status, failure *C.quorate_error) *Error {
	err := &Error{Status: Status(status)}
	if failure == nil {
		return err
	}
	defer C.quorate_free(unsafe.Pointer(failure))
	err.Message = C.GoString(failure.message)
	if failure.leader != nil {
		leader := goNode(failure.leader)
		err.Leader = &leader
	}
	return err
}

// contextEnded is the error of a wait that its context ended; unsent when nothing was begun.
func contextEnded(ctx context.Context, unsent bool) *Error {
	err := errorf(ErrTimeout, "%v while the request was under way: it may be done", ctx.Err())
	if unsent {
		err.Message = fmt.Sprintf("%v before the call: nothing was done", ctx.Err())
	}
	err.Cause, err.unsent = ctx.Err(), unsent
	return err
}
