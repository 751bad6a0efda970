package quorate

import "fmt"

// A Record is one record of the log. The bytes are the library's, with their own checksums; a store keeps
// them as they are.
type Record struct {
	Index uint64
	Data  []byte
}

// A Store is a store of the program's own for log and metadata, given to StartRaft by [CustomStorage].
//
// What it must keep: between two calls of Sync a crash keeps a prefix of the calls of Append and the
// truncations, in order, at least up to the last Sync that returned. SetMetadata is atomic, durable on
// return, and outside that order: a newer term or vote without the log is safe, the reverse is not.
// [CheckStore] tries all of that.
//
// The methods run on one thread of the engine, one at a time, and may block: that delays entries and
// nothing else. An error or a panic is terminal, because what reached the disk is unknown: the service
// stops, and Err gives the error. When Open fails, StartRaft does, with the [Status] that the error wraps
// if that is ErrLocked, ErrCorrupt, ErrIdentity, ErrVersion or ErrUnsupported, else with ErrIO. Records
// that come back other than they were given are noticed and stop the service likewise.
//
// Whatever waits for the engine returns [ErrInCallback] in these methods.
type Store interface {
	// Open is called first. It gives the lowest and the highest index, both 0 when the log is empty.
	Open() (first, last uint64, err error)
	// Append adds records, at least one, without a gap after the last one; to an empty log at any index.
	// It may buffer. The records are copies and the store's to keep; those of one call share their
	// memory.
	Append(records []Record) error
	// Sync returns when everything before it would survive a power cut.
	Sync() error
	// Read gives the records from first up to last, both included; they exist, synced or not. It may stop
	// early once it has maxBytes, but not before the first record. What it gives is copied before the
	// next call.
	Read(first, last uint64, maxBytes int) ([][]byte, error)
	// TruncateSuffix removes first and everything after it; durable by the next Sync.
	TruncateSuffix(first uint64) error
	// TruncatePrefix removes last, which may lie beyond the end, and everything before it; likewise.
	TruncatePrefix(last uint64) error
	// GetMetadata gives nil when there is no such key, and an empty slice for an empty value.
	GetMetadata(key string) ([]byte, error)
	// SetMetadata replaces one value, whole or not at all; durable on return. The value is a copy and the
	// store's to keep.
	SetMetadata(key string, value []byte) error
	// Close is called last and exactly once, also when StartRaft fails, and maybe without Open: then it may
	// run on the goroutine that called StartRaft. What it returns is what [Service.Err] gives after Close, if
	// nothing failed before.
	Close() error
}

// CustomStorage keeps log and metadata in store, which belongs to the one service that is started with it
// until its method Close was called. dir is for what this version does not have yet, snapshots; it may be
// "".
func CustomStorage(dir string, store Store) Storage { return customStorage{dir, store} }

type customStorage struct {
	dir   string
	store Store
}

func (c customStorage) storage(o *options) error {
	if c.store == nil {
		return errorf(ErrInvalid, "the store is nil: CustomStorage needs one, or use WAL(dir)")
	}
	if c.dir != "" {
		o.settings = append(o.settings, setting{"data_dir", c.dir})
	}
	o.store = c.store
	return nil
}

// A keeper is a store as its hooks call it: on one thread, one call at a time.
type keeper struct {
	cause
	store Store
	slots tray
	// closed hears once, and last, what Close gave.
	closed func(error)
}

// call runs one method.
func (k *keeper) call(name string, method func() error) (err error) {
	defer k.recovered(&err, name)
	return method()
}

// read fills the tray with records.
func (k *keeper) read(first, last uint64, maxBytes int) error {
	records, err := k.store.Read(first, last, maxBytes)
	if err != nil {
		return err
	}
	if wanted := last - first + 1; uint64(len(records)) > wanted {
		return fmt.Errorf("it gave %d records, and %d were asked for", len(records), wanted)
	}
	k.slots.clear()
	for _, record := range records {
		k.slots.add(record)
	}
	return nil
}

// close ends the store's life.
func (k *keeper) close() {
	err := k.call("Close", k.store.Close)
	if err != nil {
		err = &Error{Status: ErrIO, Message: "Close of the store failed: " + textOf(err), Cause: err}
	}
	k.closed(err)
}
