/* Whatever a program does wrong to the interface gives an error, and never a crash: NULL, garbage, handles
 * of another type, freed handles, unknown numbers, impossible sizes. */
#include "check.h"
#include <pthread.h>

static void *const GARBAGE[] = {(void *)0x1, (void *)0x7fff12345678, (void *)0xa35a000001000000u,
                                (void *)0xdeadbeefdeadbeefu, (void *)UINTPTR_MAX};
enum { GARBAGES = sizeof GARBAGE / sizeof GARBAGE[0] };

/* Every function on a service that is none, or is of another type. */
static void service_calls(quorate_service *bad, quorate_status expected) {
    quorate_error *err = NULL;
    quorate_result *result = NULL;
    quorate_entry entry = entry_of("x");
    quorate_request request = QUORATE_REQUEST_INIT;
    quorate_info info = QUORATE_INFO_INIT;
    quorate_queue *queue = quorate_queue_new();
    uint64_t index = 7, term = 7;
    CHECK_ERR(quorate_service_close(bad, &err), expected, "service");
    CHECK_ERR(quorate_service_initialize_cluster(bad, "127.0.0.1:1", 1, &err), expected, "service");
    CHECK_ERR(quorate_service_add_node(bad, "127.0.0.1:1", 1, &err), expected, "service");
    CHECK_ERR(quorate_service_remove_node(bad, 1, 1, &err), expected, "service");
    CHECK_ERR(quorate_service_propose(bad, &entry, 1, &index, &term, &err), expected, "service");
    CHECK_ERR(quorate_service_propose_wait(bad, &entry, 1, &result, &err), expected, "service");
    CHECK_ERR(quorate_service_submit(bad, queue, &request, 1, &err), expected, "service");
    CHECK_ERR(quorate_service_read_barrier(bad, 0, 1, &err), expected, "service");
    CHECK_ERR(quorate_service_subscribe(bad, queue, 1, &err), expected, "service");
    CHECK_ERR(quorate_service_deliver(bad, "x", 1, &err), expected, "service");
    CHECK_ERR(quorate_service_append(bad, "x", 1, &err), expected, "service");
    CHECK_ERR(quorate_service_request_vote(bad, "x", 1, &err), expected, "service");
    CHECK_ERR(quorate_service_join(bad, "x", 1, &err), expected, "service");
    CHECK_EQ(quorate_service_propose(bad, &entry, 1, &index, &term, NULL), expected);
    CHECK_EQ(quorate_service_info(bad, &info), expected);
    CHECK(quorate_service_node_config(bad) == NULL);
    CHECK(quorate_service_raft_status(bad) == NULL);
    CHECK(quorate_service_report(bad, QUORATE_REPORT_JSON) == NULL);
    CHECK(quorate_service_applied_tracker(bad) == NULL);
    quorate_service_free(bad);
    CHECK(index == 7 && term == 7 && result == NULL);
    quorate_queue_free(queue);
}

static void queue_calls(quorate_queue *bad, quorate_status expected) {
    quorate_error *err = NULL;
    quorate_completion done[1];
    quorate_tracker *tracker = quorate_tracker_new();
    CHECK_EQ(quorate_queue_fd(bad), -1);
    CHECK_EQ(quorate_queue_poll(bad, done, 1, 0), expected);
    CHECK_ERR(quorate_tracker_notify(tracker, 1, 0, bad, 1, &err), expected, "queue");
    quorate_queue_wake(bad);
    quorate_queue_free(bad);
    quorate_tracker_free(tracker);
}

static void tracker_calls(quorate_tracker *bad, quorate_status expected) {
    quorate_error *err = NULL;
    quorate_queue *queue = quorate_queue_new();
    CHECK_EQ(quorate_tracker_update(bad, 1), expected);
    CHECK_EQ(quorate_tracker_wait(bad, 1), 0);
    CHECK_EQ(quorate_tracker_timed_wait(bad, 1, 1), 0);
    CHECK_ERR(quorate_tracker_notify(bad, 1, 1, queue, 1, &err), expected, "tracker");
    quorate_tracker_close(bad);
    quorate_tracker_free(bad);
    quorate_queue_free(queue);
}

