package quorate_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"quorate"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// A journal is a state machine that keeps what it is told, and answers with "re: " and the data. What do
// gives is the error of Commit.
type journal struct {
	mu      sync.Mutex
	entries []quorate.Entry
	do      func(*quorate.Entry) error
}

func (j *journal) Commit(entry *quorate.Entry) error {
	entry.Reply = append([]byte("re: "), entry.Data...)
	if j.do != nil {
		if err := j.do(entry); err != nil {
			return err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, *entry)
	return nil
}

// texts gives the data of what was committed, in order.
func (j *journal) texts() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var texts []string
	for _, entry := range j.entries {
		texts = append(texts, string(entry.Data))
	}
	return texts
}

// last gives what was committed last.
func (j *journal) last() quorate.Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.entries[len(j.entries)-1]
}

func (j *journal) holds(texts ...string) bool { return slices.Equal(j.texts(), texts) }

// within gives a context that ends when a test has waited too long.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// alone starts a Standalone service in memory.
func alone(t testing.TB, state quorate.StateMachine, options ...quorate.Option) *quorate.Service {
	t.Helper()
	service, err := quorate.StartRaft(nil, quorate.Memory(), state, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.Close)
	return service
}

func text(data string) *quorate.Entry { return &quorate.Entry{Data: []byte(data)} }

// propose proposes and waits.
func propose(t testing.TB, service *quorate.Service, data string) *quorate.Reply {
	t.Helper()
	reply, err := service.ProposeWait(within(t), text(data))
	if err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return reply
}

// eventually waits for what nothing announces.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx := within(t)
	for tick := time.NewTicker(time.Millisecond); !holds(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}
