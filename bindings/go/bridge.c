#include "bridge.h"

#include <stdlib.h>

#include "_cgo_export.h"

/* More tags than this are rare enough for malloc. */
#define FEW_TAGS 16
/* Replies that are handed over in one call. */
#define SOME_REPLIES 256

/* How many hooks this thread is in. */
static _Thread_local int hooks;

int quorate_go_in_hook(void) { return hooks > 0; }

static void split(const uint8_t *bytes, const uint32_t *lens, size_t n, quorate_bytes *out) {
    for (size_t i = 0; i < n; bytes += lens[i++]) out[i] = (quorate_bytes){bytes, lens[i]};
}

quorate_go_done quorate_go_submit(quorate_service *service, quorate_queue *queue,
                                  const quorate_go_request *from, const uint8_t *data,
                                  const uint8_t *tags, const uint32_t *tag_lens) {
    quorate_go_done done = {QUORATE_ERR_IN_CALLBACK, NULL};
    if (hooks > 0) return done;
    quorate_bytes few[FEW_TAGS], *all = few;
    if (from->tags_len > FEW_TAGS) {
        all = calloc(from->tags_len, sizeof *all);
        if (!all) return done.status = QUORATE_ERR_BUSY, done;
    }
    split(tags, tag_lens, from->tags_len, all);
    quorate_request request = QUORATE_REQUEST_INIT;
    request.token = from->token;
    request.op = from->op;
    request.mode = from->mode;
    request.timeout_ms = from->timeout_ms;
    request.entry.index = from->index;
    request.entry.timestamp_ns = from->timestamp_ns;
    request.entry.type = from->type;
    request.entry.tags = from->tags_len ? all : NULL;
    request.entry.tags_len = from->tags_len;
    request.entry.data = (quorate_bytes){data, from->len};
    done.status = quorate_service_submit(service, queue, &request, 1, &done.error);
    if (all != few) free(all);
    return done;
}

quorate_status quorate_go_replies(quorate_output *replies, const uint8_t *bytes,
                                  const int64_t *lens, size_t n) {
    quorate_bytes items[SOME_REPLIES];
    quorate_status status = QUORATE_OK;
    for (size_t first = 0, count; first < n && status >= 0; first += count) {
        count = n - first < SOME_REPLIES ? n - first : SOME_REPLIES;
        for (size_t i = 0; i < count; i++) {
            int64_t len = lens[first + i];
            /* An empty reply is one: its pointer must not be NULL, and `bytes` may be. */
            items[i] = (quorate_bytes){len < 0 ? NULL : len == 0 ? (const void *)"" : bytes,
                                       len < 0 ? 0 : (size_t)len};
            bytes += items[i].len;
        }
        status = quorate_output_set(replies, first, items, count);
    }
    return status;
}

static quorate_status on_open(void *ctx, quorate_applied *out, quorate_error **err) {
    hooks++;
    quorate_status status = quorateGoOpen((uintptr_t)ctx, out, err);
    hooks--;
    return status;
}

static quorate_status on_commit(void *ctx, const quorate_entry *entries, size_t n,
                                quorate_output *replies, quorate_error **err) {
    hooks++;
    quorate_status status =
        quorateGoCommit((uintptr_t)ctx, (quorate_entry *)entries, n, replies, err);
    hooks--;
    return status;
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