static void config_calls(quorate_config *bad, quorate_status expected) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    counter c = {0};
    quorate_state_machine machine = counter_machine(&c);
    CHECK_ERR(quorate_config_set(bad, "listen", "", &err), expected, "config");
    CHECK_ERR(quorate_config_state_machine(bad, &machine, &err), expected, "config");
    CHECK_EQ(c.dropped, 1);
    CHECK_ERR(quorate_service_start(bad, &service, &err), expected, "config");
    CHECK(service == NULL);
    quorate_config_free(bad);
}

/* known bug: H8 */
static void null_handles_are_invalid(void) {
    service_calls(NULL, QUORATE_ERR_INVALID);
    queue_calls(NULL, QUORATE_ERR_INVALID);
    tracker_calls(NULL, QUORATE_ERR_INVALID);
    config_calls(NULL, QUORATE_ERR_INVALID);
}

/* known bug: H8 */
static void garbage_is_no_handle(void) {
    for (int i = 0; i < GARBAGES; i++) {
        queue_calls(GARBAGE[i], QUORATE_ERR_INVALID);
        tracker_calls(GARBAGE[i], QUORATE_ERR_INVALID);
        config_calls(GARBAGE[i], QUORATE_ERR_INVALID);
        /* One of them has the shape of a service's handle; such a service was never there. */
        service_calls(GARBAGE[i], i == 2 ? QUORATE_ERR_CLOSED : QUORATE_ERR_INVALID);
        CHECK_EQ(quorate_output_set(GARBAGE[i], 0, NULL, 0), QUORATE_ERR_INVALID);
    }
}

/* known bug: H8 */
static void a_handle_of_another_type_is_invalid(void) {
    quorate_queue *queue = quorate_queue_new();
    quorate_tracker *tracker = quorate_tracker_new();
    quorate_config *config = quorate_config_new();
    service_calls((quorate_service *)queue, QUORATE_ERR_INVALID);
    service_calls((quorate_service *)config, QUORATE_ERR_INVALID);
    queue_calls((quorate_queue *)tracker, QUORATE_ERR_INVALID);
    tracker_calls((quorate_tracker *)config, QUORATE_ERR_INVALID);
    config_calls((quorate_config *)queue, QUORATE_ERR_INVALID);
    /* The wrong frees above have freed nothing. */
    CHECK(quorate_queue_fd(queue) >= 0);
    CHECK_EQ(quorate_tracker_update(tracker, 1), QUORATE_OK);
    CHECK_EQ(quorate_config_set(config, "listen", "127.0.0.1:0", NULL), QUORATE_OK);
    quorate_queue_free(queue);
    quorate_tracker_free(tracker);
    quorate_config_free(config);
}

/* known bug: H8 | handles that are NULL, freed, of another type, used in a callback or after a fork |
 * handles are numbers with a generation, looked up and never followed; misuse is an error */
static void a_freed_handle_is_closed_and_freed_once(void) {
    quorate_queue *queue = quorate_queue_new();
    quorate_queue_free(queue);
    queue_calls(queue, QUORATE_ERR_CLOSED);
    quorate_tracker *tracker = quorate_tracker_new();
    quorate_tracker_free(tracker);
    tracker_calls(tracker, QUORATE_ERR_CLOSED);
    quorate_config *config = quorate_config_new();
    quorate_config_free(config);
    config_calls(config, QUORATE_ERR_CLOSED);
    /* The slots live again; the old handles do not. */
    quorate_queue *queue2 = quorate_queue_new();
    quorate_tracker *tracker2 = quorate_tracker_new();
    CHECK_EQ(quorate_tracker_update(tracker2, 3), QUORATE_OK);
    queue_calls(queue, QUORATE_ERR_CLOSED);
    tracker_calls(tracker, QUORATE_ERR_CLOSED);
    CHECK(quorate_queue_fd(queue2) >= 0);
    CHECK_EQ(quorate_tracker_wait(tracker2, 1), 3);
    quorate_queue_free(queue2);
    quorate_tracker_free(tracker2);
}

