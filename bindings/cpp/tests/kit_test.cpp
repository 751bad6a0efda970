// The conformance kit: what it says of a good store, and which rule it names when one is broken.
#include "store.hpp"

#include <future>

static const std::vector<std::string> functions = {"open",            "append",          "sync",         "read",
                                                   "truncate_suffix", "truncate_prefix", "metadata_get",
                                                   "metadata_put"};

// Stores on one disk, which can't crash.
static StorageMaker maker(Disk &disk) {
    return [&disk](Make how) -> Result<std::shared_ptr<Storage>> {
        if (how == Make::Crashed) return fail(QUORATE_ERR_UNSUPPORTED, "memory has no copies");
        if (how == Make::New) disk.records.clear(), disk.metadata.clear();
        return std::make_shared<Store>(disk);
    };
}
// Stores that crash: what is left is a copy, with which something more may happen.
static StorageMaker crashing(std::deque<Disk> &disks, std::function<void(Disk &)> happens = [](Disk &) {}) {
    return [&disks, happens](Make how) -> Result<std::shared_ptr<Storage>> {
        if (how == Make::New) disks.emplace_back();
        if (how == Make::Crashed) {
            Disk left;
            left.records = disks.back().records, left.first = disks.back().first;
            left.metadata = disks.back().metadata;
            happens(left);
            disks.push_back(std::move(left));
        }
        return std::make_shared<Store>(disks.back());
    };
}

TEST(a_store_passes_the_kit) {
    Disk disk;
    auto report = OK(storage_check(maker(disk)));
    CHECK(report.rules >= 15);
    CHECK_HAS(report.text, "ok ");
    CHECK_HAS(report.text, "memory has no copies");
    CHECK(report.text.find("BROKEN") == std::string::npos);
    CHECK_EQ(disk.open_stores, 0);
}

TEST(a_store_that_crashes_passes_the_kit) {
    std::deque<Disk> disks;  // their addresses stay
    auto report = OK(storage_check(crashing(disks)));
    CHECK(report.rules >= 60);
    CHECK_HAS(report.text, "ok      an entry that was synced survives a crash");
    for (auto &disk : disks) CHECK_EQ(disk.open_stores, 0);
}

TEST(the_kit_names_the_rule_that_is_broken) {
    std::deque<Disk> disks;
    auto lost = ERR(storage_check(crashing(disks, [](Disk &left) {
        if (!left.records.empty()) left.records.pop_back();
    })));
    CHECK_EQ(lost.status(), QUORATE_ERR_INVALID);
    CHECK_HAS(lost.message(), "BROKEN  an entry that was synced survives a crash: ");
    CHECK_HAS(lost.message(), "the calls were: open, ");
    CHECK_HAS(lost.message(), "ok      what was synced is there after a restart");
    Disk disk;
    uint64_t read = 0;
    disk.record = [&](uint64_t, std::string r) { return ++read % 2 ? r : std::string("other"); };
    CHECK_HAS(ERR(storage_check(maker(disk))).message(),
              "BROKEN  a read gives what was appended, synced or not: ");
    disk.record = nullptr;
    disk.bounds = [](Bounds b) { return b.last ? Bounds{b.first, b.last + 1} : b; };
    CHECK_HAS(ERR(storage_check(maker(disk))).message(), "BROKEN  what was synced is there after a restart: ");
}

TEST(the_kit_names_each_function_that_fails_or_throws) {
    for (auto &function : functions)
        for (bool throws : {false, true}) {
            Disk disk;
            disk.before = [&](const std::string &name) -> Result<void> {
                if (name != function) return {};
                if (throws) throw std::runtime_error("smoke comes out of it");
                return fail("smoke comes out of it");
            };
            auto e = ERR(storage_check(maker(disk)));
            CHECK_EQ(e.status(), QUORATE_ERR_INVALID);
            CHECK_HAS(e.message(), "smoke comes out of it");
            CHECK_HAS(e.message(), "BROKEN");  // the report is there too
            CHECK_HAS(e.message(), function);
            CHECK_EQ(disk.open_stores, 0);
        }
}

TEST(a_maker_may_fail_throw_or_be_empty) {
    CHECK_HAS(ERR(storage_check(nullptr)).message(), "empty");
    CHECK_HAS(ERR(storage_check([](Make) -> Result<std::shared_ptr<Storage>> { return fail("no more"); }))
                  .message(), "no more");
    CHECK_HAS(ERR(storage_check([](Make) -> Result<std::shared_ptr<Storage>> { throw 5; })).message(),
              "no std::exception");
    CHECK_HAS(ERR(storage_check([](Make) -> Result<std::shared_ptr<Storage>> {
                  return std::shared_ptr<Storage>();
              })).message(), "empty pointer");
}

TEST(the_kit_does_not_run_in_a_callback) {
    Member m;
    Disk disk;
    std::promise<quorate_status> seen;
    m.ledger->first = [&](EntryView) -> Result<void> {
        seen.set_value(STATUS(storage_check(maker(disk))));
        return {};
    };
    OK(m.start().propose_wait("x", 10s));
    CHECK_EQ(seen.get_future().get(), QUORATE_ERR_IN_CALLBACK);
}
