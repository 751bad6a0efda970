package quorate

// #include "bridge.h"
import "C"

import (
	"bytes"
	"math"
	"time"
	"unsafe"
)

// An Entry is a change. Whoever proposes sets Type, Timestamp, Tags and Data; the rest is ignored then.
type Entry struct {
	Index uint64
	// Type is 0 or more: the application's own. The library uses the negative ones.
	Type int32
	Term uint64
	// Timestamp is for information: order is by index. The zero time is none.
	Timestamp time.Time
	Tags      []string
	Data      []byte
	// Reply is set by the state machine and goes to whoever proposed the entry on this node. It is read
	// when Commit or CommitBatch returns.
	Reply []byte
}

// A Position is where a change stands in the log.
type Position struct {
	Index uint64
	Term  uint64
}

// A Reply is what [Service.ProposeWait] gives: where the change stands, and the state machine's reply,
// which is nil when it gave none.
type Reply struct {
	Position
	Data []byte
}

// A change is an entry as it crosses to C, without a pointer inside another.
type change struct {
	data      []byte
	tags      []byte // one behind the other
	tagLens   []uint32
	timestamp int64
	kind      int32
}

func (e *Entry) change() (change, error) {
	if e == nil {
		return change{}, errorf(ErrInvalid, "the entry is nil")
	}
	timestamp, ok := nanoseconds(e.Timestamp)
	if !ok {
		return change{}, errorf(ErrInvalid, "the timestamp %v can't be told in nanoseconds since 1970: it must lie between the years 1678 and 2262", e.Timestamp)
	}
	c := change{data: e.Data, timestamp: timestamp, kind: e.Type}
	if len(e.Tags) > 0 {
		c.tagLens = make([]uint32, len(e.Tags))
		for i, tag := range e.Tags {
			if len(tag) > math.MaxUint16 {
				return change{}, errorf(ErrTooLarge, "tag %d has %d bytes; the tags of an entry have 65535 at most", i, len(tag))
			}
			c.tagLens[i] = uint32(len(tag))
			c.tags = append(c.tags, tag...)
		}
	}
	return c, nil
}

// nanoseconds since 1970, 0 for the zero time; false for what they can't tell.
func nanoseconds(t time.Time) (int64, bool) {
	if t.IsZero() {
		return 0, true
	}
	ns := t.UnixNano()
	return ns, time.Unix(0, ns).Equal(t)
}

func timeOf(ns C.int64_t) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(ns))
}

// goEntries copies a batch, because a state machine may keep data and tags.
func goEntries(rows []C.quorate_entry) []Entry {
	entries := make([]Entry, len(rows))
	for i := range rows {
		row, entry := &rows[i], &entries[i]
		entry.Index = uint64(row.index)
		entry.Type = int32(row._type)
		entry.Term = uint64(row.term)
		entry.Timestamp = timeOf(row.timestamp_ns)
		entry.Data = goBytes(row.data)
		if row.tags_len > 0 {
			entry.Tags = goTexts(unsafe.Slice(row.tags, row.tags_len))
		}
	}
	return entries
}

// goBytes copies; NULL gives nil.
func goBytes(b C.quorate_bytes) []byte {
	return bytes.Clone(borrowed(b))
}

// borrowed is the bytes themselves, which last only as long as C says.
func borrowed(b C.quorate_bytes) []byte {
	return unsafe.Slice((*byte)(b.data), b.len)
}

func goTexts(texts []C.quorate_bytes) []string {
	list := make([]string, len(texts))
	for i, text := range texts {
		list[i] = string(borrowed(text))
	}
	return list
}
