// The node program of quorate in C++; node.h tells what it is told.
#include "node.h"
#include "quorate.hpp"

#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

using namespace std::chrono_literals;

// The state: how many changes were applied, which is the reply as well.
class Counter final : public quorate::StateMachine {
public:
    quorate::Result<void> commit(quorate::Entries entries, quorate::Output replies) override {
        for (size_t i = 0; i < entries.size(); i++) {
            applied_++;
            if (auto set = replies.set(i, {reinterpret_cast<const char *>(&applied_), sizeof applied_}); !set)
                return set;
        }
        return {};
    }

private:
    uint64_t applied_ = 0;
};

class Loader {
public:
    Loader(quorate::Service &service, quorate::Queue queue, size_t clients, size_t payload)
        : service_(service), queue_(std::move(queue)), data_(payload, 'x'), started_(clients) {
        for (size_t i = 0; i < clients; i++) ready(i);
    }
    quorate::Result<void> run(double seconds) {
        uint64_t begin = now_ns(), end = begin + static_cast<uint64_t>(seconds * 1e9);
        while (!todo_.empty() || under_way_ > 0) {
            if (auto done = submit(); !done) return done;
            if (auto done = settle(end); !done) return done;
        }
        latencies_print(spread_.get(), static_cast<double>(now_ns() - begin) * 1e-9);
        return {};
    }

private:
    void ready(uint64_t token) {
        quorate_request request = QUORATE_REQUEST_INIT;
        request.token = token;
        request.entry.data = {data_.data(), data_.size()};
        todo_.push_back(request);
    }
    quorate::Result<void> submit() {
        if (todo_.empty()) return {};
        uint64_t now = now_ns();
        for (auto &request : todo_) started_[request.token] = now;
        auto taken = service_.submit(queue_, todo_);
        if (!taken) return quorate::Failure(taken.error());
        under_way_ += *taken;
        todo_.erase(todo_.begin(), todo_.begin() + static_cast<std::ptrdiff_t>(*taken));
        return {};
    }
    quorate::Result<void> settle(uint64_t end) {
        auto done = queue_.poll(10s);
        if (!done) return quorate::Failure(done.error());
        uint64_t now = now_ns();
        for (const quorate_completion &c : *done) {
            if (c.status < 0) return quorate::Failure(quorate::Error(c.status, quorate_status_string(c.status)));
            under_way_--;
            latencies_add(spread_.get(), now - started_[c.token]);
            if (now < end) ready(c.token);
        }
        return {};
    }

    quorate::Service &service_;
    quorate::Queue queue_;
    std::string data_;
    std::vector<uint64_t> started_;  // by token, the number of the client
    std::vector<quorate_request> todo_;
    size_t under_way_ = 0;
    std::unique_ptr<latencies> spread_ = std::make_unique<latencies>();
};

static quorate::Result<void> form(quorate::Service &service, std::istringstream words) {
    std::string address;
    words >> address;
    auto done = service.initialize_cluster(address, 30s);
    while (done && words >> address) done = service.add_node(address, 30s);
    if (done) std::cout << "cluster" << std::endl;
    return done;
}

static quorate::Result<void> load(quorate::Service &service, std::istringstream words) {
    double seconds = 0;
    size_t clients = 0, payload = 0;
    words >> seconds >> clients >> payload;
    auto queue = quorate::Queue::create();
    if (!queue) return quorate::Failure(queue.error());
    return Loader(service, std::move(*queue), clients, payload).run(seconds);
}

int main(int argc, char **argv) {
    if (argc < 3) return std::cerr << "usage: node DIR HOST:PORT [NUMBER]\n", 2;
    quorate::Config config;
    config.set("data_dir", argv[1]).set("listen", argv[2]).state_machine(std::make_shared<Counter>());
    auto service = quorate::Service::start(std::move(config));
    if (!service) return std::cerr << service.error().message() << "\n", 1;
    std::cout << "ready" << std::endl;
    quorate::Result<void> done;
    for (std::string line; done && std::getline(std::cin, line) && line != "quit";) {
        std::istringstream words(line);
        std::string verb;
        words >> verb;
        done = verb == "cluster" ? form(*service, std::move(words)) : load(*service, std::move(words));
    }
    if (!done) std::cout << "error " << done.error().message() << std::endl;
    return done ? 0 : 1;
}
