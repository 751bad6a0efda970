/* The life of one service: what it is given comes back, in order, once, and again after a restart. */
#include "check.h"
#include <poll.h>
#include <pthread.h>

static void an_unused_config_drops_its_hooks(void) {
    quorate_error *err = NULL;
    counter first = {0}, second = {0};
    quorate_state_machine machine = counter_machine(&first);
    quorate_config *config = quorate_config_new();
    CHECK_OK(quorate_config_state_machine(config, &machine, &err));
    machine = counter_machine(&second);
    CHECK_OK(quorate_config_state_machine(config, &machine, &err));
    CHECK_EQ(first.dropped, 1);
    CHECK_EQ(second.dropped, 0);
    quorate_config_free(config);
    CHECK_EQ(first.dropped, 1);
    CHECK_EQ(second.dropped, 1);
}

static void a_standalone_service_applies_and_replies(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    quorate_bytes tags[] = {{"red", 3}, {"", 0}, {"green", 5}};
    quorate_entry entry = entry_of("abc");
    entry.type = 7;
    entry.timestamp_ns = -1;
    entry.tags = tags;
    entry.tags_len = 3;
    quorate_result *result = NULL;
    CHECK_OK(quorate_service_propose_wait(service, &entry, 30000, &result, &err));
    CHECK_STR(result->data.data, "ABC");
    CHECK_EQ(result->data.len, 3);
    CHECK(result->index > 0 && result->term > 0);
    CHECK_EQ(c.last_type, 7);
    CHECK_EQ(c.last_tags, 3);
    CHECK_EQ(c.last_index, result->index);
    uint64_t first = result->index, index = 0, term = 0;
    quorate_free(result);
    CHECK_OK(quorate_service_propose(service, &entry, 30000, &index, &term, &err));
    CHECK(index == first + 1 && term > 0);
    quorate_tracker *applied = quorate_service_applied_tracker(service);
    CHECK_EQ(quorate_tracker_wait(applied, index), index);
    CHECK_EQ(quorate_tracker_update(applied, 1), QUORATE_ERR_INVALID);
    quorate_tracker_close(applied); /* its service's alone: nothing happens */
    CHECK_EQ(propose_wait(service, "x"), index + 1);
    CHECK_EQ(quorate_tracker_wait(applied, index + 1), index + 1);
    CHECK_OK(quorate_service_read_barrier(service, QUORATE_READ_LINEARIZABLE, 30000, &err));
    quorate_info info = info_of(service);
    CHECK_EQ(info.state, QUORATE_STATE_STANDALONE);
    CHECK_EQ(info.leader_id, info.my_id);
    CHECK_EQ(info.last_applied, index + 1);
    CHECK(info.first_index == 1 && info.last_index == index + 1 && info.commit_index == index + 1);
    quorate_protocol_status *status = quorate_service_raft_status(service);
    CHECK(status->peer_indices_len == 0 && status->peer_indices != NULL);
    quorate_free(status);
    quorate_node_list *list = quorate_service_node_config(service);
    CHECK_EQ(list->current_len + list->next_len + list->unique_len + list->learners_len, 0);
    quorate_free(list);
    CHECK_OK(quorate_service_close(service, &err));
    CHECK_EQ(quorate_tracker_wait(applied, index + 100), index + 1);
    quorate_tracker_free(applied);
    quorate_service_free(service);
    CHECK_EQ(c.entries, 3);
    CHECK_EQ(c.dropped, 1);
}

static void a_restart_applies_everything_again(void) {
    char dir[256], text[16];
    counter first = {0}, second = {0};
    quorate_service *service = start(&first, new_dir(dir, sizeof dir), "127.0.0.1:0");
    uint64_t id = info_of(service).my_id, last = 0;
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "entry %d", i);
        last = propose_wait(service, text);
    }
    quorate_service_free(service);
    CHECK_EQ(first.entries, 50);
    service = start(&second, dir, "127.0.0.1:0");
    quorate_tracker *applied = quorate_service_applied_tracker(service);
    CHECK(quorate_tracker_wait(applied, last) >= last);
    CHECK_EQ(counted(&second.entries), 50);
    CHECK_EQ(info_of(service).my_id, id);
    quorate_tracker_free(applied);
    quorate_service_free(service);
}

/* A state machine that is durable by itself: it says how far it is, and gets only what comes after. */
static uint64_t durable_index, durable_term;
static quorate_status durable_open(void *ctx, quorate_applied *out, quorate_error **err) {
    (void)err;
    ((counter *)ctx)->opened++;
    CHECK(out->struct_size >= sizeof *out && out->index == 0 && out->term == 0 && out->cluster_id == 0);
    out->index = durable_index;
    out->term = durable_term;
    return QUORATE_OK;
}

