/*
 * quorate.h - the C interface of quorate, an embeddable Raft library.
 *
 * A program hands the library a state machine and gets a replicated, ordered, durable log of
 * changes. The running instance is a service. It starts Standalone and takes proposals alone;
 * quorate_service_initialize_cluster makes it a cluster of one, quorate_service_add_node adds
 * others.
 *
 *     quorate_config *config = quorate_config_new();
 *     quorate_config_set(config, "data_dir", "./data", &err);
 *     quorate_config_set(config, "listen", "127.0.0.1:7001", &err);
 *     quorate_config_state_machine(config, &machine, &err);
 *     quorate_service_start(config, &service, &err);
 *     quorate_service_initialize_cluster(service, "127.0.0.1:7001", QUORATE_FOREVER, &err);
 *     quorate_service_propose_wait(service, &entry, 5000, &result, &err);
 *
 * OWNERSHIP
 *   1. Handles (quorate_config, _queue, _service, _tracker) are opaque. They are numbers in the
 *      guise of pointers, looked up and never followed. Free each once with its own _free; NULL
 *      is fine there, and a second free does nothing.
 *   2. Results (quorate_error, _result, _node_list, _protocol_status and text returned as char *)
 *      are allocated by the library, read-only, and freed whole with quorate_free; NULL is fine
 *      there.
 *   3. Pointers passed in are borrowed for the call and copied if kept. Pointers passed to a
 *      callback are valid until it returns.
 *   4. A hook's ctx belongs to the library from the moment it is given, also when that call
 *      fails. drop(ctx) runs exactly once, after the last other callback of that hook has
 *      returned. (Only a table whose struct_size is too small to hold `drop` leaves ctx with you.)
 *
 * ERRORS
 *   A call that can fail returns a quorate_status: 0 or a count when it is done, negative
 *   otherwise. Out-parameters are written only on success and may be NULL where the comment does
 *   not say "must". The last parameter `quorate_error **err` may be NULL; on failure it receives
 *   the details. Start with `quorate_error *err = NULL` and free it after each failure. Nothing is
 *   kept per thread. A handle that is NULL or of another type gives QUORATE_ERR_INVALID, one that
 *   was freed QUORATE_ERR_CLOSED; where no status is returned, NULL or 0.
 *   The thousands of a status say what happened: definitely not done, unknown, or fatal; see
 *   quorate_status_outcome. A code that is newer than your program falls in the right class too.
 *
 * THREADS
 *   Any function may be called from any thread, also at the same time on one handle, except:
 *   quorate_queue_poll (one thread at a time per queue) and _free (the last use of its handle).
 *   What takes `timeout_ms` blocks (quorate_tracker_notify does not), and so do
 *   quorate_tracker_wait, quorate_service_start, _close and _free.
 *
 * CALLBACKS
 *   Those of a state machine run on one thread, quorate-apply, those of a storage on quorate-log,
 *   those of a transport on quorate-loop, one call at a time; `drop` runs there too, or on the
 *   thread whose call ends the hook's life. A logger is called from all of them, and from the
 *   thread that is in quorate_service_start. A slow callback delays its own queue, nothing else.
 *   Inside a callback every blocking function returns QUORATE_ERR_IN_CALLBACK at once, and _free
 *   of a service frees nothing: call it again elsewhere. All others may be called. A callback must
 *   not throw, longjmp or exit its thread. It fails by returning any negative status; `err` is
 *   never NULL there, and may be given an error of quorate_error_new, which the library then owns.
 *
 * SIGNALS, FORK, PROCESS
 *   The library's threads block all asynchronous signals, SIGPIPE never reaches the host, and no
 *   signal handler or atexit function is used. Nothing is written to an output stream but, if
 *   ever, the message of a panic, to stderr. After fork() the child has none of the threads: there
 *   every call that needs the library returns QUORATE_ERR_FORKED (or NULL, 0) and leaves `err`
 *   alone, and every free does nothing; the parent is not disturbed. The library never aborts the
 *   host: a panic inside it is caught, and fails that one call or service.
 *
 * BINARY COMPATIBILITY
 *   Structures are of three kinds. Arguments start with struct_size, set by their _INIT macro, and
 *   grow at the end; the library takes any size from the first one on, and a larger one if the
 *   rest is zero (in an argument that it fills, it leaves the rest alone). Results grow at the end.
 *   Structures that stand in arrays keep their size; what is `reserved` in them is 0. Enumerations
 *   cross as int32_t, so that an unknown number is an error and not undefined behaviour.
 *
 * Text is UTF-8. Keys, addresses and paths end with NUL; everything else is pointer and length, and
 * in results and completions a NUL that is not counted follows the bytes.
 * Times are in milliseconds unless a name says otherwise. Indexes start at 1; 0 means none.
 */
#ifndef QUORATE_H
#define QUORATE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- 1. Version ------------------------------------------------------------------------------ */

#define QUORATE_VERSION_MAJOR 0
#define QUORATE_VERSION_MINOR 1
#define QUORATE_VERSION_PATCH 0
/// Changes only when programs must be compiled anew.
#define QUORATE_ABI_VERSION 1

/// The version of the library at run time, such as "0.1.0". Static. Since: 0.1
const char *quorate_version(void);

/// Compare it with QUORATE_ABI_VERSION before anything else; bindings do. Since: 0.1
uint32_t quorate_abi_version(void);

/* ---- 2. Status ------------------------------------------------------------------------------- */

typedef int32_t quorate_status;

#define QUORATE_OK 0

/* -1 .. -999: DEFINITELY NOT DONE, now or later. Trying again is safe. */

