package quorate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quorate"
)

// on starts a service on a store.
func on(t *testing.T, store quorate.Store, state quorate.StateMachine) *quorate.Service {
	t.Helper()
	service, err := quorate.StartRaft(nil, quorate.CustomStorage("", store), state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.Close)
	return service
}

// A trap fails in one call from the moment that it is set.
type trap struct {
	call   string
	set    atomic.Bool
	always bool
	fail   func() error
}

func (p *trap) spring(call string) error {
	if call == p.call && (p.always || p.set.Load()) {
		return p.fail()
	}
	return nil
}

// failures are the ways in which a hook fails with errBroken.
var failures = map[string]func() error{
	"error": func() error { return fmt.Errorf("wrapped: %w", errBroken) },
	"panic": func() error { panic(errBroken) },
}

func TestAServiceLivesOnAStoreOfTheProgramsOwn(t *testing.T) {
	disk := newDisk()
	var wanted []string
	for run := range 3 {
		store, state := disk.shelf(), &journal{}
		service := on(t, store, state)
		propose(t, service, fmt.Sprint("run ", run))
		wanted = append(wanted, fmt.Sprint("run ", run))
		if !state.holds(wanted...) {
			t.Error(state.texts())
		}
		service.Close()
		if err := service.Err(); err != nil || store.closed != 1 {
			t.Error(err, store.closed)
		}
	}
}

func TestAStoreThatFailsStopsTheService(t *testing.T) {
	for _, call := range []string{"Append", "Sync"} {
		for name, fail := range failures {
			t.Run(call+" "+name, func(t *testing.T) {
				disk, trap := newDisk(), &trap{call: call, fail: fail}
				store := disk.shelf()
				store.do = trap.spring
				service := on(t, store, &journal{})
				events := service.Events(within(t))
				propose(t, service, "kept")
				trap.set.Store(true)
				_, err := service.ProposeWait(within(t), text("not known"))
				if !errors.Is(err, quorate.ErrInterrupted) || quorate.OutcomeOf(err) != quorate.OutcomeUnknown {
					t.Error(err)
				}
				failure := until(t, events, quorate.FailedEvent).Err
				_, after := service.ProposeWait(within(t), text("after"))
				for _, err := range []error{failure, after, service.Err()} {
					if !errors.Is(err, quorate.ErrStorageFailed) || !errors.Is(err, errBroken) || !strings.Contains(err.Error(), errBroken.Error()) {
						t.Error(err)
					}
					if name == "panic" && !strings.Contains(err.Error(), call+" panicked") {
						t.Error("no word of a panic:", err)
					}
				}
				service.Close()
				if service.GetState() != quorate.Stopped && service.GetState() != quorate.Failed || store.closed != 1 {
					t.Error(service.GetState(), store.closed)
				}
				state := &journal{}
				again := on(t, disk.shelf(), state)
				if err := again.ReadBarrier(within(t), quorate.Linearizable); err != nil || state.texts()[0] != "kept" {
					t.Error(err, state.texts())
				}
			})
		}
	}
}

func TestAStoreThatFailsAtTheStartIsRefused(t *testing.T) {
	disk := newDisk()
	first := on(t, disk.shelf(), &journal{})
	propose(t, first, "kept")
	first.Close()
	for _, call := range []string{"Open", "GetMetadata", "SetMetadata", "Read"} {
		for name, fail := range failures {
			store, trap := disk.copy().shelf(), &trap{call: call, fail: fail}
			trap.set.Store(true)
			store.do = trap.spring
			_, err := quorate.StartRaft(nil, quorate.CustomStorage("", store), &journal{})
			if !errors.Is(err, quorate.ErrIO) || !errors.Is(err, errBroken) || !strings.Contains(err.Error(), errBroken.Error()) {
				t.Errorf("%s, %s: %v", call, name, err)
			}
			if store.closed != 1 {
				t.Errorf("%s, %s: closed %d times", call, name, store.closed)
			}
		}
	}
}

