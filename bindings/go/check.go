package quorate

// #include <stdlib.h>
// #include "hooks.h"
import "C"

import (
	"errors"
	"runtime/cgo"
	"unsafe"
)

// StoreHow is what a maker of stores is asked for.
type StoreHow int32

const (
	// StoreNew: an empty store.
	StoreNew StoreHow = C.QUORATE_STORAGE_NEW
	// StoreAgain: the store made last, which was closed, on what it left behind.
	StoreAgain StoreHow = C.QUORATE_STORAGE_AGAIN
	// StoreCrashed: what a crash would leave now of the store made last, which is still open and in the
	// middle of its work: one on a copy of its files, for instance, made now. A store that has no way to
	// do that returns [errors.ErrUnsupported], and the report says what was skipped.
	StoreCrashed StoreHow = C.QUORATE_STORAGE_CRASHED
)

var howNames = []string{"new", "again", "crashed"}

// String gives a word, such as "again".
func (h StoreHow) String() string { return nameOf("StoreHow", howNames, int32(h)) }

// CheckStore runs the conformance kit that every built-in store passes on the stores that newStore makes,
// on the calling thread; crashes between any two calls are part of it. The report has a line for each
// rule. The error names the first rule that is broken, or is that of a store's method Close.
func CheckStore(newStore func(how StoreHow) (Store, error)) (report string, err error) {
	if newStore == nil {
		return "", errorf(ErrInvalid, "the maker of stores is nil: it makes the stores to be checked")
	}
	m := &maker{make: newStore}
	handle := cgo.NewHandle(m)
	defer handle.Delete()
	var text *C.char
	var failure *C.quorate_error
	status := C.quorate_go_storage_check(C.uintptr_t(handle), &text, &failure)
	defer C.quorate_free(unsafe.Pointer(text))
	if status < 0 {
		return C.GoString(text), takeError(status, failure)
	}
	return C.GoString(text), m.closing
}

// A maker makes the stores of one check.
type maker struct {
	cause
	make func(how StoreHow) (Store, error)
	// closing is the first failure of a Close.
	closing error
}

func (m *maker) keeper(how StoreHow) (k *keeper, err error) {
	defer m.recovered(&err, "the maker of stores")
	store, err := m.make(how)
	if err != nil {
		return nil, err
	}
	if store == nil {
		return nil, errors.New("the maker of stores gave nil without an error")
	}
	return &keeper{store: store, closed: m.closed}, nil
}

func (m *maker) closed(err error) {
	if m.closing == nil {
		m.closing = err
	}
}
