// The node program of hashicorp/raft with its write-ahead log, raft-wal, which also keeps term and vote, and
// its TCP transport. usage: node DIR HOST:PORT NUMBER
package main

import (
	"errors"
	"io"
	"log"
	"os"
	"time"

	"load"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

const (
	timeout   = 30 * time.Second
	never     = 24 * time.Hour
	logCache  = 512 // what HashiCorp's own products put before the store
	batch     = 1024
	poolSize  = 3
	threshold = 1 << 62
)

// A counter is the state: how many changes were applied, which is the reply as well.
type counter struct{ applied uint64 }

// Apply applies one change.
func (c *counter) Apply(*raft.Log) any { c.applied++; return c.applied }

// ApplyBatch applies many.
func (c *counter) ApplyBatch(logs []*raft.Log) []any {
	replies := make([]any, len(logs))
	for i := range logs {
		replies[i] = c.Apply(logs[i])
	}
	return replies
}

// Snapshot is never asked for.
func (c *counter) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("snapshots are off") }

// Restore is never asked for.
func (c *counter) Restore(io.ReadCloser) error { return errors.New("snapshots are off") }

type node struct {
	raft  *raft.Raft
	leads chan bool
}

// Form gives the nodes their configuration and waits for the election, which this node wins because the
// others do not stand in any configuration yet.
func (n node) Form(addresses []string) error {
	var servers []raft.Server
	for _, address := range addresses {
		servers = append(servers, raft.Server{ID: raft.ServerID(address), Address: raft.ServerAddress(address)})
	}
	if err := n.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		return err
	}
	select {
	case <-n.leads:
		return n.raft.Barrier(timeout).Error()
	case <-time.After(timeout):
		return errors.New("there is no leader")
	}
}

// Propose waits until the change is applied here.
func (n node) Propose(change []byte) error { return n.raft.Apply(change, timeout).Error() }

func configure(address string, leads chan bool) *raft.Config {
	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(address)
	config.NotifyCh = leads
	config.BatchApplyCh = true
	config.MaxAppendEntries = batch
	config.SnapshotInterval = never
	config.SnapshotThreshold = threshold
	config.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr})
	return config
}

func start(dir, address string) (node, error) {
	leads := make(chan bool, 16)
	config := configure(address, leads)
	store, err := wal.Open(dir, wal.WithLogger(config.Logger))
	if err != nil {
		return node{}, err
	}
	cache, err := raft.NewLogCache(logCache, store)
	if err != nil {
		return node{}, err
	}
	transport, err := raft.NewTCPTransportWithLogger(address, nil, poolSize, timeout, config.Logger)
	if err != nil {
		return node{}, err
	}
	r, err := raft.NewRaft(config, new(counter), cache, store, raft.NewDiscardSnapshotStore(), transport)
	return node{r, leads}, err
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: node DIR HOST:PORT [NUMBER]")
	}
	n, err := start(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	load.Serve(n)
}
