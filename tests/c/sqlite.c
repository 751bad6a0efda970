/* The store of examples/c in SQLite: the conformance kit with its crashes, restarts, and databases that are
 * not in order. */
#include "check.h"
#include "sqlite_store.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <sys/stat.h>

static void path_in(char *out, size_t len, const char *dir, const char *name) {
    CHECK((size_t)snprintf(out, len, "%s/%s", dir, name) < len);
}

/* Copies a file as it is now; one that is not there is nothing to copy. */
static void copy(const char *from, const char *to) {
    static char block[1 << 16];
    int in = open(from, O_RDONLY), out = in < 0 ? -1 : open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (ssize_t n; in >= 0 && (n = read(in, block, sizeof block)) > 0;) CHECK_EQ(write(out, block, (size_t)n), n);
    if (in < 0) unlink(to);
    if (out >= 0) close(out);
    if (in >= 0) close(in);
}

/* It has files and no folders in it. */
static void remove_dir(const char *path) {
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    CHECK_EQ(rmdir(path), 0);
}

/* ---- The conformance kit ------------------------------------------------------------------------------------ */

typedef struct { char dir[256], path[300]; int made, crashes; } maker;

/* A crash leaves the database and its log as they are now. The -shm file is no part of that: SQLite makes it
 * anew. (This store, which locks the database for itself, has none.) */
static void crash(maker *m, const char *to) {
    char from_wal[320], to_wal[320];
    snprintf(from_wal, sizeof from_wal, "%s-wal", m->path);
    snprintf(to_wal, sizeof to_wal, "%s-wal", to);
    copy(m->path, to);
    copy(from_wal, to_wal);
    m->crashes++;
}

static quorate_status make(void *ctx, int32_t how, quorate_storage *out, quorate_error **err) {
    maker *m = ctx;
    char next[300], name[32];
    snprintf(name, sizeof name, "%d.db", ++m->made);
    path_in(next, sizeof next, m->dir, name);
    if (how == QUORATE_STORAGE_CRASHED) crash(m, next);
    if (how != QUORATE_STORAGE_AGAIN) strcpy(m->path, next);
    return sqlite_store(m->path, out, err);
}

static int times(const char *text, const char *part) {
    int n = 0;
    while ((text = strstr(text, part)) != NULL) text++, n++;
    return n;
}

static void it_passes_the_kit_with_crashes(void) {
    quorate_error *err = NULL;
    char *report = NULL;
    maker m = {.made = 0};
    int fast = access("/dev/shm", W_OK) == 0; /* crashes are copies here, so no disk that is slow to sync is needed */
    if (fast) CHECK(mkdtemp(strcpy(m.dir, "/dev/shm/quorate-kit-XXXXXX")) != NULL);
    else new_dir(m.dir, sizeof m.dir);
    quorate_status rules = quorate_storage_check(make, &m, &report, &err);
    if (rules < 0) fprintf(stderr, "%s\n", report);
    CHECK_OK(rules);
    CHECK(m.crashes > 0 && m.made > rules);
    CHECK_EQ(times(report, "\nskipped"), times(report, "has no readers for other threads")); /* no crash is */
    quorate_free(report);
    if (fast) remove_dir(m.dir);
}

/* ---- Services ------------------------------------------------------------------------------------------------ */

static quorate_status start_at(const char *path, counter *c, quorate_service **out, quorate_error **err) {
    quorate_storage store;
    quorate_state_machine machine = counter_machine(c);
    quorate_config *config = quorate_config_new();
    quorate_status status = sqlite_store(path, &store, err);
    if (status >= 0) status = quorate_config_state_machine(config, &machine, err);
    if (status >= 0) status = quorate_config_storage(config, &store, err);
    if (status >= 0) status = quorate_service_start(config, out, err);
    quorate_config_free(config);
    return status;
}

static void refused(const char *path, quorate_status expected, const char *text) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    counter c = {0};
    CHECK_ERR(start_at(path, &c, &service, &err), expected, text);
    CHECK(service == NULL);
}

