/* Services on stores of the host's own: who owns what, calls that fail, wait and call back. */
#include "store.h"

/* ---- Services on a store of the host's own ---------------------------------------------------------------- */

static void a_service_keeps_its_log_in_it(void) {
    counter c = {0};
    disk *d = new_disk();
    quorate_service *service = start_on(&c, d);
    uint64_t id = info_of(service).my_id, last = 0;
    for (int i = 0; i < 20; i++) last = propose_wait(service, "kept");
    CHECK(calls(d, APPEND) > 0 && calls(d, SYNC) > 0 && calls(d, PUT) > 0);
    quorate_service_free(service);
    CHECK_EQ(d->dropped, 1);
    CHECK_EQ(d->n, last);
    memset(&c, 0, sizeof c);
    service = start_on(&c, d);
    CHECK_EQ(info_of(service).my_id, id);
    CHECK(info_of(service).last_index >= last);
    CHECK(propose_wait(service, "more") > last);
    CHECK_EQ(c.entries, 21);
    quorate_service_free(service);
    CHECK_EQ(d->dropped, 2);
    free_disk(d);
}

/* The two names of a store are one choice: the table is what counts, and no directory is made. */
static void it_stands_in_place_of_the_setting(void) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    counter c = {0};
    disk *d = new_disk();
    quorate_config *config = config_on(&c, d);
    CHECK_ERR(quorate_config_set(config, "storage", "tape", &err), QUORATE_ERR_INVALID, "storage");
    CHECK_OK(quorate_config_set(config, "data_dir", "/proc/quorate-test", &err));
    CHECK_OK(quorate_service_start(config, &service, &err));
    quorate_config_free(config);
    propose_wait(service, "x");
    quorate_service_free(service);
    CHECK(d->n > 0);
    free_disk(d);
}

/* ---- Who owns ctx ---------------------------------------------------------------------------------------------- */

static void a_table_without_a_function_is_refused(void) {
    quorate_error *err = NULL;
    disk *d = new_disk();
    quorate_config *config = quorate_config_new();
    for (int hook = 0; hook < HOOKS; hook++) {
        quorate_storage store = store_on(d);
        /* The functions stand one behind the other. */
        memset((char *)&store + offsetof(quorate_storage, open) + (size_t)hook * sizeof(void *), 0, sizeof(void *));
        CHECK_ERR(quorate_config_storage(config, &store, &err), QUORATE_ERR_INVALID, HOOK[hook]);
        CHECK_EQ(d->dropped, hook + 1);
    }
    quorate_config_free(config);
    CHECK_EQ(d->dropped, HOOKS);
    free_disk(d);
}

static void a_table_of_another_size_is_refused(void) {
    struct { quorate_storage known; uint64_t later; } newer;
    quorate_error *err = NULL;
    disk *d = new_disk();
    quorate_config *config = quorate_config_new();
    static const uint32_t wrong[] = {0, 1, 4, 16, 24, sizeof(quorate_storage) - 1, 5000, UINT32_MAX};
    int dropped = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        quorate_storage store = store_on(d);
        store.struct_size = wrong[i];
        dropped += wrong[i] >= 24; /* large enough to say how to drop it */
        CHECK_ERR(quorate_config_storage(config, &store, &err), QUORATE_ERR_INVALID, "struct_size");
        CHECK_EQ(d->dropped, dropped);
    }
    CHECK_ERR(quorate_config_storage(config, NULL, &err), QUORATE_ERR_INVALID, "storage");
    newer.known = store_on(d);
    newer.known.struct_size = sizeof newer;
    newer.later = 1;
    CHECK_ERR(quorate_config_storage(config, &newer.known, &err), QUORATE_ERR_UNSUPPORTED, "update");
    CHECK_EQ(d->dropped, ++dropped);
    newer.known.reserved = 1, newer.later = 0;
    CHECK_ERR(quorate_config_storage(config, &newer.known, &err), QUORATE_ERR_INVALID, "reserved");
    CHECK_EQ(d->dropped, ++dropped);
    newer.known.reserved = 0;
    CHECK_OK(quorate_config_storage(config, &newer.known, &err));
    CHECK_EQ(d->dropped, dropped); /* it is in the config */
    quorate_config_free(config);
    CHECK_EQ(d->dropped, dropped + 1);
    free_disk(d);
}

