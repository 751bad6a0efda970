// The crossing from C++: as crossing.c, in the words of quorate.hpp.
// usage: crossing BATCH SECONDS PAYLOAD      prints one line of JSON, see run.py
#include "quorate.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

// The reply to a change is how many there have been, in 8 bytes.
class Count final : public quorate::StateMachine {
public:
    quorate::Result<void> commit(quorate::Entries entries, quorate::Output replies) override {
        for (size_t i = 0; i < entries.size(); i++) {
            count_++;
            auto set = replies.set(i, {reinterpret_cast<const char *>(&count_), sizeof count_});
            if (!set) return set;
        }
        return {};
    }

private:
    uint64_t count_ = 0;
};

static void insist(bool fact, const char *what) {
    if (fact) return;
    std::fprintf(stderr, "crossing: %s\n", what);
    std::exit(1);
}

class Caller {
public:
    Caller(size_t batch, size_t len)
        : service_(quorate::Service::start(quorate::Config()
                                               .set("storage", "memory")
                                               .state_machine(std::make_shared<Count>()))
                       .value()),
          queue_(quorate::Queue::create().value()), batch_(batch), payload_(len, '\0') {}

    void run_for(double seconds) {
        using clock = std::chrono::steady_clock;
        auto end = clock::now() + std::chrono::duration<double>(seconds);
        while (clock::now() < end) round_trip();
    }
    uint64_t sent() const { return sent_; }

private:
    // One batch: in by one call, and out.
    void round_trip() {
        requests_.clear();
        for (size_t i = 0; i < batch_; i++)
            requests_.push_back(quorate::Request::propose_wait(++sent_, payload_));
        auto taken = service_.submit(queue_, requests_);
        insist(taken && *taken == batch_, "not all were taken");
        for (size_t left = batch_; left > 0;) {
            auto done = queue_.poll();
            insist(bool(done), "the queue can't be polled");
            for (auto completion : *done) check(completion);
            left -= done->size();
        }
    }
    static void check(quorate::Completion completion) {
        uint64_t reply = 0;
        insist(completion.status() == QUORATE_OK && completion.data().size() == sizeof reply, "no reply");
        std::memcpy(&reply, completion.data().data(), sizeof reply);
        insist(reply == completion.token(), "a wrong reply");
    }

    quorate::Service service_;
    quorate::Queue queue_;
    size_t batch_;
    std::string payload_;
    std::vector<quorate::Request> requests_;
    uint64_t sent_ = 0;
};

static uint64_t now(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1000000000 + static_cast<uint64_t>(time.tv_nsec);
}

int main(int argc, char **argv) {
    insist(argc == 4, "usage: crossing BATCH SECONDS PAYLOAD");
    auto seconds = std::atof(argv[2]);
    Caller caller(static_cast<size_t>(std::atoi(argv[1])), static_cast<size_t>(std::atoi(argv[3])));
    caller.run_for(seconds / 5);
    auto entries = caller.sent(), wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    caller.run_for(seconds);
    wall = now(CLOCK_MONOTONIC) - wall, cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    std::printf("{\"entries\": %llu, \"wall_ns\": %llu, \"cpu_ns\": %llu}\n",
                static_cast<unsigned long long>(caller.sent() - entries),
                static_cast<unsigned long long>(wall), static_cast<unsigned long long>(cpu));
}
