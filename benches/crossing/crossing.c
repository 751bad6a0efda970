/* The crossing from C: batches through quorate_service_submit and a completion queue.
 * usage: crossing BATCH SECONDS PAYLOAD      prints one line of JSON, see run.py */
#include "quorate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SOME 256

static void insist(int fact, const char *what) {
    if (fact) return;
    fprintf(stderr, "crossing: %s\n", what);
    exit(1);
}

/* The reply to a change is how many there have been, in 8 bytes. */
static quorate_status commit(void *ctx, const quorate_entry *entries, size_t n, quorate_output *replies,
                             quorate_error **err) {
    uint64_t *count = ctx, values[SOME];
    quorate_bytes items[SOME];
    (void)entries, (void)err;
    for (size_t first = 0, some; first < n; first += some) {
        some = n - first < SOME ? n - first : SOME;
        for (size_t i = 0; i < some; i++) {
            values[i] = ++*count;
            items[i] = (quorate_bytes){&values[i], sizeof values[i]};
        }
        quorate_status status = quorate_output_set(replies, first, items, some);
        if (status < 0) return status;
    }
    return QUORATE_OK;
}

static quorate_service *start(uint64_t *count) {
    quorate_state_machine machine = QUORATE_STATE_MACHINE_INIT;
    machine.ctx = count;
    machine.commit = commit;
    quorate_config *config = quorate_config_new();
    quorate_service *service = NULL;
    insist(quorate_config_set(config, "storage", "memory", NULL) == QUORATE_OK, "no setting storage");
    insist(quorate_config_state_machine(config, &machine, NULL) == QUORATE_OK, "no state machine");
    insist(quorate_service_start(config, &service, NULL) == QUORATE_OK, "it does not start");
    quorate_config_free(config);
    return service;
}

typedef struct caller {
    quorate_service *service;
    quorate_queue *queue;
    quorate_bytes payload;
    size_t batch;
    quorate_request *requests;
    quorate_completion *done;
    uint64_t sent;
} caller;

/* One batch: in by one call, and out. */
static void round_trip(caller *c) {
    for (size_t i = 0; i < c->batch; i++) {
        c->requests[i] = (quorate_request)QUORATE_REQUEST_INIT;
        c->requests[i].token = ++c->sent;
        c->requests[i].entry.data = c->payload;
    }
    quorate_status taken = quorate_service_submit(c->service, c->queue, c->requests, c->batch, NULL);
    insist(taken == (quorate_status)c->batch, "not all were taken");
    for (size_t left = c->batch; left > 0;) {
        quorate_status n = quorate_queue_poll(c->queue, c->done, c->batch, -1);
        for (quorate_status i = 0; i < n; i++) {
            uint64_t reply = 0;
            insist(c->done[i].status == QUORATE_OK && c->done[i].data.len == sizeof reply, "no reply");
            memcpy(&reply, c->done[i].data.data, sizeof reply);
            insist(reply == c->done[i].token, "a wrong reply");
        }
        left -= (size_t)n;
    }
}

static uint64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void run_for(caller *c, double seconds) {
    uint64_t end = now(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
    while (now(CLOCK_MONOTONIC) < end) round_trip(c);
}

int main(int argc, char **argv) {
    insist(argc == 4, "usage: crossing BATCH SECONDS PAYLOAD");
    size_t batch = (size_t)atoi(argv[1]), len = (size_t)atoi(argv[3]);
    double seconds = atof(argv[2]);
    uint64_t count = 0;
    caller c = {start(&count), quorate_queue_new(), {calloc(len, 1), len}, batch,
                calloc(batch, sizeof *c.requests), calloc(batch, sizeof *c.done), 0};
    run_for(&c, seconds / 5);
    uint64_t entries = c.sent, wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    run_for(&c, seconds);
    wall = now(CLOCK_MONOTONIC) - wall, cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("{\"entries\": %llu, \"wall_ns\": %llu, \"cpu_ns\": %llu}\n", (unsigned long long)(c.sent - entries),
           (unsigned long long)wall, (unsigned long long)cpu);
    quorate_service_free(c.service);
    quorate_queue_free(c.queue);
    free((void *)c.payload.data), free(c.requests), free(c.done);
    return 0;
}
