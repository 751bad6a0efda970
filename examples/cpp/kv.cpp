// A replicated key-value node.
//
//     kv DIR HOST:PORT first      starts a cluster of one
//     kv DIR HOST:PORT            starts a node that waits until another one adds it
//     ... --storage sqlite        the log is in DIR/log.db, an SQLite database, and not in the library's
//                                 files; compile with -DKV_SQLITE, and link with -lsqlite3
//
// Then, line by line on standard input, each answered by one line:
//     add HOST:PORT | remove ID | set KEY VALUE | get KEY | status
#include "quorate.hpp"
#ifdef KV_SQLITE
#include "sqlite_store.hpp"

#include <filesystem>
#endif

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

static std::string text(const quorate::Error &error) {
    bool unknown = error.outcome() == quorate::Outcome::Unknown;
    return "error: " + error.message() + (unknown ? " (it may be done)" : "");
}

static std::string status(const quorate::Service &service) {
    auto info = service.info();
    return to_string(info.state) + " id=" + quorate::format_node_id(info.my_id) +
           " leader=" + quorate::format_node_id(info.leader_id) +
           " applied=" + std::to_string(info.last_applied);
}

static std::string run(quorate::Service &service, Kv &kv, const std::string &line) {
    auto [verb, rest] = split(line);
    if (verb == "add") {
        auto done = service.add_node(rest, 60s);
        return done ? "ok" : text(done.error());
    }
    if (verb == "remove") {
        auto done = service.remove_node(quorate::parse_node_id(rest), 60s);
        return done ? "ok" : text(done.error());
    }
    if (verb == "set") {
        auto reply = service.propose_wait(rest, 5s);
        return reply ? reply->data : text(reply.error());
    }
    if (verb == "get") {
        auto safe = service.read_barrier(5s);
        return safe ? kv.get(rest) : text(safe.error());
    }
    if (verb == "status") return status(service);
    return "add HOST:PORT | remove ID | set KEY VALUE | get KEY | status";
}

// The store that was asked for: "sqlite" is our own, the others are the library's.
static void choose_storage(quorate::Config &config, const std::string &name, const std::string &dir) {
#ifdef KV_SQLITE
    if (name == "sqlite") {
        std::error_code ignored;  // if it is not there, and can't be made, SQLite says so
        std::filesystem::create_directories(dir, ignored);
        config.storage(std::make_shared<SqliteStore>(dir + "/log.db"));
        return;
    }
#endif
    config.set("data_dir", dir).set("storage", name);
}

int main(int argc, char **argv) {
    std::string storage = "wal";
    if (argc > 4 && argv[argc - 2] == std::string("--storage")) storage = argv[argc - 1], argc -= 2;
    if (argc < 3) return std::cerr << "usage: kv DIR HOST:PORT [first] [--storage NAME]\n", 2;
    auto kv = std::make_shared<Kv>();
    quorate::Config config;
    config.set("listen", argv[2]).state_machine(kv);
    choose_storage(config, storage, argv[1]);
    auto service = quorate::Service::start(std::move(config));
    if (!service) return std::cerr << "kv: " << service.error().message() << "\n", 1;
    auto info = service->info();  // its address is where the listener is, also for port 0
    if (argc > 3 && info.state == quorate::State::Standalone)
        if (auto done = service->initialize_cluster(info.address, 5s); !done)
            return std::cerr << "kv: " << done.error().message() << "\n", 1;
    for (std::string line; std::getline(std::cin, line);) std::cout << run(*service, *kv, line) << std::endl;
}
