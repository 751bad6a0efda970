/* Bad input from the outside: settings, addresses, directories, entries. The error says what to do, and what
 * is running goes on. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void a_wrong_setting_names_the_right_one(void) {
    quorate_error *err = NULL;
    quorate_config *config = quorate_config_new();
    CHECK_ERR(quorate_config_set(config, "lisen", "x", &err), QUORATE_ERR_NOT_FOUND, "listen");
    CHECK_ERR(quorate_config_set(config, "election_timout", "1s", &err), QUORATE_ERR_NOT_FOUND,
              "election_timeout");
    CHECK_ERR(quorate_config_set(config, "", "1s", &err), QUORATE_ERR_NOT_FOUND, "");
    static const char *const malformed[][2] = {
        {"heartbeat_timeout", "soon"}, {"heartbeat_timeout", "-1s"},    {"heartbeat_timeout", "10"},
        {"election_timeout", ""},      {"max_entry_bytes", "1 MB"},     {"max_entry_bytes", "99999999999999999999"},
        {"max_entry_bytes", "5MiB"},   {"pre_vote", "maybe"},           {"storage", "tape"},
        {"profile", "wan"},            {"max_queued_entries", "-5"},    {"listen", "nowhere"},
    };
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        CHECK_ERR(quorate_config_set(config, malformed[i][0], malformed[i][1], &err), QUORATE_ERR_INVALID,
                  malformed[i][0]);
    quorate_config_free(config);
}

static void every_default_is_a_value(void) {
    quorate_error *err = NULL;
    quorate_config *config = quorate_config_new();
    const quorate_setting *s;
    for (size_t i = 0; (s = quorate_config_setting(i)) != NULL; i++)
        CHECK_OK(quorate_config_set(config, s->key, s->default_value, &err));
    quorate_config_free(config);
}

static void timeouts_that_do_not_fit_are_refused(void) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    char dir[256];
    counter c = {0};
    quorate_state_machine machine = counter_machine(&c);
    quorate_config *config = new_config(&machine, new_dir(dir, sizeof dir), "127.0.0.1:0");
    CHECK_OK(quorate_config_set(config, "heartbeat_timeout", "1s", &err));
    CHECK_OK(quorate_config_set(config, "election_timeout", "2s", &err));
    CHECK_ERR(quorate_service_start(config, &service, &err), QUORATE_ERR_INVALID, "election_timeout");
    CHECK_EQ(c.dropped, 1);
    quorate_config_free(config);
}

/* Starts a service that must not start. */
static void refused(const char *dir, const char *listen, quorate_status expected, const char *text) {
    quorate_error *err = NULL;
    quorate_service *service = NULL;
    counter c = {0};
    quorate_state_machine machine = counter_machine(&c);
    quorate_config *config = new_config(&machine, dir, listen);
    CHECK_ERR(quorate_service_start(config, &service, &err), expected, text);
    CHECK(service == NULL);
    CHECK_EQ(c.dropped, 1);
    quorate_config_free(config);
}

static void an_address_in_use_is_named(void) {
    char dir[256], other[256];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    const char *address = info_of(service).address;
    refused(new_dir(other, sizeof other), address, QUORATE_ERR_ADDRESS_IN_USE, address);
    propose_wait(service, "goes on");
    quorate_service_free(service);
}

static void a_directory_in_use_is_locked(void) {
    char dir[256];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    refused(dir, "127.0.0.1:0", QUORATE_ERR_LOCKED, dir);
    propose_wait(service, "goes on");
    quorate_service_free(service);
    service = start(&c, dir, "127.0.0.1:0");
    quorate_service_free(service);
}

