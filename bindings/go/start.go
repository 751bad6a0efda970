package quorate

// What StartRaft gives to the engine.

// #include "bridge.h"
// #include "hooks.h"
import "C"

import (
	"runtime/cgo"
	"sync/atomic"
)

// parts are the hooks of one service. They know nothing of the service, so that it can be collected while
// the engine holds them.
type parts struct {
	machine *machine
	keeper  *keeper // nil with a built-in store
	closing atomic.Pointer[error]
}

func newParts(o *options, state StateMachine) *parts {
	p := &parts{machine: &machine{state: state}}
	if o.store != nil {
		p.keeper = &keeper{store: o.store, closed: p.closed}
	}
	return p
}

// closed keeps what the Close of the store gave.
func (p *parts) closed(err error) {
	if err != nil {
		p.closing.Store(&err)
	}
}

// closeFailure is what the Close of the store gave.
func (p *parts) closeFailure() error {
	if err := p.closing.Load(); err != nil {
		return *err
	}
	return nil
}

// failure is what made a hook fail, or nil.
func (p *parts) failure() error {
	err := p.machine.failure()
	if err == nil && p.keeper != nil {
		err = p.keeper.failure()
	}
	return err
}

// abandon ends the life of hooks that the engine has not been given.
func (p *parts) abandon() {
	if p.keeper != nil {
		p.keeper.close()
	}
}

// start makes the config and starts the engine.
func start(o *options, p *parts) (*C.quorate_service, error) {
	config := C.quorate_config_new()
	defer C.quorate_config_free(config)
	if err := p.give(config, o); err != nil {
		return nil, err
	}
	if err := set(config, o.settings); err != nil {
		return nil, err
	}
	var failure *C.quorate_error
	var handle *C.quorate_service
	if status := C.quorate_service_start(config, &handle, &failure); status < 0 {
		err := takeError(status, failure)
		err.Cause = p.failure()
		return nil, err
	}
	return handle, nil
}

// give gives the hooks to a config, the store first. From then on each handle is the library's, which
// drops it exactly once.
func (p *parts) give(config *C.quorate_config, o *options) error {
	var failure *C.quorate_error
	var status C.quorate_status
	if p.keeper != nil {
		status = C.quorate_go_storage(config, handleOf(p.keeper), &failure)
	}
	if status >= 0 && o.transport != nil {
		status = C.quorate_go_transport(config, handleOf(&carrier{transport: o.transport}), &failure)
	}
	if status >= 0 && o.logger != nil {
		status = C.quorate_go_logger(config, handleOf(o.logger), &failure)
	}
	if status >= 0 {
		_, opens := p.machine.state.(DurableStateMachine)
		status = C.quorate_go_state_machine(config, handleOf(p.machine), cBool(opens), &failure)
	}
	if status < 0 {
		return takeError(status, failure)
	}
	return nil
}

func handleOf(hook any) C.uintptr_t { return C.uintptr_t(cgo.NewHandle(hook)) }

func cBool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
