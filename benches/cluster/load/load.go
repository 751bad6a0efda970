// Package load is what the node programs in Go share: the lines that they are told, the load, and the
// spread of latencies. benches/cluster/node.h says what the lines are; this answers alike.
package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/bits"
	"os"
	"strings"
	"sync"
	"time"
)

// A Node is a member of a cluster.
type Node interface {
	// Form makes a cluster of the nodes at these addresses, itself first, and returns when it leads and
	// all follow.
	Form(addresses []string) error
	// Propose returns when the change is applied here and its reply is there.
	Propose(change []byte) error
}

// classes is how many classes there are for each power of two: 0.8 %.
const classes = 128

// latencies counts how many took how long.
type latencies struct {
	ops    uint64
	counts [classes * 58]uint64
}

func (l *latencies) add(d time.Duration) {
	ns, shift := uint64(d), 0
	if ns >= 2*classes {
		shift = bits.Len64(ns) - 8
	}
	l.counts[shift*classes+int(ns>>shift)]++
	l.ops++
}

func (l *latencies) merge(other *latencies) {
	l.ops += other.ops
	for i, n := range other.counts {
		l.counts[i] += n
	}
}

// at is the time that a share of all did not exceed, in microseconds.
func (l *latencies) at(share float64) float64 {
	left, i := uint64(float64(l.ops)*share), 0
	for i+1 < len(l.counts) && l.counts[i] <= left {
		left -= l.counts[i]
		i++
	}
	shift := max(i/classes-1, 0)
	return (float64(i-shift*classes) + 0.5) * float64(uint64(1)<<shift) / 1000
}

// client proposes one change after the other until the end.
func client(node Node, change []byte, end time.Time) (*latencies, error) {
	spread := new(latencies)
	for start := time.Now(); start.Before(end); {
		if err := node.Propose(change); err != nil {
			return spread, err
		}
		now := time.Now()
		spread.add(now.Sub(start))
		start = now
	}
	return spread, nil
}

// load is as many goroutines as clients.
func load(node Node, seconds float64, clients, payload int) (string, error) {
	change := []byte(strings.Repeat("x", payload))
	begin := time.Now()
	end := begin.Add(time.Duration(seconds * 1e9))
	spreads, failures := make([]*latencies, clients), make([]error, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Add(1)
		go func() {
			defer all.Done()
			spreads[i], failures[i] = client(node, change, end)
		}()
	}
	all.Wait()
	took := time.Since(begin).Seconds()
	sum := new(latencies)
	for i, spread := range spreads {
		if failures[i] != nil {
			return "", failures[i]
		}
		sum.merge(spread)
	}
	line, err := json.Marshal(map[string]any{
		"ops": sum.ops, "seconds": took, "p50_us": sum.at(0.5), "p99_us": sum.at(0.99),
	})
	return string(line), err
}

func run(node Node, line string) (string, error) {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "cluster":
		return verb, node.Form(strings.Fields(rest))
	case "load":
		var seconds float64
		var clients, payload int
		if _, err := fmt.Sscan(rest, &seconds, &clients, &payload); err != nil {
			return "", err
		}
		return load(node, seconds, clients, payload)
	}
	return "", fmt.Errorf("unknown: %s", verb)
}

// Serve says that the node is ready and answers lines until there are no more, or one fails.
func Serve(node Node) {
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan() && lines.Text() != "quit"; {
		answer, err := run(node, lines.Text())
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(answer)
	}
}