static void ctx_is_dropped_once_whatever_happens(void) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    counter c = {0};
    disk *d = new_disk(), *other = new_disk();
    quorate_storage store = store_on(d);
    CHECK_ERR(quorate_config_storage(NULL, &store, &err), QUORATE_ERR_INVALID, "config");
    CHECK_EQ(d->dropped, 1); /* no config took it */
    quorate_config *config = config_on(&c, d);
    store = store_on(other);
    CHECK_OK(quorate_config_storage(config, &store, &err));
    CHECK_EQ(d->dropped, 2); /* replaced */
    CHECK_ERR(quorate_service_start(config, NULL, &err), QUORATE_ERR_INVALID, "out");
    CHECK_EQ(other->dropped, 1); /* the start failed */
    store = store_on(other);
    CHECK_ERR(quorate_config_storage(config, &store, &err), QUORATE_ERR_INVALID, "new one");
    CHECK_EQ(other->dropped, 2); /* the config is used up */
    quorate_config_free(config);
    CHECK_EQ(other->dropped, 2);
    config = quorate_config_new();
    store = store_on(other);
    CHECK_OK(quorate_config_storage(config, &store, &err));
    CHECK_ERR(quorate_service_start(config, &service, &err), QUORATE_ERR_INVALID, "state machine");
    CHECK_EQ(other->dropped, 3);
    quorate_config_free(config);
    service = start_on(&c, d);
    CHECK_EQ(d->dropped, 2);
    CHECK_OK(quorate_service_close(service, &err));
    CHECK_EQ(d->dropped, 3); /* closed, before the service is freed */
    quorate_service_free(service);
    CHECK_EQ(d->dropped, 3);
    /* Without a drop there is nothing to call. */
    config = quorate_config_new();
    store = store_on(d);
    store.drop = NULL;
    CHECK_OK(quorate_config_storage(config, &store, &err));
    quorate_config_free(config);
    CHECK_EQ(d->dropped, 3);
    free_disk(other);
    free_disk(d);
}

/* ---- Hooks that fail ------------------------------------------------------------------------------------------- */

static void a_failing_open_refuses_the_start_with_its_status(void) {
    static const quorate_status given[][2] = {
        {QUORATE_ERR_LOCKED, QUORATE_ERR_LOCKED},     {QUORATE_ERR_CORRUPT, QUORATE_ERR_CORRUPT},
        {QUORATE_ERR_IDENTITY, QUORATE_ERR_IDENTITY}, {QUORATE_ERR_VERSION, QUORATE_ERR_VERSION},
        {QUORATE_ERR_UNSUPPORTED, QUORATE_ERR_UNSUPPORTED},
        {QUORATE_ERR_IO, QUORATE_ERR_IO},             {-1, QUORATE_ERR_IO},
        {-77777, QUORATE_ERR_IO},                     {INT32_MIN, QUORATE_ERR_IO},
        {QUORATE_ERR_INTERNAL, QUORATE_ERR_IO},
    };
    disk *d = written_disk();
    d->fails_on = OPEN;
    d->says = "the drawer is jammed";
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        d->fails_with = given[i][0];
        start_fails(d, given[i][1], "the drawer is jammed");
    }
    d->says = NULL; /* it need not say why */
    start_fails(d, QUORATE_ERR_IO, "open");
    d->gives = (quorate_error *)0x10; /* not of quorate_error_new: it is not followed */
    start_fails(d, QUORATE_ERR_IO, "open");
    int mine = 7;
    d->gives = (quorate_error *)(void *)&mine;
    start_fails(d, QUORATE_ERR_IO, "open");
    CHECK_EQ(mine, 7);
    free_disk(d);
}

/* It is the end whatever the status: nothing is called any more, and nothing is cut. */
static void what_fails_while_starting_refuses_it(void) {
    static const int hooks[] = {READ, GET, PUT};
    static const quorate_status with[] = {-1, QUORATE_ERR_CORRUPT, QUORATE_ERR_VERSION};
    for (size_t i = 0; i < 9; i++) {
        disk *d = written_disk();
        size_t n = d->n;
        int hook = hooks[i / 3];
        memset(d->calls, 0, sizeof d->calls);
        d->fails_on = hook;
        d->fails_with = with[i % 3];
        d->says = "worn out";
        start_fails(d, QUORATE_ERR_IO, "worn out");
        CHECK_EQ(calls(d, hook), 1);
        CHECK_EQ(calls(d, CUT_END), 0);
        CHECK_EQ(d->n, n);
        free_disk(d);
    }
}

