package quorate_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quorate"
)

// at2 gives a tracker that stands at 2.
func at2(t *testing.T) *quorate.ChangeTracker {
	t.Helper()
	tracker := quorate.CreateTracker()
	t.Cleanup(tracker.Close)
	if value := tracker.Wait(0); value != 0 {
		t.Fatal(value)
	}
	tracker.Update(2)
	return tracker
}

// waiting starts a wait and gives what it will give.
func waiting(tracker *quorate.ChangeTracker, change uint64) <-chan uint64 {
	value := make(chan uint64, 1)
	go func() { value <- tracker.Wait(change) }()
	return value
}

func TestATrackerThatIsThereAnswersAtOnce(t *testing.T) {
	tracker := at2(t)
	for _, change := range []uint64{0, 1, 2} {
		if value := tracker.Wait(change); value != 2 {
			t.Error(change, value)
		}
		if value := tracker.TimedWait(change, time.Hour); value != 2 {
			t.Error(change, value)
		}
	}
}

func TestAnUpdateWakesWhomItConcerns(t *testing.T) {
	tracker := at2(t)
	far, near, same := waiting(tracker, 10), waiting(tracker, 4), waiting(tracker, 4)
	tracker.Update(3)
	tracker.Update(4)
	if a, b := <-near, <-same; a != 4 || b != 4 {
		t.Error(a, b)
	}
	tracker.Update(1)
	select {
	case value := <-far:
		t.Error("woken at", value)
	default:
	}
	tracker.Update(11)
	if value := <-far; value != 11 {
		t.Error(value)
	}
}

func TestATimedWaitEndsWithTheValueAsItIs(t *testing.T) {
	tracker := at2(t)
	started := time.Now()
	if value := tracker.TimedWait(3, 30*time.Millisecond); value != 2 || time.Since(started) < 30*time.Millisecond {
		t.Error(value, time.Since(started))
	}
	for _, none := range []time.Duration{0, -1} {
		if value := tracker.TimedWait(3, none); value != 2 {
			t.Error(value)
		}
	}
}

// withoutDescriptors lets this process open nothing more until the test ends.
func withoutDescriptors(t *testing.T) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	})
}

// stacks tells what all goroutines do.
func stacks() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

func TestAWaitThatFindsNoDescriptorWaits(t *testing.T) {
	tracker := at2(t)
	withoutDescriptors(t)
	started := time.Now()
	if value := tracker.TimedWait(3, 30*time.Millisecond); value != 2 || time.Since(started) < 30*time.Millisecond {
		t.Error(value, time.Since(started))
	}
	if value, err := tracker.WaitContext(context.Background(), 3); value != 2 || !errors.Is(err, quorate.ErrIO) {
		t.Error(value, err)
	}
	value := waiting(tracker, 5)
	eventually(t, "it waits in the engine, or gives up", func() bool {
		return strings.Contains(stacks(), "_Cfunc_quorate_tracker_wait") || len(value) > 0
	})
	tracker.Update(5)
	if got := <-value; got != 5 {
		t.Error(got)
	}
}

func TestACancelledWaitSaysWhy(t *testing.T) {
	tracker := at2(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		value, err := tracker.WaitContext(ctx, 3)
		if value != 2 {
			t.Error(value)
		}
		done <- err
	}()
	cancel()
	if err := <-done; err != context.Canceled {
		t.Error(err)
	}
	limited, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if value, err := tracker.WaitContext(limited, 3); value != 2 || err != context.DeadlineExceeded {
		t.Error(value, err)
	}
	if value, err := tracker.WaitContext(ctx, 2); value != 2 || err != nil {
		t.Error("what is there needs no wait:", value, err)
	}
}

func TestCloseReleasesTheWaitersOfATracker(t *testing.T) {
	tracker := at2(t)
	values := []<-chan uint64{waiting(tracker, 3), waiting(tracker, 4)}
	tracker.Close()
	for _, value := range values {
		if got := <-value; got != 2 {
			t.Error(got)
		}
	}
	tracker.Update(9)
	if value, err := tracker.WaitContext(context.Background(), 3); value != 2 || !errors.Is(err, quorate.ErrClosed) {
		t.Error(value, err)
	}
	tracker.Close()
}

func TestANameIsOneTracker(t *testing.T) {
	one, same, other := quorate.GetNamedTracker("one"), quorate.GetNamedTracker("one"), quorate.GetNamedTracker("other")
	if one != same || one == other {
		t.Error("same name, same tracker; other name, other tracker")
	}
	value := waiting(same, 5)
	one.Update(5)
	if got := <-value; got != 5 || other.Wait(0) != 0 {
		t.Error(got, other.Wait(0))
	}
	if quorate.GetNamedTracker("one\x00more") != one || quorate.GetNamedTracker("\xff") != quorate.GetNamedTracker("\xfe") {
		t.Error("a name is text that ends at a NUL")
	}
}

func TestOnlyTheServiceMovesItsTracker(t *testing.T) {
	service := alone(t, &journal{})
	index := propose(t, service, "a").Index
	tracker := service.GetAppliedTracker()
	tracker.Update(index + 100)
	tracker.Close()
	value := waiting(tracker, index+1)
	propose(t, service, "b")
	if got := <-value; got != index+1 {
		t.Error(got)
	}
}

func TestAWaitingGoroutineHoldsNoThread(t *testing.T) {
	const waiters = 2000
	tracker := quorate.CreateTracker()
	before := len(threadNames(t))
	values := make([]<-chan uint64, waiters)
	for i := range values {
		values[i] = waiting(tracker, 1)
	}
	eventually(t, "all of them wait", func() bool { return runtime.NumGoroutine() >= waiters })
	if threads := len(threadNames(t)) - before; threads > waiters/20 {
		t.Errorf("%d more threads for %d waiters", threads, waiters)
	}
	tracker.Update(1)
	for _, value := range values {
		<-value
	}
}

// Many producers and consumers, as many as the ancestor's own test had.
func TestManyWaitersAllFinish(t *testing.T) {
	const last = 10_000
	for _, test := range []struct{ producers, consumers int }{{1, 1}, {100, 1}, {1, 1000}, {100, 1000}} {
		tracker := quorate.CreateTracker()
		ctx := within(t)
		var all sync.WaitGroup
		var mu sync.Mutex
		var change uint64
		for range test.producers {
			all.Add(1)
			go func() {
				defer all.Done()
				for more := true; more; {
					mu.Lock()
					if more = change < last; more {
						change++
						tracker.Update(change)
					}
					mu.Unlock()
					runtime.Gosched()
				}
			}()
		}
		for c := range test.consumers {
			all.Add(1)
			go func() {
				defer all.Done()
				for want := uint64(c % 100); want <= last; want += 997 {
					if value, err := tracker.WaitContext(ctx, want); err != nil || value < want {
						t.Error(want, value, err)
						return
					}
				}
				tracker.Wait(last)
			}()
		}
		all.Wait()
		tracker.Close()
	}
}
