/* The node program of canonical's C raft, over libraft's own disk and network (raft_uv); node.h of the
 * benchmark tells what it is told. One thread runs the library's loop and the load in it.
 *
 * usage: node DIR HOST:PORT NUMBER [nodelay] [batch]
 *
 * A change is proposed by a raft_apply of its own, with its own callback and result; with `batch` all that
 * came back in one turn of the loop go out in one raft_apply, which calls back for the first of them only.
 *
 * The library leaves Nagle's algorithm on. `nodelay` turns it off on each connection as it is made: the stock
 * transport's `connect` is wrapped, nothing else is changed. Each node sends on connections of its own, so
 * the accepting side has nothing to set. */
#include "node.h"
#include <raft.h>
#include <raft/uv.h>

enum { MANY = 4096, NODES = 3, ELECTION_MS = 1000, TICK_MS = 5 };

typedef struct {
    uint64_t ops, started[MANY]; /* a ring: changes are applied in the order in which they were proposed */
    uint64_t head, tail, begin, end;
    size_t clients, payload, due;
    latencies *spread;
} load_job;

typedef struct {
    uv_loop_t loop;
    struct raft_uv_transport transport;
    struct raft_io io;
    struct raft_fsm fsm;
    struct raft raft;
    uv_pipe_t input;
    uv_timer_t timer;
    uv_check_t after_io;
    struct raft_change change;
    char address[64], addresses[NODES][64], line[4096];
    unsigned number, joined;
    int nodelay, batch;
    size_t line_len;
    uint64_t applied;
    load_job load;
} node;

static node self;
static int (*stock_connect)(struct raft_uv_transport *, struct raft_uv_connect *, raft_id, const char *,
                            raft_uv_connect_cb);
static raft_uv_connect_cb connected;

static void fail(const char *what, const char *why) {
    printf("error %s: %s\n", what, why);
    fflush(stdout);
    exit(1);
}

static void need(int status, const char *what) {
    if (status != 0) fail(what, self.raft.errmsg[0] ? raft_errmsg(&self.raft) : raft_strerror(status));
}

/* ---- TCP_NODELAY ------------------------------------------------------------------------------------ */

static void on_connected(struct raft_uv_connect *request, struct uv_stream_s *stream, int status) {
    if (status == 0) need(uv_tcp_nodelay((uv_tcp_t *)stream, 1), "TCP_NODELAY");
    connected(request, stream, status);
}

static int connect_nodelay(struct raft_uv_transport *t, struct raft_uv_connect *request, raft_id id,
                           const char *address, raft_uv_connect_cb then) {
    connected = then; /* the library has one, for every connection */
    return stock_connect(t, request, id, address, on_connected);
}

/* ---- The load ----------------------------------------------------------------------------------------- */

static void on_applied(struct raft_apply *request, int status, void *result) {
    (void)result;
    need(status, "apply");
    free(request);
}

/* Proposes n changes in one request. The library frees the buffers. */
static void propose(load_job *job, unsigned n) {
    struct raft_buffer buffers[MANY];
    struct raft_apply *request = malloc(sizeof *request);
    uint64_t now = now_ns();
    for (unsigned i = 0; i < n; i++) {
        buffers[i] = (struct raft_buffer){raft_malloc(job->payload), job->payload};
        if (!request || !buffers[i].base) fail("load", "out of memory");
        memset(buffers[i].base, 'x', job->payload);
        job->started[job->head++ % MANY] = now;
    }
    need(raft_apply(&self.raft, request, buffers, n, on_applied), "apply");
}

/* Proposes for all clients that are ready. */
static void propose_due(load_job *job) {
    size_t due = job->due;
    job->due = 0; /* first, because a call may apply at once */
    if (self.batch) return propose(job, (unsigned)due);
    while (due-- > 0) propose(job, 1);
}

/* The state machine: counts, which is the reply as well, and ends the wait of whoever proposed. */
static int apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result) {
    load_job *job = &self.load;
    (void)fsm, (void)buf;
    self.applied++;
    *result = &self.applied;
    if (job->tail == job->head) return 0; /* a follower */
    uint64_t now = now_ns();
    latencies_add(job->spread, now - job->started[job->tail++ % MANY]);
    if (now < job->end) job->due++;
    return 0;
}

/* After the callbacks of a turn of the loop: what came back goes out again, and the last one reports. */
static void on_after_io(uv_check_t *check) {
    load_job *job = &self.load;
    (void)check;
    if (job->due > 0) return propose_due(job);
    if (!job->spread || job->tail != job->head) return;
    latencies_print(job->spread, (double)(now_ns() - job->begin) * 1e-9);
    free(job->spread);
    job->spread = NULL;
}

static void load(const char *rest) {
    load_job *job = &self.load;
    double seconds = 0;
    if (sscanf(rest, "%lf %zu %zu", &seconds, &job->clients, &job->payload) != 3 || job->clients > MANY)
        fail("load", "SECONDS CLIENTS PAYLOAD are expected");
    job->spread = calloc(1, sizeof *job->spread);
    if (!job->spread) fail("load", "out of memory");
    job->begin = now_ns();
    job->end = job->begin + (uint64_t)(seconds * 1e9);
    job->due = job->clients;
    propose_due(job);
}

