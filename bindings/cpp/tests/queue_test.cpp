// Asynchronous work: queues, futures, trackers.
#include "machine.hpp"
#include "quorate/futures.hpp"

#include <atomic>
#include <poll.h>
#include <set>

static bool readable(int fd) {
    pollfd p{fd, POLLIN, 0};
    return ::poll(&p, 1, 0) == 1;
}

TEST(each_request_gives_one_completion_with_its_reply) {
    Member m;
    auto &s = m.start();
    auto queue = OK(Queue::create());
    constexpr uint64_t n = 1000;
    std::vector<std::string> texts;
    for (uint64_t i = 0; i < n; i++) texts.push_back("change " + std::to_string(i));
    std::vector<Request> batch;
    for (uint64_t i = 0; i < n; i++) batch.push_back(Request::propose_wait(i, texts[i], 30s));
    CHECK_EQ(OK(s.submit(queue, batch)), n);
    std::set<uint64_t> seen;
    while (seen.size() < n)
        for (auto c : OK(queue.poll(30s))) {
            CHECK_EQ(c.status(), QUORATE_OK);
            CHECK_EQ(c.op(), QUORATE_OP_PROPOSE_WAIT);
            CHECK_EQ(c.data(), texts[c.token()] + " applied");
            CHECK_EQ(OK(c.result()).index, c.index());
            CHECK(seen.insert(c.token()).second);
        }
    CHECK((m.ledger->texts() == texts));
    CHECK(OK(queue.poll(0ms)).empty());
}

TEST(every_kind_of_request_completes) {
    Member m;
    auto &s = m.start();
    auto queue = OK(Queue::create());
    auto one = [&](const Request &r) {
        CHECK_EQ(OK(s.submit(queue, r)), 1u);
        auto done = OK(queue.poll(20s));
        CHECK_EQ(done.size(), 1u);
        return done[0];
    };
    auto proposed = one(Request::propose(1, Entry("a").tags({"tag"}), 20s));
    CHECK(proposed.status() == QUORATE_OK && proposed.op() == QUORATE_OP_PROPOSE && proposed.index() > 0);
    auto waited = one(Request::propose_wait(2, "b", 20s));
    CHECK(waited.status() == QUORATE_OK && waited.op() == QUORATE_OP_PROPOSE_WAIT);
    CHECK_EQ(waited.data(), "b applied");
    CHECK_EQ(m.ledger->rows().at(0).tags.at(0), "tag");
    auto read = one(Request::read_barrier(2, 20s));
    CHECK(read.status() == QUORATE_OK && read.op() == QUORATE_OP_READ_BARRIER && read.token() == 2);
    auto founded = one(Request::initialize_cluster(3, m.listen, 20s));
    CHECK(founded.status() == QUORATE_OK && founded.op() == QUORATE_OP_MEMBERSHIP);
    CHECK(s.info().cluster_id != 0);
    Member other;
    other.start();
    CHECK_EQ(one(Request::add_node(4, other.listen, 20s)).status(), QUORATE_OK);
    CHECK_EQ(s.node_config().current.size(), 2u);
    CHECK_EQ(one(Request::remove_node(5, other->info().my_id, 20s)).status(), QUORATE_OK);
    CHECK_EQ(s.node_config().current.size(), 1u);
    auto failed = one(Request::remove_node(6, 12345, 20s));
    CHECK_EQ(failed.status(), QUORATE_ERR_NOT_FOUND);
    CHECK_EQ(ERR(failed.result()).status(), QUORATE_ERR_NOT_FOUND);
    CHECK(!failed.data().empty());
    OK(m->propose_wait("end", 20s));
}

