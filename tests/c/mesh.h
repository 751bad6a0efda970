/* Three nodes whose frames travel through queues of the test, which loses, repeats, delays and alters them. */
#ifndef MESH_H
#define MESH_H

#include "check.h"
#include <pthread.h>

enum { NODES = 3 };

typedef struct frame { struct frame *next; size_t len; unsigned char bytes[]; } frame;

/* What arrives at one node, and what goes wrong on the way. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t arrived;
    frame *first, **last;
    pthread_t thread;
    quorate_service *service;
    counter c;
    char name[8], dir[256];
    int cut_off, over, by_kind; /* flags */
    int lost, doubled, swapped, held, altered, refused, kinds[4], sent_by_name, dropped;
    frame *late; /* held up, the newest first */
    int waits;   /* frames that pass before those go on */
} node;

static node nodes[NODES];
static int faulty; /* from 0 to 100: how many frames of a hundred meet with something */
static unsigned dice;

static inline int flag(int *what) { return __atomic_load_n(what, __ATOMIC_SEQ_CST); }
static inline void set(int *what, int to) { __atomic_store_n(what, to, __ATOMIC_SEQ_CST); }
static inline void count(int *what) { __atomic_add_fetch(what, 1, __ATOMIC_SEQ_CST); }

/* The same every time, but for the order in which the nodes ask. */
static inline int roll(int below) {
    unsigned x = __atomic_add_fetch(&dice, 0x9e3779b9u, __ATOMIC_SEQ_CST);
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return (int)((x ^ x >> 16) % (unsigned)below);
}

static inline void put_last(node *to, const void *bytes, size_t len) {
    frame *f = malloc(sizeof *f + len);
    CHECK(f != NULL);
    f->next = NULL, f->len = len;
    memcpy(f->bytes, bytes, len);
    pthread_mutex_lock(&to->lock);
    *to->last = f, to->last = &f->next;
    pthread_cond_signal(&to->arrived);
    pthread_mutex_unlock(&to->lock);
}

static inline frame *take_first(node *from) {
    pthread_mutex_lock(&from->lock);
    while (!from->first && !from->over) pthread_cond_wait(&from->arrived, &from->lock);
    frame *f = from->first;
    if (f) from->first = f->next;
    if (!from->first) from->last = &from->first;
    pthread_mutex_unlock(&from->lock);
    return f;
}

static quorate_status send_frame(void *ctx, uint64_t id, const char *address, const void *bytes, size_t len,
                                 quorate_error **err) {
    node *from = ctx;
    if (!id) count(&from->sent_by_name);
    for (int i = 0; i < NODES; i++) {
        if (strcmp(nodes[i].name, address)) continue;
        if (!flag(&from->cut_off) && !flag(&nodes[i].cut_off)) put_last(&nodes[i], bytes, len);
        return QUORATE_OK;
    }
    *err = quorate_error_new("no such name");
    return QUORATE_ERR_UNREACHABLE;
}

static inline void drop_network(void *ctx) { count(&((node *)ctx)->dropped); }

static inline quorate_status deliver(node *to, const void *bytes, size_t len, quorate_error **err) {
    static quorate_status (*const by_kind[])(quorate_service *, const void *, size_t, quorate_error **) = {
        quorate_service_deliver, quorate_service_append, quorate_service_request_vote, quorate_service_join};
    quorate_status kind = quorate_frame_kind(bytes, len);
    CHECK(kind >= QUORATE_FRAME_OTHER && kind <= QUORATE_FRAME_JOIN);
    count(&to->kinds[kind]);
    if (!flag(&to->by_kind)) return quorate_service_deliver(to->service, bytes, len, err);
    for (int other = QUORATE_FRAME_APPEND; other <= QUORATE_FRAME_JOIN; other++)
        if (other != kind)
            CHECK_EQ(by_kind[other](to->service, bytes, len, NULL), QUORATE_ERR_INVALID);
    return by_kind[kind](to->service, bytes, len, err);
}

/* A byte of the frame is another one: it is refused, and nothing happens. */
static inline void deliver_altered(node *to, frame *f) {
    quorate_error *err = NULL;
    size_t at = (size_t)roll((int)f->len);
    unsigned char flip = (unsigned char)(1 + roll(255));
    f->bytes[at] ^= flip;
    CHECK_EQ(quorate_frame_kind(f->bytes, f->len), QUORATE_ERR_INVALID);
    CHECK_ERR(quorate_service_deliver(to->service, f->bytes, f->len, &err), QUORATE_ERR_INVALID, "altered");
    f->bytes[at] ^= flip;
    count(&to->altered);
}

/* Frames that were held up come when twenty others have passed, the newest first. */
static inline void deliver_late(node *to) {
    if (!to->late || to->waits-- > 0) return;
    for (frame *f; (f = to->late) != NULL; free(f)) {
        to->late = f->next;
        deliver(to, f->bytes, f->len, NULL);
    }
}

static inline void hold_up(node *to, const frame *f) {
    frame *copy = malloc(sizeof *copy + f->len);
    CHECK(copy != NULL);
    memcpy(copy, f, sizeof *copy + f->len);
    if (!to->late) to->waits = 20;
    copy->next = to->late, to->late = copy;
    count(&to->held);
}

