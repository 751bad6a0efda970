// Services on stores of the program's own, and what such a store can do wrong.
#include "store.hpp"

#include <future>

// ---- Services ---------------------------------------------------------------------------------------

TEST(a_service_keeps_its_log_in_it) {
    Disk disk;
    uint64_t id = 0;
    {
        auto s = OK(Service::start(config_on(disk)));
        id = s.info().my_id;
        for (int i = 0; i < 10; i++) OK(s.propose_wait("kept", 10s));
        CHECK_EQ(disk.open_stores, 1);
    }
    CHECK_EQ(disk.open_stores, 0);  // closed with the service
    auto ledger = std::make_shared<Ledger>();
    auto s = OK(Service::start(config_on(disk, ledger)));
    CHECK_EQ(s.info().my_id, id);
    OK(s.propose_wait("more", 10s));
    CHECK_EQ(ledger->texts().size(), 11u);
}

TEST(a_store_is_closed_where_no_service_came_of_it) {
    Disk disk;
    { Config unused = config_on(disk); }
    CHECK_EQ(disk.open_stores, 0);
    CHECK_EQ(STATUS(Service::start(config_on(disk).set("pre_vote", "perhaps"))), QUORATE_ERR_INVALID);
    CHECK_EQ(disk.open_stores, 0);
    CHECK_EQ(STATUS(Service::start(Config().storage(std::make_shared<Store>(disk)))), QUORATE_ERR_INVALID);
    CHECK_EQ(disk.open_stores, 0);
    Config replaced = config_on(disk).storage(std::make_shared<Store>(disk));
    CHECK_EQ(disk.open_stores, 1);
    CHECK_HAS(ERR(Service::start(Config().storage(nullptr))).message(), "storage is empty");
}

static Disk written() {
    Disk disk;
    auto s = OK(Service::start(config_on(disk)));
    for (int i = 0; i < 8; i++) OK(s.propose_wait("written", 10s));
    return disk;
}

TEST(a_failing_open_refuses_the_start_with_its_status) {
    Disk disk = written();
    const std::pair<quorate_status, quorate_status> given[] = {
        {QUORATE_ERR_LOCKED, QUORATE_ERR_LOCKED},   {QUORATE_ERR_CORRUPT, QUORATE_ERR_CORRUPT},
        {QUORATE_ERR_IDENTITY, QUORATE_ERR_IDENTITY}, {QUORATE_ERR_VERSION, QUORATE_ERR_VERSION},
        {QUORATE_ERR_UNSUPPORTED, QUORATE_ERR_UNSUPPORTED}, {QUORATE_ERR_BUSY, QUORATE_ERR_IO},
        {-4711, QUORATE_ERR_IO}, {QUORATE_OK, QUORATE_ERR_IO}, {12, QUORATE_ERR_IO}};
    for (auto [status, expected] : given) {
        disk.before = [status = status](const std::string &name) -> Result<void> {
            if (name == "open") return fail(status, "the drawer is jammed");
            return {};
        };
        auto e = ERR(Service::start(config_on(disk)));
        CHECK_EQ(e.status(), expected);
        CHECK_HAS(e.message(), "the drawer is jammed");
    }
    disk.before = [](const std::string &) -> Result<void> { throw std::logic_error("thrown by open"); };
    CHECK_HAS(ERR(Service::start(config_on(disk))).message(), "thrown by open");
    CHECK_EQ(disk.open_stores, 0);
}

TEST(what_fails_while_starting_refuses_it) {
    for (std::string function : {"read", "metadata_get", "metadata_put"}) {
        Disk disk = written();
        disk.before = [&](const std::string &name) -> Result<void> {
            if (name == function) throw std::runtime_error("worn out");
            return {};
        };
        auto e = ERR(Service::start(config_on(disk)));
        CHECK_EQ(e.status(), QUORATE_ERR_IO);
        CHECK_HAS(e.message(), "worn out");
    }
}

TEST(a_failing_write_stops_that_service_alone) {
    for (std::string function : {"append", "sync"}) {
        Disk disk, fine;
        std::atomic<bool> broken{false};
        disk.before = [&](const std::string &name) -> Result<void> {
            if (broken && name == function) throw std::runtime_error("the head has crashed");
            return {};
        };
        auto s = OK(Service::start(config_on(disk))), other = OK(Service::start(config_on(fine)));
        OK(s.propose_wait("fine", 10s));
        broken = true;
        CHECK(ERR(s.propose_wait("lost", 10s)).outcome() != Outcome::NotDone);
        auto e = ERR(s.propose_wait("refused", 10s));
        CHECK_EQ(e.status(), QUORATE_ERR_STORAGE_FAILED);
        CHECK_HAS(e.message(), "the head has crashed");
        CHECK(s.info().state == State::Failed);
        CHECK_EQ(OK(other.propose_wait("lives on", 10s)).data, "lives on applied");
        CHECK_EQ(STATUS(s.close()), QUORATE_ERR_STORAGE_FAILED);
        CHECK_EQ(disk.open_stores, 0);
    }
}

// ---- Stores that lie --------------------------------------------------------------------------------

TEST(bounds_that_can_not_be_are_refused) {
    Disk disk = written();
    auto last = disk.first + disk.records.size() - 1;
    for (Bounds b : {Bounds{5, 3}, Bounds{0, last}, Bounds{last, 0}, Bounds{1, UINT64_MAX}, Bounds{4, last}}) {
        disk.bounds = [b](Bounds) { return b; };
        CHECK_EQ(STATUS(Service::start(config_on(disk))), QUORATE_ERR_CORRUPT);
    }
}