TEST(a_request_that_can_not_be_taken_is_refused_at_once) {
    Member m;
    auto &s = m.start();
    auto queue = OK(Queue::create());
    CHECK_EQ(STATUS(s.submit(queue, Request::propose(1, Entry("x").type(-3)))), QUORATE_ERR_INVALID);
    quorate_request wrong = QUORATE_REQUEST_INIT;
    wrong.op = 77;
    CHECK_EQ(STATUS(s.submit(queue, &wrong, 1)), QUORATE_ERR_INVALID);
    CHECK_EQ(OK(s.submit(queue, std::vector<Request>{})), 0u);
    // What stands before the bad one is taken.
    CHECK_EQ(OK(s.submit(queue, {Request::propose_wait(1, "good", 20s),
                                 Request::propose_wait(2, Entry("bad").type(-1), 20s),
                                 Request::propose_wait(3, "never", 20s)})),
             1u);
    auto done = OK(queue.poll(20s));
    CHECK_EQ(done.size(), 1u);
    CHECK_EQ(done[0].token(), 1u);
    CHECK((m.ledger->texts() == std::vector<std::string>{"good"}));
}

TEST(the_descriptor_is_readable_while_something_is_there) {
    Member m;
    auto &s = m.start();
    auto queue = OK(Queue::create());
    CHECK(!readable(queue.fd()));
    OK(s.submit(queue, Request::propose_wait(1, "x", 20s)));
    pollfd p{queue.fd(), POLLIN, 0};
    CHECK_EQ(::poll(&p, 1, 20000), 1);
    CHECK_EQ(OK(queue.poll(0ms)).size(), 1u);
    CHECK(!readable(queue.fd()));
}

TEST(wake_ends_a_poll) {
    auto queue = OK(Queue::create());
    std::thread waker([&] { queue.wake(); });
    CHECK(OK(queue.poll()).empty());  // without end but for the wake
    waker.join();
    CHECK(OK(queue.poll(1ms)).empty());
}

TEST(a_closed_service_completes_what_it_took) {
    Member m;
    auto &s = m.start();
    auto queue = OK(Queue::create());
    std::vector<Request> batch;
    for (uint64_t i = 0; i < 500; i++) batch.push_back(Request::propose_wait(i, "x"));
    auto taken = OK(s.submit(queue, batch));
    m.stop();
    std::set<uint64_t> seen;
    for (;;) {
        auto done = OK(queue.poll(0ms));
        if (done.empty()) break;
        for (auto c : done) {
            CHECK(c.outcome() == Outcome::Done || c.outcome() == Outcome::Unknown);
            CHECK(seen.insert(c.token()).second);
        }
    }
    CHECK_EQ(seen.size(), taken);
}

TEST(a_queue_may_go_before_what_it_waits_for) {
    Member m;
    auto &s = m.start();
    {
        auto queue = OK(Queue::create());
        for (uint64_t i = 0; i < 100; i++) (void)OK(s.submit(queue, Request::propose_wait(i, "x")));
    }
    CHECK_EQ(OK(s.propose_wait("y", 20s)).data, "y applied");
    CHECK_EQ(m.ledger->rows().size(), 101u);
}

// ---- Futures -------------------------------------------------------------------------------------

TEST(futures_are_settled_by_polling) {
    Member m;
    auto &s = m.start();
    auto futures = OK(Futures::create());
    std::vector<std::future<Result<Reply>>> all;
    for (int i = 0; i < 100; i++) all.push_back(futures.propose_wait(s, "f" + std::to_string(i), 20s));
    auto read = futures.read_barrier(s, 20s);
    for (size_t settled = 0; settled < 101;) settled += OK(futures.poll(20s));
    for (int i = 0; i < 100; i++) {
        auto &future = all[static_cast<size_t>(i)];
        CHECK(future.wait_for(0s) == std::future_status::ready);
        CHECK_EQ(OK(future.get()).data, "f" + std::to_string(i) + " applied");
    }
    OK(read.get());
}

TEST(futures_work_across_threads_and_end_with_a_wake) {
    Member m;
    auto &s = m.start();
    auto futures = OK(Futures::create());
    std::atomic<bool> over{false};
    std::thread poller([&] {
        while (!over) (void)futures.poll();
    });
    auto reply = futures.propose_wait(s, "x", 20s).get();
    over = true;
    futures.wake();
    poller.join();
    CHECK_EQ(OK(std::move(reply)).data, "x applied");
}