func TestTheErrorOfOpenKeepsItsStatus(t *testing.T) {
	for given, wanted := range map[error]quorate.Status{
		quorate.ErrLocked:  quorate.ErrLocked,
		quorate.ErrCorrupt: quorate.ErrCorrupt,
		fmt.Errorf("a copy: %w", quorate.ErrIdentity):     quorate.ErrIdentity,
		&quorate.Error{Status: quorate.ErrVersion}:        quorate.ErrVersion,
		fmt.Errorf("not here: %w", errors.ErrUnsupported): quorate.ErrUnsupported,
		quorate.ErrBusy:   quorate.ErrIO,
		quorate.Status(3): quorate.ErrIO,
		errBroken:         quorate.ErrIO,
	} {
		store := newDisk().shelf()
		store.do = func(call string) error {
			if call == "Open" {
				return given
			}
			return nil
		}
		_, err := quorate.StartRaft(nil, quorate.CustomStorage("", store), &journal{})
		var details *quorate.Error
		if !errors.As(err, &details) || details.Status != wanted || details.Cause != given || store.closed != 1 {
			t.Errorf("%v gives %v, %d times closed", given, err, store.closed)
		}
	}
}

func TestAStoreThatLiesIsFoundOut(t *testing.T) {
	disk := newDisk()
	first := on(t, disk.shelf(), &journal{})
	for i := range 5 {
		propose(t, first, fmt.Sprint("kept ", i))
	}
	first.Close()
	ends := func(first, last uint64) func(*shelf) {
		return func(s *shelf) { s.ends = func(uint64, uint64) (uint64, uint64) { return first, last } }
	}
	read := func(change func([][]byte) [][]byte) func(*shelf) {
		return func(s *shelf) { s.read = change }
	}
	for name, lie := range map[string]func(*shelf){
		"ends crossed":        ends(5, 1),
		"begins at 0":         ends(0, 5),
		"ends at 0":           ends(1, 0),
		"no end":              ends(1, 1<<64-1),
		"an end far away":     ends(1, 1<<63),
		"longer than it is":   ends(1, 9),
		"begins too late":     ends(3, 5),
		"out of order":        read(func(records [][]byte) [][]byte { slices.Reverse(records); return records }),
		"damaged":             read(func(records [][]byte) [][]byte { return [][]byte{[]byte("not a record")} }),
		"empty":               read(func(records [][]byte) [][]byte { return make([][]byte, len(records)) }),
		"nothing":             read(func([][]byte) [][]byte { return nil }),
		"a hole":              read(func(records [][]byte) [][]byte { records[1] = nil; return records }),
		"more than asked for": read(func(records [][]byte) [][]byte { return append(records, records...) }),
	} {
		store := disk.copy().shelf()
		lie(store)
		_, err := quorate.StartRaft(nil, quorate.CustomStorage("", store), &journal{})
		if status := (quorate.ErrCorrupt); !errors.Is(err, status) && !(name == "more than asked for" && errors.Is(err, quorate.ErrIO)) {
			t.Errorf("%s: %v", name, err)
		}
		if store.closed != 1 {
			t.Errorf("%s: closed %d times", name, store.closed)
		}
	}
}

// A door is passed while it is open.
type door struct {
	shut    atomic.Bool
	waiting chan struct{}
	open    chan struct{}
}

func (d *door) pass() {
	if d.shut.Load() {
		d.waiting <- struct{}{}
		<-d.open
	}
}

