// Three nodes in one process: forming, forwarding, losing, removing and adding again.
#include "machine.hpp"

#include <future>

// Nodes 0 .. n-1, of which the first founded the cluster.
struct Cluster {
    explicit Cluster(size_t n, std::vector<std::pair<std::string, std::string>> settings = {}) {
        for (size_t i = 0; i < n; i++) {
            nodes.push_back(std::make_unique<Member>());
            nodes[i]->settings = settings;
            nodes[i]->start();
        }
        OK(at(0)->initialize_cluster(at(0).listen, 20s));
        for (size_t i = 1; i < n; i++) OK(at(0)->add_node(at(i).listen, 20s));
    }
    Member &at(size_t i) { return *nodes[i]; }
    // Which node leads, once one does and all that run follow it.
    size_t leader() {
        size_t found = 0;
        CHECK(check::eventually([&] {
            uint64_t id = 0;
            for (size_t i = 0; i < nodes.size(); i++)
                if (nodes[i]->service && at(i)->info().state == State::Leader)
                    found = i, id = at(i)->info().my_id;
            if (id == 0) return false;
            for (auto &node : nodes)
                if (node->service && (*node)->info().leader_id != id) return false;
            return true;
        }));
        return found;
    }
    size_t follower() { return (leader() + 1) % nodes.size(); }
    // Every node that runs holds the same changes, these.
    void all_hold(const std::vector<std::string> &texts) {
        for (auto &node : nodes)
            if (node->service) CHECK(check::eventually([&] { return node->ledger->texts() == texts; }));
    }
    std::vector<std::unique_ptr<Member>> nodes;
};

TEST(three_nodes_agree_on_what_any_of_them_proposed) {
    Cluster c(3);
    auto leader = c.leader();
    std::vector<std::string> texts;
    for (int i = 0; i < 30; i++) {
        auto &node = c.at(static_cast<size_t>(i) % 3);
        texts.push_back("change " + std::to_string(i));
        auto reply = OK(node->propose_wait(texts.back(), 20s));
        CHECK_EQ(reply.data, texts.back() + " applied");
        CHECK_EQ(node.ledger->texts().back(), texts.back());  // a proposer reads its own write
    }
    c.all_hold(texts);

    auto cluster_id = c.at(0)->info().cluster_id;
    CHECK(cluster_id != 0);
    for (auto &node : c.nodes) {
        auto list = (*node)->node_config();
        CHECK_EQ(list.current.size(), 3u);
        CHECK(list.next.empty() && list.learners.empty());
        CHECK_EQ(list.get_node((*node)->info().my_id)->address, node->listen);
        CHECK_EQ((*node)->info().cluster_id, cluster_id);
        CHECK((*node)->info().membership_change_mode == MembershipChangeMode::Stable);
    }
    auto peers = c.at(leader)->raft_status().peer_indices;
    CHECK(peers && peers->size() == 3);
    CHECK(!c.at(c.follower())->raft_status().peer_indices);
}

TEST(a_barrier_on_any_node_shows_what_another_was_told) {
    Cluster c(3);
    for (int i = 0; i < 20; i++) {
        auto text = std::to_string(i);
        OK(c.at(static_cast<size_t>(i) % 3)->propose_wait(text, 20s));
        auto &reader = c.at(static_cast<size_t>(i + 1) % 3);
        OK(reader->read_barrier(20s));
        CHECK_EQ(reader.ledger->texts().back(), text);
    }
}

TEST(a_follower_passes_proposals_and_refusals_on) {
    Cluster c(3);
    auto &follower = c.at(c.follower());
    auto position = OK(follower->propose("x", 20s));
    CHECK(follower.applied(position.index));
    CHECK_EQ(position.term, follower->info().current_term);
    CHECK_EQ(STATUS(follower->propose(Entry("x").type(-2), 20s)), QUORATE_ERR_INVALID);
    auto e = ERR(follower->remove_node(424242, 20s));
    CHECK_EQ(e.status(), QUORATE_ERR_NOT_FOUND);
    CHECK_HAS(e.message(), format_node_id(424242));
}

TEST(without_forwarding_a_follower_names_the_leader) {
    Cluster c(2, {{"forward_proposals", "off"}});
    auto leader = c.leader();
    auto e = ERR(c.at(1 - leader)->propose_wait("x", 20s));
    CHECK_EQ(e.status(), QUORATE_ERR_NOT_LEADER);
    CHECK(e.outcome() == Outcome::NotDone);
    CHECK(e.leader().has_value());
    CHECK_EQ(e.leader()->address, c.at(leader).listen);
    CHECK_EQ(e.leader()->node_id, c.at(leader)->info().my_id);
}

TEST(a_removed_node_keeps_its_data_and_is_added_again) {
    Cluster c(3);
    std::vector<std::string> texts = {"a", "b"};
    for (auto &text : texts) OK(c.at(0)->propose_wait(text, 20s));
    auto gone = c.follower();
    auto &node = c.at(gone), &other = c.at((gone + 1) % 3);
    CHECK(check::eventually([&] { return node.ledger->texts() == texts; }));
    auto id = node->info().my_id;
    OK(other->remove_node(id, 20s));
    CHECK_EQ(other->node_config().current.size(), 2u);
    CHECK(check::eventually([&] { return node->info().state == State::Standalone; }));
    CHECK_EQ(node->info().cluster_id, 0u);
    CHECK((node.ledger->texts() == texts));
    node.restart();  // it is Standalone durably
    CHECK(node->info().state == State::Standalone);

    texts.push_back("meanwhile");
    OK(other->propose_wait(texts.back(), 20s));
    OK(other->add_node(node.listen, 30s));
    CHECK_EQ(node->info().my_id, id);
    CHECK_EQ(other->node_config().current.size(), 3u);
    texts.push_back("together");
    OK(node->propose_wait(texts.back(), 20s));
    c.all_hold(texts);
}

