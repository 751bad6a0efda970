// quorate.hpp - the C++17 interface of quorate: header-only, over quorate.h.
//
// Handles are move-only and free themselves; capi() gives the C handle. One that was moved from, or
// closed, answers with an error. Errors are values: a Result<T> is the same class in every standard and
// converts to std::expected. Nothing here throws but value() of a failed Result; what a callback throws
// fails that callback and never crosses a C frame. Objects that a program derives are held by
// shared_ptr: the service keeps its share until it is gone, and the program goes on reading its own
// state. Meaning, threads and errors of each function are those of its namesake in quorate.h.
// Since: 0.1
#pragma once

#include "quorate/entry.hpp"
#include "quorate/hooks.hpp"
#include "quorate/types.hpp"

#include <map>

namespace quorate {

// ---- Configuration ------------------------------------------------------------------------------

// A chain of settings and hooks; the first mistake is what Service::start returns.
class Config {
public:
    Config() : c_(quorate_config_new()) {}
    Config &set(const std::string &key, const std::string &value) & {
        keep(detail::no_nul("key of a setting", key));
        keep(detail::no_nul(key.c_str(), value));
        return keep(detail::call([&](quorate_error **e) {
            return quorate_config_set(c_.get(), key.c_str(), value.c_str(), e);
        }));
    }
    Config &&set(const std::string &key, const std::string &value) && {
        return std::move(set(key, value));
    }
    template <bool Catch = QUORATE_CPP_EXCEPTIONS>
    Config &state_machine(std::shared_ptr<StateMachine> machine) & {
        if (!machine)
            return keep(Failure(Error(QUORATE_ERR_INVALID, "the state machine is an empty pointer")));
        auto t = detail::table<Catch>(std::move(machine));
        return keep(detail::call(
            [&](quorate_error **e) { return quorate_config_state_machine(c_.get(), &t, e); }));
    }
    template <bool Catch = QUORATE_CPP_EXCEPTIONS>
    Config &&state_machine(std::shared_ptr<StateMachine> machine) && {
        return std::move(state_machine<Catch>(std::move(machine)));
    }
    const Result<void> &mistake() const { return mistake_; }
    quorate_config *capi() const { return c_.get(); }

private:
    Config &keep(Result<void> r) {
        if (mistake_ && !r) mistake_ = std::move(r);
        return *this;
    }
    detail::Owned<quorate_config> c_;
    Result<void> mistake_;
};

// ---- Queue, requests, trackers ------------------------------------------------------------------

// Where a change stands in the log.
struct Position {
    uint64_t index = 0, term = 0;
};
// Likewise, with the state machine's reply.
struct Reply {
    uint64_t index = 0, term = 0;
    std::string data;
};

// One finished piece of work. Lives until the next poll of its queue.
class Completion {
public:
    explicit Completion(const quorate_completion &c) : c_(&c) {}
    uint64_t token() const { return c_->token; }
    int32_t op() const { return c_->op; }  // QUORATE_OP_*; skip what you do not know
    quorate_status status() const { return c_->status; }
    Outcome outcome() const { return static_cast<Outcome>(quorate_status_outcome(c_->status)); }
    uint64_t index() const { return c_->index; }
    uint64_t term() const { return c_->term; }
    uint64_t node_id() const { return c_->node_id; }                  // with NOT_LEADER the leader
    std::string_view data() const { return detail::text(c_->data); }  // reply or error message
    Result<Reply> result() const {                                    // a copy
        if (c_->status >= 0) return Reply{c_->index, c_->term, std::string(data())};
        std::optional<Node> leader;
        if (c_->node_id != 0) leader = Node{c_->node_id, ""};
        return Failure(Error(c_->status, std::string(data()), std::move(leader)));
    }