static void a_freed_service_is_closed_and_freed_once(void) {
    char dir[256];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    quorate_service_free(service);
    CHECK_EQ(c.dropped, 1);
    service_calls(service, QUORATE_ERR_CLOSED);
    quorate_service_free(service);
    CHECK_EQ(c.dropped, 1);
}

/* After close everything that needs a running service says so; looking goes on. */
static void a_closed_service_only_shows_itself(void) {
    char dir[256];
    counter c = {0};
    quorate_error *err = NULL;
    quorate_entry entry = entry_of("x");
    quorate_request request = QUORATE_REQUEST_INIT;
    quorate_queue *queue = quorate_queue_new();
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    uint64_t id = info_of(service).my_id;
    CHECK_OK(quorate_service_close(service, &err));
    CHECK_EQ(c.dropped, 1);
    CHECK_OK(quorate_service_close(service, &err));
    CHECK_ERR(quorate_service_propose(service, &entry, -1, NULL, NULL, &err), QUORATE_ERR_CLOSED, "");
    CHECK_ERR(quorate_service_propose_wait(service, &entry, -1, NULL, &err), QUORATE_ERR_CLOSED, "");
    CHECK_ERR(quorate_service_submit(service, queue, &request, 1, &err), QUORATE_ERR_CLOSED, "");
    CHECK_ERR(quorate_service_read_barrier(service, 0, -1, &err), QUORATE_ERR_CLOSED, "");
    CHECK_ERR(quorate_service_initialize_cluster(service, "127.0.0.1:1", -1, &err), QUORATE_ERR_CLOSED, "");
    CHECK_ERR(quorate_service_add_node(service, "127.0.0.1:1", -1, &err), QUORATE_ERR_CLOSED, "");
    CHECK_ERR(quorate_service_remove_node(service, id, -1, &err), QUORATE_ERR_CLOSED, "");
    CHECK_EQ(info_of(service).my_id, id);
    CHECK_EQ(info_of(service).state, QUORATE_STATE_STOPPED);
    quorate_node_list *list = quorate_service_node_config(service);
    CHECK(list != NULL);
    quorate_free(list);
    char *report = quorate_service_report(service, QUORATE_REPORT_JSON);
    CHECK(report != NULL);
    quorate_free(report);
    quorate_tracker *applied = quorate_service_applied_tracker(service);
    quorate_tracker_wait(applied, UINT64_MAX); /* returns: the service closed it */
    quorate_tracker_free(applied);
    quorate_service_free(service);
    quorate_queue_free(queue);
}

static void results_are_freed_once_and_foreign_memory_never(void) {
    quorate_error *err = quorate_error_new("x");
    quorate_free(err);
    quorate_free(err);
    int mine = 3;
    quorate_free(&mine);
    for (int i = 0; i < GARBAGES; i++) quorate_free(GARBAGE[i]);
    CHECK_EQ(mine, 3);
}

