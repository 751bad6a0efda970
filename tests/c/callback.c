/* Callbacks: what they may call, what happens when they fail, and who owns their ctx. */
#include "check.h"

/* ---- Blocking calls are refused, others work -------------------------------------------------------- */

typedef struct {
    counter counter; /* first, so that counter_commit works on it */
    quorate_service *service;
    quorate_queue *queue;
    quorate_tracker *tracker;
    int checked;
    quorate_output *replies;
} nosy;

static quorate_status nosy_commit(void *ctx, const quorate_entry *entries, size_t n, quorate_output *replies,
                                  quorate_error **callback_err) {
    nosy *it = ctx;
    quorate_error *err = NULL;
    quorate_completion done[1];
    quorate_entry entry = entry_of("inner");
    quorate_service *service = it->service;
    quorate_bytes item = {"x", 1};
    CHECK(callback_err != NULL && *callback_err == NULL);
    if (it->replies) CHECK_EQ(quorate_output_set(it->replies, 0, &item, 1), QUORATE_ERR_CLOSED);
    if (service && !it->checked) {
        it->checked = 1;
        quorate_service *none = NULL;
        counter c = {0};
        quorate_state_machine machine = counter_machine(&c);
        quorate_config *config = new_config(&machine, "/tmp", "127.0.0.1:0");
        const quorate_status expected = QUORATE_ERR_IN_CALLBACK;
        CHECK_ERR(quorate_service_start(config, &none, &err), expected, "callback");
        quorate_config_free(config);
        CHECK_EQ(c.dropped, 1);
        CHECK_ERR(quorate_service_close(service, &err), expected, "callback");
        CHECK_ERR(quorate_service_propose(service, &entry, 1, NULL, NULL, &err), expected, "submit");
        CHECK_ERR(quorate_service_propose_wait(service, &entry, 1, NULL, &err), expected, "callback");
        CHECK_ERR(quorate_service_read_barrier(service, 0, 1, &err), expected, "callback");
        CHECK_ERR(quorate_service_initialize_cluster(service, "127.0.0.1:1", 1, &err), expected, "callback");
        CHECK_ERR(quorate_service_add_node(service, "127.0.0.1:1", 1, &err), expected, "callback");
        CHECK_ERR(quorate_service_remove_node(service, 1, 1, &err), expected, "callback");
        CHECK_EQ(quorate_queue_poll(it->queue, done, 1, 0), expected);
        CHECK_EQ(quorate_tracker_wait(it->tracker, 100), 4);
        CHECK_EQ(quorate_tracker_timed_wait(it->tracker, 100, 60000), 4);
        quorate_service_free(service); /* frees nothing */
        /* What does not wait works. */
        quorate_request request = QUORATE_REQUEST_INIT;
        request.entry = entry;
        CHECK_EQ(quorate_service_submit(service, it->queue, &request, 1, &err), 1);
        CHECK_EQ(quorate_tracker_update(it->tracker, 5), QUORATE_OK);
        CHECK(info_of(service).my_id != 0);
        quorate_node_list *list = quorate_service_node_config(service);
        CHECK(list != NULL);
        quorate_free(list);
        CHECK_EQ(quorate_output_set(replies, n, NULL, 0), QUORATE_OK);
        CHECK_EQ(quorate_output_set(replies, n, &item, 1), QUORATE_ERR_INVALID);
        CHECK_EQ(quorate_output_set(replies, SIZE_MAX, &item, 1), QUORATE_ERR_INVALID);
        CHECK_EQ(quorate_output_set(replies, 0, NULL, 1), QUORATE_ERR_INVALID);
        CHECK_EQ(quorate_output_set(replies, 0, &item, SIZE_MAX), QUORATE_ERR_TOO_LARGE);
        quorate_bytes unset = {NULL, SIZE_MAX}; /* it has no data, and no length counts */
        CHECK_EQ(quorate_output_set(replies, 0, &unset, 1), QUORATE_OK);
        item.len = SIZE_MAX / 4; /* more than there is memory, and not read */
        CHECK_EQ(quorate_output_set(replies, 0, &item, 1), QUORATE_ERR_TOO_LARGE);
        it->replies = replies;
    }
    return counter_commit(ctx, entries, n, replies, callback_err);
}

