/* Clusters whose frames travel through queues of the test, which loses, repeats, delays and alters them. */
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

static int flag(int *what) { return __atomic_load_n(what, __ATOMIC_SEQ_CST); }
static void set(int *what, int to) { __atomic_store_n(what, to, __ATOMIC_SEQ_CST); }
static void count(int *what) { __atomic_add_fetch(what, 1, __ATOMIC_SEQ_CST); }

/* The same every time, but for the order in which the nodes ask. */
static int roll(int below) {
    unsigned x = __atomic_add_fetch(&dice, 0x9e3779b9u, __ATOMIC_SEQ_CST);
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return (int)((x ^ x >> 16) % (unsigned)below);
}

static void put_last(node *to, const void *bytes, size_t len) {
    frame *f = malloc(sizeof *f + len);
    CHECK(f != NULL);
    f->next = NULL, f->len = len;
    memcpy(f->bytes, bytes, len);
    pthread_mutex_lock(&to->lock);
    *to->last = f, to->last = &f->next;
    pthread_cond_signal(&to->arrived);
    pthread_mutex_unlock(&to->lock);
}

static frame *take_first(node *from) {
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

static void drop_network(void *ctx) { count(&((node *)ctx)->dropped); }

static quorate_status deliver(node *to, const void *bytes, size_t len, quorate_error **err) {
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
static void deliver_altered(node *to, frame *f) {
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
static void deliver_late(node *to) {
    if (!to->late || to->waits-- > 0) return;
    for (frame *f; (f = to->late) != NULL; free(f)) {
        to->late = f->next;
        deliver(to, f->bytes, f->len, NULL);
    }
}

static void hold_up(node *to, const frame *f) {
    frame *copy = malloc(sizeof *copy + f->len);
    CHECK(copy != NULL);
    memcpy(copy, f, sizeof *copy + f->len);
    if (!to->late) to->waits = 20;
    copy->next = to->late, to->late = copy;
    count(&to->held);
}

/* Hands over one frame, or lets something happen to it. */
static void arrive(node *to, frame *f) {
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

static void *carry(void *ctx) {
    node *to = ctx;
    for (frame *f; (f = take_first(to)) != NULL; free(f)) arrive(to, f);
    return NULL;
}

static quorate_config *network_config(node *n) {
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

static void start_node(node *n) {
    quorate_error *err = NULL;
    quorate_config *config = network_config(n);
    memset(&n->c, 0, sizeof n->c);
    n->over = 0;
    CHECK_OK(quorate_service_start(config, &n->service, &err));
    quorate_config_free(config);
    CHECK(info_of(n->service).address == NULL);
    CHECK_EQ(pthread_create(&n->thread, NULL, carry, n), 0);
}

static void stop_node(node *n) {
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

static void new_cluster(void) {
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

static void free_cluster(void) {
    for (int i = 0; i < NODES; i++)
        if (nodes[i].service) stop_node(&nodes[i]);
}

static void wait_applied(node *n, uint64_t index) {
    quorate_tracker *applied = quorate_service_applied_tracker(n->service);
    CHECK(quorate_tracker_timed_wait(applied, index, 90000) >= index);
    quorate_tracker_free(applied);
}

/* Proposes again as long as it is certain that nothing was done. */
static uint64_t propose_until_done(node *n, const char *text) {
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
static int leader(void) {
    quorate_tracker *never = quorate_tracker_new();
    int i = 0;
    while (flag(&nodes[i].cut_off) || info_of(nodes[i].service).state != QUORATE_STATE_LEADER) {
        quorate_tracker_timed_wait(never, 1, 5);
        i = (i + 1) % NODES;
    }
    quorate_tracker_free(never);
    return i;
}

static void write_and_read(int writes) {
    quorate_error *err = NULL;
    uint64_t last = 0;
    for (int i = 0; i < writes; i++) last = propose_until_done(&nodes[i % NODES], "from anyone");
    for (int i = 0; i < NODES; i++) wait_applied(&nodes[i], last);
    quorate_status status;
    do status = quorate_service_read_barrier(nodes[2].service, QUORATE_READ_LINEARIZABLE, 60000, NULL);
    while (status < 0 && quorate_status_outcome(status) != QUORATE_OUTCOME_FATAL);
    CHECK_OK(status);
}

static void nodes_find_each_other_and_replicate(void) {
    new_cluster();
    quorate_node_list *list = quorate_service_node_config(nodes[2].service);
    CHECK_EQ(list->current_len, NODES);
    for (size_t i = 0; i < NODES; i++) CHECK(!strncmp(list->current[i].address, "node ", 5));
    quorate_free(list);
    write_and_read(60);
    for (int i = 0; i < NODES; i++) CHECK_EQ(counted(&nodes[i].c.entries), 60);
    free_cluster();
    for (int i = 0; i < NODES; i++) {
        CHECK_EQ(nodes[i].dropped, 1);
        CHECK_EQ(nodes[i].refused, 0);
    }
    CHECK(nodes[0].sent_by_name > 0); /* whoever is asked who it is has no id yet */
}

static void each_kind_has_its_own_way_in(void) {
    new_cluster();
    for (int i = 0; i < NODES; i++) set(&nodes[i].by_kind, 1);
    int was = leader();
    set(&nodes[was].cut_off, 1); /* so that there are votes to see, and joins before */
    uint64_t last = propose_until_done(&nodes[(was + 1) % NODES], "with another leader");
    set(&nodes[was].cut_off, 0);
    wait_applied(&nodes[was], last);
    int seen[4] = {0};
    for (int i = 0; i < NODES; i++)
        for (int kind = 0; kind < 4; kind++) seen[kind] += flag(&nodes[i].kinds[kind]);
    CHECK(seen[QUORATE_FRAME_APPEND] > 0);
    CHECK(seen[QUORATE_FRAME_REQUEST_VOTE] > 0);
    CHECK(seen[QUORATE_FRAME_JOIN] > 0);
    write_and_read(9);
    free_cluster();
}

static void lost_repeated_late_and_altered_frames_do_no_harm(void) {
    new_cluster();
    set(&faulty, 30);
    write_and_read(150);
    set(&faulty, 0);
    write_and_read(3);
    int lost = 0, doubled = 0, swapped = 0, held = 0, altered = 0;
    for (int i = 0; i < NODES; i++) {
        CHECK(counted(&nodes[i].c.entries) >= 153);
        CHECK_EQ(counted(&nodes[i].c.entries), counted(&nodes[0].c.entries));
        lost += flag(&nodes[i].lost), doubled += flag(&nodes[i].doubled);
        swapped += flag(&nodes[i].swapped), altered += flag(&nodes[i].altered), held += flag(&nodes[i].held);
    }
    CHECK(lost > 0 && doubled > 0 && swapped > 0 && held > 0 && altered > 0);
    free_cluster();
}

static void a_node_that_was_cut_off_or_closed_comes_back(void) {
    new_cluster();
    uint64_t last = propose_until_done(&nodes[0], "one");
    for (int round = 0; round < 3; round++) {
        int was = leader();
        set(&nodes[was].cut_off, 1);
        last = propose_until_done(&nodes[(was + 1) % NODES], "without it");
        set(&nodes[was].cut_off, 0);
        wait_applied(&nodes[was], last);
    }
    int was = leader();
    stop_node(&nodes[was]);
    last = propose_until_done(&nodes[(was + 1) % NODES], "without it");
    start_node(&nodes[was]);
    wait_applied(&nodes[was], last);
    write_and_read(6);
    for (int i = 0; i < NODES; i++) CHECK_EQ(counted(&nodes[i].c.entries), 11);
    free_cluster();
}

static void an_address_without_a_node_is_unreachable(void) {
    quorate_error *err = NULL;
    new_cluster();
    CHECK_ERR(quorate_service_add_node(nodes[0].service, "node 9", 60000, &err), QUORATE_ERR_UNREACHABLE,
              "no such name");
    write_and_read(3);
    free_cluster();
}

/* ---- What is delivered that should not be ------------------------------------------------------------ */

static quorate_service *alone(counter *c) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    quorate_state_machine machine = counter_machine(c);
    quorate_config *config = quorate_config_new();
    CHECK_OK(quorate_config_state_machine(config, &machine, &err));
    CHECK_OK(quorate_config_set(config, "storage", "memory", &err));
    CHECK_OK(quorate_service_start(config, &service, &err));
    quorate_config_free(config);
    return service;
}

/* Random bytes, of random length: each is refused with the same answer, and the service does not mind. */
static void noise_is_refused(void) {
    static unsigned char noise[5000];
    quorate_error *err = NULL;
    new_cluster();
    quorate_service *service = nodes[0].service;
    for (int round = 0; round < 3000; round++) {
        size_t len = (size_t)roll(round % 10 ? 80 : (int)sizeof noise);
        for (size_t i = 0; i < len; i++) noise[i] = (unsigned char)roll(256);
        if (round % 3 == 0 && len > 2) noise[0] = (unsigned char)roll(20), noise[1] = 0; /* a plausible address */
        CHECK_ERR(quorate_service_deliver(service, noise, len, &err), QUORATE_ERR_INVALID, "dropped");
        CHECK_EQ(quorate_service_append(service, noise, len, NULL), QUORATE_ERR_INVALID);
        CHECK_EQ(quorate_frame_kind(noise, len), QUORATE_ERR_INVALID);
    }
    write_and_read(3);
    free_cluster();
}

static void impossible_frames_are_refused(void) {
    quorate_error *err = NULL;
    static unsigned char byte;
    new_cluster();
    quorate_service *service = nodes[0].service;
    CHECK_ERR(quorate_service_deliver(service, NULL, 5, &err), QUORATE_ERR_INVALID, "frame");
    CHECK_ERR(quorate_service_deliver(service, NULL, 0, &err), QUORATE_ERR_INVALID, "");
    CHECK_ERR(quorate_service_deliver(service, &byte, 0, &err), QUORATE_ERR_INVALID, "");
    CHECK_ERR(quorate_service_deliver(service, &byte, SIZE_MAX, &err), QUORATE_ERR_TOO_LARGE, "");
    size_t large = (size_t)64 << 20;
    void *zeroes = calloc(1, large);
    CHECK(zeroes != NULL);
    CHECK_ERR(quorate_service_deliver(service, zeroes, large, &err), QUORATE_ERR_TOO_LARGE, "allowed");
    CHECK_EQ(quorate_frame_kind(zeroes, large), QUORATE_ERR_TOO_LARGE);
    CHECK_EQ(quorate_frame_kind(NULL, 3), QUORATE_ERR_INVALID);
    CHECK_EQ(quorate_frame_kind(NULL, 0), QUORATE_ERR_INVALID);
    free(zeroes);
    write_and_read(3);
    free_cluster();
}

static void only_a_running_service_with_a_network_of_the_hosts_takes_frames(void) {
    static quorate_status (*const ways[])(quorate_service *, const void *, size_t, quorate_error **) = {
        quorate_service_deliver, quorate_service_append, quorate_service_request_vote, quorate_service_join};
    quorate_error *err = NULL;
    counter c = {0};
    char dir[256];
    quorate_service *none = alone(&c), *tcp = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    new_cluster();
    CHECK_OK(quorate_service_close(nodes[2].service, &err));
    for (size_t i = 0; i < 4; i++) {
        CHECK_ERR(ways[i](none, "x", 1, &err), QUORATE_ERR_UNSUPPORTED, "network");
        CHECK_ERR(ways[i](tcp, "x", 1, &err), QUORATE_ERR_UNSUPPORTED, "network");
        CHECK_ERR(ways[i](nodes[2].service, "x", 1, &err), QUORATE_ERR_CLOSED, "");
        CHECK_ERR(ways[i](NULL, "x", 1, &err), QUORATE_ERR_INVALID, "service");
    }
    quorate_service_free(none);
    quorate_service_free(tcp);
    free_cluster();
}

static void a_table_that_is_none_is_refused_and_dropped_once(void) {
    quorate_error *err = NULL;
    quorate_config *config = quorate_config_new();
    node *n = &nodes[0];
    const quorate_transport whole = {sizeof whole, 0, n, drop_network, send_frame};
    quorate_transport bad = whole;
    n->dropped = 0;
    bad.send = NULL;
    CHECK_ERR(quorate_config_transport(config, &bad, &err), QUORATE_ERR_INVALID, "send");
    bad = whole, bad.reserved = 1;
    CHECK_ERR(quorate_config_transport(config, &bad, &err), QUORATE_ERR_INVALID, "reserved");
    bad = whole, bad.struct_size = sizeof whole - 1;
    CHECK_ERR(quorate_config_transport(config, &bad, &err), QUORATE_ERR_INVALID, "struct_size");
    CHECK_EQ(n->dropped, 3);
    bad = whole, bad.struct_size = 8; /* it can't say how to drop it */
    CHECK_ERR(quorate_config_transport(config, &bad, &err), QUORATE_ERR_INVALID, "struct_size");
    CHECK_ERR(quorate_config_transport(config, NULL, &err), QUORATE_ERR_INVALID, "transport");
    CHECK_EQ(n->dropped, 3);
    CHECK_ERR(quorate_config_transport(NULL, &whole, &err), QUORATE_ERR_INVALID, "config");
    CHECK_EQ(n->dropped, 4);
    CHECK_OK(quorate_config_transport(config, &whole, &err));
    CHECK_OK(quorate_config_transport(config, &whole, &err)); /* replaces the first */
    CHECK_EQ(n->dropped, 5);
    quorate_config_free(config);
    CHECK_EQ(n->dropped, 6);
}

/* As with a store, the table is what counts: nobody listens. */
static void a_network_stands_in_place_of_the_listener(void) {
    quorate_error *err = NULL;
    node *n = &nodes[0];
    memset(nodes, 0, sizeof nodes);
    new_dir(n->dir, sizeof n->dir);
    quorate_config *config = network_config(n);
    CHECK_OK(quorate_config_set(config, "listen", "127.0.0.1:0", &err));
    CHECK_OK(quorate_service_start(config, &n->service, &err));
    CHECK(info_of(n->service).address == NULL);
    quorate_config_free(config);
    quorate_service_free(n->service);
    CHECK_EQ(n->dropped, 1);
}

/* ---- send calls back ------------------------------------------------------------------------------------- */

static quorate_service *called_back;
static int tried;
static quorate_status nosy_send(void *ctx, uint64_t id, const char *address, const void *bytes, size_t len,
                                quorate_error **callback_err) {
    (void)ctx, (void)id, (void)address;
    quorate_error *err = NULL;
    quorate_entry entry = entry_of("x");
    quorate_service *service = __atomic_load_n(&called_back, __ATOMIC_SEQ_CST);
    if (!service || flag(&tried)) return QUORATE_OK;
    CHECK_ERR(quorate_service_close(service, &err), QUORATE_ERR_IN_CALLBACK, "callback");
    CHECK_ERR(quorate_service_propose_wait(service, &entry, 1, NULL, &err), QUORATE_ERR_IN_CALLBACK, "");
    CHECK(info_of(service).my_id != 0);
    CHECK(quorate_frame_kind(bytes, len) >= 0);
    /* It is for another node, and from this one. */
    CHECK_EQ(quorate_service_deliver(service, bytes, len, NULL) < 0, id != 0);
    set(&tried, 1);
    *callback_err = (quorate_error *)0x10; /* none: it is not followed */
    return INT32_MIN;
}

static void send_may_call_back_what_does_not_wait(void) {
    quorate_error *err = NULL;
    node *n = &nodes[0];
    memset(nodes, 0, sizeof nodes);
    new_dir(n->dir, sizeof n->dir);
    quorate_config *config = network_config(n);
    quorate_transport transport = {sizeof transport, 0, NULL, NULL, nosy_send};
    CHECK_OK(quorate_config_transport(config, &transport, &err));
    CHECK_EQ(n->dropped, 1);
    CHECK_OK(quorate_service_start(config, &n->service, &err));
    quorate_config_free(config);
    __atomic_store_n(&called_back, n->service, __ATOMIC_SEQ_CST);
    CHECK_OK(quorate_service_initialize_cluster(n->service, "me", 60000, &err));
    CHECK_ERR(quorate_service_add_node(n->service, "you", 60000, &err), QUORATE_ERR_UNREACHABLE, "you");
    CHECK(flag(&tried));
    propose_wait(n->service, "goes on");
    quorate_service_free(n->service);
}

int main(void) {
    RUN(nodes_find_each_other_and_replicate);
    RUN(each_kind_has_its_own_way_in);
    RUN(lost_repeated_late_and_altered_frames_do_no_harm);
    RUN(a_node_that_was_cut_off_or_closed_comes_back);
    RUN(an_address_without_a_node_is_unreachable);
    RUN(noise_is_refused);
    RUN(impossible_frames_are_refused);
    RUN(only_a_running_service_with_a_network_of_the_hosts_takes_frames);
    RUN(a_table_that_is_none_is_refused_and_dropped_once);
    RUN(a_network_stands_in_place_of_the_listener);
    RUN(send_may_call_back_what_does_not_wait);
    return check_end("network");
}
