package quorate_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"quorate"
)

func TestCloseReleasesWhoeverWaits(t *testing.T) {
	service := alone(t, &journal{})
	index := propose(t, service, "a").Index
	started := make(chan struct{}, 200)
	var all sync.WaitGroup
	for i := range 100 {
		all.Add(2)
		go func() {
			defer all.Done()
			started <- struct{}{}
			for {
				_, err := service.ProposeWait(context.Background(), text("b"))
				switch {
				case err == nil:
				case errors.Is(err, quorate.ErrClosed) && quorate.OutcomeOf(err) == quorate.OutcomeNotDone:
					return
				case errors.Is(err, quorate.ErrInterrupted) && quorate.OutcomeOf(err) == quorate.OutcomeUnknown:
				default:
					t.Error(err)
					return
				}
			}
		}()
		go func() {
			defer all.Done()
			started <- struct{}{}
			if i%2 == 0 {
				if value := service.GetAppliedTracker().Wait(1 << 60); value < index || value >= 1<<60 {
					t.Error(value)
				}
			} else if _, err := service.GetAppliedTracker().WaitContext(context.Background(), 1<<60); !errors.Is(err, quorate.ErrClosed) {
				t.Error(err)
			}
		}()
	}
	for range 200 {
		<-started
	}
	service.Close()
	all.Wait()
	service.Close()
}

func TestLookingGoesOnAfterClose(t *testing.T) {
	state := &journal{}
	service := alone(t, state)
	index, id := propose(t, service, "a").Index, service.MyID()
	service.Close()
	if service.GetState() != quorate.Stopped || service.MyID() != id || service.GetLastApplied() != index || service.Err() != nil {
		t.Error(service.Report(quorate.JSON), service.Err())
	}
	if value := service.GetAppliedTracker().Wait(index + 1); value != index {
		t.Error(value)
	}
	if value := service.GetAppliedTracker().TimedWait(index+1, time.Minute); value != index {
		t.Error(value)
	}
	if _, err := service.Propose(text("b")); !errors.Is(err, quorate.ErrClosed) {
		t.Error(err)
	}
	if err := service.AddNode("127.0.0.1:1"); !errors.Is(err, quorate.ErrClosed) {
		t.Error(err)
	}
}

// threadNames gives the names of the threads of this process.
func threadNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var names []string
	for _, file := range files {
		if name, err := os.ReadFile(file); err == nil { // a thread may end meanwhile
			names = append(names, string(name))
		}
	}
	return names
}

// engineThreads counts the threads of the library.
func engineThreads(t *testing.T) int {
	t.Helper()
	count := 0
	for _, name := range threadNames(t) {
		if strings.HasPrefix(name, "quorate-") {
			count++
		}
	}
	return count
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func TestNothingIsLeftAfterClose(t *testing.T) {
	once := func() {
		service, err := quorate.StartRaft(quorate.TCP("127.0.0.1:0"), quorate.Memory(), &journal{})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 10 {
			all.Add(1)
			go func() {
				defer all.Done()
				propose(t, service, "a")
			}()
		}
		all.Wait()
		tracker := quorate.CreateTracker()
		tracker.TimedWait(1, time.Millisecond)
		service.Close()
	}
	once() // what is made once and stays is made now
	goroutines, threads, files := runtime.NumGoroutine(), engineThreads(t), descriptors(t)
	for range 10 {
		once()
	}
	eventually(t, "the goroutines of the test end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if now := engineThreads(t); now > threads {
		t.Errorf("%d threads of the engine, %d before", now, threads)
	}
	eventually(t, "the descriptors are closed", func() bool { return descriptors(t) <= files })
}

func TestAClosedServiceIsCollected(t *testing.T) {
	collected := make(chan string, 2)
	func() {
		state := &journal{}
		service, err := quorate.StartRaft(nil, quorate.Memory(), state)
		if err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(state, func(what string) { collected <- what }, "state machine")
		runtime.AddCleanup(service, func(what string) { collected <- what }, "service")
		propose(t, service, "a")
		service.Close()
	}()
	found := map[string]bool{}
	eventually(t, "service and state machine are collected", func() bool {
		runtime.GC()
		select {
		case what := <-collected:
			found[what] = true
		default:
		}
		return len(found) == 2
	})
}

func TestAnOpenServiceIsNotCollected(t *testing.T) {
	applied := make(chan struct{}, 1)
	state := &journal{do: func(*quorate.Entry) error {
		applied <- struct{}{}
		return nil
	}}
	var address string
	var close func()
	func() {
		service, err := quorate.StartRaft(quorate.TCP("127.0.0.1:0"), quorate.Memory(), state)
		if err != nil {
			t.Fatal(err)
		}
		address, close = service.GetAddress(), service.Close
		if err := service.InitializeCluster(address); err != nil {
			t.Fatal(err)
		}
	}()
	runtime.GC()
	_, err := quorate.StartRaft(quorate.TCP(address), quorate.Memory(), &journal{})
	if !errors.Is(err, quorate.ErrAddressInUse) {
		t.Error("it is gone:", err)
	}
	close()
}