static quorate_service *start_durable(counter *c, const char *dir) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    quorate_state_machine machine = counter_machine(c);
    machine.open = durable_open;
    quorate_config *config = new_config(&machine, dir, "127.0.0.1:0");
    CHECK_OK(quorate_service_start(config, &service, &err));
    quorate_config_free(config);
    return service;
}

static void a_durable_state_machine_goes_on_where_it_was(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_service *service = start_durable(&c, new_dir(dir, sizeof dir));
    CHECK_EQ(c.opened, 1);
    quorate_entry entry = entry_of("x");
    quorate_result *result = NULL;
    CHECK_OK(quorate_service_propose_wait(service, &entry, 30000, &result, &err));
    durable_index = result->index;
    durable_term = result->term;
    quorate_free(result);
    uint64_t last = propose_wait(service, "y");
    quorate_service_free(service);
    memset(&c, 0, sizeof c);
    service = start_durable(&c, dir);
    quorate_tracker *applied = quorate_service_applied_tracker(service);
    CHECK(quorate_tracker_wait(applied, last) >= last);
    quorate_tracker_free(applied);
    CHECK_EQ(counted(&c.entries), 1);
    CHECK_EQ(c.last[0], 'y');
    quorate_service_free(service);

    /* Ahead of the log, or of another history: refused, and the hook dropped. */
    counter bad = {0};
    quorate_service *none = NULL;
    quorate_state_machine machine = counter_machine(&bad);
    machine.open = durable_open;
    durable_index = 1000;
    quorate_config *config = new_config(&machine, dir, "127.0.0.1:0");
    CHECK_ERR(quorate_service_start(config, &none, &err), QUORATE_ERR_STATE_MACHINE, "");
    CHECK(none == NULL);
    CHECK_EQ(bad.dropped, 1);
    quorate_config_free(config);
    durable_index = durable_term = 0;
}

static void a_batch_of_requests_gives_one_completion_each(void) {
    enum { N = 500 };
    static quorate_request requests[N];
    static char texts[N][16];
    static char seen[N];
    quorate_error *err = NULL;
    quorate_completion done[64];
    char dir[256];
    counter c = {0};
    quorate_queue *queue = quorate_queue_new();
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    for (int i = 0; i < N; i++) {
        requests[i] = (quorate_request)QUORATE_REQUEST_INIT;
        requests[i].token = (uint64_t)i;
        requests[i].op = i % 5 == 4 ? QUORATE_OP_READ_BARRIER : i % 5 == 3 ? QUORATE_OP_PROPOSE : 0;
        requests[i].timeout_ms = 30000;
        snprintf(texts[i], sizeof texts[i], "v%d", i);
        requests[i].entry = entry_of(texts[i]);
    }
    CHECK_EQ(quorate_service_submit(service, queue, requests, N, &err), N);
    memset(requests, 0xee, sizeof requests); /* everything has been copied */
    memset(texts, 0xee, sizeof texts);
    struct pollfd readable = {quorate_queue_fd(queue), POLLIN, 0};
    uint64_t last_index = 0;
    for (int got = 0; got < N;) {
        CHECK_EQ(poll(&readable, 1, 30000), 1);
        quorate_status n = quorate_queue_poll(queue, done, 64, 0);
        CHECK(n >= 0 && n <= 64);
        for (quorate_status i = 0; i < n; i++) {
            uint64_t token = done[i].token;
            char reply[16];
            CHECK(token < N && !seen[token]);
            CHECK_EQ(done[i].status, QUORATE_OK);
            seen[token] = 1;
            if (done[i].op == QUORATE_OP_PROPOSE_WAIT) {
                snprintf(reply, sizeof reply, "v%d", (int)token);
                for (char *at = reply; *at; at++) *at ^= 0x20;
                CHECK_STR(done[i].data.data, reply);
                CHECK(done[i].index > last_index); /* in the order in which they were given */
                last_index = done[i].index;
            }
        }
        got += n;
    }
    CHECK_EQ(poll(&readable, 1, 0), 0);
    quorate_service_free(service);
    quorate_queue_free(queue);
    CHECK_EQ(c.entries, N / 5 * 4);
}

/* A batch is taken up to what is wrong in it. */
static void the_front_of_a_batch_is_taken(void) {
    quorate_error *err = NULL;
    quorate_completion done[4];
    quorate_request requests[3] = {QUORATE_REQUEST_INIT, QUORATE_REQUEST_INIT, QUORATE_REQUEST_INIT};
    char dir[256];
    counter c = {0};
    quorate_queue *queue = quorate_queue_new();
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    requests[0].entry = requests[1].entry = requests[2].entry = entry_of("x");
    requests[2].op = 99;
    CHECK_EQ(quorate_service_submit(service, queue, requests, 3, &err), 2);
    CHECK(err == NULL);
    int got = 0;
    while (got < 2) got += quorate_queue_poll(queue, done, 4, 30000);
    CHECK_EQ(got, 2);
    quorate_service_free(service);
    CHECK_EQ(quorate_queue_poll(queue, done, 4, 0), 0);
    quorate_queue_free(queue);
}

