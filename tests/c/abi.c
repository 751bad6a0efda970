/* Every function of quorate.h is called here, once, as it is meant (run.sh compares the symbols that this
 * program needs with those that the library has); and the layout is what it was. */
#include "store.h"
#include <stddef.h>

/* What stands in arrays keeps its size for ever; what is an argument or a result only grows. */
#define LAYOUT(condition) _Static_assert(condition, #condition)
LAYOUT(sizeof(quorate_bytes) == 16);
LAYOUT(sizeof(quorate_entry) == 64);
LAYOUT(offsetof(quorate_entry, timestamp_ns) == 16);
LAYOUT(offsetof(quorate_entry, type) == 24);
LAYOUT(offsetof(quorate_entry, tags) == 32);
LAYOUT(offsetof(quorate_entry, data) == 40);
LAYOUT(sizeof(quorate_node) == 32);
LAYOUT(sizeof(quorate_peer_index) == 32);
LAYOUT(sizeof(quorate_request) == 104);
LAYOUT(offsetof(quorate_request, entry) == 24);
LAYOUT(sizeof(quorate_completion) == 64);
LAYOUT(offsetof(quorate_completion, data) == 40);
LAYOUT(sizeof(quorate_applied) == 32);
LAYOUT(sizeof(quorate_state_machine) >= 88);
LAYOUT(offsetof(quorate_state_machine, commit) == 32);
LAYOUT(offsetof(quorate_state_machine, state_hash) == 80);
LAYOUT(sizeof(quorate_record) == 24);
LAYOUT(offsetof(quorate_record, data) == 8);
LAYOUT(sizeof(quorate_storage) >= 88);
LAYOUT(offsetof(quorate_storage, drop) == 16);
LAYOUT(offsetof(quorate_storage, metadata_put) == 80);
LAYOUT(sizeof(quorate_transport) >= 32);
LAYOUT(offsetof(quorate_transport, send) == 24);
LAYOUT(sizeof(quorate_logger) >= 32);
LAYOUT(offsetof(quorate_logger, write) == 24);
LAYOUT(sizeof(quorate_log_record) >= 56);
LAYOUT(offsetof(quorate_log_record, message) == 40);
LAYOUT(offsetof(quorate_completion, number) == 56);
LAYOUT(sizeof(quorate_info) >= 104);
LAYOUT(offsetof(quorate_info, address) == 88);
LAYOUT(offsetof(quorate_error, leader) == 16);
LAYOUT(offsetof(quorate_result, data) == 16);
LAYOUT(offsetof(quorate_node_list, learners) == 56);
LAYOUT(offsetof(quorate_protocol_status, peer_indices_len) == 8);

static void version_is_the_headers(void) {
    char text[40];
    snprintf(text, sizeof text, "%d.%d.%d", QUORATE_VERSION_MAJOR, QUORATE_VERSION_MINOR,
             QUORATE_VERSION_PATCH);
    CHECK_STR(quorate_version(), text);
    CHECK_EQ(quorate_abi_version(), QUORATE_ABI_VERSION);
}

static void every_status_has_a_class_and_a_word(void) {
    CHECK_EQ(quorate_status_outcome(QUORATE_OK), QUORATE_OUTCOME_DONE);
    CHECK_EQ(quorate_status_outcome(12), QUORATE_OUTCOME_DONE);
    CHECK_EQ(quorate_status_outcome(QUORATE_ERR_BUSY), QUORATE_OUTCOME_NOT_DONE);
    CHECK_EQ(quorate_status_outcome(-999), QUORATE_OUTCOME_NOT_DONE);
    CHECK_EQ(quorate_status_outcome(QUORATE_ERR_TIMEOUT), QUORATE_OUTCOME_UNKNOWN);
    CHECK_EQ(quorate_status_outcome(-1999), QUORATE_OUTCOME_UNKNOWN);
    CHECK_EQ(quorate_status_outcome(QUORATE_ERR_INTERNAL), QUORATE_OUTCOME_FATAL);
    CHECK_EQ(quorate_status_outcome(INT32_MIN), QUORATE_OUTCOME_FATAL);
    CHECK_STR(quorate_status_string(QUORATE_OK), "ok");
    CHECK_STR(quorate_status_string(QUORATE_ERR_NOT_LEADER), "not leader");
    CHECK_STR(quorate_status_string(-12345), "unknown status");
}

