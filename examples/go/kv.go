// A replicated key-value node.
//
//	kv DIR HOST:PORT first      starts a cluster of one
//	kv DIR HOST:PORT            starts a node that waits until another one adds it
//
// With --storage sqlite at the end the log is kept in DIR/log.db instead of the built-in store.
//
// Then, line by line on standard input, each answered by one line:
// add HOST:PORT | remove ID | set KEY VALUE | get KEY | hash | status
package main

import (
	"bufio"
	"context"
	"fmt"
	"hash/fnv"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"quorate"
)

const call = "usage: kv DIR HOST:PORT [first] [--storage sqlite]"

const usage = "add HOST:PORT | remove ID | set KEY VALUE | get KEY | hash | status"

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

// Hash gives the number of rows and one number for all of them, the same on every node.
func (kv *KV) Hash() string {
	kv.mu.RLock()
	defer kv.mu.RUnlock()
	hash := fnv.New64a()
	for _, key := range slices.Sorted(maps.Keys(kv.rows)) {
		fmt.Fprintf(hash, "%s %s\n", key, kv.rows[key])
	}
	return fmt.Sprintf("%d %016x", len(kv.rows), hash.Sum64())
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
	case "hash":
		if err := service.ReadBarrier(ctx, quorate.Linearizable); err != nil {
			return "", err
		}
		return kv.Hash(), nil
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

// storageOf reads the options at the end.
func storageOf(dir string, options []string) (quorate.Storage, error) {
	switch {
	case len(options) == 0:
		return quorate.WAL(dir), nil
	case slices.Equal(options, []string{"--storage", "sqlite"}):
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		return quorate.CustomStorage(dir, NewSQLiteStore(filepath.Join(dir, "log.db"))), nil
	}
	return nil, fmt.Errorf("unknown options %q: %s", options, call)
}

func serve(dir, listen string, options []string) error {
	first := len(options) > 0 && options[0] == "first"
	if first {
		options = options[1:]
	}
	storage, err := storageOf(dir, options)
	if err != nil {
		return err
	}
	kv := &KV{rows: map[string]string{}}
	service, err := quorate.StartRaft(quorate.TCP(listen), storage, kv)
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
		log.Fatal(call)
	}
	if err := serve(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		log.Fatal(err)
	}
}
