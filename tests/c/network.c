/* Clusters on a network of the host's own: they form, replicate, and survive what happens to frames. */
#include "mesh.h"

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

int main(void) {
    RUN(nodes_find_each_other_and_replicate);
    RUN(each_kind_has_its_own_way_in);
    RUN(lost_repeated_late_and_altered_frames_do_no_harm);
    RUN(a_node_that_was_cut_off_or_closed_comes_back);
    RUN(an_address_without_a_node_is_unreachable);
    return check_end("network");
}
