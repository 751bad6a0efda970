package quorate

// #cgo noescape quorate_go_submit
// #cgo nocallback quorate_go_submit
// #include "bridge.h"
// #include "hooks.h"
import "C"

import (
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

const (
	// smallEntry is what is worth copying to share a call; larger entries cross alone, without a copy.
	smallEntry = 4 << 10
	// keptBytes is how much memory a batch may keep for the next one.
	keptBytes = 1 << 20
)

// A submitter hands the requests of many goroutines to the engine in one call. Who comes first lets the
// others who are ready come too, and then submits for all: measured with 256 goroutines that takes half
// the processor time of a call each, because the engine too wakes once for all.
//
// Requests leave in the order in which they came.
type submitter struct {
	service *C.quorate_service
	poller  *poller

	mu   sync.Mutex
	next batch // what waits for the next call

	turn  sync.Mutex // held by whoever submits
	spare batch      // the memory of the last call
}

// A batch is requests with what they carry, one behind the other.
type batch struct {
	requests []C.quorate_go_request
	data     []byte
	tags     []byte
	tagLens  []uint32
}

// submit sees to it that a request gets its completion.
func (s *submitter) submit(request C.quorate_go_request, what change, burst int) {
	request._type, request.timestamp_ns = C.int32_t(what.kind), C.int64_t(what.timestamp)
	request.len, request.tags_len = C.size_t(len(what.data)), C.uint32_t(len(what.tagLens))
	if len(what.data)+len(what.tags) > smallEntry {
		s.turn.Lock()
		defer s.turn.Unlock()
		s.flush()
		s.send(&batch{[]C.quorate_go_request{request}, what.data, what.tags, what.tagLens})
		return
	}
	if !s.join(request, what) {
		return // the first one submits for this one too
	}
	s.gather(burst)
	s.turn.Lock()
	defer s.turn.Unlock()
	s.flush()
}

// gather lets others come too, as long as more of those who were woken together do.
func (s *submitter) gather(burst int) {
	for last := 0; last < burst; {
		runtime.Gosched()
		s.mu.Lock()
		now := len(s.next.requests)
		s.mu.Unlock()
		if now <= last {
			return
		}
		last = now
	}
}

// join adds a request to the next batch and says whether it is the first.
func (s *submitter) join(request C.quorate_go_request, what change) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next.requests = append(s.next.requests, request)
	s.next.data = append(s.next.data, what.data...)
	s.next.tags = append(s.next.tags, what.tags...)
	s.next.tagLens = append(s.next.tagLens, what.tagLens...)
	return len(s.next.requests) == 1
}

// flush submits what waits. The turn is held.
func (s *submitter) flush() {
	s.mu.Lock()
	b := s.next
	s.next = s.spare
	s.mu.Unlock()
	s.send(&b)
	if cap(b.data)+cap(b.tags) > keptBytes {
		b = batch{}
	}
	s.spare = batch{b.requests[:0], b.data[:0], b.tags[:0], b.tagLens[:0]}
}

// send submits a batch. Who is refused gets a completion that says so, and the others go on.
func (s *submitter) send(b *batch) {
	rest := *b
	for len(rest.requests) > 0 {
		done := rest.send(s.service, s.poller.queue)
		rest.skip(int(done.taken))
		if len(rest.requests) > 0 {
			s.poller.finish(uint64(rest.requests[0].token), refusal(done))
			rest.skip(1)
		}
	}
}

// send submits requests until one is refused.
func (b *batch) send(service *C.quorate_service, queue *C.quorate_queue) C.quorate_go_done {
	return C.quorate_go_submit(service, queue, unsafe.SliceData(b.requests), C.size_t(len(b.requests)),
		cBytes(b.data), cBytes(b.tags), (*C.uint32_t)(unsafe.SliceData(b.tagLens)))
}

// skip leaves out requests at the front.
func (b *batch) skip(n int) {
	for _, request := range b.requests[:n] {
		b.data = b.data[request.len:]
		for _, n := range b.tagLens[:request.tags_len] {
			b.tags = b.tags[n:]
		}
		b.tagLens = b.tagLens[request.tags_len:]
	}
	b.requests = b.requests[n:]
}

// refusal is why a request was not taken.
func refusal(done C.quorate_go_done) completion {
	err := takeError(done.status, done.error)
	c := completion{status: done.status, data: []byte(err.Message)}
	if err.Leader != nil {
		c.leader = err.Leader.NodeID
	}
	return c
}

// hooks is how many hooks run in this process. Only then can the caller be in one.
var hooks atomic.Int64

// inHook says whether the calling goroutine runs a hook.
func inHook() bool { return hooks.Load() > 0 && C.quorate_go_in_hook() != 0 }

func cBytes(b []byte) *C.uint8_t { return (*C.uint8_t)(unsafe.SliceData(b)) }