/// An argument is NULL, malformed, out of range or reserved; the message names it.
#define QUORATE_ERR_INVALID (-1)
/// The entry exceeds max_entry_bytes, or a list exceeds its documented length.
#define QUORATE_ERR_TOO_LARGE (-2)
/// A blocking function was called from a callback.
#define QUORATE_ERR_IN_CALLBACK (-3)
/// Called in a child process after fork().
#define QUORATE_ERR_FORKED (-4)
/// The service, queue or tracker was closed, or the handle freed, before the call.
#define QUORATE_ERR_CLOSED (-5)
/// This build, store or state machine does not have it.
#define QUORATE_ERR_UNSUPPORTED (-6)
/// No such setting or node.
#define QUORATE_ERR_NOT_FOUND (-7)
/// No leader is known, or forwarding is off; see quorate_error.leader.
#define QUORATE_ERR_NOT_LEADER (-10)
/// A bounded queue is full. Wait for completions, then try again.
#define QUORATE_ERR_BUSY (-11)
/// The disk of the leader is full.
#define QUORATE_ERR_DISK_FULL (-15)
/// The change was handed to a leader that lost its office; it is not in the log and never will be.
#define QUORATE_ERR_LOST (-16)
/// This node is in no cluster: call quorate_service_initialize_cluster first.
#define QUORATE_ERR_NO_CLUSTER (-20)
/// The node is a member already.
#define QUORATE_ERR_ALREADY_MEMBER (-21)
/// The node belongs to another cluster.
#define QUORATE_ERR_OTHER_CLUSTER (-22)
/// The node has data of its own that is not this cluster's.
#define QUORATE_ERR_HAS_DATA (-23)
/// Another change of membership is under way.
#define QUORATE_ERR_CHANGE_IN_PROGRESS (-24)
/// Nobody answers at the address, or another node than meant.
#define QUORATE_ERR_UNREACHABLE (-25)
/// The listening address is taken.
#define QUORATE_ERR_ADDRESS_IN_USE (-30)
/// A file or directory can't be made, read or written.
#define QUORATE_ERR_IO (-31)
/// Another process or service has the data directory open.
#define QUORATE_ERR_LOCKED (-32)
/// A stored record is damaged, or something is missing. Nothing was changed; the message names file
/// and offset.
#define QUORATE_ERR_CORRUPT (-33)
/// The data directory is a copy, or a file in it belongs to another one.
#define QUORATE_ERR_IDENTITY (-34)
/// The format on disk, or the peer's protocol, is not one that this version knows.
#define QUORATE_ERR_VERSION (-35)
/// The state machine is ahead of the log, behind it, or of another history.
#define QUORATE_ERR_STATE_MACHINE (-37)

/* -1000 .. -1999: UNKNOWN. The change may be in the log and may still be applied. Look before
   you repeat it. A read that ends so has had no effect. */

/// timeout_ms is over. A change of membership goes on.
#define QUORATE_ERR_TIMEOUT (-1000)
/// The leader lost its office meanwhile. Only from membership calls and reads.
#define QUORATE_ERR_LEADERSHIP_LOST (-1001)
/// The service was closed, or failed, while the request was under way.
#define QUORATE_ERR_INTERRUPTED (-1003)
/// A snapshot jumped over the change.
#define QUORATE_ERR_SKIPPED (-1004)
/// The node left its cluster while the request was under way.
#define QUORATE_ERR_LEFT_CLUSTER (-1005)

/* -2000 .. -2999: FATAL. The service failed before this call, which did nothing. It neither
   votes nor acknowledges any more (state Failed). Free it; the host lives on and may start
   another. */

/// A write or sync of the store failed.
#define QUORATE_ERR_STORAGE_FAILED (-2000)
/// A callback of the state machine failed.
#define QUORATE_ERR_STATE_MACHINE_FAILED (-2001)
/// A bug in the library; please report it.
#define QUORATE_ERR_INTERNAL (-2002)
/// A newer run, or a copy, of this node is alive.
#define QUORATE_ERR_IDENTITY_TAKEN (-2004)

/* The classes of a status. */

#define QUORATE_OUTCOME_DONE 0
#define QUORATE_OUTCOME_NOT_DONE 1
#define QUORATE_OUTCOME_UNKNOWN 2
#define QUORATE_OUTCOME_FATAL 3

/// The class of a status, QUORATE_OUTCOME_*, right also for codes that did not exist when the
/// caller was compiled. Since: 0.1
int32_t quorate_status_outcome(quorate_status status);

/// A short name such as "not leader"; "unknown status" for a number without one. Static. Since: 0.1
const char *quorate_status_string(quorate_status status);

/* ---- 3. Bytes -------------------------------------------------------------------------------- */

/// Borrowed bytes.
typedef struct quorate_bytes {
    const void *data;
    size_t len;
} quorate_bytes;

/* ---- 4. Nodes -------------------------------------------------------------------------------- */

/// A member of a cluster. Stands in arrays.
typedef struct quorate_node {
    uint64_t node_id;
    /// host:port, ends with NUL.
    const char *address;
    uint64_t reserved[2];
} quorate_node;

/// A configuration. A result: quorate_free.
typedef struct quorate_node_list {
    /// The voters; during joint consensus the old ones.
    const quorate_node *current;
    size_t current_len;
    /// The new voters; empty except during joint consensus.
    const quorate_node *next;
    size_t next_len;
    /// GetUniqueNodes: current, then those of next that are not in it.
    const quorate_node *unique;
    size_t unique_len;
    /// 0 in this version. Index of the entry that made it; 0 when Standalone. Since: 0.3
    uint64_t index;
    /// Nodes that are sent the log and do not vote, such as one that catches up.
    const quorate_node *learners;
    size_t learners_len;
} quorate_node_list;

/// The node of that id, voter or learner, inside `list`, or NULL. Since: 0.1
const quorate_node *quorate_node_list_get_node(const quorate_node_list *list, uint64_t node_id);

/// "NodeList{Current:a, b, Next:c}", with addresses alone. A result: quorate_free. Since: 0.1
char *quorate_node_list_string(const quorate_node_list *list);

/// "Node{<id in base 36>: <address>}". A result: quorate_free. Since: 0.1
char *quorate_node_string(const quorate_node *node);

/* Ids as text. */

/// Bytes that quorate_node_id_format writes at most, the NUL included.
#define QUORATE_NODE_ID_SIZE 14

