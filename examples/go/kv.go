// A replicated key-value node.
//
//	kv DIR HOST:PORT first      starts a cluster of one
//	kv DIR HOST:PORT            starts a node that waits until another one adds it
//
// Then, line by line on standard input, each answered by one line:
// add HOST:PORT | remove ID | set KEY VALUE | get KEY | status
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"quorate"
)

const usage = "add HOST:PORT | remove ID | set KEY VALUE | get KEY | status"

// KV is the state machine.
type KV struct {
	mu   sync.RWMutex
	rows map[string]string
}

// Commit applies the text "KEY VALUE".
func (kv *KV) Commit(entry *quorate.Entry) error {
	key, value, _ := strings.Cut(string(entry.Data), " ")
	kv.mu.Lock()
	defer kv.mu.Unlock()
	kv.rows[key] = value
	entry.Reply = []byte("ok")
	return nil
}

// Get looks at this node's own rows.
func (kv *KV) Get(key string) string {
	kv.mu.RLock()
	defer kv.mu.RUnlock()
	if value, ok := kv.rows[key]; ok {
		return value
	}
	return "(none)"
}

func run(service *quorate.Service, kv *KV, line string) (string, error) {
	verb, rest, _ := strings.Cut(line, " ")
	limit := 5 * time.Second
	if verb == "add" || verb == "remove" {
		limit = time.Minute
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	switch verb {
	case "add":
		return "ok", service.AddNodeContext(ctx, rest)
	case "remove":
		return "ok", service.RemoveNodeContext(ctx, quorate.ParseNodeID(rest))
	case "set":
		reply, err := service.ProposeWait(ctx, &quorate.Entry{Data: []byte(rest)})
		if err != nil {
			return "", err
		}
		return string(reply.Data), nil
	case "get": // after the barrier this node has whatever was acknowledged anywhere
		if err := service.ReadBarrier(ctx, quorate.Linearizable); err != nil {
			return "", err
		}
		return kv.Get(rest), nil
	case "status":
		return fmt.Sprintf("%v id=%v leader=%v applied=%d", service.GetState(), service.MyID(), service.GetLeaderID(), service.GetLastApplied()), nil
	}
	return usage, nil
}

func answer(service *quorate.Service, kv *KV, line string) string {
	text, err := run(service, kv, line)
	switch {
	case err == nil:
		return text
	case quorate.OutcomeOf(err) == quorate.OutcomeUnknown:
		return fmt.Sprintf("error: %v (it may be done)", err)
	}
	return fmt.Sprintf("error: %v", err)
}

func serve(dir, listen string, first bool) error {
	kv := &KV{rows: map[string]string{}}
	service, err := quorate.StartRaft(quorate.TCP(listen), quorate.WAL(dir), kv)
	if err != nil {
		return err
	}
	defer service.Close()
	if first && service.GetState() == quorate.Standalone {
		if err := service.InitializeCluster(listen); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(answer(service, kv, lines.Text()))
	}
	return lines.Err()
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: kv DIR HOST:PORT [first]")
	}
	if err := serve(os.Args[1], os.Args[2], len(os.Args) > 3); err != nil {
		log.Fatal(err)
	}
}