/* known bug: H8 */
static void blocking_calls_are_refused_in_a_callback(void) {
    quorate_error *err = NULL;
    char dir[256];
    nosy it = {.queue = quorate_queue_new(), .tracker = quorate_tracker_new()};
    quorate_tracker_update(it.tracker, 4);
    quorate_state_machine machine = counter_machine(&it.counter);
    machine.commit = nosy_commit;
    quorate_config *config = new_config(&machine, new_dir(dir, sizeof dir), "127.0.0.1:0");
    CHECK_OK(quorate_service_start(config, &it.service, &err));
    quorate_config_free(config);
    propose_wait(it.service, "outer");
    CHECK(it.checked);
    quorate_completion done[1];
    CHECK_EQ(quorate_queue_poll(it.queue, done, 1, 30000), 1);
    CHECK_EQ(done[0].status, QUORATE_OK);
    CHECK_STR(done[0].data.data, "INNER");
    CHECK_EQ(quorate_tracker_timed_wait(it.tracker, 5, 0), 5);
    /* The slots were that callback's; nobody can write a reply now. */
    quorate_bytes item = {"x", 1};
    CHECK_EQ(quorate_output_set(it.replies, 0, &item, 1), QUORATE_ERR_CLOSED);
    quorate_service_free(it.service);
    CHECK_EQ(quorate_output_set(it.replies, 0, &item, 1), QUORATE_ERR_CLOSED);
    CHECK_EQ(it.counter.entries, 2);
    quorate_queue_free(it.queue);
    quorate_tracker_free(it.tracker);
}

/* ---- Replies ------------------------------------------------------------------------------------------ */

static quorate_status picky_commit(void *ctx, const quorate_entry *entries, size_t n, quorate_output *replies,
                                   quorate_error **err) {
    (void)ctx, (void)err;
    quorate_bytes items[64];
    CHECK(n <= 64);
    for (size_t i = 0; i < n; i++) {
        const char *data = entries[i].data.data;
        items[i].data = data[0] == 'n' ? NULL : "reply"; /* none, empty, or 5 bytes */
        items[i].len = data[0] == 'n' || data[0] == 'e' ? 0 : 5;
    }
    return quorate_output_set(replies, 0, items, n);
}

static void no_reply_and_an_empty_one_are_told_apart(void) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    char dir[256];
    counter c = {0};
    quorate_state_machine machine = counter_machine(&c);
    machine.commit = picky_commit;
    quorate_config *config = new_config(&machine, new_dir(dir, sizeof dir), "127.0.0.1:0");
    CHECK_OK(quorate_service_start(config, &service, &err));
    quorate_config_free(config);
    static const char *const texts[] = {"none", "empty", "full"};
    quorate_queue *queue = quorate_queue_new();
    for (int i = 0; i < 3; i++) {
        quorate_entry entry = entry_of(texts[i]);
        quorate_result *result = NULL;
        CHECK_OK(quorate_service_propose_wait(service, &entry, 30000, &result, &err));
        CHECK_EQ(result->data.data != NULL, i > 0);
        CHECK_EQ(result->data.len, i == 2 ? 5 : 0);
        if (i > 0) CHECK_STR(result->data.data, i == 2 ? "reply" : "");
        quorate_free(result);
        quorate_request request = QUORATE_REQUEST_INIT;
        quorate_completion done[1];
        request.entry = entry;
        CHECK_EQ(quorate_service_submit(service, queue, &request, 1, &err), 1);
        CHECK_EQ(quorate_queue_poll(queue, done, 1, 30000), 1);
        CHECK_EQ(done[0].data.data != NULL, i > 0);
        CHECK_EQ(done[0].data.len, i == 2 ? 5 : 0);
    }
    quorate_queue_free(queue);
    quorate_service_free(service);
}