/// Writes a node or cluster id in base 36, lower case, without padding, with a NUL. Since: 0.1
void quorate_node_id_format(uint64_t node_id, char *out);

/// Reads base 36. 0 for anything that is not an id, never an error. Since: 0.1
uint64_t quorate_node_id_parse(const char *text);

/* ---- 5. Results and errors ------------------------------------------------------------------- */

/// Why a call failed. A result: quorate_free.
typedef struct quorate_error {
    quorate_status status;
    /// One or more sentences: what is wrong and what to do. Ends with NUL.
    const char *message;
    /// With QUORATE_ERR_NOT_LEADER the leader as last heard of, else NULL.
    const quorate_node *leader;
} quorate_error;

/// What a proposal gave. A result: quorate_free.
typedef struct quorate_result {
    /// Where the change stands in the log.
    uint64_t index;
    uint64_t term;
    /// The state machine's reply; data is NULL when it gave none.
    quorate_bytes data;
} quorate_result;

/// Frees any result. Everything that it points to goes with it. What is no result, or was freed, is
/// left alone; but free nothing twice, for a newer result may have its address. Since: 0.1
void quorate_free(void *result);

/// Makes an error for a callback to return: `*err = quorate_error_new("disk full")`. The message is
/// copied. Since: 0.1
quorate_error *quorate_error_new(const char *message);

/* ---- 6. Constants and enumerations of the package page --------------------------------------- */

/* Metadata keys.
   Entry types below 0 belong to the library. */

#define QUORATE_KEY_CURRENT_TERM "currentTerm"
#define QUORATE_KEY_VOTED_FOR "votedFor"
#define QUORATE_KEY_LOCAL_ID "localID"
#define QUORATE_KEY_CLUSTER_ID "clusterID"
#define QUORATE_KEY_LAST_APPLIED "lastApplied"
#define QUORATE_KEY_NODE_CONFIG "nodeConfig"
#define QUORATE_KEY_WEB_HOOKS "webHooks"

#define QUORATE_ENTRY_MEMBERSHIP_CHANGE (-1)
#define QUORATE_ENTRY_WEB_HOOK_CHANGE (-2)

/* The page's timeouts: what profile "classic" sets. */

#define QUORATE_HEARTBEAT_TIMEOUT_MS 2000
#define QUORATE_ELECTION_TIMEOUT_MS 10000
#define QUORATE_NODE_PROPOSAL_TIMEOUT_MS 20000

/* State of a service. A candidate that asks before it campaigns (pre-vote) is a Candidate. */

typedef int32_t quorate_state;

#define QUORATE_STATE_FOLLOWER 0
#define QUORATE_STATE_CANDIDATE 1
#define QUORATE_STATE_LEADER 2
#define QUORATE_STATE_STANDALONE 3
#define QUORATE_STATE_STOPPING 4
#define QUORATE_STATE_STOPPED 5
/// Not on the page: a service that a disk or a state machine stopped is not one that the host
/// closed.
#define QUORATE_STATE_FAILED 6

/* Where the current change of membership stands. */

typedef int32_t quorate_membership_change_mode;

#define QUORATE_MODE_STABLE 0
#define QUORATE_MODE_PROPOSED_JOINT_CONSENSUS 1
#define QUORATE_MODE_PROPOSED_FINAL_CONSENSUS 2

/* What the library tells its own main loop; named for diagnosis, sent only by the library. */

typedef int32_t quorate_loop_command;

#define QUORATE_LOOP_UPDATE_CONFIGURATION 0
#define QUORATE_LOOP_JOIN_AS_FOLLOWER 1
#define QUORATE_LOOP_JOIN_AS_CANDIDATE 2

/// The page's bare word, such as "Follower". Static; a number without a word gives "State(?)",
/// because a static text can't hold the number (the other languages print it). Since: 0.1
const char *quorate_state_string(quorate_state state);

/// Likewise: "Stable", ... or "MembershipChangeMode(?)". Since: 0.1
const char *quorate_membership_change_mode_string(quorate_membership_change_mode mode);

/// Likewise: "UpdateConfiguration", ... or "LoopCommand(?)". Since: 0.1
const char *quorate_loop_command_string(quorate_loop_command command);

/* ---- 7. Entries ------------------------------------------------------------------------------ */

/// A change: borrowed in callbacks, filled by the caller to propose. Stands in arrays; 64 bytes
/// where pointers have 8. When proposing, index and term are ignored.
typedef struct quorate_entry {
    uint64_t index;
    uint64_t term;
    /// Nanoseconds since 1970 UTC, set by whoever proposes; 0 = not set. Order is by index, not by
    /// time.
    int64_t timestamp_ns;
    /// 0 or more: the application's own; the library uses the negative ones.
    int32_t type;
    uint32_t tags_len;
    /// In the order given; UTF-8; 65,535 bytes in all, each with 2 more.
    const quorate_bytes *tags;
    /// Opaque to the library; not aligned.
    quorate_bytes data;
    uint64_t reserved;
} quorate_entry;

#define QUORATE_ENTRY_INIT {0, 0, 0, 0, 0, NULL, {NULL, 0}, 0}

/* ---- 8. State machine ------------------------------------------------------------------------ */

/// A row of output slots that a callback fills: the replies of commit, the records of a read. Valid
/// until that callback returns; after that it is refused, also while a later one runs.
typedef struct quorate_output quorate_output;

typedef struct quorate_snapshot_reader quorate_snapshot_reader;

/// Where snapshot_save writes and restore reads. Since: 0.2
typedef struct quorate_snapshot_writer quorate_snapshot_writer;

/// What the host's state holds durably: the last applied entry and the cluster it came from. Term
/// and cluster may be 0: then they are not checked.
typedef struct quorate_applied {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t index;
    uint64_t term;
    uint64_t cluster_id;
} quorate_applied;

