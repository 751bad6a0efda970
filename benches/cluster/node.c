/* The node program of quorate in C; node.h tells what it is told. The load is the loop that a program with
 * one thread would write: submit many, poll the queue, submit as many as came back. */
#include "node.h"
#include "quorate.h"

enum { MANY = 4096 };

/* The state: how many changes were applied, which is the reply as well. */
static uint64_t applied;

static quorate_status commit(void *ctx, const quorate_entry *entries, size_t n, quorate_output *replies,
                             quorate_error **err) {
    static uint64_t values[MANY];
    quorate_bytes out[MANY];
    (void)ctx, (void)err, (void)entries;
    for (size_t done = 0; done < n;) {
        size_t part = n - done < MANY ? n - done : MANY;
        for (size_t i = 0; i < part; i++) {
            values[i] = ++applied;
            out[i] = (quorate_bytes){&values[i], sizeof values[i]};
        }
        quorate_output_set(replies, done, out, part);
        done += part;
    }
    return QUORATE_OK;
}

typedef struct {
    quorate_service *service;
    quorate_queue *queue;
    quorate_request todo[MANY];
    uint64_t started[MANY]; /* by token, the number of the client */
    size_t todo_n, under_way;
    latencies spread;
} load_job;

/* What is refused because too much is under way stays in `todo` for the next time. */
static quorate_status submit(load_job *job, quorate_error **err) {
    uint64_t now = now_ns();
    for (size_t i = 0; i < job->todo_n; i++) job->started[job->todo[i].token] = now;
    quorate_status taken = quorate_service_submit(job->service, job->queue, job->todo, job->todo_n, err);
    if (taken == QUORATE_ERR_BUSY && job->under_way > 0) taken = 0;
    if (taken < 0) return taken;
    job->todo_n -= (size_t)taken;
    job->under_way += (size_t)taken;
    memmove(job->todo, job->todo + taken, job->todo_n * sizeof job->todo[0]);
    return taken;
}

/* Takes what is done; its clients go on until `end`. Negative if one failed. */
static quorate_status settle(load_job *job, uint64_t end, quorate_bytes data) {
    quorate_completion done[MANY];
    quorate_status n = quorate_queue_poll(job->queue, done, MANY, 10000);
    uint64_t now = now_ns();
    for (quorate_status i = 0; i < n; i++) {
        job->under_way--;
        if (done[i].status < 0) return done[i].status;
        latencies_add(&job->spread, now - job->started[done[i].token]);
        if (now >= end) continue;
        quorate_request request = QUORATE_REQUEST_INIT;
        request.token = done[i].token;
        request.entry.data = data;
        job->todo[job->todo_n++] = request;
    }
    return n == 0 ? QUORATE_ERR_TIMEOUT : n;
}

static quorate_status run(load_job *job, double seconds, size_t clients, quorate_bytes data, quorate_error **err) {
    quorate_status status = QUORATE_OK;
    uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9);
    for (; job->todo_n < clients; job->todo_n++) {
        job->todo[job->todo_n] = (quorate_request)QUORATE_REQUEST_INIT;
        job->todo[job->todo_n].token = job->todo_n;
        job->todo[job->todo_n].entry.data = data;
    }
    while (status >= 0 && job->todo_n + job->under_way > 0) {
        if (job->todo_n > 0) status = submit(job, err);
        if (status >= 0) status = settle(job, end, data);
    }
    if (status >= 0) latencies_print(&job->spread, (double)(now_ns() - begin) * 1e-9);
    return status;
}

static quorate_status load(quorate_service *service, const char *rest, quorate_error **err) {
    double seconds = 0;
    size_t clients = 0, payload = 0;
    if (sscanf(rest, "%lf %zu %zu", &seconds, &clients, &payload) != 3 || clients > MANY) return QUORATE_ERR_INVALID;
    load_job *job = calloc(1, sizeof *job);
    void *data = malloc(payload + 1);
    if (!job || !data) abort();
    memset(data, 'x', payload);
    job->service = service;
    job->queue = quorate_queue_new();
    quorate_status status = run(job, seconds, clients, (quorate_bytes){data, payload}, err);
    quorate_queue_free(job->queue);
    free(data), free(job);
    return status;
}

static quorate_status form(quorate_service *service, char *addresses, quorate_error **err) {
    char *next = NULL, *address = strtok_r(addresses, " ", &next);
    if (!address) return QUORATE_ERR_INVALID;
    quorate_status status = quorate_service_initialize_cluster(service, address, 30000, err);
    while (status >= 0 && (address = strtok_r(NULL, " ", &next)))
        status = quorate_service_add_node(service, address, 30000, err);
    if (status >= 0) printf("cluster\n");
    return status;
}

static quorate_status start(const char *dir, const char *address, quorate_service **out, quorate_error **err) {
    quorate_state_machine machine = QUORATE_STATE_MACHINE_INIT;
    machine.commit = commit;
    quorate_config *config = quorate_config_new();
    quorate_status status = quorate_config_state_machine(config, &machine, err);
    if (status >= 0) status = quorate_config_set(config, "data_dir", dir, err);
    if (status >= 0) status = quorate_config_set(config, "listen", address, err);
    if (status >= 0) status = quorate_service_start(config, out, err);
    quorate_config_free(config);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 3) return fprintf(stderr, "usage: node DIR HOST:PORT [NUMBER]\n"), 2;
    quorate_service *service = NULL;
    quorate_error *err = NULL;
    quorate_status status = start(argv[1], argv[2], &service, &err);
    if (status >= 0) printf("ready\n"), fflush(stdout);
    char text[4096], *verb, *rest;
    while (status >= 0 && (verb = next_line(text, sizeof text, &rest)) && strcmp(verb, "quit")) {
        status = !strcmp(verb, "cluster") ? form(service, rest, &err)
                 : !strcmp(verb, "load")  ? load(service, rest, &err)
                                          : QUORATE_ERR_INVALID;
        fflush(stdout);
    }
    if (status < 0) printf("error %s\n", err ? err->message : quorate_status_string(status));
    quorate_service_free(service);
    quorate_free(err);
    return status < 0;
}
