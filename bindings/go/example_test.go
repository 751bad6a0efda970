package quorate_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"
	"time"

	"quorate"
)

// rows is a state machine: the command is the text "KEY VALUE".
type rows struct {
	mu   sync.Mutex
	data map[string]string
}

func (r *rows) Commit(entry *quorate.Entry) error {
	key, value, _ := strings.Cut(string(entry.Data), " ")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.data[key] = value
	entry.Reply = []byte(key + " is " + value)
	return nil
}

func (r *rows) get(key string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.data[key]
}

func Example() {
	state := &rows{data: map[string]string{}}
	service, err := quorate.StartRaft(quorate.TCP("127.0.0.1:0"), quorate.Memory(), state)
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, command := range []string{"color red", "color green"} {
		reply, err := service.ProposeWait(ctx, &quorate.Entry{Data: []byte(command)})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(reply.Data))
	}
	if err := service.ReadBarrier(ctx, quorate.Linearizable); err != nil {
		log.Fatal(err)
	}
	fmt.Println(state.get("color"))
	// Output:
	// color is red
	// color is green
	// green
}

// A cluster begins with one node; others are added by address.
func ExampleService_AddNode() {
	start := func() *quorate.Service {
		service, err := quorate.StartRaft(quorate.TCP("127.0.0.1:0"), quorate.Memory(), &rows{data: map[string]string{}})
		if err != nil {
			log.Fatal(err)
		}
		return service
	}
	first, second := start(), start()
	defer first.Close()
	defer second.Close()
	if err := first.InitializeCluster(first.GetAddress()); err != nil {
		log.Fatal(err)
	}
	if err := first.AddNode(second.GetAddress()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(first.GetState(), len(first.GetNodeConfig().Current))
	// Output: Leader 2
}

// The page's way: propose, then wait until the change is applied here.
func ExampleService_GetAppliedTracker() {
	state := &rows{data: map[string]string{}}
	service, err := quorate.StartRaft(nil, quorate.Memory(), state)
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()
	index, err := service.Propose(&quorate.Entry{Data: []byte("color blue")})
	if err != nil {
		log.Fatal(err)
	}
	service.GetAppliedTracker().Wait(index)
	fmt.Println(state.get("color"))
	// Output: blue
}

// The class of an error says whether to try again, to look, or to give up.
func ExampleOutcomeOf() {
	service, err := quorate.StartRaft(nil, quorate.Memory(), &rows{data: map[string]string{}})
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()
	_, err = service.Propose(&quorate.Entry{Type: quorate.MembershipChange})
	fmt.Println(quorate.OutcomeOf(err), errors.Is(err, quorate.ErrInvalid))
	// Output: not done true
}

func ExampleChangeTracker() {
	tracker := quorate.CreateTracker()
	go tracker.Update(3)
	fmt.Println(tracker.Wait(3))
	fmt.Println(tracker.TimedWait(4, time.Millisecond))
	// Output:
	// 3
	// 3
}
