package quorate

// What is linked. The static library is named by its path, so that no search path can find another one.

// #cgo CFLAGS: -std=gnu11 -I${SRCDIR}/../../include
// #cgo !quorate_dynamic,linux,amd64 LDFLAGS: ${SRCDIR}/lib/linux_amd64/libquorate.a
// #cgo !quorate_dynamic,linux,arm64 LDFLAGS: ${SRCDIR}/lib/linux_arm64/libquorate.a
// #cgo !quorate_dynamic LDFLAGS: -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc
// #cgo quorate_dynamic pkg-config: quorate
// #include "bridge.h"
import "C"

// Version is that of the library that the program was linked with.
func Version() string {
	return C.GoString(C.quorate_version())
}

// checkVersion compares what this package was compiled for with what it was linked with.
func checkVersion() error {
	if linked := C.quorate_abi_version(); linked != C.QUORATE_ABI_VERSION {
		return errorf(ErrVersion, "this program was compiled for version %d of the C interface and linked with %d: build it again",
			C.QUORATE_ABI_VERSION, linked)
	}
	return nil
}