/// The host's state. Only commit is required.
typedef struct quorate_state_machine {
    uint32_t struct_size;
    uint32_t reserved;
    void *ctx;
    /// See OWNERSHIP. May be NULL.
    void (*drop)(void *ctx);
    /// Called first, with `out` all 0 but its size: a state that starts empty leaves it so. What
    /// comes after out->index is committed again. A state that is ahead of the log, or of another
    /// history, is refused (STATE_MACHINE).
    quorate_status (*open)(void *ctx, quorate_applied *out, quorate_error **err);
    /// Applies `n` >= 1 entries of type >= 0, in order of index. Each comes exactly once per run;
    /// the indexes have gaps where the library's own entries stand. `replies` has `n` slots; a
    /// reply goes to the caller who proposed the entry on this node. A negative status stops the
    /// service for good. Refusing a command is a matter of its reply, the same on every node.
    quorate_status (*commit)(void *ctx, const quorate_entry *entries, size_t n,
                             quorate_output *replies, quorate_error **err);
    /// This callback and those after it must be NULL in this version, else UNSUPPORTED.
    /// Takes hold of the present state, quickly; no commit runs meanwhile. Since: 0.2
    quorate_status (*snapshot_begin)(void *ctx, void **out_snapshot, quorate_error **err);
    /// Writes that state, beside commits. Since: 0.2
    quorate_status (*snapshot_save)(void *ctx, void *snapshot, quorate_snapshot_writer *writer,
                                    quorate_error **err);
    /// Lets go of it; after every begin that succeeded, also when save failed. Since: 0.2
    void (*snapshot_end)(void *ctx, void *snapshot);
    /// Replaces the whole state by the snapshot, which stands for all entries up to `index`; no
    /// commit runs meanwhile. A state that `open` reports on keeps that index with it. Since: 0.2
    quorate_status (*restore)(void *ctx, uint64_t index, quorate_snapshot_reader *reader,
                              quorate_error **err);
    /// Answers a read after its barrier; `reply` has one slot. Since: 0.3
    quorate_status (*query)(void *ctx, const void *request, size_t len, quorate_output *reply,
                            quorate_error **err);
    /// A hash of the state, equal on all nodes at one index. Since: 0.3
    quorate_status (*state_hash)(void *ctx, uint64_t *out_hash, quorate_error **err);
} quorate_state_machine;

#define QUORATE_STATE_MACHINE_INIT \
    {(uint32_t)sizeof(quorate_state_machine), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
     NULL, NULL}

/// Copies `n` items into the slots from `first` on; Go gives a whole batch in one call, C one at a
/// time. An unset slot is absent: no reply. An item whose data is NULL leaves its slot unset.
/// Non-blocking. Errors: INVALID (there are fewer slots), TOO_LARGE (there is no memory for it),
/// CLOSED (not in a callback). Since: 0.1
quorate_status quorate_output_set(quorate_output *out, size_t first, const quorate_bytes *items,
                                  size_t n);

/* ---- 9. Storage ------------------------------------------------------------------------------ */

/// One record of the log. The bytes are the library's, with their own checksums; a store keeps them
/// as they are. Stands in arrays.
typedef struct quorate_record {
    uint64_t index;
    quorate_bytes data;
} quorate_record;

/// A store of the host's own for log and metadata; the built-in ones are the setting "storage".
/// All but `drop` are required.
///
/// What it must keep: between two syncs a crash keeps a prefix of the calls of append and the
/// truncations, in order, at least up to the last sync that returned. metadata_put is atomic,
/// durable on return, and outside that order: a newer term or vote without the log is safe, the
/// reverse is not. quorate_storage_check tries all of that; docs/storage.md has it at length.
///
/// The functions run on one thread, quorate-log, one at a time, and may block: that delays entries
/// and nothing else. A negative status from any of them is terminal: the service stops
/// (STORAGE_FAILED), because what reached the disk is unknown; from `open`, starting fails with
/// that status if it is LOCKED, CORRUPT, IDENTITY, VERSION or UNSUPPORTED, else with IO, and from
/// any other while it starts with IO. Records that come back other than they were given are noticed
/// and stop the service likewise.
typedef struct quorate_storage {
    uint32_t struct_size;
    uint32_t reserved;
    void *ctx;
    /// See OWNERSHIP: closes the store. May be NULL.
    void (*drop)(void *ctx);
    /// Called first. The lowest and the highest index; both 0, as they are set before, when the log
    /// is empty. What it finds counts as synced from then on.
    quorate_status (*open)(void *ctx, uint64_t *out_first, uint64_t *out_last, quorate_error **err);
    /// Adds `n` >= 1 records without a gap after the last one; to an empty log at any index. May
    /// buffer.
    quorate_status (*append)(void *ctx, const quorate_record *records, size_t n,
                             quorate_error **err);
    /// Returns when everything before it would survive a power cut.
    quorate_status (*sync)(void *ctx, quorate_error **err);
    /// Sets slot i to the record at first + i, up to `last`, both included; they exist, synced or
    /// not. May stop early once max_bytes are set, but not before the first.
    quorate_status (*read)(void *ctx, uint64_t first, uint64_t last, size_t max_bytes,
                           quorate_output *out, quorate_error **err);
    /// Removes `first` and everything after it; durable by the next sync.
    quorate_status (*truncate_suffix)(void *ctx, uint64_t first, quorate_error **err);
    /// Removes `last`, which may lie beyond the end, and everything before it; likewise.
    quorate_status (*truncate_prefix)(void *ctx, uint64_t last, quorate_error **err);
    /// Sets slot 0 of `out` to the value, which may have no bytes; leaves it unset when there is
    /// none. A key is any text in UTF-8 of 1 to 128 bytes.
    quorate_status (*metadata_get)(void *ctx, const char *key, quorate_output *out,
                                   quorate_error **err);
    /// Replaces one value, whole or not at all; durable on return. Term, vote and identity are one
    /// such value, "quorate.state".
    quorate_status (*metadata_put)(void *ctx, const char *key, const void *data, size_t len,
                                   quorate_error **err);
} quorate_storage;

#define QUORATE_STORAGE_INIT \
    {(uint32_t)sizeof(quorate_storage), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
     NULL}