/* ---- Failure ------------------------------------------------------------------------------------------- */

static quorate_status failing_commit(void *ctx, const quorate_entry *entries, size_t n,
                                     quorate_output *replies, quorate_error **err) {
    for (size_t i = 0; i < n; i++) {
        if (entries[i].data.len == 4 && !memcmp(entries[i].data.data, "fail", 4)) {
            *err = quorate_error_new("the table is full");
            return QUORATE_ERR_STATE_MACHINE_FAILED;
        }
    }
    return counter_commit(ctx, entries, n, replies, err);
}

static quorate_status silent_commit(void *ctx, const quorate_entry *entries, size_t n, quorate_output *replies,
                                    quorate_error **err) {
    (void)ctx, (void)entries, (void)n, (void)replies, (void)err;
    return -77;
}

static quorate_status lying_commit(void *ctx, const quorate_entry *entries, size_t n, quorate_output *replies,
                                   quorate_error **err) {
    (void)ctx, (void)entries, (void)n, (void)replies;
    *err = (quorate_error *)0x10; /* not of quorate_error_new: it is not followed */
    return -1;
}

static quorate_service *start_with(counter *c, __typeof__(&failing_commit) commit) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    char dir[256];
    quorate_state_machine machine = counter_machine(c);
    machine.commit = commit;
    quorate_config *config = new_config(&machine, new_dir(dir, sizeof dir), "127.0.0.1:0");
    CHECK_OK(quorate_service_start(config, &service, &err));
    quorate_config_free(config);
    return service;
}

static void a_failing_commit_stops_the_service_and_says_why(void) {
    quorate_error *err = NULL;
    counter c = {0};
    quorate_service *service = start_with(&c, failing_commit);
    propose_wait(service, "fine");
    quorate_entry entry = entry_of("fail");
    quorate_status status = quorate_service_propose_wait(service, &entry, 30000, NULL, &err);
    CHECK_EQ(quorate_status_outcome(status), QUORATE_OUTCOME_UNKNOWN);
    quorate_free(err);
    err = NULL;
    /* From now on every call says that the service has failed, and why. */
    entry = entry_of("more");
    CHECK_ERR(quorate_service_propose_wait(service, &entry, 30000, NULL, &err), QUORATE_ERR_STATE_MACHINE_FAILED,
              "the table is full");
    CHECK_EQ(info_of(service).state, QUORATE_STATE_FAILED);
    CHECK_EQ(info_of(service).failure, QUORATE_ERR_STATE_MACHINE_FAILED);
    CHECK_ERR(quorate_service_close(service, &err), QUORATE_ERR_STATE_MACHINE_FAILED, "the table is full");
    quorate_service_free(service);
    CHECK_EQ(c.entries, 1);
    CHECK_EQ(c.dropped, 1);
}

static void a_commit_that_fails_silently_or_lies_is_named_too(void) {
    quorate_error *err = NULL;
    for (int i = 0; i < 2; i++) {
        counter c = {0};
        quorate_service *service = start_with(&c, i ? lying_commit : silent_commit);
        quorate_entry entry = entry_of("x");
        CHECK(quorate_service_propose_wait(service, &entry, 30000, NULL, NULL) < 0);
        CHECK_ERR(quorate_service_close(service, &err), QUORATE_ERR_STATE_MACHINE_FAILED, i ? "-1" : "-77");
        quorate_service_free(service);
        CHECK_EQ(c.dropped, 1);
    }
}

static quorate_status failing_open(void *ctx, quorate_applied *out, quorate_error **err) {
    (void)ctx, (void)out;
    *err = quorate_error_new("the database is locked");
    return -1;
}

