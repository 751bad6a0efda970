package quorate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate"
)

// Requests of many goroutines cross in one call. One of them that is refused must not take others with it,
// and nobody may get the data or the tags of somebody else.
func TestARefusedRequestLeavesTheOthersOfItsBatch(t *testing.T) {
	const goroutines, each = 100, 30
	state := &journal{}
	service := alone(t, state)
	manyTags := make([]string, 300) // more than the bridge has room for beside others
	for i := range manyTags {
		manyTags[i] = fmt.Sprint("tag ", i)
	}
	kinds := []struct {
		status quorate.Status
		make   func(name string) *quorate.Entry
	}{
		{0, func(name string) *quorate.Entry { return &quorate.Entry{Data: []byte(name)} }},
		{quorate.ErrInvalid, func(name string) *quorate.Entry {
			return &quorate.Entry{Data: []byte(name), Type: -7, Tags: []string{"x"}}
		}},
		{0, func(name string) *quorate.Entry {
			return &quorate.Entry{Data: []byte(name), Tags: []string{"", name, "b"}}
		}},
		{quorate.ErrInvalid, func(name string) *quorate.Entry {
			return &quorate.Entry{Data: []byte(name), Tags: []string{"good", "\xff"}}
		}},
		{0, func(name string) *quorate.Entry {
			return &quorate.Entry{Data: []byte(name), Tags: slices.Concat([]string{"", name}, manyTags)}
		}},
		{quorate.ErrTooLarge, func(string) *quorate.Entry { return &quorate.Entry{Data: make([]byte, 3<<20)} }},
		{0, func(name string) *quorate.Entry {
			return &quorate.Entry{Data: append([]byte(name), bytes.Repeat([]byte{0}, 50_000)...), Tags: []string{"", name}}
		}},
	}
	ctx := within(t)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range each {
				kind := kinds[(g+i)%len(kinds)]
				entry := kind.make(fmt.Sprint(g, " ", i))
				reply, err := service.ProposeWait(ctx, entry)
				if kind.status != 0 {
					if !errors.Is(err, kind.status) || quorate.OutcomeOf(err) != quorate.OutcomeNotDone {
						t.Errorf("%v: %v", kind.status, err)
					}
				} else if err != nil || string(reply.Data) != "re: "+string(entry.Data) {
					t.Error(g, i, err)
				}
			}
		}()
	}
	all.Wait()
	for _, entry := range state.entries {
		name := strings.TrimRight(string(entry.Data), "\x00")
		if len(entry.Tags) > 0 && (entry.Tags[0] != "" || entry.Tags[1] != name) || entry.Type != 0 {
			t.Errorf("%q has the tags %q", name, entry.Tags[:2])
		}
		if len(entry.Tags) > 100 && !slices.Equal(entry.Tags[2:], manyTags) {
			t.Errorf("%q has %d tags", name, len(entry.Tags))
		}
	}
}

// Who gives up may go on with the next proposal at once; the first one, if it happens, happens before.
func TestTheOrderOfAGoroutineIsKeptWhenItGivesUp(t *testing.T) {
	const goroutines, each = 50, 40
	state := &journal{}
	service := alone(t, state)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range each {
				ctx, cancel := context.WithCancel(context.Background())
				go cancel()
				size := 1 + (i%3)*3000 // some cross alone
				_, err := service.ProposeWait(ctx, text(fmt.Sprintf("%d %d %s", g, i, strings.Repeat("x", size))))
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		}()
	}
	all.Wait()
	propose(t, service, "0 1000000 x")
	next := map[int]int{}
	for _, data := range state.texts() {
		var g, i int
		if _, err := fmt.Sscan(data, &g, &i); err != nil || i < next[g] {
			t.Fatalf("%.20q comes after %d", data, next[g]-1)
		}
		next[g] = i + 1
	}
}

func TestAFullQueueIsAnAnswer(t *testing.T) {
	released, entered := make(chan struct{}), make(chan struct{}, 1000)
	state := &journal{do: func(*quorate.Entry) error {
		entered <- struct{}{}
		<-released
		return nil
	}}
	service := alone(t, state, quorate.WithSetting("max_queued_entries", "10"))
	go service.ProposeWait(context.Background(), text("first"))
	<-entered
	errs := make(chan error, 100)
	for range cap(errs) {
		go func() {
			_, err := service.ProposeWait(context.Background(), text("more"))
			errs <- err
		}()
	}
	done, busy := 0, 0
	for range cap(errs) {
		switch err := <-errs; {
		case err == nil:
			done++
		case errors.Is(err, quorate.ErrBusy) && quorate.OutcomeOf(err) == quorate.OutcomeNotDone:
			if busy++; busy == 90 { // so many must be refused while nothing moves
				close(released)
			}
		default:
			t.Error(err)
		}
	}
	if done == 0 || done > 10 || done+busy != 100 {
		t.Error(done, "done,", busy, "busy")
	}
	propose(t, service, "after")
	if len(state.texts()) != done+2 {
		t.Error(len(state.texts()), "committed")
	}
}

func TestADeadlineInCenturiesIsNotOverNow(t *testing.T) {
	service := alone(t, &journal{})
	for _, deadline := range []time.Time{time.Now().Add(math.MaxInt64), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)} {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		_, proposed := service.ProposeWait(ctx, text("a"))
		read := service.ReadBarrier(ctx, quorate.Linearizable)
		if cancel(); proposed != nil || read != nil {
			t.Errorf("until %v: %v, %v", deadline, proposed, read)
		}
	}
}