/// What a maker of stores is asked for: an empty store.
#define QUORATE_STORAGE_NEW 0
/// The store made last, which was dropped, opened again.
#define QUORATE_STORAGE_AGAIN 1
/// What a crash would leave now of the store made last, which is still open and in the middle of its
/// work: a copy of its files, for instance, made now. (It is dropped after this returned.) A store
/// that has no way to do that returns UNSUPPORTED, and the report says what was skipped.
#define QUORATE_STORAGE_CRASHED 2

/// Makes a store to be checked and puts its table in `out`, whose ctx is the library's from then
/// on, unless a negative status is returned. `how` is one of QUORATE_STORAGE_NEW, _AGAIN, _CRASHED.
typedef quorate_status (*quorate_storage_maker)(void *ctx, int32_t how, quorate_storage *out,
                                                quorate_error **err);

/// Runs the conformance kit that every built-in store passes on the stores that `make` returns, on
/// the calling thread; crashes between any two calls are part of it. Returns the number of rules
/// that hold. *out_report, which may be NULL, becomes a text with a line for each rule, also when
/// one is broken: quorate_free. Errors: INVALID (a rule is broken: `err` names the first), and
/// IN_CALLBACK. Since: 0.1
quorate_status quorate_storage_check(quorate_storage_maker make, void *ctx, char **out_report,
                                     quorate_error **err);

/* ---- 10. Log lines --------------------------------------------------------------------------- */

/// How much a line matters: the service can't go on.
#define QUORATE_LOG_ERROR 1
/// Something is wrong, and somebody should look at it.
#define QUORATE_LOG_WARN 2
/// What an operator wants to know: starts, leaders, members.
#define QUORATE_LOG_INFO 3
/// What helps to find a fault.
#define QUORATE_LOG_DEBUG 4

/// A line of one service's log; borrowed.
typedef struct quorate_log_record {
    /// QUORATE_LOG_*
    int32_t level;
    uint32_t line;
    /// 0 before it is known.
    uint64_t node_id;
    /// Since 1970 UTC.
    int64_t timestamp_ns;
    /// The part of the library, such as "quorate::raft", and the source file; end with NUL.
    const char *target;
    const char *file;
    /// A sentence; a NUL that is not counted follows.
    quorate_bytes message;
} quorate_log_record;

/// Takes the lines of one service. Without it the library writes nothing anywhere.
typedef struct quorate_logger {
    uint32_t struct_size;
    /// QUORATE_LOG_*: this and what matters more.
    int32_t level;
    void *ctx;
    /// See OWNERSHIP. May be NULL.
    void (*drop)(void *ctx);
    /// Required. Thread: any of the library's, several at a time. A slow one delays the service.
    void (*write)(void *ctx, const quorate_log_record *record);
} quorate_logger;

#define QUORATE_LOGGER_INIT \
    {(uint32_t)sizeof(quorate_logger), QUORATE_LOG_INFO, NULL, NULL, NULL}

/* ---- 11. Configuration ----------------------------------------------------------------------- */

/// Settings and hooks for one service.
typedef struct quorate_config quorate_config;

/// A setting that this library knows. Static.
typedef struct quorate_setting {
    const char *key;
    const char *default_value;
    /// "duration", "bytes", "count", "switch", "text", or the choices as "wal|sled|memory".
    const char *unit;
    const char *meaning;
} quorate_setting;

/// NULL only in a forked child, or where 16,777,215 of them live. Since: 0.1
quorate_config *quorate_config_new(void);

/// Drops the hooks of a config that no service was started with. Since: 0.1
void quorate_config_free(quorate_config *config);

/// Changes one setting; hooks have functions of their own because a text can't hold them. What
/// there is to set, with its default and meaning, is listed by quorate_config_setting and in
/// docs/ffi.md; "data_dir" and "listen" are what most programs set. Durations are written 150ms,
/// 10s, 2m; sizes 4096, 64KiB, 1MiB; switches on, off. Errors: NOT_FOUND (the message has the
/// nearest key), INVALID.
/// Since: 0.1
quorate_status quorate_config_set(quorate_config *config, const char *key, const char *value,
                                  quorate_error **err);

/// The i-th setting, NULL after the last: for tools, documentation and bindings. Since: 0.1
const quorate_setting *quorate_config_setting(size_t i);

/// Required. Copies the table; a second one replaces the first. Errors: INVALID (no commit, bad
/// struct_size), UNSUPPORTED (a callback of a later version). Since: 0.1
quorate_status quorate_config_state_machine(quorate_config *config,
                                            const quorate_state_machine *machine,
                                            quorate_error **err);

/// Instead of the setting "storage"; data_dir is not needed then. Copies the table; a second one
/// replaces the first. Errors: INVALID (a callback is NULL, bad struct_size). Since: 0.1
quorate_status quorate_config_storage(quorate_config *config, const quorate_storage *storage,
                                      quorate_error **err);

/// Where the service's log lines go. Copies the table; a second one replaces the first. Errors:
/// INVALID (no write, bad level or struct_size). Since: 0.1
quorate_status quorate_config_logger(quorate_config *config, const quorate_logger *logger,
                                     quorate_error **err);

/* ---- 12. Completion queue -------------------------------------------------------------------- */

/// Where asynchronous results arrive; one may serve several services and trackers.
typedef struct quorate_queue quorate_queue;

/* What a completion completes. Those below QUORATE_OP_TRACKER but _MEMBERSHIP are kinds of
   quorate_request too. */

/// A proposal, applied on this node; data is the reply.
#define QUORATE_OP_PROPOSE_WAIT 0
/// A proposal, in the leader's log.
#define QUORATE_OP_PROPOSE 1
/// A read barrier.
#define QUORATE_OP_READ_BARRIER 2
/// The completion of any change of membership.
#define QUORATE_OP_MEMBERSHIP 5
/// quorate_service_initialize_cluster; entry.data is the address, without NUL.
#define QUORATE_OP_INITIALIZE_CLUSTER 6
/// quorate_service_add_node; entry.data is the address, without NUL.
#define QUORATE_OP_ADD_NODE 7
/// quorate_service_remove_node; entry.index is the node id.
#define QUORATE_OP_REMOVE_NODE 8
/// A tracker; index is its value.
#define QUORATE_OP_TRACKER 50