/* ---- The cluster -------------------------------------------------------------------------------------- */

static void add_next(void);

static void on_voter(struct raft_change *change, int status) {
    (void)change;
    need(status, "assign");
    add_next();
}

static void on_added(struct raft_change *change, int status) {
    need(status, "add");
    need(raft_assign(&self.raft, change, self.joined, RAFT_VOTER, on_voter), "assign");
}

static void add_next(void) {
    if (self.joined == NODES) {
        printf("cluster\n");
        fflush(stdout);
        return;
    }
    self.joined++;
    const char *address = self.addresses[self.joined - 1];
    need(raft_add(&self.raft, &self.change, self.joined, address, on_added), "add");
}

static void on_tick(uv_timer_t *timer) {
    if (raft_state(&self.raft) != RAFT_LEADER) return;
    uv_timer_stop(timer);
    add_next();
}

/* A cluster of one leads at once; then the others are added, one by one. */
static void form(const char *rest) {
    struct raft_configuration alone;
    if (sscanf(rest, "%63s %63s %63s", self.addresses[0], self.addresses[1], self.addresses[2]) != NODES)
        fail("cluster", "three addresses are expected");
    raft_configuration_init(&alone);
    need(raft_configuration_add(&alone, self.number, self.address, RAFT_VOTER), "configuration");
    need(raft_bootstrap(&self.raft, &alone), "bootstrap");
    raft_configuration_close(&alone);
    need(raft_start(&self.raft), "start");
    self.joined = 1;
    need(uv_timer_start(&self.timer, on_tick, TICK_MS, TICK_MS), "timer");
}

/* ---- Lines ---------------------------------------------------------------------------------------------- */

static void run(char *line) {
    char *rest = strchr(line, ' ');
    if (rest) *rest++ = '\0';
    if (!strcmp(line, "quit")) exit(0); /* what is on the disk is on the disk */
    if (!strcmp(line, "cluster") && rest) form(rest);
    else if (!strcmp(line, "load") && rest) load(rest);
    else fail(line, "unknown");
}

static void give_room(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
    (void)handle, (void)size;
    *buf = uv_buf_init(self.line + self.line_len, (unsigned)(sizeof self.line - self.line_len));
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    (void)stream, (void)buf;
    if (n < 0) exit(0);
    self.line_len += (size_t)n;
    for (char *end; (end = memchr(self.line, '\n', self.line_len));) {
        *end = '\0';
        run(self.line);
        self.line_len -= (size_t)(end + 1 - self.line);
        memmove(self.line, end + 1, self.line_len);
    }
}

/* ---- Start ---------------------------------------------------------------------------------------------- */

static void listen_to_input(void) {
    need(uv_pipe_init(&self.loop, &self.input, 0), "input");
    need(uv_pipe_open(&self.input, 0), "input");
    need(uv_read_start((uv_stream_t *)&self.input, give_room, on_input), "input");
    need(uv_timer_init(&self.loop, &self.timer), "timer");
    need(uv_check_init(&self.loop, &self.after_io), "check");
    need(uv_check_start(&self.after_io, on_after_io), "check");
}

/* Snapshots are off: nobody reaches the threshold. */
static void set_up(const char *dir) {
    need(uv_loop_init(&self.loop), "loop");
    need(raft_uv_tcp_init(&self.transport, &self.loop), "transport");
    stock_connect = self.transport.connect;
    if (self.nodelay) self.transport.connect = connect_nodelay;
    need(raft_uv_init(&self.io, &self.loop, dir, &self.transport), "directory");
    raft_uv_set_connect_retry_delay(&self.io, 20);
    self.fsm = (struct raft_fsm){.version = 1, .apply = apply};
    need(raft_init(&self.raft, &self.io, &self.fsm, self.number, self.address), "init");
    raft_set_election_timeout(&self.raft, ELECTION_MS);
    raft_set_heartbeat_timeout(&self.raft, ELECTION_MS / 10);
    raft_set_snapshot_threshold(&self.raft, 1u << 31);
    raft_set_pre_vote(&self.raft, true);
}

int main(int argc, char **argv) {
    if (argc < 4) return fprintf(stderr, "usage: node DIR HOST:PORT NUMBER [nodelay] [batch]\n"), 2;
    snprintf(self.address, sizeof self.address, "%s", argv[2]);
    self.number = (unsigned)atoi(argv[3]);
    for (int i = 4; i < argc; i++) {
        self.nodelay |= !strcmp(argv[i], "nodelay");
        self.batch |= !strcmp(argv[i], "batch");
    }
    set_up(argv[1]);
    if (self.number != 1) need(raft_start(&self.raft), "start");
    listen_to_input();
    printf("ready\n");
    fflush(stdout);
    return uv_run(&self.loop, UV_RUN_DEFAULT);
}
