/* A node of the demo, in C. usage: node-c DIR HOST:PORT
 *
 * Lines in: init ADDRESS | add ADDRESS | remove ID | status | load FILE PART OF | hash | dump FILE. Each
 * is answered by a line that begins with the same word; `load` goes on beside the others and prints
 * `progress N` and at its end `loaded N SECONDS LONGEST-PAUSE`. */
#include "quorate.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SLOTS = 1 << 16, WINDOW = 256, MAX_RECORDS = 1 << 18 };

/* ---- The state: a table of rows; "key\tvalue\0" each ---------------------------------------------- */

typedef struct row { struct row *next; size_t key_len, len; char text[]; } row;
typedef struct { pthread_mutex_t lock; row *slots[SLOTS]; size_t rows; } store;

static uint64_t fnv1a(uint64_t h, const char *text, size_t len) {
    while (len--) h = (h ^ (unsigned char)*text++) * 0x100000001b3u;
    return h;
}

static void put(store *s, const char *text, size_t len) {
    const char *tab = memchr(text, '\t', len);
    size_t key_len = tab ? (size_t)(tab - text) : len;
    row **at = &s->slots[fnv1a(0xcbf29ce484222325u, text, key_len) % SLOTS];
    while (*at && ((*at)->key_len != key_len || memcmp((*at)->text, text, key_len))) at = &(*at)->next;
    row *old = *at, *new_row = malloc(sizeof *new_row + len + 1);
    if (!new_row) abort();
    *new_row = (row){old ? old->next : NULL, key_len, len};
    memcpy(new_row->text, text, len);
    new_row->text[len] = '\0';
    s->rows += !old;
    free(old);
    *at = new_row;
}

static quorate_status commit(void *ctx, const quorate_entry *entries, size_t n, quorate_output *replies,
                             quorate_error **err) {
    store *s = ctx;
    (void)replies, (void)err;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < n; i++) put(s, entries[i].data.data, entries[i].data.len);
    pthread_mutex_unlock(&s->lock);
    return QUORATE_OK;
}

/* Calls each(row, with) for every row. */
static void walk(store *s, void (*each)(const row *, void *), void *with) {
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < SLOTS; i++)
        for (row *r = s->slots[i]; r; r = r->next) each(r, with);
    pthread_mutex_unlock(&s->lock);
}

static void add_hash(const row *r, void *sum) {
    *(uint64_t *)sum += fnv1a(fnv1a(0xcbf29ce484222325u, r->text, r->len), "\n", 1);
}

static void write_row(const row *r, void *file) { fprintf(file, "%s\n", r->text); }

/* ---- The loader ------------------------------------------------------------------------------------ */

typedef struct {
    quorate_service *service;
    char folder[1024], file[1024];
    size_t part, of;
} load_job;

typedef struct {
    char *text, *records[MAX_RECORDS];
    size_t n;
    size_t todo[MAX_RECORDS], todo_n; /* a stack of record numbers */
    size_t before;
} records;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static char *read_file(const char *path) {
    FILE *f = fopen(path, "r");
    if (!f) return calloc(1, 1);
    fseek(f, 0, SEEK_END);
    long len = ftell(f);
    rewind(f);
    char *text = malloc((size_t)len + 1);
    text[fread(text, 1, (size_t)len, f)] = '\0';
    fclose(f);
    return text;
}

/* The records of this part, less those that `acked` names: they were acknowledged before a crash. */
static void read_records(records *r, const load_job *job, const char *acked_path) {
    static unsigned char known[MAX_RECORDS];
    char *acked = read_file(acked_path);
    for (char *line = strtok(acked, "\n"); line; line = strtok(NULL, "\n")) {
        known[strtoul(line, NULL, 10) % MAX_RECORDS] = 1;
        r->before++;
    }
    free(acked);
    r->text = read_file(job->file);
    for (char *line = strtok(r->text, "\n"); line && r->n < MAX_RECORDS; line = strtok(NULL, "\n"))
        r->records[r->n++] = line;
    for (size_t i = r->n; i-- > 0;)
        if (i % job->of == job->part && !known[i]) r->todo[r->todo_n++] = i;
}

/* Fills the window from the stack of what is to do. */
static void submit(records *r, const load_job *job, quorate_queue *queue, size_t *under_way) {
    quorate_request requests[WINDOW];
    size_t n = 0;
    for (; n + *under_way < WINDOW && n < r->todo_n; n++) {
        size_t number = r->todo[r->todo_n - 1 - n];
        requests[n] = (quorate_request)QUORATE_REQUEST_INIT;
        requests[n].token = number;
        requests[n].timeout_ms = 10000;
        requests[n].entry.data.data = r->records[number];
        requests[n].entry.data.len = strlen(r->records[number]);
    }
    if (n == 0) return;
    quorate_status taken = quorate_service_submit(job->service, queue, requests, n, NULL);
    if (taken > 0) r->todo_n -= (size_t)taken, *under_way += (size_t)taken;
}