    operator const quorate_completion &() const { return *c_; }

private:
    const quorate_completion *c_;
};
using Completions = View<quorate_completion, Completion>;

class Queue {
public:
    static Result<Queue> create() {
        if (auto *q = quorate_queue_new()) return Queue(q);
        return Failure(Error(QUORATE_ERR_IO, "no file descriptor is left, or the process was forked"));
    }
    int fd() const { return quorate_queue_fd(q_.get()); }
    Result<Completions> poll(Timeout t = forever) {  // valid until the next poll
        auto s = quorate_queue_poll(q_.get(), buffer_.data(), buffer_.size(), detail::ms(t));
        if (s < 0) return detail::failure(s, nullptr);
        return Completions(buffer_.data(), static_cast<size_t>(s));
    }
    void wake() { quorate_queue_wake(q_.get()); }
    quorate_queue *capi() const { return q_.get(); }

private:
    explicit Queue(quorate_queue *q) : q_(q), buffer_(256) {}
    detail::Owned<quorate_queue> q_;
    std::vector<quorate_completion> buffer_;
};

// One piece of asynchronous work. It borrows what its entry borrows.
class Request {
public:
    static Request propose(uint64_t token, Entry entry, Timeout t = forever) {
        return Request(QUORATE_OP_PROPOSE, token, std::move(entry), t);
    }
    static Request propose_wait(uint64_t token, Entry entry, Timeout t = forever) {
        return Request(QUORATE_OP_PROPOSE_WAIT, token, std::move(entry), t);
    }
    static Request read_barrier(uint64_t token, Timeout t = forever) {
        return Request(QUORATE_OP_READ_BARRIER, token, Entry(""), t);
    }
    static Request initialize_cluster(uint64_t token, std::string_view address, Timeout t = forever) {
        return Request(QUORATE_OP_INITIALIZE_CLUSTER, token, Entry(address), t);
    }
    static Request add_node(uint64_t token, std::string_view address, Timeout t = forever) {
        return Request(QUORATE_OP_ADD_NODE, token, Entry(address), t);
    }
    static Request remove_node(uint64_t token, uint64_t node_id, Timeout t = forever) {
        Request r(QUORATE_OP_REMOVE_NODE, token, Entry(""), t);
        r.r_.entry.index = node_id;
        return r;
    }
    Request &token(uint64_t token) {
        r_.token = token;
        return *this;
    }
    quorate_request capi() const {  // valid while this request is
        quorate_request r = r_;
        r.entry = entry_.capi();
        r.entry.index = r_.entry.index;
        return r;
    }

private:
    Request(int32_t op, uint64_t token, Entry entry, Timeout t) : entry_(std::move(entry)) {
        r_.token = token;
        r_.op = op;
        r_.timeout_ms = detail::ms(t);
    }
    quorate_request r_ = QUORATE_REQUEST_INIT;
    Entry entry_;
};

// A counter to wait on. All objects of one name are one tracker.
class ChangeTracker {
public:
    ChangeTracker() : ChangeTracker(quorate_tracker_new()) {}
    explicit ChangeTracker(quorate_tracker *owned) : t_(owned) {}
    static ChangeTracker named(const std::string &name) {
        return ChangeTracker(quorate_tracker_named(name.c_str()));
    }
    Result<void> update(uint64_t change) {
        if (auto s = quorate_tracker_update(t_.get(), change); s < 0) return detail::failure(s, nullptr);
        return {};
    }
    uint64_t wait(uint64_t change) { return quorate_tracker_wait(t_.get(), change); }
    uint64_t timed_wait(uint64_t change, Timeout t) {
        return t == forever ? wait(change) : quorate_tracker_timed_wait(t_.get(), change, t.count());
    }
    Result<void> notify(uint64_t change, Timeout t, Queue &q, uint64_t token) {
        return detail::call([&](quorate_error **e) {
            return quorate_tracker_notify(t_.get(), change, detail::ms(t), q.capi(), token, e);
        });
    }
    void close() { quorate_tracker_close(t_.get()); }
    quorate_tracker *capi() const { return t_.get(); }

private:
    detail::Owned<quorate_tracker> t_;
};

// ---- Service ------------------------------------------------------------------------------------

// The page's plain getters, all of one moment.
struct Info {
    State state = State::Stopped;
    MembershipChangeMode membership_change_mode = MembershipChangeMode::Stable;
    quorate_status failure = 0;  // with State::Failed the fatal code
    uint64_t my_id = 0, cluster_id = 0, leader_id = 0, current_term = 0, commit_index = 0, last_applied = 0;
    uint64_t first_index = 0, last_index = 0, last_term = 0;
    std::string address;  // where the listener really is
};
struct ProtocolStatus {
    std::optional<std::map<uint64_t, uint64_t>> peer_indices;
};

class Service {
public:
    static Result<Service> start(Config config) {
        if (quorate_abi_version() != QUORATE_ABI_VERSION)
            return Failure(Error(QUORATE_ERR_VERSION, std::string("quorate.hpp and libquorate ") +
                                                          quorate_version() +
                                                          " do not fit together: compile the program anew"));
        if (!config.mistake()) return Failure(config.mistake().error());
        quorate_service *s = nullptr;
        auto r = detail::call([&](quorate_error **e) { return quorate_service_start(config.capi(), &s, e); });
        if (!r) return Failure(r.error());
        return Service(s);
    }
    Result<void> close() {
        return detail::call([&](quorate_error **e) { return quorate_service_close(capi(), e); });
    }

    // ---- The cluster
    Result<void> initialize_cluster(const std::string &address, Timeout t = forever) {
        if (auto r = detail::no_nul("address", address); !r) return r;
        return detail::call([&](quorate_error **e) {
            return quorate_service_initialize_cluster(capi(), address.c_str(), detail::ms(t), e);
        });
    }
    Result<void> add_node(const std::string &address, Timeout t = forever) {
        if (auto r = detail::no_nul("address", address); !r) return r;
        return detail::call([&](quorate_error **e) {
            return quorate_service_add_node(capi(), address.c_str(), detail::ms(t), e);
        });
    }
    Result<void> remove_node(uint64_t node_id, Timeout t = forever) {
        return detail::call([&](quorate_error **e) {
            return quorate_service_remove_node(capi(), node_id, detail::ms(t), e);
        });
    }

