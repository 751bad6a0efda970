// A store in memory that can be told to fail; its disk outlives it.
#pragma once

#include "machine.hpp"

#include <condition_variable>
#include <deque>
#include <map>

struct Disk {
    std::deque<std::string> records;
    uint64_t first = 0;
    std::map<std::string, std::string> metadata;
    // Called first, with the name of the function; what it returns, or throws, is what happens.
    std::function<Result<void>(const std::string &)> before;
    std::function<Bounds(Bounds)> bounds;           // what open says
    std::function<std::string(uint64_t, std::string)> record;  // what read gives
    int open_stores = 0;
};

class Store final : public Storage {
public:
    explicit Store(Disk &disk) : disk_(disk) { disk_.open_stores++; }
    ~Store() override { disk_.open_stores--; }

    Result<Bounds> open() override {
        if (auto r = enter("open"); !r) return Failure(r.error());
        Bounds b{disk_.records.empty() ? 0 : disk_.first,
                 disk_.records.empty() ? 0 : disk_.first + disk_.records.size() - 1};
        return disk_.bounds ? disk_.bounds(b) : b;
    }
    Result<void> append(Records records) override {
        if (auto r = enter("append"); !r) return r;
        for (auto record : records) {
            if (disk_.records.empty()) disk_.first = record.index();
            if (record.index() != disk_.first + disk_.records.size()) return fail("a gap");
            disk_.records.emplace_back(record.data());
        }
        return {};
    }
    Result<void> sync() override { return enter("sync"); }
    Result<void> read(uint64_t first, uint64_t last, size_t max_bytes, Output out) override {
        if (auto r = enter("read"); !r) return r;
        size_t bytes = 0;
        for (auto index = first; index <= last && (index == first || bytes < max_bytes); index++) {
            auto record = disk_.records.at(static_cast<size_t>(index - disk_.first));
            if (disk_.record) record = disk_.record(index, record);
            if (auto r = out.set(static_cast<size_t>(index - first), record); !r) return r;
            bytes += record.size();
        }
        return {};
    }
    Result<void> truncate_suffix(uint64_t first) override {
        if (auto r = enter("truncate_suffix"); !r) return r;
        while (!disk_.records.empty() && disk_.first + disk_.records.size() > first) disk_.records.pop_back();
        return {};
    }
    Result<void> truncate_prefix(uint64_t last) override {
        if (auto r = enter("truncate_prefix"); !r) return r;
        for (; !disk_.records.empty() && disk_.first <= last; disk_.first++) disk_.records.pop_front();
        return {};
    }
    Result<void> metadata_get(const std::string &key, Output out) override {
        if (auto r = enter("metadata_get"); !r) return r;
        auto found = disk_.metadata.find(key);
        return found == disk_.metadata.end() ? Result<void>() : out.set(0, found->second);
    }
    Result<void> metadata_put(const std::string &key, std::string_view value) override {
        if (auto r = enter("metadata_put"); !r) return r;
        disk_.metadata[key] = value;
        return {};
    }

private:
    Result<void> enter(const char *function) {
        return disk_.before ? disk_.before(function) : Result<void>();
    }
    Disk &disk_;
};

inline Config config_on(Disk &disk, std::shared_ptr<StateMachine> machine = std::make_shared<Ledger>()) {
    return Config().storage(std::make_shared<Store>(disk)).state_machine(std::move(machine));
}
