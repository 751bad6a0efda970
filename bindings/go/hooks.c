#include "hooks.h"

#include "_cgo_export.h"

/* How many hooks this thread is in. */
static _Thread_local int hooks;

int quorate_go_in_hook(void) { return hooks > 0; }

static quorate_status left(quorate_status status) {
    hooks--;
    return status;
}

/* The status of a call to Go, while this thread counts as one that runs a hook. */
#define HOOK(call) (hooks++, left(call))

/* ---- The state machine ---- */

static quorate_status on_open(void *ctx, quorate_applied *out, quorate_error **err) {
    return HOOK(quorateGoOpen((uintptr_t)ctx, out, err));
}

static quorate_status on_commit(void *ctx, const quorate_entry *entries, size_t n,
                                quorate_output *replies, quorate_error **err) {
    return HOOK(quorateGoCommit((uintptr_t)ctx, (quorate_entry *)entries, n, replies, err));
}

static void on_drop(void *ctx) { quorateGoDrop((uintptr_t)ctx); }

quorate_status quorate_go_state_machine(quorate_config *config, uintptr_t handle, int opens,
                                        quorate_error **err) {
    quorate_state_machine machine = QUORATE_STATE_MACHINE_INIT;
    machine.ctx = (void *)handle;
    machine.drop = on_drop;
    machine.open = opens ? on_open : NULL;
    machine.commit = on_commit;
    return quorate_config_state_machine(config, &machine, err);
}

/* ---- The store ---- */

static void store_drop(void *ctx) {
    hooks++;
    quorateGoStoreDrop((uintptr_t)ctx);
    hooks--;
}

static quorate_status store_open(void *ctx, uint64_t *first, uint64_t *last, quorate_error **err) {
    return HOOK(quorateGoStoreOpen((uintptr_t)ctx, first, last, err));
}

static quorate_status store_append(void *ctx, const quorate_record *records, size_t n,
                                   quorate_error **err) {
    return HOOK(quorateGoStoreAppend((uintptr_t)ctx, (quorate_record *)records, n, err));
}

static quorate_status store_sync(void *ctx, quorate_error **err) {
    return HOOK(quorateGoStoreSync((uintptr_t)ctx, err));
}

static quorate_status store_read(void *ctx, uint64_t first, uint64_t last, size_t max_bytes,
                                 quorate_output *out, quorate_error **err) {
    return HOOK(quorateGoStoreRead((uintptr_t)ctx, first, last, max_bytes, out, err));
}

static quorate_status store_truncate_suffix(void *ctx, uint64_t first, quorate_error **err) {
    return HOOK(quorateGoStoreTruncateSuffix((uintptr_t)ctx, first, err));
}

static quorate_status store_truncate_prefix(void *ctx, uint64_t last, quorate_error **err) {
    return HOOK(quorateGoStoreTruncatePrefix((uintptr_t)ctx, last, err));
}

static quorate_status store_metadata_get(void *ctx, const char *key, quorate_output *out,
                                         quorate_error **err) {
    return HOOK(quorateGoStoreMetadataGet((uintptr_t)ctx, (char *)key, out, err));
}

static quorate_status store_metadata_put(void *ctx, const char *key, const void *data, size_t len,
                                         quorate_error **err) {
    return HOOK(quorateGoStoreMetadataPut((uintptr_t)ctx, (char *)key, (void *)data, len, err));
}

void quorate_go_store(quorate_storage *out, uintptr_t handle) {
    quorate_storage store = QUORATE_STORAGE_INIT;
    store.ctx = (void *)handle;
    store.drop = store_drop;
    store.open = store_open;
    store.append = store_append;
    store.sync = store_sync;
    store.read = store_read;
    store.truncate_suffix = store_truncate_suffix;
    store.truncate_prefix = store_truncate_prefix;
    store.metadata_get = store_metadata_get;
    store.metadata_put = store_metadata_put;
    *out = store;
}

quorate_status quorate_go_storage(quorate_config *config, uintptr_t handle, quorate_error **err) {
    quorate_storage store;
    quorate_go_store(&store, handle);
    return quorate_config_storage(config, &store, err);
}

static quorate_status make_store(void *ctx, int32_t how, quorate_storage *out, quorate_error **err) {
    return HOOK(quorateGoMakeStore((uintptr_t)ctx, how, out, err));
}

quorate_status quorate_go_storage_check(uintptr_t maker, char **report, quorate_error **err) {
    return quorate_storage_check(make_store, (void *)maker, report, err);
}

/* ---- The network ---- */

static quorate_status transport_send(void *ctx, uint64_t node_id, const char *address,
                                     const void *frame, size_t len, quorate_error **err) {
    return HOOK(
        quorateGoSend((uintptr_t)ctx, node_id, (char *)address, (void *)frame, len, err));
}

quorate_status quorate_go_transport(quorate_config *config, uintptr_t handle,
                                    quorate_error **err) {
    quorate_transport transport = QUORATE_TRANSPORT_INIT;
    transport.ctx = (void *)handle;
    transport.drop = on_drop;
    transport.send = transport_send;
    return quorate_config_transport(config, &transport, err);
}

/* ---- Log lines ---- */

static void logger_write(void *ctx, const quorate_log_record *record) {
    hooks++;
    quorateGoLog((uintptr_t)ctx, (quorate_log_record *)record);
    hooks--;
}

quorate_status quorate_go_logger(quorate_config *config, uintptr_t handle, quorate_error **err) {
    quorate_logger logger = QUORATE_LOGGER_INIT;
    logger.level = QUORATE_LOG_DEBUG;
    logger.ctx = (void *)handle;
    logger.drop = on_drop;
    logger.write = logger_write;
    return quorate_config_logger(config, &logger, err);
}