    // ---- Writing and reading
    Result<Position> propose(const Entry &entry, Timeout t = forever) {
        quorate_entry raw = entry.capi();
        Position p;
        auto r = detail::call([&](quorate_error **e) {
            return quorate_service_propose(capi(), &raw, detail::ms(t), &p.index, &p.term, e);
        });
        if (!r) return Failure(r.error());
        return p;
    }
    Result<Reply> propose_wait(const Entry &entry, Timeout t = forever) {
        quorate_entry raw = entry.capi();
        quorate_result *out = nullptr;
        auto r = detail::call([&](quorate_error **e) {
            return quorate_service_propose_wait(capi(), &raw, detail::ms(t), &out, e);
        });
        if (!r) return Failure(r.error());
        detail::Owned<quorate_result> result(out);
        return Reply{result->index, result->term, std::string(detail::text(result->data))};
    }
    // How many were taken, from the front; each of these gives one completion in `q`.
    Result<size_t> submit(Queue &q, const std::vector<Request> &requests) {
        std::vector<quorate_request> raw;
        raw.reserve(requests.size());
        for (auto &r : requests) raw.push_back(r.capi());
        return submit(q, raw.data(), raw.size());
    }
    Result<size_t> submit(Queue &q, const Request &request) {
        quorate_request raw = request.capi();
        return submit(q, &raw, 1);
    }
    Result<size_t> submit(Queue &q, const std::vector<quorate_request> &requests) {
        return submit(q, requests.data(), requests.size());
    }
    Result<size_t> submit(Queue &q, const quorate_request *requests, size_t n) {
        quorate_error *e = nullptr;
        auto s = quorate_service_submit(capi(), q.capi(), requests, n, &e);
        if (s < 0) return detail::failure(s, e);
        return static_cast<size_t>(s);
    }
    Result<void> read_barrier(ReadMode mode = ReadMode::Linearizable, Timeout t = forever) {
        return detail::call([&](quorate_error **e) {
            return quorate_service_read_barrier(capi(), static_cast<int32_t>(mode), detail::ms(t), e);
        });
    }
    Result<void> read_barrier(Timeout t) { return read_barrier(ReadMode::Linearizable, t); }

    // ---- Looking; goes on to work after close
    Info info() const {
        quorate_info raw{};
        raw.struct_size = sizeof raw;
        Info i;
        if (quorate_service_info(capi(), &raw) < 0) return i;
        i.state = static_cast<State>(raw.state);
        i.membership_change_mode = static_cast<MembershipChangeMode>(raw.membership_change_mode);
        i.failure = raw.failure;
        i.my_id = raw.my_id, i.cluster_id = raw.cluster_id, i.leader_id = raw.leader_id;
        i.current_term = raw.current_term;
        i.commit_index = raw.commit_index, i.last_applied = raw.last_applied;
        i.first_index = raw.first_index, i.last_index = raw.last_index, i.last_term = raw.last_term;
        if (raw.address) i.address = raw.address;
        return i;
    }
    NodeList node_config() const {
        detail::Owned<quorate_node_list> raw(quorate_service_node_config(capi()));
        NodeList list;
        if (!raw) return list;
        list.current = nodes(raw->current, raw->current_len);
        list.next = nodes(raw->next, raw->next_len);
        list.learners = nodes(raw->learners, raw->learners_len);
        return list;
    }
    ProtocolStatus raft_status() const {
        detail::Owned<quorate_protocol_status> raw(quorate_service_raft_status(capi()));
        ProtocolStatus status;
        if (!raw || !raw->peer_indices) return status;
        status.peer_indices.emplace();
        for (size_t i = 0; i < raw->peer_indices_len; i++)
            (*status.peer_indices)[raw->peer_indices[i].node_id] = raw->peer_indices[i].index;
        return status;
    }
    std::string report(Report kind = Report::Json) const {
        detail::Owned<char> text(quorate_service_report(capi(), static_cast<int32_t>(kind)));
        return text ? text.get() : "";
    }
    ChangeTracker applied_tracker() const { return ChangeTracker(quorate_service_applied_tracker(capi())); }

    quorate_service *capi() const { return s_.get(); }

private:
    explicit Service(quorate_service *s) : s_(s) {}
    static std::vector<Node> nodes(const quorate_node *first, size_t n) {
        std::vector<Node> all;
        for (size_t i = 0; i < n; i++) all.push_back({first[i].node_id, first[i].address});
        return all;
    }
    detail::Owned<quorate_service> s_;
};

}  // namespace quorate
