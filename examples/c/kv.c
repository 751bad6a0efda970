/* A replicated key-value store.
 *     kv DIR HOST:PORT first      begins a cluster of one
 *     kv DIR HOST:PORT            waits until another node adds it
 *     ... --storage sqlite        the log is in DIR/log.db, an SQLite database, and not in the library's files
 *
 * Then, line by line: add HOST:PORT | remove ID | set KEY VALUE | get KEY | status. Each line is answered
 * by one. To build it, without SQLite or with it:
 *     cc kv.c $(pkg-config --cflags --libs quorate) -lpthread -o kv
 *     cc -DKV_SQLITE kv.c sqlite_store.c $(pkg-config --cflags --libs quorate sqlite3) -lpthread -o kv */
#include "quorate.h"
#ifdef KV_SQLITE
#include "sqlite_store.h"
#include <sys/stat.h>
#endif
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row { struct row *next; char *value; char key[]; } row; /* value follows the key's NUL */
typedef struct { pthread_mutex_t lock; row *rows; } store;

static row **find(row **at, const char *key) {
    while (*at && strcmp((*at)->key, key)) at = &(*at)->next;
    return at;
}

/* The command is the text "KEY VALUE". Runs on the thread quorate-apply, a batch at a time. */
static quorate_status commit(void *ctx, const quorate_entry *entries, size_t n,
                             quorate_output *replies, quorate_error **err) {
    store *s = ctx;
    const quorate_bytes ok = {"ok", 2};
    size_t applied = 0;
    pthread_mutex_lock(&s->lock);
    for (; applied < n; applied++) {
        size_t len = entries[applied].data.len;
        row *new_row = calloc(1, sizeof *new_row + len + 1);
        if (!new_row) break;
        memcpy(new_row->key, entries[applied].data.data, len);
        char *space = strchr(new_row->key, ' ');
        new_row->value = space ? space + 1 : new_row->key + len;
        if (space) *space = '\0';
        row **at = find(&s->rows, new_row->key), *old = *at;
        new_row->next = old ? old->next : NULL;
        *at = new_row;
        free(old);
        quorate_output_set(replies, applied, &ok, 1);
    }
    pthread_mutex_unlock(&s->lock);
    if (applied < n) *err = quorate_error_new("out of memory");
    return applied < n ? QUORATE_ERR_STATE_MACHINE_FAILED : QUORATE_OK;
}

static quorate_status set(quorate_service *service, const char *command, quorate_error **err) {
    quorate_entry entry = QUORATE_ENTRY_INIT;
    quorate_result *result = NULL;
    entry.data = (quorate_bytes){command, strlen(command)};
    quorate_status status = quorate_service_propose_wait(service, &entry, 5000, &result, err);
    if (status >= 0) printf("%s\n", (const char *)result->data.data);
    quorate_free(result);
    return status;
}

/* After the barrier this node has whatever was acknowledged anywhere, so the read is linearizable. */
static quorate_status get(quorate_service *service, store *s, const char *key, quorate_error **err) {
    quorate_status status = quorate_service_read_barrier(service, QUORATE_READ_LINEARIZABLE, 5000, err);
    if (status < 0) return status;
    pthread_mutex_lock(&s->lock);
    row *found = *find(&s->rows, key);
    printf("%s\n", found ? found->value : "(none)");
    pthread_mutex_unlock(&s->lock);
    return status;
}

static quorate_status show(quorate_service *service) {
    quorate_info info = QUORATE_INFO_INIT;
    char id[QUORATE_NODE_ID_SIZE];
    quorate_status status = quorate_service_info(service, &info);
    quorate_node_id_format(info.my_id, id);
    printf("%s id=%s applied=%ju\n", quorate_state_string(info.state), id, (uintmax_t)info.last_applied);
    return status;
}

static void run(quorate_service *service, store *s, const char *verb, const char *rest) {
    quorate_error *err = NULL;
    quorate_status status = QUORATE_ERR_INVALID; /* an unknown verb */
    if (!strcmp(verb, "set")) status = set(service, rest, &err);
    else if (!strcmp(verb, "get")) status = get(service, s, rest, &err);
    else if (!strcmp(verb, "status")) status = show(service);
    else if (!strcmp(verb, "add")) status = quorate_service_add_node(service, rest, 60000, &err);
    else if (!strcmp(verb, "remove"))
        status = quorate_service_remove_node(service, quorate_node_id_parse(rest), 60000, &err);
    if (status < 0) printf("error: %s\n", err ? err->message : quorate_status_string(status));
    else if (verb[0] == 'a' || verb[0] == 'r') printf("ok\n");
    quorate_free(err);
}

/* The store that was asked for: "sqlite" is our own, the others are the library's. */
static quorate_status choose_storage(quorate_config *config, const char *name, const char *dir,
                                     quorate_error **err) {
#ifdef KV_SQLITE
    if (!strcmp(name, "sqlite")) {
        char path[4096];
        quorate_storage storage;
        mkdir(dir, 0777); /* if it is not there, and can't be made, SQLite says so */
        snprintf(path, sizeof path, "%s/log.db", dir);
        quorate_status status = sqlite_store(path, &storage, err);
        return status < 0 ? status : quorate_config_storage(config, &storage, err);
    }
#endif
    quorate_status status = quorate_config_set(config, "data_dir", dir, err);
    return status < 0 ? status : quorate_config_set(config, "storage", name, err);
}

int main(int argc, char **argv) {
    const char *storage = "wal";
    if (argc > 4 && !strcmp(argv[argc - 2], "--storage")) storage = argv[argc - 1], argc -= 2;
    if (argc < 3) return fprintf(stderr, "usage: kv DIR HOST:PORT [first] [--storage NAME]\n"), 2;
    store s = {PTHREAD_MUTEX_INITIALIZER, NULL};
    quorate_state_machine machine = QUORATE_STATE_MACHINE_INIT;
    machine.ctx = &s;
    machine.commit = commit;
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    quorate_info info = QUORATE_INFO_INIT;
    quorate_config *config = quorate_config_new();
    quorate_status status = quorate_config_state_machine(config, &machine, &err);
    if (status >= 0) status = choose_storage(config, storage, argv[1], &err);
    if (status >= 0) status = quorate_config_set(config, "listen", argv[2], &err);
    if (status >= 0) status = quorate_service_start(config, &service, &err);
    if (status >= 0) status = quorate_service_info(service, &info);
    if (status >= 0 && argc > 3 && info.state == QUORATE_STATE_STANDALONE)
        status = quorate_service_initialize_cluster(service, argv[2], 5000, &err);
    if (status < 0) fprintf(stderr, "kv: %s\n", err ? err->message : quorate_status_string(status));
    for (char line[4096]; status >= 0 && fgets(line, sizeof line, stdin); fflush(stdout)) {
        line[strcspn(line, "\n")] = '\0';
        char *rest = strchr(line, ' ');
        if (rest) *rest++ = '\0';
        run(service, &s, line, rest ? rest : "");
    }
    quorate_service_free(service);
    quorate_config_free(config);
    quorate_free(err);
    for (row *next; s.rows; s.rows = next) next = s.rows->next, free(s.rows);
    return status < 0;
}
