package quorate

// #cgo noescape quorate_service_info
// #cgo nocallback quorate_service_info
// #include "bridge.h"
import "C"

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// forever is a limit without end.
const forever = C.QUORATE_FOREVER

// A Service is a running instance of Raft.
type Service struct {
	_       noCopy
	handle  *C.quorate_service
	poller  *poller
	submits *submitter
	parts   *parts
	applied *ChangeTracker
	address string

	closing sync.Once
	mu      sync.Mutex
	failure error
}

// waitsInHook is what whoever waits in a hook is told.
const waitsInHook = "this waits for the engine and was called from a hook, which it would wait for: call it from another goroutine, and do not wait for that one"

// noCopy makes go vet find copies.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// StartRaft starts a service. A new directory gives a Standalone one, another one what it was.
func StartRaft(comm Communication, stor Storage, state StateMachine, options ...Option) (*Service, error) {
	o, err := gather(comm, stor, options)
	if err == nil {
		err = checkVersion()
	}
	if err == nil && state == nil {
		err = errorf(ErrInvalid, "the state machine is nil: a service needs one")
	}
	p := newParts(o, state)
	if err != nil {
		p.abandon()
		return nil, err
	}
	handle, err := start(o, p)
	if err != nil {
		return nil, err
	}
	poller, err := newPoller()
	if err != nil {
		C.quorate_service_free(handle)
		return nil, err
	}
	r := &Service{handle: handle, poller: poller, parts: p}
	r.submits = &submitter{service: handle, poller: poller}
	r.applied = newTracker(C.quorate_service_applied_tracker(handle), poller)
	r.address = C.GoString(r.info().address)
	return r, nil
}

// Close stops the service; whoever waits gets ErrInterrupted. What made it fail before stays in Err.
// Looking goes on to work. From a hook Close returns at once, and the service stops after the hook.
func (r *Service) Close() {
	if inHook() {
		go r.Close()
		return
	}
	r.closing.Do(func() {
		err := r.Err()
		var failure *C.quorate_error
		if status := C.quorate_service_close(r.handle, &failure); status < 0 && err == nil {
			err = r.explained(takeError(status, failure))
		}
		if err == nil {
			err = r.parts.closeFailure()
		}
		r.setFailure(err)
		r.poller.stop()
		runtime.AddCleanup(r, func(handle *C.quorate_service) { C.quorate_service_free(handle) }, r.handle)
	})
}

// InitializeCluster makes this Standalone service a cluster of one that others can be added to, its data
// kept. addr is where the others reach this node: host:port, or what a [Transport] understands. It returns when that is committed.
func (r *Service) InitializeCluster(addr string) error {
	return r.InitializeClusterContext(context.Background(), addr)
}

// InitializeClusterContext is InitializeCluster with a limit.
func (r *Service) InitializeClusterContext(ctx context.Context, addr string) error {
	return r.changeMembers(ctx, C.QUORATE_OP_INITIALIZE_CLUSTER, addr, 0)
}

// AddNode asks who is at addr, lets that node catch up as a learner, and adds it by joint consensus. On
// any member. It returns when the final configuration is applied here, or with ErrTimeout after the setting
// node_proposal_timeout: the change goes on then, and RemoveNode cancels it.
func (r *Service) AddNode(addr string) error {
	return r.AddNodeContext(context.Background(), addr)
}

// AddNodeContext is AddNode with a limit.
func (r *Service) AddNodeContext(ctx context.Context, addr string) error {
	return r.changeMembers(ctx, C.QUORATE_OP_ADD_NODE, addr, 0)
}

// RemoveNode removes a member, this node and the leader included. It becomes Standalone with its data,
// durably, and can be added again.
func (r *Service) RemoveNode(nodeID NodeID) error {
	return r.RemoveNodeContext(context.Background(), nodeID)
}

// RemoveNodeContext is RemoveNode with a limit.
func (r *Service) RemoveNodeContext(ctx context.Context, nodeID NodeID) error {
	return r.changeMembers(ctx, C.QUORATE_OP_REMOVE_NODE, "", nodeID)
}

func (r *Service) changeMembers(ctx context.Context, op C.int32_t, addr string, id NodeID) error {
	_, err := r.do(ctx, C.quorate_go_request{op: op, index: C.uint64_t(id)}, change{data: []byte(addr)})
	return err
}

