/* What is delivered that should not be, tables that are none, and a send that calls back. */
#include "mesh.h"

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
    RUN(noise_is_refused);
    RUN(impossible_frames_are_refused);
    RUN(only_a_running_service_with_a_network_of_the_hosts_takes_frames);
    RUN(a_table_that_is_none_is_refused_and_dropped_once);
    RUN(a_network_stands_in_place_of_the_listener);
    RUN(send_may_call_back_what_does_not_wait);
    return check_end("frames");
}
