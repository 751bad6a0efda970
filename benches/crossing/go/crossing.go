// The crossing from Go: as many goroutines as there are entries in flight, each of which proposes and waits
// in turn.
//
// usage: crossing BATCH SECONDS PAYLOAD      prints one line of JSON, see run.py
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"quorate"
)

// count is the state machine: the reply to a change is how many there have been, in 8 bytes.
type count uint64

func (c *count) Commit(e *quorate.Entry) error {
	*c++
	e.Reply = binary.LittleEndian.AppendUint64(nil, uint64(*c))
	return nil
}

// propose proposes until it is told to stop, and says how often.
func propose(service *quorate.Service, payload []byte, stop *atomic.Bool) (entries int64) {
	entry := &quorate.Entry{Data: payload}
	for !stop.Load() {
		reply, err := service.ProposeWait(context.Background(), entry)
		if err != nil || len(reply.Data) != 8 {
			log.Fatalf("no reply: %v", err)
		}
		entries++
	}
	return entries
}

// runFor lets so many goroutines propose for a while, and says how often they did.
func runFor(service *quorate.Service, goroutines int, payload []byte, d time.Duration) int64 {
	var entries atomic.Int64
	var stop atomic.Bool
	var all sync.WaitGroup
	for range goroutines {
		all.Add(1)
		go func() {
			defer all.Done()
			entries.Add(propose(service, payload, &stop))
		}()
	}
	time.Sleep(d)
	stop.Store(true)
	all.Wait()
	return entries.Load()
}

func cpu() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func number(text string) float64 {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: crossing BATCH SECONDS PAYLOAD")
	}
	batch, seconds, payload := int(number(os.Args[1])), number(os.Args[2]), make([]byte, int(number(os.Args[3])))
	service, err := quorate.StartRaft(nil, quorate.Memory(), new(count))
	if err != nil {
		log.Fatal(err)
	}
	span := time.Duration(seconds * float64(time.Second))
	runFor(service, batch, payload, span/5)
	start, before := time.Now(), cpu()
	entries := runFor(service, batch, payload, span)
	wall, used := time.Since(start), cpu()-before
	fmt.Printf("{\"entries\": %d, \"wall_ns\": %d, \"cpu_ns\": %d}\n", entries, wall.Nanoseconds(), used)
	service.Close()
}
