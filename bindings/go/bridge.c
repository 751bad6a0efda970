#include "bridge.h"

#include <stdlib.h>

/* What is handed over in one call. */
#define SOME_REQUESTS 128
#define SOME_TAGS 256
#define SOME_ITEMS 256

/* Where the next request has its data and tags. */
typedef struct cursor {
    const uint8_t *data;
    const uint8_t *tags;
    const uint32_t *tag_lens;
} cursor;

static void split(cursor *at, size_t n, quorate_bytes *out) {
    for (size_t i = 0; i < n; at->tags += *at->tag_lens++, i++)
        out[i] = (quorate_bytes){at->tags, *at->tag_lens};
}

static quorate_request request(const quorate_go_request *from, cursor *at, quorate_bytes *tags) {
    quorate_request request = QUORATE_REQUEST_INIT;
    request.token = from->token;
    request.op = from->op;
    request.mode = from->mode;
    request.timeout_ms = from->timeout_ms;
    request.entry.index = from->index;
    request.entry.timestamp_ns = from->timestamp_ns;
    request.entry.type = from->type;
    request.entry.data = (quorate_bytes){at->data, from->len};
    at->data += from->len;
    split(at, from->tags_len, tags);
    request.entry.tags = from->tags_len ? tags : NULL;
    request.entry.tags_len = from->tags_len;
    return request;
}

/* One request with more tags than others have room for. */
static quorate_status submit_tagged(quorate_service *service, quorate_queue *queue,
                                    const quorate_go_request *from, cursor at,
                                    quorate_error **err) {
    quorate_bytes *tags = calloc(from->tags_len, sizeof *tags);
    if (!tags) return QUORATE_ERR_BUSY;
    quorate_request only = request(from, &at, tags);
    quorate_status status = quorate_service_submit(service, queue, &only, 1, err);
    free(tags);
    return status;
}

/* As many as there is room for. */
static quorate_status submit_some(quorate_service *service, quorate_queue *queue,
                                  const quorate_go_request *from, size_t n, cursor at,
                                  quorate_error **err) {
    quorate_request requests[SOME_REQUESTS];
    quorate_bytes tags[SOME_TAGS];
    size_t count = 0, tagged = 0;
    if (from->tags_len > SOME_TAGS) return submit_tagged(service, queue, from, at, err);
    for (; count < n && count < SOME_REQUESTS; count++, from++) {
        if (from->tags_len > SOME_TAGS - tagged) break;
        requests[count] = request(from, &at, tags + tagged);
        tagged += from->tags_len;
    }
    return quorate_service_submit(service, queue, requests, count, err);
}

static void skip(cursor *at, const quorate_go_request *requests, size_t n) {
    for (; n-- > 0; requests++) {
        at->data += requests->len;
        for (uint32_t i = 0; i < requests->tags_len; i++) at->tags += *at->tag_lens++;
    }
}

quorate_go_done quorate_go_submit(quorate_service *service, quorate_queue *queue,
                                  const quorate_go_request *requests, size_t n,
                                  const uint8_t *data, const uint8_t *tags,
                                  const uint32_t *tag_lens) {
    quorate_go_done done = {0, QUORATE_OK, NULL};
    cursor at = {data, tags, tag_lens};
    while (done.taken < n) {
        const quorate_go_request *next = requests + done.taken;
        quorate_status count =
            submit_some(service, queue, next, n - done.taken, at, &done.error);
        if (count <= 0) return done.status = count ? count : QUORATE_ERR_BUSY, done;
        skip(&at, next, (size_t)count);
        done.taken += (size_t)count;
    }
    return done;
}

quorate_status quorate_go_set(quorate_output *out, const uint8_t *bytes,
                              const int64_t *lens, size_t n) {
    quorate_bytes items[SOME_ITEMS];
    quorate_status status = QUORATE_OK;
    for (size_t first = 0, count; first < n && status >= 0; first += count) {
        count = n - first < SOME_ITEMS ? n - first : SOME_ITEMS;
        for (size_t i = 0; i < count; i++) {
            int64_t len = lens[first + i];
            /* An empty item is one: its pointer must not be NULL, and `bytes` may be. */
            items[i] = (quorate_bytes){len < 0 ? NULL : len == 0 ? (const void *)"" : bytes,
                                       len < 0 ? 0 : (size_t)len};
            bytes += items[i].len;
        }
        status = quorate_output_set(out, first, items, count);
    }
    return status;
}
