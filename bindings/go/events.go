package quorate

// #cgo noescape quorate_service_subscribe
// #cgo nocallback quorate_service_subscribe
// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// EventKind says what happened.
type EventKind int32

const (
	// LeaderEvent: Node leads in Term; 0: no leader is known.
	LeaderEvent EventKind = C.QUORATE_EVENT_LEADER
	// MembershipEvent: the configuration with the number Configuration is in force, or committed: Text
	// says which.
	MembershipEvent EventKind = C.QUORATE_EVENT_MEMBERSHIP
	// FailedEvent: the service failed; Err says why.
	FailedEvent EventKind = C.QUORATE_EVENT_FAILED
	// StateEvent: the service has the state State.
	StateEvent EventKind = C.QUORATE_EVENT_STATE
	// DiskFullEvent: the store has no room for new entries (Begins), or has room again.
	DiskFullEvent EventKind = C.QUORATE_EVENT_DISK_FULL
	// PeerEvent: something is wrong with the connection to Node (0: not known which); Text says what.
	PeerEvent EventKind = C.QUORATE_EVENT_PEER
	// AbstainingEvent: this node gives no votes until it is repaired (Begins), or does so again.
	AbstainingEvent EventKind = C.QUORATE_EVENT_ABSTAINING
	// ClosedEvent: the service is closed; the last event. Err says why there were no events, if there
	// were none.
	ClosedEvent EventKind = C.QUORATE_EVENT_CLOSED
)

// String gives a word or two, such as "disk full".
func (k EventKind) String() string {
	switch k {
	case LeaderEvent:
		return "leader"
	case MembershipEvent:
		return "membership"
	case FailedEvent:
		return "failed"
	case StateEvent:
		return "state"
	case DiskFullEvent:
		return "disk full"
	case PeerEvent:
		return "peer"
	case AbstainingEvent:
		return "abstaining"
	case ClosedEvent:
		return "closed"
	}
	return fmt.Sprintf("EventKind(%d)", int32(k))
}

// An Event is something that happened to a service. What its Kind does not name is zero.
type Event struct {
	// Number counts the events of a service, from 1 on. A gap: events were lost, because they were not
	// read. The events that tell the present state have the number of the last one before them.
	Number uint64
	Kind   EventKind
	// Term is that of the leader, state or configuration.
	Term          uint64
	Node          NodeID
	State         State
	Configuration uint64
	Begins        bool
	Text          string
	Err           error
}

// String gives a line, such as "3 state: Leader in term 1".
func (e Event) String() string { return fmt.Sprintf("%d %v: %s", e.Number, e.Kind, e.what()) }

func (e Event) what() string {
	switch e.Kind {
	case LeaderEvent:
		return fmt.Sprintf("%v in term %d", e.Node, e.Term)
	case StateEvent:
		return fmt.Sprintf("%v in term %d", e.State, e.Term)
	case MembershipEvent:
		return fmt.Sprintf("configuration %d is %s", e.Configuration, e.Text)
	case DiskFullEvent, AbstainingEvent:
		return fmt.Sprint(e.Begins)
	case PeerEvent:
		return fmt.Sprintf("%v: %s", e.Node, e.Text)
	case FailedEvent, ClosedEvent:
		return fmt.Sprint(e.Err)
	}
	return e.Text
}

// eventsKept is how many events wait for a reader in Go; the engine keeps 1,024 more.
const eventsKept = 256

// Events gives the present state and leader, and every event after that, until ctx ends or the service is
// closed: then the last one is a ClosedEvent. The channel is closed behind it. A reader that does not keep
// up loses the oldest events, and sees that in their numbers; nobody waits for it. It does not block and
// may be called anywhere.
func (r *Service) Events(ctx context.Context) <-chan Event {
	events := make(chan Event, eventsKept)
	l, err := newListener(r, events)
	if err != nil {
		events <- Event{Kind: ClosedEvent, Err: err}
		close(events)
		return events
	}
	left := context.AfterFunc(ctx, l.leave)
	go func() {
		defer left()
		l.run()
	}()
	return events
}

// A listener drains the queue of one subscription, which sleeps in Go's network poller and holds no
// thread. It never waits for the reader of its channel, so it ends with its service or context.
type listener struct {
	queue   *C.quorate_queue
	file    *os.File
	conn    syscall.RawConn
	batch   *C.quorate_completion
	events  chan Event
	service *Service // for the causes of failures
	leaving atomic.Bool
	over    bool
}

const eventBatch = 64

func newListener(r *Service, events chan Event) (*listener, error) {
	queue := C.quorate_queue_new()
	if queue == nil {
		return nil, errorf(ErrIO, "no file descriptor is left for the queue of events")
	}
	var failure *C.quorate_error
	status := C.quorate_service_subscribe(r.handle, queue, 0, &failure)
	runtime.KeepAlive(r)
	if status < 0 {
		C.quorate_queue_free(queue)
		return nil, takeError(status, failure)
	}
	file, conn, err := pollable(int(C.quorate_queue_fd(queue)))
	if err != nil {
		C.quorate_queue_free(queue)
		return nil, &Error{Status: ErrIO, Message: "the queue of events: " + err.Error(), Cause: err}
	}
	batch := (*C.quorate_completion)(C.malloc(eventBatch * C.sizeof_quorate_completion))
	return &listener{queue: queue, file: file, conn: conn, batch: batch, events: events, service: r}, nil
}

// leave ends the subscription soon. A queue that is gone is not woken: its handle is only a number.
func (l *listener) leave() {
	l.leaving.Store(true)
	C.quorate_queue_wake(l.queue)
}

func (l *listener) run() {
	// Whatever arrives between the last look and the wait makes the descriptor readable anew.
	err := l.conn.Read(func(uintptr) bool {
		l.drain()
		return l.over || l.leaving.Load()
	})
	if err != nil && !l.over {
		l.push(Event{Kind: ClosedEvent, Err: &Error{Status: ErrIO, Message: "the queue of events can't be read: " + err.Error(), Cause: err}})
	}
	close(l.events)
	l.file.Close()
	C.quorate_queue_free(l.queue)
	C.free(unsafe.Pointer(l.batch))
}

// drain takes what there is.
func (l *listener) drain() {
	for {
		n := C.quorate_queue_poll(l.queue, l.batch, eventBatch, 0)
		if n <= 0 {
			return
		}
		for _, row := range unsafe.Slice(l.batch, n) {
			l.push(l.event(&row))
		}
		if n < eventBatch {
			return
		}
	}
}

// push makes room by forgetting the oldest event, if it must. Nobody else sends, so there is room then.
func (l *listener) push(event Event) {
	l.over = l.over || event.Kind == ClosedEvent
	for {
		select {
		case l.events <- event:
			return
		default:
		}
		select {
		case <-l.events:
		default: // the reader was faster
		}
	}
}

// event makes an event of a completion.
func (l *listener) event(row *C.quorate_completion) Event {
	event := Event{
		Number: uint64(row.number),
		Kind:   EventKind(row.op),
		Term:   uint64(row.term),
		Node:   NodeID(row.node_id),
	}
	switch text := string(borrowed(row.data)); event.Kind {
	case StateEvent:
		event.State = State(row.index)
	case MembershipEvent:
		event.Configuration, event.Text = uint64(row.index), text
	case DiskFullEvent, AbstainingEvent:
		event.Begins = row.index != 0
	case FailedEvent:
		event.Err = l.service.explained(&Error{Status: Status(row.status), Message: text})
	default:
		event.Text = text
	}
	return event
}