static void enumerations_have_the_words_of_the_page(void) {
    CHECK_STR(quorate_state_string(QUORATE_STATE_FOLLOWER), "Follower");
    CHECK_STR(quorate_state_string(QUORATE_STATE_FAILED), "Failed");
    CHECK_STR(quorate_state_string(99), "State(?)");
    CHECK_STR(quorate_membership_change_mode_string(QUORATE_MODE_STABLE), "Stable");
    CHECK_STR(quorate_membership_change_mode_string(-1), "MembershipChangeMode(?)");
    CHECK_STR(quorate_loop_command_string(QUORATE_LOOP_JOIN_AS_CANDIDATE), "JoinAsCandidate");
    CHECK_STR(quorate_loop_command_string(3), "LoopCommand(?)");
}

static void ids_are_written_in_base_36(void) {
    char text[QUORATE_NODE_ID_SIZE];
    quorate_node_id_format(UINT64_MAX, text);
    CHECK_STR(text, "3w5e11264sgsf");
    CHECK_EQ(quorate_node_id_parse(text), (int64_t)UINT64_MAX);
    quorate_node_id_format(0, text);
    CHECK_STR(text, "0");
    CHECK_EQ(quorate_node_id_parse("not an id"), 0);
}

static void nodes_and_lists_have_texts(void) {
    quorate_node nodes[] = {{1, "a:1", {0, 0}}, {36, "b:2", {0, 0}}, {3, "c:3", {0, 0}}};
    quorate_node_list list = {nodes, 2, nodes + 1, 1, nodes, 2, 0, nodes + 2, 1};
    char *text = quorate_node_list_string(&list);
    CHECK_STR(text, "NodeList{Current:a:1, b:2, Next:b:2}");
    quorate_free(text);
    text = quorate_node_string(&nodes[1]);
    CHECK_STR(text, "Node{10: b:2}");
    quorate_free(text);
    CHECK(quorate_node_list_get_node(&list, 36) == &nodes[1]);
    CHECK(quorate_node_list_get_node(&list, 3) == &nodes[2]);
    CHECK(quorate_node_list_get_node(&list, 4) == NULL);
}

static void errors_are_made_and_freed(void) {
    quorate_error *err = quorate_error_new("disk full");
    CHECK_EQ(err->status, QUORATE_ERR_STATE_MACHINE_FAILED);
    CHECK_STR(err->message, "disk full");
    CHECK(err->leader == NULL);
    quorate_free(err);
    quorate_free(NULL);
}

static void settings_are_listed(void) {
    size_t n = 0;
    int has_listen = 0;
    for (const quorate_setting *s; (s = quorate_config_setting(n)) != NULL; n++) {
        CHECK(strlen(s->key) > 0 && s->default_value && strlen(s->unit) > 0 && strlen(s->meaning) > 0);
        has_listen |= !strcmp(s->key, "listen");
    }
    CHECK(n >= 10 && has_listen);
    CHECK(quorate_config_setting(n + 1) == NULL && quorate_config_setting(SIZE_MAX) == NULL);
}

