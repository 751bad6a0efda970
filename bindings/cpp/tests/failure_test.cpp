// Callbacks that fail, throw or call back; each service fails alone, and the program lives on.
#include "machine.hpp"

#include <future>
#include <optional>

// The service is Failed, says why, and refuses what comes later.
static void is_failed(Service &s, const char *why) {
    CHECK(check::eventually([&] { return s.info().state == State::Failed; }));
    CHECK_EQ(s.info().failure, QUORATE_ERR_STATE_MACHINE_FAILED);
    auto e = ERR(s.propose_wait("later", 10s));
    CHECK_EQ(e.status(), QUORATE_ERR_STATE_MACHINE_FAILED);
    CHECK(e.outcome() == Outcome::Fatal);
    CHECK_HAS(e.message(), why);
    CHECK_HAS(s.report(), why);
    CHECK_EQ(STATUS(s.close()), QUORATE_ERR_STATE_MACHINE_FAILED);
}

static void fails_on(std::function<Result<void>(EntryView)> first, const char *why) {
    Member m, other;
    m.ledger->first = std::move(first);
    auto &s = m.start();
    OK(other.start().propose_wait("fine", 10s));
    auto e = ERR(s.propose_wait("bad", 10s));
    CHECK(e.outcome() == Outcome::Unknown || e.outcome() == Outcome::Fatal);
    is_failed(s, why);
    CHECK_EQ(OK(other->propose_wait("lives on", 10s)).data, "lives on applied");
}

TEST(a_commit_that_fails_stops_its_service) {
    fails_on([](EntryView) -> Result<void> { return fail("disk of the host is full"); },
             "disk of the host is full");
}
TEST(a_commit_that_throws_stops_its_service) {
    fails_on([](EntryView) -> Result<void> { throw std::runtime_error("thrown by the host"); },
             "thrown by the host");
}
TEST(a_commit_that_throws_no_exception_stops_its_service) {
    fails_on([](EntryView) -> Result<void> { throw 5; }, "no std::exception");
}
TEST(a_commit_that_returns_the_error_of_a_call_stops_its_service) {
    fails_on([](EntryView) -> Result<void> { return Failure(Error(QUORATE_OK, "with a wrong status")); },
             "with a wrong status");
}

TEST(nothing_is_skipped_after_a_failed_commit) {
    Member m;
    m.ledger->first = [](EntryView e) -> Result<void> {
        if (e.data() == "bad") return fail("bad");
        return {};
    };
    auto &s = m.start();
    OK(s.propose_wait("good", 10s));
    (void)s.propose("bad", 10s);
    (void)s.propose("after", 10s);
    CHECK(check::eventually([&] { return s.info().state == State::Failed; }));
    CHECK((m.ledger->texts() == std::vector<std::string>{"good"}));
    m.restart();  // the machine is mended: the same entries come again
    CHECK(check::eventually([&] { return m.ledger->rows().size() >= 2; }));
    CHECK_EQ(m.ledger->texts()[1], "bad");
}

static void open_fails(std::function<Result<Applied>()> open, const char *why) {
    Member m;
    m.ledger->on_open = std::move(open);
    auto e = ERR(Service::start(m.config()));
    CHECK_EQ(e.status(), QUORATE_ERR_STATE_MACHINE_FAILED);
    CHECK_HAS(e.message(), why);
}
TEST(an_open_that_fails_refuses_the_start) {
    open_fails([]() -> Result<Applied> { return fail("no such table"); }, "no such table");
}
TEST(an_open_that_throws_refuses_the_start) {
    open_fails([]() -> Result<Applied> { throw std::logic_error("thrown by open"); }, "thrown by open");
}

TEST(a_blocking_call_from_a_callback_is_refused) {
    Member m;
    std::promise<std::vector<quorate_status>> seen;
    auto queue = OK(Queue::create());
    m.ledger->first = [&](EntryView e) -> Result<void> {
        if (e.data() != "outer") return {};
        auto &s = *m.service;
        std::vector<quorate_status> all;
        auto note = [&](const auto &r) { all.push_back(r ? QUORATE_OK : r.error().status()); };
        note(s.propose_wait("inner", 10s));
        note(s.propose("inner", 10s));
        note(s.read_barrier(10s));
        note(s.initialize_cluster("127.0.0.1:1", 1s));
        note(s.add_node("127.0.0.1:1", 1s));
        note(s.remove_node(1, 1s));
        note(queue.poll(0ms));
        note(s.close());
        all.push_back(s.info().state == State::Standalone ? QUORATE_OK : QUORATE_ERR_INTERNAL);
        note(s.submit(queue, Request::propose_wait(1, "submitted")));
        seen.set_value(std::move(all));
        return {};
    };
    auto &s = m.start();
    CHECK_EQ(OK(s.propose_wait("outer", 10s)).data, "outer applied");
    auto all = seen.get_future().get();
    for (size_t i = 0; i < 8; i++) CHECK_EQ(all[i], QUORATE_ERR_IN_CALLBACK);
    CHECK_EQ(all[8], QUORATE_OK);
    CHECK_EQ(all[9], QUORATE_OK);
    auto done = OK(queue.poll(10s));
    CHECK_EQ(done.size(), 1u);
    CHECK_EQ(done[0].data(), "submitted applied");
}