/* Nobody is left waiting when a service closes: every request still gives its one completion. */
static void close_answers_whoever_waits(void) {
    enum { N = 200 };
    static quorate_request requests[N];
    quorate_error *err = NULL;
    quorate_completion done[N];
    char dir[256];
    counter c = {0};
    quorate_queue *queue = quorate_queue_new();
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    for (int i = 0; i < N; i++) {
        requests[i] = (quorate_request)QUORATE_REQUEST_INIT;
        requests[i].token = (uint64_t)i;
        requests[i].entry = entry_of("x");
    }
    quorate_status taken = quorate_service_submit(service, queue, requests, N, &err);
    CHECK(taken > 0);
    CHECK_OK(quorate_service_close(service, &err));
    int ok = 0, got = 0;
    while (got < taken) {
        quorate_status n = quorate_queue_poll(queue, done, N, 30000);
        CHECK(n > 0);
        for (int i = 0; i < n; i++) {
            ok += done[i].status == QUORATE_OK;
            if (done[i].status < 0)
                CHECK(quorate_status_outcome(done[i].status) != QUORATE_OUTCOME_FATAL && done[i].data.len > 0);
        }
        got += n;
    }
    CHECK(ok <= c.entries); /* what was acknowledged was applied */
    quorate_service_free(service);
    quorate_queue_free(queue);
}

/* A queue may go before what is under way for it. */
static void a_queue_may_go_first(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_queue *queue = quorate_queue_new();
    quorate_tracker *tracker = quorate_tracker_new();
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    quorate_request request = QUORATE_REQUEST_INIT;
    request.entry = entry_of("x");
    CHECK_EQ(quorate_service_submit(service, queue, &request, 1, &err), 1);
    CHECK_OK(quorate_tracker_notify(tracker, 5, QUORATE_FOREVER, queue, 1, &err));
    quorate_queue_free(queue);
    quorate_tracker_update(tracker, 9);
    propose_wait(service, "y");
    quorate_tracker_free(tracker);
    quorate_service_free(service);
    CHECK_EQ(c.entries, 2);
}

/* Many threads on one service: each sees its own replies. */
static quorate_service *shared;
static void *propose_many(void *name) {
    for (int i = 0; i < 25; i++) {
        char text[32], reply[32];
        quorate_error *err = NULL;
        quorate_result *result = NULL;
        snprintf(text, sizeof text, "%s %d", (char *)name, i);
        snprintf(reply, sizeof reply, "%s", text);
        for (char *at = reply; *at; at++) *at ^= 0x20;
        quorate_entry entry = entry_of(text);
        CHECK_OK(quorate_service_propose_wait(shared, &entry, 60000, &result, &err));
        CHECK_EQ(memcmp(result->data.data, reply, strlen(text)), 0);
        quorate_free(result);
        CHECK(info_of(shared).last_applied > 0);
    }
    return NULL;
}

static void many_threads_share_a_service(void) {
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    static char names[THREADS][4];
    char dir[256];
    counter c = {0};
    shared = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    for (int i = 0; i < THREADS; i++) {
        snprintf(names[i], sizeof names[i], "t%d", i);
        CHECK_EQ(pthread_create(&threads[i], NULL, propose_many, names[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    quorate_service_free(shared);
    CHECK_EQ(c.entries, THREADS * 25);
}

/* Only one thread polls a queue; a second one is told so. */
static void *poll_once(void *queue) {
    quorate_completion done[1];
    quorate_status status;
    do status = quorate_queue_poll(queue, done, 1, QUORATE_FOREVER);
    while (status == QUORATE_ERR_BUSY); /* the other one was quicker */
    CHECK_EQ(status, 0);
    return NULL;
}

static void a_second_poller_is_busy(void) {
    pthread_t thread;
    quorate_completion done[1];
    quorate_queue *queue = quorate_queue_new();
    CHECK_EQ(pthread_create(&thread, NULL, poll_once, queue), 0);
    quorate_status status;
    do {
        status = quorate_queue_poll(queue, done, 1, 0); /* 0 until the other one polls */
        CHECK(status == 0 || status == QUORATE_ERR_BUSY);
    } while (status == 0);
    quorate_queue_wake(queue);
    pthread_join(thread, NULL);
    quorate_queue_free(queue);
}

int main(void) {
    RUN(an_unused_config_drops_its_hooks);
    RUN(a_standalone_service_applies_and_replies);
    RUN(a_restart_applies_everything_again);
    RUN(a_durable_state_machine_goes_on_where_it_was);
    RUN(a_batch_of_requests_gives_one_completion_each);
    RUN(the_front_of_a_batch_is_taken);
    RUN(close_answers_whoever_waits);
    RUN(a_queue_may_go_first);
    RUN(many_threads_share_a_service);
    RUN(a_second_poller_is_busy);
    return check_end("life");
}
