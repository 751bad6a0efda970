package quorate_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"quorate"
)

// A clerk answers with "re: " and the data, and changes each entry that it was given before.
type clerk struct{ kept []*quorate.Entry }

func (c *clerk) Commit(entry *quorate.Entry) error {
	for _, before := range c.kept {
		before.Reply = nil
	}
	entry.Reply = append([]byte("re: "), entry.Data...)
	c.kept = append(c.kept, entry)
	return nil
}

// A sorter is a clerk that takes batches, and then does with each what it likes.
type sorter struct {
	clerk
	sort    func([]quorate.Entry)
	longest int
}

func (s *sorter) CommitBatch(entries []quorate.Entry) error {
	for i := range entries {
		entries[i].Reply = append([]byte("re: "), entries[i].Data...)
	}
	s.longest = max(s.longest, len(entries))
	s.sort(entries)
	return nil
}

// together proposes many changes while the store syncs the first of them: the others are a batch so. It gives
// the replies by the data.
func together(t *testing.T, state quorate.StateMachine) map[string]string {
	const many = 20
	door := &door{waiting: make(chan struct{}, many), open: make(chan struct{})}
	release := sync.OnceFunc(func() {
		door.shut.Store(false)
		close(door.open)
	})
	defer release()
	store := newDisk().shelf()
	store.do = func(call string) error {
		if call == "Sync" {
			door.pass()
		}
		return nil
	}
	service := on(t, store, state)
	index := propose(t, service, "before").Index
	door.shut.Store(true)
	replies := map[string]string{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range many {
		all.Add(1)
		go func() {
			defer all.Done()
			data := fmt.Sprint(i)
			reply := propose(t, service, data)
			mu.Lock()
			defer mu.Unlock()
			replies[data] = string(reply.Data)
		}()
	}
	eventually(t, "all wait for the store", func() bool {
		last, _ := service.GetLastIndex()
		return last == index+many
	})
	release()
	all.Wait()
	return replies
}

func TestAReplyIsWhatItIsWhenCommitReturns(t *testing.T) {
	state := &clerk{}
	for data, reply := range together(t, state) {
		if reply != "re: "+data {
			t.Errorf("%q: %q", data, reply)
		}
	}
}

func TestABatchMayBeSortedByItsStateMachine(t *testing.T) {
	state := &sorter{sort: slices.Reverse[[]quorate.Entry]}
	for data, reply := range together(t, state) {
		if reply != "re: "+data {
			t.Errorf("%q: %q", data, reply)
		}
	}
	if state.longest < 2 {
		t.Error("there was no batch to sort")
	}
}

func TestAnEntryThatABatchLostHasNoReply(t *testing.T) {
	state := &sorter{sort: func(entries []quorate.Entry) { clear(entries) }}
	for data, reply := range together(t, state) {
		if reply != "" {
			t.Errorf("%q: %q", data, reply)
		}
	}
}