TEST(a_reply_beyond_the_batch_is_refused) {
    struct Greedy : StateMachine {
        quorate_status got = QUORATE_OK;
        Result<void> commit(Entries entries, Output replies) override {
            auto r = replies.set(entries.size(), "too many");
            got = r ? QUORATE_OK : r.error().status();
            return {};
        }
    };
    auto greedy = std::make_shared<Greedy>();
    auto s = OK(Service::start(Config().set("storage", "memory").state_machine(greedy)));
    CHECK_EQ(OK(s.propose_wait("x", 10s)).data, "");
    CHECK_EQ(greedy->got, QUORATE_ERR_INVALID);
}

TEST(a_reply_to_the_batch_before_is_refused) {
    struct Late : StateMachine {
        std::optional<Output> before;
        std::vector<quorate_status> got;
        Result<void> commit(Entries, Output replies) override {
            if (before) got.push_back(STATUS(before->set(0, "late")));
            before = replies;
            return {};
        }
    };
    auto late = std::make_shared<Late>();
    auto s = OK(Service::start(Config().set("storage", "memory").state_machine(late)));
    for (int i = 0; i < 3; i++) CHECK_EQ(OK(s.propose_wait("x", 10s)).data, "");
    CHECK(late->got == std::vector<quorate_status>(2, QUORATE_ERR_CLOSED));
}

// ---- Who owns a state machine, and how long ------------------------------------------------------

TEST(the_service_keeps_its_machine_until_it_is_gone) {
    auto ledger = std::make_shared<Ledger>();
    std::weak_ptr<Ledger> held = ledger;
    auto s = std::make_unique<Service>(
        OK(Service::start(Config().set("storage", "memory").state_machine(std::move(ledger)))));
    CHECK(!held.expired());
    CHECK_EQ(OK(s->propose_wait("x", 10s)).data, "x applied");
    s.reset();
    CHECK(held.expired());
}

TEST(a_machine_is_dropped_where_no_service_came_of_it) {
    auto ledger = std::make_shared<Ledger>();
    { Config unused = Config().state_machine(ledger); }
    CHECK_EQ(ledger.use_count(), 1);
    CHECK_EQ(STATUS(Service::start(Config().set("storage", "no such").state_machine(ledger))),
             QUORATE_ERR_INVALID);
    CHECK_EQ(ledger.use_count(), 1);
    ledger->on_open = []() -> Result<Applied> { return fail("no"); };
    CHECK_EQ(STATUS(Service::start(Config().set("storage", "memory").state_machine(ledger))),
             QUORATE_ERR_STATE_MACHINE_FAILED);
    CHECK_EQ(ledger.use_count(), 1);
    Config moved, config = std::move(moved);
    moved.state_machine(ledger);
    CHECK_EQ(ledger.use_count(), 1);
    config.state_machine(ledger).state_machine(std::make_shared<Ledger>());  // replaced
    CHECK_EQ(ledger.use_count(), 1);
}

// ---- Directories -------------------------------------------------------------------------------------

TEST(a_directory_of_the_other_store_is_refused) {
    for (auto [store, other] : {std::pair("wal", "sled"), std::pair("sled", "wal")}) {
        TempDir dir;
        auto start = [&](const char *storage) {
            return Service::start(Config().set("data_dir", dir.path).set("storage", storage)
                                      .state_machine(std::make_shared<Ledger>()));
        };
        OK(OK(start(store)).propose_wait("x", 10s));
        auto e = ERR(start(other));
        CHECK_EQ(e.status(), QUORATE_ERR_INVALID);
        CHECK_HAS(e.message(), std::string("Set storage=") + store);
        OK(start(store));  // nothing was touched
    }
}
