package quorate

// The hooks as C sees them: one crossing for a batch. Nothing here may panic into C.

// #include "bridge.h"
// #include "hooks.h"
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

//export quorateGoOpen
func quorateGoOpen(handle C.uintptr_t, out *C.quorate_applied, failure **C.quorate_error) C.quorate_status {
	hooks.Add(1)
	defer hooks.Add(-1)
	applied, err := machineOf(handle).open()
	if err != nil {
		return failed(err, ErrStateMachineFailed, failure)
	}
	out.index, out.term = C.uint64_t(applied.Index), C.uint64_t(applied.Term)
	out.cluster_id = C.uint64_t(applied.ClusterID)
	return C.QUORATE_OK
}

//export quorateGoCommit
func quorateGoCommit(handle C.uintptr_t, rows *C.quorate_entry, n C.size_t, replies *C.quorate_output,
	failure **C.quorate_error) C.quorate_status {
	hooks.Add(1)
	defer hooks.Add(-1)
	m := machineOf(handle)
	if err := m.commit(goEntries(unsafe.Slice(rows, n))); err != nil {
		return failed(err, ErrStateMachineFailed, failure)
	}
	return m.reply(replies)
}

//export quorateGoDrop
func quorateGoDrop(handle C.uintptr_t) {
	cgo.Handle(handle).Delete()
}

func machineOf(handle C.uintptr_t) *machine {
	return cgo.Handle(handle).Value().(*machine)
}
