package quorate

// #cgo noescape quorate_tracker_notify
// #cgo nocallback quorate_tracker_notify
// #cgo noescape quorate_tracker_timed_wait
// #cgo nocallback quorate_tracker_timed_wait
// #cgo noescape quorate_tracker_wait
// #cgo nocallback quorate_tracker_wait
// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// round is how long the engine is asked to wait at a time when somebody may give up before: nobody can
// tell it so, and what it keeps for them is gone after the round.
const round = 10 * time.Second

// A ChangeTracker is a counter to wait on. It needs no Close to be collected.
type ChangeTracker struct {
	_      noCopy
	handle *C.quorate_tracker
	// own is the poller of the service whose applied tracker this is. The others share one.
	own *poller
}

func newTracker(handle *C.quorate_tracker, own *poller) *ChangeTracker {
	t := &ChangeTracker{handle: handle, own: own}
	runtime.AddCleanup(t, func(handle *C.quorate_tracker) { C.quorate_tracker_free(handle) }, handle)
	return t
}

// CreateTracker makes a tracker at 0.
func CreateTracker() *ChangeTracker {
	return newTracker(C.quorate_tracker_new(), nil)
}

var named struct {
	sync.Mutex
	trackers map[string]*ChangeTracker
}

// GetNamedTracker gives the tracker of that name in this process, also when another language made it. As
// in C, a name ends at its first NUL.
func GetNamedTracker(name string) *ChangeTracker {
	name, _, _ = strings.Cut(strings.ToValidUTF8(name, "\uFFFD"), "\x00")
	named.Lock()
	defer named.Unlock()
	if t, ok := named.trackers[name]; ok {
		return t
	}
	text := cString(name)
	defer C.free(unsafe.Pointer(text))
	t := newTracker(C.quorate_tracker_named(text), nil)
	if named.trackers == nil {
		named.trackers = map[string]*ChangeTracker{}
	}
	named.trackers[name] = t
	return t
}

// Update sets the value, also to a lower one, and wakes whoever waits for it or less. After Close, and on
// the applied tracker of a service, it does nothing.
func (t *ChangeTracker) Update(change uint64) {
	C.quorate_tracker_update(t.handle, C.uint64_t(change))
	runtime.KeepAlive(t)
}

// Wait waits until the value is at least curChange and gives it; after Close, and at once in a hook, the
// value as it is. It holds a thread only where no file descriptor is left to wait on.
func (t *ChangeTracker) Wait(curChange uint64) uint64 {
	value, err := t.WaitContext(context.Background(), curChange)
	if errors.Is(err, ErrIO) {
		value = uint64(C.quorate_tracker_wait(t.handle, C.uint64_t(curChange)))
		runtime.KeepAlive(t)
	}
	return value
}

// TimedWait waits as Wait does, for at most maxWait, and then gives the value as it is, below curChange. With
// 0 or less it only looks.
func (t *ChangeTracker) TimedWait(curChange uint64, maxWait time.Duration) uint64 {
	if value := t.look(); value >= curChange || maxWait <= 0 {
		return value
	}
	ctx, cancel := context.WithTimeout(context.Background(), maxWait)
	defer cancel()
	value, err := t.WaitContext(ctx, curChange)
	if errors.Is(err, ErrIO) {
		limit, _ := limitOf(ctx)
		return t.timedWait(curChange, limit)
	}
	return value
}

// WaitContext waits as Wait does. When ctx ends first it gives the value as it is, with ctx.Err(); when the
// tracker is closed below curChange, ErrClosed; when no file descriptor is left to wait on, ErrIO.
func (t *ChangeTracker) WaitContext(ctx context.Context, curChange uint64) (uint64, error) {
	if value := t.look(); value >= curChange {
		return value, nil
	}
	p, err := t.borrowPoller()
	if err != nil {
		return t.look(), err
	}
	defer t.returnPoller()
	for {
		c, err := t.await(ctx, p, curChange)
		switch {
		case err != nil:
			return t.look(), err
		case c.status == C.QUORATE_OK:
			return c.index, nil
		case Status(c.status) != ErrTimeout:
			return t.look(), errorf(ErrClosed, "the tracker is closed")
		}
	}
}

// Close releases all waiters with the value as it is. The applied tracker of a service is closed by that
// alone.
func (t *ChangeTracker) Close() {
	C.quorate_tracker_close(t.handle)
	runtime.KeepAlive(t)
}

// look gives the value.
func (t *ChangeTracker) look() uint64 { return t.timedWait(0, 0) }

// timedWait holds a thread for as long as it waits.
func (t *ChangeTracker) timedWait(change uint64, limit C.int64_t) uint64 {
	defer runtime.KeepAlive(t)
	return uint64(C.quorate_tracker_timed_wait(t.handle, C.uint64_t(change), limit))
}

// await waits for one round at most.
func (t *ChangeTracker) await(ctx context.Context, p *poller, change uint64) (completion, error) {
	if ctx.Err() != nil {
		return completion{}, ctx.Err()
	}
	w, _ := p.enter()
	if w == nil {
		return completion{status: C.QUORATE_ERR_CLOSED}, nil
	}
	status := C.quorate_tracker_notify(t.handle, C.uint64_t(change), limitOfRound(ctx), p.queue, C.uint64_t(w.token), nil)
	runtime.KeepAlive(t)
	if status < 0 {
		p.abandon(w)
		return completion{status: status}, nil
	}
	c, ok := p.wait(w, ctx.Done())
	if !ok {
		return c, ctx.Err()
	}
	return c, nil
}

func limitOfRound(ctx context.Context) C.int64_t {
	if ctx.Done() == nil {
		return forever
	}
	if deadline, limited := ctx.Deadline(); limited {
		return milliseconds(min(round, max(time.Millisecond, time.Until(deadline))))
	}
	return milliseconds(round)
}

// shared is the poller of the trackers that belong to no service. It lives while somebody waits.
var shared struct {
	sync.Mutex
	poller *poller
	users  int
}

func (t *ChangeTracker) borrowPoller() (*poller, error) {
	if inHook() {
		return nil, errorf(ErrInCallback, waitsInHook)
	}
	if t.own != nil {
		return t.own, nil
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.users == 0 {
		p, err := newPoller()
		if err != nil {
			return nil, err
		}
		shared.poller = p
	}
	shared.users++
	return shared.poller, nil
}

func (t *ChangeTracker) returnPoller() {
	if t.own != nil {
		return
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.users--; shared.users == 0 {
		shared.poller.stop()
	}
}
