package quorate_test

import (
	"maps"
	"slices"
	"sync"

	"quorate"
)

// A disk is what a crash leaves.
type disk struct {
	mu       sync.Mutex
	records  map[uint64][]byte
	metadata map[string][]byte
}

// A shelf is a store in memory: what was not synced is lost when it is closed. What do gives, which is told
// the name of each method, is the method's error; read changes what Read gives.
type shelf struct {
	disk    *disk
	records map[uint64][]byte
	opened  bool
	closed  int
	do      func(call string) error
	read    func(records [][]byte) [][]byte
	ends    func(first, last uint64) (uint64, uint64)
}

func newDisk() *disk { return &disk{metadata: map[string][]byte{}} }

func (d *disk) shelf() *shelf {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &shelf{disk: d, records: maps.Clone(d.records)}
}

// copy is what a crash would leave now.
func (d *disk) copy() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &disk{records: maps.Clone(d.records), metadata: maps.Clone(d.metadata)}
}

func (s *shelf) may(call string) error {
	if s.do == nil {
		return nil
	}
	return s.do(call)
}

func (s *shelf) Open() (first, last uint64, err error) {
	if s.records == nil {
		s.records = map[uint64][]byte{}
	}
	s.opened = true
	if len(s.records) > 0 {
		indexes := slices.Sorted(maps.Keys(s.records))
		first, last = indexes[0], indexes[len(indexes)-1]
	}
	if s.ends != nil {
		first, last = s.ends(first, last)
	}
	return first, last, s.may("Open")
}

func (s *shelf) Append(records []quorate.Record) error {
	for _, record := range records {
		s.records[record.Index] = record.Data
	}
	return s.may("Append")
}

func (s *shelf) Sync() error {
	if err := s.may("Sync"); err != nil {
		return err
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.records = maps.Clone(s.records)
	return nil
}

func (s *shelf) Read(first, last uint64, maxBytes int) ([][]byte, error) {
	var records [][]byte
	for size := 0; first <= last && (size < maxBytes || len(records) == 0); first++ {
		records = append(records, s.records[first])
		size += len(s.records[first])
	}
	if s.read != nil {
		records = s.read(records)
	}
	return records, s.may("Read")
}

func (s *shelf) TruncateSuffix(first uint64) error {
	maps.DeleteFunc(s.records, func(index uint64, _ []byte) bool { return index >= first })
	return s.may("TruncateSuffix")
}

func (s *shelf) TruncatePrefix(last uint64) error {
	maps.DeleteFunc(s.records, func(index uint64, _ []byte) bool { return index <= last })
	return s.may("TruncatePrefix")
}

func (s *shelf) GetMetadata(key string) ([]byte, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.metadata[key], s.may("GetMetadata")
}

func (s *shelf) SetMetadata(key string, value []byte) error {
	if err := s.may("SetMetadata"); err != nil {
		return err
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	s.disk.metadata[key] = value
	return nil
}

func (s *shelf) Close() error {
	s.closed++
	return s.may("Close")
}

// shelves makes stores for the kit; change may spoil each.
func shelves(change func(*shelf)) func(quorate.StoreHow) (quorate.Store, error) {
	var last *disk
	return func(how quorate.StoreHow) (quorate.Store, error) {
		switch how {
		case quorate.StoreNew:
			last = newDisk()
		case quorate.StoreCrashed:
			last = last.copy()
		}
		s := last.shelf()
		if change != nil {
			change(s)
		}
		return s, nil
	}
}
