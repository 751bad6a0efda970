package quorate

// What all hooks have in common: their failures, their panics, and the slots that they fill.

// #cgo noescape quorate_go_set
// #cgo nocallback quorate_go_set
// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"unsafe"
)

// A cause is the first error of a hook: what made its service fail.
type cause struct{ first atomic.Pointer[error] }

// recovered makes a panic an error, and remembers what made the hook fail.
func (c *cause) recovered(err *error, name string) {
	if value := recover(); value != nil {
		*err = &hookPanic{name, value, debug.Stack()}
	}
	if failure := *err; failure != nil {
		c.first.CompareAndSwap(nil, &failure)
	}
}

// failure is what made the hook fail, or nil.
func (c *cause) failure() error {
	if err := c.first.Load(); err != nil {
		return *err
	}
	return nil
}

// A hookPanic is the error that a panic in a hook becomes.
type hookPanic struct {
	name  string
	value any
	stack []byte
}

func (p *hookPanic) Error() string {
	return fmt.Sprintf("%s panicked: %v\n\n%s", p.name, p.value, p.stack)
}

// Unwrap gives the value of the panic, if that is an error.
func (p *hookPanic) Unwrap() error {
	err, _ := p.value.(error)
	return err
}

// failed hands the text of an error to C, and returns the status that goes with it.
func failed(err error, status Status, failure **C.quorate_error) C.quorate_status {
	text := cString(textOf(err))
	defer C.free(unsafe.Pointer(text))
	*failure = C.quorate_error_new(text)
	return C.quorate_status(status)
}

// textOf asks a host's error for its text. Its methods may panic, as those of a nil pointer do, and a panic
// in C ends the process.
func textOf(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("an error of type %T, whose method Error panicked", err)
		}
	}()
	return err.Error()
}

// statusOf is the status that a host's error names, or other, also when a method of the error panics.
func statusOf(err error, other Status) (status Status) {
	defer func() {
		if recover() != nil {
			status = other
		}
	}()
	var named Status
	switch {
	case errors.As(err, &named) && named < 0:
		return named
	case errors.Is(err, errors.ErrUnsupported):
		return ErrUnsupported
	}
	return other
}

// A tray is what goes into the slots of a callback: one behind the other, and the length of each, -1 for
// an empty slot. Its memory is kept from call to call, up to a limit.
type tray struct {
	bytes []byte
	lens  []int64
}

func (t *tray) clear() {
	if cap(t.bytes) > keptBytes {
		t.bytes = nil
	}
	t.bytes, t.lens = t.bytes[:0], t.lens[:0]
}

// add fills the next slot; nil leaves it empty.
func (t *tray) add(item []byte) {
	if item == nil {
		t.lens = append(t.lens, -1)
		return
	}
	t.lens = append(t.lens, int64(len(item)))
	t.bytes = append(t.bytes, item...)
}

// empty says whether no slot is filled.
func (t *tray) empty() bool {
	return !slices.ContainsFunc(t.lens, func(n int64) bool { return n >= 0 })
}

// set hands everything over.
func (t *tray) set(out *C.quorate_output) C.quorate_status {
	return C.quorate_go_set(out, cBytes(t.bytes), (*C.int64_t)(unsafe.SliceData(t.lens)), C.size_t(len(t.lens)))
}