static void *load(void *arg) {
    load_job *job = arg;
    records *r = calloc(1, sizeof *r);
    char acked_path[1100];
    snprintf(acked_path, sizeof acked_path, "%s/acked", job->folder);
    read_records(r, job, acked_path);
    FILE *acked = fopen(acked_path, "a");
    quorate_queue *queue = quorate_queue_new();
    size_t total = r->todo_n, done = 0, under_way = 0;
    double started = now(), last = started, longest = 0;
    while (done < total) {
        submit(r, job, queue, &under_way);
        quorate_completion out[WINDOW];
        quorate_status n = quorate_queue_poll(queue, out, WINDOW, 100);
        for (quorate_status i = 0; i < n; i++, under_way--) {
            if (out[i].status < 0) { /* twice does no harm, so whatever became of it: once more */
                r->todo[r->todo_n++] = out[i].token;
                continue;
            }
            fprintf(acked, "%llu\n", (unsigned long long)out[i].token);
            if (++done % 500 == 0) printf("progress %zu\n", r->before + done), fflush(stdout);
        }
        fflush(acked);
        if (n > 0) {
            longest = now() - last > longest ? now() - last : longest;
            last = now();
        }
    }
    printf("progress %zu\nloaded %zu %f %f\n", r->before + done, total, now() - started, longest);
    fflush(stdout);
    fclose(acked);
    quorate_queue_free(queue);
    free(r->text), free(r), free(job);
    return NULL;
}

static void start_loading(quorate_service *service, const char *folder, const char *rest) {
    load_job *job = calloc(1, sizeof *job);
    pthread_t thread;
    job->service = service;
    snprintf(job->folder, sizeof job->folder, "%s", folder);
    sscanf(rest, "%1023s %zu %zu", job->file, &job->part, &job->of);
    pthread_create(&thread, NULL, load, job);
    pthread_detach(thread);
}

/* ---- Commands ----------------------------------------------------------------------------------------- */

static void status(quorate_service *service) {
    quorate_info info = QUORATE_INFO_INIT;
    char id[QUORATE_NODE_ID_SIZE];
    quorate_service_info(service, &info);
    quorate_node_id_format(info.my_id, id);
    printf("status state=%s id=%s applied=%llu\n", quorate_state_string(info.state), id,
           (unsigned long long)info.last_applied);
}

static void run(quorate_service *service, store *s, const char *folder, const char *verb, const char *rest) {
    quorate_error *err = NULL;
    quorate_status done = QUORATE_OK;
    if (!strcmp(verb, "load")) return start_loading(service, folder, rest);
    if (!strcmp(verb, "status")) return status(service);
    if (!strcmp(verb, "hash")) {
        uint64_t sum = 0;
        walk(s, add_hash, &sum);
        printf("hash %016llx %zu\n", (unsigned long long)sum, s->rows);
        return;
    }
    if (!strcmp(verb, "init")) done = quorate_service_initialize_cluster(service, rest, 30000, &err);
    if (!strcmp(verb, "add")) done = quorate_service_add_node(service, rest, 30000, &err);
    if (!strcmp(verb, "remove"))
        done = quorate_service_remove_node(service, quorate_node_id_parse(rest), 30000, &err);
    if (!strcmp(verb, "dump")) {
        FILE *f = fopen(rest, "w");
        walk(s, write_row, f);
        fclose(f);
    }
    if (done < 0)
        printf("error %s: %s\n", verb, err ? err->message : quorate_status_string(done));
    else
        printf("%s\n", verb);
    quorate_free(err);
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: node-c DIR HOST:PORT\n"), 2;
    static store s = {.lock = PTHREAD_MUTEX_INITIALIZER};
    quorate_state_machine machine = QUORATE_STATE_MACHINE_INIT;
    machine.ctx = &s;
    machine.commit = commit;
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    quorate_config *config = quorate_config_new();
    quorate_status done = quorate_config_state_machine(config, &machine, &err);
    if (done >= 0) done = quorate_config_set(config, "data_dir", argv[1], &err);
    if (done >= 0) done = quorate_config_set(config, "listen", argv[2], &err);
    if (done >= 0) done = quorate_service_start(config, &service, &err);
    quorate_config_free(config);
    if (done < 0) return fprintf(stderr, "node-c: %s\n", err ? err->message : "can't start"), 1;
    printf("ready\n");
    fflush(stdout);
    for (char line[4096]; fgets(line, sizeof line, stdin); fflush(stdout)) {
        line[strcspn(line, "\n")] = '\0';
        char *rest = strchr(line, ' ');
        if (rest) *rest++ = '\0';
        run(service, &s, argv[1], line, rest ? rest : "");
    }
    quorate_service_free(service);
    return 0;
}
