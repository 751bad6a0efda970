package quorate_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"quorate"
)

// A slow disk is no dead node: ten seconds are ten times as long as it takes to elect a leader. A leader hands
// over, a follower is waited for.
const blockedFor = 10 * time.Second

// A member lives on a store whose Sync waits while its door is shut.
type member struct {
	*quorate.Service
	door  *door
	state *journal
}

func newMember(t *testing.T) *member {
	door := &door{waiting: make(chan struct{}, 9), open: make(chan struct{})}
	store, state := newDisk().shelf(), &journal{}
	store.do = func(call string) error {
		if call == "Sync" {
			door.pass()
		}
		return nil
	}
	service, err := quorate.StartRaft(quorate.TCP("127.0.0.1:0"), quorate.CustomStorage("", store), state)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.Close)
	return &member{service, door, state}
}

func TestAStoreThatBlocksForTenSecondsStopsNobody(t *testing.T) {
	for name, test := range map[string]struct{ blocked, writer int }{"leader": {0, 1}, "follower": {2, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			members := []*member{newMember(t), newMember(t), newMember(t)} // the first one leads
			if err := members[0].InitializeClusterContext(within(t), members[0].GetAddress()); err != nil {
				t.Fatal(err)
			}
			for _, other := range members[1:] {
				if err := members[0].AddNodeContext(within(t), other.GetAddress()); err != nil {
					t.Fatal(err)
				}
			}
			othersGoOn(t, members, members[test.blocked], members[test.writer])
		})
	}
}

// othersGoOn writes through one member while the store of another one blocks.
func othersGoOn(t *testing.T, members []*member, slow, writer *member) {
	term := members[0].GetCurrentTerm()
	slow.door.shut.Store(true)
	written := 0
	for end := time.Now().Add(blockedFor); time.Now().Before(end); {
		switch _, err := writer.ProposeWait(within(t), text("a majority has it")); {
		case err == nil:
			if written++; written == 1 {
				<-slow.door.waiting
			}
		case !errors.Is(err, quorate.ErrLost): // while it hands over
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // ten seconds are what is tried
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := slow.ProposeWait(ctx, text("late")); !errors.Is(err, quorate.ErrTimeout) {
		t.Error(err)
	}
	if n := len(slow.state.texts()); n >= written {
		t.Error("applied and not durable:", n)
	}
	slow.door.shut.Store(false)
	close(slow.door.open)
	handedOver := writer.GetCurrentTerm() > term
	if handedOver != (slow == members[0]) || writer.GetLeaderID() == slow.MyID() {
		t.Error("leader", writer.GetLeaderID(), "in term", writer.GetCurrentTerm(), "after", term)
	}
	for _, m := range members {
		if err := m.ReadBarrier(within(t), quorate.Linearizable); err != nil {
			t.Error(err)
		}
		texts := m.state.texts()
		if len(texts) != written+1 || !slices.Contains(texts, "late") {
			t.Errorf("%d of %d", len(texts), written)
		}
	}
}
