/* Three services in one process, over real sockets and disks, as a cluster. */
#include "check.h"

enum { NODES = 3 };

typedef struct {
    char dir[NODES][256], address[NODES][64];
    counter c[NODES];
    quorate_service *node[NODES];
    uint64_t id[NODES];
} cluster;

static void start_node(cluster *k, int i) {
    k->node[i] = start(&k->c[i], k->dir[i], k->address[i][0] ? k->address[i] : "127.0.0.1:0");
    snprintf(k->address[i], sizeof k->address[i], "%s", info_of(k->node[i]).address);
    k->id[i] = info_of(k->node[i]).my_id;
}

/* Node 0 begins a cluster; the others are there and in none. */
static cluster *new_cluster(void) {
    quorate_error *err = NULL;
    cluster *k = calloc(1, sizeof *k);
    for (int i = 0; i < NODES; i++) {
        new_dir(k->dir[i], sizeof k->dir[i]);
        start_node(k, i);
    }
    CHECK_OK(quorate_service_initialize_cluster(k->node[0], k->address[0], 30000, &err));
    return k;
}

static void add(cluster *k, int at, int who) {
    quorate_error *err = NULL;
    CHECK_OK(quorate_service_add_node(k->node[at], k->address[who], 60000, &err));
}

static void free_cluster(cluster *k) {
    for (int i = 0; i < NODES; i++) {
        quorate_service_free(k->node[i]);
        CHECK(k->c[i].dropped > 0);
    }
    free(k);
}

static void wait_applied(cluster *k, int at, uint64_t index) {
    quorate_tracker *applied = quorate_service_applied_tracker(k->node[at]);
    CHECK(quorate_tracker_timed_wait(applied, index, 60000) >= index);
    quorate_tracker_free(applied);
}

/* Proposes again as long as it is certain that nothing was done. */
static uint64_t propose_until_done(quorate_service *service, const char *text) {
    quorate_entry entry = entry_of(text);
    for (;;) {
        quorate_error *err = NULL;
        quorate_result *result = NULL;
        quorate_status status = quorate_service_propose_wait(service, &entry, 60000, &result, &err);
        uint64_t index = result ? result->index : 0;
        quorate_free(result);
        if (quorate_status_outcome(status) == QUORATE_OUTCOME_NOT_DONE) {
            quorate_free(err);
            continue;
        }
        CHECK_OK(status);
        return index;
    }
}

/* Waits for a state; what makes it come is an event in the service, which the applied tracker and the
 * barrier do not tell of, so it is asked for. */
static void wait_state(cluster *k, int at, quorate_state state) {
    quorate_tracker *never = quorate_tracker_new();
    for (int i = 0; info_of(k->node[at]).state != state; i++) {
        CHECK(i < 6000);
        quorate_tracker_timed_wait(never, 1, 10);
    }
    quorate_tracker_free(never);
}

static void nodes_are_added_write_and_read(void) {
    quorate_error *err = NULL;
    cluster *k = new_cluster();
    propose_wait(k->node[0], "before");
    add(k, 0, 1);
    add(k, 1, 2); /* on a follower */
    quorate_node_list *list = quorate_service_node_config(k->node[0]);
    CHECK_EQ(list->current_len, NODES);
    for (int i = 0; i < NODES; i++) {
        const quorate_node *node = quorate_node_list_get_node(list, k->id[i]);
        CHECK(node != NULL);
        CHECK_STR(node->address, k->address[i]);
    }
    quorate_free(list);
    uint64_t cluster_id = info_of(k->node[0]).cluster_id, last = 0;
    CHECK(cluster_id != 0);
    for (int i = 0; i < 30; i++) last = propose_wait(k->node[i % NODES], "from anyone");
    for (int i = 0; i < NODES; i++) {
        CHECK_OK(quorate_service_read_barrier(k->node[i], QUORATE_READ_LINEARIZABLE, 30000, &err));
        CHECK(info_of(k->node[i]).last_applied >= last);
        CHECK_EQ(counted(&k->c[i].entries), 31);
        CHECK_EQ(info_of(k->node[i]).cluster_id, cluster_id);
        CHECK_EQ(info_of(k->node[i]).leader_id, k->id[0]);
        CHECK_EQ(info_of(k->node[i]).state, i == 0 ? QUORATE_STATE_LEADER : QUORATE_STATE_FOLLOWER);
    }
    quorate_protocol_status *status = quorate_service_raft_status(k->node[0]);
    CHECK_EQ(status->peer_indices_len, NODES);
    quorate_free(status);
    status = quorate_service_raft_status(k->node[1]);
    CHECK(status->peer_indices == NULL && status->peer_indices_len == 0);
    quorate_free(status);
    free_cluster(k);
}

