package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// asNode is set in the processes of a test: they are nodes.
const asNode = "KV_TEST_IS_NODE"

func TestMain(m *testing.M) {
	if os.Getenv(asNode) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A process is a node that can be killed and started again with its folder and address.
type process struct {
	t       *testing.T
	folder  string
	address string

	mu      sync.Mutex // one line at a time
	command *exec.Cmd
	lines   io.WriteCloser
	answers *bufio.Scanner
}

func newProcess(t *testing.T, first ...string) *process {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := &process{t: t, folder: t.TempDir(), address: listener.Addr().String()}
	listener.Close()
	p.start(first...)
	t.Cleanup(func() { p.kill() })
	return p
}

func (p *process) start(first ...string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.command = exec.Command(os.Args[0], append([]string{p.folder, p.address}, append(first, "--storage", "sqlite")...)...)
	p.command.Env = append(os.Environ(), asNode+"=1")
	p.command.Stderr = os.Stderr
	lines, err := p.command.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	answers, err := p.command.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.lines, p.answers = lines, bufio.NewScanner(answers)
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill is kill -9.
func (p *process) kill() {
	p.command.Process.Kill()
	p.mu.Lock() // whoever waits for an answer has none now
	defer p.mu.Unlock()
	p.command.Wait()
}

// tell gives the answer to a line, "" when there is none because the process was killed.
func (p *process) tell(line string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.lines, line)
	if !p.answers.Scan() {
		return ""
	}
	return p.answers.Text()
}

// A score is how many changes were acknowledged.
type score struct {
	mu    sync.Mutex
	acked int
	more  chan struct{} // closed at the next one
}

func (s *score) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked++
	close(s.more)
	s.more = make(chan struct{})
}

// wait returns when n more changes were acknowledged.
func (s *score) wait(ctx context.Context, n int) error {
	for wanted := -1; ; {
		s.mu.Lock()
		acked, more := s.acked, s.more
		s.mu.Unlock()
		if wanted < 0 {
			wanted = acked + n
		}
		if acked >= wanted {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d changes were acknowledged", acked, wanted)
		}
	}
}

// write sets its own keys through one node, each until that is acknowledged, and notes them.
func write(ctx, stop context.Context, p *process, name string, s *score) map[string]string {
	rows := map[string]string{}
	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()
	for i := 0; stop.Err() == nil; i++ {
		key, value := fmt.Sprint(name, i), fmt.Sprint("value of ", i)
		for p.tell("set "+key+" "+value) != "ok" {
			select {
			case <-retry.C:
			case <-ctx.Done():
				return rows
			}
		}
		rows[key] = value
		s.count()
	}
	return rows
}

func state(p *process) string {
	word, _, _ := strings.Cut(p.tell("status"), " ")
	return word
}

func TestNothingAcknowledgedIsLostWhenNodesAreKilled(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	nodes := []*process{newProcess(t, "first"), newProcess(t), newProcess(t)}
	for _, p := range nodes[1:] {
		p.tell("status") // it listens
		if answer := nodes[0].tell("add " + p.address); answer != "ok" {
			t.Fatal(answer)
		}
	}
	stop, finish := context.WithCancel(ctx)
	defer finish()
	s := &score{more: make(chan struct{})}
	wanted := KV{rows: map[string]string{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i, p := range nodes {
		all.Add(1)
		go func() {
			defer all.Done()
			rows := write(ctx, stop, p, fmt.Sprint("writer", i, "-"), s)
			mu.Lock()
			defer mu.Unlock()
			for key, value := range rows {
				wanted.rows[key] = value
			}
		}()
	}
	for _, victim := range []string{"Leader", "Follower", "Leader", "Follower"} {
		wait(t, ctx, s)
		p := find(t, ctx, nodes, victim)
		p.kill()
		wait(t, ctx, s) // the others go on
		p.start()
	}
	wait(t, ctx, s)
	finish()
	all.Wait()
	if len(wanted.rows) != s.acked {
		t.Errorf("%d changes were acknowledged, %d of them noted", s.acked, len(wanted.rows))
	}
	for i, p := range nodes {
		hash := p.tell("hash")
		for ; strings.HasPrefix(hash, "error") && ctx.Err() == nil; hash = p.tell("hash") {
		}
		if hash != wanted.Hash() {
			t.Errorf("node %d has %s, and %s was acknowledged", i, hash, wanted.Hash())
		}
	}
}

func wait(t *testing.T, ctx context.Context, s *score) {
	t.Helper()
	if err := s.wait(ctx, 40); err != nil {
		t.Fatal(err)
	}
}

// find waits until some node has that state.
func find(t *testing.T, ctx context.Context, nodes []*process, wanted string) *process {
	t.Helper()
	for ctx.Err() == nil {
		for _, p := range nodes {
			if state(p) == wanted {
				return p
			}
		}
	}
	t.Fatal("never: a", wanted)
	return nil
}
