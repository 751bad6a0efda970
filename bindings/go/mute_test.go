package quorate_test

import (
	"errors"
	"strings"
	"testing"

	"quorate"
)

// A mute error can't be asked for anything: it is a nil pointer, and each of its methods panics.
type mute struct {
	text  string
	cause error
}

func (m *mute) Error() string        { return m.text }
func (m *mute) Unwrap() error        { return m.cause }
func (m *mute) Is(target error) bool { return m.cause == target }

// mutely are the ways in which a hook fails with a mute error.
var mutely = map[string]func() error{
	"error": func() error { return (*mute)(nil) },
	"panic": func() error { panic((*mute)(nil)) },
}

// atCall fails in one method of a store.
func atCall(call string, fail func() error) func(string) error {
	return (&trap{call: call, fail: fail, always: true}).spring
}

func TestAMuteErrorOfAStateMachineStopsTheService(t *testing.T) {
	for name, fail := range mutely {
		one := &journal{do: func(*quorate.Entry) error { return fail() }}
		for _, state := range []quorate.StateMachine{one, &keeper{journal: journal{do: one.do}}} {
			service := alone(t, state)
			if _, err := service.ProposeWait(within(t), text("a")); !errors.Is(err, quorate.ErrInterrupted) {
				t.Errorf("%s of %T: %v", name, state, err)
			}
			if err := service.Err(); !errors.Is(err, quorate.ErrStateMachineFailed) || errors.Is(err, quorate.ErrBusy) {
				t.Errorf("%s of %T: %v", name, state, err)
			}
		}
		open := func() (quorate.Applied, error) { return quorate.Applied{}, fail() }
		if _, err := quorate.StartRaft(nil, quorate.Memory(), &opener{open: open}); !errors.Is(err, quorate.ErrStateMachineFailed) {
			t.Errorf("%s of Open: %v", name, err)
		}
	}
}

func TestAMuteErrorOfAStoreStopsTheService(t *testing.T) {
	for name, fail := range mutely {
		refused, failing, store := newDisk().shelf(), newDisk().shelf(), newDisk().shelf()
		refused.do, failing.do, store.do = atCall("Open", fail), atCall("Append", fail), atCall("Close", fail)
		if _, err := quorate.StartRaft(nil, quorate.CustomStorage("", refused), &journal{}); !errors.Is(err, quorate.ErrIO) {
			t.Errorf("%s of Open: %v", name, err)
		}
		service := on(t, failing, &journal{})
		if _, err := service.ProposeWait(within(t), text("a")); err == nil || !errors.Is(service.Err(), quorate.ErrStorageFailed) {
			t.Errorf("%s of Append: %v, %v", name, err, service.Err())
		}
		closing := on(t, store, &journal{})
		closing.Close()
		if err := closing.Err(); !errors.Is(err, quorate.ErrIO) || !strings.Contains(err.Error(), "Close of the store failed: ") {
			t.Errorf("%s of Close: %v", name, err)
		}
	}
}

func TestAMuteErrorOfATransportLosesTheFrame(t *testing.T) {
	for _, fail := range mutely {
		b, service := onBroken(t, fail)
		go service.AddNodeContext(within(t), "nobody")
		<-b.called
		<-b.called // the first failure was told before the second call
		service.Close()
	}
}

func TestAMuteErrorOfAMakerOfStoresIsToldOf(t *testing.T) {
	for name, fail := range mutely {
		report, err := quorate.CheckStore(func(quorate.StoreHow) (quorate.Store, error) { return nil, fail() })
		if !errors.Is(err, quorate.ErrInvalid) || name == "error" && !strings.Contains(report, "*quorate_test.mute, whose method Error panicked") {
			t.Errorf("%s: %v\n%s", name, err, report)
		}
	}
}
