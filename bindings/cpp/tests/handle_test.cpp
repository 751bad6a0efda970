// Settings, ends, and handles that were moved from or closed: an answer, never a crash.
#include "machine.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static Error start_error(Config config) { return ERR(Service::start(std::move(config))); }
static Config memory() {
    Config c;
    c.set("storage", "memory").state_machine(std::make_shared<Ledger>());
    return c;
}

TEST(an_unknown_setting_names_the_nearest_one) {
    auto e = start_error(memory().set("election_timeuot", "1s"));
    CHECK_EQ(e.status(), QUORATE_ERR_NOT_FOUND);
    CHECK_HAS(e.message(), "election_timeout");
}

TEST(a_malformed_setting_is_refused) {
    for (auto value : {"", "soon", "-1s", "1 parsec", "99999999999999999999s"}) {
        auto e = start_error(memory().set("election_timeout", value));
        CHECK_EQ(e.status(), QUORATE_ERR_INVALID);
        CHECK_HAS(e.message(), "election_timeout");
    }
    CHECK_EQ(start_error(memory().set("pre_vote", "maybe")).status(), QUORATE_ERR_INVALID);
    CHECK_EQ(start_error(memory().set("storage", "tape")).status(), QUORATE_ERR_INVALID);
    CHECK_EQ(start_error(memory().set("listen", "nowhere")).status(), QUORATE_ERR_INVALID);
}

TEST(text_with_a_nul_is_refused_and_not_cut) {
    auto e = start_error(memory().set("listen", std::string("127.0.0.1:0\0x", 13)));
    CHECK_EQ(e.status(), QUORATE_ERR_INVALID);
    CHECK_HAS(e.message(), "listen");
    Member m;
    CHECK_EQ(STATUS(m.start().add_node(std::string("a:1\0", 4), 1s)), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(m->initialize_cluster(std::string("a:1\0", 4), 1s)), QUORATE_ERR_INVALID);
}

TEST(the_first_mistake_of_a_config_is_the_one_reported) {
    auto e = start_error(memory().set("no_such", "1").set("election_timeout", "soon"));
    CHECK_EQ(e.status(), QUORATE_ERR_NOT_FOUND);
    Config c = memory().set("no_such", "1");
    CHECK_EQ(c.mistake().error().status(), QUORATE_ERR_NOT_FOUND);
}

TEST(a_config_without_a_machine_is_refused) {
    CHECK_EQ(start_error(Config().set("storage", "memory")).status(), QUORATE_ERR_INVALID);
    CHECK_EQ(start_error(Config().state_machine(nullptr)).status(), QUORATE_ERR_INVALID);
}

TEST(a_taken_address_is_named) {
    Member a, b;
    b.listen = a.start().info().address;
    auto e = start_error(b.config());
    CHECK_EQ(e.status(), QUORATE_ERR_ADDRESS_IN_USE);
    CHECK_HAS(e.message(), b.listen);
    OK(a->propose_wait("lives on", 10s));
}

TEST(a_directory_that_is_taken_or_impossible_is_named) {
    Member a, b;
    a.start();
    auto locked = start_error(b.config().set("data_dir", a.dir.path));
    CHECK_EQ(locked.status(), QUORATE_ERR_LOCKED);
    CHECK_HAS(locked.message(), a.dir.path);
    auto impossible = start_error(b.config().set("data_dir", "/proc/quorate"));
    CHECK_EQ(impossible.status(), QUORATE_ERR_IO);
    CHECK_HAS(impossible.message(), "/proc/quorate");
}

