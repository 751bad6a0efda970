// Clusters whose frames travel through queues of the test, which loses, repeats, delays and alters them.
#include "machine.hpp"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <random>

namespace {
// Where frames arrive, by address; a thread for each address hands them over.
class Net {
public:
    static constexpr size_t nodes = 3;
    struct Place {
        std::mutex mutex;
        std::condition_variable arrived;
        std::deque<std::string> frames;
        bool over = false;
        std::thread thread;
        Service *service = nullptr;
    };
    std::atomic<int> faults{0};  // how many frames of a hundred meet with something
    std::atomic<int> lost{0}, doubled{0}, late{0}, held{0}, altered{0};
    std::atomic<bool> by_kind{false};
    std::atomic<int> kinds[4] = {};
    std::atomic<size_t> cut_off{nodes};  // this one hears and says nothing

    // How a frame of one node leaves.
    Result<void> send(size_t from, const std::string &address, std::string_view frame) {
        if (address.substr(0, 5) != "node ") return fail("no such name");
        auto to = static_cast<size_t>(address[5] - '0');
        if (from != cut_off && to != cut_off) put(places[to], std::string(frame));
        return {};
    }
    void start(size_t i, Service &service) {
        auto &place = places[i];
        place.service = &service;
        place.over = false;
        place.thread = std::thread([this, &place] { carry(place); });
    }
    void stop(size_t i) {
        auto &place = places[i];
        if (!place.thread.joinable()) return;
        {
            std::lock_guard lock(place.mutex);
            place.over = true;
            place.frames.clear();
        }
        place.arrived.notify_all();
        place.thread.join();
    }

private:
    static void put(Place &to, std::string frame) {
        std::lock_guard lock(to.mutex);
        if (!to.over) to.frames.push_back(std::move(frame));
        to.arrived.notify_all();
    }
    static std::optional<std::string> take(Place &place) {
        std::unique_lock lock(place.mutex);
        place.arrived.wait(lock, [&] { return place.over || !place.frames.empty(); });
        if (place.over) return {};
        auto frame = std::move(place.frames.front());
        place.frames.pop_front();
        return frame;
    }
    void carry(Place &place) {
        std::mt19937 dice(static_cast<unsigned>(&place - places));
        std::vector<std::string> waiting;  // held up until twenty others have passed
        for (int passed = 0; auto frame = take(place); passed++) {
            if (waiting.empty()) passed = 0;
            if (passed > 20) {
                for (; !waiting.empty(); waiting.pop_back()) deliver(place, waiting.back());  // the newest first
            }
            if (dice() % 100 < static_cast<unsigned>(faults.load()) / 5) {
                held++;
                waiting.push_back(*std::move(frame));
            } else {
                arrive(place, *std::move(frame), dice);
            }
        }
    }
    void arrive(Place &to, std::string frame, std::mt19937 &dice) {
        auto roll = [&](size_t below) { return dice() % below; };
        auto what = roll(100) < static_cast<size_t>(faults.load()) ? roll(4) : 4;
        if (what == 0) return void(lost++);
        if (what == 1) return late++, put(to, std::move(frame));  // behind the others
        if (what == 2) deliver_altered(to, frame, roll(frame.size()));
        if (what == 3) doubled++, deliver(to, frame);
        deliver(to, frame);
    }
    void deliver_altered(Place &to, std::string frame, size_t at) {
        frame[at] ^= 0x41;
        auto delivered = to.service->deliver(frame);
        if (delivered || delivered.error().status() != QUORATE_ERR_INVALID || frame_kind(frame)) std::abort();
        altered++;
    }
    void deliver(Place &to, const std::string &frame) {
        auto kind = frame_kind(frame);
        if (!kind) std::abort();
        kinds[static_cast<int>(*kind)]++;
        auto &s = *to.service;
        if (!by_kind) return (void)s.deliver(frame);
        if (*kind != FrameKind::Append && s.append(frame)) std::abort();
        if (*kind != FrameKind::RequestVote && s.request_vote(frame)) std::abort();
        if (*kind != FrameKind::Join && s.join(frame)) std::abort();
        if (*kind == FrameKind::Append) (void)s.append(frame);
        if (*kind == FrameKind::RequestVote) (void)s.request_vote(frame);
        if (*kind == FrameKind::Join) (void)s.join(frame);
        if (*kind == FrameKind::Other) (void)s.deliver(frame);
    }
    Place places[nodes];
};

class Way final : public Transport {
public:
    Way(Net &net, size_t from) : net_(net), from_(from) {}
    Result<void> send(uint64_t, const std::string &address, std::string_view frame) override {
        return net_.send(from_, address, frame);
    }

private:
    Net &net_;
    size_t from_;
};

struct Cluster {
    Net net;
    std::vector<std::unique_ptr<Service>> services;
    std::vector<std::shared_ptr<Ledger>> ledgers;
    std::vector<std::shared_ptr<Way>> ways;