static void null_arguments_are_invalid(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    quorate_queue *queue = quorate_queue_new();
    quorate_completion done[1];
    quorate_entry entry = entry_of("x");
    quorate_request request = QUORATE_REQUEST_INIT;
    quorate_config *config = quorate_config_new();
    CHECK_ERR(quorate_config_set(config, NULL, "x", &err), QUORATE_ERR_INVALID, "key");
    CHECK_ERR(quorate_config_set(config, "listen", NULL, &err), QUORATE_ERR_INVALID, "value");
    CHECK_ERR(quorate_config_state_machine(config, NULL, &err), QUORATE_ERR_INVALID, "machine");
    CHECK_ERR(quorate_service_initialize_cluster(service, NULL, 1, &err), QUORATE_ERR_INVALID, "address");
    CHECK_ERR(quorate_service_add_node(service, NULL, 1, &err), QUORATE_ERR_INVALID, "address");
    CHECK_ERR(quorate_service_propose(service, NULL, 1, NULL, NULL, &err), QUORATE_ERR_INVALID, "entry");
    CHECK_ERR(quorate_service_propose_wait(service, NULL, 1, NULL, &err), QUORATE_ERR_INVALID, "entry");
    CHECK_ERR(quorate_service_submit(service, NULL, &request, 1, &err), QUORATE_ERR_INVALID, "queue");
    CHECK_ERR(quorate_service_submit(service, queue, NULL, 1, &err), QUORATE_ERR_INVALID, "requests");
    CHECK_EQ(quorate_service_submit(service, queue, NULL, 0, &err), 0);
    CHECK_EQ(quorate_queue_poll(queue, NULL, 1, 0), QUORATE_ERR_INVALID);
    CHECK_EQ(quorate_queue_poll(queue, done, 0, 0), QUORATE_ERR_INVALID);
    CHECK_EQ(quorate_service_info(service, NULL), QUORATE_ERR_INVALID);
    CHECK(quorate_node_list_get_node(NULL, 1) == NULL);
    CHECK(quorate_node_list_string(NULL) == NULL);
    CHECK(quorate_node_string(NULL) == NULL);
    quorate_node nameless = {1, NULL, {0, 0}};
    CHECK(quorate_node_string(&nameless) == NULL);
    CHECK_EQ(quorate_node_id_parse(NULL), 0);
    quorate_node_id_format(1, NULL);
    CHECK(quorate_tracker_named(NULL) == NULL);
    CHECK_EQ(quorate_output_set(NULL, 0, NULL, 0), QUORATE_ERR_INVALID);
    err = quorate_error_new(NULL);
    CHECK(err != NULL);
    quorate_free(err);
    err = NULL;
    entry.data.data = NULL;
    CHECK_ERR(quorate_service_propose(service, &entry, 1, NULL, NULL, &err), QUORATE_ERR_INVALID, "data");
    entry = entry_of("x");
    entry.tags_len = 1;
    CHECK_ERR(quorate_service_propose(service, &entry, 1, NULL, NULL, &err), QUORATE_ERR_INVALID, "tags");
    /* Out-parameters may be NULL where nothing else is said. */
    entry = entry_of("x");
    CHECK_OK(quorate_service_propose(service, &entry, 30000, NULL, NULL, NULL));
    CHECK_OK(quorate_service_propose_wait(service, &entry, 30000, NULL, NULL));
    quorate_config_free(config);
    quorate_service_free(service);
    quorate_queue_free(queue);
}

static void start_needs_a_place_and_a_machine(void) {
    char dir[256];
    counter c = {0};
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    quorate_state_machine machine = counter_machine(&c);
    quorate_config *config = quorate_config_new();
    CHECK_ERR(quorate_service_start(config, &service, &err), QUORATE_ERR_INVALID, "state machine");
    quorate_config_free(config);
    config = new_config(&machine, new_dir(dir, sizeof dir), "127.0.0.1:0");
    CHECK_ERR(quorate_service_start(config, NULL, &err), QUORATE_ERR_INVALID, "out");
    CHECK_EQ(c.dropped, 1);
    /* A config is for one start. */
    CHECK_ERR(quorate_service_start(config, &service, &err), QUORATE_ERR_INVALID, "new one");
    CHECK_ERR(quorate_config_set(config, "listen", "", &err), QUORATE_ERR_INVALID, "new one");
    quorate_config_free(config);
}

static void unknown_numbers_are_invalid(void) {
    char dir[256];
    counter c = {0};
    quorate_error *err = NULL;
    quorate_queue *queue = quorate_queue_new();
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    for (int32_t mode = -1; mode <= 4; mode++) {
        quorate_status expected = mode == 1 || mode == 2 ? QUORATE_ERR_UNSUPPORTED : QUORATE_ERR_INVALID;
        if (mode == 0) continue;
        CHECK_ERR(quorate_service_read_barrier(service, mode, 1, &err), expected, "");
    }
    static const int32_t ops[] = {-1, 3, 4, QUORATE_OP_MEMBERSHIP, 9, 49, QUORATE_OP_TRACKER, 100, INT32_MAX};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        quorate_request request = QUORATE_REQUEST_INIT;
        request.op = ops[i];
        CHECK_ERR(quorate_service_submit(service, queue, &request, 1, &err), QUORATE_ERR_INVALID, "op");
    }
    quorate_request request = QUORATE_REQUEST_INIT;
    request.op = QUORATE_OP_READ_BARRIER;
    request.mode = 9;
    CHECK_ERR(quorate_service_submit(service, queue, &request, 1, &err), QUORATE_ERR_INVALID, "mode");
    CHECK(quorate_service_report(service, -1) == NULL);
    CHECK(quorate_service_report(service, 2) == NULL);
    quorate_service_free(service);
    quorate_queue_free(queue);
}