TEST(the_leader_can_be_removed) {
    Cluster c(3);
    auto old = c.leader();
    auto &node = c.at(old), &other = c.at((old + 1) % 3);
    OK(other->remove_node(node->info().my_id, 20s));
    CHECK(check::eventually([&] { return node->info().state == State::Standalone; }));
    CHECK_EQ(OK(other->propose_wait("without it", 20s)).data, "without it applied");
    CHECK_EQ(other->node_config().current.size(), 2u);
}

TEST(two_of_three_go_on_without_the_leader_and_it_catches_up) {
    Cluster c(3);
    OK(c.at(0)->propose_wait("before", 20s));
    auto lost = c.leader();
    c.at(lost).stop();
    auto &other = c.at((lost + 1) % 3);
    // Waits for the new leader. What was handed to the old one just before it went is not done, and safe
    // to repeat.
    auto reply = other->propose_wait("meanwhile", 20s);
    while (!reply && reply.error().outcome() == Outcome::NotDone)
        reply = other->propose_wait("meanwhile", 20s);
    OK(reply);
    c.at(lost).restart();
    c.all_hold({"before", "meanwhile"});
}

TEST(without_a_majority_nothing_is_done_and_close_answers_who_waits) {
    Cluster c(2);
    OK(c.at(0)->propose_wait("before", 20s));
    c.at(1).stop();
    auto &alone = c.at(0);
    CHECK(check::eventually([&] { return alone->info().leader_id == 0; }));
    CHECK_EQ(STATUS(alone->propose("x", 20s)), QUORATE_ERR_NOT_LEADER);
    auto late = ERR(alone->propose_wait("x", 100ms));
    CHECK(late.status() == QUORATE_ERR_TIMEOUT || late.status() == QUORATE_ERR_NOT_LEADER);
    CHECK(ERR(alone->read_barrier(100ms)).outcome() != Outcome::Done);

    auto &service = *alone.service;
    auto queue = OK(Queue::create());
    OK(service.submit(queue, Request::propose_wait(9, "y")));
    auto write = std::async(std::launch::async, [&] { return service.propose_wait("z"); });
    auto read = std::async(std::launch::async, [&] { return service.read_barrier(); });
    auto change = std::async(std::launch::async, [&] { return service.remove_node(1); });
    CHECK(write.wait_for(200ms) == std::future_status::timeout);
    OK(service.close());
    CHECK(ERR(write.get()).outcome() != Outcome::Done);
    CHECK(ERR(read.get()).outcome() != Outcome::Done);
    CHECK(ERR(change.get()).outcome() != Outcome::Done);
    auto done = OK(queue.poll(20s));
    CHECK_EQ(done.size(), 1u);
    CHECK(done[0].token() == 9 && done[0].outcome() != Outcome::Done);
    CHECK((alone.ledger->texts() == std::vector<std::string>{"before"}));
}

TEST(changes_of_membership_that_can_not_be_say_why) {
    Member alone;
    alone.start();
    CHECK_EQ(STATUS(alone->add_node("127.0.0.1:1", 5s)), QUORATE_ERR_NO_CLUSTER);
    CHECK_EQ(STATUS(alone->remove_node(1, 5s)), QUORATE_ERR_NO_CLUSTER);

    Cluster c(2), foreign(1);
    auto &s = *c.at(0).service;
    CHECK_EQ(STATUS(s.initialize_cluster(c.at(0).listen, 5s)), QUORATE_ERR_ALREADY_MEMBER);
    CHECK_EQ(STATUS(s.add_node(c.at(1).listen, 5s)), QUORATE_ERR_ALREADY_MEMBER);
    CHECK_EQ(STATUS(s.add_node(c.at(0).listen, 5s)), QUORATE_ERR_ALREADY_MEMBER);
    CHECK_EQ(STATUS(s.add_node(foreign.at(0).listen, 5s)), QUORATE_ERR_OTHER_CLUSTER);
    CHECK_EQ(STATUS(s.remove_node(12345, 5s)), QUORATE_ERR_NOT_FOUND);
    CHECK_EQ(STATUS(s.add_node("nowhere", 5s)), QUORATE_ERR_INVALID);
    auto nobody = ERR(s.add_node("127.0.0.1:1", 5s));
    CHECK_EQ(nobody.status(), QUORATE_ERR_UNREACHABLE);
    CHECK_HAS(nobody.message(), "127.0.0.1:1");
    OK(alone->propose_wait("of its own", 5s));
    CHECK_EQ(STATUS(s.add_node(alone.listen, 5s)), QUORATE_ERR_HAS_DATA);
    auto &last = *foreign.at(0).service;
    CHECK_EQ(STATUS(last.remove_node(last.info().my_id, 5s)), QUORATE_ERR_INVALID);

    CHECK_EQ(OK(s.propose_wait("goes on", 20s)).data, "goes on applied");
    CHECK_EQ(s.node_config().current.size(), 2u);
}
