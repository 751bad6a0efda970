/* A store for quorate in an SQLite database.
 *
 * How it keeps the contract of quorate_storage:
 *   - The first append or truncation begins a transaction, and sync commits it. SQLite keeps a transaction
 *     whole or not at all, so what a crash leaves is the log at some sync: a prefix of the calls.
 *   - With journal_mode=WAL and synchronous=FULL a commit returns when it would survive a power cut.
 *   - metadata_put must be durable when it returns, so it commits too, and what was appended before becomes
 *     durable with it. That is a longer prefix, which is allowed; and both at once, so no term or vote is
 *     ever older than the log beside it.
 *   - A process that is killed in a commit may leave it written and not synced. Whoever opens the database
 *     then would see what a power cut may still take back, so opening begins with a checkpoint, which syncs.
 *   - locking_mode=EXCLUSIVE: a second process that opens the database is refused.
 *
 * After an error the library calls nothing but drop, so nothing is rolled back here: closing does that. */
#include "sqlite_store.h"
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BEGIN, COMMIT, ENDS, APPEND, READ, CUT_END, CUT_FRONT, GET, PUT, STATEMENTS };

static const char *const SQL[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ENDS] = "SELECT (SELECT min(idx) FROM log), (SELECT max(idx) FROM log)",
    [APPEND] = "INSERT INTO log (idx, record) VALUES (?1, ?2)",
    [READ] = "SELECT idx, record FROM log WHERE idx BETWEEN ?1 AND ?2 ORDER BY idx",
    [CUT_END] = "DELETE FROM log WHERE idx >= ?1",
    [CUT_FRONT] = "DELETE FROM log WHERE idx <= ?1",
    [GET] = "SELECT value FROM metadata WHERE key = ?1",
    [PUT] = "INSERT OR REPLACE INTO metadata (key, value) VALUES (?1, ?2)",
};

/* The first of these that changes the database takes the lock, which is kept until it is closed. */
static const char SETUP[] =
    "PRAGMA locking_mode = EXCLUSIVE;"
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = FULL;"
    "BEGIN IMMEDIATE;"
    "CREATE TABLE IF NOT EXISTS log (idx INTEGER PRIMARY KEY, record BLOB NOT NULL);"
    "CREATE TABLE IF NOT EXISTS metadata (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "COMMIT;"
    "PRAGMA wal_checkpoint(TRUNCATE);";

typedef struct {
    sqlite3 *db;
    sqlite3_stmt *statement[STATEMENTS];
    char path[];
} store;

/* What SQLite says, as an error of the library. The status matters only when it comes from open. */
static quorate_status fail(store *s, int code, quorate_error **err) {
    *err = quorate_error_new(s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code));
    switch (code & 0xff) {
    case SQLITE_BUSY: return QUORATE_ERR_LOCKED;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return QUORATE_ERR_CORRUPT;
    default: return QUORATE_ERR_IO;
    }
}

/* Indexes are far below the largest integer of SQLite, but a cut of the front may name any. */
static void bind_index(sqlite3_stmt *statement, int at, uint64_t index) {
    sqlite3_bind_int64(statement, at, index < INT64_MAX ? (sqlite3_int64)index : INT64_MAX);
}

static void bind_blob(sqlite3_stmt *statement, int at, const void *data, size_t len) {
    sqlite3_bind_blob64(statement, at, len ? data : "", len, SQLITE_STATIC); /* NULL would be no blob */
}

static quorate_bytes blob(sqlite3_stmt *statement, int column) {
    const void *data = sqlite3_column_blob(statement, column);
    return (quorate_bytes){data ? data : "", (size_t)sqlite3_column_bytes(statement, column)};
}

/* Runs a statement that returns no rows. */
static quorate_status run(store *s, int which, quorate_error **err) {
    int code = sqlite3_step(s->statement[which]);
    quorate_status status = code == SQLITE_DONE ? QUORATE_OK : fail(s, code, err);
    sqlite3_reset(s->statement[which]);
    return status;
}

static quorate_status begin(store *s, quorate_error **err) {
    return sqlite3_get_autocommit(s->db) ? run(s, BEGIN, err) : QUORATE_OK;
}

static quorate_status commit(store *s, quorate_error **err) {
    return sqlite3_get_autocommit(s->db) ? QUORATE_OK : run(s, COMMIT, err);
}