func TestAStoreThatBlocksDelaysWhatNeedsItAndNothingElse(t *testing.T) {
	door := &door{waiting: make(chan struct{}, 9), open: make(chan struct{})}
	store, state := newDisk().shelf(), &journal{}
	store.do = func(call string) error {
		if call == "Sync" {
			door.pass()
		}
		return nil
	}
	service, other := on(t, store, state), alone(t, &journal{})
	index := propose(t, service, "before").Index
	door.shut.Store(true)
	var late error
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, late = service.ProposeWait(context.Background(), text("late"))
	}()
	<-door.waiting
	if service.GetState() != quorate.Standalone || service.GetLastApplied() != index || service.Report(quorate.JSON) == "" {
		t.Error(service.GetState(), service.GetLastApplied())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := service.ProposeWait(ctx, text("too late")); !errors.Is(err, quorate.ErrTimeout) {
		t.Error(err)
	}
	propose(t, other, "meanwhile")
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		service.Close()
	}()
	select {
	case <-closed:
		t.Error("Close did not wait for the store")
	case <-time.After(20 * time.Millisecond):
	}
	close(door.open)
	<-closed
	<-done
	if late != nil && !errors.Is(late, quorate.ErrInterrupted) || store.closed != 1 {
		t.Error(late, store.closed)
	}
}

func TestAStoreMayCallItsServiceButNotWaitForIt(t *testing.T) {
	store := newDisk().shelf()
	var service atomic.Pointer[quorate.Service]
	refused := make(chan error, 4)
	looked := make(chan quorate.State, 1)
	store.do = func(call string) error {
		if r := service.Load(); r != nil && call == "Append" {
			service.Store(nil)
			_, err := r.ProposeWait(context.Background(), text("inner"))
			refused <- err
			refused <- r.ReadBarrier(context.Background(), quorate.Linearizable)
			_, err = quorate.StartRaft(nil, quorate.Memory(), &journal{})
			refused <- err
			_, err = r.GetAppliedTracker().WaitContext(context.Background(), 1<<60)
			refused <- err
			looked <- r.GetState()
		}
		return nil
	}
	r := on(t, store, &journal{})
	service.Store(r)
	propose(t, r, "outer")
	for i := range 4 {
		if err := <-refused; !errors.Is(err, quorate.ErrInCallback) {
			t.Error(i, err)
		}
	}
	if state := <-looked; state != quorate.Standalone {
		t.Error(state)
	}
}

func TestWhatCloseOfAStoreGivesIsTold(t *testing.T) {
	for name, fail := range failures {
		store, trap := newDisk().shelf(), &trap{call: "Close", fail: fail}
		trap.set.Store(true)
		store.do = trap.spring
		service := on(t, store, &journal{})
		propose(t, service, "kept")
		if err := service.Err(); err != nil {
			t.Error(err)
		}
		service.Close()
		if err := service.Err(); !errors.Is(err, quorate.ErrIO) || !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "Close of the store failed") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAStoreIsClosedAlsoWhenNothingStarts(t *testing.T) {
	for name, start := range map[string]func(quorate.Storage) error{
		"no state machine": func(stor quorate.Storage) error {
			_, err := quorate.StartRaft(nil, stor, nil)
			return err
		},
		"no transport": func(stor quorate.Storage) error {
			_, err := quorate.StartRaft(quorate.CustomCommunication(nil), stor, &journal{})
			return err
		},
		"no option": func(stor quorate.Storage) error {
			_, err := quorate.StartRaft(nil, stor, &journal{}, quorate.WithLogger(nil), nil)
			return err
		},
		"no setting": func(stor quorate.Storage) error {
			_, err := quorate.StartRaft(nil, stor, &journal{}, quorate.WithSetting("election_timeout", "never"))
			return err
		},
	} {
		store := newDisk().shelf()
		if err := start(quorate.CustomStorage("", store)); !errors.Is(err, quorate.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if store.closed != 1 || store.opened {
			t.Errorf("%s: closed %d times", name, store.closed)
		}
	}
	if _, err := quorate.StartRaft(nil, quorate.CustomStorage("", nil), &journal{}); !errors.Is(err, quorate.ErrInvalid) || !strings.Contains(err.Error(), "CustomStorage") {
		t.Error(err)
	}
}
