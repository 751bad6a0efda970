// A store for quorate in an SQLite database. Link with -lsqlite3.
//
// How it keeps the contract of quorate::Storage:
//   - The first append or truncation begins a transaction, and sync commits it. SQLite keeps a transaction
//     whole or not at all, so what a crash leaves is the log at some sync: a prefix of the calls.
//   - With journal_mode=WAL and synchronous=FULL a commit returns when it would survive a power cut.
//   - metadata_put must be durable when it returns, so it commits too, and what was appended before becomes
//     durable with it. That is a longer prefix, which is allowed; and both at once, so no term or vote is
//     ever older than the log beside it.
//   - A process that is killed in a commit may leave it written and not synced. Whoever opens the database
//     then would see what a power cut may still take back, so opening begins with a checkpoint, which syncs.
//   - locking_mode=EXCLUSIVE: a second process that opens the database is refused.
//
// After an error the library calls nothing more, so nothing is rolled back here: closing does that.
#pragma once

#include "quorate.hpp"

#include <algorithm>
#include <sqlite3.h>

class SqliteStore final : public quorate::Storage {
    using Void = quorate::Result<void>;

public:
    explicit SqliteStore(std::string path) : path_(std::move(path)) {}
    ~SqliteStore() override {
        for (auto *statement : {begin_, commit_, append_, read_, cut_end_, cut_front_, get_, put_})
            sqlite3_finalize(statement);
        sqlite3_close(db_);
    }
    SqliteStore(const SqliteStore &) = delete;
    SqliteStore &operator=(const SqliteStore &) = delete;

    quorate::Result<quorate::Bounds> open() override {
        int code = sqlite3_open_v2(path_.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
        // The first of these that changes the database takes the lock, which is kept until it is closed.
        if (code == SQLITE_OK)
            code = sqlite3_exec(db_,
                                "PRAGMA locking_mode = EXCLUSIVE;"
                                "PRAGMA journal_mode = WAL;"
                                "PRAGMA synchronous = FULL;"
                                "BEGIN IMMEDIATE;"
                                "CREATE TABLE IF NOT EXISTS log (idx INTEGER PRIMARY KEY, record BLOB NOT NULL);"
                                "CREATE TABLE IF NOT EXISTS metadata (key TEXT PRIMARY KEY, value BLOB NOT NULL)"
                                " WITHOUT ROWID;"
                                "COMMIT;"
                                "PRAGMA wal_checkpoint(TRUNCATE);",
                                nullptr, nullptr, nullptr);
        if (code != SQLITE_OK) return failure();
        return prepare_all() ? ends() : failure();
    }

    Void append(quorate::Records records) override {
        if (auto begun = begin(); !begun) return begun;
        for (auto record : records) {
            bind_index(append_, 1, record.index());
            bind_blob(append_, 2, record.data());
            if (auto done = run(append_); !done) return done;
        }
        return {};
    }

    Void sync() override { return commit(); }

    Void read(uint64_t first, uint64_t last, size_t max_bytes, quorate::Output out) override {
        Reset reset{read_};
        bind_index(read_, 1, first);
        bind_index(read_, 2, last);
        int code = SQLITE_ROW;
        for (size_t bytes = 0; bytes == 0 || bytes < max_bytes;) {
            code = sqlite3_step(read_);
            if (code != SQLITE_ROW) break;
            auto record = blob(read_, 1);
            bytes += std::max<size_t>(record.size(), 1);
            auto slot = static_cast<uint64_t>(sqlite3_column_int64(read_, 0)) - first;
            if (auto set = out.set(static_cast<size_t>(slot), record); !set) return set;
        }
        return code == SQLITE_ROW || code == SQLITE_DONE ? Void() : failure();
    }

    Void truncate_suffix(uint64_t first) override { return cut(cut_end_, first); }
    Void truncate_prefix(uint64_t last) override { return cut(cut_front_, last); }

    Void metadata_get(const std::string &key, quorate::Output out) override {
        Reset reset{get_};
        bind_text(get_, 1, key);
        int code = sqlite3_step(get_);
        if (code == SQLITE_ROW) return out.set(0, blob(get_, 0));
        return code == SQLITE_DONE ? Void() : failure();
    }

    Void metadata_put(const std::string &key, std::string_view value) override {
        if (auto begun = begin(); !begun) return begun;
        bind_text(put_, 1, key);
        bind_blob(put_, 2, value);
        if (auto done = run(put_); !done) return done;
        return commit();
    }

private:
    struct Reset {
        sqlite3_stmt *statement;
        ~Reset() { sqlite3_reset(statement); }
    };

    bool prepare_all() {
        return prepare(&begin_, "BEGIN IMMEDIATE") && prepare(&commit_, "COMMIT") &&
               prepare(&append_, "INSERT INTO log (idx, record) VALUES (?1, ?2)") &&
               prepare(&read_, "SELECT idx, record FROM log WHERE idx BETWEEN ?1 AND ?2 ORDER BY idx") &&
               prepare(&cut_end_, "DELETE FROM log WHERE idx >= ?1") &&
               prepare(&cut_front_, "DELETE FROM log WHERE idx <= ?1") &&
               prepare(&get_, "SELECT value FROM metadata WHERE key = ?1") &&
               prepare(&put_, "INSERT OR REPLACE INTO metadata (key, value) VALUES (?1, ?2)");
    }
    bool prepare(sqlite3_stmt **out, const char *sql) {
        return sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, out, nullptr) == SQLITE_OK;
    }