/* Events, for which nobody asked but by quorate_service_subscribe. They have these numbers
   and no kind of request; `number` counts them. */

/// node_id leads in `term`; 0: no leader is known.
#define QUORATE_EVENT_LEADER 100
/// The configuration with the number `index` is in force, or committed: data says which.
#define QUORATE_EVENT_MEMBERSHIP 101
/// The service failed; status and data say why.
#define QUORATE_EVENT_FAILED 104
/// The service has the state `index`, a QUORATE_STATE_*.
#define QUORATE_EVENT_STATE 105
/// The store has no room for new entries (index 1), or has room again (0).
#define QUORATE_EVENT_DISK_FULL 106
/// Something is wrong with the connection to node_id (0: not known which): data says what.
#define QUORATE_EVENT_PEER 107
/// This node gives no votes until it is repaired (index 1), or does so again (0).
#define QUORATE_EVENT_ABSTAINING 108
/// The service has ended, closed or failed; the last event.
#define QUORATE_EVENT_CLOSED 109

/// Stands in arrays.
typedef struct quorate_completion {
    /// As given with the request or subscription.
    uint64_t token;
    /// QUORATE_OP_* or QUORATE_EVENT_*; skip what you do not know.
    int32_t op;
    quorate_status status;
    uint64_t index;
    uint64_t term;
    /// With NOT_LEADER the leader as last heard of, in an event the node it is about, else 0.
    uint64_t node_id;
    /// The reply (NULL when there is none), or with a negative status the error message.
    quorate_bytes data;
    /// In an event its number, from 1 on for each service; the first ones of a queue, which tell of
    /// the present, repeat that of the last event. A gap: events were lost, because more than 1,024
    /// were not polled. Else 0.
    uint64_t number;
} quorate_completion;

/// NULL when no file descriptor is left. Since: 0.1
quorate_queue *quorate_queue_new(void);

/// What is still under way completes unheard. Since: 0.1
void quorate_queue_free(quorate_queue *queue);

/// A descriptor for epoll, kqueue or an event loop: readable as long as the queue is not empty, or
/// was woken. It belongs to the queue: do not read from it or close it. -1 for what is no queue.
/// Since: 0.1
int quorate_queue_fd(const quorate_queue *queue);

/// Takes up to `cap` completions and returns their number; 0 after timeout_ms or a wake. Their data
/// stays valid until the next poll or the free of this queue, which is why one thread polls at a
/// time and no call to release is needed. Errors: INVALID, BUSY (another thread polls). Since: 0.1
quorate_status quorate_queue_poll(quorate_queue *queue, quorate_completion *out, size_t cap,
                                  int64_t timeout_ms);

/// Makes the present poll, or the next one, return at once. Since: 0.1
void quorate_queue_wake(quorate_queue *queue);

/* ---- 13. Service: life and cluster ----------------------------------------------------------- */

/// A timeout_ms without end; any negative number is. (A change of membership then waits as long as
/// the setting node_proposal_timeout says, and goes on.)
#define QUORATE_FOREVER (-1)

/// A running instance: one member, or one that may become one.
typedef struct quorate_service quorate_service;

/// StartRaft. Opens the store, the state machine and the listener, and starts the threads. A new
/// data directory gives a Standalone service, another one what it was. The hooks in `config` move
/// to the service, also on failure but IN_CALLBACK; `config` can then only be freed. `out` must not
/// be NULL. Errors: INVALID, ADDRESS_IN_USE, IO, LOCKED, CORRUPT, IDENTITY, VERSION, UNSUPPORTED,
/// STATE_MACHINE, the fatal ones when `open` fails. Since: 0.1
quorate_status quorate_service_start(quorate_config *config, quorate_service **out,
                                     quorate_error **err);

/// Stops the service and its threads, hooks included. Whoever waits gets INTERRUPTED, trackers
/// their last value. Looking goes on to work; everything else returns CLOSED, or what the service
/// had failed with. A second close returns QUORATE_OK. Errors: IN_CALLBACK; a fatal code when the
/// service had failed, closed all the same. Since: 0.1
quorate_status quorate_service_close(quorate_service *service, quorate_error **err);

/// Closes if that was not done, and frees; no hook is called any more when it returns. In a callback
/// it does nothing, because it would wait for that. Since: 0.1
void quorate_service_free(quorate_service *service);

/// Makes this Standalone service a cluster of one that others can be added to, its data kept.
/// `address` is the host:port at which the others reach this node. Returns when that is committed.
/// Errors: ALREADY_MEMBER, UNREACHABLE (not this node answers there), CHANGE_IN_PROGRESS, NOT_LEADER
/// (of itself, just after the start), BUSY, TIMEOUT, LEADERSHIP_LOST. Since: 0.1
quorate_status quorate_service_initialize_cluster(quorate_service *service, const char *address,
                                                  int64_t timeout_ms, quorate_error **err);

/// Asks who is at `address`, lets that node catch up as a learner, and adds it by joint consensus.
/// On any member. Returns when the final configuration is applied here. Half-done changes are
/// finished by whoever leads; after a TIMEOUT the change goes on, and quorate_service_remove_node
/// cancels it.
/// Errors: NO_CLUSTER, ALREADY_MEMBER, OTHER_CLUSTER, HAS_DATA, UNREACHABLE, CHANGE_IN_PROGRESS,
/// NOT_LEADER, BUSY, TIMEOUT, LEADERSHIP_LOST, LEFT_CLUSTER. Since: 0.1
quorate_status quorate_service_add_node(quorate_service *service, const char *address,
                                        int64_t timeout_ms, quorate_error **err);

