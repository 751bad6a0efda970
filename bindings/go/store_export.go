package quorate

// The hooks of a store as C sees them: one crossing for a batch. Nothing here may panic into C.

// #include "hooks.h"
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

func keeperOf(handle C.uintptr_t) *keeper {
	return cgo.Handle(handle).Value().(*keeper)
}

// run calls one method of a store.
func (k *keeper) run(name string, failure **C.quorate_error, method func() error) C.quorate_status {
	hooks.Add(1)
	defer hooks.Add(-1)
	if err := k.call(name, method); err != nil {
		return failed(err, statusOf(err, ErrIO), failure)
	}
	return C.QUORATE_OK
}

//export quorateGoStoreDrop
func quorateGoStoreDrop(handle C.uintptr_t) {
	hooks.Add(1)
	defer hooks.Add(-1)
	keeperOf(handle).close()
	cgo.Handle(handle).Delete()
}

//export quorateGoStoreOpen
func quorateGoStoreOpen(handle C.uintptr_t, first, last *C.uint64_t, failure **C.quorate_error) C.quorate_status {
	k := keeperOf(handle)
	return k.run("Open", failure, func() error {
		low, high, err := k.store.Open()
		*first, *last = C.uint64_t(low), C.uint64_t(high)
		return err
	})
}

//export quorateGoStoreAppend
func quorateGoStoreAppend(handle C.uintptr_t, rows *C.quorate_record, n C.size_t, failure **C.quorate_error) C.quorate_status {
	k := keeperOf(handle)
	return k.run("Append", failure, func() error {
		return k.store.Append(goRecords(unsafe.Slice(rows, n)))
	})
}

//export quorateGoStoreSync
func quorateGoStoreSync(handle C.uintptr_t, failure **C.quorate_error) C.quorate_status {
	k := keeperOf(handle)
	return k.run("Sync", failure, k.store.Sync)
}

//export quorateGoStoreRead
func quorateGoStoreRead(handle C.uintptr_t, first, last C.uint64_t, maxBytes C.size_t, out *C.quorate_output,
	failure **C.quorate_error) C.quorate_status {
	k := keeperOf(handle)
	status := k.run("Read", failure, func() error {
		return k.read(uint64(first), uint64(last), int(maxBytes))
	})
	if status < 0 {
		return status
	}
	return k.slots.set(out)
}

//export quorateGoStoreTruncateSuffix
func quorateGoStoreTruncateSuffix(handle C.uintptr_t, first C.uint64_t, failure **C.quorate_error) C.quorate_status {
	k := keeperOf(handle)
	return k.run("TruncateSuffix", failure, func() error { return k.store.TruncateSuffix(uint64(first)) })
}

//export quorateGoStoreTruncatePrefix
func quorateGoStoreTruncatePrefix(handle C.uintptr_t, last C.uint64_t, failure **C.quorate_error) C.quorate_status {
	k := keeperOf(handle)
	return k.run("TruncatePrefix", failure, func() error { return k.store.TruncatePrefix(uint64(last)) })
}

//export quorateGoStoreMetadataGet
func quorateGoStoreMetadataGet(handle C.uintptr_t, key *C.char, out *C.quorate_output, failure **C.quorate_error) C.quorate_status {
	k := keeperOf(handle)
	status := k.run("GetMetadata", failure, func() error {
		value, err := k.store.GetMetadata(C.GoString(key))
		k.slots.clear()
		k.slots.add(value)
		return err
	})
	if status < 0 {
		return status
	}
	return k.slots.set(out)
}

//export quorateGoStoreMetadataPut
func quorateGoStoreMetadataPut(handle C.uintptr_t, key *C.char, data unsafe.Pointer, n C.size_t, failure **C.quorate_error) C.quorate_status {
	k := keeperOf(handle)
	return k.run("SetMetadata", failure, func() error {
		return k.store.SetMetadata(C.GoString(key), append([]byte{}, unsafe.Slice((*byte)(data), n)...))
	})
}

//export quorateGoMakeStore
func quorateGoMakeStore(handle C.uintptr_t, how C.int32_t, out *C.quorate_storage, failure **C.quorate_error) C.quorate_status {
	hooks.Add(1)
	defer hooks.Add(-1)
	k, err := cgo.Handle(handle).Value().(*maker).keeper(StoreHow(how))
	if err != nil {
		return failed(err, statusOf(err, ErrIO), failure)
	}
	C.quorate_go_store(out, C.uintptr_t(cgo.NewHandle(k)))
	return C.QUORATE_OK
}

// goRecords copies a batch in one piece, because the memory is lent and a store may keep what it is given.
func goRecords(rows []C.quorate_record) []Record {
	total := 0
	for i := range rows {
		total += int(rows[i].data.len)
	}
	records, bytes := make([]Record, len(rows)), make([]byte, 0, total)
	for i := range rows {
		from := len(bytes)
		bytes = append(bytes, borrowed(rows[i].data)...)
		records[i] = Record{uint64(rows[i].index), bytes[from:len(bytes):len(bytes)]}
	}
	return records
}
