// The store of examples/cpp in SQLite: the conformance kit with its crashes, and services.
#include "machine.hpp"
#include "sqlite_store.hpp"

#include <fstream>
#include <unistd.h>

namespace fs = std::filesystem;

// What a crash leaves is the database and its log as they are now. The -shm file is no part of that: SQLite
// makes it anew. (This store, which locks the database for itself, has none.)
static void crash(const std::string &from, const std::string &to) {
    for (const char *suffix : {"", "-wal"})
        if (fs::exists(from + suffix)) fs::copy_file(from + suffix, to + suffix);
}

static size_t times(const std::string &text, const std::string &part) {
    size_t n = 0;
    for (auto at = text.find(part); at != text.npos; at = text.find(part, at + 1)) n++;
    return n;
}

TEST(sqlite_passes_the_kit_with_crashes) {
    // Its crashes are copies, so it needs no disk that is slow to sync.
    TempDir dir(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : fs::temp_directory_path().string());
    std::string path;
    int made = 0, crashes = 0;
    auto report = OK(storage_check([&](Make how) -> Result<std::shared_ptr<Storage>> {
        auto next = dir.path + "/" + std::to_string(++made) + ".db";
        if (how == Make::Crashed) crash(path, next), crashes++;
        if (how != Make::Again) path = next;
        return std::make_shared<SqliteStore>(path);
    }));
    CHECK(crashes > 0);
    CHECK_EQ(times(report.text, "\nskipped"), times(report.text, "has no readers for other threads"));
    CHECK(report.rules >= 19);
}

TEST(sqlite_is_locked_while_it_is_open_and_comes_back) {
    TempDir dir;
    auto path = dir.path + "/log.db";
    auto start = [&](std::shared_ptr<Ledger> ledger) {
        return Service::start(
            Config().storage(std::make_shared<SqliteStore>(path)).state_machine(std::move(ledger)));
    };
    {
        auto s = OK(start(std::make_shared<Ledger>()));
        for (int i = 0; i < 20; i++) OK(s.propose_wait("kept", 10s));
        auto e = ERR(start(std::make_shared<Ledger>()));
        CHECK_EQ(e.status(), QUORATE_ERR_LOCKED);
        CHECK_HAS(e.message(), "database is locked");
        crash(path, path + ".copy");
    }
    for (std::string suffix : {"", ".copy"}) {
        auto ledger = std::make_shared<Ledger>();
        path = dir.path + "/log.db" + suffix;
        auto s = OK(start(ledger));
        OK(s.propose_wait("more", 10s));
        CHECK_EQ(ledger->rows().size(), 21u);
    }
}

TEST(sqlite_says_what_is_wrong_with_a_file) {
    TempDir dir;
    std::ofstream(dir.path + "/log.db") << std::string(5000, 'x');
    auto start = [](const std::string &path) {
        return ERR(Service::start(
            Config().storage(std::make_shared<SqliteStore>(path)).state_machine(std::make_shared<Ledger>())));
    };
    CHECK_EQ(start(dir.path + "/log.db").status(), QUORATE_ERR_CORRUPT);
    CHECK_HAS(start(dir.path + "/log.db").message(), "not a database");
    CHECK_EQ(start("/proc/none/log.db").status(), QUORATE_ERR_IO);
}
