// What the tests replicate, and the services that they replicate it with.
#pragma once

#include "check.hpp"
#include "quorate.hpp"

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>

using namespace std::chrono_literals;
using namespace quorate;

class TempDir {
public:
    explicit TempDir(const std::string &in = std::filesystem::temp_directory_path().string()) {
        auto pattern = in + "/quorate-cpp-XXXXXX";
        if (!mkdtemp(pattern.data())) check::fail(__FILE__, __LINE__, "no temporary directory");
        path = pattern;
    }
    TempDir(const TempDir &) = delete;
    TempDir &operator=(const TempDir &) = delete;
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
    }
    std::string path;
};

// Keeps every change, and answers it with "<data> applied".
class Ledger : public StateMachine {
public:
    struct Row {
        uint64_t index, term;
        int32_t type;
        int64_t timestamp_ns;
        std::vector<std::string> tags;
        std::string data;
    };
    // Runs first for each entry; what it returns is what commit returns.
    std::function<Result<void>(EntryView)> first;
    std::function<Result<Applied>()> on_open;

    Result<Applied> open() override { return on_open ? on_open() : Result<Applied>(Applied{}); }
    Result<void> commit(Entries entries, Output replies) override {
        for (size_t i = 0; i < entries.size(); i++) {
            auto e = entries[i];
            if (first)
                if (auto r = first(e); !r) return r;
            std::lock_guard lock(mutex_);
            rows_.push_back({e.index(), e.term(), e.type(), e.timestamp().count(),
                             {}, std::string(e.data())});
            for (auto tag : e.tags()) rows_.back().tags.emplace_back(tag);
            if (auto r = replies.set(i, rows_.back().data + " applied"); !r) return r;
        }
        return {};
    }
    std::vector<Row> rows() const {
        std::lock_guard lock(mutex_);
        return rows_;
    }
    std::vector<std::string> texts() const {
        std::vector<std::string> all;
        for (auto &row : rows()) all.push_back(row.data);
        return all;
    }

private:
    mutable std::mutex mutex_;
    std::vector<Row> rows_;
};

// One service with its machine and its directory, and the means to start it again.
struct Member {
    TempDir dir;
    std::shared_ptr<Ledger> ledger = std::make_shared<Ledger>();
    std::optional<Service> service;
    std::string listen = "127.0.0.1:0";
    std::vector<std::pair<std::string, std::string>> settings;

    Config config() const {
        Config c;
        c.set("data_dir", dir.path).set("listen", listen);
        c.set("heartbeat_timeout", "50ms").set("election_timeout", "500ms");
        for (auto &[key, value] : settings) c.set(key, value);
        c.state_machine(ledger);
        return c;
    }
    Service &start() {
        service.emplace(OK(Service::start(config())));
        listen = service->info().address;  // the same port after a restart
        return *service;
    }
    void stop() { service.reset(); }
    void restart() {
        stop();
        ledger = std::make_shared<Ledger>();
        start();
    }
    Service *operator->() { return &*service; }
    bool applied(uint64_t index) { return service->applied_tracker().timed_wait(index, 20s) >= index; }
};
