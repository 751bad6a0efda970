/* What a service tells its host: log lines and events. */
#include "check.h"
#include <pthread.h>
#include <time.h>

/* ---- Log lines ------------------------------------------------------------------------------------------ */

typedef struct {
    int lines[8], dropped, refused, closes, named;
    quorate_service *service;
    pthread_mutex_t lock;
    char text[1 << 16];
} listener;

static void keep_line(void *ctx, const quorate_log_record *record) {
    listener *l = ctx;
    time_t now = time(NULL);
    CHECK(record->level >= QUORATE_LOG_ERROR && record->level <= QUORATE_LOG_DEBUG);
    CHECK(!strncmp(record->target, "quorate", 7));
    CHECK(strstr(record->file, ".rs") && record->line > 0);
    CHECK(record->timestamp_ns / 1000000000 >= now - 600 && record->timestamp_ns / 1000000000 <= now + 1);
    CHECK(record->message.len > 0);
    CHECK_EQ(((const char *)record->message.data)[record->message.len], 0);
    __atomic_add_fetch(&l->lines[record->level], 1, __ATOMIC_SEQ_CST);
    if (record->node_id) __atomic_add_fetch(&l->named, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&l->lock);
    if (strlen(l->text) + record->message.len + 2 < sizeof l->text)
        strcat(strcat(l->text, record->message.data), "\n");
    pthread_mutex_unlock(&l->lock);
    quorate_service *service = __atomic_load_n(&l->service, __ATOMIC_SEQ_CST);
    if (!counted(&l->closes) || !service) return;
    quorate_service_free(service); /* frees nothing */
    if (quorate_service_close(service, NULL) == QUORATE_ERR_IN_CALLBACK)
        __atomic_add_fetch(&l->refused, 1, __ATOMIC_SEQ_CST);
}

static void drop_listener(void *ctx) { __atomic_add_fetch(&((listener *)ctx)->dropped, 1, __ATOMIC_SEQ_CST); }

static quorate_logger logger_of(listener *l, int32_t level) {
    quorate_logger logger = QUORATE_LOGGER_INIT;
    CHECK_EQ(logger.level, QUORATE_LOG_INFO);
    logger.ctx = l;
    logger.level = level;
    logger.drop = drop_listener;
    logger.write = keep_line;
    return logger;
}

static quorate_service *start_with_logger(counter *c, listener *l, int32_t level) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    char dir[256];
    quorate_state_machine machine = counter_machine(c);
    quorate_logger logger = logger_of(l, level);
    quorate_config *config = new_config(&machine, new_dir(dir, sizeof dir), "127.0.0.1:0");
    CHECK_OK(quorate_config_logger(config, &logger, &err));
    CHECK_OK(quorate_service_start(config, &service, &err));
    quorate_config_free(config);
    return service;
}

static void lines_of_a_service_go_to_its_logger(void) {
    quorate_error *err = NULL;
    counter c = {0}, c2 = {0};
    listener *l = calloc(1, sizeof *l), *quiet = calloc(1, sizeof *quiet);
    quorate_service *service = start_with_logger(&c, l, QUORATE_LOG_DEBUG);
    quorate_service *other = start_with_logger(&c2, quiet, QUORATE_LOG_ERROR);
    CHECK_OK(quorate_service_initialize_cluster(service, info_of(service).address, 30000, &err));
    CHECK_ERR(quorate_service_add_node(service, "127.0.0.1:1", 30000, &err), QUORATE_ERR_UNREACHABLE, "");
    propose_wait(service, "x");
    quorate_service_free(service);
    quorate_service_free(other);
    CHECK(l->lines[QUORATE_LOG_INFO] > 0 && l->named > 0);
    CHECK(strlen(l->text) > 0);
    CHECK_EQ(l->dropped, 1);
    CHECK_EQ(quiet->lines[QUORATE_LOG_WARN] + quiet->lines[QUORATE_LOG_INFO] + quiet->lines[QUORATE_LOG_DEBUG], 0);
    CHECK_EQ(quiet->dropped, 1);
    free(quiet);
    free(l);
}

