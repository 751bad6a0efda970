package quorate

// #include <stdlib.h>
// #include "bridge.h"
import "C"

import (
	"log/slog"
	"strings"
	"unsafe"
)

// Communication says how nodes reach each other: [TCP], or [CustomCommunication]. nil: not at all, the
// service stays Standalone.
type Communication interface{ communication(*options) error }

// TCP listens at host:port; port 0 takes a free one, see [Service.GetAddress].
func TCP(listen string) Communication { return settings{{"listen", listen}} }

// Storage says where the log is: [WAL], [Sled], [Memory], or a store of the program's own, [CustomStorage].
type Storage interface{ storage(*options) error }

// WAL keeps the log in segments in a directory, which is made when it is missing.
func WAL(dir string) Storage { return settings{{"storage", "wal"}, {"data_dir", dir}} }

// Sled keeps the log in a sled database in a directory, which is made when it is missing. It is durable as
// [WAL] is, and slower.
func Sled(dir string) Storage { return settings{{"storage", "sled"}, {"data_dir", dir}} }

// Memory keeps the log in memory: for tests. A service that ends is forgotten.
func Memory() Storage { return settings{{"storage", "memory"}} }

// An Option changes how StartRaft starts. Most programs need none.
type Option func(*options)

// WithSetting changes one setting: WithSetting("election_timeout", "500ms"). What there is to set is told
// by [Settings].
func WithSetting(key, value string) Option {
	return func(o *options) { o.settings = append(o.settings, setting{key, value}) }
}

// options are all that StartRaft is given but the state machine.
type options struct {
	settings  settings
	store     Store
	transport Transport
	logger    *slog.Logger
}

type settings []setting

type setting struct{ key, value string }

func (s settings) communication(o *options) error { return s.storage(o) }

func (s settings) storage(o *options) error {
	o.settings = append(o.settings, s...)
	return nil
}

// SettingInfo is a setting that the library knows. Unit is "duration", "bytes", "count", "switch", "text",
// or the choices as "wal|sled|memory".
type SettingInfo struct{ Key, Default, Unit, Meaning string }

// Settings lists every setting that the library knows.
func Settings() []SettingInfo {
	var list []SettingInfo
	for i := C.size_t(0); ; i++ {
		row := C.quorate_config_setting(i)
		if row == nil {
			return list
		}
		list = append(list, SettingInfo{
			Key:     C.GoString(row.key),
			Default: C.GoString(row.default_value),
			Unit:    C.GoString(row.unit),
			Meaning: C.GoString(row.meaning),
		})
	}
}

// gather puts everything together, the settings in the order in which they are made: those of an Option
// override. With an error comes what there is so far.
func gather(comm Communication, stor Storage, changes []Option) (*options, error) {
	o := &options{}
	if stor == nil {
		return o, errorf(ErrInvalid, "the storage is nil: use WAL(dir), Sled(dir), or Memory() in tests")
	}
	if err := stor.storage(o); err != nil {
		return o, err
	}
	if comm != nil {
		if err := comm.communication(o); err != nil {
			return o, err
		}
	}
	for i, change := range changes {
		if change == nil {
			return o, errorf(ErrInvalid, "option %d of %d is nil: leave it out", i+1, len(changes))
		}
		change(o)
	}
	return o, nil
}

// set makes the settings in a config.
func set(config *C.quorate_config, all []setting) error {
	for _, s := range all {
		if strings.ContainsRune(s.key+s.value, 0) {
			return errorf(ErrInvalid, "the setting %q has a NUL in %q", s.key, s.value)
		}
		key, value := cString(s.key), cString(s.value)
		var failure *C.quorate_error
		status := C.quorate_config_set(config, key, value, &failure)
		C.free(unsafe.Pointer(key))
		C.free(unsafe.Pointer(value))
		if status < 0 {
			return takeError(status, failure)
		}
	}
	return nil
}

// cString makes a text of C, which is to be freed.
func cString(text string) *C.char { return C.CString(text) }
