/* The conformance kit: what it says of a good store, and which rule it names when one is broken. */
#include "store.h"

typedef struct {
    disk *d, *crashed; /* of the store made last; the one before it, whose store is still open */
    int made, refuses_after, crashes;
    quorate_storage (*spoil)(quorate_storage);
    void (*leaves)(disk *); /* what a crash does to what it leaves; NULL: the store can't crash */
} maker;

static void keep_all(disk *d) { (void)d; }

/* What a crash of this store leaves: a copy. */
static disk *copy_of(const disk *from) {
    disk *d = new_disk();
    d->first = from->first, d->n = from->n;
    for (size_t i = 0; i < from->n; i++) d->records[i] = kept(from->records[i]);
    for (size_t i = 0; i < KEYS && from->names[i].data; i++) {
        d->names[i] = from->names[i];
        d->names[i].data = (void *)kept((quorate_bytes){from->names[i].data, from->names[i].len}).data;
    }
    return d;
}

static void crash(maker *m) {
    if (m->crashed) free_disk(m->crashed);
    m->crashed = m->d;
    m->d = copy_of(m->crashed);
    m->leaves(m->d);
    m->crashes++;
}

static quorate_status make(void *ctx, int32_t how, quorate_storage *out, quorate_error **err) {
    maker *m = ctx;
    CHECK_EQ(out->struct_size, sizeof *out);
    if (how == QUORATE_STORAGE_CRASHED && !m->leaves) return QUORATE_ERR_UNSUPPORTED;
    if (m->refuses_after && m->made == m->refuses_after) {
        *err = quorate_error_new("the factory is closed");
        return -5;
    }
    m->made++;
    if (how == QUORATE_STORAGE_CRASHED) crash(m);
    if (how == QUORATE_STORAGE_NEW) wipe(m->d);
    *out = store_on(m->d);
    if (m->spoil) *out = m->spoil(*out);
    return QUORATE_OK;
}

static void free_maker(maker *m) {
    if (m->crashed) free_disk(m->crashed);
    free_disk(m->d);
}

static int times(const char *text, const char *part) {
    int n = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part)) n++;
    return n;
}

static void a_store_passes_the_kit_with_crashes(void) {
    quorate_error *err = NULL;
    char *report = NULL;
    maker m = {.d = new_disk(), .leaves = keep_all};
    quorate_status rules = quorate_storage_check(make, &m, &report, &err);
    if (rules < 0) fprintf(stderr, "%s\n", report);
    CHECK_OK(rules);
    CHECK(rules >= 60 && m.crashes > 20);
    CHECK_EQ(times(report, "ok      "), rules);
    CHECK_EQ(times(report, "BROKEN"), 0);
    CHECK_EQ(times(report, "\n"), rules + times(report, "skipped "));
    CHECK_EQ(times(report, "skipped "), times(report, "no readers for other threads"));
    quorate_free(report);
    m.leaves = NULL;
    CHECK(quorate_storage_check(make, &m, NULL, NULL) > 0); /* no report is wanted */
    free_maker(&m);
}

static void a_store_that_can_not_crash_is_told_what_was_skipped(void) {
    quorate_error *err = NULL;
    char *report = NULL;
    maker m = {.d = new_disk()};
    quorate_status rules = quorate_storage_check(make, &m, &report, &err);
    CHECK_OK(rules);
    CHECK(strstr(report, "\nskipped an entry that was synced survives a crash: ") != NULL);
    CHECK_EQ(times(report, "BROKEN"), 0);
    CHECK_EQ(m.d->dropped, m.made); /* every store that was made is closed */
    quorate_free(report);
    free_maker(&m);
}

static void each_call_that_fails_is_named(void) {
    for (int hook = 0; hook < HOOKS; hook++) {
        quorate_error *err = NULL;
        char *report = NULL;
        maker m = {.d = new_disk()};
        m.d->fails_on = hook;
        m.d->fails_with = -1;
        m.d->says = "smoke comes out of it";
        CHECK_ERR(quorate_storage_check(make, &m, &report, &err), QUORATE_ERR_INVALID, "smoke comes out of it");
        CHECK(times(report, "\n") >= 60 && strstr(report, HOOK[hook]));
        CHECK_EQ(m.d->dropped, m.made);
        quorate_free(report);
        free_maker(&m);
    }
}

/* ---- Stores that break one rule or another ------------------------------------------------------------ */

static quorate_status forgetful_sync(void *ctx, quorate_error **err) {
    (void)err;
    disk *d = ctx;
    if (d->n > 3) free((void *)d->records[--d->n].data);
    return QUORATE_OK;
}
static quorate_storage forgets(quorate_storage store) { return store.sync = forgetful_sync, store; }

static quorate_status backwards(disk *d, uint64_t first, uint64_t last, quorate_output *out) {
    for (uint64_t index = first; index <= last; index++)
        quorate_output_set(out, (size_t)(index - first), &d->records[last - d->first - (index - first)], 1);
    return QUORATE_OK;
}
static quorate_storage reads_backwards(quorate_storage store) {
    return ((disk *)store.ctx)->reads = backwards, store;
}

static quorate_status lying_open(void *ctx, uint64_t *first, uint64_t *last, quorate_error **err) {
    quorate_status status = disk_open(ctx, first, last, err);
    if (*last) ++*last;
    return status;
}
static quorate_storage lies(quorate_storage store) { return store.open = lying_open, store; }

