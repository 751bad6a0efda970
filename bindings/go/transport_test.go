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

// insist repeats a call that may end without a leader on a network that loses frames.
func insist(t *testing.T, call func(ctx context.Context) error) {
	t.Helper()
	for limit := within(t); ; {
		ctx, cancel := context.WithTimeout(limit, time.Second)
		err := call(ctx)
		cancel()
		switch {
		case err == nil || errors.Is(err, quorate.ErrAlreadyMember):
			return
		case limit.Err() != nil:
			t.Fatal("never: ", err)
		case !passing(err):
			t.Fatal(err)
		}
	}
}

func passing(err error) bool {
	return slices.ContainsFunc([]quorate.Status{
		quorate.ErrTimeout, quorate.ErrNotLeader, quorate.ErrLeadershipLost, quorate.ErrChangeInProgress,
		quorate.ErrUnreachable, quorate.ErrLost,
	}, func(status quorate.Status) bool { return errors.Is(err, status) })
}

// counties makes a cluster of three whose frames an office carries.
func counties(t *testing.T, o *office) ([]*quorate.Service, []*journal) {
	t.Helper()
	names := []string{"north", "east", "south"}
	var services []*quorate.Service
	var journals []*journal
	for _, name := range names {
		journals = append(journals, &journal{})
		services = append(services, o.start(name, journals[len(journals)-1],
			quorate.WithSetting("heartbeat_timeout", "20ms"), quorate.WithSetting("election_timeout", "200ms")))
	}
	if err := services[0].InitializeClusterContext(within(t), names[0]); err != nil {
		t.Fatal(err)
	}
	for _, name := range names[1:] {
		insist(t, func(ctx context.Context) error { return services[0].AddNodeContext(ctx, name) })
	}
	return services, journals
}

func TestAClusterLivesOnANetworkThatMangles(t *testing.T) {
	const rounds = 40
	o := newOffice(t)
	o.faults = true
	services, journals := counties(t, o)
	var last uint64
	for round := range rounds {
		insist(t, func(ctx context.Context) error {
			reply, err := services[round%3].ProposeWait(ctx, text(fmt.Sprint(round)))
			if err == nil {
				last = max(last, reply.Index)
			}
			return err
		})
	}
	for i, service := range services {
		if value, err := service.GetAppliedTracker().WaitContext(within(t), last); err != nil {
			t.Fatal(i, value, err)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost == 0 || o.repeated == 0 || o.held == 0 || o.altered == 0 || o.kinds[quorate.AppendFrame] == 0 || o.kinds[quorate.JoinFrame] == 0 {
		t.Error(o.lost, o.repeated, o.held, o.altered, o.kinds)
	}
	order := journals[0].texts()
	for i, j := range journals {
		texts := j.texts()
		if n := min(len(order), len(texts)); !slices.Equal(texts[:n], order[:n]) {
			t.Errorf("node %d: %v\nnode 0: %v", i, texts, order)
		}
	}
	for round := range rounds {
		if !slices.Contains(order, fmt.Sprint(round)) {
			t.Errorf("%d is missing", round)
		}
	}
}

func TestLeadershipMovesOverANetworkOfTheProgramsOwn(t *testing.T) {
	o := newOffice(t)
	services, journals := counties(t, o)
	propose(t, services[1], "before")
	o.isolate("north", true)
	events := services[1].Events(within(t))
	for led := until(t, events, quorate.LeaderEvent); led.Node == 0 || led.Node == services[0].MyID(); {
		led = until(t, events, quorate.LeaderEvent)
	}
	insist(t, func(ctx context.Context) error {
		_, err := services[2].ProposeWait(ctx, text("without north"))
		return err
	})
	o.isolate("north", false)
	index, _ := services[1].GetLastIndex()
	if _, err := services[0].GetAppliedTracker().WaitContext(within(t), index); err != nil {
		t.Error(err)
	}
	if texts := journals[0].texts(); texts[0] != "before" || !slices.Contains(texts, "without north") {
		t.Error(texts)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.kinds[quorate.RequestVoteFrame] == 0 {
		t.Error(o.kinds)
	}
}

func TestWhatIsNoFrameIsRefused(t *testing.T) {
	service := newOffice(t).start("here", &journal{})
	for _, frame := range [][]byte{nil, {}, {0}, {0, 0}, []byte("hello, is this quorate?"), make([]byte, 200)} {
		for _, call := range []func([]byte) error{service.Deliver, service.Append, service.RequestVote, service.Join} {
			if err := call(frame); !errors.Is(err, quorate.ErrInvalid) {
				t.Errorf("%q: %v", frame, err)
			}
		}
		if kind, err := quorate.KindOfFrame(frame); !errors.Is(err, quorate.ErrInvalid) || kind != quorate.OtherFrame {
			t.Errorf("%q: %v", frame, err)
		}
	}
	if err := service.Deliver(make([]byte, 64<<20)); !errors.Is(err, quorate.ErrTooLarge) {
		t.Error(err)
	}
	if err := alone(t, &journal{}).Deliver([]byte("x")); !errors.Is(err, quorate.ErrUnsupported) {
		t.Error(err)
	}
	service.Close()
	if err := service.Deliver([]byte("x")); !errors.Is(err, quorate.ErrClosed) {
		t.Error(err)
	}
}

// A broken transport reaches only its own service, and calls that before it fails.
type broken struct {
	fail    func() error
	service atomic.Pointer[quorate.Service]
	called  chan error
}

func (b *broken) Send(_ quorate.NodeID, address string, frame []byte) error {
	service := b.service.Load()
	if address == "me" {
		return service.Deliver(frame)
	}
	_, err := service.ProposeWait(context.Background(), text("inner"))
	select {
	case b.called <- err:
	default:
	}
	return b.fail()
}

// onBroken founds a cluster of one on a network that fails so.
func onBroken(t *testing.T, fail func() error) (*broken, *quorate.Service) {
	t.Helper()
	b := &broken{fail: fail, called: make(chan error, 1)}
	service, err := quorate.StartRaft(quorate.CustomCommunication(b), quorate.Memory(), &journal{})
	if err != nil {
		t.Fatal(err)
	}
	b.service.Store(service)
	if err := service.InitializeClusterContext(within(t), "me"); err != nil {
		t.Fatal(err)
	}
	return b, service
}

func TestATransportThatFailsMakesNodesUnreachable(t *testing.T) {
	for name, fail := range failures {
		b, service := onBroken(t, fail)
		if err := service.AddNodeContext(within(t), "nobody"); !errors.Is(err, quorate.ErrUnreachable) || !strings.Contains(err.Error(), errBroken.Error()) {
			t.Errorf("%s: %v", name, err)
		}
		if err := <-b.called; !errors.Is(err, quorate.ErrInCallback) {
			t.Errorf("%s: %v", name, err)
		}
		propose(t, service, "it goes on")
		service.Close()
	}
}