/* Root may write everywhere, so what can't be a directory stands for what can't be written. */
static void an_unwritable_directory_is_named(void) {
    char dir[256], file[300], below[320];
    new_dir(dir, sizeof dir);
    snprintf(file, sizeof file, "%s/file", dir);
    snprintf(below, sizeof below, "%s/data", file);
    FILE *f = fopen(file, "w");
    CHECK(f != NULL);
    fclose(f);
    refused(file, "127.0.0.1:0", QUORATE_ERR_IO, file);
    refused(below, "127.0.0.1:0", QUORATE_ERR_IO, below);
    refused("/proc/quorate-test", "127.0.0.1:0", QUORATE_ERR_IO, "/proc/quorate-test");
    if (geteuid() != 0) {
        CHECK_EQ(chmod(dir, 0500), 0);
        snprintf(below, sizeof below, "%s/data", dir);
        refused(below, "127.0.0.1:0", QUORATE_ERR_IO, below);
        CHECK_EQ(chmod(dir, 0700), 0);
    }
}

static quorate_status start_on_store(const char *dir, const char *storage, quorate_service **out,
                                     quorate_error **err) {
    counter c = {0};
    quorate_state_machine machine = counter_machine(&c);
    quorate_config *config = new_config(&machine, dir, "127.0.0.1:0");
    CHECK_EQ(quorate_config_set(config, "storage", storage, err), QUORATE_OK);
    quorate_status status = quorate_service_start(config, out, err);
    quorate_config_free(config);
    if (status >= 0) quorate_service_free(*out); /* the counter does not outlive this */
    return status;
}

static void a_directory_of_the_other_store_is_refused(void) {
    static const char *const stores[] = {"wal", "sled"};
    for (int i = 0; i < 2; i++) {
        quorate_error *err = NULL;
        quorate_service *service = NULL;
        char dir[256], advice[64];
        CHECK_OK(start_on_store(new_dir(dir, sizeof dir), stores[i], &service, &err));
        snprintf(advice, sizeof advice, "Set storage=%s", stores[i]);
        service = NULL;
        CHECK_ERR(start_on_store(dir, stores[1 - i], &service, &err), QUORATE_ERR_INVALID, advice);
        CHECK(service == NULL);
        CHECK_OK(start_on_store(dir, stores[i], &service, &err)); /* nothing was touched */
    }
}

static void entries_that_are_too_large_or_reserved_are_refused(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    size_t largest = 1 << 20;
    char *data = calloc(1, largest + 1);
    quorate_entry entry = QUORATE_ENTRY_INIT;
    entry.data.data = data;
    entry.data.len = largest;
    CHECK_OK(quorate_service_propose_wait(service, &entry, 60000, NULL, &err));
    entry.data.len = largest + 1;
    CHECK_ERR(quorate_service_propose_wait(service, &entry, 1, NULL, &err), QUORATE_ERR_TOO_LARGE,
              "max_entry_bytes");
    /* More than may ever be under way: busy would mean that it has a chance later. */
    quorate_queue *queue = quorate_queue_new();
    quorate_request request = QUORATE_REQUEST_INIT;
    request.entry.data.data = data;
    request.entry.data.len = (size_t)65 << 20; /* it is refused by its length, and not read */
    CHECK_ERR(quorate_service_submit(service, queue, &request, 1, &err), QUORATE_ERR_TOO_LARGE, "max_entry_bytes");
    quorate_queue_free(queue);
    static const int32_t reserved[] = {QUORATE_ENTRY_MEMBERSHIP_CHANGE, QUORATE_ENTRY_WEB_HOOK_CHANGE, -16,
                                       INT32_MIN};
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        entry = entry_of("x");
        entry.type = reserved[i];
        CHECK_ERR(quorate_service_propose(service, &entry, 1, NULL, NULL, &err), QUORATE_ERR_INVALID, "reserved");
    }
    entry = entry_of("x");
    entry.type = INT32_MAX;
    CHECK_OK(quorate_service_propose_wait(service, &entry, 30000, NULL, &err));
    CHECK_EQ(c.last_type, INT32_MAX);
    quorate_bytes *tags = calloc(32767, sizeof *tags);
    entry.tags = tags;
    entry.tags_len = 32767; /* as many as fit, all empty: 2 bytes each */
    CHECK_OK(quorate_service_propose_wait(service, &entry, 30000, NULL, &err));
    CHECK_EQ(c.last_tags, 32767);
    tags[0].data = data;
    tags[0].len = 70000;
    entry.tags_len = 1;
    CHECK_ERR(quorate_service_propose(service, &entry, 1, NULL, NULL, &err), QUORATE_ERR_TOO_LARGE, "tags");
    propose_wait(service, "goes on");
    free(tags);
    free(data);
    quorate_service_free(service);
}

