// What a service tells its program: log lines and events.
#include "machine.hpp"

#include <atomic>

// ---- Log lines -----------------------------------------------------------------------------------

TEST(lines_of_a_service_go_to_its_logger) {
    std::mutex mutex;
    std::vector<std::string> lines;
    auto logger = [&](const LogRecord &r) {
        std::lock_guard lock(mutex);
        CHECK(!r.target.empty() && !r.file.empty() && r.line > 0 && r.timestamp.count() > 0);
        lines.push_back(std::to_string(static_cast<int>(r.level)) + " " + std::string(r.message));
    };
    Member m;
    OK(Service::start(m.config().logger(logger, LogLevel::Debug))).close().value();
    CHECK(!lines.empty());
    CHECK_HAS(lines.back(), "closed");
    lines.clear();
    OK(Service::start(m.config().logger(logger, LogLevel::Error))).close().value();
    CHECK(lines.empty());
    CHECK_HAS(ERR(Service::start(Config().logger(nullptr))).message(), "logger is empty");
    CHECK_HAS(ERR(Service::start(Config().logger(logger, static_cast<LogLevel>(9)))).message(), "level");
}

TEST(each_service_has_its_own_logger) {
    std::mutex mutex;
    std::vector<uint64_t> heard[2];
    std::optional<Service> services[2];
    Member members[2];
    uint64_t ids[2];
    for (size_t i = 0; i < 2; i++) {
        auto config = members[i].config();
        config.logger([&, i](const LogRecord &r) {
            std::lock_guard lock(mutex);
            if (r.node_id) heard[i].push_back(r.node_id);
        }, LogLevel::Debug);
        services[i].emplace(OK(Service::start(std::move(config))));
        ids[i] = services[i]->info().my_id;
    }
    for (size_t i = 0; i < 2; i++) {
        services[i].reset();
        CHECK(!heard[i].empty());
        for (auto id : heard[i]) CHECK_EQ(id, ids[i]);
    }
}

TEST(a_logger_that_throws_loses_its_line_and_nothing_else) {
    std::atomic<int> thrown{0};
    Member m;
    auto s = OK(Service::start(m.config().logger([&](const LogRecord &) {
        thrown++;
        throw std::runtime_error("the printer is on fire");
    }, LogLevel::Debug)));
    OK(s.initialize_cluster(s.info().address, 10s));
    OK(s.propose_wait("x", 10s));
    CHECK(thrown > 0);
    CHECK(s.info().state == State::Leader);
}

TEST(a_logger_may_not_close_its_service) {
    std::atomic<Service *> service{nullptr};
    std::atomic<int> refused{0};
    auto held = std::make_shared<int>(7);
    {
        Member m;
        auto s = OK(Service::start(m.config().logger([&, held](const LogRecord &) {
            auto *at = service.load();
            if (at && STATUS(at->close()) == QUORATE_ERR_IN_CALLBACK) refused++;
        }, LogLevel::Debug)));
        service = &s;
        OK(s.initialize_cluster(s.info().address, 10s));
        CHECK(refused > 0);
        service = nullptr;
        CHECK_EQ(held.use_count(), 2);
    }
    CHECK_EQ(held.use_count(), 1);
}

// ---- Events --------------------------------------------------------------------------------------

static Event next(Queue &queue) {
    for (;;) {
        auto &raw = queue;
        quorate_completion c;
        auto n = quorate_queue_poll(raw.capi(), &c, 1, 20000);
        CHECK_EQ(n, 1);
        auto event = Completion(c).event();
        if (event) return *event;
    }
}

TEST(events_tell_the_present_and_every_change) {
    Member m;
    auto &s = m.start();
    auto queue = OK(Queue::create());
    OK(s.subscribe(queue, 7));
    auto first = next(queue);
    CHECK(first.kind == EventKind::State && first.state == State::Standalone);
    CHECK(next(queue).kind == EventKind::Leader);
    OK(s.initialize_cluster(s.info().address, 10s));
    bool leads = false, member = false;
    auto number = first.number;
    while (!leads || !member) {
        auto e = next(queue);
        CHECK_EQ(e.number, number + 1);
        number = e.number;
        leads |= e.kind == EventKind::State && e.state == State::Leader && e.term > 0;
        member |= e.kind == EventKind::Membership && e.configuration > 0 && !e.text.empty();
    }
    OK(s.close());
    for (auto e = next(queue); e.kind != EventKind::Closed;) e = next(queue);
    CHECK(OK(queue.poll(0ms)).empty());
    CHECK_EQ(STATUS(s.subscribe(queue, 7)), QUORATE_ERR_CLOSED);
}

TEST(a_completion_that_is_no_event_has_none) {
    Member m;
    auto &s = m.start();
    auto queue = OK(Queue::create());
    OK(s.submit(queue, Request::propose_wait(1, "x")));
    auto done = OK(queue.poll(10s));
    CHECK(!done[0].event());
    CHECK_EQ(done[0].number(), 0u);
}

TEST(a_failure_is_an_event) {
    Member m;
    m.ledger->first = [](EntryView) -> Result<void> { throw std::runtime_error("the shelf broke"); };
    auto &s = m.start();
    auto queue = OK(Queue::create());
    OK(s.subscribe(queue, 1));
    (void)s.propose_wait("x", 10s);
    auto e = next(queue);
    while (e.kind != EventKind::Failed) e = next(queue);
    CHECK_EQ(e.status, QUORATE_ERR_STATE_MACHINE_FAILED);
    CHECK_HAS(e.text, "the shelf broke");
}

TEST(a_queue_that_was_moved_from_takes_no_subscription) {
    Member m;
    auto &s = m.start();
    auto queue = OK(Queue::create());
    auto moved = std::move(queue);
    CHECK_EQ(STATUS(s.subscribe(queue, 1)), QUORATE_ERR_INVALID);
    OK(s.subscribe(moved, 1));
}

// Its destructor runs in a callback, where nothing may wait: the event is its last word.
TEST(a_service_that_a_machine_holds_ends_with_it) {
    struct Holder : StateMachine {
        std::optional<Service> inner;
        Result<void> commit(Entries, Output) override { return {}; }
    };
    Member m;
    auto queue = OK(Queue::create());
    {
        auto holder = std::make_shared<Holder>();
        holder->inner.emplace(OK(Service::start(m.config())));
        OK(holder->inner->subscribe(queue, 1));
        auto s = OK(Service::start(Config().set("storage", "memory").state_machine(std::move(holder))));
        OK(s.propose_wait("x", 10s));
    }
    for (auto e = next(queue); e.kind != EventKind::Closed;) e = next(queue);
    OK(m.start().propose_wait("its directory is free", 10s));
}
