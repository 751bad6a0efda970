// The node program of quorate in Go: a goroutine for each client, as one writes it.
// usage: node DIR HOST:PORT NUMBER
package main

import (
	"context"
	"encoding/binary"
	"log"
	"os"
	"time"

	"load"

	"quorate"
)

const formTimeout = 30 * time.Second

// A counter is the state: how many changes were applied, which is the reply as well.
type counter struct{ applied uint64 }

// Commit applies one change.
func (c *counter) Commit(entry *quorate.Entry) error {
	c.applied++
	entry.Reply = binary.NativeEndian.AppendUint64(nil, c.applied)
	return nil
}

type node struct{ service *quorate.Service }

// Form begins a cluster of one and adds the others.
func (n node) Form(addresses []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), formTimeout)
	defer cancel()
	if err := n.service.InitializeClusterContext(ctx, addresses[0]); err != nil {
		return err
	}
	for _, address := range addresses[1:] {
		if err := n.service.AddNodeContext(ctx, address); err != nil {
			return err
		}
	}
	return nil
}

// Propose waits until the change is applied here.
func (n node) Propose(change []byte) error {
	_, err := n.service.ProposeWait(context.Background(), &quorate.Entry{Data: change})
	return err
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: node DIR HOST:PORT [NUMBER]")
	}
	service, err := quorate.StartRaft(quorate.TCP(os.Args[2]), quorate.WAL(os.Args[1]), new(counter))
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()
	load.Serve(node{service})
}