static void a_failing_open_refuses_the_start(void) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    char dir[256];
    counter c = {0};
    quorate_state_machine machine = counter_machine(&c);
    machine.open = failing_open;
    quorate_config *config = new_config(&machine, new_dir(dir, sizeof dir), "127.0.0.1:0");
    CHECK_ERR(quorate_service_start(config, &service, &err), QUORATE_ERR_STATE_MACHINE_FAILED,
              "the database is locked");
    CHECK(service == NULL);
    CHECK_EQ(c.dropped, 1);
    quorate_config_free(config);
    CHECK_EQ(c.dropped, 1);
}

/* ---- Ownership of ctx ----------------------------------------------------------------------------------- */

static quorate_status later_query(void *ctx, const void *request, size_t len, quorate_output *reply,
                                  quorate_error **err) {
    (void)ctx, (void)request, (void)len, (void)reply, (void)err;
    return QUORATE_OK;
}
static void later_end(void *ctx, void *snapshot) { (void)ctx, (void)snapshot; }

static void a_refused_table_is_dropped_once(void) {
    quorate_error *err = NULL;
    counter c = {0};
    quorate_config *config = quorate_config_new();
    quorate_state_machine machine = counter_machine(&c);
    machine.commit = NULL;
    CHECK_ERR(quorate_config_state_machine(config, &machine, &err), QUORATE_ERR_INVALID, "commit");
    CHECK_EQ(c.dropped, 1);
    machine = counter_machine(&c);
    machine.query = later_query;
    CHECK_ERR(quorate_config_state_machine(config, &machine, &err), QUORATE_ERR_UNSUPPORTED, "NULL");
    CHECK_EQ(c.dropped, 2);
    machine = counter_machine(&c);
    machine.snapshot_end = later_end;
    CHECK_ERR(quorate_config_state_machine(config, &machine, &err), QUORATE_ERR_UNSUPPORTED, "NULL");
    CHECK_EQ(c.dropped, 3);
    machine = counter_machine(&c);
    CHECK_OK(quorate_config_state_machine(config, &machine, &err));
    quorate_config_free(config);
    quorate_config_free(config);
    CHECK_EQ(c.dropped, 4);
    /* Without a drop there is nothing to call. */
    config = quorate_config_new();
    machine.drop = NULL;
    CHECK_OK(quorate_config_state_machine(config, &machine, &err));
    quorate_config_free(config);
    CHECK_EQ(c.dropped, 4);
}

/* `drop` is a callback like any other. */
static quorate_status status_in_drop;
static quorate_service *service_in_drop;
static void nosy_drop(void *ctx) {
    counter_drop(ctx);
    status_in_drop = quorate_service_close(service_in_drop, NULL);
}

static void drop_is_a_callback_too(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0}, other = {0};
    service_in_drop = start(&other, new_dir(dir, sizeof dir), "127.0.0.1:0");
    quorate_state_machine machine = counter_machine(&c);
    machine.drop = nosy_drop;
    quorate_config *config = quorate_config_new();
    CHECK_OK(quorate_config_state_machine(config, &machine, &err));
    quorate_config_free(config);
    CHECK_EQ(c.dropped, 1);
    CHECK_EQ(status_in_drop, QUORATE_ERR_IN_CALLBACK);
    CHECK_EQ(info_of(service_in_drop).state, QUORATE_STATE_STANDALONE);
    quorate_service_free(service_in_drop);
}

int main(void) {
    RUN(blocking_calls_are_refused_in_a_callback);
    RUN(no_reply_and_an_empty_one_are_told_apart);
    RUN(a_failing_commit_stops_the_service_and_says_why);
    RUN(a_commit_that_fails_silently_or_lies_is_named_too);
    RUN(a_failing_open_refuses_the_start);
    RUN(a_refused_table_is_dropped_once);
    RUN(drop_is_a_callback_too);
    return check_end("callback");
}
