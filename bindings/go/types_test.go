package quorate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestANumberWithoutANameIsShown(t *testing.T) {
	for text, value := range map[string]fmt.Stringer{
		"Follower": Follower, "Failed": Failed, "State(7)": State(7), "State(-1)": State(-1),
		"Stable": Stable, "MembershipChangeMode(3)": MembershipChangeMode(3),
		"JoinAsCandidate": JoinAsCandidate, "LoopCommand(99)": LoopCommand(99),
		"not done": OutcomeNotDone, "Outcome(4)": Outcome(4),
		"again": StoreAgain, "StoreHow(3)": StoreHow(3), "Join": JoinFrame, "FrameKind(-1)": FrameKind(-1),
		"disk full": DiskFullEvent, "EventKind(102)": EventKind(102),
		"3 state: Leader in term 1": Event{Number: 3, Kind: StateEvent, State: Leader, Term: 1},
	} {
		if value.String() != text {
			t.Errorf("%q is shown as %q", text, value)
		}
	}
}

func TestIDsAreBase36(t *testing.T) {
	for text, id := range map[string]NodeID{"0": 0, "z": 35, "10": 36, "3w5e11264sgsf": math.MaxUint64} {
		if id.String() != text || ParseNodeID(text) != id {
			t.Errorf("%q: shown as %q, read as %d", text, id, ParseNodeID(text))
		}
	}
	for _, text := range []string{"", "-1", "+1", " 1", "1.0", "1_0", "3w5e11264sgsg", "zzzzzzzzzzzzzz", "ä"} {
		if id := ParseNodeID(text); id != 0 {
			t.Errorf("%q is read as %d", text, id)
		}
	}
}

func TestANodeListHasEachNodeOnce(t *testing.T) {
	list := &NodeList{
		Current:  []Node{{1, "a:1"}, {2, "b:2"}},
		Next:     []Node{{2, "b:2"}, {36, "c:3"}},
		learners: []Node{{4, "d:4"}},
	}
	if unique := list.GetUniqueNodes(); !slices.Equal(unique, []Node{{1, "a:1"}, {2, "b:2"}, {36, "c:3"}}) {
		t.Errorf("unique: %v", unique)
	}
	if text := list.String(); text != "NodeList{Current:a:1, b:2, Next:b:2, c:3}" {
		t.Error(text)
	}
	if text := (&NodeList{}).String(); text != "NodeList{Current:}" {
		t.Error(text)
	}
	if text := list.GetNode(36).String(); text != "Node{10: c:3}" {
		t.Error(text)
	}
	if list.GetNode(4) == nil || list.GetNode(5) != nil {
		t.Error("a learner is found, a stranger is not")
	}
	list.GetNode(1).Address = "changed"
	if list.Current[0].Address != "a:1" {
		t.Error("GetNode gives the node itself and not a copy")
	}
}

func TestAnErrorIsItsStatusAndItsCause(t *testing.T) {
	err := error(&Error{Status: ErrNotLeader, Message: "ask the leader", Leader: &Node{NodeID: 1}, Cause: context.Canceled})
	err = fmt.Errorf("setting a: %w", err)
	var details *Error
	if !errors.As(err, &details) || details.Leader.NodeID != 1 || details.Error() != "quorate: ask the leader" {
		t.Errorf("details: %+v", details)
	}
	if !errors.Is(err, ErrNotLeader) || errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Error("it is neither its status nor its cause")
	}
	status, other := Status(0), &Error{Status: ErrInterrupted, Cause: fmt.Errorf("it is %w, %w", ErrBusy, context.Canceled)}
	if errors.Is(other, ErrBusy) || !errors.Is(other, context.Canceled) || !errors.As(other, &status) || status != ErrInterrupted {
		t.Error("it has the status of its cause")
	}
	if errors.As(reason{ErrBusy}, &status) {
		t.Error("its cause has a status")
	}
	if text := (&Error{Status: ErrBusy}).Error(); text != "quorate: busy" {
		t.Errorf("without a message: %q", text)
	}
	if text := Status(-999).Error(); !strings.Contains(text, "unknown status") {
		t.Errorf("an unknown status: %q", text)
	}
}

func TestTheOutcomeIsInTheThousands(t *testing.T) {
	for err, outcome := range map[error]Outcome{
		nil: OutcomeDone, errors.New("other"): OutcomeUnknown, context.Canceled: OutcomeUnknown,
		ErrInvalid: OutcomeNotDone, Status(-999): OutcomeNotDone, ErrTimeout: OutcomeUnknown,
		Status(-1999): OutcomeUnknown, ErrStorageFailed: OutcomeFatal, Status(-2999): OutcomeFatal,
		&Error{Status: ErrLost}: OutcomeNotDone, &Error{Status: ErrInterrupted}: OutcomeUnknown,
		&Error{Status: ErrTimeout, unsent: true}: OutcomeNotDone,
	} {
		if got := OutcomeOf(err); got != outcome {
			t.Errorf("%v: %v and not %v", err, got, outcome)
		}
		if wrapped := fmt.Errorf("wrapped: %w", err); err != nil && OutcomeOf(wrapped) != outcome {
			t.Errorf("%v: %v and not %v", wrapped, OutcomeOf(wrapped), outcome)
		}
	}
}

func TestATimestampFitsOrIsRefused(t *testing.T) {
	for _, fits := range []time.Time{{}, time.Unix(0, 1), time.Unix(0, math.MaxInt64), time.Unix(0, math.MinInt64)} {
		ns, ok := nanoseconds(fits)
		if !ok || !fits.IsZero() && !time.Unix(0, ns).Equal(fits) {
			t.Errorf("%v: %d %v", fits, ns, ok)
		}
	}
	for _, year := range []int{1, 1600, 2300, 9999} {
		when := time.Date(year, 2, 1, 0, 0, 0, 0, time.UTC)
		if _, err := (&Entry{Timestamp: when}).change(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v", when, err)
		}
	}
}

func TestMillisecondsAreRoundedUp(t *testing.T) {
	for d, ms := range map[time.Duration]int64{
		math.MinInt64: 0, -1: 0, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2,
		math.MaxInt64: math.MaxInt64/1_000_000 + 1,
	} {
		if got := int64(milliseconds(d)); got != ms {
			t.Errorf("%v: %d", d, got)
		}
	}
}

type nothing struct{}

func (nothing) Commit(*Entry) error { return nil }

func TestWhoDoesNotReadLosesTheOldestEvents(t *testing.T) {
	r, err := StartRaft(TCP("127.0.0.1:0"), Memory(), nothing{})
	if err != nil {
		t.Fatal(err)
	}
	all, unread := r.Events(context.Background()), make(chan Event, 2)
	l, err := newListener(r, unread)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.InitializeCluster(r.GetAddress()); err != nil {
		t.Fatal(err)
	}
	r.Close()
	l.run()
	var last, count uint64
	for event := range all {
		last, count = event.Number, count+1
	}
	if count < 5 {
		t.Error("too few events to lose one:", count)
	}
	for i := range uint64(2) {
		if event := <-unread; event.Number != last-1+i {
			t.Errorf("%d of %d: %+v", i, last, event)
		}
	}
	if event, ok := <-unread; ok {
		t.Errorf("%+v", event)
	}
}