/// Removes a member, this node and the leader included. It becomes Standalone with its data,
/// durably, and can be added again. Errors: NO_CLUSTER, NOT_FOUND, CHANGE_IN_PROGRESS, NOT_LEADER,
/// BUSY, TIMEOUT, LEADERSHIP_LOST, LEFT_CLUSTER. Since: 0.1
quorate_status quorate_service_remove_node(quorate_service *service, uint64_t node_id,
                                           int64_t timeout_ms, quorate_error **err);

/// From now on every event of this service arrives in `queue` as a completion with this token
/// (QUORATE_EVENT_*): its present state and leader first, then every change, until the queue is
/// freed or QUORATE_EVENT_CLOSED has come, which stands for the states Stopping and Stopped too.
/// Non-blocking. Errors: INVALID, CLOSED. Since: 0.1
quorate_status quorate_service_subscribe(quorate_service *service, quorate_queue *queue,
                                         uint64_t token, quorate_error **err);

/* ---- 14. Service: writing and reading -------------------------------------------------------- */

/// Proposes a change. Returns as soon as it is in the leader's log, at *out_index of *out_term; it
/// is not committed then. Followers forward to the leader; the order of one thread's proposals is
/// kept.
/// Errors: NOT_LEADER, BUSY, TOO_LARGE, INVALID (a type below 0), DISK_FULL, LOST, and all unknown
/// ones. Since: 0.1
quorate_status quorate_service_propose(quorate_service *service, const quorate_entry *entry,
                                       int64_t timeout_ms, uint64_t *out_index, uint64_t *out_term,
                                       quorate_error **err);

/// Proposes a change. Returns when this node has applied it, with the state machine's reply; what
/// is then read here contains it. `out` is a result: quorate_free. Errors: as propose. Since: 0.1
quorate_status quorate_service_propose_wait(quorate_service *service, const quorate_entry *entry,
                                            int64_t timeout_ms, quorate_result **out,
                                            quorate_error **err);

/* How fresh a read is. */

#define QUORATE_READ_LINEARIZABLE 0
/// From the leader's lease, without asking the others. UNSUPPORTED in this version. Since: 0.3
#define QUORATE_READ_LEASE 1
/// Whatever this node has, for queries. UNSUPPORTED in this version. Since: 0.3
#define QUORATE_READ_STALE 2

/// Returns when this node has applied everything that was acknowledged anywhere before the call:
/// read your own state after it and the read is linearizable. On leader and follower. `mode` is
/// QUORATE_READ_LINEARIZABLE. Errors: NOT_LEADER, BUSY, TIMEOUT, LEADERSHIP_LOST, LEFT_CLUSTER,
/// UNSUPPORTED (a mode of a later version). Since: 0.1
quorate_status quorate_service_read_barrier(quorate_service *service, int32_t mode,
                                            int64_t timeout_ms, quorate_error **err);

/* Many at a time, without waiting. */

/// One piece of asynchronous work. Stands in arrays.
typedef struct quorate_request {
    /// The caller's own; comes back in the completion.
    uint64_t token;
    /// QUORATE_OP_*.
    int32_t op;
    /// QUORATE_READ_*, for READ_BARRIER.
    int32_t mode;
    int64_t timeout_ms;
    /// PROPOSE, PROPOSE_WAIT: the change. Membership: see QUORATE_OP_*.
    quorate_entry entry;
    uint64_t reserved[2];
} quorate_request;

#define QUORATE_REQUEST_INIT {0, 0, 0, QUORATE_FOREVER, QUORATE_ENTRY_INIT, {0, 0}}

/// Starts `n` requests and returns how many, from the front, were taken; everything in them has
/// been copied by then. Each one taken gives exactly one completion in `queue`, also when the
/// service is closed; the others none. One function for all asynchronous work, so that a batch is
/// one call whatever is in it and new kinds need no new symbol. Non-blocking. Errors, when not even
/// the first was taken: BUSY, INVALID, TOO_LARGE, CLOSED, fatal. Since: 0.1
quorate_status quorate_service_submit(quorate_service *service, quorate_queue *queue,
                                      const quorate_request *requests, size_t n,
                                      quorate_error **err);

/* ---- 15. Service: looking -------------------------------------------------------------------- */

/// The page's plain getters, all of one moment.
typedef struct quorate_info {
    uint32_t struct_size;
    quorate_state state;
    quorate_membership_change_mode membership_change_mode;
    /// With state Failed the fatal code, else 0.
    quorate_status failure;
    uint64_t my_id;
    /// 0 in no cluster.
    uint64_t cluster_id;
    /// 0 unknown; on the leader its own.
    uint64_t leader_id;
    uint64_t current_term;
    uint64_t commit_index;
    uint64_t last_applied;
    /// Bounds of the local log; 0 when empty.
    uint64_t first_index;
    uint64_t last_index;
    uint64_t last_term;
    /// Where the listener really is, host:port; NULL without one. Valid until the service is freed.
    const char *address;
    /// 0 in this version. Index of the newest snapshot. Since: 0.2
    uint64_t snapshot_index;
} quorate_info;