    quorate::Result<quorate::Bounds> ends() {
        sqlite3_stmt *statement = nullptr;
        bool there = prepare(&statement, "SELECT (SELECT min(idx) FROM log), (SELECT max(idx) FROM log)") &&
                     sqlite3_step(statement) == SQLITE_ROW;
        quorate::Bounds bounds;  // an empty log has none, which is read as 0
        bounds.first = there ? static_cast<uint64_t>(sqlite3_column_int64(statement, 0)) : 0;
        bounds.last = there ? static_cast<uint64_t>(sqlite3_column_int64(statement, 1)) : 0;
        auto failed = failure();
        sqlite3_finalize(statement);
        if (!there) return failed;
        return bounds;
    }

    Void cut(sqlite3_stmt *statement, uint64_t index) {
        if (auto begun = begin(); !begun) return begun;
        bind_index(statement, 1, index);
        return run(statement);
    }

    Void begin() { return sqlite3_get_autocommit(db_) ? run(begin_) : Void(); }
    Void commit() { return sqlite3_get_autocommit(db_) ? Void() : run(commit_); }
    Void run(sqlite3_stmt *statement) {
        Reset reset{statement};
        return sqlite3_step(statement) == SQLITE_DONE ? Void() : failure();
    }

    // What SQLite says. The status matters only when it comes from open.
    quorate::Failure failure() {
        int code = sqlite3_errcode(db_);
        quorate_status status = code == SQLITE_BUSY                               ? QUORATE_ERR_LOCKED
                                : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? QUORATE_ERR_CORRUPT
                                                                                  : QUORATE_ERR_IO;
        return quorate::fail(status, sqlite3_errmsg(db_));
    }

    // Indexes are far below the largest integer of SQLite, but a cut of the front may name any.
    static void bind_index(sqlite3_stmt *statement, int at, uint64_t index) {
        sqlite3_bind_int64(statement, at, static_cast<sqlite3_int64>(std::min<uint64_t>(index, INT64_MAX)));
    }
    static void bind_text(sqlite3_stmt *statement, int at, const std::string &text) {
        sqlite3_bind_text(statement, at, text.c_str(), -1, SQLITE_STATIC);
    }
    static void bind_blob(sqlite3_stmt *statement, int at, std::string_view data) {
        auto *bytes = data.empty() ? "" : data.data();  // NULL would be no blob
        sqlite3_bind_blob64(statement, at, bytes, data.size(), SQLITE_STATIC);
    }
    static std::string_view blob(sqlite3_stmt *statement, int column) {
        auto *data = static_cast<const char *>(sqlite3_column_blob(statement, column));
        return {data ? data : "", static_cast<size_t>(sqlite3_column_bytes(statement, column))};
    }

    std::string path_;
    sqlite3 *db_ = nullptr;
    sqlite3_stmt *begin_ = nullptr, *commit_ = nullptr, *append_ = nullptr, *read_ = nullptr;
    sqlite3_stmt *cut_end_ = nullptr, *cut_front_ = nullptr, *get_ = nullptr, *put_ = nullptr;
};