static void a_removed_node_is_standalone_and_comes_back(void) {
    quorate_error *err = NULL;
    cluster *k = new_cluster();
    add(k, 0, 1);
    add(k, 0, 2);
    propose_wait(k->node[0], "one");
    CHECK_OK(quorate_service_remove_node(k->node[1], k->id[2], 60000, &err));
    wait_state(k, 2, QUORATE_STATE_STANDALONE);
    CHECK_EQ(info_of(k->node[2]).cluster_id, 0);
    quorate_node_list *list = quorate_service_node_config(k->node[0]);
    CHECK_EQ(list->current_len, 2);
    quorate_free(list);
    CHECK_ERR(quorate_service_remove_node(k->node[0], k->id[2], 30000, &err), QUORATE_ERR_NOT_FOUND, "");
    /* Durably so: it starts Standalone, with its data and its id. */
    quorate_service_free(k->node[2]);
    memset(&k->c[2], 0, sizeof k->c[2]);
    uint64_t id = k->id[2];
    start_node(k, 2);
    CHECK_EQ(k->id[2], id);
    CHECK_EQ(info_of(k->node[2]).state, QUORATE_STATE_STANDALONE);
    uint64_t last = propose_wait(k->node[0], "two");
    add(k, 0, 2);
    wait_applied(k, 2, last);
    CHECK_EQ(counted(&k->c[2].entries), 2);
    free_cluster(k);
}

static void members_strangers_and_nodes_with_data_are_refused(void) {
    quorate_error *err = NULL;
    cluster *k = new_cluster();
    add(k, 0, 1);
    CHECK_ERR(quorate_service_add_node(k->node[0], k->address[1], 30000, &err), QUORATE_ERR_ALREADY_MEMBER,
              "member");
    CHECK_ERR(quorate_service_add_node(k->node[0], k->address[0], 30000, &err), QUORATE_ERR_ALREADY_MEMBER,
              "member");
    propose_wait(k->node[2], "mine");
    CHECK_ERR(quorate_service_add_node(k->node[1], k->address[2], 30000, &err), QUORATE_ERR_HAS_DATA, "");
    CHECK_OK(quorate_service_initialize_cluster(k->node[2], k->address[2], 30000, &err));
    CHECK_ERR(quorate_service_add_node(k->node[0], k->address[2], 30000, &err), QUORATE_ERR_OTHER_CLUSTER, "");
    propose_wait(k->node[1], "goes on");
    propose_wait(k->node[2], "goes on");
    free_cluster(k);
}

static void the_rest_goes_on_without_the_leader(void) {
    quorate_error *err = NULL;
    cluster *k = new_cluster();
    add(k, 0, 1);
    add(k, 0, 2);
    propose_wait(k->node[1], "one");
    CHECK_OK(quorate_service_close(k->node[0], &err));
    uint64_t last = propose_until_done(k->node[1], "two"); /* waits for the next leader */
    wait_applied(k, 2, last);
    CHECK(info_of(k->node[2]).leader_id != k->id[0]);
    quorate_service_free(k->node[0]);
    memset(&k->c[0], 0, sizeof k->c[0]);
    start_node(k, 0);
    wait_applied(k, 0, last);
    CHECK_EQ(counted(&k->c[0].entries), 2);
    free_cluster(k);
}

static void without_a_majority_nothing_is_acknowledged(void) {
    quorate_error *err = NULL;
    cluster *k = new_cluster();
    add(k, 0, 1);
    add(k, 0, 2);
    CHECK_OK(quorate_service_close(k->node[1], &err));
    CHECK_OK(quorate_service_close(k->node[2], &err));
    quorate_entry entry = entry_of("alone");
    quorate_status status = quorate_service_propose_wait(k->node[0], &entry, 1000, NULL, &err);
    CHECK(status == QUORATE_ERR_TIMEOUT || status == QUORATE_ERR_NOT_LEADER);
    quorate_free(err);
    err = NULL;
    status = quorate_service_read_barrier(k->node[0], QUORATE_READ_LINEARIZABLE, 1000, &err);
    CHECK(status < 0 && err != NULL);
    quorate_free(err);
    err = NULL;
    wait_state(k, 0, QUORATE_STATE_CANDIDATE); /* it has stepped down, and asks */
    entry = entry_of("nobody leads");
    CHECK_ERR(quorate_service_propose(k->node[0], &entry, 30000, NULL, NULL, &err), QUORATE_ERR_NOT_LEADER, "");
    free_cluster(k);
}

