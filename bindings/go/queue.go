package quorate

// #cgo noescape quorate_queue_poll
// #cgo nocallback quorate_queue_poll
// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// batchSize is how many completions are taken at a time.
const batchSize = 256

// noToken is the token of nobody.
const noToken = 1<<64 - 1

// A poller drains one completion queue in one goroutine and wakes whoever waits for what it finds. The
// goroutine sleeps in Go's own network poller, on the descriptor of the queue, so it holds no thread.
//
// Each waiter has a slot; its token is the number of the slot and a generation, so that a completion that
// nobody waits for any more finds nobody.
type poller struct {
	queue *C.quorate_queue
	file  *os.File
	conn  syscall.RawConn
	batch *C.quorate_completion
	woken []*waiter

	stopping atomic.Bool
	done     chan struct{}

	mu     sync.Mutex
	slots  []slot
	vacant []uint32
	burst  int // how many were woken together last
	ended  bool
}

type slot struct {
	waiter     *waiter
	generation uint32
}

// A waiter is a goroutine that waits for one completion.
type waiter struct {
	token uint64
	done  chan struct{} // has room for the one send
	completion
}

// A completion is what the engine tells about a request.
type completion struct {
	status C.quorate_status
	index  uint64
	term   uint64
	leader NodeID
	data   []byte
}

var waiters = sync.Pool{New: func() any { return &waiter{done: make(chan struct{}, 1)} }}

// newPoller makes a queue and starts to drain it.
func newPoller() (*poller, error) {
	queue := C.quorate_queue_new()
	if queue == nil {
		return nil, errorf(ErrIO, "no file descriptor is left for the completion queue")
	}
	file, conn, err := pollable(int(C.quorate_queue_fd(queue)))
	if err != nil {
		C.quorate_queue_free(queue)
		return nil, &Error{Status: ErrIO, Message: "the completion queue: " + err.Error(), Cause: err}
	}
	batch := C.malloc(batchSize * C.sizeof_quorate_completion)
	p := &poller{
		queue: queue,
		file:  file,
		conn:  conn,
		batch: (*C.quorate_completion)(batch),
		done:  make(chan struct{}),
	}
	go p.run()
	return p, nil
}

// pollable gives Go a descriptor of its own for what fd stands for, because it closes what it is given.
func pollable(fd int) (*os.File, syscall.RawConn, error) {
	own, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return nil, nil, os.NewSyscallError("fcntl", errno)
	}
	file := os.NewFile(own, "quorate_queue")
	conn, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, conn, nil
}

func (p *poller) run() {
	defer close(p.done)
	// Whatever arrives between the last look and the wait makes the descriptor readable anew, and Read
	// calls again.
	err := p.conn.Read(func(uintptr) bool {
		p.drain()
		if !p.stopping.Load() {
			return false
		}
		p.drain() // what arrived before it was stopped, and after the last look
		return true
	})
	p.end(err)
}

// drain delivers until the queue is empty.
func (p *poller) drain() {
	for {
		n := C.quorate_queue_poll(p.queue, p.batch, batchSize, 0)
		if n > 0 {
			p.deliver(unsafe.Slice(p.batch, n))
		}
		if n < batchSize {
			return
		}
	}
}

// deliver wakes those who wait for a batch. They are looked up under one lock, and woken after it.
func (p *poller) deliver(batch []C.quorate_completion) {
	p.woken = p.woken[:0]
	p.mu.Lock()
	p.burst = len(batch)
	for i := range batch {
		p.woken = append(p.woken, p.remove(uint64(batch[i].token)))
	}
	p.mu.Unlock()
	for i, w := range p.woken {
		if w != nil {
			row := &batch[i]
			w.completion = completion{
				status: row.status,
				index:  uint64(row.index),
				term:   uint64(row.term),
				leader: NodeID(row.node_id),
				data:   goBytes(row.data),
			}
			w.done <- struct{}{}
		}
	}
	clear(p.woken)
}

// end wakes whoever is left: with the queue gone nothing comes any more. The engine completes whatever
// it took before it stops, so this is the way of tracker waits, and of those who came too late.
func (p *poller) end(err error) {
	p.mu.Lock()
	p.ended = true
	slots := p.slots
	p.slots = nil
	p.mu.Unlock()
	text := "the service was closed while the request was under way: it may be done"
	if err != nil {
		text = "the completion queue can't be read: " + err.Error()
	}
	for _, s := range slots {
		if s.waiter != nil {
			s.waiter.completion = completion{status: C.QUORATE_ERR_INTERRUPTED, data: []byte(text)}
			s.waiter.done <- struct{}{}
		}
	}
}

// stop ends the goroutine, after it has delivered what has arrived, and frees the queue.
func (p *poller) stop() {
	p.stopping.Store(true)
	C.quorate_queue_wake(p.queue)
	<-p.done
	p.file.Close()
	C.quorate_queue_free(p.queue)
	C.free(unsafe.Pointer(p.batch))
}

// enter gives a place to somebody who will wait, nil when the poller has ended, and says how many were
// woken together last: they are likely to come back together.
func (p *poller) enter() (*waiter, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil, 0
	}
	if len(p.vacant) == 0 {
		p.vacant = append(p.vacant, uint32(len(p.slots)))
		p.slots = append(p.slots, slot{})
	}
	i := p.vacant[len(p.vacant)-1]
	p.vacant = p.vacant[:len(p.vacant)-1]
	w := waiters.Get().(*waiter)
	w.token = uint64(p.slots[i].generation)<<32 | uint64(i)
	p.slots[i].waiter = w
	return w, p.burst
}

// finish completes a request that the engine did not take.
func (p *poller) finish(token uint64, c completion) {
	p.mu.Lock()
	w := p.remove(token)
	p.mu.Unlock()
	if w != nil {
		w.completion = c
		w.done <- struct{}{}
	}
}

// remove takes out the waiter with this token, if it is still there. The lock is held.
func (p *poller) remove(token uint64) *waiter {
	i := uint32(token)
	if uint64(i) >= uint64(len(p.slots)) || p.slots[i].generation != uint32(token>>32) {
		return nil
	}
	s := &p.slots[i]
	w := s.waiter
	s.waiter = nil
	s.generation++
	p.vacant = append(p.vacant, i)
	return w
}

// leave gives up: true when nothing has come and nothing will. Otherwise something has, or is about to.
func (p *poller) leave(w *waiter) bool {
	p.mu.Lock()
	left := p.remove(w.token) != nil
	p.mu.Unlock()
	if left {
		waiters.Put(w)
	}
	return left
}

// abandon gives up a place for which nothing was asked.
func (p *poller) abandon(w *waiter) {
	if !p.leave(w) {
		<-w.done // the poller ended meanwhile
		w.take()
	}
}

// wait gives what has come; cancelled, if not nil, ends the wait before that and gives false.
func (p *poller) wait(w *waiter, cancelled <-chan struct{}) (completion, bool) {
	if cancelled == nil {
		<-w.done
		return w.take(), true
	}
	select {
	case <-w.done:
	case <-cancelled:
		if p.leave(w) {
			return completion{}, false
		}
		<-w.done
	}
	return w.take(), true
}

// take gives the completion and lets the waiter be used again.
func (w *waiter) take() completion {
	c := w.completion
	w.completion = completion{}
	waiters.Put(w)
	return c
}