static void trackers_count(void) {
    quorate_error *err = NULL;
    quorate_tracker *tracker = quorate_tracker_new();
    CHECK_EQ(quorate_tracker_timed_wait(tracker, 5, 0), 0);
    CHECK_EQ(quorate_tracker_update(tracker, 5), QUORATE_OK);
    CHECK_EQ(quorate_tracker_wait(tracker, 5), 5);
    CHECK_EQ(quorate_tracker_timed_wait(tracker, 6, 20), 5);

    quorate_tracker *one = quorate_tracker_named("abi"), *same = quorate_tracker_named("abi");
    CHECK(one != same);
    CHECK_EQ(quorate_tracker_update(one, 9), QUORATE_OK);
    CHECK_EQ(quorate_tracker_timed_wait(same, 9, 0), 9);
    quorate_tracker_free(one);
    CHECK_EQ(quorate_tracker_wait(same, 1), 9);

    quorate_queue *queue = quorate_queue_new();
    quorate_completion done[4];
    CHECK_OK(quorate_tracker_notify(tracker, 7, QUORATE_FOREVER, queue, 42, &err));
    CHECK_EQ(quorate_queue_poll(queue, done, 4, 0), 0);
    CHECK_EQ(quorate_tracker_update(tracker, 8), QUORATE_OK);
    CHECK_EQ(quorate_queue_poll(queue, done, 4, 30000), 1);
    CHECK_EQ(done[0].token, 42);
    CHECK_EQ(done[0].op, QUORATE_OP_TRACKER);
    CHECK_EQ(done[0].status, QUORATE_OK);
    CHECK_EQ(done[0].index, 8);
    CHECK_OK(quorate_tracker_notify(tracker, 9, 1, queue, 43, &err));
    CHECK_EQ(quorate_queue_poll(queue, done, 4, 30000), 1);
    CHECK_EQ(done[0].status, QUORATE_ERR_TIMEOUT);
    CHECK_OK(quorate_tracker_notify(tracker, 9, QUORATE_FOREVER, queue, 44, &err));
    quorate_tracker_close(tracker);
    CHECK_EQ(quorate_queue_poll(queue, done, 4, 30000), 1);
    CHECK_EQ(done[0].status, QUORATE_ERR_CLOSED);
    CHECK_EQ(quorate_tracker_wait(tracker, 100), 8);
    quorate_tracker_free(tracker);
    quorate_tracker_free(same);
    quorate_queue_free(queue);
}

static void a_queue_wakes(void) {
    quorate_queue *queue = quorate_queue_new();
    quorate_completion done[1];
    CHECK(quorate_queue_fd(queue) >= 0);
    quorate_queue_wake(queue);
    CHECK_EQ(quorate_queue_poll(queue, done, 1, 30000), 0);
    CHECK_EQ(quorate_queue_poll(queue, done, 1, 1), 0);
    quorate_queue_free(queue);
}

static void a_service_does_all_that_it_can(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    quorate_info info = info_of(service);
    CHECK_EQ(info.state, QUORATE_STATE_STANDALONE);
    CHECK_EQ(info.cluster_id, 0);
    CHECK_OK(quorate_service_initialize_cluster(service, info.address, 30000, &err));
    CHECK_EQ(info_of(service).state, QUORATE_STATE_LEADER);

    uint64_t index = 0, term = 0;
    quorate_entry entry = entry_of("abc");
    CHECK_OK(quorate_service_propose(service, &entry, 30000, &index, &term, &err));
    CHECK(index > 0 && term > 0);
    quorate_tracker *applied = quorate_service_applied_tracker(service);
    CHECK(quorate_tracker_wait(applied, index) >= index);
    quorate_tracker_free(applied);
    CHECK_EQ(propose_wait(service, "def"), index + 1);
    CHECK_OK(quorate_service_read_barrier(service, QUORATE_READ_LINEARIZABLE, 30000, &err));

    quorate_queue *queue = quorate_queue_new();
    quorate_request request = QUORATE_REQUEST_INIT;
    quorate_completion done[1];
    request.entry = entry_of("ghi");
    CHECK_EQ(quorate_service_submit(service, queue, &request, 1, &err), 1);
    CHECK_EQ(quorate_queue_poll(queue, done, 1, 30000), 1);
    CHECK_EQ(done[0].status, QUORATE_OK);
    CHECK_STR(done[0].data.data, "GHI");
    quorate_queue_free(queue);

    quorate_node_list *list = quorate_service_node_config(service);
    CHECK_EQ(list->current_len, 1);
    CHECK_EQ(list->current[0].node_id, info.my_id);
    CHECK_EQ(list->next_len + list->learners_len, 0);
    quorate_free(list);
    quorate_protocol_status *status = quorate_service_raft_status(service);
    CHECK_EQ(status->peer_indices_len, 1);
    CHECK(status->peer_indices[0].index >= index + 2);
    quorate_free(status);
    for (int32_t report = QUORATE_REPORT_JSON; report <= QUORATE_REPORT_PROMETHEUS; report++) {
        char *text = quorate_service_report(service, report);
        CHECK(text && strlen(text) > 20);
        quorate_free(text);
    }
    CHECK_ERR(quorate_service_add_node(service, info.address, 30000, &err), QUORATE_ERR_ALREADY_MEMBER, "");
    CHECK_ERR(quorate_service_remove_node(service, 1, 30000, &err), QUORATE_ERR_NOT_FOUND, "");
    CHECK_OK(quorate_service_close(service, &err));
    CHECK_EQ(info_of(service).state, QUORATE_STATE_STOPPED);
    quorate_service_free(service);
    CHECK_EQ(c.entries, 3);
    CHECK_EQ(c.dropped, 1);
}

