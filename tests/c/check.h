/* The smallest test library that does: a failed check ends the program with its place and values. */
#ifndef CHECK_H
#define CHECK_H

#include "quorate.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *check_test = "(none)";
static int check_passed = 0;

#define CHECK(condition) \
    do { \
        if (!(condition)) check_fail(__FILE__, __LINE__, #condition, "is false"); \
    } while (0)

#define CHECK_EQ(left, right) \
    do { \
        int64_t l_ = (int64_t)(left), r_ = (int64_t)(right); \
        char text_[80]; \
        snprintf(text_, sizeof text_, "%" PRId64 " is not %" PRId64, l_, r_); \
        if (l_ != r_) check_fail(__FILE__, __LINE__, #left " == " #right, text_); \
    } while (0)

#define CHECK_STR(left, right) \
    do { \
        const char *l_ = (left), *r_ = (right); \
        if (!l_ || strcmp(l_, r_)) check_fail(__FILE__, __LINE__, #left " is " #right, l_ ? l_ : "NULL"); \
    } while (0)

/* A call that must succeed; its error, if any, is shown. */
#define CHECK_OK(call) \
    do { \
        quorate_status s_ = (call); \
        if (s_ < 0) check_fail(__FILE__, __LINE__, #call, check_why(s_, err)); \
    } while (0)

/* A call that must fail with this status, and with a message that contains the text. */
#define CHECK_ERR(call, expected, text) \
    do { \
        quorate_status s_ = (call); \
        if (s_ != (expected)) check_fail(__FILE__, __LINE__, #call " is " #expected, check_why(s_, err)); \
        if (!err || err->status != s_ || !strstr(err->message, text)) \
            check_fail(__FILE__, __LINE__, #call " says " #text, check_why(s_, err)); \
        quorate_free(err); \
        err = NULL; \
    } while (0)

#define RUN(test) \
    do { \
        check_test = #test; \
        test(); \
        check_passed++; \
        printf("  ok %s\n", #test); \
        fflush(stdout); \
    } while (0)

static inline const char *check_why(quorate_status status, const quorate_error *err) {
    static char text[1024];
    snprintf(text, sizeof text, "%d (%s): %s", status, quorate_status_string(status),
             err ? err->message : "no error object");
    return text;
}

static inline void check_fail(const char *file, int line, const char *what, const char *why) {
    fprintf(stderr, "%s:%d: in %s: %s: %s\n", file, line, check_test, what, why);
    fflush(stdout);
    _exit(1);
}

static inline int check_end(const char *name) {
    printf("%s: %d passed, 0 failed\n", name, check_passed);
    return 0;
}

/* ---- What the tests share ----------------------------------------------------------------------- */

/* A state machine that counts. The reply to an entry is its data, upside down in case. */
typedef struct counter {
    int commits, entries, dropped, opened;
    uint64_t last_index;
    char last[256];
    size_t last_len;
    int32_t last_type;
    uint32_t last_tags;
} counter;

static inline quorate_status counter_commit(void *ctx, const quorate_entry *entries, size_t n,
                                            quorate_output *replies, quorate_error **err) {
    counter *c = ctx;
    (void)err;
    __atomic_add_fetch(&c->commits, 1, __ATOMIC_SEQ_CST);
    for (size_t i = 0; i < n; i++) {
        char reply[256];
        size_t len = entries[i].data.len < sizeof reply ? entries[i].data.len : sizeof reply;
        for (size_t k = 0; k < len; k++) reply[k] = (char)(((const char *)entries[i].data.data)[k] ^ 0x20);
        if (entries[i].index <= c->last_index) return QUORATE_ERR_STATE_MACHINE_FAILED;
        c->last_index = entries[i].index;
        c->last_type = entries[i].type;
        c->last_tags = entries[i].tags_len;
        if (len) memcpy(c->last, entries[i].data.data, len);
        c->last_len = len;
        quorate_bytes item = {reply, len};
        quorate_output_set(replies, i, &item, 1);
        __atomic_add_fetch(&c->entries, 1, __ATOMIC_SEQ_CST);
    }
    return QUORATE_OK;
}

static inline void counter_drop(void *ctx) {
    __atomic_add_fetch(&((counter *)ctx)->dropped, 1, __ATOMIC_SEQ_CST);
}

static inline int counted(int *what) { return __atomic_load_n(what, __ATOMIC_SEQ_CST); }

static inline quorate_state_machine counter_machine(counter *c) {
    quorate_state_machine machine = QUORATE_STATE_MACHINE_INIT;
    machine.ctx = c;
    machine.commit = counter_commit;
    machine.drop = counter_drop;
    return machine;
}

/* A new directory under QUORATE_TEST_DIR, which the script removes. */
static inline const char *new_dir(char *out, size_t len) {
    const char *base = getenv("QUORATE_TEST_DIR");
    snprintf(out, len, "%s/%s-XXXXXX", base ? base : "/tmp", check_test);
    CHECK(mkdtemp(out) != NULL);
    return out;
}

static inline quorate_config *new_config(const quorate_state_machine *machine, const char *dir,
                                         const char *listen) {
    quorate_error *err = NULL;
    quorate_config *config = quorate_config_new();
    CHECK_OK(quorate_config_state_machine(config, machine, &err));
    CHECK_OK(quorate_config_set(config, "data_dir", dir, &err));
    CHECK_OK(quorate_config_set(config, "listen", listen, &err));
    if (getenv("QUORATE_TEST_SLOW")) {
        CHECK_OK(quorate_config_set(config, "heartbeat_timeout", "500ms", &err));
        CHECK_OK(quorate_config_set(config, "election_timeout", "5s", &err));
    }
    return config;
}

/* A service with a counter, listening on a free port of the loopback. */
static inline quorate_service *start(counter *c, const char *dir, const char *listen) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    quorate_state_machine machine = counter_machine(c);
    quorate_config *config = new_config(&machine, dir, listen);
    CHECK_OK(quorate_service_start(config, &service, &err));
    quorate_config_free(config);
    CHECK(service != NULL);
    return service;
}

static inline quorate_info info_of(quorate_service *service) {
    quorate_info info = QUORATE_INFO_INIT;
    CHECK_EQ(quorate_service_info(service, &info), QUORATE_OK);
    return info;
}

static inline quorate_entry entry_of(const char *text) {
    quorate_entry entry = QUORATE_ENTRY_INIT;
    entry.data.data = text;
    entry.data.len = strlen(text);
    return entry;
}

static inline uint64_t propose_wait(quorate_service *service, const char *text) {
    quorate_error *err = NULL;
    quorate_result *result = NULL;
    quorate_entry entry = entry_of(text);
    CHECK_OK(quorate_service_propose_wait(service, &entry, 30000, &result, &err));
    CHECK_EQ(result->data.len, strlen(text));
    uint64_t index = result->index;
    quorate_free(result);
    return index;
}

#endif
