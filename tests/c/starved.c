/* A process that can start no more threads, or whose disk stands still: what can't wait for that goes on, or ends
 * with an error, and no service fails. */
#include "check.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>

static int none_left, refused;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int stands_still, syncs;

/* Comes before that of the C library, for the library under test too. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (counted(&none_left)) {
        __atomic_add_fetch(&refused, 1, __ATOMIC_SEQ_CST);
        return EAGAIN;
    }
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attributes, run, argument);
}

int fdatasync(int file) {
    static int (*real)(int);
    pthread_mutex_lock(&lock);
    syncs++;
    while (stands_still) pthread_cond_wait(&changed, &lock);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
    pthread_mutex_unlock(&lock);
    return real(file);
}

static int still(int on) {
    pthread_mutex_lock(&lock);
    stands_still = on;
    pthread_cond_broadcast(&changed);
    int n = syncs;
    pthread_mutex_unlock(&lock);
    return n;
}

static void a_service_fails_to_start_with_an_error(void) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    char dir[256];
    counter c = {0};
    quorate_state_machine machine = counter_machine(&c);
    quorate_config *config = new_config(&machine, new_dir(dir, sizeof dir), "127.0.0.1:0");
    none_left = 1;
    CHECK_ERR(quorate_service_start(config, &service, &err), QUORATE_ERR_IO, "thread");
    none_left = 0;
    CHECK(service == NULL);
    quorate_config_free(config);
    CHECK_EQ(c.dropped, 1);
}

/* A learner needs entries that are read from the disk again, which has a thread of its own otherwise. */
static void old_entries_are_read_all_the_same(void) {
    quorate_error *err = NULL;
    char dirs[2][256];
    counter c[2] = {{0}, {0}};
    quorate_service *one = start(&c[0], new_dir(dirs[0], sizeof dirs[0]), "127.0.0.1:0");
    quorate_service *two = start(&c[1], new_dir(dirs[1], sizeof dirs[1]), "127.0.0.1:0");
    static char large[1000000];
    quorate_entry entry = QUORATE_ENTRY_INIT;
    entry.data = (quorate_bytes){large, sizeof large};
    for (int i = 0; i < 60; i++) CHECK_OK(quorate_service_propose_wait(one, &entry, 30000, NULL, &err));
    CHECK_OK(quorate_service_initialize_cluster(one, info_of(one).address, 30000, &err));
    __atomic_store_n(&none_left, 1, __ATOMIC_SEQ_CST);
    CHECK_OK(quorate_service_add_node(one, info_of(two).address, 60000, &err));
    CHECK(counted(&refused) > 0);
    propose_wait(one, "x");
    __atomic_store_n(&none_left, 0, __ATOMIC_SEQ_CST);
    CHECK_EQ(info_of(one).failure, 0);
    quorate_service_free(one);
    quorate_service_free(two);
}

/* A small write of a fast disk is carried out on the loop, which then can tell nobody that the time is over. */
static void a_call_ends_in_time_while_the_disk_stands_still(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    for (int i = 0; i < 50; i++) propose_wait(service, "fast");
    int before = still(1);
    quorate_entry entry = entry_of("late");
    CHECK_ERR(quorate_service_propose_wait(service, &entry, 200, NULL, &err), QUORATE_ERR_TIMEOUT, "time is over");
    CHECK(still(0) > before); /* and it did stand still meanwhile */
    propose_wait(service, "goes on");
    CHECK_EQ(counted(&c.entries), 52);
    quorate_service_free(service);
}

int main(void) {
    RUN(a_service_fails_to_start_with_an_error);
    RUN(old_entries_are_read_all_the_same);
    RUN(a_call_ends_in_time_while_the_disk_stands_still);
    return check_end("starved");
}