TEST(a_future_that_can_not_be_is_ready_with_the_error) {
    Member m;
    auto &s = m.start();
    auto futures = OK(Futures::create());
    auto refused = futures.propose_wait(s, Entry("x").type(-1));
    CHECK_EQ(STATUS(refused.get()), QUORATE_ERR_INVALID);
    auto moved = std::move(futures);
    CHECK_EQ(STATUS(futures.propose_wait(s, "x").get()), QUORATE_ERR_CLOSED);
    CHECK_EQ(STATUS(futures.poll(0ms)), QUORATE_ERR_CLOSED);
    CHECK_EQ(futures.fd(), -1);
    futures.wake();

    std::future<Result<Reply>> orphan;
    {
        auto gone = std::move(moved);
        orphan = gone.propose_wait(s, "y");
    }
    auto e = ERR(orphan.get());
    CHECK_EQ(e.status(), QUORATE_ERR_INTERRUPTED);
    CHECK(e.outcome() == Outcome::Unknown);
}

// ---- Trackers ------------------------------------------------------------------------------------

TEST(a_tracker_wakes_whoever_waits) {
    ChangeTracker t;
    CHECK_EQ(t.timed_wait(0, 0ms), 0u);
    CHECK_EQ(t.timed_wait(1, 10ms), 0u);
    CHECK_EQ(t.timed_wait(1, -1s), 0u);  // only looks
    std::thread updater([&] { OK(t.update(7)); });
    CHECK_EQ(t.wait(5), 7u);
    updater.join();
    OK(t.update(3));  // also to a lower one
    CHECK_EQ(t.wait(2), 3u);
    CHECK_EQ(t.timed_wait(3, forever), 3u);
}

TEST(trackers_of_one_name_are_one) {
    auto a = ChangeTracker::named("quorate cpp test"), b = ChangeTracker::named("quorate cpp test");
    OK(a.update(11));
    CHECK_EQ(b.wait(11), 11u);
    CHECK_EQ(ChangeTracker::named("another").timed_wait(1, 0ms), 0u);
}

TEST(a_closed_tracker_releases_its_waiters) {
    ChangeTracker t;
    OK(t.update(2));
    std::thread closer([&] { t.close(); });
    CHECK_EQ(t.wait(100), 2u);
    closer.join();
    OK(t.update(3));
    CHECK_EQ(t.wait(100), 2u);
}

TEST(a_tracker_notifies_a_queue) {
    ChangeTracker t;
    auto queue = OK(Queue::create());
    auto one = [&] {
        auto done = OK(queue.poll(20s));
        CHECK_EQ(done.size(), 1u);
        CHECK_EQ(done[0].op(), QUORATE_OP_TRACKER);
        return done[0];
    };
    OK(t.notify(4, forever, queue, 1));
    CHECK(OK(queue.poll(0ms)).empty());
    OK(t.update(5));
    auto reached = one();
    CHECK(reached.token() == 1 && reached.status() == QUORATE_OK && reached.index() == 5);
    OK(t.notify(9, 10ms, queue, 2));
    CHECK_EQ(one().status(), QUORATE_ERR_TIMEOUT);
    OK(t.notify(9, forever, queue, 3));
    t.close();
    CHECK_EQ(one().status(), QUORATE_ERR_CLOSED);
}

TEST(the_applied_tracker_follows_its_service_alone) {
    Member m;
    auto &s = m.start();
    auto t = s.applied_tracker();
    auto position = OK(s.propose("x", 20s));
    CHECK(t.timed_wait(position.index, 20s) >= position.index);
    CHECK_EQ(m.ledger->rows().size(), 1u);
    CHECK_EQ(STATUS(t.update(1000)), QUORATE_ERR_INVALID);
    t.close();  // nothing happens
    position = OK(s.propose("y", 20s));
    CHECK(t.timed_wait(position.index, 20s) >= position.index);
    std::thread closer([&] { OK(s.close()); });
    CHECK(t.wait(position.index + 1000) < position.index + 1000);
    closer.join();
}
