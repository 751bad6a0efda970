/* What Go can't say itself: calls whose arguments would hold Go pointers inside others. */
#ifndef QUORATE_GO_BRIDGE_H
#define QUORATE_GO_BRIDGE_H

#include "quorate.h"

/* A quorate_request without pointers; `index` is what RemoveNode names the node in. */
typedef struct quorate_go_request {
    uint64_t token;
    int64_t timeout_ms;
    int64_t timestamp_ns;
    uint64_t index;
    size_t len;
    int32_t op;
    int32_t mode;
    int32_t type;
    uint32_t tags_len;
} quorate_go_request;

typedef struct quorate_go_done {
    size_t taken;
    /* Why the next one was not taken, if there is one. */
    quorate_status status;
    quorate_error *error;
} quorate_go_done;

/* Submits requests until one is refused. Their data stands one behind the other, and so do the tags of
   all, and the length of each tag. */
quorate_go_done quorate_go_submit(quorate_service *service, quorate_queue *queue,
                                  const quorate_go_request *requests, size_t n,
                                  const uint8_t *data, const uint8_t *tags,
                                  const uint32_t *tag_lens);

/* Sets `n` slots to items that stand one behind the other; a length below 0 leaves a slot unset. */
quorate_status quorate_go_set(quorate_output *out, const uint8_t *bytes,
                              const int64_t *lens, size_t n);

#endif
