// A replicated key-value node.
//
//     kv DIR HOST:PORT first      starts a cluster of one
//     kv DIR HOST:PORT            starts a node that waits until another one adds it
//
// Then, line by line on standard input:
//     add HOST:PORT | remove ID | set KEY VALUE | get KEY | status
#include "quorate.hpp"

#include <algorithm>
#include <iostream>
#include <map>
#include <mutex>
#include <string>

using namespace std::chrono_literals;

// "KEY VALUE" -> KEY, VALUE
static std::pair<std::string, std::string> split(std::string_view line) {
    auto space = std::min(line.find(' '), line.size());
    return {std::string(line.substr(0, space)), std::string(line.substr(std::min(space + 1, line.size())))};
}

class Kv final : public quorate::StateMachine {
public:
    // A change is the text "KEY VALUE". Runs on the thread quorate-apply, a batch at a time.
    quorate::Result<void> commit(quorate::Entries entries, quorate::Output replies) override {
        std::lock_guard lock(mutex_);
        for (size_t i = 0; i < entries.size(); i++) {
            auto [key, value] = split(entries[i].data());
            rows_[key] = value;
            if (auto set = replies.set(i, "ok"); !set) return set;
        }
        return {};
    }
    std::string get(const std::string &key) {
        std::lock_guard lock(mutex_);
        auto row = rows_.find(key);
        return row == rows_.end() ? "(none)" : row->second;
    }

private:
    std::mutex mutex_;
    std::map<std::string, std::string> rows_;
};

static void report(const quorate::Error &error) {
    bool unknown = error.outcome() == quorate::Outcome::Unknown;
    std::cerr << error.message() << (unknown ? " (it may be done)\n" : "\n");
}

static void status(const quorate::Service &service) {
    auto info = service.info();
    std::cout << to_string(info.state) << " " << quorate::format_node_id(info.my_id) << ", leader "
              << quorate::format_node_id(info.leader_id) << ", term " << info.current_term << ", applied "
              << info.last_applied << ", " << to_string(service.node_config()) << std::endl;
}

static void run(quorate::Service &service, Kv &kv, const std::string &verb, const std::string &rest) {
    if (verb == "add") {
        if (auto done = service.add_node(rest, 60s); !done) report(done.error());
    } else if (verb == "remove") {
        if (auto done = service.remove_node(quorate::parse_node_id(rest), 60s); !done) report(done.error());
    } else if (verb == "set") {
        auto reply = service.propose_wait(rest, 5s);
        if (!reply) return report(reply.error());
        std::cout << reply->data << std::endl;
    } else if (verb == "get") {
        auto safe = service.read_barrier(5s);
        if (!safe) return report(safe.error());
        std::cout << kv.get(rest) << std::endl;
    } else if (verb == "status") {
        status(service);
    } else {
        std::cerr << "add HOST:PORT | remove ID | set KEY VALUE | get KEY | status\n";
    }
}

int main(int argc, char **argv) {
    if (argc < 3) return std::cerr << "usage: kv DIR HOST:PORT [first]\n", 2;
    auto kv = std::make_shared<Kv>();
    quorate::Config config;
    config.set("data_dir", argv[1]).set("listen", argv[2]).state_machine(kv);
    auto service = quorate::Service::start(std::move(config));
    if (!service) return report(service.error()), 1;
    auto info = service->info();  // its address is where the listener is, also for port 0
    if (argc > 3 && info.state == quorate::State::Standalone)
        if (auto done = service->initialize_cluster(info.address, 5s); !done) return report(done.error()), 1;
    for (std::string line; std::getline(std::cin, line);) {
        auto [verb, rest] = split(line);
        run(*service, *kv, verb, rest);
    }
}
