/* A store in memory that can be told to fail, to lie, and to wait; its disk outlives it. */
#ifndef STORE_H
#define STORE_H

#include "check.h"
#include <pthread.h>

enum { KEYS = 1024 };
enum { OPEN, APPEND, SYNC, READ, CUT_END, CUT_FRONT, GET, PUT, HOOKS };
static const char *const HOOK[] = {"open",            "append",          "sync",         "read",
                                   "truncate_suffix", "truncate_prefix", "metadata_get", "metadata_put"};

typedef struct { char key[512]; void *data; size_t len; } named;

/* What is kept, and what goes wrong. Calls and drops are counted. */
typedef struct disk {
    quorate_bytes records[4096 * 8];
    uint64_t first;
    size_t n;
    named names[KEYS];
    int calls[HOOKS], dropped;
    int fails_on, fails_after;     /* the hook, and how many calls of it are fine before */
    quorate_status fails_with;
    const char *says;              /* the error's text, or NULL: none is given */
    quorate_error *gives;          /* instead: this pointer */
    uint64_t lies_first, lies_last; /* instead of the bounds */
    void (*before)(struct disk *, int hook); /* called first in every hook */
    quorate_output *seen;          /* the slots of the last read or metadata_get */
    quorate_status (*reads)(struct disk *, uint64_t first, uint64_t last, quorate_output *out);
} disk;

static inline disk *new_disk(void) {
    disk *d = calloc(1, sizeof *d);
    CHECK(d != NULL);
    d->fails_on = -1;
    return d;
}

static inline quorate_bytes kept(quorate_bytes bytes) {
    void *data = malloc(bytes.len + 1);
    CHECK(data != NULL);
    if (bytes.len) memcpy(data, bytes.data, bytes.len);
    return (quorate_bytes){data, bytes.len};
}

static inline void wipe(disk *d) {
    for (size_t i = 0; i < d->n; i++) free((void *)d->records[i].data);
    for (size_t i = 0; i < KEYS; i++) free(d->names[i].data);
    memset(d->names, 0, sizeof d->names);
    d->n = 0;
}

static inline void free_disk(disk *d) {
    wipe(d);
    free(d);
}

static inline int calls(disk *d, int hook) { return counted(&d->calls[hook]); }

/* What the hook returns when it is to fail, else 0. */
static inline quorate_status enter(disk *d, int hook, quorate_error **err) {
    int before = __atomic_fetch_add(&d->calls[hook], 1, __ATOMIC_SEQ_CST);
    CHECK(err != NULL && *err == NULL);
    if (d->before) d->before(d, hook);
    if (counted(&d->fails_on) != hook || before < d->fails_after) return QUORATE_OK;
    if (d->says) *err = quorate_error_new(d->says);
    if (d->gives) *err = d->gives;
    return d->fails_with;
}

static inline quorate_status disk_open(void *ctx, uint64_t *first, uint64_t *last, quorate_error **err) {
    disk *d = ctx;
    quorate_status status = enter(d, OPEN, err);
    CHECK(*first == 0 && *last == 0);
    if (d->n) *first = d->first, *last = d->first + d->n - 1;
    if (d->lies_first || d->lies_last) *first = d->lies_first, *last = d->lies_last;
    return status;
}

static inline quorate_status disk_append(void *ctx, const quorate_record *records, size_t n,
                                         quorate_error **err) {
    disk *d = ctx;
    quorate_status status = enter(d, APPEND, err);
    if (status < 0) return status;
    CHECK(n > 0 && d->n + n <= sizeof d->records / sizeof d->records[0]);
    if (d->n == 0) d->first = records[0].index;
    for (size_t i = 0; i < n; i++) {
        if (records[i].index != d->first + d->n) return *err = quorate_error_new("a gap"), -1;
        d->records[d->n++] = kept(records[i].data);
    }
    return status;
}

static inline quorate_status disk_sync(void *ctx, quorate_error **err) { return enter(ctx, SYNC, err); }