TEST(records_that_are_not_what_was_given_are_noticed) {
    Disk disk = written();
    const std::pair<std::function<std::string(uint64_t, std::string)>, const char *> bad[] = {
        {[&](uint64_t index, std::string) { return disk.records[index == 2 ? 2 : 3]; }, "record of entry"},
        {[](uint64_t, std::string r) { return r.back() ^= 1, r; }, "damaged"},
        {[](uint64_t, std::string) { return std::string(); }, "0 bytes"}};
    for (auto &[record, says] : bad) {
        disk.record = record;
        auto e = ERR(Service::start(config_on(disk)));
        CHECK_EQ(e.status(), QUORATE_ERR_CORRUPT);
        CHECK_HAS(e.message(), says);
    }
    disk.record = nullptr;
    OK(Service::start(config_on(disk)));
}

TEST(slots_that_are_not_there_are_refused) {
    Disk disk = written();
    struct Greedy final : StateMachine {
        Result<void> commit(Entries, Output) override { return {}; }
    };
    std::vector<quorate_status> seen;
    struct TooMuch final : Storage {
        Store store;
        std::vector<quorate_status> &seen_;
        TooMuch(Disk &d, std::vector<quorate_status> &seen) : store(d), seen_(seen) {}
        Result<Bounds> open() override { return store.open(); }
        Result<void> append(Records r) override { return store.append(r); }
        Result<void> sync() override { return store.sync(); }
        Result<void> read(uint64_t first, uint64_t last, size_t max, Output out) override {
            seen_.push_back(STATUS(out.set(static_cast<size_t>(last - first + 1), "beyond")));
            seen_.push_back(STATUS(out.set(SIZE_MAX, "far beyond")));
            return store.read(first, last, max, out);
        }
        Result<void> truncate_suffix(uint64_t f) override { return store.truncate_suffix(f); }
        Result<void> truncate_prefix(uint64_t l) override { return store.truncate_prefix(l); }
        Result<void> metadata_get(const std::string &k, Output o) override { return store.metadata_get(k, o); }
        Result<void> metadata_put(const std::string &k, std::string_view v) override {
            return store.metadata_put(k, v);
        }
    };
    auto store = std::make_shared<TooMuch>(disk, seen);
    auto s = OK(Service::start(Config().storage(store).state_machine(std::make_shared<Greedy>())));
    OK(s.propose_wait("x", 10s));
    CHECK(!seen.empty());
    for (auto status : seen) CHECK_EQ(status, QUORATE_ERR_INVALID);
}

// ---- Stores that wait, and stores that call back --------------------------------------------------

TEST(a_slow_sync_delays_its_own_entries_and_close) {
    Disk slow, fast;
    std::mutex mutex;
    std::condition_variable moved;
    bool shut = false, waiting = false;
    slow.before = [&](const std::string &name) -> Result<void> {
        std::unique_lock lock(mutex);
        if (name != "sync" || !shut) return {};
        waiting = true;
        moved.notify_all();
        moved.wait(lock, [&] { return !shut; });
        return {};
    };
    auto s = OK(Service::start(config_on(slow))), other = OK(Service::start(config_on(fast)));
    auto queue = OK(Queue::create());
    OK(s.propose_wait("before", 10s));
    {
        std::unique_lock lock(mutex);
        shut = true;
        OK(s.submit(queue, Request::propose_wait(1, "delayed")));
        moved.wait(lock, [&] { return waiting; });
    }
    CHECK(s.info().state == State::Standalone);  // in the meantime: looking, and other services
    CHECK(!s.report().empty());
    OK(other.propose_wait("not delayed", 10s));
    CHECK(OK(queue.poll(0ms)).empty());
    auto closed = std::async(std::launch::async, [&] { return s.close(); });
    CHECK(check::eventually([&] { return s.info().state == State::Stopping; }));
    CHECK(closed.wait_for(0s) == std::future_status::timeout);
    {
        std::lock_guard lock(mutex);
        shut = false;
    }
    moved.notify_all();
    OK(closed.get());
    CHECK_EQ(OK(queue.poll(10s)).size(), 1u);
    CHECK_EQ(slow.open_stores, 0);
}

TEST(a_store_may_call_back_what_does_not_wait) {
    Disk disk;
    auto queue = OK(Queue::create());
    std::optional<Service> service;
    std::atomic<Service *> called{nullptr};
    std::vector<quorate_status> all;
    disk.before = [&](const std::string &name) -> Result<void> {
        auto *s = called.exchange(name == "append" ? nullptr : called.load());
        if (name != "append" || !s) return {};
        auto note = [&](const auto &r) { all.push_back(r ? QUORATE_OK : r.error().status()); };
        note(s->propose_wait("inner", 10s));
        note(s->read_barrier(10s));
        note(s->close());
        note(queue.poll(0ms));
        note(s->submit(queue, Request::propose_wait(1, "submitted")));
        note(s->subscribe(queue, 2));
        return {};
    };
    service.emplace(OK(Service::start(config_on(disk))));
    called = &*service;
    OK(service->propose_wait("outer", 10s));
    OK(service->propose_wait("behind it", 10s));
    CHECK((all == std::vector<quorate_status>{QUORATE_ERR_IN_CALLBACK, QUORATE_ERR_IN_CALLBACK,
                                              QUORATE_ERR_IN_CALLBACK, QUORATE_ERR_IN_CALLBACK, QUORATE_OK,
                                              QUORATE_OK}));
}