static quorate_status make_on(void *ctx, int32_t how, quorate_storage *out, quorate_error **err) {
    (void)err;
    if (how == QUORATE_STORAGE_CRASHED) return QUORATE_ERR_UNSUPPORTED;
    if (how == QUORATE_STORAGE_NEW) wipe(ctx);
    *out = store_on(ctx);
    return QUORATE_OK;
}

static void a_store_is_checked(void) {
    quorate_error *err = NULL;
    char *report = NULL;
    disk *d = new_disk();
    CHECK(quorate_storage_check(make_on, d, &report, &err) > 0);
    CHECK(report && strlen(report) > 20);
    quorate_free(report);
    free_disk(d);
}

/* A frame that a service sends to itself comes back to it. */
static quorate_service *sender;
static quorate_status send_home(void *ctx, uint64_t node_id, const char *address, const void *frame, size_t len,
                                quorate_error **err) {
    (void)ctx, (void)node_id, (void)address;
    CHECK_EQ(quorate_frame_kind(frame, len), QUORATE_FRAME_JOIN);
    CHECK_EQ(quorate_service_append(sender, frame, len, NULL), QUORATE_ERR_INVALID);
    CHECK_EQ(quorate_service_request_vote(sender, frame, len, NULL), QUORATE_ERR_INVALID);
    quorate_status status = quorate_service_deliver(sender, frame, len, err);
    return status < 0 ? status : quorate_service_join(sender, frame, len, err); /* again does no harm */
}

static int written;
static void count_line(void *ctx, const quorate_log_record *record) {
    (void)ctx;
    CHECK(record->level <= QUORATE_LOG_INFO && record->message.len > 0);
    __atomic_add_fetch(&written, 1, __ATOMIC_SEQ_CST);
}

static void a_service_has_the_parts_that_it_is_given(void) {
    quorate_error *err = NULL;
    counter c = {0};
    disk *d = new_disk();
    quorate_transport transport = QUORATE_TRANSPORT_INIT;
    quorate_logger logger = QUORATE_LOGGER_INIT;
    transport.send = send_home;
    logger.write = count_line;
    quorate_config *config = config_on(&c, d); /* quorate_config_storage */
    CHECK_OK(quorate_config_transport(config, &transport, &err));
    CHECK_OK(quorate_config_logger(config, &logger, &err));
    CHECK_OK(quorate_service_start(config, &sender, &err));
    quorate_config_free(config);
    quorate_queue *queue = quorate_queue_new();
    quorate_completion event;
    CHECK_OK(quorate_service_subscribe(sender, queue, 5, &err));
    CHECK_EQ(quorate_queue_poll(queue, &event, 1, 30000), 1);
    CHECK(event.token == 5 && event.op >= QUORATE_EVENT_LEADER);
    CHECK_OK(quorate_service_initialize_cluster(sender, "home", 30000, &err));
    propose_wait(sender, "x");
    quorate_service_free(sender);
    CHECK(written > 0 && d->n > 0);
    quorate_queue_free(queue);
    free_disk(d);
}

int main(void) {
    RUN(version_is_the_headers);
    RUN(every_status_has_a_class_and_a_word);
    RUN(enumerations_have_the_words_of_the_page);
    RUN(ids_are_written_in_base_36);
    RUN(nodes_and_lists_have_texts);
    RUN(errors_are_made_and_freed);
    RUN(settings_are_listed);
    RUN(trackers_count);
    RUN(a_queue_wakes);
    RUN(a_service_does_all_that_it_can);
    RUN(a_store_is_checked);
    RUN(a_service_has_the_parts_that_it_is_given);
    return check_end("abi");
}
