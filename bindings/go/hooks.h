/* The hooks as C functions. The ctx of each is a cgo.Handle, which crosses as a number. */
#ifndef QUORATE_GO_HOOKS_H
#define QUORATE_GO_HOOKS_H

#include "quorate.h"

/* Whether this thread runs a hook. */
int quorate_go_in_hook(void);

/* Give a config its hooks; `opens` when the state machine has the method Open. */
quorate_status quorate_go_state_machine(quorate_config *config, uintptr_t handle, int opens,
                                        quorate_error **err);
quorate_status quorate_go_storage(quorate_config *config, uintptr_t handle, quorate_error **err);
quorate_status quorate_go_transport(quorate_config *config, uintptr_t handle, quorate_error **err);
quorate_status quorate_go_logger(quorate_config *config, uintptr_t handle, quorate_error **err);

/* Makes the table of a store. */
void quorate_go_store(quorate_storage *out, uintptr_t handle);

/* quorate_storage_check with a maker whose ctx is a cgo.Handle. */
quorate_status quorate_go_storage_check(uintptr_t maker, char **report, quorate_error **err);

#endif
