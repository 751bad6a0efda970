package quorate_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"quorate"
)

var errBroken = errors.New("the disk of the state machine is broken")

// failing commits one change and fails at the second.
func failing(t *testing.T, fail func() error) (*quorate.Service, *journal) {
	t.Helper()
	state := &journal{do: func(entry *quorate.Entry) error {
		if string(entry.Data) == "bad" {
			return fail()
		}
		return nil
	}}
	service := alone(t, state)
	propose(t, service, "good")
	return service, state
}

func TestAFailingCommitStopsTheService(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error":             func() error { return errBroken },
		"panic":             func() error { panic(errBroken) },
		"panic with a text": func() error { panic("the disk of the state machine is broken") },
		"panic at run time": func() error { return errors.New(string(make([]byte, 1)[len(t.Name())])) },
	} {
		t.Run(name, func(t *testing.T) {
			service, state := failing(t, fail)
			_, err := service.ProposeWait(within(t), text("bad"))
			if !errors.Is(err, quorate.ErrInterrupted) || quorate.OutcomeOf(err) != quorate.OutcomeUnknown {
				t.Error("whoever waits:", err)
			}
			_, after := service.ProposeWait(within(t), text("after"))
			failure := service.Err()
			service.Close()
			for _, err := range []error{after, failure, service.Err()} {
				if !errors.Is(err, quorate.ErrStateMachineFailed) || quorate.OutcomeOf(err) != quorate.OutcomeFatal {
					t.Error(err)
				}
				if strings.HasSuffix(name, "error") && !errors.Is(err, errBroken) || name == "panic" && !errors.Is(err, errBroken) {
					t.Error("not the cause:", err)
				}
				if strings.HasPrefix(name, "panic") && !strings.Contains(err.Error(), "Commit panicked: ") {
					t.Error("no word of a panic:", err)
				}
			}
			if !state.holds("good") {
				t.Error(state.texts())
			}
		})
	}
}

// The status of another service, say, may be in the error of a hook.
func TestAStatusInTheErrorOfAHookIsNotTheServices(t *testing.T) {
	given := &os.PathError{Op: "forward", Path: "the other cluster", Err: quorate.ErrBusy}
	service, _ := failing(t, func() error { return given })
	_, waited := service.ProposeWait(within(t), text("bad"))
	_, after := service.ProposeWait(within(t), text("after"))
	for _, err := range []error{waited, after, service.Err()} {
		var path *os.PathError
		if !errors.Is(err, given) || !errors.As(err, &path) || path != given {
			t.Error("not the cause:", err)
		}
		var status quorate.Status
		if errors.Is(err, quorate.ErrBusy) || !errors.As(err, &status) || !errors.Is(err, status) || quorate.OutcomeOf(err) == quorate.OutcomeNotDone {
			t.Error("it can't be tried again:", err)
		}
	}
}

// opener fails when it is opened.
type opener struct {
	journal
	open func() (quorate.Applied, error)
}

func (o *opener) Open() (quorate.Applied, error) { return o.open() }

func TestAFailingOpenRefusesTheStart(t *testing.T) {
	for _, open := range []func() (quorate.Applied, error){
		func() (quorate.Applied, error) { return quorate.Applied{}, errBroken },
		func() (quorate.Applied, error) { panic(errBroken) },
	} {
		_, err := quorate.StartRaft(nil, quorate.Memory(), &opener{open: open})
		if !errors.Is(err, quorate.ErrStateMachineFailed) || !errors.Is(err, errBroken) || !strings.Contains(err.Error(), errBroken.Error()) {
			t.Error(err)
		}
	}
}

func TestWhatWaitsIsRefusedInAHook(t *testing.T) {
	var service *quorate.Service
	var ready sync.WaitGroup
	ready.Add(1)
	own := quorate.CreateTracker()
	refused := map[string]error{}
	var looked quorate.State
	var value uint64
	state := &journal{do: func(entry *quorate.Entry) error {
		ready.Wait()
		ctx := context.Background()
		_, refused["Propose"] = service.Propose(text("inner"))
		_, refused["ProposeWait"] = service.ProposeWait(ctx, text("inner"))
		refused["ReadBarrier"] = service.ReadBarrier(ctx, quorate.Linearizable)
		refused["AddNode"] = service.AddNode("127.0.0.1:1")
		refused["RemoveNode"] = service.RemoveNode(1)
		refused["InitializeCluster"] = service.InitializeCluster("127.0.0.1:1")
		_, refused["WaitContext"] = own.WaitContext(ctx, 5)
		_, refused["applied"] = service.GetAppliedTracker().WaitContext(ctx, entry.Index)
		looked, value = service.GetState(), own.Wait(5)
		own.Update(3)
		return nil
	}}
	service = alone(t, state)
	ready.Done()
	propose(t, service, "outer")
	for name, err := range refused {
		if !errors.Is(err, quorate.ErrInCallback) || !strings.Contains(err.Error(), "hook") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(refused) != 8 || looked != quorate.Standalone || value != 0 || own.Wait(3) != 3 {
		t.Error(refused, looked, value)
	}
	if !state.holds("outer") {
		t.Error(state.texts())
	}
}

func TestAHookMayCloseItsService(t *testing.T) {
	var service *quorate.Service
	var ready sync.WaitGroup
	ready.Add(1)
	state := &journal{do: func(*quorate.Entry) error {
		ready.Wait()
		service.Close()
		return nil
	}}
	service = alone(t, state)
	ready.Done()
	if _, err := service.ProposeWait(within(t), text("last")); err != nil && !errors.Is(err, quorate.ErrInterrupted) {
		t.Error(err)
	}
	service.Close() // waits for the other one
	if service.GetState() != quorate.Stopped || !state.holds("last") {
		t.Error(service.GetState(), state.texts())
	}
}