static inline quorate_status disk_read(void *ctx, uint64_t first, uint64_t last, size_t max_bytes,
                                       quorate_output *out, quorate_error **err) {
    disk *d = ctx;
    quorate_status status = enter(d, READ, err);
    size_t bytes = 0;
    d->seen = out;
    if (status < 0) return status;
    if (d->reads) return d->reads(d, first, last, out);
    if (first < d->first || last >= d->first + d->n) return *err = quorate_error_new("no such record"), -1;
    for (uint64_t index = first; index <= last && (index == first || bytes < max_bytes); index++) {
        CHECK_EQ(quorate_output_set(out, (size_t)(index - first), &d->records[index - d->first], 1), QUORATE_OK);
        bytes += d->records[index - d->first].len;
    }
    return status;
}

static inline quorate_status disk_cut_end(void *ctx, uint64_t first, quorate_error **err) {
    disk *d = ctx;
    quorate_status status = enter(d, CUT_END, err);
    if (status < 0) return status;
    while (d->n > 0 && d->first + d->n > first) free((void *)d->records[--d->n].data);
    return status;
}

static inline quorate_status disk_cut_front(void *ctx, uint64_t last, quorate_error **err) {
    disk *d = ctx;
    quorate_status status = enter(d, CUT_FRONT, err);
    size_t n = 0;
    if (status < 0) return status;
    while (n < d->n && d->first + n <= last) free((void *)d->records[n++].data);
    memmove(d->records, d->records + n, (d->n - n) * sizeof d->records[0]);
    d->n -= n, d->first += n;
    return status;
}

static inline named *place(disk *d, const char *key) {
    for (named *at = d->names; at < d->names + KEYS; at++)
        if (!at->data || !strcmp(at->key, key)) return at;
    CHECK(!"there are too many keys");
    return NULL;
}

static inline quorate_status disk_get(void *ctx, const char *key, quorate_output *out, quorate_error **err) {
    disk *d = ctx;
    quorate_status status = enter(d, GET, err);
    d->seen = out;
    named *at = place(d, key);
    quorate_bytes value = {at->data, at->len};
    return status < 0 ? status : quorate_output_set(out, 0, &value, 1); /* NULL leaves it unset */
}

static inline quorate_status disk_put(void *ctx, const char *key, const void *data, size_t len,
                                      quorate_error **err) {
    disk *d = ctx;
    quorate_status status = enter(d, PUT, err);
    if (status < 0) return status;
    named *at = place(d, key);
    free(at->data);
    snprintf(at->key, sizeof at->key, "%s", key);
    at->data = (void *)kept((quorate_bytes){data, len}).data;
    at->len = len;
    return status;
}

static inline void disk_drop(void *ctx) { __atomic_add_fetch(&((disk *)ctx)->dropped, 1, __ATOMIC_SEQ_CST); }

static inline quorate_storage store_on(disk *d) {
    quorate_storage store = QUORATE_STORAGE_INIT;
    store.ctx = d;
    store.drop = disk_drop;
    store.open = disk_open;
    store.append = disk_append;
    store.sync = disk_sync;
    store.read = disk_read;
    store.truncate_suffix = disk_cut_end;
    store.truncate_prefix = disk_cut_front;
    store.metadata_get = disk_get;
    store.metadata_put = disk_put;
    return store;
}

/* A config of a counter on this disk, without a listener. */
static inline quorate_config *config_on(counter *c, disk *d) {
    quorate_error *err = NULL;
    quorate_state_machine machine = counter_machine(c);
    quorate_storage store = store_on(d);
    quorate_config *config = quorate_config_new();
    CHECK_OK(quorate_config_state_machine(config, &machine, &err));
    CHECK_OK(quorate_config_storage(config, &store, &err));
    return config;
}

static inline quorate_service *start_on(counter *c, disk *d) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    quorate_config *config = config_on(c, d);
    CHECK_OK(quorate_service_start(config, &service, &err));
    quorate_config_free(config);
    return service;
}

/* A start that must fail, on a disk that holds a log. */
static inline void start_fails(disk *d, quorate_status expected, const char *text) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    counter c = {0};
    int dropped = d->dropped;
    quorate_config *config = config_on(&c, d);
    CHECK_ERR(quorate_service_start(config, &service, &err), expected, text);
    CHECK(service == NULL);
    CHECK_EQ(d->dropped, dropped + 1);
    CHECK_EQ(c.dropped, 1);
    quorate_config_free(config);
}

static inline disk *written_disk(void) {
    counter c = {0};
    disk *d = new_disk();
    quorate_service *service = start_on(&c, d);
    for (int i = 0; i < 8; i++) propose_wait(service, "written");
    quorate_service_free(service);
    return d;
}

#endif