// Propose returns when the change is in the leader's log. It is not committed then: wait for the index
// with GetAppliedTracker, or use ProposeWait. Followers forward to the leader; the order of one
// goroutine's proposals is kept.
func (r *Service) Propose(e *Entry) (uint64, error) {
	position, err := r.ProposeContext(context.Background(), e)
	return position.Index, err
}

// ProposeContext is Propose with a limit, and gives the term too.
func (r *Service) ProposeContext(ctx context.Context, e *Entry) (Position, error) {
	c, err := r.propose(ctx, C.QUORATE_OP_PROPOSE, e)
	return Position{Index: c.index, Term: c.term}, err
}

// ProposeWait returns when this node has applied the change, with the state machine's reply; what is then
// read here contains it.
func (r *Service) ProposeWait(ctx context.Context, e *Entry) (*Reply, error) {
	c, err := r.propose(ctx, C.QUORATE_OP_PROPOSE_WAIT, e)
	if err != nil {
		return nil, err
	}
	return &Reply{Position: Position{Index: c.index, Term: c.term}, Data: c.data}, nil
}

func (r *Service) propose(ctx context.Context, op C.int32_t, e *Entry) (completion, error) {
	what, err := e.change()
	if err != nil {
		return completion{}, err
	}
	return r.do(ctx, C.quorate_go_request{op: op}, what)
}

// ReadMode says how fresh a read is.
type ReadMode int32

// Linearizable: nothing that was acknowledged anywhere before the call is missing.
const Linearizable ReadMode = C.QUORATE_READ_LINEARIZABLE

// ReadBarrier returns when this node has applied everything that was acknowledged anywhere before the
// call: read your own state after it and the read is linearizable. On leader and follower.
func (r *Service) ReadBarrier(ctx context.Context, mode ReadMode) error {
	_, err := r.do(ctx, C.quorate_go_request{op: C.QUORATE_OP_READ_BARRIER, mode: C.int32_t(mode)}, change{})
	return err
}

// do submits one request and waits for its completion. What it carries is copied before that.
func (r *Service) do(ctx context.Context, request C.quorate_go_request, what change) (completion, error) {
	limit, ok := limitOf(ctx)
	if !ok {
		return completion{}, contextEnded(ctx, true)
	}
	if inHook() {
		return completion{}, errorf(ErrInCallback, waitsInHook)
	}
	w, burst := r.poller.enter()
	if w == nil {
		return completion{}, errorf(ErrClosed, "the service is closed: start another one")
	}
	request.token, request.timeout_ms = C.uint64_t(w.token), limit
	r.submits.submit(request, what, burst)
	return r.wait(ctx, w)
}

func (r *Service) wait(ctx context.Context, w *waiter) (completion, error) {
	c, ok := r.poller.wait(w, ctx.Done())
	if !ok {
		return c, contextEnded(ctx, false)
	}
	if c.status >= 0 {
		return c, nil
	}
	err := &Error{Status: Status(c.status), Message: string(c.data)}
	if _, limited := ctx.Deadline(); limited && err.Status == ErrTimeout {
		err.Cause = context.DeadlineExceeded
	}
	if c.leader != 0 {
		err.Leader = &Node{NodeID: c.leader}
		if known := r.GetNodeConfig().GetNode(c.leader); known != nil {
			err.Leader = known
		}
	}
	return completion{}, r.explained(err)
}

// explained adds the error of a hook where that is what it is about.
func (r *Service) explained(err *Error) error {
	switch err.Status {
	case ErrStateMachineFailed, ErrStorageFailed, ErrInterrupted:
		err.Cause = r.parts.failure()
	}
	return err
}

// limitOf is the rest of a context's time in milliseconds, rounded up; false when it has ended.
func limitOf(ctx context.Context) (C.int64_t, bool) {
	if ctx.Err() != nil {
		return 0, false
	}
	deadline, limited := ctx.Deadline()
	if !limited {
		return forever, true
	}
	return milliseconds(time.Until(deadline)), true
}

// milliseconds rounds up, so that nobody is told too early that the time is over.
func milliseconds(d time.Duration) C.int64_t {
	ms := d / time.Millisecond
	if d%time.Millisecond > 0 {
		ms++
	}
	return C.int64_t(max(0, ms))
}