/* Hands over one frame, or lets something happen to it. */
static inline void arrive(node *to, frame *f) {
    int what = roll(100) < flag(&faulty) ? roll(5) : -1;
    quorate_error *err = NULL;
    deliver_late(to);
    if (what == 0) count(&to->lost);
    if (what == 1) count(&to->swapped), put_last(to, f->bytes, f->len); /* behind the others */
    if (what == 2) deliver_altered(to, f);
    if (what == 3) count(&to->doubled), deliver(to, f->bytes, f->len, NULL);
    if (what == 4) hold_up(to, f);
    if (what == 0 || what == 1 || what == 4) return;
    quorate_status status = deliver(to, f->bytes, f->len, &err);
    CHECK(status == QUORATE_OK || status == QUORATE_ERR_BUSY || status == QUORATE_ERR_CLOSED);
    if (status < 0) count(&to->refused);
    quorate_free(err);
}

static inline void *carry(void *ctx) {
    node *to = ctx;
    for (frame *f; (f = take_first(to)) != NULL; free(f)) arrive(to, f);
    return NULL;
}

static inline quorate_config *network_config(node *n) {
    quorate_error *err = NULL;
    quorate_state_machine machine = counter_machine(&n->c);
    quorate_transport transport = QUORATE_TRANSPORT_INIT;
    transport.ctx = n;
    transport.send = send_frame;
    transport.drop = drop_network;
    quorate_config *config = quorate_config_new();
    CHECK_OK(quorate_config_state_machine(config, &machine, &err));
    CHECK_OK(quorate_config_transport(config, &transport, &err));
    CHECK_OK(quorate_config_set(config, "data_dir", n->dir, &err));
    const char *slow = getenv("QUORATE_TEST_SLOW");
    CHECK_OK(quorate_config_set(config, "heartbeat_timeout", slow ? "300ms" : "30ms", &err));
    CHECK_OK(quorate_config_set(config, "election_timeout", slow ? "3s" : "300ms", &err));
    return config;
}

static inline void start_node(node *n) {
    quorate_error *err = NULL;
    quorate_config *config = network_config(n);
    memset(&n->c, 0, sizeof n->c);
    n->over = 0;
    CHECK_OK(quorate_service_start(config, &n->service, &err));
    quorate_config_free(config);
    CHECK(info_of(n->service).address == NULL);
    CHECK_EQ(pthread_create(&n->thread, NULL, carry, n), 0);
}

static inline void stop_node(node *n) {
    pthread_mutex_lock(&n->lock);
    n->over = 1;
    pthread_cond_signal(&n->arrived);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
    quorate_service_free(n->service);
    for (frame *f; (f = take_first(n)) != NULL;) free(f);
    for (frame *f; (f = n->late) != NULL; free(f)) n->late = f->next;
    n->service = NULL;
}

static inline void new_cluster(void) {
    quorate_error *err = NULL;
    memset(nodes, 0, sizeof nodes);
    set(&faulty, 0);
    for (int i = 0; i < NODES; i++) {
        node *n = &nodes[i];
        pthread_mutex_init(&n->lock, NULL);
        pthread_cond_init(&n->arrived, NULL);
        n->last = &n->first;
        snprintf(n->name, sizeof n->name, "node %d", i);
        new_dir(n->dir, sizeof n->dir);
        start_node(n);
    }
    CHECK_OK(quorate_service_initialize_cluster(nodes[0].service, "node 0", 60000, &err));
    CHECK_OK(quorate_service_add_node(nodes[0].service, "node 1", 60000, &err));
    CHECK_OK(quorate_service_add_node(nodes[1].service, "node 2", 60000, &err)); /* on a follower */
}

static inline void free_cluster(void) {
    for (int i = 0; i < NODES; i++)
        if (nodes[i].service) stop_node(&nodes[i]);
}

static inline void wait_applied(node *n, uint64_t index) {
    quorate_tracker *applied = quorate_service_applied_tracker(n->service);
    CHECK(quorate_tracker_timed_wait(applied, index, 90000) >= index);
    quorate_tracker_free(applied);
}

/* Proposes again as long as it is certain that nothing was done. */
static inline uint64_t propose_until_done(node *n, const char *text) {
    quorate_entry entry = entry_of(text);
    for (;;) {
        quorate_error *err = NULL;
        quorate_result *result = NULL;
        quorate_status status = quorate_service_propose_wait(n->service, &entry, 90000, &result, &err);
        uint64_t index = result ? result->index : 0;
        quorate_free(result);
        if (status >= 0) return index;
        CHECK_EQ(quorate_status_outcome(status), QUORATE_OUTCOME_NOT_DONE);
        quorate_free(err);
    }
}

/* Who leads; asked for, because there may be an election first. */
static inline int leader(void) {
    quorate_tracker *never = quorate_tracker_new();
    int i = 0;
    while (flag(&nodes[i].cut_off) || info_of(nodes[i].service).state != QUORATE_STATE_LEADER) {
        quorate_tracker_timed_wait(never, 1, 5);
        i = (i + 1) % NODES;
    }
    quorate_tracker_free(never);
    return i;
}

static inline void write_and_read(int writes) {
    quorate_error *err = NULL;
    uint64_t last = 0;
    for (int i = 0; i < writes; i++) last = propose_until_done(&nodes[i % NODES], "from anyone");
    for (int i = 0; i < NODES; i++) wait_applied(&nodes[i], last);
    quorate_status status;
    do status = quorate_service_read_barrier(nodes[2].service, QUORATE_READ_LINEARIZABLE, 60000, NULL);
    while (status < 0 && quorate_status_outcome(status) != QUORATE_OUTCOME_FATAL);
    CHECK_OK(status);
}

#endif