#define QUORATE_INFO_INIT \
    {(uint32_t)sizeof(quorate_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0}

/// Fills `out`. One call for all, because the values belong together. Non-blocking.
/// Errors: INVALID. Since: 0.1
quorate_status quorate_service_info(const quorate_service *service, quorate_info *out);

/* The members, and how far each one is. */

/// Stands in arrays.
typedef struct quorate_peer_index {
    uint64_t node_id;
    /// The last index that this member is known to hold durably.
    uint64_t index;
    uint64_t reserved[2];
} quorate_peer_index;

/// ProtocolStatus. A result: quorate_free.
typedef struct quorate_protocol_status {
    /// On a leader one for each member, itself included; Standalone none; else NULL.
    const quorate_peer_index *peer_indices;
    size_t peer_indices_len;
} quorate_protocol_status;

/// The configuration in force; empty when Standalone. A result: quorate_free. Since: 0.1
quorate_node_list *quorate_service_node_config(const quorate_service *service);

/// A result: quorate_free. Since: 0.1
quorate_protocol_status *quorate_service_raft_status(const quorate_service *service);

/* Texts for people and tools. */

/// Everything, with peers, queues, settings and failure: one JSON object.
#define QUORATE_REPORT_JSON 0
/// Metrics as Prometheus text, version 0.0.4.
#define QUORATE_REPORT_PROMETHEUS 1

/// A text of kind QUORATE_REPORT_*, NULL for an unknown one. A result: quorate_free. Since: 0.1
char *quorate_service_report(const quorate_service *service, int32_t report);

/* ---- 16. Change trackers --------------------------------------------------------------------- */

/// A counter to wait on. Every handle is freed by itself; all handles of one name are one tracker.
typedef struct quorate_tracker quorate_tracker;

/// CreateTracker: a tracker at 0. Since: 0.1
quorate_tracker *quorate_tracker_new(void);

/// GetNamedTracker: the one of that name in this process, made on demand. NULL name: NULL.
/// Since: 0.1
quorate_tracker *quorate_tracker_named(const char *name);

/// GetAppliedTracker: follows last_applied, from its value at start on. Since: 0.1
quorate_tracker *quorate_service_applied_tracker(quorate_service *service);

/// Frees this handle; the tracker lives on while others hold it. Since: 0.1
void quorate_tracker_free(quorate_tracker *tracker);

/// Sets the value, also to a lower one, and wakes whoever waits for it or less. After close it does
/// nothing. Non-blocking. Errors: INVALID (an applied tracker, which only its service moves).
/// Since: 0.1
quorate_status quorate_tracker_update(quorate_tracker *tracker, uint64_t change);

/// Waits until the value is at least `change` and returns it; after close, and at once from a
/// callback, the value as it is. Since: 0.1
uint64_t quorate_tracker_wait(quorate_tracker *tracker, uint64_t change);

/// Likewise, at most timeout_ms; then the value as it is, below `change`. As on the page, 0 and
/// less only look. Since: 0.1
uint64_t quorate_tracker_timed_wait(quorate_tracker *tracker, uint64_t change, int64_t timeout_ms);

/// Waits without a thread: one completion (OP_TRACKER) with status OK, TIMEOUT or CLOSED. For event
/// loops, and for Go, where a blocked call costs a thread. Non-blocking. Errors: INVALID, BUSY (the
/// thread that keeps the time can't be started). Since: 0.1
quorate_status quorate_tracker_notify(quorate_tracker *tracker, uint64_t change, int64_t timeout_ms,
                                      quorate_queue *queue, uint64_t token, quorate_error **err);

/// Releases all waiters with the value as it is. An applied tracker is closed by its service; here
/// nothing happens to it. Since: 0.1
void quorate_tracker_close(quorate_tracker *tracker);

/* ---- 17. Transport --------------------------------------------------------------------------- */

/// A network of the host's own instead of TCP. It carries frames whole and unaltered, or loses
/// them; frames that were altered on their way are noticed and dropped, and repeated, late and
/// reordered ones do no harm. Who may send them is its to check: the library believes the sender
/// that a frame names. Addresses are any text that both sides understand.
typedef struct quorate_transport {
    uint32_t struct_size;
    uint32_t reserved;
    void *ctx;
    /// See OWNERSHIP. May be NULL.
    void (*drop)(void *ctx);
    /// Required. Sends one frame to the node at `address` without waiting for the network. node_id
    /// is 0 while only the address is known. A negative status: not sent, and the node counts as
    /// unreachable for now. Thread: quorate-loop; a slow one delays the protocol.
    quorate_status (*send)(void *ctx, uint64_t node_id, const char *address, const void *frame,
                           size_t len, quorate_error **err);
} quorate_transport;

#define QUORATE_TRANSPORT_INIT {(uint32_t)sizeof(quorate_transport), 0, NULL, NULL, NULL}

/// What a frame is about: several things, or something else.
#define QUORATE_FRAME_OTHER 0
/// Entries or heartbeats, or answers to them.
#define QUORATE_FRAME_APPEND 1
/// Votes and pre-votes asked for or given, or the request to campaign at once.
#define QUORATE_FRAME_REQUEST_VOTE 2
/// A node is asked who it is or to become a member, or answers.
#define QUORATE_FRAME_JOIN 3

/// Instead of the setting "listen": others reach this node by quorate_service_deliver. Copies the
/// table; a second one replaces the first. Errors: INVALID (no send, bad struct_size). Since: 0.1
quorate_status quorate_config_transport(quorate_config *config, const quorate_transport *transport,
                                        quorate_error **err);

/// Hands over one frame that `send` of another node was given. It is copied, and answers leave
/// through `send`. Non-blocking, from any thread, callbacks included. Errors: BUSY (dropped),
/// INVALID (no frame, altered, or for another node), TOO_LARGE, UNSUPPORTED (the service has the
/// built-in network), CLOSED, fatal. Since: 0.1
quorate_status quorate_service_deliver(quorate_service *service, const void *frame, size_t len,
                                       quorate_error **err);

/// The page's Append: quorate_service_deliver for frames of kind QUORATE_FRAME_APPEND, others are
/// INVALID. Since: 0.1
quorate_status quorate_service_append(quorate_service *service, const void *frame, size_t len,
                                      quorate_error **err);

/// The page's RequestVote: likewise for QUORATE_FRAME_REQUEST_VOTE. Since: 0.1
quorate_status quorate_service_request_vote(quorate_service *service, const void *frame, size_t len,
                                            quorate_error **err);

/// The page's Join: likewise for QUORATE_FRAME_JOIN. Since: 0.1
quorate_status quorate_service_join(quorate_service *service, const void *frame, size_t len,
                                    quorate_error **err);

/// What a frame is about: QUORATE_FRAME_*. quorate_service_deliver takes all kinds. Errors: INVALID
/// (no frame, or altered), TOO_LARGE. Since: 0.1
quorate_status quorate_frame_kind(const void *frame, size_t len);

#ifdef __cplusplus
}
#endif

#endif /* QUORATE_H */
