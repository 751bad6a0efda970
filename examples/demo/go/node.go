// A node of the demo, in Go. usage: node-go DIR HOST:PORT
//
// Lines in: init ADDRESS | add ADDRESS | remove ID | status | load FILE PART OF | hash | dump FILE. Each is
// answered by a line that begins with the same word; load goes on beside the others and prints
// "progress N" and at its end "loaded N SECONDS LONGEST-PAUSE".
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"quorate"
)

const window = 256

// KV is the state machine: the command is KEY, a tab, VALUE.
type KV struct {
	mu   sync.Mutex
	rows map[string]string
}

// Commit applies one record.
func (kv *KV) Commit(entry *quorate.Entry) error {
	key, value, _ := strings.Cut(string(entry.Data), "\t")
	kv.mu.Lock()
	defer kv.mu.Unlock()
	kv.rows[key] = value
	return nil
}

// hash is the sum of the hashes of the rows: the same in every order.
func (kv *KV) hash() string {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	var sum uint64
	for key, value := range kv.rows {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s\t%s\n", key, value)
		sum += h.Sum64()
	}
	return fmt.Sprintf("%016x %d", sum, len(kv.rows))
}

func (kv *KV) dump(path string) error {
	kv.mu.Lock()
	defer kv.mu.Unlock()
	var text bytes.Buffer
	for key, value := range kv.rows {
		fmt.Fprintf(&text, "%s\t%s\n", key, value)
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}

// A loader proposes every of-th record from part on, from many goroutines; what was acknowledged before
// a crash is known from the file "acked" and not proposed again.
type loader struct {
	service *quorate.Service
	mu      sync.Mutex
	acked   *os.File
	before  int
	done    int
	last    time.Time
	longest time.Duration
}

func (l *loader) propose(record []byte) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, err := l.service.ProposeWait(ctx, &quorate.Entry{Data: record})
		cancel()
		if err == nil {
			return
		} // Twice does no harm, so whatever became of it: once more.
	}
}

func (l *loader) acknowledge(number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.acked, number)
	now := time.Now()
	l.longest, l.last = max(l.longest, now.Sub(l.last)), now
	if l.done++; l.done%500 == 0 {
		fmt.Println("progress", l.before+l.done)
	}
}

func load(service *quorate.Service, folder, arguments string) error {
	var file string
	var part, of int
	if _, err := fmt.Sscan(arguments, &file, &part, &of); err != nil {
		return err
	}
	path := filepath.Join(folder, "acked")
	before, _ := os.ReadFile(path)
	known := map[string]bool{}
	for _, number := range strings.Fields(string(before)) {
		known[number] = true
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	acked, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer acked.Close()
	records := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	started := time.Now()
	l := &loader{service: service, acked: acked, before: len(known), last: started}
	numbers := make(chan int)
	var all sync.WaitGroup
	for range window {
		all.Add(1)
		go func() {
			defer all.Done()
			for number := range numbers {
				l.propose(records[number])
				l.acknowledge(number)
			}
		}()
	}
	for number := part; number < len(records); number += of {
		if !known[fmt.Sprint(number)] {
			numbers <- number
		}
	}
	close(numbers)
	all.Wait()
	fmt.Println("progress", l.before+l.done)
	fmt.Println("loaded", l.done, time.Since(started).Seconds(), l.longest.Seconds())
	return nil
}

func run(service *quorate.Service, kv *KV, verb, rest string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	switch verb {
	case "init":
		return verb, service.InitializeClusterContext(ctx, rest)
	case "add":
		return verb, service.AddNodeContext(ctx, rest)
	case "remove":
		return verb, service.RemoveNodeContext(ctx, quorate.ParseNodeID(rest))
	case "status":
		return fmt.Sprintf("status state=%v id=%v applied=%d", service.GetState(), service.MyID(), service.GetLastApplied()), nil
	case "hash":
		return "hash " + kv.hash(), nil
	case "dump":
		return verb, kv.dump(rest)
	}
	return verb, nil
}

func serve(folder, address string) error {
	kv := &KV{rows: map[string]string{}}
	service, err := quorate.StartRaft(quorate.TCP(address), quorate.WAL(folder), kv)
	if err != nil {
		return err
	}
	defer service.Close()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		if verb == "load" {
			go func() {
				if err := load(service, folder, rest); err != nil {
					fmt.Println("error load:", err)
				}
			}()
			continue
		}
		answer, err := run(service, kv, verb, rest)
		if err != nil {
			answer = fmt.Sprintf("error %s: %v", verb, err)
		}
		fmt.Println(answer)
	}
	return nil
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: node-go DIR HOST:PORT")
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}
