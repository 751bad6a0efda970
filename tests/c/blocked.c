/* A store whose sync blocks for ten seconds, ten times as long as it takes to elect a leader: a slow disk is no
 * dead node, and the cluster goes on: a leader hands over, a follower is waited for. A leader's and a follower's
 * at the same time, each in its own cluster. */
#include "store.h"
#include <time.h>

enum { MEMBERS = 3, BLOCKED_MS = 10000 };

typedef struct {
    disk *d[MEMBERS];
    counter c[MEMBERS];
    quorate_service *service[MEMBERS];
    int blocked, writer;
    int blocks; /* how often */
} cluster;

static cluster *all[2];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static disk *shut[2]; /* whose sync blocks */

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void block(disk *d, int hook) {
    if (hook != SYNC) return;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < 2; i++) {
        if (shut[i] == d) all[i]->blocks++;
        pthread_cond_broadcast(&changed);
        while (shut[i] == d) pthread_cond_wait(&changed, &lock);
    }
    pthread_mutex_unlock(&lock);
}

static void set_shut(int i, disk *to) {
    pthread_mutex_lock(&lock);
    shut[i] = to;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void until_blocked(int i) {
    pthread_mutex_lock(&lock);
    while (!all[i]->blocks) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* The first member leads. */
static cluster *new_cluster(int i, int blocked, int writer) {
    quorate_error *err = NULL;
    cluster *it = calloc(1, sizeof *it);
    CHECK(it != NULL);
    it->blocked = blocked, it->writer = writer;
    all[i] = it;
    for (int n = 0; n < MEMBERS; n++) {
        it->d[n] = new_disk();
        it->d[n]->before = block;
        quorate_config *config = config_on(&it->c[n], it->d[n]);
        CHECK_OK(quorate_config_set(config, "listen", "127.0.0.1:0", &err));
        CHECK_OK(quorate_service_start(config, &it->service[n], &err));
        quorate_config_free(config);
    }
    CHECK_OK(quorate_service_initialize_cluster(it->service[0], info_of(it->service[0]).address, 60000, &err));
    for (int n = 1; n < MEMBERS; n++)
        CHECK_OK(quorate_service_add_node(it->service[0], info_of(it->service[n]).address, 60000, &err));
    return it;
}

static void all_have(cluster *it, int entries) {
    quorate_error *err = NULL;
    for (int n = 0; n < MEMBERS; n++) {
        CHECK_OK(quorate_service_read_barrier(it->service[n], QUORATE_READ_LINEARIZABLE, 60000, &err));
        CHECK_EQ(counted(&it->c[n].entries), entries);
    }
}

static void *others_go_on(void *number) {
    int i = *(int *)number, written = 0;
    cluster *it = all[i];
    uint64_t term = info_of(it->service[0]).current_term;
    quorate_service *slow = it->service[it->blocked];
    long begun = now_ms();
    set_shut(i, it->d[it->blocked]);
    do {
        quorate_entry entry = entry_of("a majority has it");
        quorate_status done = quorate_service_propose_wait(it->service[it->writer], &entry, 60000, NULL, NULL);
        CHECK(done >= 0 || done == QUORATE_ERR_LOST); /* while it hands over */
        written += done >= 0;
        until_blocked(i);
        nanosleep(&(struct timespec){0, 50000000}, NULL); /* ten seconds are what is tried */
    } while (now_ms() - begun < BLOCKED_MS);
    quorate_error *err = NULL;
    quorate_entry late = entry_of("late");
    CHECK_ERR(quorate_service_propose_wait(slow, &late, 50, NULL, &err), QUORATE_ERR_TIMEOUT, "");
    CHECK(counted(&it->c[it->blocked].entries) < written); /* nothing is applied that is not durable */
    CHECK_EQ(it->blocks, 1);
    set_shut(i, NULL);
    quorate_info now = info_of(it->service[it->writer]);
    CHECK_EQ(now.current_term > term, it->blocked == 0); /* a blocked leader hands over, nobody else is replaced */
    CHECK(now.leader_id != info_of(slow).my_id);
    all_have(it, written + 1); /* the late one was under way */
    return NULL;
}

static void a_store_that_blocks_for_ten_seconds_stops_nobody(void) {
    pthread_t threads[2];
    int numbers[2] = {0, 1};
    new_cluster(0, 0, 1); /* the leader's */
    new_cluster(1, 2, 0); /* a follower's */
    for (int i = 0; i < 2; i++) CHECK_EQ(pthread_create(&threads[i], NULL, others_go_on, &numbers[i]), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
        for (int n = 0; n < MEMBERS; n++) quorate_service_free(all[i]->service[n]);
        for (int n = 0; n < MEMBERS; n++) free_disk(all[i]->d[n]);
        free(all[i]);
    }
}

int main(void) {
    RUN(a_store_that_blocks_for_ten_seconds_stops_nobody);
    return check_end("blocked");
}