static quorate_status failing_commit(void *ctx, const quorate_entry *entries, size_t n, quorate_output *replies,
                                     quorate_error **err) {
    (void)ctx, (void)entries, (void)n, (void)replies;
    *err = quorate_error_new("the shelf broke");
    return -1;
}

static void a_failure_is_a_line_and_an_event(void) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    char dir[256];
    counter c = {0};
    listener *l = calloc(1, sizeof *l);
    quorate_state_machine machine = counter_machine(&c);
    machine.commit = failing_commit;
    quorate_logger logger = logger_of(l, QUORATE_LOG_ERROR);
    quorate_config *config = new_config(&machine, new_dir(dir, sizeof dir), "127.0.0.1:0");
    CHECK_OK(quorate_config_logger(config, &logger, &err));
    CHECK_OK(quorate_service_start(config, &service, &err));
    quorate_config_free(config);
    quorate_queue *queue = quorate_queue_new();
    CHECK_OK(quorate_service_subscribe(service, queue, 3, &err));
    CHECK(quorate_service_propose_wait(service, &(quorate_entry)QUORATE_ENTRY_INIT, 30000, NULL, NULL) < 0);
    quorate_completion event = {0};
    int failed = 0;
    do {
        CHECK_EQ(quorate_queue_poll(queue, &event, 1, 30000), 1);
        if (event.op == QUORATE_EVENT_FAILED) {
            failed++;
            CHECK_EQ(event.status, QUORATE_ERR_STATE_MACHINE_FAILED);
            CHECK(strstr(event.data.data, "the shelf broke") != NULL);
            CHECK_ERR(quorate_service_close(service, &err), QUORATE_ERR_STATE_MACHINE_FAILED, "the shelf broke");
        }
    } while (event.op != QUORATE_EVENT_CLOSED);
    CHECK_EQ(failed, 1);
    quorate_service_free(service);
    CHECK(l->lines[QUORATE_LOG_ERROR] > 0 && strstr(l->text, "the shelf broke"));
    quorate_queue_free(queue);
    free(l);
}

static void a_logger_may_not_close_its_service(void) {
    quorate_error *err = NULL;
    counter c = {0};
    listener *l = calloc(1, sizeof *l);
    quorate_service *service = start_with_logger(&c, l, QUORATE_LOG_DEBUG);
    __atomic_store_n(&l->service, service, __ATOMIC_SEQ_CST);
    __atomic_store_n(&l->closes, 1, __ATOMIC_SEQ_CST);
    CHECK_OK(quorate_service_initialize_cluster(service, info_of(service).address, 30000, &err));
    propose_wait(service, "x");
    CHECK(counted(&l->refused) > 0);
    CHECK_EQ(info_of(service).state, QUORATE_STATE_LEADER);
    __atomic_store_n(&l->closes, 0, __ATOMIC_SEQ_CST);
    quorate_service_free(service);
    CHECK_EQ(l->dropped, 1);
    free(l);
}