TEST(after_close_looking_goes_on_and_the_rest_is_refused) {
    Member m;
    auto &s = m.start();
    auto queue = OK(Queue::create());
    auto index = OK(s.propose_wait("x", 10s)).index;
    auto id = s.info().my_id;
    auto tracker = s.applied_tracker();
    OK(s.close());
    OK(s.close());
    CHECK(s.info().state == State::Stopped);
    CHECK_EQ(s.info().my_id, id);
    CHECK(s.info().last_applied >= index);
    (void)s.node_config(), (void)s.raft_status();
    CHECK_HAS(s.report(), "{");
    CHECK(tracker.wait(~uint64_t(0)) >= index);
    CHECK_EQ(STATUS(s.propose("y", 1s)), QUORATE_ERR_CLOSED);
    CHECK_EQ(STATUS(s.propose_wait("y")), QUORATE_ERR_CLOSED);
    CHECK_EQ(STATUS(s.read_barrier()), QUORATE_ERR_CLOSED);
    CHECK_EQ(STATUS(s.submit(queue, Request::propose(1, "y"))), QUORATE_ERR_CLOSED);
    CHECK_EQ(STATUS(s.initialize_cluster("127.0.0.1:1")), QUORATE_ERR_CLOSED);
    CHECK_EQ(STATUS(s.add_node("127.0.0.1:1")), QUORATE_ERR_CLOSED);
    CHECK_EQ(STATUS(s.remove_node(1)), QUORATE_ERR_CLOSED);
}

TEST(a_service_moves_and_what_is_left_answers) {
    Member m;
    auto first = std::move(m.start());
    Service second = std::move(first);
    CHECK_EQ(OK(second.propose_wait("x", 10s)).data, "x applied");

    auto queue = OK(Queue::create());
    CHECK(!first.capi());
    CHECK(first.info().state == State::Stopped && first.info().my_id == 0);
    CHECK(first.node_config().current.empty());
    CHECK(!first.raft_status().peer_indices);
    CHECK(first.report().empty());
    CHECK_EQ(first.applied_tracker().wait(1), 0u);
    CHECK_EQ(STATUS(first.propose("y", 1s)), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(first.propose_wait("y", 1s)), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(first.read_barrier(1s)), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(first.submit(queue, Request::propose(1, "y"))), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(first.initialize_cluster("127.0.0.1:1", 1s)), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(first.add_node("127.0.0.1:1", 1s)), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(first.remove_node(1, 1s)), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(first.close()), QUORATE_ERR_INVALID);

    Member other;
    second = std::move(other.start());  // closes and frees the one that it held
    CHECK_EQ(OK(second.propose_wait("z", 10s)).data, "z applied");
    CHECK_EQ(other.ledger->texts().back(), "z");
}

TEST(a_config_moves_and_what_is_left_answers) {
    Config from = memory(), to = std::move(from);
    CHECK(!from.capi());
    from.set("storage", "memory");
    CHECK_EQ(from.mistake().error().status(), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(Service::start(std::move(from))), QUORATE_ERR_INVALID);
    OK(Service::start(std::move(to)));
    CHECK_EQ(STATUS(Service::start(std::move(to))), QUORATE_ERR_INVALID);
}

TEST(a_queue_and_a_tracker_move_and_what_is_left_answers) {
    auto q = OK(Queue::create());
    auto moved = std::move(q);
    CHECK_EQ(q.fd(), -1);
    CHECK_EQ(STATUS(q.poll(0ms)), QUORATE_ERR_INVALID);
    q.wake();
    CHECK(OK(moved.poll(0ms)).empty());

    ChangeTracker t;
    auto same = std::move(t);
    CHECK_EQ(STATUS(t.update(1)), QUORATE_ERR_INVALID);
    CHECK_EQ(t.wait(1), 0u);
    CHECK_EQ(t.timed_wait(1, 1s), 0u);
    CHECK_EQ(STATUS(t.notify(1, 1s, moved, 1)), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(same.notify(1, 1s, q, 1)), QUORATE_ERR_INVALID);
    t.close();
    OK(same.update(1));
    CHECK_EQ(same.wait(1), 1u);

    Member m;
    CHECK_EQ(STATUS(m.start().submit(q, Request::propose(1, "x"))), QUORATE_ERR_INVALID);
}

TEST(the_c_interface_is_one_call_away) {
    Member m;
    auto &s = m.start();
    quorate_entry entry = QUORATE_ENTRY_INIT;
    entry.data = {"from c", 6};
    quorate_result *result = nullptr;
    CHECK_EQ(quorate_service_propose_wait(s.capi(), &entry, 10000, &result, nullptr), QUORATE_OK);
    CHECK_EQ(detail::text(result->data), "from c applied");
    quorate_free(result);
    CHECK_EQ(std::string(quorate_version()), "0.1.0");
}