    Cluster() {
        for (size_t i = 0; i < Net::nodes; i++) start(i);
        OK(services[0]->initialize_cluster("node 0", 20s));
        OK(services[0]->add_node("node 1", 20s));
        OK(services[1]->add_node("node 2", 20s));  // on a follower
    }
    ~Cluster() {
        for (size_t i = 0; i < Net::nodes; i++) net.stop(i);
    }
    void start(size_t i) {
        ledgers.push_back(std::make_shared<Ledger>());
        ways.push_back(std::make_shared<Way>(net, i));
        Config config;
        config.set("storage", "memory").transport(ways[i]).state_machine(ledgers[i]);
        config.set("heartbeat_timeout", "30ms").set("election_timeout", "300ms");
        services.push_back(std::make_unique<Service>(OK(Service::start(std::move(config)))));
        net.start(i, *services[i]);
    }
    uint64_t write(size_t at, std::string_view text) {  // again as long as it is certainly not done
        for (;;) {
            auto reply = services[at]->propose_wait(text, 60s);
            if (reply) return reply->index;
            CHECK(reply.error().outcome() == Outcome::NotDone);
        }
    }
    void everyone_has(uint64_t index) {
        for (auto &s : services) CHECK(s->applied_tracker().timed_wait(index, 60s) >= index);
    }
    size_t leader() {
        for (size_t i = 0;; i = (i + 1) % Net::nodes) {
            if (i != net.cut_off && services[i]->info().state == State::Leader) return i;
            std::this_thread::yield();
        }
    }
};
}  // namespace

TEST(nodes_find_each_other_and_replicate) {
    Cluster c;
    CHECK_EQ(c.services[2]->node_config().current.size(), Net::nodes);
    CHECK_EQ(c.services[0]->info().address, "");
    uint64_t last = 0;
    for (size_t i = 0; i < 30; i++) last = c.write(i % Net::nodes, "from anyone");
    c.everyone_has(last);
    OK(c.services[2]->read_barrier(20s));
    for (auto &ledger : c.ledgers) CHECK_EQ(ledger->rows().size(), 30u);
}

TEST(lost_repeated_late_and_altered_frames_do_no_harm) {
    Cluster c;
    c.net.faults = 30;
    for (size_t i = 0; i < 90; i++) c.write(i % Net::nodes, std::to_string(i));
    c.net.faults = 0;
    c.everyone_has(c.write(0, "last"));
    CHECK_EQ(c.ledgers[0]->rows().size(), 91u);
    for (auto &ledger : c.ledgers) CHECK(ledger->texts() == c.ledgers[0]->texts());
    CHECK(c.net.lost > 0 && c.net.doubled > 0 && c.net.late > 0 && c.net.held > 0 && c.net.altered > 0);
}

TEST(each_kind_has_its_own_way_in_and_another_leader_comes) {
    Cluster c;
    c.net.by_kind = true;
    for (int round = 0; round < 2; round++) {
        auto was = c.leader();
        c.net.cut_off = was;
        auto last = c.write((was + 1) % Net::nodes, "without it");
        c.net.cut_off = Net::nodes;
        c.everyone_has(last);
    }
    CHECK(c.net.kinds[1] > 0 && c.net.kinds[2] > 0 && c.net.kinds[3] > 0);
}

TEST(an_address_without_a_node_is_unreachable) {
    Cluster c;
    auto e = ERR(c.services[0]->add_node("nobody", 20s));
    CHECK_EQ(e.status(), QUORATE_ERR_UNREACHABLE);
    CHECK_HAS(e.message(), "no such name");
}

TEST(a_transport_that_throws_is_unreachable) {
    struct Throws final : Transport {
        std::atomic<Service *> own{nullptr};
        Result<void> send(uint64_t, const std::string &address, std::string_view frame) override {
            if (auto *s = own.load(); s && address == "me") return s->deliver(frame);
            throw std::runtime_error("the wire is cut");
        }
    };
    auto throws = std::make_shared<Throws>();
    {
        auto s = OK(Service::start(
            Config().set("storage", "memory").transport(throws).state_machine(std::make_shared<Ledger>())));
        CHECK_HAS(ERR(s.initialize_cluster("me", 20s)).message(), "the wire is cut");
        throws->own = &s;
        OK(s.initialize_cluster("me", 20s));
        CHECK_HAS(ERR(s.add_node("you", 20s)).message(), "the wire is cut");
        OK(s.propose_wait("goes on", 20s));
        CHECK(throws.use_count() > 1);
    }
    CHECK_EQ(throws.use_count(), 1);
    CHECK_HAS(ERR(Service::start(Config().transport(nullptr))).message(), "transport is empty");
}

TEST(noise_is_refused) {
    Cluster c;
    std::mt19937 dice(7);
    for (int round = 0; round < 2000; round++) {
        std::string noise(dice() % 100, 0);
        for (auto &byte : noise) byte = static_cast<char>(dice());
        CHECK_EQ(STATUS(c.services[0]->deliver(noise)), QUORATE_ERR_INVALID);
        CHECK_EQ(STATUS(c.services[0]->join(noise)), QUORATE_ERR_INVALID);
        CHECK_EQ(STATUS(frame_kind(noise)), QUORATE_ERR_INVALID);
    }
    CHECK_EQ(STATUS(c.services[0]->deliver(std::string_view())), QUORATE_ERR_INVALID);
    CHECK_EQ(STATUS(c.services[0]->deliver(std::string(64 << 20, 0))), QUORATE_ERR_TOO_LARGE);
    OK(c.services[0]->propose_wait("goes on", 20s));
}

TEST(only_a_running_service_with_a_network_of_the_programs_takes_frames) {
    Member m;
    auto &s = m.start();
    CHECK_EQ(STATUS(s.deliver("x")), QUORATE_ERR_UNSUPPORTED);
    CHECK_EQ(STATUS(s.append("x")), QUORATE_ERR_UNSUPPORTED);
    Cluster c;
    OK(c.services[2]->close());
    CHECK_EQ(STATUS(c.services[2]->deliver("x")), QUORATE_ERR_CLOSED);
    Service moved = std::move(*c.services[2]);
    CHECK_EQ(STATUS(c.services[2]->deliver("x")), QUORATE_ERR_INVALID);
    *c.services[2] = std::move(moved);
}