static quorate_status first_put(void *ctx, const char *key, const void *data, size_t len, quorate_error **err) {
    return place(ctx, key)->data ? QUORATE_OK : disk_put(ctx, key, data, len, err);
}
static quorate_storage keeps_the_first(quorate_storage store) { return store.metadata_put = first_put, store; }

static quorate_status cuts_nothing(void *ctx, uint64_t first, quorate_error **err) {
    return (void)ctx, (void)first, (void)err, QUORATE_OK;
}
static quorate_storage brings_back(quorate_storage store) { return store.truncate_suffix = cuts_nothing, store; }

static void lose_the_last(disk *d) {
    if (d->n > 0) free((void *)d->records[--d->n].data);
}
static void lose_the_values(disk *d) {
    for (size_t i = 0; i < KEYS; i++) free(d->names[i].data);
    memset(d->names, 0, sizeof d->names);
}

static void a_broken_rule_is_named(void) {
    static const struct {
        quorate_storage (*spoil)(quorate_storage);
        void (*leaves)(disk *);
        const char *rule;
    } bad[] = {
        {forgets, NULL, "what was synced is there after a restart"},
        {reads_backwards, NULL, "a read gives what was appended, synced or not"},
        {lies, NULL, "what was synced is there after a restart"},
        {keeps_the_first, NULL, "the state is kept whole, the newest one"},
        {brings_back, NULL, "a truncated suffix is gone, and may be written anew"},
        {NULL, lose_the_last, "an entry that was synced survives a crash"},
        {NULL, lose_the_values, "metadata are durable on return"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        quorate_error *err = NULL;
        char *report = NULL, line[128];
        maker m = {.d = new_disk(), .spoil = bad[i].spoil, .leaves = bad[i].leaves};
        CHECK_ERR(quorate_storage_check(make, &m, &report, &err), QUORATE_ERR_INVALID, "");
        snprintf(line, sizeof line, "BROKEN  %s: ", bad[i].rule);
        if (!strstr(report, line)) check_fail(__FILE__, __LINE__, line, report);
        if (bad[i].leaves) { /* all rules without crashes hold, and the calls that led to it are told */
            CHECK(strstr(report, "ok      what was synced is there after a restart"));
            CHECK(strstr(strstr(report, line), "the calls were: open, "));
        }
        quorate_free(report);
        free_maker(&m);
    }
}

static quorate_storage has_no_read(quorate_storage store) { return store.read = NULL, store; }
static quorate_storage is_no_table(quorate_storage store) { return store.struct_size = 3, store; }
static quorate_storage sets_reserved(quorate_storage store) { return store.reserved = 1, store; }

static void what_is_no_store_is_refused(void) {
    static const struct { quorate_storage (*spoil)(quorate_storage); const char *says; int drops; } bad[] = {
        {has_no_read, "storage.read is NULL", 1}, {sets_reserved, "reserved", 1}, {is_no_table, "struct_size", 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        quorate_error *err = NULL;
        maker m = {.d = new_disk(), .spoil = bad[i].spoil};
        CHECK_ERR(quorate_storage_check(make, &m, NULL, &err), QUORATE_ERR_INVALID, bad[i].says);
        CHECK_EQ(m.d->dropped, bad[i].drops ? m.made : 0);
        free_maker(&m);
    }
}

static void a_maker_may_fail(void) {
    quorate_error *err = NULL;
    char *report = NULL;
    maker m = {.d = new_disk(), .refuses_after = 5};
    CHECK_ERR(quorate_storage_check(NULL, &m, &report, &err), QUORATE_ERR_INVALID, "make is NULL");
    CHECK(report == NULL);
    CHECK_ERR(quorate_storage_check(make, &m, &report, &err), QUORATE_ERR_INVALID, "the factory is closed");
    CHECK(strstr(report, "\nskipped an entry that was synced survives a crash: ")); /* it was not tried */
    CHECK_EQ(m.d->dropped, 5);
    quorate_free(report);
    free_maker(&m);
}

static quorate_status checks_in_commit(void *ctx, const quorate_entry *entries, size_t n,
                                       quorate_output *replies, quorate_error **callback_err) {
    quorate_error *err = NULL;
    maker m = {.d = NULL};
    CHECK_ERR(quorate_storage_check(make, &m, NULL, &err), QUORATE_ERR_IN_CALLBACK, "callback");
    return counter_commit(ctx, entries, n, replies, callback_err);
}

static void it_does_not_run_in_a_callback(void) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    counter c = {0};
    quorate_state_machine machine = counter_machine(&c);
    machine.commit = checks_in_commit;
    quorate_config *config = quorate_config_new();
    CHECK_OK(quorate_config_state_machine(config, &machine, &err));
    CHECK_OK(quorate_config_set(config, "storage", "memory", &err));
    CHECK_OK(quorate_service_start(config, &service, &err));
    quorate_config_free(config);
    propose_wait(service, "x");
    quorate_service_free(service);
    CHECK_EQ(c.entries, 1);
}

int main(void) {
    RUN(a_store_passes_the_kit_with_crashes);
    RUN(a_store_that_can_not_crash_is_told_what_was_skipped);
    RUN(each_call_that_fails_is_named);
    RUN(a_broken_rule_is_named);
    RUN(what_is_no_store_is_refused);
    RUN(a_maker_may_fail);
    RUN(it_does_not_run_in_a_callback);
    return check_end("kit");
}