/* A positive status is no failure, and an error given with it is freed. */
static void a_positive_status_is_success(void) {
    for (int hook = 0; hook < HOOKS; hook++) {
        counter c = {0};
        disk *d = written_disk();
        d->fails_on = hook;
        d->fails_with = hook % 2 ? 1 : INT32_MAX;
        d->says = "all is well";
        quorate_service *service = start_on(&c, d);
        propose_wait(service, "x");
        quorate_service_free(service);
        CHECK_EQ(c.entries, 9);
        free_disk(d);
    }
}

static void a_failing_write_stops_that_service_alone(void) {
    static const int hooks[] = {APPEND, SYNC};
    for (size_t i = 0; i < sizeof hooks / sizeof hooks[0]; i++) {
        quorate_error *err = NULL;
        counter c = {0}, c2 = {0};
        disk *d = new_disk(), *fine = new_disk();
        quorate_service *service = start_on(&c, d), *other = start_on(&c2, fine);
        propose_wait(service, "fine");
        d->says = "the head has crashed";
        d->fails_with = i ? -1 : INT32_MIN;
        __atomic_store_n(&d->fails_on, hooks[i], __ATOMIC_SEQ_CST);
        quorate_entry entry = entry_of("lost");
        quorate_status status = quorate_service_propose_wait(service, &entry, 30000, NULL, &err);
        CHECK_EQ(quorate_status_outcome(status), QUORATE_OUTCOME_UNKNOWN);
        quorate_free(err);
        err = NULL;
        CHECK_ERR(quorate_service_propose_wait(service, &entry, 30000, NULL, &err), QUORATE_ERR_STORAGE_FAILED,
                  "the head has crashed");
        CHECK_EQ(info_of(service).state, QUORATE_STATE_FAILED);
        CHECK_EQ(info_of(service).failure, QUORATE_ERR_STORAGE_FAILED);
        int before = calls(d, hooks[i]);
        propose_wait(other, "lives on");
        CHECK_ERR(quorate_service_close(service, &err), QUORATE_ERR_STORAGE_FAILED, HOOK[hooks[i]]);
        CHECK_EQ(calls(d, hooks[i]), before); /* nothing is called after an error but drop */
        CHECK_EQ(d->dropped, 1);
        quorate_service_free(service);
        quorate_service_free(other);
        CHECK_EQ(c.entries, 1);
        free_disk(d);
        free_disk(fine);
    }
}

/* ---- Stores that wait, and stores that call back ------------------------------------------------------------------ */

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static int shut, waiting;

static void wait_at_the_gate(disk *d, int hook) {
    (void)d;
    if (hook != SYNC) return;
    pthread_mutex_lock(&gate);
    waiting++;
    pthread_cond_broadcast(&moved);
    while (shut) pthread_cond_wait(&moved, &gate);
    waiting--;
    pthread_mutex_unlock(&gate);
}

static void set_gate(int to) {
    pthread_mutex_lock(&gate);
    shut = to;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&gate);
}

