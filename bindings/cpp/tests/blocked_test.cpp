// A store whose sync blocks for ten seconds, ten times as long as it takes to elect a leader: a slow disk is
// no dead node, and the cluster goes on: a leader hands over, a follower is waited for.
#include "store.hpp"

#include <condition_variable>
#include <future>

namespace {
constexpr auto blocked_for = 10s;

// What one disk waits at.
class Gate {
public:
    Result<void> pass(const std::string &function) {
        std::unique_lock lock(mutex_);
        if (function != "sync" || !shut_) return {};
        waits_ = true;
        changed_.notify_all();
        changed_.wait(lock, [&] { return !shut_; });
        return {};
    }
    void set(bool shut) {
        std::lock_guard lock(mutex_);
        shut_ = shut;
        changed_.notify_all();
    }
    void until_somebody_waits() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return waits_; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool shut_ = false, waits_ = false;
};

// Three members; the first one leads.
struct Cluster {
    Gate gates[3];
    Disk disks[3];
    std::shared_ptr<Ledger> ledgers[3];
    std::vector<Service> services;

    Cluster() {
        for (size_t i = 0; i < 3; i++) {
            ledgers[i] = std::make_shared<Ledger>();
            disks[i].before = [this, i](const std::string &function) { return gates[i].pass(function); };
            auto config = config_on(disks[i], ledgers[i]);
            services.push_back(OK(Service::start(std::move(config.set("listen", "127.0.0.1:0")))));
        }
        OK(services[0].initialize_cluster(services[0].info().address, 20s));
        for (size_t i = 1; i < 3; i++) OK(services[0].add_node(services[i].info().address, 20s));
    }
};

void others_go_on(size_t blocked, size_t writer) {
    Cluster c;
    auto term = c.services[0].info().current_term;
    auto end = std::chrono::steady_clock::now() + blocked_for;
    size_t written = 0;
    c.gates[blocked].set(true);
    while (std::chrono::steady_clock::now() < end) {
        auto done = c.services[writer].propose_wait("a majority has it", 20s);
        CHECK(done || done.error().status() == QUORATE_ERR_LOST);  // while it hands over
        written += done.has_value();
        c.gates[blocked].until_somebody_waits();
        std::this_thread::sleep_for(50ms);  // ten seconds are what is tried
    }
    CHECK_EQ(STATUS(c.services[blocked].propose_wait("late", 50ms)), QUORATE_ERR_TIMEOUT);
    CHECK(c.ledgers[blocked]->rows().size() < written);  // nothing is applied that is not durable
    c.gates[blocked].set(false);
    auto now = c.services[writer].info();
    CHECK_EQ(now.current_term > term, blocked == 0);  // a blocked leader hands over, nobody else is replaced
    CHECK(now.leader_id != c.services[blocked].info().my_id);
    for (size_t i = 0; i < 3; i++) {
        OK(c.services[i].read_barrier(20s));
        CHECK_EQ(c.ledgers[i]->rows().size(), written + 1);  // the late one was under way
    }
}
}  // namespace

TEST(a_store_that_blocks_for_ten_seconds_stops_nobody) {
    auto leader = std::async(std::launch::async, [] { others_go_on(0, 1); });
    auto follower = std::async(std::launch::async, [] { others_go_on(2, 0); });
    leader.get();
    follower.get();
}