static void a_logger_that_is_none_is_refused_and_dropped_once(void) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    listener *l = calloc(1, sizeof *l);
    quorate_config *config = quorate_config_new();
    static const int32_t levels[] = {0, -1, 5, INT32_MAX, INT32_MIN};
    int dropped = 0;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        quorate_logger logger = logger_of(l, levels[i]);
        CHECK_ERR(quorate_config_logger(config, &logger, &err), QUORATE_ERR_INVALID, "level");
        CHECK_EQ(l->dropped, ++dropped);
    }
    quorate_logger logger = logger_of(l, QUORATE_LOG_WARN);
    logger.write = NULL;
    CHECK_ERR(quorate_config_logger(config, &logger, &err), QUORATE_ERR_INVALID, "write");
    CHECK_EQ(l->dropped, ++dropped);
    logger = logger_of(l, QUORATE_LOG_WARN);
    logger.struct_size--;
    CHECK_ERR(quorate_config_logger(config, &logger, &err), QUORATE_ERR_INVALID, "struct_size");
    CHECK_EQ(l->dropped, ++dropped);
    logger.struct_size = 12; /* it can't say how to drop it */
    CHECK_ERR(quorate_config_logger(config, &logger, &err), QUORATE_ERR_INVALID, "struct_size");
    CHECK_ERR(quorate_config_logger(config, NULL, &err), QUORATE_ERR_INVALID, "logger");
    CHECK_EQ(l->dropped, dropped);
    logger = logger_of(l, QUORATE_LOG_WARN);
    CHECK_ERR(quorate_config_logger(NULL, &logger, &err), QUORATE_ERR_INVALID, "config");
    CHECK_EQ(l->dropped, ++dropped);
    CHECK_OK(quorate_config_logger(config, &logger, &err));
    CHECK_OK(quorate_config_logger(config, &logger, &err)); /* replaces the first */
    CHECK_EQ(l->dropped, ++dropped);
    CHECK_ERR(quorate_service_start(config, &service, &err), QUORATE_ERR_INVALID, "state machine");
    CHECK_EQ(l->dropped, ++dropped);
    CHECK_ERR(quorate_config_logger(config, &logger, &err), QUORATE_ERR_INVALID, "new one");
    CHECK_EQ(l->dropped, ++dropped);
    quorate_config_free(config);
    CHECK_EQ(l->dropped, dropped);
    config = quorate_config_new();
    CHECK_OK(quorate_config_logger(config, &logger, &err));
    quorate_config_free(config);
    CHECK_EQ(l->dropped, dropped + 1);
    free(l);
}

/* ---- Events ---------------------------------------------------------------------------------------------- */

/* The next event, which must have the number after the last one, or that one when `*number` is 0. */
static quorate_completion next_event(quorate_queue *queue, uint64_t *number) {
    quorate_completion event;
    CHECK_EQ(quorate_queue_poll(queue, &event, 1, 60000), 1);
    CHECK_EQ(event.token, 7);
    CHECK(event.op >= QUORATE_EVENT_LEADER && event.op <= QUORATE_EVENT_CLOSED);
    if (*number) CHECK(event.number == *number || event.number == *number + 1);
    *number = event.number;
    return event;
}

static void events_tell_the_present_and_every_change(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    uint64_t number = 0;
    quorate_queue *queue = quorate_queue_new();
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    uint64_t id = info_of(service).my_id;
    CHECK_OK(quorate_service_subscribe(service, queue, 7, &err));
    int standalone = 0, nobody_or_me = 0;
    for (int i = 0; i < 2; i++) {
        quorate_completion event = next_event(queue, &number);
        CHECK_EQ(event.status, QUORATE_OK);
        standalone += event.op == QUORATE_EVENT_STATE && event.index == QUORATE_STATE_STANDALONE;
        nobody_or_me += event.op == QUORATE_EVENT_LEADER && (event.node_id == 0 || event.node_id == id);
    }
    CHECK(standalone == 1 && nobody_or_me == 1);
    CHECK_OK(quorate_service_initialize_cluster(service, info_of(service).address, 30000, &err));
    int leads = 0, member = 0;
    while (!leads || !member) {
        quorate_completion event = next_event(queue, &number);
        leads |= event.op == QUORATE_EVENT_STATE && event.index == QUORATE_STATE_LEADER && event.term > 0;
        member |= event.op == QUORATE_EVENT_MEMBERSHIP && event.data.len > 0;
    }
    CHECK_OK(quorate_service_close(service, &err));
    while (next_event(queue, &number).op != QUORATE_EVENT_CLOSED) {}
    quorate_completion more;
    CHECK_EQ(quorate_queue_poll(queue, &more, 1, 0), 0);
    CHECK_ERR(quorate_service_subscribe(service, queue, 7, &err), QUORATE_ERR_CLOSED, "");
    quorate_service_free(service);
    CHECK_ERR(quorate_service_subscribe(service, queue, 7, &err), QUORATE_ERR_CLOSED, "");
    quorate_queue_free(queue);
}