static int closed;
static void *close_it(void *service) {
    CHECK_EQ(quorate_service_close(service, NULL), QUORATE_OK);
    __atomic_store_n(&closed, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void a_slow_sync_delays_its_own_entries_and_close(void) {
    quorate_error *err = NULL;
    counter c = {0}, c2 = {0};
    disk *slow = new_disk(), *fast = new_disk();
    pthread_t thread;
    slow->before = wait_at_the_gate;
    quorate_service *service = start_on(&c, slow), *other = start_on(&c2, fast);
    propose_wait(service, "before");
    set_gate(1);
    quorate_queue *queue = quorate_queue_new();
    quorate_request request = QUORATE_REQUEST_INIT;
    quorate_completion done[1];
    request.entry = entry_of("delayed");
    CHECK_EQ(quorate_service_submit(service, queue, &request, 1, &err), 1);
    pthread_mutex_lock(&gate);
    while (!waiting) pthread_cond_wait(&moved, &gate);
    pthread_mutex_unlock(&gate);
    /* In the meantime: looking, and other services. */
    CHECK_EQ(info_of(service).state, QUORATE_STATE_STANDALONE);
    char *report = quorate_service_report(service, QUORATE_REPORT_JSON);
    CHECK(report != NULL);
    quorate_free(report);
    propose_wait(other, "not delayed");
    CHECK_OK(quorate_service_read_barrier(other, QUORATE_READ_LINEARIZABLE, 30000, &err));
    CHECK_EQ(quorate_queue_poll(queue, done, 1, 0), 0);
    CHECK_EQ(pthread_create(&thread, NULL, close_it, service), 0);
    while (info_of(service).state == QUORATE_STATE_STANDALONE) sched_yield(); /* it is on its way */
    CHECK_EQ(info_of(service).state, QUORATE_STATE_STOPPING);
    CHECK_EQ(counted(&closed), 0);
    CHECK_EQ(counted(&slow->dropped), 0);
    set_gate(0);
    pthread_join(thread, NULL);
    CHECK_EQ(counted(&closed), 1);
    CHECK_EQ(slow->dropped, 1);
    CHECK_EQ(quorate_queue_poll(queue, done, 1, 30000), 1);
    CHECK(done[0].status == QUORATE_OK || done[0].status == QUORATE_ERR_INTERRUPTED);
    quorate_queue_free(queue);
    quorate_service_free(service);
    quorate_service_free(other);
    free_disk(slow);
    free_disk(fast);
}

static quorate_service *called_back;
static quorate_queue *called_queue;
static int checked;

static void call_back(disk *d, int hook) {
    (void)d;
    quorate_service *service = __atomic_load_n(&called_back, __ATOMIC_SEQ_CST), *none = NULL;
    if (hook != APPEND || !service || checked) return;
    checked = 1;
    quorate_error *err = NULL;
    quorate_entry entry = entry_of("inner");
    quorate_completion done[1];
    quorate_request request = QUORATE_REQUEST_INIT;
    const quorate_status refused = QUORATE_ERR_IN_CALLBACK;
    quorate_config *config = quorate_config_new();
    CHECK_ERR(quorate_service_start(config, &none, &err), refused, "callback");
    quorate_config_free(config);
    CHECK_ERR(quorate_service_close(service, &err), refused, "callback");
    CHECK_ERR(quorate_service_propose(service, &entry, 1, NULL, NULL, &err), refused, "");
    CHECK_ERR(quorate_service_propose_wait(service, &entry, 1, NULL, &err), refused, "");
    CHECK_ERR(quorate_service_read_barrier(service, 0, 1, &err), refused, "");
    CHECK_ERR(quorate_service_remove_node(service, 1, 1, &err), refused, "");
    CHECK_EQ(quorate_queue_poll(called_queue, done, 1, 0), refused);
    /* What does not wait works. */
    request.entry = entry;
    CHECK_EQ(quorate_service_submit(service, called_queue, &request, 1, &err), 1);
    CHECK_OK(quorate_service_subscribe(service, called_queue, 1, &err));
    CHECK(info_of(service).my_id != 0);
}

/* known bug: H7 */
static void a_store_may_call_back_what_does_not_wait(void) {
    counter c = {0};
    disk *d = new_disk();
    d->before = call_back;
    called_queue = quorate_queue_new();
    __atomic_store_n(&called_back, start_on(&c, d), __ATOMIC_SEQ_CST);
    propose_wait(called_back, "outer");
    CHECK(checked);
    quorate_completion done[1];
    do CHECK_EQ(quorate_queue_poll(called_queue, done, 1, 30000), 1);
    while (done[0].op != QUORATE_OP_PROPOSE_WAIT);
    CHECK_STR(done[0].data.data, "INNER");
    quorate_service_free(called_back);
    quorate_queue_free(called_queue);
    free_disk(d);
}

int main(void) {
    RUN(a_service_keeps_its_log_in_it);
    RUN(it_stands_in_place_of_the_setting);
    RUN(a_table_without_a_function_is_refused);
    RUN(a_table_of_another_size_is_refused);
    RUN(ctx_is_dropped_once_whatever_happens);
    RUN(a_failing_open_refuses_the_start_with_its_status);
    RUN(what_fails_while_starting_refuses_it);
    RUN(a_positive_status_is_success);
    RUN(a_failing_write_stops_that_service_alone);
    RUN(a_slow_sync_delays_its_own_entries_and_close);
    RUN(a_store_may_call_back_what_does_not_wait);
    return check_end("storage");
}