/* Changes of membership without a thread that waits for them. */
static quorate_completion change(cluster *k, quorate_queue *queue, int at, quorate_request request) {
    quorate_error *err = NULL;
    quorate_completion done[2];
    request.token = 77;
    request.timeout_ms = 60000;
    CHECK_EQ(quorate_service_submit(k->node[at], queue, &request, 1, &err), 1);
    CHECK_EQ(quorate_queue_poll(queue, done, 2, 90000), 1);
    CHECK_EQ(done[0].token, 77);
    CHECK_EQ(done[0].op, QUORATE_OP_MEMBERSHIP);
    return done[0];
}

static void membership_changes_are_requests_too(void) {
    cluster *k = calloc(1, sizeof *k);
    for (int i = 0; i < NODES; i++) {
        new_dir(k->dir[i], sizeof k->dir[i]);
        start_node(k, i);
    }
    quorate_queue *queue = quorate_queue_new();
    quorate_request request = QUORATE_REQUEST_INIT;
    request.op = QUORATE_OP_INITIALIZE_CLUSTER;
    request.entry = entry_of(k->address[0]);
    CHECK_EQ(change(k, queue, 0, request).status, QUORATE_OK);
    quorate_completion again = change(k, queue, 0, request);
    CHECK_EQ(again.status, QUORATE_ERR_ALREADY_MEMBER);
    CHECK(again.data.len > 0 && strlen(again.data.data) == again.data.len);
    request.op = QUORATE_OP_ADD_NODE;
    request.entry = entry_of(k->address[1]);
    CHECK_EQ(change(k, queue, 0, request).status, QUORATE_OK);
    request.entry = entry_of(k->address[2]);
    CHECK_EQ(change(k, queue, 1, request).status, QUORATE_OK);
    request.op = QUORATE_OP_REMOVE_NODE;
    request.entry = (quorate_entry)QUORATE_ENTRY_INIT;
    request.entry.index = k->id[1];
    CHECK_EQ(change(k, queue, 0, request).status, QUORATE_OK);
    wait_state(k, 1, QUORATE_STATE_STANDALONE);
    quorate_queue_free(queue);
    free_cluster(k);
}

/* The error that a node gives which knows the leader but may not forward carries it. */
static void an_error_names_the_leader(void) {
    quorate_error *err = NULL;
    cluster *k = calloc(1, sizeof *k);
    for (int i = 0; i < NODES; i++) new_dir(k->dir[i], sizeof k->dir[i]);
    for (int i = 0; i < NODES; i++) {
        quorate_state_machine machine = counter_machine(&k->c[i]);
        quorate_config *config = new_config(&machine, k->dir[i], "127.0.0.1:0");
        CHECK_OK(quorate_config_set(config, "forward_proposals", "off", &err));
        CHECK_OK(quorate_service_start(config, &k->node[i], &err));
        quorate_config_free(config);
        snprintf(k->address[i], sizeof k->address[i], "%s", info_of(k->node[i]).address);
        k->id[i] = info_of(k->node[i]).my_id;
    }
    CHECK_OK(quorate_service_initialize_cluster(k->node[0], k->address[0], 30000, &err));
    add(k, 0, 1);
    wait_applied(k, 1, propose_wait(k->node[0], "known to all"));
    quorate_entry entry = entry_of("x");
    CHECK_EQ(quorate_service_propose(k->node[1], &entry, 30000, NULL, NULL, &err), QUORATE_ERR_NOT_LEADER);
    CHECK(err && err->leader);
    CHECK_EQ(err->leader->node_id, k->id[0]);
    CHECK_STR(err->leader->address, k->address[0]);
    quorate_free(err);
    err = NULL;
    quorate_queue *queue = quorate_queue_new();
    quorate_request request = QUORATE_REQUEST_INIT;
    quorate_completion done[1];
    request.op = QUORATE_OP_PROPOSE;
    request.entry = entry;
    quorate_status taken = quorate_service_submit(k->node[1], queue, &request, 1, &err);
    if (taken == 1) {
        CHECK_EQ(quorate_queue_poll(queue, done, 1, 30000), 1);
        CHECK_EQ(done[0].status, QUORATE_ERR_NOT_LEADER);
        CHECK_EQ(done[0].node_id, k->id[0]);
    } else {
        CHECK_ERR(taken, QUORATE_ERR_NOT_LEADER, "");
    }
    quorate_queue_free(queue);
    free_cluster(k);
}

int main(void) {
    RUN(nodes_are_added_write_and_read);
    RUN(a_removed_node_is_standalone_and_comes_back);
    RUN(members_strangers_and_nodes_with_data_are_refused);
    RUN(the_rest_goes_on_without_the_leader);
    RUN(without_a_majority_nothing_is_acknowledged);
    RUN(membership_changes_are_requests_too);
    RUN(an_error_names_the_leader);
    return check_end("cluster");
}