static quorate_status store_open(void *ctx, uint64_t *out_first, uint64_t *out_last, quorate_error **err) {
    store *s = ctx;
    int code = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (code == SQLITE_OK) code = sqlite3_exec(s->db, SETUP, NULL, NULL, NULL);
    for (int i = 0; code == SQLITE_OK && i < STATEMENTS; i++)
        code = sqlite3_prepare_v3(s->db, SQL[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statement[i], NULL);
    if (code == SQLITE_OK) code = sqlite3_step(s->statement[ENDS]);
    if (code != SQLITE_ROW) return fail(s, code, err);
    *out_first = (uint64_t)sqlite3_column_int64(s->statement[ENDS], 0); /* 0 when there is none */
    *out_last = (uint64_t)sqlite3_column_int64(s->statement[ENDS], 1);
    sqlite3_reset(s->statement[ENDS]);
    return QUORATE_OK;
}

static quorate_status store_append(void *ctx, const quorate_record *records, size_t n, quorate_error **err) {
    store *s = ctx;
    quorate_status status = begin(s, err);
    for (size_t i = 0; status >= 0 && i < n; i++) {
        bind_index(s->statement[APPEND], 1, records[i].index);
        bind_blob(s->statement[APPEND], 2, records[i].data.data, records[i].data.len);
        status = run(s, APPEND, err);
    }
    return status;
}

static quorate_status store_sync(void *ctx, quorate_error **err) { return commit(ctx, err); }

static quorate_status store_read(void *ctx, uint64_t first, uint64_t last, size_t max_bytes,
                                 quorate_output *out, quorate_error **err) {
    store *s = ctx;
    sqlite3_stmt *read = s->statement[READ];
    size_t bytes = 0;
    int code = SQLITE_ROW;
    bind_index(read, 1, first);
    bind_index(read, 2, last);
    for (size_t slot = 0; slot == 0 || bytes < max_bytes; slot++) {
        code = sqlite3_step(read);
        if (code != SQLITE_ROW) break;
        quorate_bytes record = blob(read, 1);
        quorate_output_set(out, (size_t)((uint64_t)sqlite3_column_int64(read, 0) - first), &record, 1);
        bytes += record.len;
    }
    quorate_status status = code == SQLITE_ROW || code == SQLITE_DONE ? QUORATE_OK : fail(s, code, err);
    sqlite3_reset(read);
    return status;
}

static quorate_status cut(store *s, int which, uint64_t index, quorate_error **err) {
    quorate_status status = begin(s, err);
    if (status < 0) return status;
    bind_index(s->statement[which], 1, index);
    return run(s, which, err);
}

static quorate_status store_truncate_suffix(void *ctx, uint64_t first, quorate_error **err) {
    return cut(ctx, CUT_END, first, err);
}

static quorate_status store_truncate_prefix(void *ctx, uint64_t last, quorate_error **err) {
    return cut(ctx, CUT_FRONT, last, err);
}

static quorate_status store_get(void *ctx, const char *key, quorate_output *out, quorate_error **err) {
    store *s = ctx;
    sqlite3_stmt *get = s->statement[GET];
    sqlite3_bind_text(get, 1, key, -1, SQLITE_STATIC);
    int code = sqlite3_step(get);
    quorate_status status = code == SQLITE_ROW || code == SQLITE_DONE ? QUORATE_OK : fail(s, code, err);
    if (code == SQLITE_ROW) {
        quorate_bytes value = blob(get, 0);
        status = quorate_output_set(out, 0, &value, 1);
    }
    sqlite3_reset(get);
    return status;
}

static quorate_status store_put(void *ctx, const char *key, const void *data, size_t len,
                                quorate_error **err) {
    store *s = ctx;
    quorate_status status = begin(s, err);
    if (status < 0) return status;
    sqlite3_bind_text(s->statement[PUT], 1, key, -1, SQLITE_STATIC);
    bind_blob(s->statement[PUT], 2, data, len);
    status = run(s, PUT, err);
    return status < 0 ? status : commit(s, err);
}

static void store_drop(void *ctx) {
    store *s = ctx;
    for (int i = 0; i < STATEMENTS; i++) sqlite3_finalize(s->statement[i]);
    sqlite3_close(s->db);
    free(s);
}

quorate_status sqlite_store(const char *path, quorate_storage *out, quorate_error **err) {
    store *s = calloc(1, sizeof *s + strlen(path) + 1);
    if (!s) return *err = quorate_error_new("out of memory"), QUORATE_ERR_IO;
    strcpy(s->path, path);
    *out = (quorate_storage){(uint32_t)sizeof *out, 0, s, store_drop, store_open, store_append, store_sync,
                             store_read, store_truncate_suffix, store_truncate_prefix, store_get, store_put};
    return QUORATE_OK;
}