static void an_empty_entry_is_one(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    quorate_entry entry = QUORATE_ENTRY_INIT;
    quorate_result *result = NULL;
    CHECK_OK(quorate_service_propose_wait(service, &entry, 30000, &result, &err));
    CHECK(result->data.data != NULL && result->data.len == 0);
    quorate_free(result);
    quorate_service_free(service);
    CHECK_EQ(c.entries, 1);
}

static void addresses_that_are_none_are_refused(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    CHECK_ERR(quorate_service_add_node(service, "127.0.0.1:1", 30000, &err), QUORATE_ERR_NO_CLUSTER, "");
    CHECK_ERR(quorate_service_remove_node(service, 5, 30000, &err), QUORATE_ERR_NO_CLUSTER, "");
    CHECK_ERR(quorate_service_initialize_cluster(service, "here", 30000, &err), QUORATE_ERR_INVALID, "here");
    CHECK_ERR(quorate_service_initialize_cluster(service, "127.0.0.1:1", 30000, &err), QUORATE_ERR_UNREACHABLE,
              "127.0.0.1:1");
    CHECK_OK(quorate_service_initialize_cluster(service, info_of(service).address, 30000, &err));
    CHECK_ERR(quorate_service_initialize_cluster(service, info_of(service).address, 30000, &err),
              QUORATE_ERR_ALREADY_MEMBER, "");
    CHECK_ERR(quorate_service_add_node(service, "", 30000, &err), QUORATE_ERR_INVALID, "");
    CHECK_ERR(quorate_service_add_node(service, "127.0.0.1:1", 30000, &err), QUORATE_ERR_UNREACHABLE,
              "127.0.0.1:1");
    CHECK_ERR(quorate_service_remove_node(service, info_of(service).my_id, 30000, &err), QUORATE_ERR_INVALID,
              "last voter");
    propose_wait(service, "goes on");
    quorate_service_free(service);
}

/* Whoever connects and talks nonsense, or says nothing and goes, does no harm. */
static void garbage_on_the_port_is_ignored(void) {
    char dir[256], noise[4096];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "127.0.0.1:0");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    to.sin_port = htons((uint16_t)atoi(strrchr(info_of(service).address, ':') + 1));
    memset(noise, 0xa5, sizeof noise);
    for (int i = 0; i < 20; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(fd >= 0);
        CHECK_EQ(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
        if (i % 2) CHECK(send(fd, noise, sizeof noise, MSG_NOSIGNAL) != 0);
        if (i % 4 == 1) CHECK(recv(fd, noise, 1, 0) <= 0); /* it hangs up on us */
        close(fd);
    }
    propose_wait(service, "goes on");
    quorate_service_free(service);
}

static void without_a_listener_a_service_is_alone(void) {
    quorate_error *err = NULL;
    char dir[256];
    counter c = {0};
    quorate_service *service = start(&c, new_dir(dir, sizeof dir), "");
    CHECK(info_of(service).address == NULL);
    CHECK_ERR(quorate_service_initialize_cluster(service, "127.0.0.1:7000", 30000, &err), QUORATE_ERR_INVALID,
              "listen");
    propose_wait(service, "alone");
    quorate_service_free(service);
}

int main(void) {
    RUN(a_wrong_setting_names_the_right_one);
    RUN(every_default_is_a_value);
    RUN(timeouts_that_do_not_fit_are_refused);
    RUN(an_address_in_use_is_named);
    RUN(a_directory_in_use_is_locked);
    RUN(an_unwritable_directory_is_named);
    RUN(a_directory_of_the_other_store_is_refused);
    RUN(entries_that_are_too_large_or_reserved_are_refused);
    RUN(an_empty_entry_is_one);
    RUN(addresses_that_are_none_are_refused);
    RUN(garbage_on_the_port_is_ignored);
    RUN(without_a_listener_a_service_is_alone);
    return check_end("input");
}