static void what_is_reserved_must_be_zero(void) {
    char dir[256];
    counter c = {0};
    quorate_error *err = NULL;
    quorate_queue *queue = quorate_queue_new();
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    quorate_entry entry = entry_of("x");
    quorate_request request = QUORATE_REQUEST_INIT;
    entry.reserved = 1;
    CHECK_ERR(quorate_service_propose(service, &entry, 1, NULL, NULL, &err), QUORATE_ERR_INVALID, "reserved");
    request.reserved[1] = 1;
    CHECK_ERR(quorate_service_submit(service, queue, &request, 1, &err), QUORATE_ERR_INVALID, "reserved");
    quorate_state_machine machine = counter_machine(&c);
    quorate_config *config = quorate_config_new();
    machine.reserved = 1;
    CHECK_ERR(quorate_config_state_machine(config, &machine, &err), QUORATE_ERR_INVALID, "reserved");
    CHECK_EQ(c.dropped, 1);
    quorate_config_free(config);
    quorate_service_free(service);
    quorate_queue_free(queue);
}

static void impossible_sizes_are_too_large(void) {
    char dir[256];
    counter c = {0};
    quorate_error *err = NULL;
    quorate_queue *queue = quorate_queue_new();
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    quorate_entry entry = entry_of("x");
    quorate_request request = QUORATE_REQUEST_INIT;
    entry.data.len = SIZE_MAX;
    CHECK_ERR(quorate_service_propose(service, &entry, 1, NULL, NULL, &err), QUORATE_ERR_TOO_LARGE, "");
    CHECK_ERR(quorate_service_propose_wait(service, &entry, 1, NULL, &err), QUORATE_ERR_TOO_LARGE, "");
    request.entry = entry;
    CHECK_ERR(quorate_service_submit(service, queue, &request, 1, &err), QUORATE_ERR_TOO_LARGE, "");
    CHECK_ERR(quorate_service_submit(service, queue, &request, SIZE_MAX, &err), QUORATE_ERR_TOO_LARGE, "");
    entry = entry_of("x");
    quorate_bytes tag = {"t", 1};
    entry.tags = &tag;
    entry.tags_len = UINT32_MAX;
    CHECK_ERR(quorate_service_propose(service, &entry, 1, NULL, NULL, &err), QUORATE_ERR_TOO_LARGE, "tags");
    tag.len = SIZE_MAX / 2 + 1;
    entry.tags_len = 1;
    CHECK_ERR(quorate_service_propose(service, &entry, 1, NULL, NULL, &err), QUORATE_ERR_TOO_LARGE, "tag");
    quorate_node node = {1, "a:1", {0, 0}};
    quorate_node_list list = {&node, SIZE_MAX, NULL, 0, NULL, 0, 0, NULL, 0};
    CHECK(quorate_node_list_string(&list) == NULL);
    quorate_service_free(service);
    quorate_queue_free(queue);
}

static void text_that_is_not_utf8_is_invalid(void) {
    char dir[256];
    counter c = {0};
    quorate_error *err = NULL;
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    quorate_config *config = quorate_config_new();
    CHECK_ERR(quorate_config_set(config, "lis\xff", "x", &err), QUORATE_ERR_INVALID, "UTF-8");
    CHECK_ERR(quorate_config_set(config, "listen", "\xc3", &err), QUORATE_ERR_INVALID, "UTF-8");
    CHECK_ERR(quorate_service_add_node(service, "\xff", 1, &err), QUORATE_ERR_INVALID, "UTF-8");
    CHECK(quorate_tracker_named("\xff") == NULL);
    quorate_entry entry = entry_of("x");
    quorate_bytes tag = {"\xff", 1};
    entry.tags = &tag;
    entry.tags_len = 1;
    CHECK_ERR(quorate_service_propose(service, &entry, 1, NULL, NULL, &err), QUORATE_ERR_INVALID, "UTF-8");
    quorate_config_free(config);
    quorate_service_free(service);
}