static void a_service_comes_back_from_a_copy_made_while_it_writes(void) {
    quorate_error *err = NULL;
    counter c = {0}, c2 = {0};
    maker m = {.made = 0};
    quorate_service *service = NULL, *copied = NULL;
    char later[300];
    new_dir(m.dir, sizeof m.dir);
    path_in(m.path, sizeof m.path, m.dir, "log.db");
    path_in(later, sizeof later, m.dir, "copy.db");
    CHECK_OK(start_at(m.path, &c, &service, &err));
    for (int i = 0; i < 30; i++) propose_wait(service, "acknowledged");
    crash(&m, later);
    propose_wait(service, "later");
    uint64_t id = info_of(service).my_id;
    quorate_service_free(service);
    CHECK_OK(start_at(later, &c2, &copied, &err));
    CHECK_EQ(info_of(copied).my_id, id);
    propose_wait(copied, "goes on");
    CHECK_EQ(c2.entries, 31);
    quorate_service_free(copied);
}

static void a_database_that_is_open_is_locked(void) {
    quorate_error *err = NULL;
    counter c = {0};
    quorate_service *service = NULL;
    char dir[256], path[300];
    path_in(path, sizeof path, new_dir(dir, sizeof dir), "log.db");
    CHECK_OK(start_at(path, &c, &service, &err));
    refused(path, QUORATE_ERR_LOCKED, "database is locked");
    propose_wait(service, "goes on");
    quorate_service_free(service);
    memset(&c, 0, sizeof c);
    CHECK_OK(start_at(path, &c, &service, &err));
    quorate_service_free(service);
}

static void a_database_that_is_none_is_named(void) {
    char dir[256], path[300];
    path_in(path, sizeof path, new_dir(dir, sizeof dir), "log.db");
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    for (int i = 0; i < 1000; i++) fputs("this is no database. ", f);
    fclose(f);
    refused(path, QUORATE_ERR_CORRUPT, "not a database");
    refused(dir, QUORATE_ERR_IO, "unable to open");
    refused("/proc/none/log.db", QUORATE_ERR_IO, "unable to open");
}

static void alter(const char *path, const char *sql) {
    sqlite3 *db = NULL;
    char *why = NULL;
    CHECK_EQ(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) check_fail(__FILE__, __LINE__, sql, why);
    CHECK_EQ(sqlite3_close(db), SQLITE_OK);
}

/* Somebody edits the tables. */
static void a_log_that_was_altered_is_noticed(void) {
    static const char *const altered[] = {
        "DELETE FROM log WHERE idx = 4",
        "DELETE FROM log WHERE idx < 4",
        "UPDATE log SET record = x'00' WHERE idx = 4",
        "UPDATE log SET record = (SELECT record FROM log WHERE idx = 5) WHERE idx = 4",
        "UPDATE log SET record = substr(record, 1, 41) || x'77' || substr(record, 43) WHERE idx = 4",
        "INSERT INTO log VALUES (9223372036854775807, x'00')",
        "INSERT INTO log VALUES (0, x'00')",
        "INSERT INTO log VALUES (-5, x'00')",
    };
    for (size_t i = 0; i < sizeof altered / sizeof altered[0]; i++) {
        quorate_error *err = NULL;
        counter c = {0};
        quorate_service *service = NULL;
        char dir[256], path[300];
        path_in(path, sizeof path, new_dir(dir, sizeof dir), "log.db");
        CHECK_OK(start_at(path, &c, &service, &err));
        for (int n = 0; n < 8; n++) propose_wait(service, "as it was written");
        quorate_service_free(service);
        alter(path, altered[i]);
        refused(path, QUORATE_ERR_CORRUPT, "");
    }
}

int main(void) {
    RUN(it_passes_the_kit_with_crashes);
    RUN(a_service_comes_back_from_a_copy_made_while_it_writes);
    RUN(a_database_that_is_open_is_locked);
    RUN(a_database_that_is_none_is_named);
    RUN(a_log_that_was_altered_is_noticed);
    return check_end("sqlite");
}