static void subscribe_takes_only_living_handles(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_queue *queue = quorate_queue_new(), *freed = quorate_queue_new();
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    quorate_queue_free(freed);
    CHECK_ERR(quorate_service_subscribe(service, freed, 1, &err), QUORATE_ERR_CLOSED, "queue");
    CHECK_ERR(quorate_service_subscribe(service, NULL, 1, &err), QUORATE_ERR_INVALID, "queue");
    CHECK_ERR(quorate_service_subscribe(NULL, queue, 1, &err), QUORATE_ERR_INVALID, "service");
    CHECK_ERR(quorate_service_subscribe((quorate_service *)queue, queue, 1, &err), QUORATE_ERR_INVALID, "service");
    quorate_completion none;
    CHECK_EQ(quorate_queue_poll(queue, &none, 1, 0), 0);
    quorate_service_free(service);
    quorate_queue_free(queue);
}

/* A queue that is freed is forgotten; others, and those that subscribed twice, still hear. */
static void a_subscriber_may_go_at_any_time(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_queue *goes = quorate_queue_new(), *stays = quorate_queue_new();
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    CHECK_OK(quorate_service_subscribe(service, goes, 1, &err));
    CHECK_OK(quorate_service_subscribe(service, stays, 1, &err));
    CHECK_OK(quorate_service_subscribe(service, stays, 2, &err));
    quorate_queue_free(goes);
    CHECK_OK(quorate_service_initialize_cluster(service, info_of(service).address, 30000, &err));
    quorate_service_free(service);
    quorate_completion event;
    int heard[3] = {0}, over[3] = {0};
    while (!over[1] || !over[2]) {
        CHECK_EQ(quorate_queue_poll(stays, &event, 1, 30000), 1);
        CHECK(event.token == 1 || event.token == 2);
        CHECK(!over[event.token]);
        heard[event.token]++;
        over[event.token] |= event.op == QUORATE_EVENT_CLOSED;
    }
    CHECK_EQ(heard[1], heard[2]);
    CHECK(heard[1] >= 4);
    quorate_queue_free(stays);
}

typedef struct { counter c; quorate_service *service; quorate_queue *queue; } subscriber;

static quorate_status subscribing_commit(void *ctx, const quorate_entry *entries, size_t n, quorate_output *replies,
                                         quorate_error **err) {
    subscriber *it = ctx;
    quorate_service *service = __atomic_load_n(&it->service, __ATOMIC_SEQ_CST);
    if (service) CHECK_EQ(quorate_service_subscribe(service, it->queue, 7, NULL), QUORATE_OK);
    return counter_commit(ctx, entries, n, replies, err);
}

static void a_callback_may_subscribe(void) {
    quorate_error *err = NULL;
    char dir[256];
    subscriber it = {.queue = quorate_queue_new()};
    quorate_state_machine machine = counter_machine(&it.c);
    quorate_service *service = NULL;
    uint64_t number = 0;
    machine.commit = subscribing_commit;
    quorate_config *config = new_config(&machine, new_dir(dir, sizeof dir), "127.0.0.1:0");
    CHECK_OK(quorate_service_start(config, &service, &err));
    __atomic_store_n(&it.service, service, __ATOMIC_SEQ_CST);
    quorate_config_free(config);
    propose_wait(service, "x");
    next_event(it.queue, &number);
    quorate_service_free(service);
    quorate_queue_free(it.queue);
}

int main(void) {
    RUN(lines_of_a_service_go_to_its_logger);
    RUN(a_failure_is_a_line_and_an_event);
    RUN(a_logger_may_not_close_its_service);
    RUN(a_logger_that_is_none_is_refused_and_dropped_once);
    RUN(events_tell_the_present_and_every_change);
    RUN(subscribe_takes_only_living_handles);
    RUN(a_subscriber_may_go_at_any_time);
    RUN(a_callback_may_subscribe);
    return check_end("watch");
}