/* Programs and libraries of different ages: struct_size says how much there is. */
static void structures_of_other_ages(void) {
    struct { quorate_state_machine known; uint64_t later[2]; } newer;
    quorate_error *err = NULL;
    counter c = {0};
    memset(&newer, 0, sizeof newer);
    newer.known = counter_machine(&c);
    newer.known.struct_size = sizeof newer;
    quorate_config *config = quorate_config_new();
    CHECK_OK(quorate_config_state_machine(config, &newer.known, &err));
    newer.later[1] = 1;
    CHECK_ERR(quorate_config_state_machine(config, &newer.known, &err), QUORATE_ERR_UNSUPPORTED, "update");
    CHECK_EQ(c.dropped, 1); /* the first is still in the config */
    static const uint32_t wrong[] = {0, 1, 4, 16, 87, 5000, UINT32_MAX};
    int dropped = 1;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        quorate_state_machine machine = counter_machine(&c);
        machine.struct_size = wrong[i];
        dropped += wrong[i] >= 24; /* large enough to say how to drop it */
        CHECK_ERR(quorate_config_state_machine(config, &machine, &err), QUORATE_ERR_INVALID, "struct_size");
        CHECK_EQ(c.dropped, dropped);
    }
    quorate_config_free(config);
    CHECK_EQ(c.dropped, dropped + 1);

    char dir[256];
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    struct { quorate_info known; uint64_t later; } info = {.known = QUORATE_INFO_INIT, .later = 5};
    info.known.struct_size = sizeof info;
    CHECK_EQ(quorate_service_info(service, &info.known), QUORATE_OK);
    CHECK_EQ(info.known.struct_size, sizeof info);
    CHECK(info.known.my_id != 0 && info.later == 5);
    info.known.struct_size = 8;
    CHECK_EQ(quorate_service_info(service, &info.known), QUORATE_ERR_INVALID);
    quorate_service_free(service);
}

/* Threads that free the same handles, while others use them: one of the frees counts. */
typedef struct { quorate_tracker *tracker[500]; quorate_queue *queue; } raced;
static void *race(void *ctx) {
    raced *r = ctx;
    for (int i = 0; i < 500; i++) {
        quorate_status status = quorate_tracker_update(r->tracker[i], 7);
        CHECK(status == QUORATE_OK || status == QUORATE_ERR_CLOSED);
        quorate_tracker_notify(r->tracker[i], 9, -1, r->queue, 1, NULL);
        quorate_tracker_free(r->tracker[i]);
        CHECK_EQ(quorate_tracker_update(r->tracker[i], 8), QUORATE_ERR_CLOSED);
    }
    quorate_queue_free(r->queue);
    CHECK_EQ(quorate_queue_fd(r->queue), -1);
    return NULL;
}

/* known bug: H8 */
static void threads_race_to_free(void) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    raced r;
    r.queue = quorate_queue_new();
    for (int i = 0; i < 500; i++) r.tracker[i] = quorate_tracker_new();
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, race, &r), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

int main(void) {
    RUN(null_handles_are_invalid);
    RUN(garbage_is_no_handle);
    RUN(a_handle_of_another_type_is_invalid);
    RUN(a_freed_handle_is_closed_and_freed_once);
    RUN(threads_race_to_free);
    RUN(results_are_freed_once_and_foreign_memory_never);
    RUN(a_freed_service_is_closed_and_freed_once);
    RUN(a_closed_service_only_shows_itself);
    RUN(null_arguments_are_invalid);
    RUN(start_needs_a_place_and_a_machine);
    RUN(unknown_numbers_are_invalid);
    RUN(what_is_reserved_must_be_zero);
    RUN(impossible_sizes_are_too_large);
    RUN(text_that_is_not_utf8_is_invalid);
    RUN(structures_of_other_ages);
    return check_end("misuse");
}
