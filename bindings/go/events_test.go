package quorate_test

import (
	"context"
	"errors"
	"testing"

	"quorate"
)

// until reads events up to one of a kind.
func until(t *testing.T, events <-chan quorate.Event, kind quorate.EventKind) quorate.Event {
	t.Helper()
	ctx := within(t)
	for {
		select {
		case event, ok := <-events:
			if !ok {
				t.Fatalf("the events end before %v", kind)
			}
			if event.Kind == kind {
				return event
			}
		case <-ctx.Done():
			t.Fatalf("never: %v", kind)
		}
	}
}

// rest reads all events that are left.
func rest(t *testing.T, events <-chan quorate.Event) (all []quorate.Event) {
	t.Helper()
	ctx := within(t)
	for {
		select {
		case event, ok := <-events:
			if !ok {
				return all
			}
			all = append(all, event)
		case <-ctx.Done():
			t.Fatal("the channel is not closed")
		}
	}
}

func TestEventsTellWhatIsAndWhatHappens(t *testing.T) {
	n := newNode(t)
	events := n.Events(context.Background())
	state, leader := <-events, <-events
	if state.Kind != quorate.StateEvent || state.State != quorate.Standalone || leader.Kind != quorate.LeaderEvent || leader.Node != n.MyID() {
		t.Error(state, leader)
	}
	if err := n.InitializeClusterContext(within(t), n.address); err != nil {
		t.Fatal(err)
	}
	led, change := until(t, events, quorate.StateEvent), until(t, events, quorate.MembershipEvent)
	if led.State != quorate.Leader || led.Number != state.Number+1 || change.Configuration != 1 || change.Text == "" {
		t.Error(led, change)
	}
	later := n.Events(context.Background()) // begins with the present
	if now := until(t, later, quorate.LeaderEvent); now.Node != n.MyID() || now.Term != n.GetCurrentTerm() {
		t.Error(now)
	}
	n.Close()
	for _, channel := range []<-chan quorate.Event{events, later} {
		all := rest(t, channel)
		last := all[len(all)-1]
		if last.Kind != quorate.ClosedEvent || last.Err != nil || last.Number <= led.Number {
			t.Error(last)
		}
		for i := range all[1:] {
			if all[i+1].Number != all[i].Number+1 {
				t.Error("a gap:", all[i], all[i+1])
			}
		}
	}
}

func TestEventsTellOfMembersAndPeers(t *testing.T) {
	nodes := cluster(t, 2)
	events := nodes[0].Events(within(t))
	third := newNode(t)
	add(t, nodes[0], third)
	if change := until(t, events, quorate.MembershipEvent); change.Configuration == 0 || change.Text == "" {
		t.Error(change)
	}
	id := third.MyID()
	third.Close()
	if lost := until(t, events, quorate.PeerEvent); lost.Text == "" || lost.Node != 0 && lost.Node != id {
		t.Error(lost)
	}
}

func TestEventsEndWithTheirContext(t *testing.T) {
	service := alone(t, &journal{})
	ctx, cancel := context.WithCancel(context.Background())
	events, others := service.Events(ctx), service.Events(context.Background())
	<-events
	cancel()
	for _, event := range rest(t, events) {
		if event.Kind == quorate.ClosedEvent {
			t.Error("the service is not closed:", event)
		}
	}
	service.Close()
	if all := rest(t, others); all[len(all)-1].Kind != quorate.ClosedEvent {
		t.Error(all)
	}
	ended := rest(t, service.Events(ctx))
	late := rest(t, service.Events(context.Background()))
	for _, all := range [][]quorate.Event{ended, late} {
		if len(all) != 1 || all[0].Kind != quorate.ClosedEvent || !errors.Is(all[0].Err, quorate.ErrClosed) {
			t.Error(all)
		}
	}
}
